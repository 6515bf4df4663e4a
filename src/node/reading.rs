//! Requests about what came: lists, texts, files. What is shown counts as seen or read, on our other devices too.

use super::api::Response;
use super::error::NodeError;
use super::inbox;
use super::marks::Mark;
use super::send::Note;
use super::service::Service;
use super::upkeep::logged;
use crate::engine::id::MessageId;
use std::path::PathBuf;

/// Messages that are marked at once.
const MARKED: usize = 1000;

impl Service {
    /// Everything that came.
    pub(super) async fn inbox(&self) -> Result<Response, NodeError> {
        let messages = self
            .with_store(|s| inbox::list(&s.handle, &s.contacts))
            .await?;
        let new = messages.iter().filter(|entry| !entry.seen);
        let new = new.filter_map(|entry| entry.message.parse().ok());
        self.mark(new.take(MARKED).collect(), Mark::Seen).await;
        Ok(Response::Inbox { messages })
    }

    /// The text of a message.
    pub(super) async fn read(&self, message: String) -> Result<Response, NodeError> {
        let (message, texts) = self
            .with_store(move |s| inbox::texts(&s.handle, &message))
            .await?;
        let read = message.parse().into_iter().collect();
        self.mark(read, Mark::Read).await;
        Ok(Response::Text { message, texts })
    }

    /// The parts of a message, as files.
    pub(super) async fn save(&self, message: String, dir: PathBuf) -> Result<Response, NodeError> {
        let (id, files) = self
            .with_store(move |s| inbox::save(&s.handle, &message, &dir))
            .await?;
        self.mark(vec![id], Mark::Read).await;
        Ok(Response::Saved { files })
    }

    /// Marks messages here, and tells our other devices.
    async fn mark(&self, messages: Vec<MessageId>, mark: Mark) {
        let marked = self.with_store(move |s| s.contacts.marks.set(&messages, mark));
        logged("what was read is not marked", marked.await);
        self.tell_marks().await;
    }

    /// Tells our other devices what was seen or read here.
    pub(super) async fn tell_marks(&self) {
        while self.0.contacts.has_siblings() {
            let untold = self.0.contacts.marks.untold();
            if untold.is_empty() {
                return;
            }
            let me = self.0.keys.identity().person();
            let sent = self.send_note(Note::marks(&untold), me).await;
            let done = match sent {
                Ok(_) => {
                    self.with_store(move |s| s.contacts.marks.told(&untold))
                        .await
                }
                Err(error) => Err(error),
            };
            if done.is_err() {
                return logged("other devices were not told what was read", done);
            }
        }
    }
}

//! Comparisons by voice that are under way, on the disk, and the requests about them.

use super::api::Response;
use super::driver::Command;
use super::error::NodeError;
use super::home::random32;
use super::people::digits;
use super::send::Note;
use super::service::Service;
use crate::engine::id::{PersonId, to_base32};
use crate::engine::trust::Level;
use crate::security::kdf::Key;
use crate::security::voice::{Ends, Step, Voice};
use crate::store::meta::Meta;
use std::sync::{Mutex, PoisonError};

const PREFIX: &str = "voice/";

/// One at most with each contact.
pub(super) struct Voices {
    meta: Meta,
    me: PersonId,
    /// Held by whoever changes one.
    turn: Mutex<()>,
}

impl Voices {
    /// Those of this home.
    pub(super) fn new(meta: Meta, me: PersonId) -> Self {
        let turn = Mutex::new(());
        Self { meta, me, turn }
    }

    /// Takes in what a contact has sent. Blocks on the disk.
    pub(super) fn take(&self, from: PersonId, bytes: &[u8]) -> Result<(), NodeError> {
        let step = Step::decode(bytes)?;
        self.change(from, |voice, ends| Ok(voice.take(step, ends)?))
    }

    /// Changes are durable before anybody sees them. Blocks on the disk.
    fn change<T>(
        &self,
        peer: PersonId,
        change: impl FnOnce(&mut Voice, Ends) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = self.meta.get(&key(peer))?;
        let read = stored.and_then(|bytes| Voice::decode(&bytes).ok());
        let mut voice = read.unwrap_or_default();
        let done = change(&mut voice, Ends { me: self.me, peer })?;
        self.meta.put(&key(peer), &voice.encode())?;
        Ok(done)
    }

    /// Ends one. Blocks on the disk.
    fn end(&self, peer: PersonId) -> Result<(), NodeError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.meta.delete(&key(peer))?;
        Ok(())
    }
}

fn key(peer: PersonId) -> String {
    format!("{PREFIX}{}", to_base32(&peer.0))
}

impl Service {
    /// Begins a comparison by voice, or goes on with it. Tells the number once there is one.
    pub(super) async fn voice(&self, person: String, again: bool) -> Result<Response, NodeError> {
        let peer = self.0.contacts.find(&person)?.person();
        let nonce = random32().map_err(NodeError::random)?;
        self.with_store(move |s| {
            s.contacts.voices.change(peer, |voice, _| {
                if again || !voice.is_begun() {
                    voice.begin(Key::new(*nonce));
                }
                Ok(())
            })
        })
        .await?;
        self.voice_steps(peer).await?;
        self.with_store(move |s| {
            s.contacts.voices.change(peer, |voice, ends| {
                Ok(Response::Voice {
                    number: voice.number(ends),
                    overtaken: voice.is_overtaken(),
                })
            })
        })
        .await
    }

    /// Sends what the other side is to know next.
    pub(super) async fn voice_steps(&self, peer: PersonId) -> Result<(), NodeError> {
        loop {
            let next = self.with_store(move |s| {
                let voices = &s.contacts.voices;
                voices.change(peer, |voice, ends| Ok(voice.next_step(ends)))
            });
            let Some(step) = next.await? else {
                return Ok(());
            };
            self.send_note(Note::voice(&step), peer).await?;
        }
    }

    /// What the other side has read aloud ends a comparison: the person is verified, if it is our number too.
    pub(super) async fn voice_compare(
        &self,
        person: String,
        number: String,
    ) -> Result<Response, NodeError> {
        let _turn = self.0.settings.lock().await;
        let (who, standing, entry) = self
            .with_store(move |s| {
                let card = s.contacts.find(&person)?;
                let (who, name) = (card.person(), card.body().name.clone());
                let voices = &s.contacts.voices;
                let ours = voices.change(who, |voice, ends| Ok(voice.number(ends)))?;
                let ours = ours.ok_or_else(|| NodeError::NoNumber(name.clone()))?;
                voices.end(who)?;
                if digits(&ours) != digits(&number) {
                    return Err(NodeError::VoiceNumber(name));
                }
                let mut stored = s.contacts.standings.get(who);
                stored.level = Level::Verified;
                s.contacts.standings.set(who, stored.clone())?;
                Ok((who, stored.standing(), s.contacts.entry(&card)))
            })
            .await?;
        self.order(Command::Standing(who, standing)).await?;
        Ok(Response::Person(entry))
    }
}

//! What a relay needs of its storage.

use super::mailbox::MailboxTag;
use bytes::Bytes;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Notify;

/// A future of a store: boxed, so that a store can be a trait object.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreRefusal>> + Send + 'a>>;

/// A held frame with the number under which it is kept.
pub type HeldFrame = (u64, Bytes);

/// What became of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable, or was already.
    Stored,
    /// Its mailbox has reached its quota.
    MailboxFull,
    /// Nobody granted the sender the use of this mailbox.
    NotGranted,
    /// Its carrier envelope is not acceptable.
    BadEnvelope,
}

/// Why a store did nothing at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreRefusal {
    /// The store cannot work now.
    #[error("the mailbox store failed: {0} (check the disk, then restart the relay)")]
    Failed(String),
}

/// Durable mailboxes.
///
/// Every frame gets a number when it is stored. Numbers grow within the whole store and are never used
/// again, also not after a restart or a loss of the store: owners remember them across connections.
pub trait MailboxStore: Send + Sync + 'static {
    /// Stores frames under their tags. The future is ready once all that were stored are durable, with one
    /// verdict a frame, in order.
    fn store(&self, frames: Vec<(MailboxTag, Bytes)>) -> StoreFuture<'_, Vec<Verdict>>;

    /// Frames of any of the tags with numbers above `after`, in the order of their numbers: as many as fit
    /// into `max_bytes`, but at least one if there is any.
    fn fetch(
        &self,
        tags: Arc<[MailboxTag]>,
        after: u64,
        max_bytes: usize,
    ) -> StoreFuture<'_, Vec<HeldFrame>>;

    /// Deletes frames of any of the tags with numbers up to `upto`, and says how many those were.
    fn delete(&self, tags: Arc<[MailboxTag]>, upto: u64) -> StoreFuture<'_, u64>;

    /// Begins to watch for new frames of any of the tags.
    fn subscribe(&self, tags: &[MailboxTag]) -> Subscription;
}

/// Wakes its holder when frames came for the tags it was made for. Dropping it ends the watch.
#[derive(Debug)]
pub struct Subscription(Arc<Notify>);

impl Subscription {
    /// Waits until frames came since the last call or since the subscription was made. May wake without
    /// need. Safe to cancel.
    pub async fn changed(&self) {
        self.0.notified().await;
    }
}

/// Who waits for frames of which tag: the part of a store that every implementation needs alike.
#[derive(Debug, Default)]
pub struct Watchers(Mutex<HashMap<MailboxTag, Vec<Weak<Notify>>>>);

impl Watchers {
    /// Adds a watcher of these tags.
    pub fn subscribe(&self, tags: &[MailboxTag]) -> Subscription {
        let notify = Arc::new(Notify::new());
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|_, watchers| {
            watchers.retain(|w| w.strong_count() > 0);
            !watchers.is_empty()
        });
        for tag in tags {
            let watchers = watched.entry(*tag).or_default();
            watchers.push(Arc::downgrade(&notify));
        }
        Subscription(notify)
    }

    /// Wakes all who watch any of these tags. To be called after the frames can be fetched.
    pub fn announce(&self, tags: impl IntoIterator<Item = MailboxTag>) {
        let watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for tag in tags {
            for watcher in watched.get(&tag).into_iter().flatten() {
                if let Some(notify) = watcher.upgrade() {
                    notify.notify_one();
                }
            }
        }
    }
}

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

/// How many classes of urgency a store tells apart. Class 0 is handed over first.
pub const CLASSES: usize = 4;

/// Where a store keeps a frame.
///
/// Numbers grow within the whole store and are never used again, also not after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The tag of its mailbox.
    pub tag: MailboxTag,
    /// How urgent it is, below [`CLASSES`].
    pub class: u8,
    /// Its number.
    pub number: u64,
}

/// How far frames were seen: in each class up to this number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub [u64; CLASSES]);

impl Cursor {
    /// Goes on to where another one is, in each class.
    pub fn join(&mut self, other: &Self) {
        for (seen, other) in self.0.iter_mut().zip(other.0) {
            *seen = other.max(*seen);
        }
    }

    /// Takes down that the frame at this place was seen. False if it lies behind the cursor, or in no class.
    pub fn pass(&mut self, place: &Place) -> bool {
        match self.0.get_mut(usize::from(place.class)) {
            Some(seen) if *seen < place.number => {
                *seen = place.number;
                true
            }
            _ => false,
        }
    }
}

/// A held frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFrame {
    /// Where it is kept.
    pub place: Place,
    /// The frame.
    pub frame: Bytes,
}

/// What a relay makes of something that a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sorted {
    /// A frame for this mailbox.
    Frame(MailboxTag, Bytes),
    /// A piece of a frame that is not whole yet.
    Piece,
    /// Nothing that names a mailbox.
    Unaddressed,
}

/// Makes frames of what one client sends, one call for each, in order.
pub type Sorter = Box<dyn FnMut(&[u8]) -> Sorted + Send>;

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
    /// The store cannot work now; the text says why, and what to do.
    #[error("the mailbox store failed: {0}")]
    Failed(String),
}

/// Who fetches: an endpoint of the owner of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The key of the mailbox, which was proved.
    pub mailbox: [u8; 32],
    /// The link key of the client, which was proved as well.
    pub link: [u8; 32],
}

/// Frames to hand over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// In order.
    pub frames: Vec<HeldFrame>,
    /// Up to here there is nothing else for the reader, in classes of which there is no frame among them.
    pub upto: Cursor,
}

/// Durable mailboxes, as those who fetch see them. For those who fill them see [`Guest`](super::Guest).
pub trait MailboxStore: Send + Sync + 'static {
    /// A reader is here. What came from now on is kept until it has released it, within the bounds of the store.
    fn open(&self, reader: Reader) -> StoreFuture<'_, ()>;

    /// Frames that the reader has not released yet, of any of the tags beyond `after`, the lowest class first and in each class in the order of their
    /// numbers: as many as fit into `max_bytes`, but at least one if there is any.
    fn fetch(
        &self,
        reader: Reader,
        tags: Arc<[MailboxTag]>,
        after: Cursor,
        max_bytes: usize,
    ) -> StoreFuture<'_, Fetched>;

    /// The reader has the frames at these places. Deletes those that no other reader waits for, as far as they are there, and
    /// says how many were.
    fn release(&self, reader: Reader, places: Vec<Place>) -> StoreFuture<'_, u64>;

    /// The first number under which frames may be handed over: larger than any that was used before, also before
    /// a restart, since owners may release late.
    fn first_number(&self) -> u64;

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

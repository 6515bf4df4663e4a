//! The store of a relay as those who bring and fetch frames want it: off their threads, with watchers.

use crate::engine::io::StoreError;
use crate::engine::reassembly::Reassembly;
use crate::store::mailbox::{self, Brought, MailboxStore as Store};
use crate::wire::envelope::{self, Envelope};
use crate::wire::piece::Piece;
use bytes::Bytes;
use ostrakon_transports::relay::{
    Cursor, Fetched, HeldFrame, MailboxStore, MailboxTag, Place, Reader, Sorted, Sorter,
    StoreFuture, StoreRefusal, Subscription, Verdict, Watchers,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The setting that says that the relay has a key.
const KEYED: &str = "keyed";

/// How many frames were dropped, by reason.
pub(super) type Dropped = BTreeMap<String, u64>;

/// The mailboxes of a relay that runs.
pub(super) struct Mailboxes {
    store: Arc<Store>,
    first_number: u64,
    watchers: Watchers,
    /// Changes whenever frames came.
    arrivals: watch::Sender<()>,
    dropped: Mutex<Dropped>,
    /// Frames that others hold now.
    forwarded: AtomicU64,
}

impl Mailboxes {
    pub(super) fn new(store: Store) -> Result<Self, StoreError> {
        Ok(Self {
            first_number: store.first_number()?,
            store: Arc::new(store),
            watchers: Watchers::default(),
            arrivals: watch::Sender::new(()),
            dropped: Mutex::default(),
            forwarded: AtomicU64::default(),
        })
    }

    /// Works with the store on a thread where that may block.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Io("the relay stops".into())),
        }
    }

    /// Whether the relay has had a key: once one was noted, or while frames are held. Blocks on the disk.
    pub(super) fn had_key(&self) -> Result<bool, StoreError> {
        let noted = self.store.settings()?.iter().any(|(name, _)| name == KEYED);
        Ok(noted || self.store.totals()?.frames > 0)
    }

    /// Notes that the relay has a key, which is missed from now on if it is gone. Blocks on the disk.
    pub(super) fn note_key(&self) -> Result<(), StoreError> {
        match self.store.settings()?.iter().any(|(name, _)| name == KEYED) {
            true => Ok(()),
            false => self.store.set(KEYED, Some(&[])),
        }
    }

    /// Deletes frames that another holds durably from now on. Returns how many there were.
    pub(super) async fn pass_on(&self, places: Vec<Place>) -> Result<u64, StoreError> {
        let gone = self.with(move |store| store.pass_on(now_s(), &places));
        let gone = gone.await?;
        self.forwarded.fetch_add(gone, Ordering::Relaxed);
        Ok(gone)
    }

    /// Frames that others hold now, over all links, those that were removed included.
    pub(super) fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// Why the store failed last, until it takes something again.
    pub(super) fn trouble(&self) -> Option<String> {
        self.store.trouble().map(|error| error.to_string())
    }

    /// Why the store does nothing any more before the relay starts again.
    pub(super) fn lost(&self) -> Option<StoreError> {
        self.store.lost()
    }

    /// Tells when frames came.
    pub(super) fn arrivals(&self) -> watch::Receiver<()> {
        self.arrivals.subscribe()
    }

    /// What is held.
    pub(super) fn totals(&self) -> mailbox::Totals {
        self.store.totals().unwrap_or_default()
    }

    /// What was dropped here.
    pub(super) fn dropped(&self) -> MutexGuard<'_, Dropped> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a dropped frame.
    pub(super) fn drop_one(&self, why: &str) {
        *self.dropped().entry(why.to_owned()).or_default() += 1;
    }

    /// Deletes what is too old.
    pub(super) async fn expire(&self) {
        match self.with(|store| store.expire(now_s())).await {
            Ok(0) => {}
            Ok(count) => *self.dropped().entry("too old".into()).or_default() += count,
            Err(error) => tracing::warn!(%error, "cannot delete old frames"),
        }
    }

    /// What makes frames of what one neighbour sends. Pieces are joined; what names no mailbox is counted.
    pub(super) fn sorter(self: &Arc<Self>) -> Sorter {
        let (mailboxes, mut reassembly) = (self.clone(), Reassembly::default());
        Box::new(move |bytes| {
            let whole = match Piece::decode(bytes) {
                Ok(piece) => reassembly.take(&piece),
                // A copy, because the frame is a slice of a read buffer, all of which it would hold.
                Err(_) => Some(Bytes::copy_from_slice(bytes)),
            };
            let Some(whole) = whole else {
                return Sorted::Piece;
            };
            match Envelope::unwrap(&whole) {
                Ok((envelope, _)) => Sorted::Frame(envelope.tag, whole),
                Err(_) => {
                    mailboxes.drop_one("no carrier envelope");
                    Sorted::Unaddressed
                }
            }
        })
    }

    /// Stores frames that a neighbour brought.
    pub(super) async fn take_in(&self, frames: Vec<Brought>) -> Result<Vec<Verdict>, StoreError> {
        let tags: Vec<MailboxTag> = frames.iter().map(|brought| brought.tag).collect();
        let (mut fates, mut kept) = (Vec::new(), Vec::new());
        for brought in frames {
            let shorter = take_hop(brought.frame);
            fates.push(shorter.is_none().then_some(Verdict::BadEnvelope));
            kept.extend(shorter.map(|frame| Brought { frame, ..brought }));
        }
        let stored = self.with(move |store| store.store(now_s(), &kept)).await?;
        self.watchers.announce(tags);
        self.arrivals.send_replace(());
        let mut stored = stored.into_iter().map(|verdict| self.verdict(verdict));
        let mut verdicts = Vec::new();
        for fate in fates {
            if fate.is_some() {
                self.drop_one("no hops left");
            }
            verdicts.extend(fate.or_else(|| stored.next()));
        }
        Ok(verdicts)
    }

    fn verdict(&self, verdict: mailbox::Verdict) -> Verdict {
        match verdict {
            mailbox::Verdict::Stored(_) => Verdict::Stored,
            mailbox::Verdict::Duplicate => {
                self.drop_one("held already");
                Verdict::Stored
            }
            mailbox::Verdict::Seen => {
                self.drop_one("passed on already");
                Verdict::Stored
            }
            // A full relay and a full mailbox are one to the sender: neither takes more now.
            mailbox::Verdict::Full | mailbox::Verdict::TagFull => {
                self.drop_one("mailbox full");
                Verdict::MailboxFull
            }
            mailbox::Verdict::NotGranted => {
                self.drop_one("grant used up");
                Verdict::NotGranted
            }
        }
    }
}

impl MailboxStore for Mailboxes {
    fn open(&self, reader: Reader) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let noted = self.with(move |store| store.note_reader(now_s(), &reader));
            noted.await.map_err(refusal)
        })
    }

    fn fetch(
        &self,
        reader: Reader,
        tags: Arc<[MailboxTag]>,
        after: Cursor,
        max_bytes: usize,
    ) -> StoreFuture<'_, Fetched> {
        Box::pin(async move {
            let found = self.with(move |store| store.fetch_for(&reader, &tags, &after, max_bytes));
            let held = |found: mailbox::StoredFrame| HeldFrame {
                place: found.place,
                frame: grow_older(&found.frame, now_s(), found.since_s),
            };
            let (found, upto) = found.await.map_err(refusal)?;
            let frames = found.into_iter().map(held).collect();
            Ok(Fetched { frames, upto })
        })
    }

    fn release(&self, reader: Reader, places: Vec<Place>) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let released = self.with(move |store| store.release(now_s(), &reader, &places));
            released.await.map_err(refusal)
        })
    }

    fn first_number(&self) -> u64 {
        self.first_number
    }

    fn subscribe(&self, tags: &[MailboxTag]) -> Subscription {
        self.watchers.subscribe(tags)
    }
}

pub(super) fn refusal(error: StoreError) -> StoreRefusal {
    StoreRefusal::Failed(error.to_string())
}

/// Now, in seconds since 1970.
pub(super) fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// A frame with one hop less in its envelope, or nothing if it may make no further one.
fn take_hop(frame: Bytes) -> Option<Bytes> {
    let (envelope, _) = Envelope::unwrap(&frame).ok()?;
    let hops = envelope.hops.checked_sub(1)?;
    Some(envelope::with_hops(frame, hops))
}

/// A frame that was held since then, with that time added to its age (RFC 9171, section 4.4.2). A clock that was
/// set back adds nothing.
pub(super) fn grow_older(frame: &Bytes, now_s: u64, since_s: u64) -> Bytes {
    let held = u32::try_from(now_s.saturating_sub(since_s)).unwrap_or(u32::MAX);
    match Envelope::unwrap(frame) {
        Ok((envelope, inner)) => {
            let age = envelope.age.saturating_add(held);
            Envelope { age, ..envelope }.wrap(inner).into()
        }
        Err(_) => frame.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards the two things that a relay changes in an envelope, and that it changes nothing else.
    #[test]
    fn a_relay_takes_a_hop_and_adds_the_time_it_held_a_frame() {
        let sent = Envelope {
            tag: *b"mailbox!",
            age: 7,
            hops: 2,
            priority: 1,
        };
        let kept = take_hop(sent.wrap(b"sealed").into()).unwrap();
        let given = grow_older(&kept, 1100, 1000);
        let expected = Envelope {
            age: 107,
            hops: 1,
            ..sent
        };
        assert_eq!(
            Envelope::unwrap(&given).unwrap(),
            (expected, &b"sealed"[..])
        );
        assert_eq!(grow_older(&kept, 900, 1000), kept);
        let last = Envelope { hops: 0, ..sent }.wrap(b"sealed");
        assert!(take_hop(last.into()).is_none());
    }
}

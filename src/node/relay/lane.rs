//! What waits for one link of a relay, in the order in which it leaves, cut to what the link carries.

use super::api::LinkStatus;
use super::book::Router;
use super::mailboxes::{Mailboxes, grow_older, now_s};
use crate::engine::io::StoreError;
use crate::wire::envelope::Envelope;
use crate::wire::piece;
use bytes::Bytes;
use ostrakon_transports::relay::{Cursor, MailboxTag, Place};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Before the name of a folder link: the setting that says what was written into the folder.
pub(super) const EXPORTED: &str = "exported/";
/// A mailbox for which the next relay had no room is tried again after this time.
const PARKED: Duration = Duration::from_secs(30);
/// How long to wait when the store fails, before it is tried again.
pub(super) const STORE_RETRY: Duration = Duration::from_secs(1);
/// The most mailboxes that wait so; one more ends the wait of all.
const MAX_PARKED: usize = 4096;

/// What an operator is shown of a link.
#[derive(Clone, Default)]
pub(super) struct Shown(Arc<Mutex<LinkStatus>>);

impl Shown {
    /// Reads or changes it.
    pub(super) fn get(&self) -> MutexGuard<'_, LinkStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link came up; `notice` says what is wrong nevertheless.
    pub(super) fn up(&self, notice: Option<&str>) {
        let mut shown = self.get();
        (shown.up, shown.down_reason) = (true, None);
        shown.notice = notice.map(str::to_owned);
    }

    /// The link is down, for this reason.
    pub(super) fn down(&self, reason: String) {
        let mut shown = self.get();
        (shown.up, shown.down_reason, shown.notice) = (false, Some(reason), None);
    }

    /// Counts frames that were dropped before this link.
    pub(super) fn dropped(&self, why: &str, frames: u64) {
        if frames > 0 {
            *self.get().dropped.entry(why.to_owned()).or_default() += frames;
        }
    }
}

/// A frame, or a piece of one, that is to leave next.
pub(super) struct Leaving {
    /// Where its frame is kept, with the last piece of it.
    pub(super) ends: Option<Place>,
    /// What leaves.
    pub(super) bytes: Bytes,
}

/// The frames of one link.
pub(super) struct Lane {
    name: String,
    mailboxes: Arc<Mailboxes>,
    router: watch::Receiver<Arc<Router>>,
    shown: Shown,
    /// The frame size, while the link is up.
    mtu: usize,
    cursor: Cursor,
    leaving: VecDeque<Leaving>,
    /// Mailboxes that the far side had no room for.
    parked: BTreeMap<MailboxTag, Instant>,
    next_number: u16,
    /// Nothing more waits, as far as is known.
    drained: bool,
}

impl Lane {
    pub(super) fn new(
        name: String,
        mailboxes: Arc<Mailboxes>,
        router: watch::Receiver<Arc<Router>>,
        shown: Shown,
    ) -> Self {
        Self {
            name,
            mailboxes,
            router,
            shown,
            mtu: 0,
            cursor: Cursor::default(),
            leaving: VecDeque::new(),
            parked: BTreeMap::new(),
            next_number: 0,
            drained: false,
        }
    }

    /// Begins with the first frame again, for a link that carries frames of this size.
    pub(super) fn begin(&mut self, mtu: usize) {
        self.mtu = mtu;
        self.cursor = Cursor::default();
        self.leaving.clear();
        self.drained = false;
    }

    /// Frames came: there may be more.
    pub(super) fn look_again(&mut self) {
        self.drained = false;
    }

    /// How far the frames of this lane were given out.
    pub(super) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// All that waited was given out.
    pub(super) fn is_drained(&self) -> bool {
        self.drained && self.leaving.is_empty()
    }

    /// Nothing of a frame that was begun is left.
    pub(super) fn is_between_frames(&self) -> bool {
        self.leaving.is_empty()
    }

    /// The link that frames with this tag leave by is this one.
    pub(super) fn leads(&self, tag: &MailboxTag) -> bool {
        self.router.borrow().lead(tag) == Some(&*self.name)
    }

    /// Leaves out the frames of a mailbox for a while.
    pub(super) fn park(&mut self, tag: MailboxTag) {
        if self.parked.len() >= MAX_PARKED {
            self.parked.clear();
        }
        self.parked.insert(tag, Instant::now() + PARKED);
    }

    /// When the first mailbox that is left out is tried again.
    pub(super) fn unpark_at(&self) -> Option<Instant> {
        self.parked.values().min().copied()
    }

    /// Mailboxes that have waited long enough are tried again; true if there are any.
    pub(super) fn unpark(&mut self) -> bool {
        let (before, now) = (self.parked.len(), Instant::now());
        self.parked.retain(|_, until| *until > now);
        self.parked.len() < before
    }

    /// What leaves next. If nothing is at hand, about `max_bytes` are fetched.
    pub(super) async fn next(&mut self, max_bytes: usize) -> Result<Option<Leaving>, StoreError> {
        while self.leaving.is_empty() && !self.drained {
            self.fetch(max_bytes).await?;
        }
        Ok(self.leaving.pop_front())
    }

    /// Puts back what could not leave.
    pub(super) fn put_back(&mut self, leaving: Leaving) {
        self.leaving.push_front(leaving);
    }

    async fn fetch(&mut self, max_bytes: usize) -> Result<(), StoreError> {
        let (router, name) = (self.router.borrow().clone(), self.name.clone());
        let (parked, cursor) = (self.parked.clone(), self.cursor);
        // Set before looking: what comes meanwhile sets it back.
        self.drained = true;
        let found = self.mailboxes.with(move |store| {
            let ours =
                |tag: &MailboxTag| router.lead(tag) == Some(&*name) && !parked.contains_key(tag);
            let held = store.tags()?.into_iter().map(|(tag, _)| tag);
            let tags: Vec<MailboxTag> = held.filter(ours).collect();
            store.fetch(&tags, &cursor, max_bytes)
        });
        let found = match found.await {
            Ok(found) => found,
            Err(error) => {
                self.drained = false;
                return Err(error);
            }
        };
        let (mut spent, mut large) = (Vec::new(), Vec::new());
        for held in found {
            self.drained = false;
            self.cursor.pass(&held.place);
            if Envelope::unwrap(&held.frame).is_ok_and(|(envelope, _)| envelope.hops == 0) {
                spent.push(held.place);
                continue;
            }
            let frame = grow_older(&held.frame, now_s(), held.since_s);
            self.next_number = self.next_number.wrapping_add(1);
            let mut pieces = piece::cut(&frame, self.mtu, self.next_number);
            let Some(last) = pieces.pop() else {
                large.push(held.place);
                continue;
            };
            let first = pieces
                .into_iter()
                .map(|bytes| Leaving { ends: None, bytes });
            self.leaving.extend(first);
            let ends = Some(held.place);
            self.leaving.push_back(Leaving { ends, bytes: last });
        }
        self.drop_all("no hops left", spent).await?;
        self.drop_all("too large for the next hop", large).await
    }

    /// Drops frames that can never leave by this link.
    pub(super) async fn drop_all(&self, why: &str, places: Vec<Place>) -> Result<(), StoreError> {
        if places.is_empty() {
            return Ok(());
        }
        let dropped = self.mailboxes.with(move |store| store.delete(&places));
        self.shown.dropped(why, dropped.await?);
        Ok(())
    }

    /// Lets go of frames that another holds durably from now on.
    pub(super) async fn passed_on(&self, places: Vec<Place>) -> Result<(), StoreError> {
        if places.is_empty() {
            return Ok(());
        }
        let gone = self.mailboxes.pass_on(places).await?;
        self.shown.get().forwarded += gone;
        Ok(())
    }
}

/// A cursor as a setting.
pub(super) fn write_cursor(cursor: &Cursor) -> Vec<u8> {
    cursor.0.iter().flat_map(|n| n.to_be_bytes()).collect()
}

/// Reads one.
pub(super) fn read_cursor(bytes: &[u8]) -> Option<Cursor> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    let numbers: Vec<u64> = numbers.iter().map(|n| u64::from_be_bytes(*n)).collect();
    Some(Cursor(numbers.try_into().ok().filter(|_| rest.is_empty())?))
}

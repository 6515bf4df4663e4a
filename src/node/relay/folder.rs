//! Frames into a folder that somebody carries or syncs, and out of it.
//!
//! A folder gives no word of what became of a frame. So what was written into it stays here as well, until it is too
//! old or the operator says that it has arrived. When the folder comes back, or routes change, all of it is written
//! anew, and then what was there before from here is removed: what is there is always all that still waits.

use super::lane::{EXPORTED, Lane, STORE_RETRY, Shown, write_cursor};
use super::mailboxes::Mailboxes;
use crate::engine::io::StoreError;
use crate::store::mailbox::Brought;
use ostrakon_transports::relay::{Cursor, Sorted, Sorter, Verdict};
use ostrakon_transports::spool::own_batches;
use ostrakon_transports::{Direction, LinkEvent, LinkHandle, LinkId, LinkOrder};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// What is fetched in one go, in bytes.
const FETCH: usize = 256 * 1024;
/// Events that are taken together, so that the frames among them become durable together.
const TOGETHER: usize = 256;

/// A link through a folder.
pub(super) struct Folder {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) origin: [u8; 8],
    pub(super) lane: Lane,
    pub(super) shown: Shown,
    pub(super) mailboxes: Arc<Mailboxes>,
    pub(super) sorter: Sorter,
    pub(super) handle: LinkHandle,
    pub(super) events: mpsc::Receiver<(LinkId, LinkEvent)>,
    pub(super) arrivals: watch::Receiver<()>,
    /// Tells when routes change.
    pub(super) changes: watch::Receiver<Arc<super::book::Router>>,
    /// The frame size that the operator has set.
    pub(super) limit: Option<usize>,
    pub(super) state: State,
}

/// Where a folder stands.
#[derive(Default)]
pub(super) struct State {
    mtu: Option<usize>,
    credit: usize,
    /// The group of the batches that are written now; a number of its own each time.
    group: u64,
    /// Groups of ours that were there before, until all is written anew.
    older: Vec<u64>,
    /// What the link had written and dropped when this group began.
    base: (u64, u64),
    /// Frames of this group that were given to the link.
    given: u64,
    /// What was last noted as written.
    noted: Option<Cursor>,
}

impl Folder {
    /// Writes and reads for as long as it is let.
    pub(super) async fn run(mut self) {
        loop {
            if let Err(error) = self.push().await {
                tracing::warn!(link = %self.name, %error, "frames are not passed on");
                sleep(STORE_RETRY).await;
            }
            let mut events = Vec::new();
            tokio::select! {
                taken = self.events.recv_many(&mut events, TOGETHER) => {
                    if taken == 0 {
                        return;
                    }
                    self.take(events).await;
                }
                Ok(()) = self.arrivals.changed() => self.lane.look_again(),
                Ok(()) = self.changes.changed() => if let Some(mtu) = self.state.mtu {
                    self.begin(mtu).await;
                },
                Ok(()) = self.handle.counters.changed() => {}
            }
        }
    }

    async fn take(&mut self, events: Vec<(LinkId, LinkEvent)>) {
        let mut frames = Vec::new();
        for (_, event) in events {
            match event {
                LinkEvent::Up(profile) | LinkEvent::Changed(profile) => {
                    let writable = profile.direction != Direction::ReceiveOnly;
                    let mtu = profile.mtu.min(self.limit.unwrap_or(profile.mtu));
                    match (writable, self.state.mtu) {
                        (true, None) => self.begin(mtu).await,
                        (true, Some(_)) => {}
                        (false, _) => self.state.mtu = None,
                    }
                    self.shown.up(None);
                }
                LinkEvent::Down(reason) => {
                    self.state = State::default();
                    self.shown.down(reason);
                }
                LinkEvent::Ready(count) => self.state.credit += count,
                LinkEvent::Received { frame, .. } => frames.push(frame),
            }
        }
        if !frames.is_empty() {
            self.import(frames).await;
        }
    }

    /// Begins to write all that waits.
    async fn begin(&mut self, mtu: usize) {
        let (dir, origin) = (self.dir.clone(), self.origin);
        let older = tokio::task::spawn_blocking(move || own_batches(&dir, origin)).await;
        // A folder that cannot be listed goes down soon; then all begins again.
        let older = older.ok().and_then(Result::ok).unwrap_or_default();
        let mut older: Vec<u64> = older.into_iter().map(|batch| batch.tag).collect();
        older.sort_unstable();
        older.dedup();
        let counters = *self.handle.counters.borrow();
        self.state = State {
            mtu: Some(mtu),
            credit: self.state.credit,
            group: older.last().map_or(1, |last| last.wrapping_add(1)),
            older,
            base: (counters.sent_frames, counters.dropped_frames),
            given: 0,
            noted: None,
        };
        self.lane.begin(mtu);
    }

    async fn push(&mut self) -> Result<(), StoreError> {
        if self.state.mtu.is_none() {
            return Ok(());
        }
        while self.state.credit > 0 {
            let Some(leaving) = self.lane.next(FETCH).await? else {
                break;
            };
            let order = LinkOrder::Transmit {
                frame: leaving.bytes.clone(),
                tag: self.state.group,
            };
            if self.handle.orders.try_send(order).is_err() {
                self.state.credit = 0;
                self.lane.put_back(leaving);
                break;
            }
            self.state.credit -= 1;
            self.state.given += 1;
        }
        self.look_at_written().await
    }

    /// Once all that waits is durable in the folder: notes that, and has what was there before removed.
    async fn look_at_written(&mut self) -> Result<(), StoreError> {
        let counters = *self.handle.counters.borrow_and_update();
        let (sent, dropped) = self.state.base;
        let whole = counters.sent_frames - sent == self.state.given
            && counters.dropped_frames == dropped
            && self.lane.is_drained();
        if !whole {
            return Ok(());
        }
        let orders = &self.handle.orders;
        while let Some(tag) = self.state.older.last().copied() {
            // The last places are for frames: there is credit for them, which nothing would give back.
            if orders.capacity() * 2 <= orders.max_capacity()
                || orders.try_send(LinkOrder::Purge(tag)).is_err()
            {
                break;
            }
            self.state.older.pop();
        }
        let cursor = self.lane.cursor();
        if self.state.noted == Some(cursor) {
            return Ok(());
        }
        let (key, value) = (format!("{EXPORTED}{}", self.name), write_cursor(&cursor));
        let noted = self
            .mailboxes
            .with(move |store| store.set(&key, Some(&value)));
        noted.await?;
        self.state.noted = Some(cursor);
        self.shown.get().exported = counters.sent_frames;
        Ok(())
    }

    /// Takes in what the folder brought.
    async fn import(&mut self, frames: Vec<bytes::Bytes>) {
        let mut taken = Vec::new();
        for frame in &frames {
            match (self.sorter)(frame) {
                Sorted::Frame(tag, _) if self.lane.leads(&tag) => {
                    self.shown.dropped("came from where it would go", 1);
                }
                Sorted::Frame(tag, frame) => taken.push(Brought {
                    tag,
                    frame,
                    // Who has the folder in his hands is let in.
                    grants: None,
                }),
                Sorted::Piece | Sorted::Unaddressed => {}
            }
        }
        loop {
            match self.mailboxes.take_in(taken.clone()).await {
                Ok(verdicts) => {
                    let kept = verdicts.iter().filter(|v| **v == Verdict::Stored);
                    self.shown.get().imported += kept.count() as u64;
                    return;
                }
                Err(error) => {
                    tracing::warn!(link = %self.name, %error, "frames are not taken in");
                    sleep(STORE_RETRY).await;
                }
            }
        }
    }
}

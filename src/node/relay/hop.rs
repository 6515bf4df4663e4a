//! Frames to the next relay. It takes custody: what it says is durable there is let go of here, and nothing before.

use super::lane::{Lane, Leaving, STORE_RETRY, Shown};
use crate::engine::io::StoreError;
use ostrakon_transports::relay::{Fate, Place};
use ostrakon_transports::{LinkEvent, LinkHandle, LinkId, LinkOrder};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// What is fetched in one go, in bytes: little, so that the urgent finds few before it.
const FETCH: usize = 64 * 1024;

/// A link to another relay.
pub(super) struct Hop {
    pub(super) lane: Lane,
    pub(super) shown: Shown,
    pub(super) handle: LinkHandle,
    pub(super) events: mpsc::Receiver<(LinkId, LinkEvent)>,
    pub(super) settled: mpsc::Receiver<Vec<(u64, Fate)>>,
    pub(super) arrivals: watch::Receiver<()>,
    /// Tells when routes change.
    pub(super) changes: watch::Receiver<std::sync::Arc<super::book::Router>>,
    /// The frame size that the operator has set.
    pub(super) limit: Option<usize>,
    pub(super) state: State,
}

/// Where a link stands.
#[derive(Default)]
pub(super) struct State {
    mtu: Option<usize>,
    credit: usize,
    /// What the far side has not settled yet, by the number under which it left.
    in_flight: BTreeMap<u64, Place>,
    last: u64,
    /// To begin again once nothing is in flight.
    rewind: bool,
}

impl Hop {
    /// Passes frames on for as long as it is let.
    pub(super) async fn run(mut self) {
        loop {
            if let Err(error) = self.push().await {
                self.failed(&error).await;
            }
            let unpark_at = self.lane.unpark_at();
            tokio::select! {
                event = self.events.recv() => match event {
                    Some((_, event)) => self.event(event),
                    None => return,
                },
                Some(fates) = self.settled.recv() => if let Err(error) = self.settle(fates).await {
                    self.failed(&error).await;
                },
                Ok(()) = self.arrivals.changed() => self.lane.look_again(),
                Ok(()) = self.changes.changed() => self.state.rewind = true,
                () = sleep_until(unpark_at.unwrap_or_else(Instant::now)), if unpark_at.is_some() => {
                    self.state.rewind |= self.lane.unpark();
                }
            }
        }
    }

    /// What was being done is done again: frames are still here, and those that are there as well are known there.
    async fn failed(&mut self, error: &StoreError) {
        tracing::warn!(%error, "frames are not passed on");
        self.state.rewind = true;
        sleep(STORE_RETRY).await;
    }

    fn event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(profile) | LinkEvent::Changed(profile) => {
                let mtu = profile.mtu.min(self.limit.unwrap_or(profile.mtu));
                if self.state.mtu.is_none() {
                    self.lane.begin(mtu);
                    self.state.mtu = Some(mtu);
                }
                self.shown.up(profile.notice);
            }
            LinkEvent::Down(reason) => {
                // What was in flight may be there or not. It is sent again; there it is known if it is.
                let last = self.state.last;
                self.state = State {
                    last,
                    ..State::default()
                };
                self.shown.down(reason);
            }
            LinkEvent::Ready(frames) => self.state.credit += frames,
            LinkEvent::Received { .. } => {}
        }
    }

    /// Sends as much as the link has room for.
    async fn push(&mut self) -> Result<(), StoreError> {
        let Some(mtu) = self.state.mtu else {
            return Ok(());
        };
        if self.state.rewind && self.state.in_flight.is_empty() && self.lane.is_between_frames() {
            self.state.rewind = false;
            self.lane.begin(mtu);
        }
        while self.state.credit > 0 && !(self.state.rewind && self.lane.is_between_frames()) {
            let room = self.state.credit.saturating_mul(mtu).min(FETCH);
            let Some(leaving) = self.lane.next(room).await? else {
                break;
            };
            self.transmit(leaving);
        }
        Ok(())
    }

    fn transmit(&mut self, leaving: Leaving) {
        // Only what ends a frame has a number that is waited for.
        let tag = leaving.ends.map_or(0, |_| self.state.last + 1);
        let frame = leaving.bytes.clone();
        let order = LinkOrder::Transmit { frame, tag };
        if self.handle.orders.try_send(order).is_err() {
            // The credit was void; the link says so next.
            self.state.credit = 0;
            return self.lane.put_back(leaving);
        }
        self.state.credit -= 1;
        if let Some(place) = leaving.ends {
            self.state.last = tag;
            self.state.in_flight.insert(tag, place);
        }
    }

    async fn settle(&mut self, fates: Vec<(u64, Fate)>) -> Result<(), StoreError> {
        let (mut stored, mut large, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (number, fate) in fates {
            let Some(place) = self.state.in_flight.remove(&number) else {
                continue;
            };
            match fate {
                Fate::Stored => stored.push(place),
                Fate::TooLarge => large.push(place),
                // The last piece made no frame there, nor would it next time.
                Fate::BadEnvelope | Fate::Piece => refused.push(place),
                Fate::MailboxFull | Fate::NotGranted => self.lane.park(place.tag),
            }
        }
        self.lane.passed_on(stored).await?;
        self.lane
            .drop_all("too large for the next hop", large)
            .await?;
        self.lane.drop_all("refused by the next hop", refused).await
    }
}

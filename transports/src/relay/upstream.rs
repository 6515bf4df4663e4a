//! What a client has sent to its relay and not heard of yet, and how much more it may send.
//!
//! What waits in the stream was chosen too early. So the frames that the relay has not settled are kept to
//! about what the path holds, as the congestion controller sees it.

use super::record::{ClientRecord, Fate, Record, Run};
use crate::LinkOrder;
use crate::quic::Outlet;
use bytes::BytesMut;
use quinn::{Connection, SendStream, WriteError};
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Always allowed, in bytes: enough to begin with.
const LEAST_WINDOW: usize = 16 * 1024;
/// Never more, in bytes: 10 Mbit/s over 600 ms is 750 kB, and a relay's disk takes its time too.
const LARGEST_WINDOW: usize = 1024 * 1024;
/// The most credit given at once.
const MAX_CREDIT: usize = 64;

/// Takes what became of frames: the tag with which each was sent, and its fate.
pub type Settlements = mpsc::Sender<Vec<(u64, Fate)>>;

/// The sending half's account.
pub(super) struct Upstream<'a> {
    connection: &'a Connection,
    stream: SendStream,
    mtu: usize,
    /// Tags and sizes of frames that were written and not settled, oldest first.
    unsettled: VecDeque<(u64, usize)>,
    unsettled_bytes: usize,
    outstanding: usize,
}

impl<'a> Upstream<'a> {
    pub(super) fn new(connection: &'a Connection, stream: SendStream, mtu: usize) -> Self {
        Self {
            connection,
            stream,
            mtu,
            unsettled: VecDeque::new(),
            unsettled_bytes: 0,
            outstanding: 0,
        }
    }

    /// How many further frames the owner may send now.
    pub(super) fn due(&self) -> usize {
        let cwnd = usize::try_from(self.connection.stats().path.cwnd).unwrap_or(usize::MAX);
        let window = (cwnd.saturating_add(cwnd / 4)).clamp(LEAST_WINDOW, LARGEST_WINDOW);
        let room = window.saturating_sub(self.unsettled_bytes) / self.mtu;
        let due = room.min(MAX_CREDIT).saturating_sub(self.outstanding);
        let lump = (window / self.mtu / 4).min(MAX_CREDIT / 4);
        if self.outstanding == 0 || due >= lump.max(1) {
            due
        } else {
            0
        }
    }

    /// Credit was given.
    pub(super) fn gave(&mut self, frames: usize) {
        self.outstanding += frames;
    }

    /// Carries out the owner's orders.
    pub(super) async fn write(
        &mut self,
        outlet: &Outlet,
        orders: impl Iterator<Item = LinkOrder>,
    ) -> Result<(), WriteError> {
        let mut out = BytesMut::new();
        for order in orders {
            match order {
                LinkOrder::Transmit { frame, tag } => {
                    self.outstanding = self.outstanding.saturating_sub(1);
                    let length = frame.len();
                    let fits = (1..=self.mtu).contains(&length);
                    if fits && ClientRecord::Frame(frame).write(&mut out) {
                        self.unsettled.push_back((tag, length));
                        self.unsettled_bytes += length;
                        outlet.count(|c| {
                            c.sent_frames += 1;
                            c.sent_bytes += length as u64;
                        });
                    } else {
                        outlet.count(|c| c.dropped_frames += 1);
                    }
                }
                LinkOrder::Release(upto) => {
                    let _always_fits = ClientRecord::Release(upto).write(&mut out);
                }
                LinkOrder::Purge(_) => {}
            }
        }
        self.stream.write_all(&out).await
    }

    /// Takes what the relay says became of the oldest frames, and gives it with their tags. Nothing if it cannot be
    /// true.
    pub(super) fn settle(&mut self, outlet: &Outlet, runs: &[Run]) -> Option<Vec<(u64, Fate)>> {
        let mut settled = Vec::new();
        for run in runs {
            let frames = usize::from(run.frames);
            if frames > self.unsettled.len() {
                return None;
            }
            for (tag, length) in self.unsettled.drain(..frames) {
                self.unsettled_bytes -= length;
                settled.push((tag, run.fate));
            }
        }
        let refused = settled.iter().filter(|(_, fate)| fate.is_refusal()).count() as u64;
        outlet.count(|c| c.refused_frames += refused);
        Some(settled)
    }
}

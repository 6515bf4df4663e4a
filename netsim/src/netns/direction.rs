//! One direction of a pair of links in real time: a thread that reads packets from one device and writes them to another.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::device::Device;
use super::hurry::hurry;
use super::turn::{LARGEST_PACKET, Turn};
use crate::emulate::{Clock, Lateness};
use crate::model::{Link, LinkSpec, LinkStats, SpecError};

/// Packets read before those that are due are handed on.
const BATCH: usize = 32;

/// One direction of a link between two devices.
pub(super) struct Direction {
    from: Arc<Device>,
    to: Arc<Device>,
    clock: Clock,
    turn: Turn,
    state: Mutex<State>,
}

struct State {
    link: Link<Vec<u8>>,
    lateness: Lateness,
    refused: u64,
}

/// What a direction has to tell.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    pub(super) link: LinkStats,
    pub(super) queued_bytes: u64,
    /// Packets that the kernel did not take from us: damaged beyond being an IP packet, or the device is down.
    pub(super) refused: u64,
    pub(super) lateness: Lateness,
}

impl Direction {
    pub(super) fn new(
        link: Link<Vec<u8>>,
        from: Arc<Device>,
        to: Arc<Device>,
        clock: Clock,
    ) -> io::Result<Self> {
        Ok(Self {
            from,
            to,
            clock,
            turn: Turn::new()?,
            state: Mutex::new(State {
                link,
                lateness: Lateness::default(),
                refused: 0,
            }),
        })
    }

    /// Carries packets until [`Self::end`]. An error is one of the device that is read from.
    pub(super) fn run(&self) -> io::Result<()> {
        hurry();
        let mut buffer = vec![0; LARGEST_PACKET];
        while !self.turn.has_ended() {
            let mut state = self.lock();
            self.hand_on(&mut state);
            let more = self.take_in(&mut state, &mut buffer)?;
            let next = state.link.next_at();
            drop(state);
            if !more {
                self.turn.wait([&*self.from], next, self.clock)?;
            }
        }
        Ok(())
    }

    /// Makes [`Self::run`] return.
    pub(super) fn end(&self) {
        self.turn.end();
    }

    /// Cuts the direction or restores it.
    pub(super) fn set_down(&self, down: bool) {
        self.lock().link.set_down(self.clock.now(), down);
        self.turn.call();
    }

    /// Changes what the direction is like, from now on.
    pub(super) fn reshape(&self, spec: &LinkSpec) -> Result<(), SpecError> {
        let changed = self.lock().link.reshape(self.clock.now(), spec);
        self.turn.call();
        changed
    }

    pub(super) fn counts(&self) -> Counts {
        let mut state = self.lock();
        let now = self.clock.now();
        Counts {
            link: state.link.stats(now),
            queued_bytes: state.link.queued_bytes(now),
            refused: state.refused,
            lateness: state.lateness.clone(),
        }
    }

    /// Offers what has come from the programs, up to a batch; says whether there may be more.
    fn take_in(&self, state: &mut State, buffer: &mut [u8]) -> io::Result<bool> {
        for _ in 0..BATCH {
            let Some(len) = self.from.read(buffer)? else {
                return Ok(false);
            };
            let packet = buffer.get(..len).unwrap_or_default().to_vec();
            // What becomes of it is in the link's counts.
            let _offered = state.link.offer(self.clock.now(), len, packet);
        }
        Ok(true)
    }

    /// Writes all that is due.
    fn hand_on(&self, state: &mut State) {
        while let Some(arrival) = state.link.poll(self.clock.now()) {
            let mut packet = arrival.packet;
            if arrival.damaged {
                state.link.damage(&mut packet);
            }
            if self.to.write(&packet).is_err() {
                state.refused += 1;
            }
            let late = self.clock.now().saturating_sub(arrival.at);
            state.lateness.record(late);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every value under this lock is whole between two statements, whatever became of an earlier holder.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

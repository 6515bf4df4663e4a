//! One direction of a link in real time: a thread that reads packets from one device and writes them to another.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::device::Device;
use super::hurry::hurry;
use crate::emulate::{Clock, Lateness};
use crate::model::{Link, LinkSpec, LinkStats, Nanos, SpecError};

/// Packets read before those that are due are handed on.
const BATCH: usize = 32;
/// The largest IP packet (RFC 791, section 3.1; RFC 8200, section 3, without jumbograms).
const LARGEST_PACKET: usize = 65_535;

/// One direction of a link between two devices.
pub(super) struct Direction {
    from: Arc<Device>,
    to: Arc<Device>,
    clock: Clock,
    state: Mutex<State>,
    /// Written to when the thread has to look again at the link, or to end.
    wake: OwnedFd,
    ended: AtomicBool,
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
            state: Mutex::new(State {
                link,
                lateness: Lateness::default(),
                refused: 0,
            }),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            ended: AtomicBool::new(false),
        })
    }

    /// Carries packets until [`Self::end`]. An error is one of the device that is read from.
    pub(super) fn run(&self) -> io::Result<()> {
        hurry();
        let mut buffer = vec![0; LARGEST_PACKET];
        while !self.ended.load(Ordering::Acquire) {
            let more = {
                let mut state = self.lock();
                self.hand_on(&mut state);
                self.take_in(&mut state, &mut buffer)?
            };
            if !more {
                self.wait()?;
            }
        }
        Ok(())
    }

    /// Makes [`Self::run`] return.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake();
    }

    /// Cuts the direction or restores it.
    pub(super) fn set_down(&self, down: bool) {
        self.lock().link.set_down(self.clock.now(), down);
        self.wake();
    }

    /// Changes what the direction is like, from now on.
    pub(super) fn reshape(&self, spec: &LinkSpec) -> Result<(), SpecError> {
        let changed = self.lock().link.reshape(self.clock.now(), spec);
        self.wake();
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
            state
                .lateness
                .record(self.clock.now().saturating_sub(arrival.at));
        }
    }

    /// Waits for a packet, the next arrival, or [`Self::wake`].
    fn wait(&self) -> io::Result<()> {
        let next = self.lock().link.next_at();
        let timeout = next.map(|at| timespec(patience(at.saturating_sub(self.clock.now()))));
        let mut sources = [
            PollFd::new(&self.from, PollFlags::IN),
            PollFd::new(&self.wake, PollFlags::IN),
        ];
        match poll(&mut sources, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Takes back what wake() wrote; there may be nothing.
        let _taken = rustix::io::read(self.wake.as_fd(), &mut [0; 8]);
        Ok(())
    }

    fn wake(&self) {
        // It can only fail when the counter is full, and then the thread wakes anyway.
        let _written = rustix::io::write(self.wake.as_fd(), &1u64.to_ne_bytes());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every value under this lock is whole between two statements, whatever became of an earlier holder.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to ask the kernel to wait for a time that is `left` ahead. It may take a thousandth longer than asked for
/// (`poll(2)` promises nothing better), so a long wait is asked for in steps that end a little early.
fn patience(left: Nanos) -> Nanos {
    const MILLISECOND: Nanos = 1_000_000;
    if left > MILLISECOND {
        left - left / 500
    } else {
        left
    }
}

fn timespec(nanos: Nanos) -> Timespec {
    const SECOND: Nanos = 1_000_000_000;
    Timespec {
        // The remainder of a division by a billion fits, and so do 584 years in seconds.
        tv_sec: (nanos / SECOND) as i64,
        tv_nsec: (nanos % SECOND) as i64,
    }
}

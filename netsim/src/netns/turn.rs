//! When it is a thread's turn: a packet has come, a time has come, or somebody calls.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::device::Device;
use crate::emulate::Clock;
use crate::model::Nanos;

/// The largest IP packet (RFC 791, section 3.1; RFC 8200, section 3, without jumbograms).
pub(super) const LARGEST_PACKET: usize = 65_535;

/// What a thread waits by, and what others call it by.
pub(super) struct Turn {
    call: OwnedFd,
    ended: AtomicBool,
}

impl Turn {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            call: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            ended: AtomicBool::new(false),
        })
    }

    /// Ends the waiting of the thread, which then looks at everything again.
    pub(super) fn call(&self) {
        // It can only fail when the counter is full, and then the thread wakes anyway.
        let _written = rustix::io::write(self.call.as_fd(), &1u64.to_ne_bytes());
    }

    /// Asks the thread to end.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.call();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Waits for a packet at a device, for the time `next`, or for a call. It may return early.
    pub(super) fn wait<'a>(
        &self,
        devices: impl IntoIterator<Item = &'a Device>,
        next: Option<Nanos>,
        clock: Clock,
    ) -> io::Result<()> {
        let timeout = next.map(|at| timespec(patience(at.saturating_sub(clock.now()))));
        let mut sources = vec![PollFd::new(&self.call, PollFlags::IN)];
        sources.extend(
            devices
                .into_iter()
                .map(|device| PollFd::new(device, PollFlags::IN)),
        );
        match poll(&mut sources, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Takes back what call() wrote; there may be nothing.
        let _taken = rustix::io::read(self.call.as_fd(), &mut [0; 8]);
        Ok(())
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

//! The transmitter of a link: how long what it is given takes to leave.

use super::pacer::Pacer;
use super::trace::TraceLine;
use super::{LinkSpec, Nanos};

/// What paces a link.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// Nothing: a packet leaves when it comes.
    Instant,
    /// A fixed rate, with so many thousandths of a bit for each byte.
    Rate { pacer: Pacer, millibits: u64 },
    /// A recorded rate.
    Trace(TraceLine),
}

impl Line {
    /// The line of a checked spec, at `rate_bps` if there is no trace.
    pub(crate) fn new(spec: &LinkSpec, rate_bps: Option<u64>) -> Self {
        match (&spec.trace, rate_bps) {
            (Some(trace), _) => Self::Trace(TraceLine::new(trace.clone())),
            (None, Some(rate)) => Self::Rate {
                pacer: Pacer::new(rate),
                millibits: spec.millibits_per_byte(),
            },
            (None, None) => Self::Instant,
        }
    }

    /// Changes the rate of a line that goes on; a recorded rate stays as it is.
    pub(crate) fn set_rate(&mut self, spec: &LinkSpec, rate_bps: Option<u64>) {
        match (self, rate_bps) {
            (Self::Trace(_), _) => {}
            (Self::Rate { pacer, .. }, Some(rate)) => pacer.set_rate(rate),
            (line, _) => *line = Self::new(spec, rate_bps),
        }
    }

    pub(crate) fn is_instant(&self) -> bool {
        matches!(self, Self::Instant)
    }

    /// Queues `bytes` at `now` and returns when the last of them has left.
    pub(crate) fn send(&mut self, now: Nanos, bytes: u64) -> Nanos {
        match self {
            Self::Instant => now,
            Self::Rate { pacer, millibits } => pacer.send(now, bytes, *millibits),
            Self::Trace(trace) => trace.send(now, bytes),
        }
    }

    /// Forgets what is still to be sent: the transmitter is free from `now`.
    pub(crate) fn reset(&mut self, now: Nanos) {
        match self {
            Self::Instant => {}
            Self::Rate { pacer, .. } => pacer.reset(now),
            Self::Trace(trace) => trace.reset(),
        }
    }
}

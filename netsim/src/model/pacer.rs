//! When a transmitter of fixed rate is done with what it is given.

use super::Nanos;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A transmitter that sends one thing after another at `rate` bits a second, without rounding errors that add up.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    rate: u64,
    /// When the transmitter is free, rounded down to a nanosecond.
    free_at: Nanos,
    /// What the rounding left, in units of 1/rate nanoseconds.
    carry: u64,
}

impl Pacer {
    /// `rate` is in bits a second and above zero; the specs check that.
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            rate,
            free_at: 0,
            carry: 0,
        }
    }

    /// Queues `bits` at `now` and returns when the last of them has left.
    pub(crate) fn send(&mut self, now: Nanos, bits: u64) -> Nanos {
        if now > self.free_at {
            self.free_at = now;
            self.carry = 0;
        }
        let work = u128::from(bits) * NANOS_PER_SECOND + u128::from(self.carry);
        let rate = u128::from(self.rate);
        let took = Nanos::try_from(work / rate).unwrap_or(Nanos::MAX);
        // A remainder of a division by a u64 fits a u64.
        self.carry = (work % rate) as u64;
        self.free_at = self.free_at.saturating_add(took);
        self.free_at
    }

    /// Forgets what is still to be sent: the transmitter is free from `now`.
    pub(crate) fn reset(&mut self, now: Nanos) {
        self.free_at = now;
        self.carry = 0;
    }
}

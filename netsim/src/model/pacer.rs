//! When a transmitter of fixed rate is done with what it is given.

use super::Nanos;

/// Nanoseconds a second, over the thousandths in which bits are counted.
const SCALE: u64 = 1_000_000_000 / 1000;

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

    /// Queues `bytes` of `millibits` thousandths of a bit each at `now`, and returns when the last of them has left.
    pub(crate) fn send(&mut self, now: Nanos, bytes: u64, millibits: u64) -> Nanos {
        if now > self.free_at {
            self.free_at = now;
            self.carry = 0;
        }
        let took = match self.short(bytes, millibits) {
            Some(took) => took,
            None => self.long(bytes, millibits),
        };
        self.free_at = self.free_at.saturating_add(took);
        self.free_at
    }

    /// What a packet takes, as a rule: all fits 64 bits, which is several times as fast.
    fn short(&mut self, bytes: u64, millibits: u64) -> Option<Nanos> {
        let work = bytes
            .checked_mul(millibits)?
            .checked_mul(SCALE)?
            .checked_add(self.carry)?;
        self.carry = work % self.rate;
        Some(work / self.rate)
    }

    fn long(&mut self, bytes: u64, millibits: u64) -> Nanos {
        let bits = u128::from(bytes) * u128::from(millibits);
        let work = (bits.saturating_mul(u128::from(SCALE))).saturating_add(u128::from(self.carry));
        let rate = u128::from(self.rate);
        // A remainder of a division by a u64 fits a u64.
        self.carry = (work % rate) as u64;
        Nanos::try_from(work / rate).unwrap_or(Nanos::MAX)
    }

    /// Changes the rate for what is queued from now on.
    pub(crate) fn set_rate(&mut self, rate: u64) {
        if self.rate != rate {
            // What the rounding left was counted by the old rate, and is less than a nanosecond.
            (self.rate, self.carry) = (rate, 0);
        }
    }

    /// Forgets what is still to be sent: the transmitter is free from `now`.
    pub(crate) fn reset(&mut self, now: Nanos) {
        self.free_at = now;
        self.carry = 0;
    }
}

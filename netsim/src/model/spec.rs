//! What a packet link is like, as given by a user, and what is wrong with it if it cannot be.

use std::time::Duration;

use super::Nanos;

/// The longest delay a link may have: 30 days.
const MAX_DELAY: Duration = Duration::from_secs(30 * 86_400);
/// The smallest default queue, for links whose bandwidth-delay product is next to nothing.
const MIN_DEFAULT_QUEUE: u64 = 30_000;
/// The default bound on what is on the way on a link without a rate, which has no bandwidth-delay product.
const DEFAULT_UNPACED_QUEUE: u64 = 16 << 20;

/// One direction of a packet link.
///
/// The defaults are a link that does nothing but carry packets of at most 1500 bytes, 28 of them headers of IPv4 and UDP.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LinkSpec {
    /// Bits a second on the line, headers included; `None` is a line that takes no time. Not zero.
    pub rate_bps: Option<u64>,
    /// Propagation delay, added after serialization; at most 30 days.
    pub delay: Duration,
    /// Probability that a packet is lost, each on its own; 0 to 1.
    pub loss: f64,
    /// Probability that a packet which is not lost arrives damaged; 0 to 1.
    pub corrupt: f64,
    /// Largest packet in bytes, `overhead` included.
    pub mtu: usize,
    /// Bytes (overhead included) that may wait or be under way on to the line; on a link without a rate, bytes that may be
    /// in flight. `None` is one bandwidth-delay product and at least 30,000 bytes and one MTU, or 16 MiB without a rate.
    pub queue_bytes: Option<usize>,
    /// Bytes added to every packet's length, counted against rate, queue and MTU.
    pub overhead: usize,
}

impl Default for LinkSpec {
    fn default() -> Self {
        Self {
            rate_bps: None,
            delay: Duration::ZERO,
            loss: 0.0,
            corrupt: 0.0,
            mtu: 1500,
            queue_bytes: None,
            overhead: 28,
        }
    }
}

impl LinkSpec {
    /// A link with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the rate, in bits a second.
    #[must_use]
    pub fn rate_bps(self, rate: u64) -> Self {
        Self {
            rate_bps: Some(rate),
            ..self
        }
    }

    /// Sets the propagation delay.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Sets the probability that a packet is lost.
    #[must_use]
    pub fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// Sets the probability that a packet is damaged.
    #[must_use]
    pub fn corrupt(self, corrupt: f64) -> Self {
        Self { corrupt, ..self }
    }

    /// Sets the largest packet, overhead included.
    #[must_use]
    pub fn mtu(self, mtu: usize) -> Self {
        Self { mtu, ..self }
    }

    /// Sets the bound of the queue in bytes.
    #[must_use]
    pub fn queue_bytes(self, bytes: usize) -> Self {
        Self {
            queue_bytes: Some(bytes),
            ..self
        }
    }

    /// Sets the bytes added to every packet.
    #[must_use]
    pub fn overhead(self, overhead: usize) -> Self {
        Self { overhead, ..self }
    }

    /// The bound of the queue in bytes, given or by default.
    #[must_use]
    pub fn queue_limit(&self) -> u64 {
        if let Some(bytes) = self.queue_bytes {
            return bytes as u64;
        }
        match self.rate_bps {
            None => DEFAULT_UNPACED_QUEUE,
            Some(_) => self.delay_product(),
        }
        .max(MIN_DEFAULT_QUEUE)
        .max(self.mtu as u64)
    }

    /// The most bytes that the link can hold at a time, in its queue and in flight.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.queue_limit().saturating_add(self.delay_product())
    }

    /// Checks that such a link can be.
    ///
    /// # Errors
    ///
    /// The first value that is out of its range, with the range.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.rate_bps == Some(0) {
            return Err(SpecError::ZeroRate);
        }
        if self.delay > MAX_DELAY {
            return Err(SpecError::Delay(self.delay));
        }
        for (name, value) in [("loss", self.loss), ("corrupt", self.corrupt)] {
            super::chance::threshold(name, value)?;
        }
        if self.mtu <= self.overhead {
            return Err(SpecError::Mtu {
                mtu: self.mtu,
                overhead: self.overhead,
            });
        }
        if self.queue_limit() < self.mtu as u64 {
            return Err(SpecError::Queue {
                queue: self.queue_limit(),
                mtu: self.mtu,
            });
        }
        Ok(())
    }

    /// The delay in nanoseconds.
    pub(crate) fn delay_nanos(&self) -> Nanos {
        Nanos::try_from(self.delay.as_nanos()).unwrap_or(Nanos::MAX)
    }

    /// Rate times delay in bytes; 0 without a rate.
    fn delay_product(&self) -> u64 {
        let rate = u128::from(self.rate_bps.unwrap_or(0));
        let bytes = rate.saturating_mul(self.delay.as_nanos()) / 8_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// A link that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A rate of zero.
    #[error(
        "a link at 0 bit/s never delivers: give a rate of at least 1 bit/s, or cut the link instead"
    )]
    ZeroRate,
    /// A delay that is too long.
    #[error("a delay of {0:?} is more than a link may have: give at most 30 days")]
    Delay(Duration),
    /// A probability outside 0 to 1.
    #[error("{name} is a probability and cannot be {value}: give a number from 0 to 1")]
    Probability {
        /// Which probability.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// An MTU that leaves no room for content.
    #[error(
        "an MTU of {mtu} bytes has no room beside {overhead} bytes of overhead: give an MTU above the overhead"
    )]
    Mtu {
        /// The MTU given.
        mtu: usize,
        /// The overhead of each packet.
        overhead: usize,
    },
    /// A queue that cannot hold one packet.
    #[error(
        "a queue of {queue} bytes cannot hold one packet of {mtu}: give a queue of at least the MTU"
    )]
    Queue {
        /// The bound of the queue.
        queue: u64,
        /// The MTU given.
        mtu: usize,
    },
    /// Bits a byte outside 1 to 32.
    #[error("{0} bits a byte is no serial framing: give 1 to 32 (10 for 8N1)")]
    BitsPerByte(u8),
}

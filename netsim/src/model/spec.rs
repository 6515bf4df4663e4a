//! What a packet link is like, as given by a user.

use std::time::Duration;

use super::burst::Burst;
use super::contact::ContactPlan;
use super::trace::Trace;
use super::{Nanos, SpecError};

/// The longest delay a link may have: 30 days.
const MAX_DELAY: Duration = Duration::from_secs(30 * 86_400);
/// The smallest default queue, for links whose bandwidth-delay product is next to nothing.
pub(crate) const MIN_DEFAULT_QUEUE: u64 = 30_000;
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
    /// A recorded rate, which takes the place of `rate_bps` and of `bits_per_byte`.
    pub trace: Option<Trace>,
    /// Propagation delay, added after serialization; at most 30 days.
    pub delay: Duration,
    /// The most that a packet is late beyond `delay`: each is by a time from zero to this, uniformly distributed.
    pub jitter: Duration,
    /// Whether packets keep their order under jitter: one that would overtake arrives together with the one before it.
    pub in_order: bool,
    /// Probability that a packet is lost, each on its own; 0 to 1. With bursts: in the good state.
    pub loss: f64,
    /// Bad times with a loss of their own.
    pub burst: Option<Burst>,
    /// Probability that a packet which is not lost arrives damaged; 0 to 1.
    pub corrupt: f64,
    /// Probability that a packet is held back by `reorder_by`, so that later ones overtake it; 0 to 1.
    pub reorder: f64,
    /// How long such a packet is held back; at most 30 days.
    pub reorder_by: Duration,
    /// Probability that a packet arrives twice, the second time right behind the first; 0 to 1.
    pub duplicate: f64,
    /// Largest packet in bytes, `overhead` included.
    pub mtu: usize,
    /// Bytes (overhead included) that may wait or be under way on to the line; on a link without a rate, bytes that may be
    /// in flight. `None` is one bandwidth-delay product and at least 30,000 bytes and one MTU, or 16 MiB without a rate.
    pub queue_bytes: Option<usize>,
    /// Which packets the queue drops.
    pub qdisc: Qdisc,
    /// Bytes added to every packet's length, counted against rate, queue and MTU.
    pub overhead: usize,
    /// Bits that each byte takes on the line, to a thousandth: 8 for a packet line, 10 for a serial line with 8N1, more
    /// than 8 where bytes are stuffed. From 1 to 32.
    pub bits_per_byte: f64,
    /// When the link is there; `None` for always.
    pub contacts: Option<ContactPlan>,
}

/// A queue discipline. Every queue is first in first out and drops what comes when its bound of bytes is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Qdisc {
    /// Nothing beyond that.
    DropTail,
    /// CoDel (RFC 8289): packets that have waited too long for too long are dropped on their way out.
    CoDel {
        /// The wait that is acceptable; above zero. On a slow line it counts as at least the time that one MTU takes, as
        /// section 4.4 of the RFC advises.
        target: Duration,
        /// How long it may be exceeded; above the target, of the order of a round trip.
        interval: Duration,
    },
}

impl Qdisc {
    /// CoDel with the values of RFC 8289: a target of 5 ms in an interval of 100 ms.
    #[must_use]
    pub fn codel() -> Self {
        Self::CoDel {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
        }
    }
}

impl Default for LinkSpec {
    fn default() -> Self {
        Self {
            rate_bps: None,
            trace: None,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            in_order: true,
            loss: 0.0,
            burst: None,
            corrupt: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(10),
            duplicate: 0.0,
            mtu: 1500,
            queue_bytes: None,
            qdisc: Qdisc::DropTail,
            overhead: 28,
            bits_per_byte: 8.0,
            contacts: None,
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

    /// Sets a recorded rate.
    #[must_use]
    pub fn trace(self, trace: Trace) -> Self {
        Self {
            trace: Some(trace),
            ..self
        }
    }

    /// Sets the propagation delay.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Sets the most that a packet is late, and whether packets keep their order.
    #[must_use]
    pub fn jitter(self, jitter: Duration, in_order: bool) -> Self {
        Self {
            jitter,
            in_order,
            ..self
        }
    }

    /// Sets the probability that a packet is lost.
    #[must_use]
    pub fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// Sets bad times.
    #[must_use]
    pub fn burst(self, burst: Burst) -> Self {
        Self {
            burst: Some(burst),
            ..self
        }
    }

    /// Sets the probability that a packet is damaged.
    #[must_use]
    pub fn corrupt(self, corrupt: f64) -> Self {
        Self { corrupt, ..self }
    }

    /// Sets the probability that a packet is held back, and for how long.
    #[must_use]
    pub fn reorder(self, reorder: f64, reorder_by: Duration) -> Self {
        Self {
            reorder,
            reorder_by,
            ..self
        }
    }

    /// Sets the probability that a packet arrives twice.
    #[must_use]
    pub fn duplicate(self, duplicate: f64) -> Self {
        Self { duplicate, ..self }
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

    /// Sets the queue discipline.
    #[must_use]
    pub fn qdisc(self, qdisc: Qdisc) -> Self {
        Self { qdisc, ..self }
    }

    /// Sets the bytes added to every packet.
    #[must_use]
    pub fn overhead(self, overhead: usize) -> Self {
        Self { overhead, ..self }
    }

    /// Sets the bits that each byte takes on the line.
    #[must_use]
    pub fn bits_per_byte(self, bits_per_byte: f64) -> Self {
        Self {
            bits_per_byte,
            ..self
        }
    }

    /// Sets when the link is there.
    #[must_use]
    pub fn contacts(self, contacts: ContactPlan) -> Self {
        Self {
            contacts: Some(contacts),
            ..self
        }
    }

    /// The bound of the queue in bytes, given or by default.
    #[must_use]
    pub fn queue_limit(&self) -> u64 {
        if let Some(bytes) = self.queue_bytes {
            return bytes as u64;
        }
        match self.top_rate_bps() {
            None => DEFAULT_UNPACED_QUEUE,
            Some(_) => self.carried_in(self.top_delay()),
        }
        .max(MIN_DEFAULT_QUEUE)
        .max(self.mtu as u64)
    }

    /// The most bytes that the link can hold at a time, in its queue and in flight.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        let late = self.jitter.saturating_add(self.reorder_by);
        let longest = self.top_delay().saturating_add(late);
        let copies = if self.duplicate > 0.0 { 2 } else { 1 };
        let in_flight = self.carried_in(longest).saturating_mul(copies);
        self.queue_limit().saturating_add(in_flight)
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
        for delay in [self.delay, self.jitter, self.reorder_by] {
            check_delay(delay)?;
        }
        for (name, value) in [
            ("loss", self.loss),
            ("corrupt", self.corrupt),
            ("reorder", self.reorder),
            ("duplicate", self.duplicate),
        ] {
            super::chance::threshold(name, value)?;
        }
        if let Some(burst) = &self.burst {
            burst.validate()?;
        }
        if let Qdisc::CoDel { target, interval } = self.qdisc
            && (target.is_zero() || target >= interval)
        {
            return Err(SpecError::CoDel { target, interval });
        }
        if !(1.0..=32.0).contains(&self.bits_per_byte) {
            return Err(SpecError::LineBits(self.bits_per_byte));
        }
        check_sizes(self.mtu, self.overhead, self.queue_limit())
    }

    /// The shortest delay of any contact, or of the link.
    pub(crate) fn least_delay(&self) -> Nanos {
        let contacts = self.contacts.iter().flat_map(|plan| plan.contacts());
        let delays = contacts.map(|contact| contact.delay.unwrap_or(self.delay));
        nanos(delays.min().unwrap_or(self.delay))
    }

    /// How long so many bytes take on the line at its own rate, rounded up; 0 without a rate.
    pub(crate) fn nanos_on_line(&self, bytes: usize) -> Nanos {
        let Some(rate) = self.rate_bps.filter(|_| self.trace.is_none()) else {
            return 0;
        };
        let work = bytes as u128 * u128::from(self.millibits_per_byte()) * 1_000_000;
        Nanos::try_from(work.div_ceil(u128::from(rate.max(1)))).unwrap_or(Nanos::MAX)
    }

    /// Thousandths of a bit that each byte takes on the line.
    pub(crate) fn millibits_per_byte(&self) -> u64 {
        (self.bits_per_byte * 1000.0 + 0.5) as u64
    }

    /// Bytes that the line takes in a time, at its highest rate; 0 without a rate.
    pub(crate) fn carried_in(&self, time: Duration) -> u64 {
        let rate = u128::from(self.top_rate_bps().unwrap_or(0));
        let millibits = match self.trace {
            Some(_) => 8000,
            None => self.millibits_per_byte().max(1),
        };
        let bytes = rate.saturating_mul(time.as_nanos()) / (1_000_000 * u128::from(millibits));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// The longest delay of any contact, or of the link.
    fn top_delay(&self) -> Duration {
        let contacts = self.contacts.iter().flat_map(|plan| plan.contacts());
        let delays = contacts.map(|contact| contact.delay.unwrap_or(self.delay));
        delays.max().unwrap_or(self.delay)
    }

    /// The highest rate of any contact, or of the link.
    fn top_rate_bps(&self) -> Option<u64> {
        if let Some(trace) = &self.trace {
            return Some(trace.mean_rate_bps());
        }
        let contacts = self.contacts.iter().flat_map(|plan| plan.contacts());
        let rates = contacts.filter_map(|contact| contact.rate_bps);
        rates.chain(self.rate_bps).max()
    }
}

/// A time in nanoseconds; one of more than 584 years counts as that.
pub(crate) fn nanos(time: Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX)
}

pub(crate) fn check_delay(delay: Duration) -> Result<(), SpecError> {
    if delay > MAX_DELAY {
        return Err(SpecError::Delay(delay));
    }
    Ok(())
}

/// Checks that a packet has content, and that a queue holds one.
pub(crate) fn check_sizes(mtu: usize, overhead: usize, queue: u64) -> Result<(), SpecError> {
    if mtu <= overhead {
        return Err(SpecError::Mtu { mtu, overhead });
    }
    if queue < mtu as u64 {
        return Err(SpecError::Queue { queue, mtu });
    }
    Ok(())
}

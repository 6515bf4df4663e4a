//! The queue discipline CoDel: packets that have waited too long for too long are dropped on their way out of the queue.
//!
//! RFC 8289, section 5, as a decision for each packet that the transmitter takes. When packets have stayed in the queue for
//! `target` or more during a whole `interval`, the first is dropped, and after it another at times that follow each other
//! by `interval / √n`, until one has waited for less than `target` or no more than an MTU is left behind.

use super::spec::nanos;
use super::{LinkSpec, Nanos, Qdisc};

/// Drops happen at intervals that were reached within so many intervals of the last such phase go on from its count.
const RECENT_INTERVALS: u64 = 16;

/// The state of section 5.2 of RFC 8289.
#[derive(Debug, Clone)]
pub(crate) struct CoDel {
    target: Nanos,
    interval: Nanos,
    /// Bytes in the queue up to which nothing is dropped.
    spare: u64,
    /// When waiting too long will have lasted for an interval.
    first_above: Option<Nanos>,
    dropping: bool,
    drop_next: Nanos,
    count: u32,
    last_count: u32,
    /// Whether the last packet was dropped within the phase, so that the next drop is still to be planned.
    unplanned: bool,
}

impl CoDel {
    /// The discipline of a checked spec, if that is CoDel.
    pub(crate) fn of(spec: &LinkSpec) -> Option<Self> {
        let Qdisc::CoDel { target, interval } = spec.qdisc else {
            return None;
        };
        // Section 4.4: on a slow line the target is at least the time that one MTU takes.
        let target = nanos(target).max(spec.nanos_on_line(spec.mtu));
        Some(Self::new(target, nanos(interval).max(target), spec.mtu))
    }

    fn new(target: Nanos, interval: Nanos, mtu: usize) -> Self {
        Self {
            target,
            interval,
            spare: mtu as u64,
            first_above: None,
            dropping: false,
            drop_next: 0,
            count: 0,
            last_count: 0,
            unplanned: false,
        }
    }

    /// Whether to drop a packet that leaves the queue at `now` after `waited` and leaves `backlog` bytes behind it.
    pub(crate) fn drops(&mut self, now: Nanos, waited: Nanos, backlog: u64) -> bool {
        if !self.too_long(now, waited, backlog) {
            self.dropping = false;
            self.unplanned = false;
            return false;
        }
        if !self.dropping {
            self.enter(now);
            return true;
        }
        if std::mem::take(&mut self.unplanned) {
            self.drop_next = self.after(self.drop_next);
        }
        if now < self.drop_next {
            return false;
        }
        self.count = self.count.saturating_add(1);
        self.unplanned = true;
        true
    }

    /// Tells that the transmitter found nothing to take.
    pub(crate) fn found_empty(&mut self) {
        self.first_above = None;
        self.dropping = false;
        self.unplanned = false;
    }

    fn too_long(&mut self, now: Nanos, waited: Nanos, backlog: u64) -> bool {
        if waited < self.target || backlog <= self.spare {
            self.first_above = None;
            return false;
        }
        let first_above = *self
            .first_above
            .get_or_insert(now.saturating_add(self.interval));
        now >= first_above
    }

    fn enter(&mut self, now: Nanos) {
        self.dropping = true;
        let drops = self.count.saturating_sub(self.last_count);
        let recent =
            now.saturating_sub(self.drop_next) < RECENT_INTERVALS.saturating_mul(self.interval);
        self.count = if drops > 1 && recent { drops } else { 1 };
        self.drop_next = self.after(now);
        self.last_count = self.count;
    }

    /// The control law: `interval / √count` after `time`, with a root of sixteen binary places.
    fn after(&self, time: Nanos) -> Nanos {
        let root = (u64::from(self.count.max(1)) << 32).isqrt();
        let step = (u128::from(self.interval) << 16) / u128::from(root);
        time.saturating_add(u64::try_from(step).unwrap_or(Nanos::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    /// Guards the control law: under a queue that always waits too long, the first drop comes one interval after that began
    /// and drop n + 1 comes interval / √n after drop n, each within the step of one packet.
    #[test]
    fn drops_come_ever_closer() {
        let step = 10_000;
        let mut codel = CoDel::new(5 * MS, 100 * MS, 1500);
        let drops: Vec<Nanos> = (0..400 * MS / step)
            .map(|n| n * step)
            .filter(|now| codel.drops(*now, 50 * MS, 100_000))
            .collect();
        let mut expected = 100.0 * MS as f64;
        for (n, at) in drops.iter().enumerate() {
            let off = *at as f64 - expected;
            assert!(
                (-1.0..=step as f64).contains(&off),
                "drop {n} is {off} ns off"
            );
            expected += 100.0 * MS as f64 / ((n + 1) as f64).sqrt();
        }
        assert_eq!(drops.len(), 5, "{drops:?}");
    }

    /// Guards the ends of a phase: a short wait or an almost empty queue stops the drops at once, a wait below the target
    /// never starts them, and a phase that follows soon goes on from where the last one was.
    #[test]
    fn a_short_wait_ends_it() {
        let mut codel = CoDel::new(5 * MS, 100 * MS, 1500);
        let run = |codel: &mut CoDel, from: Nanos, waited, backlog| {
            (from..from + 400)
                .filter(|ms| codel.drops(ms * MS, waited, backlog))
                .count()
        };
        assert_eq!(run(&mut codel, 0, 5 * MS - 1, 100_000), 0);
        assert_eq!(run(&mut codel, 1000, 50 * MS, 1500), 0);
        assert_eq!(run(&mut codel, 2000, 50 * MS, 1501), 5);
        assert!(!codel.drops(2400 * MS, 0, 100_000));
        // The phase before had five drops, so this one begins with a count of four: 2501, 2551, 2596, ...
        assert_eq!(run(&mut codel, 2401, 50 * MS, 1501), 8);
        codel.found_empty();
        assert_eq!(run(&mut codel, 20_000, 50 * MS, 1501), 5);
    }
}

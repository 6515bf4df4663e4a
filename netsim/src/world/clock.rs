//! The clocks of a host: a monotonic one that may run fast or slow, and a calendar that may jump as well.

use crate::model::Nanos;

const BILLION: i128 = 1_000_000_000;

/// The greatest drift, in parts per billion: a clock at half or one and a half times its speed.
pub const MAX_DRIFT_PPB: i32 = 500_000_000;

/// What a host's clocks show at a true time. Pure integer arithmetic.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// Since when the present drift holds, in true time.
    since: Nanos,
    /// What the oscillator had counted then.
    counted: Nanos,
    drift_ppb: i32,
    /// What the oscillator had counted when the machine got power.
    powered: Nanos,
    /// The calendar when the oscillator had counted nothing, jumps included.
    epoch: i64,
}

impl Clock {
    pub(super) fn new(now: Nanos, epoch: i64) -> Self {
        Self {
            since: now,
            counted: 0,
            drift_ppb: 0,
            powered: 0,
            epoch,
        }
    }

    /// The monotonic clock.
    pub(super) fn local(&self, now: Nanos) -> Nanos {
        self.count(now) - self.powered
    }

    /// The first true time at which the monotonic clock shows `local` or more.
    pub(super) fn world(&self, local: Nanos) -> Nanos {
        let ahead = i128::from(local) + i128::from(self.powered) - i128::from(self.counted);
        if ahead <= 0 {
            return self.since;
        }
        let speed = BILLION + i128::from(self.drift_ppb);
        // The least t with floor(t · speed / 10⁹) at or above `ahead`.
        let true_ahead = (ahead * BILLION + speed - 1) / speed;
        let at = i128::from(self.since) + true_ahead;
        Nanos::try_from(at).unwrap_or(Nanos::MAX)
    }

    pub(super) fn calendar(&self, now: Nanos) -> i64 {
        let counted = i64::try_from(self.count(now)).unwrap_or(i64::MAX);
        self.epoch.saturating_add(counted)
    }

    pub(super) fn jump(&mut self, by: i64) {
        self.epoch = self.epoch.saturating_add(by);
    }

    pub(super) fn set_drift(&mut self, now: Nanos, ppb: i32) {
        self.counted = self.count(now);
        self.since = now;
        self.drift_ppb = ppb.clamp(-MAX_DRIFT_PPB, MAX_DRIFT_PPB);
    }

    /// The machine got power: the monotonic clock begins at 0, the calendar goes on.
    pub(super) fn power_on(&mut self, now: Nanos) {
        self.powered = self.count(now);
    }

    fn count(&self, now: Nanos) -> Nanos {
        let ahead = i128::from(now.saturating_sub(self.since));
        let ahead = ahead * (BILLION + i128::from(self.drift_ppb)) / BILLION;
        self.counted
            .saturating_add(Nanos::try_from(ahead).unwrap_or(Nanos::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Guards timers: a moment asked for on the local clock is never early, and late by no true nanosecond.
        #[test]
        fn a_local_moment_comes_at_the_first_true_time_that_shows_it(
            begin in 0u64..1 << 50,
            drift in -MAX_DRIFT_PPB..=MAX_DRIFT_PPB,
            after in 0u64..1 << 40,
            wait in 1u64..1 << 45,
        ) {
            let mut clock = Clock::new(begin, 0);
            clock.set_drift(begin + after, drift);
            clock.power_on(begin + after + 5);
            let now = begin + after + 10;
            let wanted = clock.local(now) + wait;
            let at = clock.world(wanted);
            prop_assert!(clock.local(at) >= wanted);
            prop_assert!(at == 0 || clock.local(at - 1) < wanted);
        }
    }

    /// Guards the difference between the two clocks: only the calendar jumps, only the monotonic one begins anew.
    #[test]
    fn jumps_move_the_calendar_and_power_cuts_the_monotonic_clock() {
        let mut clock = Clock::new(0, 1000);
        clock.set_drift(0, 1_000_000);
        assert_eq!(clock.local(1_000_000), 1_001_000);
        clock.jump(-5000);
        assert_eq!(
            (clock.local(1_000_000), clock.calendar(1_000_000)),
            (1_001_000, 997_000)
        );
        clock.power_on(1_000_000);
        assert_eq!(
            (clock.local(1_000_000), clock.calendar(1_000_000)),
            (0, 997_000)
        );
    }
}

//! How much work a link may ask for before anything shows that it is worth it.

use super::limits::Limits;
use governor::clock::{Clock, FakeRelativeClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;

type Instant = <FakeRelativeClock as Clock>::Instant;

/// The allowances of one link.
#[derive(Debug)]
pub struct Gate {
    preambles: Allowance,
    hints: Allowance,
}

/// So many units a second, and at most as many at once.
struct Allowance(RateLimiter<NotKeyed, InMemoryState, FakeRelativeClock, NoOpMiddleware<Instant>>);

impl std::fmt::Debug for Allowance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Allowance")
    }
}

impl Gate {
    /// A link that has asked for nothing yet.
    pub fn new(limits: &Limits, clock: &FakeRelativeClock) -> Self {
        Self {
            preambles: Allowance::new(limits.preambles_per_second, clock),
            hints: Allowance::new(limits.hints_per_second, clock),
        }
    }

    /// Whether it may have a preamble examined.
    pub fn preamble(&self) -> bool {
        self.preambles.take(1)
    }

    /// Whether it may have a hint compared with those of so many sessions.
    pub fn hints(&self, sessions: usize) -> bool {
        self.hints.take(u32::try_from(sessions).unwrap_or(u32::MAX))
    }
}

impl Allowance {
    fn new(per_second: u32, clock: &FakeRelativeClock) -> Self {
        let quota = Quota::per_second(NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN));
        Self(RateLimiter::direct_with_clock(quota, clock.clone()))
    }

    fn take(&self, units: u32) -> bool {
        let Some(units) = NonZeroU32::new(units) else {
            return true;
        };
        matches!(self.0.check_n(units), Ok(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_asked_for_is_limited_by_the_clock_that_inputs_set() {
        let clock = FakeRelativeClock::default();
        let limits = Limits {
            preambles_per_second: 1,
            hints_per_second: 10,
            ..Limits::default()
        };
        let gate = Gate::new(&limits, &clock);
        assert!(gate.preamble() && gate.hints(8) && gate.hints(0));
        assert!(!gate.preamble() && !gate.hints(8));
        clock.advance(Duration::from_secs(1));
        assert!(gate.preamble() && gate.hints(8));
        assert!(!gate.hints(11), "more than a second's worth at once");
    }
}

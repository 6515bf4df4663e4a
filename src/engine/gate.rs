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

/// The allowances of all persons together who are no contacts.
#[derive(Debug)]
pub struct Porch {
    sessions: Allowance,
    messages: Allowance,
}

impl Porch {
    /// Nobody has asked for anything yet.
    pub fn new(limits: &Limits, clock: &FakeRelativeClock) -> Self {
        Self {
            sessions: Allowance::per_minute(limits.stranger_sessions_per_minute, clock),
            messages: Allowance::per_minute(limits.stranger_messages_per_minute, clock),
        }
    }

    /// Whether another session may be agreed upon.
    pub fn session(&self) -> bool {
        self.sessions.take(1)
    }

    /// Whether another message may be taken in.
    pub fn message(&self) -> bool {
        self.messages.take(1)
    }
}

/// So many units a second, or a minute, and at most as many at once.
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
        Self::of(Quota::per_second(at_least_one(per_second)), clock)
    }

    fn per_minute(units: u32, clock: &FakeRelativeClock) -> Self {
        Self::of(Quota::per_minute(at_least_one(units)), clock)
    }

    fn of(quota: Quota, clock: &FakeRelativeClock) -> Self {
        Self(RateLimiter::direct_with_clock(quota, clock.clone()))
    }

    fn take(&self, units: u32) -> bool {
        let Some(units) = NonZeroU32::new(units) else {
            return true;
        };
        matches!(self.0.check_n(units), Ok(Ok(())))
    }
}

fn at_least_one(units: u32) -> NonZeroU32 {
    NonZeroU32::new(units).unwrap_or(NonZeroU32::MIN)
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

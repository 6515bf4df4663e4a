//! Virtual time for a library that counts in instants of the machine's clock.

use crate::sim::work;
use ostrakon_netsim::model::Nanos;
use std::time::{Duration, Instant};

/// How far back virtual time can be counted: as long as a scenario can last.
const PAST: Duration = Duration::from_secs(3650 * 86_400);

/// Where virtual time 0 lies among the instants. Which one that is does not matter: the library looks at differences only.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that has room for a past.
    pub fn new() -> Self {
        Self(Instant::now() + PAST)
    }

    /// A clock that is at `by` when this one is at 0.
    pub fn earlier(self, by: Nanos) -> Self {
        let by = Duration::from_nanos(by);
        Self(self.0.checked_sub(by).unwrap_or(self.0))
    }

    /// The instant of a virtual time.
    pub fn at(self, time: Nanos) -> Instant {
        self.0 + Duration::from_nanos(time)
    }

    /// When a timer fires that is set for `instant`.
    pub fn fires(self, instant: Instant, now: Nanos) -> Nanos {
        let at = instant.saturating_duration_since(self.0).as_nanos();
        work::timer(Nanos::try_from(at).unwrap_or(Nanos::MAX / 2), now)
    }
}

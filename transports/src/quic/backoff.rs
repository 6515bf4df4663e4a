//! How long to wait before the next attempt to connect.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
/// Never more: a link that is up for ten minutes an hour must be found at once.
const LONGEST: Duration = Duration::from_secs(2);

/// Waiting times from 0.2 s to 2 s, each shortened at random by up to a quarter, so that the nodes of a
/// relay that restarted do not all return in the same instant.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// Begins again with the shortest wait.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The next time to wait, by the system's randomness. Without any the full wait is as good.
    pub(crate) fn wait(&mut self) -> Duration {
        self.wait_by(getrandom::u32().unwrap_or(0))
    }

    /// The next time to wait, by randomness of the caller's.
    pub fn wait_by(&mut self, random: u32) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(LONGEST);
        full.mul_f64(1.0 - 0.25 * f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits grow from about 0.2 s, stay at or below 2 s for ever, and begin anew after a reset.
    #[test]
    fn waits_stay_within_bounds() {
        let mut backoff = Backoff::default();
        let first = backoff.wait();
        assert!(first <= FIRST && first >= FIRST * 3 / 4);
        for _ in 0..100 {
            let wait = backoff.wait();
            assert!(wait <= LONGEST && wait >= FIRST);
        }
        assert!(backoff.wait() >= LONGEST * 3 / 4);
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}

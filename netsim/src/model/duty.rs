//! How much of the time a transmitter may be on the air.
//!
//! ETSI EN 300 220 limits the share of an observation interval, an hour, during which a device transmits; any hour counts
//! ([`Duty::sliding`]). LoRaWAN stays within it by a pause after each frame, of the frame's time on the air times
//! `1 / share - 1` ([`Duty::off_time`]): simpler, and it spreads frames evenly, but saves nothing for a burst.

use std::collections::VecDeque;
use std::time::Duration;

use super::spec::nanos;
use super::{Nanos, SpecError};

/// A limit on a transmitter's share of time.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Duty {
    /// The share of time; above 0 and at most 1. 0.01 for most of the 868 MHz band.
    pub share: f64,
    /// How it is kept.
    pub rule: DutyRule,
}

/// How a share of time is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DutyRule {
    /// In every interval of this length.
    Sliding(Duration),
    /// By a pause after each frame.
    OffTime,
}

impl Duty {
    /// A share of every hour, as in ETSI EN 300 220.
    #[must_use]
    pub fn sliding(share: f64) -> Self {
        Self {
            share,
            rule: DutyRule::Sliding(Duration::from_secs(3600)),
        }
    }

    /// A pause after each frame, as in LoRaWAN.
    #[must_use]
    pub fn off_time(share: f64) -> Self {
        Self {
            share,
            rule: DutyRule::OffTime,
        }
    }

    /// Sets how the share is kept.
    #[must_use]
    pub fn rule(self, rule: DutyRule) -> Self {
        Self { rule, ..self }
    }

    /// Checks that a frame of `longest` can ever be sent.
    pub(crate) fn validate(&self, longest: Nanos) -> Result<(), SpecError> {
        if !(self.share > 0.0 && self.share <= 1.0) {
            return Err(SpecError::DutyShare(self.share));
        }
        if let DutyRule::Sliding(window) = self.rule
            && longest > budget(self.share, window)
        {
            return Err(SpecError::DutyBudget {
                airtime: Duration::from_nanos(longest),
                budget: Duration::from_nanos(budget(self.share, window)),
            });
        }
        Ok(())
    }
}

fn budget(share: f64, window: Duration) -> Nanos {
    (nanos(window) as f64 * share) as Nanos
}

/// What one transmitter has sent, and when it may go on.
#[derive(Debug, Clone)]
pub(crate) struct DutyLog {
    duty: Duty,
    /// For a sliding interval: when each frame within it began and ended.
    sent: VecDeque<(Nanos, Nanos)>,
    used: Nanos,
    /// For pauses: when the last one is over.
    free_at: Nanos,
}

impl DutyLog {
    /// The log of a checked limit.
    pub(crate) fn new(duty: Duty) -> Self {
        Self {
            duty,
            sent: VecDeque::new(),
            used: 0,
            free_at: 0,
        }
    }

    /// The earliest time from `now` on at which a frame of `airtime` may begin.
    pub(crate) fn earliest(&mut self, now: Nanos, airtime: Nanos) -> Nanos {
        match self.duty.rule {
            DutyRule::OffTime => now.max(self.free_at),
            DutyRule::Sliding(window) => {
                let budget = budget(self.duty.share, window);
                self.forget(now, nanos(window));
                now.max(self.room_at(budget, nanos(window), airtime))
            }
        }
    }

    /// Notes a frame.
    pub(crate) fn note(&mut self, start: Nanos, end: Nanos) {
        match self.duty.rule {
            DutyRule::OffTime => {
                let whole = (end - start) as f64 / self.duty.share;
                self.free_at = start.saturating_add(whole as Nanos);
            }
            DutyRule::Sliding(_) => {
                self.sent.push_back((start, end));
                self.used += end - start;
            }
        }
    }

    /// Forgets frames that ended before the interval up to `now` began.
    fn forget(&mut self, now: Nanos, window: Nanos) {
        while let Some(&(start, end)) = self.sent.front()
            && end.saturating_add(window) <= now
        {
            self.sent.pop_front();
            self.used -= end - start;
        }
    }

    /// When enough of the past will lie before the interval that ends with a frame of `airtime`.
    fn room_at(&self, budget: Nanos, window: Nanos, airtime: Nanos) -> Nanos {
        let mut excess = (self.used + airtime).saturating_sub(budget);
        if excess == 0 {
            return 0;
        }
        for (start, end) in &self.sent {
            if excess <= end - start {
                // The interval begins within or at the end of this frame, and ends with the new one.
                return (start + excess)
                    .saturating_add(window)
                    .saturating_sub(airtime);
            }
            excess -= end - start;
        }
        // More than the whole budget, which `Duty::validate` refuses.
        Nanos::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    /// Guards the hour: no interval of an hour holds more than its share, to the nanosecond, whatever its end; and the share
    /// is used up: a transmitter that always has something to send reaches it.
    #[test]
    fn no_hour_holds_more_than_its_share() {
        let hour = 3600 * SECOND;
        let mut log = DutyLog::new(Duty::sliding(0.01));
        let (mut now, mut frames) = (0, Vec::new());
        for n in 0..400u64 {
            let airtime = SECOND + n * 7_654_321 % SECOND;
            let at = log.earliest(now, airtime);
            log.note(at, at + airtime);
            frames.push((at, at + airtime));
            now = at + airtime;
        }
        let within = |from: Nanos, to: Nanos| -> Nanos {
            let part = |&(a, b): &(Nanos, Nanos)| b.min(to).saturating_sub(a.max(from));
            frames.iter().map(part).sum()
        };
        for (start, end) in &frames {
            for edge in [*start, *end, *start + hour] {
                assert!(within(edge.saturating_sub(hour), edge) <= 36 * SECOND);
            }
        }
        let used = within(0, now) as f64 / now as f64;
        assert!((0.0099..0.0105).contains(&used), "{used}");
        // The first hour's budget may be sent at once.
        assert!(
            frames
                .iter()
                .take_while(|(start, _)| *start < 100 * SECOND)
                .count()
                >= 23
        );
    }

    /// Guards the pause: after a frame of one second at 1 % the next may begin 100 seconds after it began.
    #[test]
    fn a_pause_follows_each_frame() {
        let mut log = DutyLog::new(Duty::off_time(0.01));
        assert_eq!(log.earliest(5, SECOND), 5);
        log.note(5, 5 + SECOND);
        assert_eq!(log.earliest(6, SECOND), 5 + 100 * SECOND);
        assert_eq!(log.earliest(101 * SECOND, SECOND), 101 * SECOND);
    }
}

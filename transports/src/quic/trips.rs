//! What the round trips of a round tell: how long everything has waited, which is a queue, and how late packets are beside
//! that, which is jitter.

use std::time::Duration;

/// Packets in a row of which the fastest has met no jitter, if they take at least this part of a round trip: what waits for
/// other packets on the way back waits for a while.
const ROW: (u32, u32) = (16, 8);
/// With fewer packets, how late they are says nothing of others.
const ENOUGH: u32 = 8;

/// The round trips of a round, as they come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trips {
    /// Of all packets, in seconds.
    sum: f64,
    count: u32,
    /// Of the fastest of each row that is complete.
    fastest_sum: f64,
    rows: u32,
    /// The fastest of the present row, how many it has, and when it began.
    fastest: f64,
    row: u32,
    since: Duration,
}

/// What a round has shown, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// The round trip of the fastest, on average over the round.
    pub(super) fastest: f64,
    /// By how much others were later, on average.
    pub(super) late: f64,
}

impl Trips {
    /// A round trip was measured; `least` is the least so far.
    pub(super) fn add(&mut self, now: Duration, trip: Duration, least: Duration) {
        if self.row == 0 {
            self.since = now;
        }
        let lasts = now.saturating_sub(self.since) >= least / ROW.1;
        let trip = trip.as_secs_f64();
        self.fastest = if self.row == 0 {
            trip
        } else {
            self.fastest.min(trip)
        };
        (self.sum, self.count, self.row) = (self.sum + trip, self.count + 1, self.row + 1);
        if self.row >= ROW.0 && lasts {
            (self.fastest_sum, self.rows, self.row) =
                (self.fastest_sum + self.fastest, self.rows + 1, 0);
        }
    }

    /// What they show. A row that is not complete counts only if there is no other.
    pub(super) fn seen(&self) -> Seen {
        let fastest = match self.rows {
            0 => self.fastest,
            rows => self.fastest_sum / f64::from(rows),
        };
        let mean = self.sum / f64::from(self.count.max(1));
        let late = if self.count < ENOUGH {
            0.0
        } else {
            (mean - fastest).max(0.0)
        };
        Seen { fastest, late }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(trip_ms: impl Fn(u32) -> f64) -> Seen {
        let mut trips = Trips::default();
        (0..160).for_each(|n| {
            let (now, trip) = (u64::from(n), Duration::from_secs_f64(trip_ms(n) / 1000.0));
            trips.add(Duration::from_millis(now), trip, Duration::from_millis(100));
        });
        trips.seen()
    }

    /// Guards what is told apart: a queue that grows and ends within the round is no jitter, and jitter is no queue.
    #[test]
    fn a_queue_is_no_jitter() {
        let swell = seen(|n| 100.0 + f64::from(n.min(160 - n)));
        assert!(
            (0.13..0.145).contains(&swell.fastest) && swell.late < 0.01,
            "{swell:?}"
        );
        let jitter = seen(|n| 100.0 + f64::from(n * 7 % 16) * 2.0);
        assert!(
            jitter.fastest < 0.101 && (0.014..0.016).contains(&jitter.late),
            "{jitter:?}"
        );
    }
}

//! Whether a loss is a sign of congestion: what `shared` goes by, where CUBIC takes every loss for one. Pure: time is an
//! argument. `sharing.rs` puts it before the library's CUBIC.
//!
//! A queue that drops is one that has let packets wait, so a loss counts if those about it have waited:
//!
//! ```text
//! on a path that loses nothing while nothing waits    a quarter of the longest wait known
//! on one that loses then too, so by chance            a quarter of the path's length
//! ```
//!
//! On the first kind that is every loss from a queue that is full, at the moment at which CUBIC flows beside it have theirs,
//! and what follows is what they do. On the second kind a loss by chance is likely whenever there is a queue, and the wait
//! before it is always among the longest known while a queue grows for the first time; hence the other measure. A window that
//! is cut to 0.7 when the queue is a quarter of the path falls short of the path for moments only.
//!
//! Where nothing ever waits, as before a policer or a queue of a few packets, nothing is told apart that way. So loss counts
//! as well when more of the last rounds was lost than a path would lose by chance that loses 2 %.
//!
//! A wait is what even the fastest of some packets in a row has taken beyond the least round trip: jitter delays most packets
//! and not all.

use std::collections::VecDeque;
use std::time::Duration;

/// Packets in a row of which the fastest has met no jitter.
const ROW: u32 = 8;
/// A wait that is shorter is none: timers are not more exact.
const LEAST_WAIT: Duration = Duration::from_millis(1);
/// The part of the longest wait, or of the path, from which on there is a queue.
const PART: u32 = 4;
/// How long something is known, at least; twice as long at most.
const MEMORY: Duration = Duration::from_secs(10);
/// Loss without a queue from which on a path loses by chance, in thousandths.
const LOSSY: u64 = 2;
/// Rounds whose loss is added up.
const ROUNDS: usize = 8;
/// The most that is taken for chance, and how many standard deviations and packets more.
const CHANCE: (f64, f64, f64) = (0.02, 3.0, 3.0);
/// Bytes of a packet.
const PACKET: f64 = 1412.0;

/// Bytes that came through, and that did not.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    acked: u64,
    lost: u64,
}

impl Sent {
    fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let add = |sum: Self, one: &Self| Self {
            acked: sum.acked + one.acked,
            lost: sum.lost + one.lost,
        };
        all.into_iter().fold(Self::default(), add)
    }

    fn loses_beyond(self, thousandths: u64) -> bool {
        self.lost * 1000 > (self.acked + self.lost) * thousandths
    }
}

/// What is known of a path's queue and its loss.
#[derive(Clone, Debug, Default)]
pub(super) struct Blame {
    least: Duration,
    /// The fastest of the present row, and how many it has.
    fastest: Duration,
    row: u32,
    /// How long the last row has waited.
    wait: Duration,
    /// When the present span of [`MEMORY`] began; what follows is of it and of the one before.
    span: Duration,
    longest: [Duration; 2],
    /// What was sent while there was no queue.
    calm: [Sent; 2],
    /// Rounds that are over, and the present one with its beginning.
    rounds: VecDeque<Sent>,
    round: Sent,
    round_start: Duration,
    /// When a loss counted last.
    cut: Duration,
}

impl Blame {
    /// A packet was acknowledged at `now`, `trip` after it left; `least` is the least round trip of all.
    pub(super) fn on_ack(&mut self, now: Duration, bytes: u64, trip: Duration, least: Duration) {
        self.turn(now, trip);
        self.least = least;
        let row = (self.row > 0).then_some(self.fastest);
        self.fastest = row.map_or(trip, |fastest| fastest.min(trip));
        self.row += 1;
        if self.row == ROW {
            self.row = 0;
            self.wait = self.fastest.saturating_sub(least);
            self.longest[0] = self.longest[0].max(self.wait);
        }
        self.count(Sent {
            acked: bytes,
            lost: 0,
        });
    }

    /// Bytes were lost that left at `sent`, as is seen at `now`. Whether that is a sign of congestion.
    pub(super) fn on_loss(&mut self, now: Duration, sent: Duration, bytes: u64) -> bool {
        // What left before the window was cut says nothing of how it is now.
        if sent <= self.cut {
            return false;
        }
        self.count(Sent {
            acked: 0,
            lost: bytes,
        });
        let blamed = self.is_queued() || self.is_more_than_chance();
        if blamed {
            self.cut = now;
            self.rounds.clear();
            self.round = Sent::default();
        }
        blamed
    }

    fn count(&mut self, sent: Sent) {
        self.round = Sent::sum([&self.round, &sent]);
        if !self.has_waited(self.longest_known()) {
            self.calm[0] = Sent::sum([&self.calm[0], &sent]);
        }
    }

    fn longest_known(&self) -> Duration {
        self.longest[0].max(self.longest[1])
    }

    fn has_waited(&self, of: Duration) -> bool {
        self.wait >= LEAST_WAIT.max(of / PART)
    }

    fn is_queued(&self) -> bool {
        let lossy = Sent::sum(&self.calm).loses_beyond(LOSSY);
        self.has_waited(if lossy {
            self.least
        } else {
            self.longest_known()
        })
    }

    fn is_more_than_chance(&self) -> bool {
        let sent = Sent::sum(self.rounds.iter().chain([&self.round]));
        let (share, deviations, more) = CHANCE;
        let expected = (sent.acked + sent.lost) as f64 / PACKET * share;
        sent.lost as f64 / PACKET > expected + deviations * expected.sqrt() + more
    }

    /// Goes on to the next round and the next span when it is time.
    fn turn(&mut self, now: Duration, trip: Duration) {
        if now.saturating_sub(self.round_start) >= trip {
            self.round_start = now;
            if self.rounds.len() == ROUNDS {
                self.rounds.pop_front();
            }
            self.rounds.push_back(std::mem::take(&mut self.round));
        }
        if now.saturating_sub(self.span) >= MEMORY {
            self.span = now;
            self.longest = [Duration::ZERO, self.longest[0]];
            self.calm = [Sent::default(), self.calm[0]];
        }
    }
}

#[cfg(test)]
mod tests;

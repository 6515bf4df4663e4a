//! How many frames may wait between the owner and the wire.
//!
//! What waits was chosen too early, so little shall wait; but a fast path runs dry between two looks at it
//! if too little does. The valve lets in what the path carries in [`AHEAD`], never fewer than
//! [`MIN_WAITING`] frames and never more than [`MAX_CREDIT`]; and no faster than the controller wants frames to leave, so
//! that hardly any wait at all. Where it still looks for the rate, the frames of a train are let in at once (`pace.rs`).

use super::pace::{Pace, Wish};
use quinn_proto::PathStats;
use std::time::{Duration, Instant};

/// The most frames that wait, and the most credit given.
pub const MAX_CREDIT: usize = 512;
/// So many frames are worth a message to the owner.
const LUMP: usize = 32;
/// The fewest frames that may wait.
const MIN_WAITING: usize = 4;
/// The time that the waiting frames shall last. Longer than the longest pause between two looks.
const AHEAD: Duration = Duration::from_millis(20);
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// The bytes that may wait for a path with this congestion window in bytes and this round-trip time.
pub fn allowance(window: u64, trip: Duration, frame: usize) -> usize {
    let ahead = u128::from(window) * AHEAD.as_nanos() / trip.as_nanos().max(1);
    usize::try_from(ahead)
        .unwrap_or(usize::MAX)
        .clamp(MIN_WAITING * frame, MAX_CREDIT * frame)
}

/// The state of one connection's valve. All sizes in bytes.
#[derive(Debug)]
pub struct Valve {
    /// The free space of the empty send buffer, in bytes.
    empty: usize,
    /// The bytes that may wait.
    allowance: usize,
    /// The size that a frame is reckoned with.
    frame: usize,
    /// Credit that the owner holds.
    outstanding: usize,
    /// Bytes that waited at the last look.
    waiting: usize,
    pause: Duration,
    pace: Pace,
}

impl Valve {
    /// The valve of a connection whose send buffer is empty and has this much `space`.
    pub fn new(space: usize, frame: usize, now: Instant) -> Self {
        Self {
            empty: space,
            allowance: MIN_WAITING * frame,
            frame,
            outstanding: 0,
            waiting: 0,
            pause: SHORTEST_PAUSE,
            pace: Pace::new(frame, now),
        }
    }

    /// Looks at the path: what it carries now, what a frame's size is, and how the controller wants them to leave.
    pub fn measure(&mut self, path: &PathStats, frame: usize, wish: Wish, now: Instant) {
        self.frame = frame;
        let allowed = path.cwnd as f64 / path.rtt.as_secs_f64().max(1e-6);
        self.pace.set(wish, allowed, frame, now);
        self.allowance = allowance(path.cwnd, path.rtt, frame);
    }

    /// Looks at the `space` left in the send buffer and says how many further frames the owner may send now.
    pub fn due(&mut self, space: usize) -> usize {
        let waiting = self.empty.saturating_sub(space);
        self.pause = if waiting < self.waiting {
            SHORTEST_PAUSE
        } else {
            self.pause
        };
        self.waiting = waiting;
        let train = self.pace.train(self.frame).min(MAX_CREDIT);
        let allowance = self.allowance.max(train * self.frame);
        let room = allowance.saturating_sub(waiting) / self.frame;
        let room = room.min(self.pace.frames(self.frame));
        let due = room.saturating_sub(self.outstanding);
        // In lumps: a message to the owner for every single frame would cost more than the frame.
        let lump = (self.allowance / self.frame / 4).min(LUMP);
        if self.outstanding == 0 || due >= lump.max(1) {
            due
        } else {
            0
        }
    }

    /// Whether nothing waited at the last look.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Credit was given.
    pub fn gave(&mut self, frames: usize) {
        self.outstanding += frames;
    }

    /// The owner has forgotten its credit.
    pub fn forget(&mut self) {
        self.outstanding = 0;
    }

    /// The owner used credit for a frame of so many bytes.
    pub fn used(&mut self, bytes: usize) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.pace.spend(bytes);
    }

    /// When to look again, if only the passing of time can bring new credit. The pauses grow while nothing
    /// leaves, so that a slow path is not watched a thousand times a second.
    pub fn look_again(&mut self) -> Option<Duration> {
        if self.outstanding > 0 {
            return None;
        }
        if let Some(pause) = self.pace.pause(self.frame) {
            return Some(pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards the orders of a link, which take no more than the credit: what is given beyond that is dropped, and its credit
    /// never comes back.
    #[test]
    fn a_train_on_a_short_path_is_no_more_than_the_most_credit() {
        let begin = Instant::now();
        let mut path = PathStats::default();
        (path.cwnd, path.rtt) = (10_000_000, Duration::from_micros(50));
        let mut valve = Valve::new(1 << 20, 1374, begin);
        valve.measure(&path, 1374, Wish::Train, begin + Duration::from_secs(1));
        let due = valve.due(1 << 20);
        assert!((1..=MAX_CREDIT).contains(&due), "{due}");
        valve.gave(due);
        assert_eq!(valve.due(1 << 20), MAX_CREDIT - due);
    }
}

//! At which rate frames leave. Pure: time is an argument.
//!
//! What waits for acknowledgements leaves as they come: in lumps, which wait in the queue of the line, with gaps between
//! them that stay for ever. Frames that leave evenly fill the line without a queue, and what is urgent has no more than one
//! of them before it.

use std::time::{Duration, Instant};

/// What may leave at once after a pause: so many frames, or what leaves in so much time. A train tells the rate of the line.
const BURST: (usize, Duration) = (10, Duration::from_millis(8));
/// Bytes that a packet has beside its frame: header, number, type, length and seal.
const OVERHEAD: usize = 31;

/// Bytes of the packet around a frame of so many.
fn on_line(frame: usize) -> f64 {
    (frame + OVERHEAD) as f64
}

/// How a controller wants frames to leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wish {
    /// As soon as the window allows.
    Free,
    /// The same, and now and then in a train, which is to tell the rate of the line.
    Train,
    /// At so many bytes a second.
    Rate(f64),
}

/// A bucket of bytes.
#[derive(Debug)]
pub(super) struct Pace {
    wish: Wish,
    /// Bytes that may leave.
    bytes: f64,
    at: Instant,
}

impl Pace {
    /// As for a connection that has sent nothing yet.
    pub(super) fn new(frame: usize, now: Instant) -> Self {
        Self {
            wish: Wish::Free,
            bytes: on_line(frame) * BURST.0 as f64,
            at: now,
        }
    }

    /// How frames leave from now on; without a pace these are about so many bytes a second as the window has `allowed`.
    pub(super) fn set(&mut self, wish: Wish, allowed: f64, frame: usize, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.wish = wish;
        let rate = self.rate().unwrap_or(allowed);
        let most = (rate * BURST.1.as_secs_f64()).max(on_line(frame) * BURST.0 as f64);
        self.bytes = (self.bytes + rate * passed).min(most);
        self.at = now;
    }

    /// A frame of so many bytes has left.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.bytes -= on_line(bytes);
        if self.rate().is_none() {
            self.bytes = self.bytes.max(0.0);
        }
    }

    /// Frames of so many bytes that may leave now.
    pub(super) fn frames(&self, frame: usize) -> usize {
        self.rate().map_or(usize::MAX, |_| self.burst(frame))
    }

    /// Frames of so many bytes that are to leave together, to find out the rate of the line.
    pub(super) fn train(&self, frame: usize) -> usize {
        match self.wish {
            Wish::Train => self.burst(frame),
            Wish::Free | Wish::Rate(_) => 0,
        }
    }

    fn rate(&self) -> Option<f64> {
        match self.wish {
            Wish::Rate(rate) => Some(rate),
            Wish::Free | Wish::Train => None,
        }
    }

    fn burst(&self, frame: usize) -> usize {
        (self.bytes.max(0.0) / on_line(frame)) as usize
    }

    /// How long until the next one may, if none may now.
    pub(super) fn pause(&self, frame: usize) -> Option<Duration> {
        let rate = self.rate()?.max(1.0);
        let lacking = on_line(frame) - self.bytes;
        (lacking > 0.0).then(|| Duration::from_secs_f64((lacking / rate).min(60.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 1000 - OVERHEAD;

    /// Guards the rate: after a burst, so many frames leave as the rate allows, evenly, and one that is not paced is not held.
    #[test]
    fn frames_leave_evenly() {
        let begin = Instant::now();
        let mut pace = Pace::new(FRAME, begin);
        assert_eq!((pace.frames(FRAME), pace.pause(FRAME)), (usize::MAX, None));
        let mut left = Vec::new();
        for ms in 0..1000 {
            let now = begin + Duration::from_millis(ms);
            pace.set(Wish::Rate(1e6), 0.0, FRAME, now);
            let frames = pace.frames(FRAME);
            (0..frames).for_each(|_| pace.spend(FRAME));
            left.push(frames);
        }
        assert_eq!(left[0], BURST.0);
        assert!(left[1..].iter().all(|frames| *frames <= 1 + 1));
        let all: usize = left[1..].iter().sum();
        assert!((995..=1000).contains(&all), "{all}");
        let pause = pace.pause(FRAME).unwrap();
        assert!(pause <= Duration::from_millis(1), "{pause:?}");
    }

    /// Guards trains: there is one at first and after a pause, none while frames leave as the window allows, and none where
    /// nobody asks for one.
    #[test]
    fn a_pause_makes_room_for_a_train() {
        let begin = Instant::now();
        let mut pace = Pace::new(FRAME, begin);
        assert_eq!(pace.train(FRAME), 0);
        pace.set(Wish::Train, 0.0, FRAME, begin);
        assert_eq!(pace.train(FRAME), BURST.0);
        (0..2 * BURST.0).for_each(|_| pace.spend(FRAME));
        assert_eq!(pace.train(FRAME), 0);
        pace.set(Wish::Train, 1e4, FRAME, begin + Duration::from_millis(450));
        assert_eq!((pace.train(FRAME), pace.frames(FRAME)), (4, usize::MAX));
        pace.set(Wish::Train, 1e4, FRAME, begin + Duration::from_secs(9));
        assert_eq!(pace.train(FRAME), BURST.0);
        pace.set(Wish::Rate(1e4), 0.0, FRAME, begin + Duration::from_secs(9));
        assert_eq!((pace.train(FRAME), pace.frames(FRAME)), (0, BURST.0));
    }
}

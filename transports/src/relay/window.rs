//! How far ahead of its owner's releases a relay hands frames over.

use super::store::Place;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// May always be handed over, in bytes: enough to begin with.
const LEAST_WINDOW: usize = 16 * 1024;
const SECOND: Duration = Duration::from_secs(1);

/// What was handed over and not released.
///
/// What waits in the stream was chosen too early: on a slow link the urgent would wait behind all of it. So no more is
/// handed over than the path holds, as the congestion controller sees it, and what the owner releases in a second,
/// which covers the time until frames are durable there.
#[derive(Default)]
pub(super) struct Window {
    frames: VecDeque<(u64, Place, usize)>,
    bytes: usize,
    /// When the second began in which so many bytes were released, and how many in the one before.
    second: Option<Instant>,
    released: usize,
    released_before: usize,
}

impl Window {
    pub(super) fn push(&mut self, number: u64, place: Place, length: usize) {
        self.frames.push_back((number, place, length));
        self.bytes += length;
    }

    /// How many bytes may be handed over now, with this congestion window and `most` in all.
    pub(super) fn room(&mut self, now: Instant, cwnd: u64, most: usize) -> usize {
        self.turn(now);
        let cwnd = usize::try_from(cwnd).unwrap_or(usize::MAX);
        let window = LEAST_WINDOW
            .saturating_add(cwnd.saturating_add(cwnd / 4))
            .saturating_add(self.released.max(self.released_before));
        window.min(most).saturating_sub(self.bytes)
    }

    /// Begins another second if this one is over.
    fn turn(&mut self, now: Instant) {
        let begun = *self.second.get_or_insert(now);
        let passed = now.saturating_duration_since(begun);
        if passed >= SECOND {
            let before = if passed < 2 * SECOND {
                self.released
            } else {
                0
            };
            (self.released_before, self.released) = (before, 0);
            self.second = Some(now);
        }
    }

    /// Lets go of all up to this number, and says where those are kept.
    pub(super) fn release(&mut self, now: Instant, upto: u64) -> Vec<Place> {
        self.turn(now);
        let mut places = Vec::new();
        while let Some(&(number, place, length)) = self.frames.front()
            && number <= upto
        {
            self.frames.pop_front();
            self.bytes -= length;
            self.released += length;
            places.push(place);
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 4 << 20;
    const CWND: u64 = 20_000;

    fn fill(window: &mut Window, now: Instant, next: &mut u64) -> usize {
        let before = window.bytes;
        while window.room(now, CWND, MOST) > 0 {
            *next += 1;
            let place = Place {
                tag: [0; 8],
                class: 3,
                number: *next,
            };
            window.push(*next, place, 1000);
        }
        window.bytes - before
    }

    /// An owner on a slow link has little ahead of what is urgent; one that releases fast is not held up, although it
    /// takes a while until frames are durable there.
    #[test]
    fn what_is_ahead_follows_what_is_released() {
        let (mut window, mut now, mut next) = (Window::default(), Instant::now(), 0);
        let first = fill(&mut window, now, &mut next);
        assert!(first < LEAST_WINDOW + 26_000, "{first}");
        for _ in 0..20 {
            now += Duration::from_millis(150);
            window.release(now, next);
            fill(&mut window, now, &mut next);
        }
        assert!(window.bytes >= MOST, "grows to the limit: {}", window.bytes);
        // Then the link becomes slow: a tenth of a frame in a second.
        for _ in 0..10 {
            now += Duration::from_secs(10);
            let oldest = window.frames[0].0;
            window.release(now, oldest);
            assert_eq!(window.room(now, CWND, MOST), 0);
        }
        window.release(now, next);
        now += Duration::from_secs(10);
        let again = fill(&mut window, now, &mut next);
        assert!(again < LEAST_WINDOW + 26_000, "{again}");
    }
}

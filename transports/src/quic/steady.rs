//! What is asked of a path whose rate is known: what it carries, and a short queue, so that it is never idle and nothing
//! waits for long.
//!
//! ```text
//! rate = gain × line        gain = trim × (1 - 0.4 × (queue - the short one) ÷ length of the path)
//! ```
//!
//! A queue shows a round later, and what is done about it another one later. So the gain answers with less than half of it;
//! the trim takes out, much more slowly, what the line seems to carry too much or too little, and comes back while there is no
//! queue, since an empty one does not say how much more would fit; and the line itself is followed slowly, unless it changes
//! beyond chance or more is tried for want of a queue.

/// The queue that is kept: a share of the path, but no more than so many seconds.
const SHORT: (f64, f64) = (0.04, 0.002);
/// How far the gain falls for a queue that is longer by as much as the path.
const YIELD: f64 = 0.4;
/// The same in the long run, in each round, and how much that may come to.
const TRIM: (f64, f64) = (0.05, 0.02);
/// The share of the trim that is taken back in a round without a queue.
const BACK: f64 = 1.0 / 8.0;
/// After so many rounds without a queue more is tried: half of the short one first, then twice as much each second round, since
/// it takes two to see what comes of it, up to this share of the path.
const QUIET: u8 = 3;
const SEEN_AFTER: u8 = 2;
const TRIED: f64 = 0.06;
/// Rounds without a queue that are many, and that are as many where none has shown yet that what is remembered is still right.
const LONG: u8 = 12;
const LONG_AT_FIRST: u8 = 6;
/// The least gain.
const GAIN_MIN: f64 = 0.8;
/// The share of a change of the line that is followed in a round, and what is a change beyond chance.
const FOLLOWED: f64 = 1.0 / 16.0;
const CHANCE: f64 = 0.05;

/// A path that is asked for what it carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steady {
    /// Rounds in a row without a queue.
    quiet: u8,
    trim: f64,
    line: f64,
    /// What the line carries is known: it is remembered, or a queue has shown it.
    found: bool,
}

impl Steady {
    /// Of which nothing is known but what may be remembered.
    pub(super) fn new(remembered: bool) -> Self {
        Self {
            quiet: LONG - LONG_AT_FIRST,
            trim: 1.0,
            line: 0.0,
            found: remembered,
        }
    }

    /// There was no queue yet, or for long: the line carries more, and what a single round shows is followed.
    pub(super) fn is_idle(&self) -> bool {
        !self.found
    }

    /// What the line carries in bytes a second, when a round seems to show `line`.
    pub(super) fn follow(&mut self, line: f64) -> f64 {
        let near = (line - self.line).abs() < self.line * CHANCE;
        let tried = self.is_idle() && line > self.line;
        let part = if near && !tried { FOLLOWED } else { 1.0 };
        self.line += (line - self.line) * part;
        self.line
    }

    /// The gain after a round with such a queue, as a share of the path, which is so many seconds long.
    pub(super) fn gain(&mut self, queue: f64, length: f64) -> f64 {
        let short = SHORT.0.min(SHORT.1 / length);
        self.quiet = match queue > short {
            true => 0,
            false => self.quiet.saturating_add(1),
        };
        self.found = match self.found {
            true => self.quiet < LONG,
            false => queue > SHORT.0,
        };
        if !self.found {
            return (1.0 + TRIED - queue / 2.0).max(GAIN_MIN);
        }
        if self.quiet > 0 {
            self.trim += (1.0 - self.trim) * BACK;
        }
        if self.quiet >= QUIET {
            let steps = (self.quiet - QUIET) / SEEN_AFTER;
            let doubled = short / 2.0 * f64::from(1 << steps.min(8));
            return self.trim + doubled.min(TRIED);
        }
        let over = queue - short;
        let trim = self.trim * (1.0 - TRIM.0 * over);
        self.trim = trim.clamp(1.0 - TRIM.1, 1.0 + TRIM.1);
        (self.trim * (1.0 - YIELD * over)).max(GAIN_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked of a line of rate 1, whose rate seems to be `seems`, for so many rounds: the queue in each of them, in
    /// seconds, as one shows that has begun two rounds ago.
    fn queues(length: f64, seems: f64, rounds: usize) -> Vec<f64> {
        let mut steady = Steady::new(true);
        let mut queues = vec![0.0; 3];
        for _ in 0..rounds {
            let known = queues[queues.len() - 2];
            let rate = steady.follow(seems) * steady.gain(known / length, length);
            let queue = queues[queues.len() - 1] + (rate - 1.0) * length;
            queues.push(queue.max(0.0));
        }
        queues
    }

    /// Guards that a queue stays short however long the path is, also where the line seems to carry a little more than it
    /// does.
    #[test]
    fn the_queue_is_short() {
        for length in [0.02, 0.1, 0.6, 1.2] {
            for seems in [1.0, 1.005, 1.01] {
                let queues = queues(length, seems, 600);
                let end = &queues[400..];
                let most = end.iter().copied().fold(0.0, f64::max);
                assert!(most < 0.008 + length * 0.05, "{length} s, {seems}: {most}");
            }
        }
    }

    /// Guards that a line is found again which carries more than it did, and that chance changes little.
    #[test]
    fn what_changes_beyond_chance_is_followed_at_once() {
        let mut steady = Steady::new(true);
        assert!((steady.follow(100.0) - 100.0).abs() < 1e-9);
        assert!((steady.follow(102.0) - 100.125).abs() < 1e-9);
        assert!((steady.follow(150.0) - 150.0).abs() < 1e-9);
        assert!(steady.gain(0.1, 0.6) < 1.0);
        let gains: Vec<f64> = (0..12).map(|_| steady.gain(0.0, 0.6)).collect();
        assert!(gains[0] < 1.01 && gains[11] > 1.05, "{gains:?}");
    }
}

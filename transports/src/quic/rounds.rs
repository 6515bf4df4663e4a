//! What the last round trips of a path have shown: how much it delivers, how much it loses, and how much leaves by it.

use std::collections::VecDeque;

/// Rounds that are remembered.
const ROUNDS: usize = 8;
/// Rounds in a row over which what the line carries is averaged: where one ends and the next begins is not exact, since
/// acknowledgements wait for others on their way.
const TOGETHER: usize = 3;
/// Loss beyond this is not made up for.
pub(super) const LOSS_MAX: f64 = 0.9;

/// What one round trip has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// How long it was, in seconds.
    pub(super) took: f64,
    /// Bytes that arrived, and that were lost.
    pub(super) acked: u64,
    pub(super) lost: u64,
    /// Bytes a second that can have left: what is told to be lost may have left long before.
    pub(super) most: f64,
}

impl Round {
    /// Bytes a second that arrived.
    pub(super) fn rate(&self) -> f64 {
        self.acked as f64 / self.took
    }

    /// The share of bytes that was lost.
    pub(super) fn loss(&self) -> f64 {
        self.lost as f64 / (self.acked + self.lost).max(1) as f64
    }

    /// Bytes a second that left.
    pub(super) fn left(&self) -> f64 {
        ((self.acked + self.lost) as f64 / self.took).min(self.most)
    }
}

/// The last rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds(VecDeque<Round>);

impl Rounds {
    /// Nothing of them counts any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Nothing counts any more but the last one.
    pub(super) fn forget_all_but_last(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(1));
    }

    /// A round is over.
    pub(super) fn push(&mut self, round: Round) {
        if self.0.len() == ROUNDS {
            self.0.pop_front();
        }
        self.0.push_back(round);
    }

    /// The last one.
    pub(super) fn last(&self) -> Option<&Round> {
        self.0.back()
    }

    /// The largest rate of delivery in bytes a second, or `known` if that is more.
    pub(super) fn rate(&self, known: f64) -> f64 {
        self.0.iter().map(Round::rate).fold(known, f64::max)
    }

    /// The mean loss.
    pub(super) fn loss(&self) -> f64 {
        let sum = |of: fn(&Round) -> u64| self.0.iter().map(of).sum::<u64>() as f64;
        let (acked, lost) = (sum(|round| round.acked), sum(|round| round.lost));
        lost / (acked + lost).max(1.0)
    }

    /// The most bytes a second that have left over some rounds in a row. Chance decides what arrives of them and not how many
    /// there are, so this is more exact than what arrives.
    pub(super) fn line(&self) -> f64 {
        self.over(TOGETHER.min(self.0.len()).max(1))
    }

    /// The same of single rounds: less exact, but sooner there when it grows.
    pub(super) fn line_of_one(&self) -> f64 {
        self.over(1)
    }

    fn over(&self, together: usize) -> f64 {
        let firsts = 0..(self.0.len() + 1).saturating_sub(together);
        let means = firsts.map(|first| {
            let rounds = || self.0.iter().skip(first).take(together);
            let left: f64 = rounds().map(|round| round.left() * round.took).sum();
            left / rounds().map(|round| round.took).sum::<f64>()
        });
        let made_up_for = (1.0 - self.loss()) / (1.0 - LOSS_MAX);
        means.fold(0.0, f64::max) * made_up_for.min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards what a line is thought to carry: chance in what is lost does not change it, the edge between two rounds little.
    #[test]
    fn what_leaves_is_not_blurred_by_loss() {
        let mut rounds = Rounds::default();
        assert_eq!(rounds.line(), 0.0);
        for n in 0..20u64 {
            let lost = 150_000 + n * 37 % 11 * 10_000;
            // Every other round ends a fiftieth too late, and the next one begins there.
            let late = if n % 2 == 0 { 1.02 } else { 0.98 };
            let (took, bytes) = (0.5 * late, 1_000_000);
            rounds.push(Round {
                took,
                acked: bytes - lost,
                lost,
                most: f64::INFINITY,
            });
        }
        let line = rounds.line() / 2e6;
        assert!((0.99..1.01).contains(&line), "{line}");
        assert!((0.15..0.26).contains(&rounds.loss()));
        assert!(rounds.rate(0.0) < 1.74e6 && rounds.rate(3e6) == 3e6);
    }

    /// Guards that a burst does not seem to make a line faster: it is told of in a round that has lost nothing itself.
    #[test]
    fn what_was_lost_before_does_not_count_now() {
        let mut rounds = Rounds::default();
        for lost in [0, 0, 900_000, 0, 0] {
            rounds.push(Round {
                took: 0.5,
                acked: 500_000,
                lost,
                most: 1.05e6,
            });
        }
        let lines = [rounds.line(), rounds.line_of_one()];
        assert!(
            lines.iter().all(|line| (1e6..1.06e6).contains(line)),
            "{lines:?}"
        );
    }
}

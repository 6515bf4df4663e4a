//! What a line is believed to carry for another reason than that rounds have shown it: it is remembered, a train has told it, or
//! the path has carried it before it was dead.
//!
//! It counts for some rounds, and for more if they have not shown as much: the first after a pause, or one with a burst of loss,
//! does not bring it down. A queue says that it was too much; but what leaves at once after a pause makes one as well, and where
//! as much has left as is believed, the line carries it.

use super::model::FLOOR;
use super::rounds::Round;

/// Rounds for which it counts, and how many of them one takes that has shown as much.
const TRUST: u8 = 16;
const SHOWN: u8 = 4;
/// A queue that says that it was too much, as a share of the path, beside that of a burst.
const QUEUE: f64 = 0.1;
/// What has left is less than what is believed beyond chance, if it is less than this share of it.
const AS_MUCH: f64 = 0.95;

/// A rate in bytes a second, loss not counted, and for how many rounds it counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Belief(Option<(f64, u8)>);

impl Belief {
    /// That the line carries so much; nothing is believed of one that carries nothing.
    pub(super) fn new(line: f64) -> Self {
        Self((line > 0.0).then_some((line, TRUST)))
    }

    /// Whether there is any.
    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// What the line is believed to carry; none without a belief.
    pub(super) fn line(&self) -> f64 {
        self.0.map_or(0.0, |(line, _)| line)
    }

    /// A round is over that has shown such a queue, as a share of a path of so many seconds.
    pub(super) fn doubt(&mut self, round: &Round, queue: f64, length: f64) {
        let Some((line, rounds)) = self.0 else {
            return;
        };
        let burst = FLOOR as f64 / line / length;
        let shown = round.left() >= line * AS_MUCH;
        let wrong = queue > QUEUE + burst && !shown;
        let rounds = rounds.saturating_sub(if shown { SHOWN } else { 1 });
        self.0 = (rounds > 0 && !wrong).then_some((line, rounds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards what ends a belief: rounds that have passed, or a queue with less than is believed; neither the queue of a burst
    /// nor one with as much.
    #[test]
    fn a_burst_does_not_end_a_belief() {
        let round = |bytes| Round {
            took: 0.1,
            acked: bytes,
            lost: 0,
            most: f64::INFINITY,
        };
        let after = |bytes, queue, rounds| {
            let mut belief = Belief::new(1e6);
            (0..rounds).for_each(|_| belief.doubt(&round(bytes), queue, 0.1));
            belief.line()
        };
        assert_eq!(after(80_000, 0.24, 15), 1e6);
        assert_eq!(after(80_000, 0.25, 1), 0.0);
        assert_eq!(after(98_000, 1.0, 3), 1e6);
        assert_eq!(after(98_000, 0.0, 4), 0.0);
        assert_eq!(after(80_000, 0.0, 16), 0.0);
        assert!(!Belief::new(0.0).is_some());
    }
}

//! How many seeds have shared their links with flows of others.

use super::describe::figure;
use super::summary::median;
use ostrakon::sim::Share;
use serde::Serialize;

/// What is in the middle of all that shared links have shown, and the worst of them.
#[derive(Clone, Debug, Serialize)]
pub struct Shared {
    median_jain: Option<f64>,
    worst_jain: Option<f64>,
    median_use: Option<f64>,
    worst_use: Option<f64>,
    median_queue_ratio: Option<f64>,
    worst_queue_ratio: Option<f64>,
    /// With a CUBIC flow in place of the nodes.
    median_cubic_jain: Option<f64>,
}

impl Shared {
    /// Of links; none of none.
    pub fn of(shares: &[Share]) -> Option<Self> {
        let sorted = |figure: fn(&Share) -> Option<f64>| {
            let mut all: Vec<f64> = shares.iter().filter_map(figure).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let (jain, used) = (sorted(|s| s.jain), sorted(|s| s.used));
        let queue = sorted(|s| s.queue_ratio);
        (!shares.is_empty()).then(|| Self {
            median_jain: median(&jain),
            worst_jain: jain.first().copied(),
            median_use: median(&used),
            worst_use: used.first().copied(),
            median_queue_ratio: median(&queue),
            worst_queue_ratio: queue.last().copied(),
            median_cubic_jain: median(&sorted(|s| s.cubic_jain)),
        })
    }

    /// The same for people.
    pub fn line(&self) -> String {
        format!(
            "shares: Jain's index median {} (with CUBIC instead {}), worst {}; use median {}, worst {}; queue beside that \
             with CUBIC median {}, worst {}",
            figure(self.median_jain),
            figure(self.median_cubic_jain),
            figure(self.worst_jain),
            figure(self.median_use),
            figure(self.worst_use),
            figure(self.median_queue_ratio),
            figure(self.worst_queue_ratio)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards what the last line says of shares: the middle, and the worst, which is the least index and the longest queue.
    #[test]
    fn the_middle_and_the_worst_are_told() {
        let share = |jain, queue_ratio| Share {
            link: "line".into(),
            from_s: 0.0,
            until_s: 1.0,
            own_bytes: 1,
            flows: vec![],
            jain: Some(jain),
            used: Some(0.5),
            mean_queue_bytes: 1.0,
            cubic_queue_bytes: 1.0,
            queue_ratio: Some(queue_ratio),
            cubic_jain: None,
        };
        assert!(Shared::of(&[]).is_none());
        let shared = Shared::of(&[share(0.9, 1.2), share(0.8, 1.0), share(1.0, 1.1)]).unwrap();
        let jain = (shared.median_jain, shared.worst_jain);
        assert_eq!(jain, (Some(0.9), Some(0.8)));
        let queue = (shared.median_queue_ratio, shared.worst_queue_ratio);
        assert_eq!(queue, (Some(1.1), Some(1.2)));
        assert_eq!(shared.median_cubic_jain, None);
    }
}

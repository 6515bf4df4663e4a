//! What texts cost beside their own bytes.

use super::summary::{median, p99};
use serde::Serialize;

/// Bytes of packets beside a text's own: manifest, headers and copies, without what its recipient sends back.
#[derive(Clone, Debug, Serialize)]
pub struct Costs {
    count: usize,
    mean_bytes: f64,
    median_bytes: f64,
    p99_bytes: u64,
    worst_bytes: u64,
}

impl Costs {
    /// Of numbers in order; none of none.
    pub fn of(costs: &[u64]) -> Option<Self> {
        let all: Vec<f64> = costs.iter().map(|cost| *cost as f64).collect();
        Some(Self {
            count: costs.len(),
            mean_bytes: all.iter().sum::<f64>() / all.len() as f64,
            median_bytes: median(&all)?,
            p99_bytes: *p99(costs)?,
            worst_bytes: *costs.last()?,
        })
    }

    /// For people.
    pub fn line(&self) -> String {
        format!(
            "a text costs {:.0} bytes of packets beside its own: median {:.0}, 99 of 100 within {}, worst {}",
            self.mean_bytes, self.median_bytes, self.p99_bytes, self.worst_bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_summed_up_from_the_least_to_the_worst() {
        assert!(Costs::of(&[]).is_none());
        let costs = Costs::of(&(1..=200).collect::<Vec<u64>>()).unwrap();
        assert_eq!((costs.mean_bytes, costs.median_bytes), (100.5, 100.5));
        assert_eq!((costs.p99_bytes, costs.worst_bytes), (198, 200));
    }
}

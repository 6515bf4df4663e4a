//! How late the emulator was against its model.

use std::time::Duration;

use crate::model::Nanos;

/// Steps into which each doubling is divided, so that a bucket is at most an eighth wider than its lower end.
const STEPS_LOG2: u32 = 3;
const BUCKETS: usize = ((64 - STEPS_LOG2 as usize) + 1) << STEPS_LOG2;

/// A histogram of lateness over all deliveries of a path: buckets at most 12.5 % wide, exact maximum.
#[derive(Debug, Clone)]
pub struct Lateness {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    max: Nanos,
}

impl Default for Lateness {
    fn default() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
            count: 0,
            max: 0,
        }
    }
}

impl Lateness {
    /// How many deliveries were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The worst.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// A lateness that `percent` of the deliveries did not exceed, rounded up by at most 12.5 %; zero if there were none.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        let wanted = (self.count as f64 * percent.clamp(0.0, 100.0) / 100.0).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return Duration::from_nanos(upper_end(index).min(self.max));
            }
        }
        Duration::ZERO
    }

    pub(crate) fn record(&mut self, late: Nanos) {
        if let Some(bucket) = self.buckets.get_mut(bucket_of(late)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(late);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }
}

impl std::fmt::Display for Lateness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "late by {:.1?} (median), {:.1?} (99 %), {:.1?} (worst) over {} deliveries",
            self.percentile(50.0),
            self.percentile(99.0),
            self.max(),
            self.count
        )
    }
}

/// The first values have a bucket each; above, the bucket is the highest bit and the `STEPS_LOG2` bits below it.
fn bucket_of(value: Nanos) -> usize {
    let octave = (64 - value.leading_zeros()).saturating_sub(STEPS_LOG2 + 1);
    ((octave as usize) << STEPS_LOG2) + (value >> octave) as usize
}

/// The largest value in a bucket.
fn upper_end(index: usize) -> Nanos {
    let octave = (index >> STEPS_LOG2).saturating_sub(1);
    let step = (index - (octave << STEPS_LOG2)) as u128 + 1;
    Nanos::try_from((step << octave) - 1).unwrap_or(Nanos::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards the bucket arithmetic: every value lies in a bucket that exists, under an upper end at most 12.5 % above it.
    #[test]
    fn buckets_hold_their_values() {
        let near_powers = (0..64).flat_map(|bit| {
            let power = 1u64 << bit;
            [power - 1, power, power + power / 3, power + (power - 1)]
        });
        for value in (0..5000).chain(near_powers).chain([u64::MAX]) {
            let bucket = bucket_of(value);
            let end = upper_end(bucket);
            assert!(
                bucket < BUCKETS && value <= end && end - value <= value / 8,
                "{value} {bucket} {end}"
            );
            assert!(
                bucket == 0 || upper_end(bucket - 1) < value,
                "{value} {bucket}"
            );
        }
    }

    /// Guards the percentiles: half of the deliveries are within the median, all within the maximum.
    #[test]
    fn percentiles_follow_the_order() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.percentile(50.0), Duration::ZERO);
        for micros in 1..=1000 {
            lateness.record(micros * 1000);
        }
        let median = lateness.percentile(50.0).as_micros();
        assert!((500..=563).contains(&median), "{median}");
        assert_eq!(lateness.percentile(100.0), Duration::from_millis(1));
        assert_eq!(lateness.max(), Duration::from_millis(1));
    }
}

//! What a train of packets that left together tells of a path: the slowest part of it spreads them, and so many as lie
//! between the first and the last that were acknowledged are what it carries in the time between. Those of them that were
//! lost behind that part count as well.

use std::time::Duration;

/// Packets that leave within this time are a train. Paced ones come apart at each tick of the timer.
const TOGETHER: Duration = Duration::from_micros(500);
/// Packets behind the first that a train has to have.
const ENOUGH: u64 = 5;
/// A packet or two that are told of so many times later than packets were apart before have not come late: the acknowledgement
/// has waited for another packet.
const APART: u32 = 8;

/// The train that is coming through.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Train {
    /// When its first packet left.
    sent: Duration,
    /// Packets of it that were acknowledged, and their bytes.
    acked: u64,
    bytes: u64,
    /// How many of it the acknowledgement at hand tells of.
    told: u32,
    /// When the first and the last came, with the largest number of a packet then.
    first: Option<(Duration, u64)>,
    last: (Duration, u64),
    /// Acknowledgements that have told of it. Of two alone, the second may have waited.
    acks: u32,
}

impl Train {
    /// A packet was acknowledged that left at `sent`.
    pub(super) fn on_ack(&mut self, sent: Duration, bytes: u64) {
        if sent.abs_diff(self.sent) > TOGETHER {
            *self = Self {
                sent,
                ..Self::default()
            };
        }
        (self.acked, self.bytes, self.told) = (self.acked + 1, self.bytes + bytes, self.told + 1);
    }

    /// All packets of an acknowledgement were told of; `largest` is their largest number.
    pub(super) fn on_end_acks(&mut self, now: Duration, largest: u64) {
        let told = std::mem::take(&mut self.told);
        if told == 0 {
            return;
        }
        let (first, first_number) = *self.first.get_or_insert((now, largest));
        let packets = self.last.1.saturating_sub(first_number);
        let apart = self.last.0.saturating_sub(first) / u32::try_from(packets.max(1)).unwrap_or(1);
        let waited = told <= 2 && packets > 0 && now.saturating_sub(self.last.0) > apart * APART;
        if !waited {
            self.last = (now, largest);
            self.acks += 1;
        }
    }

    /// Bytes a second at least and at most, if the train is long enough. Jitter pushes packets together; how late the first one
    /// was, compared with the `least` round trip and the time that two packets take, tells how much of it there may be. An
    /// acknowledgement that has waited for a second packet pulls them apart, by one packet at each end.
    pub(super) fn rate(&self, least: Duration) -> Option<(f64, f64)> {
        let (first, first_number) = self.first?;
        let packets = self.last.1.saturating_sub(first_number);
        let spread = self.last.0.saturating_sub(first);
        if packets < ENOUGH || self.acks < 3 || spread.is_zero() {
            return None;
        }
        let spread = spread.as_secs_f64();
        let late = first.saturating_sub(self.sent).saturating_sub(least);
        let jitter = (late.as_secs_f64() - 2.0 * spread / packets as f64).max(0.0);
        let bytes = packets as f64 * self.bytes as f64 / self.acked.max(1) as f64;
        let most = bytes * (packets + 2) as f64 / packets as f64;
        Some((bytes / (spread + 2.0 * jitter), most / spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten packets that left together and came in pairs, of which a few were lost on the way.
    fn train(spacing_us: u64, late_ms: u64, lost: &[u64]) -> Option<(f64, f64)> {
        let mut train = Train::default();
        let sent = Duration::from_secs(9);
        for number in (0..10).filter(|number| !lost.contains(number)) {
            let late = Duration::from_millis(600 + late_ms);
            train.on_ack(sent, 1250);
            train.on_end_acks(
                sent + late + Duration::from_micros(number * spacing_us),
                number,
            );
        }
        train.rate(Duration::from_millis(600))
    }

    /// Guards what a connection begins with: the rate at which a train came through, whatever of it was lost, and less of it
    /// if it may be jitter that has pushed the packets together, and at most two packets more; a train that arrived all at once
    /// tells nothing.
    #[test]
    fn a_train_tells_the_rate() {
        let near = |rate: f64| (rate / 2_500_000.0 - 1.0).abs() < 1e-6;
        let more = |rate: f64| near(rate * 9.0 / 11.0) || near(rate * 8.0 / 10.0);
        for lost in [&[][..], &[0, 3, 4]] {
            let (low, high) = train(500, 0, lost).unwrap();
            assert!(near(low) && more(high), "{low} to {high}");
        }
        let (low, high) = train(500, 10, &[]).unwrap();
        assert!(low < 600_000.0 && more(high), "{low} to {high}");
        assert_eq!(train(0, 0, &[]), None);
        assert_eq!(train(500, 0, &[5, 6, 7, 8, 9]), None);
    }
}

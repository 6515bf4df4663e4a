//! What a train of packets that left together tells of a path: the slowest part of it spreads them, and so many as lie
//! between the first and the last that were acknowledged are what it carries in the time between. Those of them that were
//! lost behind that part count as well.

use super::model::PACKET;
use std::time::Duration;

/// Packets that leave within less than this are a train: a host hands them over in several lumps.
const TOGETHER: Duration = Duration::from_millis(5);
/// A train that comes through so many quarters as long as it was when it left was spread by the line, as far as it goes. Of
/// another, such as packets that are paced, the line has waited for each.
const SPREAD: u32 = 5;
/// One that is so many quarters as long hardly let the line wait.
const SURE: u32 = 16;
/// Short packets tell little: what they wait for at either end takes longer than they do on the line.
const SHORT: u64 = PACKET / 4;
/// Packets behind the first that a train has to have.
const ENOUGH: u64 = 5;
/// A packet or two that are told of so many times later than packets were apart before have not come late: the acknowledgement
/// has waited for another packet.
const APART: u32 = 8;

/// What a train tells of the rate of the line, in bytes a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Told {
    /// At least.
    pub(super) low: f64,
    /// At most.
    pub(super) high: f64,
    /// The line had no time to wait for packets of the train, so it hardly carries more than the least.
    pub(super) sure: bool,
}

/// The train that is coming through.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Train {
    /// When its first packet left, and the last of those that were acknowledged.
    sent: Duration,
    last_sent: Duration,
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
        if sent.abs_diff(self.sent) >= TOGETHER {
            *self = Self {
                sent,
                ..Self::default()
            };
        }
        self.last_sent = self.last_sent.max(sent);
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

    /// What it tells, if it is long enough. Jitter pushes packets together; how late the first one was, compared with the
    /// `least` round trip and the time that two packets take, tells how much of it there may be. An acknowledgement that has
    /// waited for a second packet pulls them apart, by one packet at each end.
    pub(super) fn rate(&self, least: Duration) -> Option<Told> {
        let (first, first_number) = self.first?;
        let packets = self.last.1.saturating_sub(first_number);
        let spread = self.last.0.saturating_sub(first);
        let left = self.last_sent.saturating_sub(self.sent);
        let short = self.bytes < self.acked * SHORT;
        if packets < ENOUGH || self.acks < 3 || short || spread.is_zero() {
            return None;
        }
        if spread * 4 < left * SPREAD {
            return None;
        }
        let sure = spread * 4 >= left * SURE;
        let (spread, left) = (spread.as_secs_f64(), left.as_secs_f64());
        let late = first.saturating_sub(self.sent).saturating_sub(least);
        let jitter = (late.as_secs_f64() - 2.0 * spread / packets as f64).max(0.0);
        let bytes = packets as f64 * self.bytes as f64 / self.acked.max(1) as f64;
        let most = bytes * (packets + 2) as f64 / packets as f64;
        Some(Told {
            low: bytes / (spread + 2.0 * jitter),
            high: most / (spread - left),
            sure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten full packets that left together, of which a few were lost on the way.
    fn train(spacing_us: u64, late_ms: u64, lost: &[u64]) -> Option<Told> {
        lumps(1250, spacing_us, late_ms, lost, 0)
    }

    /// The same of packets of so many bytes, in lumps of four that left so many microseconds after each other.
    fn lumps(
        bytes: u64,
        spacing_us: u64,
        late_ms: u64,
        lost: &[u64],
        apart_us: u64,
    ) -> Option<Told> {
        let mut train = Train::default();
        let begun = Duration::from_secs(9);
        for number in (0..10).filter(|number| !lost.contains(number)) {
            let late = Duration::from_millis(600 + late_ms);
            train.on_ack(begun + Duration::from_micros(number / 4 * apart_us), bytes);
            train.on_end_acks(
                begun + late + Duration::from_micros(number * spacing_us),
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
            let Told { low, high, sure } = train(500, 0, lost).unwrap();
            assert!(sure);
            assert!(near(low) && more(high), "{low} to {high}");
        }
        let Told { low, high, .. } = train(500, 10, &[]).unwrap();
        assert!(low < 600_000.0 && more(high), "{low} to {high}");
        assert_eq!(train(0, 0, &[]), None);
        assert_eq!(train(500, 0, &[5, 6, 7, 8, 9]), None);
    }

    /// Guards that a host may take its time with a train, as long as the line takes longer; what comes as it left tells
    /// nothing, nor do short packets.
    #[test]
    fn a_train_may_leave_in_lumps() {
        for (apart, certain) in [(500, true), (1000, false), (1500, false)] {
            let Told { low, high, sure } = lumps(1250, 500, 0, &[], apart).unwrap();
            assert!((low / 2_500_000.0 - 1.0).abs() < 1e-6, "{low}");
            assert!((3_000_000.0..10_000_000.0).contains(&high), "{high}");
            assert_eq!(sure, certain, "{apart}");
        }
        assert_eq!(lumps(1250, 500, 0, &[], 2000), None);
        assert_eq!(lumps(1250, 500, 0, &[], 6000), None);
        assert_eq!(lumps(120, 500, 0, &[], 0), None);
    }
}

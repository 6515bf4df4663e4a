//! How a link has done: rate of delivery, loss and round trip, as reports tell of them.
//!
//! How much may be in flight is for the transport to say: it sees acknowledgements of every packet, where reports are some
//! time apart. What is measured here says what a fragment under way is worth, when it is late, and what people see.
//! A round is the time between two reports, at least one round trip.

use super::io::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// Rounds over which the largest rate counts.
const ROUNDS: usize = 8;
/// Bytes over which loss is averaged: what is planned by it is planned for blocks of about as many.
const LOSS_MEMORY: u64 = 1_000_000;
/// Bytes without loss that count as seen before any are: of a few fragments, some may be lost by chance.
const LOSS_DOUBTED: u64 = 32_000;

/// One link's measurements. Pure: time comes in.
#[derive(Clone, Debug)]
pub struct RateMeter {
    in_flight: u64,
    /// Bytes per second of each round.
    rounds: VecDeque<u64>,
    round_start: Option<Time>,
    round_bytes: u64,
    /// Loss as parts in 65536, smoothed.
    loss: u32,
    /// Bytes that the loss was measured over, up to [`LOSS_MEMORY`], from [`LOSS_DOUBTED`] on.
    loss_seen: u64,
    srtt: Option<Duration>,
    rtt_var: Duration,
    min_rtt: Option<Duration>,
    configured: Option<u64>,
}

impl RateMeter {
    /// With what an operator has configured: bits per second and round-trip time.
    pub fn new(rate_bps: Option<u64>, rtt: Option<Duration>) -> Self {
        Self {
            in_flight: 0,
            rounds: VecDeque::new(),
            round_start: None,
            round_bytes: 0,
            loss: 0,
            loss_seen: LOSS_DOUBTED,
            srtt: rtt,
            rtt_var: rtt.unwrap_or_default() / 4,
            min_rtt: None,
            configured: rate_bps.map(|bits| bits / 8),
        }
    }

    /// Bytes sent about which nothing is known yet.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Mean loss in parts per million.
    pub fn loss_ppm(&self) -> u32 {
        ((u64::from(self.loss) * 1_000_000) >> 16) as u32
    }

    /// Whether loss was measured at all.
    pub fn loss_known(&self) -> bool {
        self.loss_seen > LOSS_DOUBTED
    }

    /// Smoothed round-trip time, reports included.
    pub fn srtt(&self) -> Option<Duration> {
        self.srtt
    }

    /// The least round-trip time so far, reports included.
    pub fn least_rtt(&self) -> Option<Duration> {
        self.min_rtt
    }

    /// How long after sending a fragment it should have been reported: smoothed round trip and four deviations.
    pub fn patience(&self) -> Duration {
        let srtt = self.srtt.unwrap_or(Duration::from_secs(1));
        srtt + (self.rtt_var * 4).max(Duration::from_millis(50))
    }

    /// How far the order of arrival may differ from that of sending.
    pub fn reordering(&self) -> Duration {
        (self.min_rtt.unwrap_or_default() / 8).max(Duration::from_millis(20))
    }

    /// Rate of delivery in bytes per second: measured, else configured.
    pub fn rate(&self) -> Option<u64> {
        self.rounds.iter().max().copied().or(self.configured)
    }

    /// Rate of delivery in bytes per second, if it was measured.
    pub fn rate_measured(&self) -> Option<u64> {
        self.rounds.iter().max().copied().filter(|&rate| rate > 0)
    }

    /// A frame left.
    pub fn on_sent(&mut self, now: Time, bytes: usize) {
        self.in_flight += bytes as u64;
        self.round_start.get_or_insert(now);
    }

    /// A fragment counts no longer as in flight, for a reason that says nothing of the link.
    pub fn forget(&mut self, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(bytes as u64);
    }

    /// A report tells of fragments: bytes delivered, bytes lost, and the round trip of the youngest that arrived.
    pub fn on_feedback(&mut self, now: Time, delivered: u64, lost: u64, rtt: Option<Duration>) {
        self.in_flight = self.in_flight.saturating_sub(delivered + lost);
        if let Some(rtt) = rtt {
            self.on_rtt(rtt);
        }
        self.on_loss(delivered, lost);
        self.round_bytes += delivered;
        let round = self
            .min_rtt
            .unwrap_or(Duration::from_millis(100))
            .max(Duration::from_millis(20));
        if let Some(start) = self.round_start
            && now.since(start) >= round
        {
            self.end_round(now, now.since(start));
        }
    }

    fn end_round(&mut self, now: Time, took: Duration) {
        let rate = u128::from(self.round_bytes) * 1_000_000 / took.as_micros().max(1);
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        if self.rounds.len() == ROUNDS {
            self.rounds.pop_front();
        }
        self.rounds.push_back(rate);
        self.round_bytes = 0;
        self.round_start = (self.in_flight > 0).then_some(now);
    }

    fn on_rtt(&mut self, sample: Duration) {
        self.min_rtt = Some(self.min_rtt.map_or(sample, |least| least.min(sample)));
        let srtt = match self.srtt {
            None => {
                self.rtt_var = sample / 2;
                sample
            }
            Some(old) => {
                self.rtt_var = (self.rtt_var * 3 + old.abs_diff(sample)) / 4;
                (old * 7 + sample) / 8
            }
        };
        self.srtt = Some(srtt);
    }

    /// The mean of what was seen so far, and of about [`LOSS_MEMORY`] later.
    fn on_loss(&mut self, delivered: u64, lost: u64) {
        let total = delivered + lost;
        if total == 0 {
            return;
        }
        self.loss_seen = (self.loss_seen + total).min(LOSS_MEMORY);
        let weight = total.min(self.loss_seen);
        let (old, share) = (u64::from(self.loss), (lost << 16) / total);
        let mixed = (old * (self.loss_seen - weight) + share * weight) / self.loss_seen;
        self.loss = u32::try_from(mixed).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Time {
        Time(n * 1_000_000)
    }

    /// Guards what fragments are weighed by: the loss that there is, and the rate that comes through.
    #[test]
    fn loss_and_rate_are_what_reports_tell() {
        let mut rate = RateMeter::new(None, None);
        let rtt = Duration::from_millis(600);
        for round in 1..20 {
            rate.on_sent(ms(600 * (round - 1)), 750_000);
            rate.on_feedback(ms(600 * round), 600_000, 150_000, Some(rtt));
        }
        let (loss, measured) = (rate.loss_ppm(), rate.rate_measured());
        assert!((150_000..250_000).contains(&loss), "{loss}");
        assert_eq!(measured, Some(1_000_000));
        assert_eq!(rate.in_flight(), 0);
    }

    /// Guards what the first report tells: of many fragments what they lost, of two next to nothing.
    #[test]
    fn the_first_loss_counts_by_how_much_was_seen() {
        let after = |delivered, lost| {
            let mut rate = RateMeter::new(None, None);
            assert!(!rate.loss_known());
            rate.on_feedback(ms(600), delivered, lost, None);
            assert!(rate.loss_known());
            rate.loss_ppm()
        };
        assert!((170_000..200_000).contains(&after(190_000, 48_000)));
        assert!(after(1_400, 1_400) < 50_000);
    }
}

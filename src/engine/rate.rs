//! Rate control of one link: how much may be in flight, and when the next frame may leave.
//!
//! ```text
//! window = gain × (largest delivery rate of the last 8 rounds) ÷ (1 - mean loss) × (least round trip + mean wait)
//! ```
//!
//! The wait is how long a fragment that arrived stays unreported: it has to become durable, and reports are some
//! time apart. Loss does not shrink the window, queueing does: once the smoothed round trip exceeds 1.25 × the
//! least, the gain falls below one until the queue is gone. Until the rate has failed three times to grow by a quarter
//! from round to round, the gain is two. A round is the time between two reports, at least one round trip.
//! Where the transport paces by itself this machine only measures.

use super::io::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes that may leave before anything is known.
const INITIAL_WINDOW: u64 = 16 * 1500;
/// Rounds over which the largest rate counts.
const ROUNDS: usize = 8;
/// How much round trips differ for no other reason than when reports happen to leave.
const REPORT_JITTER: Duration = Duration::from_millis(100);
/// Rounds without growth that end the start.
const FLAT: u8 = 3;

/// One link's state. Pure: time comes in, decisions go out.
#[derive(Clone, Debug)]
pub struct RateControl {
    in_flight: u64,
    /// Bytes per second of each round.
    rounds: VecDeque<u64>,
    round_start: Option<Time>,
    round_bytes: u64,
    /// Loss as parts in 65536, smoothed.
    loss: u32,
    loss_known: bool,
    srtt: Option<Duration>,
    rtt_var: Duration,
    min_rtt: Option<Duration>,
    /// Smoothed time that arrived fragments stay unreported.
    wait: Duration,
    /// Rounds in a row that did not grow.
    flat: u8,
    configured: Option<u64>,
    next_frame: Time,
}

impl RateControl {
    /// With what an operator has configured: bits per second and round-trip time.
    pub fn new(rate_bps: Option<u64>, rtt: Option<Duration>) -> Self {
        Self {
            in_flight: 0,
            rounds: VecDeque::new(),
            round_start: None,
            round_bytes: 0,
            loss: 0,
            loss_known: false,
            srtt: rtt,
            rtt_var: rtt.unwrap_or_default() / 4,
            min_rtt: None,
            wait: Duration::ZERO,
            flat: 0,
            configured: rate_bps.map(|bits| bits / 8),
            next_frame: Time(0),
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
        self.loss_known
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

    /// Bytes that may be in flight.
    pub fn window(&self) -> u64 {
        let (Some(rate), Some(rtt)) = (self.rate(), self.min_rtt.or(self.srtt)) else {
            return INITIAL_WINDOW;
        };
        let delivered = u128::from(rate) * (rtt + self.wait).as_micros() / 1_000_000;
        let sent = (delivered << 16) / u128::from(65_536 - self.loss.min(49_152));
        let window = u64::try_from(sent).unwrap_or(u64::MAX);
        (window / 8)
            .saturating_mul(self.gain_eighths())
            .max(INITIAL_WINDOW)
    }

    fn gain_eighths(&self) -> u64 {
        let queued = match (self.srtt, self.min_rtt) {
            (Some(srtt), Some(least)) => srtt > least * 5 / 4 + REPORT_JITTER,
            _ => false,
        };
        match (queued, self.flat < FLAT) {
            (true, _) => 7,
            (false, true) => 16,
            // Always a little more than was delivered, or a slow start would last for ever.
            (false, false) => 10,
        }
    }

    /// When the next frame may leave; `None` waits for a report.
    pub fn next_frame(&self, bytes: usize) -> Option<Time> {
        (self.in_flight + bytes as u64 <= self.window()).then_some(self.next_frame)
    }

    /// A frame left.
    pub fn on_sent(&mut self, now: Time, bytes: usize) {
        self.in_flight += bytes as u64;
        self.round_start.get_or_insert(now);
        if let (Some(_), Some(rtt)) = (self.rate(), self.srtt) {
            let spread = rtt.as_nanos() as u64 / 5 * 4;
            let gap = spread.saturating_mul(bytes as u64) / self.window().max(1);
            self.next_frame = self.next_frame.max(now).after(Duration::from_nanos(gap));
        }
    }

    /// A fragment counts no longer as in flight, for a reason that says nothing of the link.
    pub fn forget(&mut self, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(bytes as u64);
    }

    /// A report tells of fragments: bytes delivered, bytes lost, the round trip of the youngest that arrived, and
    /// the mean age of all that did.
    pub fn on_feedback(
        &mut self,
        now: Time,
        delivered: u64,
        lost: u64,
        ages: Option<(Duration, Duration)>,
    ) {
        self.in_flight = self.in_flight.saturating_sub(delivered + lost);
        if let Some((rtt, mean)) = ages {
            self.on_rtt(rtt);
            self.wait = (self.wait * 7 + mean.saturating_sub(rtt)) / 8;
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
        let best = self.rounds.iter().max().copied().unwrap_or(0);
        self.flat = if rate > best + best / 4 {
            0
        } else {
            self.flat.saturating_add(1)
        };
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

    /// Smooths over about 200 fragments' worth of bytes, faster while little is known.
    fn on_loss(&mut self, delivered: u64, lost: u64) {
        let total = delivered + lost;
        if total == 0 {
            return;
        }
        let share = (lost << 16) / total;
        let weight = if self.loss_known {
            total.min(200_000)
        } else {
            200_000
        };
        let old = u64::from(self.loss);
        let mixed = (old * (400_000 - weight) + share * weight) / 400_000;
        self.loss = u32::try_from(if self.loss_known { mixed } else { share / 2 }).unwrap_or(0);
        self.loss_known = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Time {
        Time(n * 1_000_000)
    }

    #[test]
    fn loss_alone_does_not_shrink_the_window_and_a_queue_does() {
        let mut rate = RateControl::new(None, None);
        let rtt = Duration::from_millis(600);
        for round in 1..20 {
            rate.on_sent(ms(600 * (round - 1)), 750_000);
            rate.on_feedback(ms(600 * round), 600_000, 150_000, Some((rtt, rtt)));
        }
        let bdp = 600_000;
        assert!(rate.window() > bdp, "{} at 20 % loss", rate.window());
        assert!(
            (150_000..250_000).contains(&rate.loss_ppm()),
            "{}",
            rate.loss_ppm()
        );
        let before = rate.window();
        for round in 20..30 {
            rate.on_sent(ms(600 * (round - 1)), 750_000);
            rate.on_feedback(ms(600 * round), 600_000, 150_000, Some((rtt * 2, rtt * 2)));
        }
        assert!(rate.window() < before);
    }
}

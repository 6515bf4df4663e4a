//! A congestion controller that does not take random loss for congestion.
//!
//! ```text
//! window = gain × (largest delivery rate of the last 8 rounds) × (least round trip + at most 25 ms)
//!          ÷ (1 - least loss of the last 8 rounds)
//! ```
//!
//! The 25 ms are the time that a receiver may keep an acknowledgement back (RFC 9000, section 18.2): without them
//! a window measured on a short path would shrink from round to round. They count for half the least round trip at
//! most, or the queue of a fast short path would overflow.
//!
//! The library's BBR overruns satellite paths by a factor of two or three, because it takes the rate between two
//! neighbouring acknowledgements for that of the path; and CUBIC (RFC 9438) carries a fiftieth of such a path at
//! one lost packet in a hundred. This model measures the rate over whole round trips. Loss only says how much more
//! has to be under way for the same delivery; the least of several rounds is taken, so that what its own start has
//! flooded does not count. Queueing makes it give way: once the smoothed round trip exceeds 1.25 × the least, the gain
//! is below one. It is made for links that are one's own: beside CUBIC it was not tested.

use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;
use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rounds that are remembered.
const ROUNDS: usize = 8;
/// Rounds without growth by a quarter that end the start.
const FLAT: u8 = 3;
/// Loss beyond this is not made up for.
const LOSS_MAX: f64 = 0.4;
/// The least window in bytes: ten packets.
const FLOOR: u64 = 10 * 1472;
/// How long an acknowledgement may be kept back.
const ACK_DELAY: Duration = Duration::from_millis(25);

/// Makes controllers with a given initial window in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelConfig {
    pub(super) initial_window: u64,
}

impl ControllerFactory for ModelConfig {
    fn build(self: Arc<Self>, now: Instant, _current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Model::new(self.initial_window, now))
    }
}

/// What one round trip has shown.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Bytes a second.
    rate: f64,
    /// Share of bytes that was lost.
    loss: f64,
}

#[derive(Clone, Debug)]
struct Model {
    initial: u64,
    window: u64,
    rounds: VecDeque<Round>,
    round_start: Instant,
    acked: u64,
    lost: u64,
    srtt: Duration,
    least: Duration,
    flat: u8,
}

impl Model {
    fn new(initial: u64, now: Instant) -> Self {
        Self {
            initial,
            window: initial,
            rounds: VecDeque::new(),
            round_start: now,
            acked: 0,
            lost: 0,
            srtt: Duration::ZERO,
            least: Duration::MAX,
            flat: 0,
        }
    }

    fn best_rate(&self) -> f64 {
        self.rounds
            .iter()
            .map(|round| round.rate)
            .fold(0.0, f64::max)
    }

    fn least_loss(&self) -> f64 {
        self.rounds
            .iter()
            .map(|round| round.loss)
            .fold(LOSS_MAX, f64::min)
    }

    fn is_queued(&self) -> bool {
        self.srtt > self.least.saturating_mul(5) / 4 + Duration::from_millis(5)
    }

    fn end_round(&mut self, now: Instant, app_limited: bool) {
        let took = now.duration_since(self.round_start).as_secs_f64();
        let total = self.acked + self.lost;
        let round = Round {
            rate: self.acked as f64 / took,
            loss: self.lost as f64 / total.max(1) as f64,
        };
        (self.round_start, self.acked, self.lost) = (now, 0, 0);
        let best = self.best_rate();
        // A round in which there was little to send says nothing but that so much is possible.
        if app_limited && round.rate < best {
            return;
        }
        self.flat = if round.rate > best * 1.25 {
            0
        } else {
            self.flat.saturating_add(1)
        };
        if self.rounds.len() == ROUNDS {
            self.rounds.pop_front();
        }
        self.rounds.push_back(round);
        self.set_window();
    }

    fn set_window(&mut self) {
        let gain = match (self.is_queued(), self.flat < FLAT) {
            (true, _) => 0.9,
            (false, true) => 2.0,
            (false, false) => 1.1,
        };
        let path = self
            .least
            .saturating_add(ACK_DELAY.min(self.least / 2))
            .as_secs_f64();
        let product = self.best_rate() * path / (1.0 - self.least_loss());
        self.window = ((gain * product) as u64).max(FLOOR);
        if self.flat < FLAT && !self.is_queued() {
            self.window = self.window.max(self.initial);
        }
    }
}

impl Controller for Model {
    fn on_ack(
        &mut self,
        _now: Instant,
        _sent: Instant,
        bytes: u64,
        _app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.acked += bytes;
        self.srtt = rtt.get();
        self.least = self.least.min(rtt.min());
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        _in_flight: u64,
        app_limited: bool,
        _largest: Option<u64>,
    ) {
        let round = self.srtt.max(Duration::from_millis(20));
        if self.acked > 0 && now.duration_since(self.round_start) >= round {
            self.end_round(now, app_limited);
        }
    }

    fn on_congestion_event(
        &mut self,
        _now: Instant,
        _sent: Instant,
        persistent: bool,
        lost_bytes: u64,
    ) {
        self.lost += lost_bytes;
        if persistent {
            // Nothing came through for long: the path may be another one now.
            self.rounds.clear();
            self.flat = 0;
            self.window = self.initial.min(self.window).max(FLOOR);
        }
    }

    fn on_mtu_update(&mut self, _new_mtu: u16) {}

    fn window(&self) -> u64 {
        self.window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.initial
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

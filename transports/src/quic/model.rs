//! How much may be in flight on a path: a model of its rate that does not take random loss for congestion. Pure: time is
//! an argument. `controller.rs` plugs it into the library.
//!
//! ```text
//! window = gain × (largest delivery rate of the last 8 rounds) × (least round trip + wait for an acknowledgement)
//!          ÷ (1 - least loss of the last 8 rounds)
//! ```
//!
//! An acknowledgement waits for a second packet or 25 ms (RFC 9000, sections 13.2.2 and 18.2), whichever is sooner.
//! Without that time the window of a slow short path would shrink from round to round.
//!
//! The library's BBR overruns satellite paths by a factor of two or three, because it takes the rate between two
//! neighbouring acknowledgements for that of the path; and CUBIC (RFC 9438) carries a fiftieth of such a path at
//! one lost packet in a hundred. This model measures the rate over whole round trips. Loss only says how much more
//! has to be under way for the same delivery.
//!
//! What the sender loses by its own flood must not count as loss of the path, or the flood would go on for ever. Two
//! things see to that. Queueing makes the sender give way: once the smoothed round trip exceeds 1.25 × the least, the gain
//! is below one. And a queue too short to show that much is found out by *draining*: at the end of the start, and when
//! there is more loss than a drain has shown, together with some queueing, the gain is three quarters for one round. What
//! is lost even then is the path's own loss, and it is the least of eight rounds that counts.
//!
//! It is made for links that are one's own: beside CUBIC it was not tested.

use std::collections::VecDeque;
use std::time::Duration;

/// Rounds that are remembered.
const ROUNDS: usize = 8;
/// Rounds without growth by a quarter that end the start.
const FLAT: u8 = 3;
/// Loss beyond this is not made up for.
const LOSS_MAX: f64 = 0.4;
/// Loss beyond what a drain has shown from which on a queue is suspected to be the reason.
const LOSS_SUSPECT: f64 = 0.01;
/// After so many rounds what a drain has shown is not believed any more: the path may have changed.
const BELIEVED: usize = 64;
/// Bytes of a packet.
const PACKET: u64 = 1472;
/// The least window in bytes: ten packets.
pub(super) const FLOOR: u64 = 10 * PACKET;
/// How long an acknowledgement may be kept back.
const ACK_DELAY: f64 = 0.025;

/// What one round trip has shown.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Bytes a second.
    rate: f64,
    /// Share of bytes that was lost.
    loss: f64,
}

/// The model of one path.
#[derive(Clone, Debug)]
pub struct RateModel {
    initial: u64,
    window: u64,
    rounds: VecDeque<Round>,
    round_start: Duration,
    acked: u64,
    lost: u64,
    srtt: Duration,
    least: Duration,
    /// Rounds without growth.
    flat: u8,
    /// Rounds since the last one with a low gain.
    since_drain: usize,
    /// The loss that was left after it.
    own_loss: f64,
}

impl RateModel {
    /// Nothing is known but how much may be in flight at first. `now` counts from any origin.
    pub fn new(initial: u64, now: Duration) -> Self {
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
            since_drain: 0,
            own_loss: 0.0,
        }
    }

    /// Bytes that may be in flight.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Bytes that may be in flight at first.
    pub fn initial(&self) -> u64 {
        self.initial
    }

    /// Bytes were acknowledged; what the path's round trip is thought to be, smoothed and least.
    pub fn on_ack(&mut self, bytes: u64, srtt: Duration, least: Duration) {
        self.acked += bytes;
        // Not the least of all that was told: with the first acknowledgement the library tells what it assumed.
        (self.srtt, self.least) = (srtt, least);
    }

    /// All acknowledgements of one packet were told of. `limited`: there was less to send than was allowed.
    pub fn on_end_acks(&mut self, now: Duration, limited: bool) {
        let round = self.srtt.max(Duration::from_millis(20));
        let took = now.saturating_sub(self.round_start);
        if self.acked > 0 && took >= round {
            self.end_round(now, took.as_secs_f64(), limited);
        }
    }

    /// Bytes were lost. `persistent`: nothing came through for long, so the path may be another one now.
    pub fn on_loss(&mut self, bytes: u64, persistent: bool) {
        self.lost += bytes;
        if persistent {
            self.rounds.clear();
            (self.flat, self.since_drain, self.own_loss) = (0, 0, 0.0);
            self.window = self.initial.min(self.window).max(FLOOR);
        }
    }

    fn best_rate(&self) -> f64 {
        let rates = self.rounds.iter().map(|round| round.rate);
        rates.fold(0.0, f64::max)
    }

    fn least_loss(&self) -> f64 {
        let losses = self.rounds.iter().map(|round| round.loss);
        losses.fold(LOSS_MAX, f64::min)
    }

    /// The round trip is longer than it could be by so much that a queue must be the reason.
    fn is_queued(&self) -> bool {
        self.srtt > self.least.saturating_mul(5) / 4 + Duration::from_millis(5)
    }

    /// There is loss, and enough of a queue that it may come from there.
    fn is_suspect(&self) -> bool {
        let believed = if self.since_drain < BELIEVED {
            self.own_loss * 1.25
        } else {
            0.0
        };
        self.since_drain >= ROUNDS
            && self.least_loss() > believed + LOSS_SUSPECT
            && self.srtt > self.least.saturating_mul(21) / 20 + Duration::from_millis(1)
    }

    fn end_round(&mut self, now: Duration, took: f64, limited: bool) {
        let total = self.acked + self.lost;
        let round = Round {
            rate: self.acked as f64 / took,
            loss: self.lost as f64 / total.max(1) as f64,
        };
        (self.round_start, self.acked, self.lost) = (now, 0, 0);
        let best = self.best_rate();
        // A round in which there was little to send says nothing but that so much is possible.
        if limited && round.rate < best {
            return;
        }
        let starting = self.flat < FLAT;
        self.flat = if round.rate > best * 1.25 {
            0
        } else {
            self.flat.saturating_add(1)
        };
        if self.rounds.len() == ROUNDS {
            self.rounds.pop_front();
        }
        self.rounds.push_back(round);
        self.since_drain += 1;
        let started = starting && self.flat >= FLAT;
        if self.since_drain == ROUNDS - 1 {
            // The rounds that the drain has thinned out are among those remembered.
            self.own_loss = self.least_loss();
        }
        let drain = started || self.is_suspect();
        if drain {
            self.since_drain = 0;
        }
        self.set_window(drain);
    }

    fn set_window(&mut self, drain: bool) {
        let gain = match (drain, self.is_queued(), self.flat < FLAT) {
            (true, ..) => 0.75,
            (false, true, _) => 0.9,
            (false, false, true) => 2.0,
            (false, false, false) => 1.1,
        };
        let rate = self.best_rate();
        let wait = (2.0 * PACKET as f64 / rate.max(1.0)).min(ACK_DELAY);
        let product = rate * (self.least.as_secs_f64() + wait) / (1.0 - self.least_loss());
        self.window = ((gain * product) as u64).max(FLOOR);
        if self.flat < FLAT && !self.is_queued() {
            self.window = self.window.max(self.initial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path on which whole windows cross: `rate` bytes a second, a round trip, a drop-tail queue in bytes, and random
    /// loss. Every two-hundredth of a round trip the sender fills its window, and what left a round trip ago is acknowledged.
    struct Path {
        rate: f64,
        trip: f64,
        queue: f64,
        loss: f64,
    }

    /// What became of the bytes offered in the last half of a run.
    struct Shares {
        /// Delivered, of what the path could have.
        used: f64,
        /// Dropped at the queue, of what was offered.
        dropped: f64,
    }

    impl Path {
        fn run(&self, seconds: f64) -> Shares {
            let tick = self.trip / 200.0;
            let mut model = RateModel::new(32 * PACKET, Duration::ZERO);
            let (mut waiting, mut in_flight) = (0.0_f64, 0.0_f64);
            let mut acks: VecDeque<(f64, f64, f64, f64)> = VecDeque::new();
            let (mut offered, mut dropped, mut delivered) = (0.0, 0.0, 0.0);
            let (mut srtt, mut least) = (self.trip, f64::MAX);
            let ticks = (seconds / tick) as u64;
            for n in 0..ticks {
                let now = n as f64 * tick;
                waiting = (waiting - self.rate * tick).max(0.0);
                // The pacer spreads a window over four fifths of a round trip.
                let paced = model.window() as f64 * 1.25 / srtt * tick;
                let send = (model.window() as f64 - in_flight).clamp(0.0, paced);
                let taken = send.min((self.queue - waiting).max(0.0) + self.rate * tick);
                waiting += taken;
                in_flight += send;
                let trip = self.trip + waiting / self.rate;
                acks.push_back((
                    now + trip,
                    taken * (1.0 - self.loss),
                    send - taken * (1.0 - self.loss),
                    trip,
                ));
                if n > ticks / 2 {
                    (offered, dropped) = (offered + send, dropped + send - taken);
                    delivered += taken * (1.0 - self.loss);
                }
                while let Some(&(at, acked, lost, trip)) = acks.front()
                    && at <= now
                {
                    acks.pop_front();
                    in_flight -= acked + lost;
                    srtt += (trip - srtt) / 8.0;
                    least = least.min(trip);
                    let seconds = Duration::from_secs_f64;
                    model.on_loss(lost.round() as u64, false);
                    if acked >= 1.0 {
                        model.on_ack(acked.round() as u64, seconds(srtt), seconds(least));
                        model.on_end_acks(seconds(now), false);
                    }
                }
            }
            let possible = self.rate * (1.0 - self.loss) * seconds / 2.0;
            Shares {
                used: delivered / possible,
                dropped: dropped / offered,
            }
        }
    }

    /// Guards that the model fills a path whatever it loses, and does not flood its queue, be it long or short.
    #[test]
    fn a_path_is_filled_and_not_flooded() {
        let paths = [
            (12.5e6, 0.020, 0.010, 0.0),
            (12.5e6, 0.020, 0.020, 0.0),
            (12.5e6, 0.020, 0.020, 0.05),
            (1.25e6, 0.600, 0.600, 0.01),
            (1.25e6, 0.600, 0.600, 0.20),
            (0.25e6, 0.080, 0.160, 0.0),
            (0.125e6, 0.020, 0.240, 0.02),
        ];
        for (rate, trip, queue_s, loss) in paths {
            let queue = rate * queue_s;
            let shares = Path {
                rate,
                trip,
                queue,
                loss,
            }
            .run(60.0);
            let what = format!("{rate} B/s, {trip} s, queue {queue_s} s, loss {loss}");
            println!(
                "{what}: used {:.3}, dropped {:.4}",
                shares.used, shares.dropped
            );
            assert!(shares.used > 0.93, "{what}: used {}", shares.used);
            assert!(shares.dropped < 0.02, "{what}: dropped {}", shares.dropped);
        }
    }
}

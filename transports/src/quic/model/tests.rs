//! The model on paths of a few numbers, without packets.

use super::*;
use std::collections::VecDeque;

/// A path on which whole windows cross: `rate` bytes a second, a round trip, a drop-tail queue in bytes, and random
/// loss. Every two-hundredth of a round trip the sender fills its window as evenly as the
/// model asks for, and what left a round trip ago is acknowledged.
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
        let mut model = RateModel::new(32 * PACKET);
        let (mut waiting, mut in_flight) = (0.0_f64, 0.0_f64);
        let mut acks: VecDeque<(f64, f64, f64, f64)> = VecDeque::new();
        let (mut offered, mut dropped, mut delivered) = (0.0, 0.0, 0.0);
        let (mut srtt, mut least) = (self.trip, f64::MAX);
        let ticks = (seconds / tick) as u64;
        for n in 0..ticks {
            let now = n as f64 * tick;
            if n == ticks / 4 {
                model.on_loss(PACKET, true);
            }
            waiting = (waiting - self.rate * tick).max(0.0);
            let paced = model.pace().unwrap_or(model.window() as f64 * 1.25 / srtt) * tick;
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
                    model.on_ack(Acked {
                        bytes: acked.round() as u64,
                        sent: seconds(at - trip),
                        now: seconds(now),
                        srtt: seconds(srtt),
                        least: seconds(least),
                    });
                    // Whoever is paced always seems to have little to send.
                    model.on_end_acks(seconds(now), true, in_flight as u64, n);
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

/// Guards that the model fills a path whatever it loses, also again after it was dead, and does not flood its queue, be it
/// long or short.
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
        (12.5e6, 0.002, 0.0024, 0.0),
        (12.5e6, 0.005, 0.005, 0.03),
        (125e6, 0.001, 0.001, 0.0),
        (1.25e6, 0.600, 0.600, 0.45),
        (1.25e6, 0.600, 0.600, 0.60),
        (1.25e6, 0.600, 0.600, 0.75),
        (1.25e6, 0.050, 0.050, 0.60),
    ];
    for (rate, trip, queue_s, loss) in paths {
        let queue = rate * queue_s;
        let shares = Path {
            rate,
            trip,
            queue,
            loss,
        }
        .run((trip * 3000.0).min(60.0));
        let what = format!("{rate} B/s, {trip} s, queue {queue_s} s, loss {loss}");
        println!(
            "{what}: used {:.3}, dropped {:.4}",
            shares.used, shares.dropped
        );
        assert!(shares.used > 0.93, "{what}: used {}", shares.used);
        assert!(shares.dropped < 0.02, "{what}: dropped {}", shares.dropped);
    }
}

/// Guards what a drain tells from that: loss is a flood's where there is no room for a queue that would show it. What such a path
/// carries arrives, and less than two fifths are sent in vain.
#[test]
fn a_flood_without_a_queue_is_no_loss_of_the_path() {
    for (rate, loss) in [(0.25e6, 0.0), (0.05e6, 0.0), (0.25e6, 0.3), (0.25e6, 0.5)] {
        let path = Path {
            rate,
            trip: 0.6,
            queue: rate * 0.01,
            loss,
        };
        let shares = path.run(300.0);
        let what = format!("{rate} B/s, loss {loss}");
        println!(
            "{what}: used {:.3}, dropped {:.4}",
            shares.used, shares.dropped
        );
        assert!(shares.used > 0.93, "{what}: used {}", shares.used);
        assert!(shares.dropped < 0.4, "{what}: dropped {}", shares.dropped);
    }
}

/// Guards a path so short that all is acknowledged before the next packets leave, a hundred each millisecond: its rate is
/// found.
#[test]
fn a_path_that_is_idle_between_two_packets_has_a_rate() {
    let mut model = RateModel::new(FLOOR);
    let trip = Duration::from_micros(60);
    for ms in 0..400 {
        let sent = Duration::from_millis(ms);
        for _ in 0..100 {
            model.on_ack(Acked {
                bytes: PACKET,
                sent,
                now: sent + trip,
                srtt: trip,
                least: trip,
            });
        }
        model.on_end_acks(sent + trip, false, 0, ms * 100);
    }
    let pace = model.pace().unwrap() / (PACKET as f64 * 100_000.0);
    assert!((1.0..1.6).contains(&pace), "{pace}");
}

/// Guards a short path on which little was sent at first, and whose first train came slowly because a host had other work: it
/// is found to carry more.
#[test]
fn a_short_path_is_found_again_after_a_slow_train() {
    let mut model = RateModel::new(FLOOR);
    let trip = Duration::from_micros(80);
    let packet = |sent, now| Acked {
        bytes: PACKET,
        sent,
        now,
        srtt: trip,
        least: trip,
    };
    // A card first, one packet and then another.
    for n in 1..=3 {
        let sent = Duration::from_millis(15) * n;
        model.on_ack(packet(sent, sent + trip));
        model.on_end_acks(sent + trip, true, PACKET, u64::from(n));
    }
    let sent = Duration::from_millis(50);
    for n in 1..=10 {
        let now = sent + trip + Duration::from_micros(1200) * n;
        model.on_ack(packet(sent, now));
        model.on_end_acks(now, true, u64::from(10 - n) * PACKET, u64::from(3 + n));
    }
    let slow = model.pace().unwrap();
    assert!(slow < PACKET as f64 * 10_000.0, "{slow}");
    let (mut number, mut owed) = (13, 0.0);
    for ms in 70..3000 {
        let sent = Duration::from_millis(ms);
        // A look each millisecond gives what the pace allows, and the line carries 70 packets in it.
        owed = f64::min(owed + model.pace().unwrap() / 1000.0 / PACKET as f64, 70.0);
        for _ in 0..owed as u64 {
            number += 1;
            model.on_ack(packet(sent, sent + trip));
        }
        if owed >= 1.0 {
            model.on_end_acks(sent + trip, true, 0, number);
        }
        owed = owed.fract();
    }
    let found = model.pace().unwrap() / (PACKET as f64 * 70_000.0);
    assert!(found > 0.7, "{found}");
}

/// A path of 600 ms with a queue that is long enough, and a model that remembers half of what it carries.
struct Half {
    model: RateModel,
    number: u64,
    /// Until when the line is busy.
    busy: f64,
}

impl Half {
    const TRIP: f64 = 0.6;
    const RATE: f64 = 2_500_000.0;

    /// After a second, and a train of ten that left so many seconds apart and came through at such a share of the rate.
    fn new(apart: f64, share: f64) -> Self {
        let mut path = Self {
            model: RateModel::new((Self::RATE / 2.0 * Self::TRIP) as u64),
            number: 0,
            busy: 0.0,
        };
        path.run(0.0, 0.99);
        let spacing = PACKET as f64 / (Self::RATE * share);
        for n in (0..10).map(f64::from) {
            path.come(1.0 + apart * n, 1.0 + spacing * n);
        }
        path
    }

    /// A packet is acknowledged that left then, and was through the line at another time.
    fn come(&mut self, left: f64, through: f64) {
        self.number += 1;
        let trip = Duration::from_secs_f64(Self::TRIP);
        let now = Duration::from_secs_f64(through) + trip;
        self.model.on_ack(Acked {
            bytes: PACKET,
            sent: Duration::from_secs_f64(left),
            now,
            srtt: trip,
            least: trip,
        });
        self.model.on_end_acks(now, false, 1 << 30, self.number);
    }

    /// Packets leave as the pace of a round trip before allows, for what is acknowledged now left then. Gives the pace at
    /// the end of each tenth of a second.
    fn run(&mut self, from: f64, to: f64) -> Vec<f64> {
        let first = RateModel::new((Self::RATE / 2.0 * Self::TRIP) as u64).initial() as f64;
        let mut paces: VecDeque<(f64, f64)> =
            VecDeque::from([(from, self.model.pace().unwrap_or(first / Self::TRIP))]);
        let (mut left, mut told) = (from, Vec::new());
        while left < to {
            self.busy = self.busy.max(left) + PACKET as f64 / Self::RATE;
            self.come(left, self.busy);
            let pace = self.model.pace().unwrap_or(first / Self::TRIP);
            paces.push_back((self.busy + Self::TRIP, pace));
            while paces.get(1).is_some_and(|(at, _)| *at <= left) {
                paces.pop_front();
            }
            left += PACKET as f64 / paces[0].1;
            if left * 10.0 > (from * 10.0) + told.len() as f64 {
                told.push(pace / Self::RATE);
            }
        }
        told
    }
}

/// Guards a rate that is remembered and was too low: what a train tells that the line has waited for is not all, so more is
/// tried at once.
#[test]
fn a_rate_that_is_too_low_is_left_within_a_few_rounds() {
    let mut path = Half::new(0.0004, 0.75);
    let known = path.model.pace().unwrap() / Half::RATE;
    assert!((0.65..0.8).contains(&known), "{known}");
    let paces = path.run(1.01, 6.0);
    assert!(paces[..10].iter().any(|pace| *pace > 1.0), "{paces:.2?}");
    let end = &paces[40..];
    assert!(
        end.iter().all(|pace| (0.9..1.1).contains(pace)),
        "{end:.2?}"
    );
}

/// Guards what follows from the first queue after a search: the round that shows it shows what the line carries, and what was
/// thought before counts no more.
#[test]
fn the_first_queue_shows_what_the_line_carries() {
    let mut path = Half::new(0.0, 0.83);
    let paces = path.run(1.01, 12.0);
    let end = &paces[80..];
    assert!(
        end.iter().all(|pace| (0.97..1.05).contains(pace)),
        "{end:.2?}"
    );
}

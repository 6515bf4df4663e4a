//! The shared channel against closed formulas.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{MS, SECOND, ms};
use ostrakon_netsim::model::{
    Access, Airtime, Burst, Channel, ChannelSpec, Duty, LoRa, Nanos, Offered, Reception, SpecError,
};

fn csma(persistence: f64) -> Access {
    Access::Csma {
        slot: ms(100),
        persistence,
        detect: Duration::ZERO,
    }
}

/// 1200 bit/s, a delay of 300 ms: a frame of 120 bytes is keyed for 1100 ms.
fn packet_radio() -> ChannelSpec {
    let mut spec = ChannelSpec::rate_bps(1200);
    spec.tx_delay = ms(300);
    spec.access = csma(1.0);
    spec
}

const KEYED: Nanos = 1100 * MS;

/// All that is received, asked for when the channel says.
fn drain<P: Clone>(channel: &mut Channel<P>) -> Vec<Reception<P>> {
    let mut all = Vec::new();
    while let Some(at) = channel.next_at() {
        all.extend(std::iter::from_fn(|| channel.poll(at)));
        let next = channel.next_at();
        assert!(
            next.is_none_or(|next| next > at),
            "a channel that does not go on"
        );
    }
    all
}

fn heard<P: Copy>(all: &[Reception<P>]) -> Vec<(Nanos, usize, P)> {
    all.iter().map(|r| (r.at / MS, r.to, r.packet)).collect()
}

/// Guards a frame alone: it reaches everybody else after the transmitter's delay, its bits and the propagation; the
/// transmitter says when it is free.
#[test]
fn a_frame_reaches_all_others() {
    let mut spec = packet_radio();
    spec.delay = ms(3);
    let mut channel = Channel::new(&spec, 3, 1).unwrap();
    assert_eq!(channel.offer(0, 1, 120, 'a'), Offered::Queued);
    assert_eq!(channel.line_free_at(1), Some(KEYED));
    assert_eq!(channel.offer(0, 1, 120, 'b'), Offered::Queued);
    assert_eq!(
        (channel.line_free_at(1), channel.line_free_at(0)),
        (None, Some(0))
    );
    assert_eq!(channel.queued_bytes(MS, 1), 240);
    let expected = [
        (1103, 0, 'a'),
        (1103, 2, 'a'),
        (2203, 0, 'b'),
        (2203, 2, 'b'),
    ];
    assert_eq!(heard(&drain(&mut channel)), expected);
    let (sender, other) = (channel.stats(SECOND * 9, 1), channel.stats(SECOND * 9, 2));
    assert_eq!(
        (sender.sent, sender.keyed_nanos, sender.delivered),
        (2, 2 * KEYED, 0)
    );
    assert_eq!((other.delivered, other.delivered_bytes), (2, 240));
    assert_eq!(channel.offer(SECOND * 9, 7, 1, 'c'), Offered::Down);
    assert_eq!(channel.offer(SECOND * 9, 0, 257, 'c'), Offered::TooBig);
}

/// Guards carrier sensing: who hears a carrier waits for its end; two who waited for the same end, or decide at the same
/// moment, collide; a hidden station collides where both are heard, and only there.
#[test]
fn carriers_are_sensed_unless_hidden() {
    let mut channel = Channel::new(&packet_radio(), 3, 1).unwrap();
    channel.offer(0, 0, 120, 'a');
    channel.offer(MS, 1, 120, 'b');
    let expected = [
        (1100, 1, 'a'),
        (1100, 2, 'a'),
        (2200, 0, 'b'),
        (2200, 2, 'b'),
    ];
    assert_eq!(heard(&drain(&mut channel)), expected);

    // With a persistence of 1, stations 1 and 2 both begin when 0 ends.
    let start = 10 * SECOND;
    channel.offer(start, 0, 120, 'c');
    channel.offer(start + MS, 1, 120, 'd');
    channel.offer(start + MS, 2, 120, 'e');
    assert_eq!(
        heard(&drain(&mut channel)),
        [(11_100, 1, 'c'), (11_100, 2, 'c')]
    );
    let stats: Vec<_> = (0..3)
        .map(|station| channel.stats(20 * SECOND, station))
        .map(|stats| (stats.delivered, stats.collided, stats.deaf))
        .collect();
    assert_eq!(stats, [(1, 2, 0), (2, 0, 1), (3, 0, 1)]);

    // 0 and 1 do not hear each other, 2 hears both and 3 hears only 0.
    let mut channel = Channel::new(&packet_radio(), 4, 1).unwrap();
    for (from, to) in [(0, 1), (1, 0), (1, 3), (3, 1)] {
        channel.set_level(0, from, to, None);
    }
    channel.offer(0, 0, 120, 'a');
    // It begins while the first one ends: that overlaps the end, but not its own bits.
    channel.offer(1000 * MS, 1, 120, 'b');
    assert_eq!(
        heard(&drain(&mut channel)),
        [(1100, 3, 'a'), (2100, 2, 'b')]
    );
    assert_eq!(channel.stats(SECOND * 9, 2).collided, 1);

    // Who stops hearing the carrier that held it off goes on.
    let mut channel = Channel::new(&packet_radio(), 2, 1).unwrap();
    channel.offer(0, 0, 120, 'a');
    channel.offer(MS, 1, 120, 'b');
    channel.set_level(2 * MS, 0, 1, None);
    assert_eq!(channel.line_free_at(1), Some(2 * MS + KEYED));
}

/// Guards the draw: with a persistence p and nobody else, the wait is geometric, with a mean of (1 - p) / p slots (within
/// three standard deviations).
#[test]
fn persistence_is_geometric() {
    const N: u64 = 20_000;
    let p = 0.25;
    let mut spec = packet_radio();
    spec.access = csma(p);
    let mut channel = Channel::new(&spec, 2, 2).unwrap();
    let mut slots = 0;
    for n in 0..N {
        let start = n * 100 * SECOND;
        channel.offer(start, 0, 120, ());
        let at = drain(&mut channel)[0].at;
        let wait = at - start - KEYED;
        assert_eq!(wait % (100 * MS), 0);
        slots += wait / (100 * MS);
    }
    let mean = slots as f64 / N as f64;
    let sigma = ((1.0 - p) / (p * p) / N as f64).sqrt();
    assert!(
        (mean - (1.0 - p) / p).abs() <= 3.0 * sigma,
        "seed 2: {mean}"
    );
}

/// Guards the late notice of a carrier: within `detect` of its beginning others still transmit, and collide.
#[test]
fn a_carrier_is_noticed_late() {
    let mut spec = packet_radio();
    spec.access = Access::Csma {
        slot: ms(100),
        persistence: 1.0,
        detect: ms(20),
    };
    for (after, collisions) in [(19, 1), (20, 0)] {
        let mut channel = Channel::new(&spec, 3, 1).unwrap();
        channel.offer(0, 0, 120, ());
        channel.offer(after * MS, 1, 120, ());
        drain(&mut channel);
        assert_eq!(channel.stats(9 * SECOND, 2).collided, 2 * collisions);
    }
}

/// Guards capture: the stronger of two frames survives from the margin on, the weaker never does.
#[test]
fn the_stronger_frame_is_captured() {
    for (level, expected) in [(5, vec![]), (6, vec![0])] {
        let mut spec = ChannelSpec::rate_bps(1200);
        spec.capture_db = Some(6);
        let mut channel = Channel::new(&spec, 3, 1).unwrap();
        channel.set_level(0, 0, 2, Some(level));
        channel.offer(0, 0, 120, ());
        channel.offer(0, 1, 120, ());
        let heard: Vec<usize> = drain(&mut channel).iter().map(|r| r.from).collect();
        assert_eq!(heard, expected, "{level} dB");
    }
}

/// Guards pure ALOHA: of frames offered by many stations as a Poisson process of load G, the share `exp(-2G)` is received by
/// a station that only listens, within 2 % of itself.
#[test]
fn aloha_receives_what_abramson_says() {
    const STATIONS: usize = 200;
    for (seed, load) in [(3u64, 0.1), (4, 0.5), (5, 1.0)] {
        // Frames of 150 bytes take 1 s.
        let spec = ChannelSpec::rate_bps(1200);
        let mut channel = Channel::new(&spec, STATIONS + 1, seed).unwrap();
        // The test's own generator of times and stations: the one of Knuth, MMIX.
        let mut state = seed;
        let mut draw = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 + 1.0) / 2f64.powi(53)
        };
        let mut now = 0;
        for _ in 0..60_000 {
            now += (-draw().ln() / load * 1e9) as Nanos;
            let station = (draw() * STATIONS as f64) as usize % STATIONS;
            channel.offer(now, station, 150, ());
            while channel.poll(now).is_some() {}
        }
        drain(&mut channel);
        let stats = channel.stats(now, STATIONS);
        let share = stats.delivered as f64 / (stats.delivered + stats.collided) as f64;
        let off = share / (-2.0 * load).exp() - 1.0;
        assert!(
            off.abs() < 0.02,
            "seed {seed}: share {share} at load {load}, off by {off}"
        );
    }
}

/// Guards LoRa on the channel: a frame takes the formula's time, and the duty cycle holds it back, with pauses or by the
/// hour; an MTU or share that cannot be is refused.
#[test]
fn lora_keeps_its_duty_cycle() {
    let lora = LoRa::new(12);
    let mut spec = ChannelSpec::lora(lora);
    spec.mtu = 51;
    spec.duty = Some(Duty::off_time(0.01));
    let mut channel = Channel::new(&spec, 2, 1).unwrap();
    for n in 0..3 {
        channel.offer(0, 0, 51, n);
    }
    let air = lora.airtime(51);
    let times: Vec<Nanos> = drain(&mut channel).iter().map(|r| r.at).collect();
    for (at, pauses) in times.iter().zip(0..) {
        assert!(at.abs_diff(air + pauses * 100 * air) < 1000, "{times:?}");
    }

    spec.duty = Some(Duty::sliding(0.01));
    let mut channel = Channel::new(&spec, 2, 1).unwrap();
    for n in 0..30 {
        channel.offer(0, 0, 51, n);
    }
    let times: Vec<Nanos> = drain(&mut channel).iter().map(|r| r.at).collect();
    // 36 s an hour hold 12 frames of 2.79 s; the next waits until part of the first is an hour ago.
    let at_once = times.iter().filter(|at| **at < 3600 * SECOND).count() as u64;
    assert_eq!(at_once, 36 * SECOND / air);
    assert_eq!(times.len(), 30);

    assert!(matches!(spec.airtime, Airtime::LoRa(_)));
    spec.mtu = 256;
    assert_eq!(spec.validate(), Err(SpecError::LoRaMtu(256)));
    spec.mtu = 255;
    spec.duty = Some(Duty::sliding(0.001));
    assert!(matches!(spec.validate(), Err(SpecError::DutyBudget { .. })));
    spec.duty = Some(Duty::sliding(1.5));
    assert_eq!(spec.validate(), Err(SpecError::DutyShare(1.5)));
}

/// Guards chance and its accounts: each station loses and damages on its own, with its share; every frame within reach has
/// one fate at each station, also under collisions and when stations are switched off and on.
#[test]
fn every_frame_has_one_fate_at_each_station() {
    let mut spec = packet_radio();
    spec.access = csma(0.3);
    spec.loss = 0.2;
    spec.corrupt = 0.1;
    spec.burst = Some(Burst::share(0.1, ms(3000)).unwrap());
    for seed in 0..4 {
        let mut channel = Channel::new(&spec, 4, seed).unwrap();
        channel.set_level(0, 0, 3, None);
        channel.set_level(0, 3, 0, None);
        let mut got: BTreeMap<usize, u64> = BTreeMap::new();
        for n in 0..20_000u64 {
            let now = n * 800 * MS;
            let station = (n * 7 % 5) as usize;
            channel.offer(now, station, 60 + (n % 100) as usize, n);
            if n % 97 == 0 {
                channel.set_down(now, 2, n % 2 == 0);
            }
            while let Some(reception) = channel.poll(now) {
                *got.entry(reception.to).or_default() += 1;
            }
        }
        for reception in drain(&mut channel) {
            *got.entry(reception.to).or_default() += 1;
        }
        let end = 100_000 * SECOND;
        let all: Vec<_> = (0..4).map(|station| channel.stats(end, station)).collect();
        for (station, stats) in all.iter().enumerate() {
            let fates = stats.sent + stats.queue_full + stats.too_big + stats.cut;
            // A frame whose transmission was cut counts as sent and as cut.
            assert!(
                fates >= stats.offered && fates <= stats.offered + stats.cut,
                "seed {seed}"
            );
            let heard =
                stats.delivered + stats.lost + stats.collided + stats.deaf + stats.missed_down;
            let hidden = [3, 9, 9, 0][station];
            let sent: u64 = (0..4)
                .filter(|from| *from != station && *from != hidden)
                .map(|from| all[from].sent)
                .sum();
            assert!(
                heard <= sent && heard + all[2].cut >= sent,
                "seed {seed}: {station} {stats:?}"
            );
            assert_eq!(got[&station], stats.delivered, "seed {seed}");
        }
        let stats = all[1];
        let missed = stats.lost as f64 / (stats.lost + stats.delivered) as f64;
        // 0.9 · 0.2 + 0.1, and bursts of a few frames widen the deviation.
        assert!((missed - 0.28).abs() < 0.03, "seed {seed}: {missed}");
        assert!(stats.collided > 0 && stats.deaf > 0 && all[2].missed_down > 0);
    }
}

/// Guards laziness and repeatability: a channel asked only at the end says the same as one asked in time, the same seed the
/// same, another seed another.
#[test]
fn a_channel_asked_late_says_the_same() {
    let mut spec = packet_radio();
    spec.access = csma(0.25);
    spec.loss = 0.1;
    let run = |seed, in_time: bool| {
        let mut channel = Channel::new(&spec, 5, seed).unwrap();
        let mut all = Vec::new();
        for n in 0..2000 {
            let now = n * 300 * MS;
            if in_time {
                while let Some(at) = channel.next_at().filter(|at| *at <= now) {
                    all.extend(std::iter::from_fn(|| channel.poll(at)));
                }
            }
            channel.offer(now, (n % 5) as usize, 100, n);
        }
        all.extend(drain(&mut channel));
        all
    };
    assert_eq!(run(6, true), run(6, false));
    assert_ne!(run(6, true), run(7, true));
    // Pins the sequence itself, on every machine and in every build.
    let times = run(6, true)
        .iter()
        .map(|r| r.at + r.to as u64)
        .collect::<Vec<_>>();
    assert_eq!(common::digest(&times), 4_136_049_649_716_366_177);
}

/// Guards the checks.
#[test]
fn impossible_channels_are_refused() {
    let refused = |change: &dyn Fn(&mut ChannelSpec)| {
        let mut spec = packet_radio();
        change(&mut spec);
        spec.validate().unwrap_err()
    };
    assert_eq!(
        refused(&|s| s.access = csma(0.0)),
        SpecError::Persistence(0.0)
    );
    assert_eq!(
        refused(&|s| s.access = Access::Csma {
            slot: Duration::ZERO,
            persistence: 0.5,
            detect: Duration::ZERO
        }),
        SpecError::Slot
    );
    let lora = |change: &dyn Fn(LoRa) -> LoRa| {
        ChannelSpec::lora(change(LoRa::new(7)))
            .validate()
            .unwrap_err()
    };
    assert_eq!(lora(&|_| LoRa::new(6)), SpecError::SpreadingFactor(6));
    assert_eq!(lora(&|l| l.coding_rate(5)), SpecError::CodingRate(5));
    assert_eq!(lora(&|l| l.bandwidth_hz(1)), SpecError::Bandwidth(1));
    assert_eq!(
        Channel::<()>::new(&packet_radio(), 1025, 1).err(),
        Some(SpecError::Stations(1025))
    );
}

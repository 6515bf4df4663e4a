//! The packet link against closed formulas. Nothing here depends on a clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::drain;
use ostrakon_netsim::model::{Arrival, Link, LinkSpec, Nanos, Offered, SpecError};
use proptest::prelude::*;

const SECOND: u128 = 1_000_000_000;

fn times<P: Clone>(link: &mut Link<P>) -> Vec<Nanos> {
    drain(link).iter().map(|arrival| arrival.at).collect()
}

proptest! {
    /// Guards the timing formula, exactly: packet n of a burst arrives at start + floor(n · bits · 10⁹ / rate) + delay,
    /// after an idle time the formula starts anew, and the transmitter says beforehand when it is free.
    #[test]
    fn bursts_arrive_at_the_computed_nanosecond(
        rate in 1_000u64..20_000_000_000,
        len in 0usize..1473,
        count in 1u64..200,
        delay_us in 0u64..2_000_000,
        start in 0u64..1_000_000_000_000,
    ) {
        let spec = LinkSpec::new().rate_bps(rate).delay(Duration::from_micros(delay_us)).queue_bytes(1 << 20);
        let mut link = Link::new(&spec, 1).unwrap();
        let bits = (len as u128 + 28) * 8;
        let mut start = start;
        for _busy_period in 0..2 {
            let leaves = |n| start + u64::try_from(u128::from(n) * bits * SECOND / u128::from(rate)).unwrap();
            for n in 1..=count {
                prop_assert_eq!(link.offer(start, len, n), Offered::Queued);
                prop_assert_eq!(link.line_free_at(), leaves(n));
            }
            let expected: Vec<_> = (1..=count).map(|n| (leaves(n) + delay_us * 1000, n)).collect();
            let got: Vec<_> = drain(&mut link).iter().map(|arrival| (arrival.at, arrival.packet)).collect();
            prop_assert_eq!(&got, &expected);
            start = leaves(count) + delay_us * 1000 + 1;
        }
    }

    /// Guards the accounts: whatever is offered, and whenever the link is asked or cut, each packet has exactly one fate,
    /// the counts equal what the link said, arrivals come in order, and the queue never holds more than its bound.
    #[test]
    fn every_packet_has_one_fate(
        steps in prop::collection::vec((0u64..40_000_000, 0usize..1600, 0u8..20), 1..300),
        rate in prop::option::of(10_000u64..10_000_000),
        seed: u64,
    ) {
        let spec = LinkSpec::new().delay(Duration::from_millis(30)).loss(0.2).corrupt(0.2).queue_bytes(10_000);
        let spec = match rate { Some(rate) => spec.rate_bps(rate), None => spec };
        let mut link = Link::new(&spec, seed).unwrap();
        let (mut now, mut down, mut last) = (0, false, (0, 0));
        let (mut full, mut big, mut refused, mut delivered, mut bytes, mut damaged) = (0, 0, 0, 0, 0, 0);
        for (n, (pause, len, action)) in steps.into_iter().enumerate() {
            now += pause;
            if action == 0 {
                down = !down;
                link.set_down(now, down);
            }
            match link.offer(now, len, n) {
                Offered::Queued => {}
                Offered::QueueFull => full += 1,
                Offered::TooBig => { prop_assert!(len + 28 > 1500); big += 1; }
                Offered::Down => { prop_assert!(down); refused += 1; }
            }
            prop_assert!(link.queued_bytes(now) <= 10_000);
            if action < 10 {
                while let Some(arrival) = link.poll(now) {
                    prop_assert!(arrival.at <= now && (arrival.at, arrival.packet) >= last);
                    last = (arrival.at, arrival.packet);
                    delivered += 1;
                    bytes += arrival.len as u64;
                    damaged += u64::from(arrival.damaged);
                }
                let stats = link.stats(now);
                prop_assert_eq!((stats.queue_full, stats.too_big), (full, big));
                prop_assert_eq!((stats.delivered, stats.delivered_bytes), (delivered, bytes));
                prop_assert!(stats.cut >= refused && stats.corrupted >= damaged);
                prop_assert!(link.next_at().is_some() == (stats.in_flight() > 0));
            }
        }
        let late = std::iter::from_fn(|| link.poll(now)).count();
        let rest = drain(&mut link).len();
        let stats = link.stats(u64::MAX);
        prop_assert_eq!(stats.in_flight(), 0);
        prop_assert_eq!(stats.delivered, delivered + (late + rest) as u64);
        let fates = stats.delivered + stats.lost + stats.queue_full + stats.too_big + stats.cut;
        prop_assert_eq!(stats.offered, fates);
    }
}

/// Guards the loss probability: over 10⁵ packets the losses lie within three standard deviations of the binomial, for
/// several seeds and probabilities, and at 0 and 1 they are exact.
#[test]
fn loss_is_binomial() {
    const N: u32 = 100_000;
    for (seed, p) in [
        (1, 0.001),
        (2, 0.01),
        (3, 0.1),
        (4, 0.3),
        (5, 0.5),
        (6, 0.9),
    ] {
        let mut link = Link::new(&LinkSpec::new().loss(p), seed).unwrap();
        for now in 0..u64::from(N) {
            link.offer(now, 100, ());
            let _arrived_or_lost = link.poll(now);
        }
        let stats = link.stats(u64::from(N));
        assert_eq!(stats.delivered + stats.lost, u64::from(N));
        let (mean, sigma) = (f64::from(N) * p, (f64::from(N) * p * (1.0 - p)).sqrt());
        let off = (stats.lost as f64 - mean).abs();
        assert!(
            off <= 3.0 * sigma,
            "seed {seed}: {} lost of {N} at p = {p}, {off} off, sigma {sigma}",
            stats.lost
        );
    }
    let mut none = Link::new(&LinkSpec::new().loss(0.0).corrupt(1.0), 7).unwrap();
    let mut all = Link::new(&LinkSpec::new().loss(1.0), 7).unwrap();
    for now in 0..1000 {
        none.offer(now, 100, ());
        assert!(none.poll(now).unwrap().damaged);
        all.offer(now, 100, ());
        assert_eq!((all.poll(now), all.next_at()), (None, None));
    }
}

/// Guards the rate: a link offered twice what it carries delivers its rate (headers included) within 0.1 %, drops the rest
/// at the queue and nowhere else, and lost packets take their time on the line too.
#[test]
fn a_saturated_link_carries_its_rate() {
    const RATE: u64 = 9_999_991;
    const SECONDS: u64 = 20;
    for loss in [0.0, 0.25] {
        let spec = LinkSpec::new()
            .rate_bps(RATE)
            .delay(Duration::from_millis(40))
            .loss(loss);
        let mut link = Link::new(&spec, 3).unwrap();
        let interval = 1228 * 8 * 1_000_000_000 / (2 * RATE);
        let end = SECONDS * 1_000_000_000;
        let mut now = 0;
        while now < end {
            link.offer(now, 1200, ());
            now += interval;
        }
        let stats = link.stats(end);
        assert_eq!(stats.sent_line_bytes, stats.sent * 1228);
        let ratio = (stats.sent_line_bytes * 8) as f64 / (RATE * SECONDS) as f64;
        assert!((ratio - 1.0).abs() < 0.001, "ratio {ratio} at loss {loss}");
        let arrived = link.stats(end + 40_000_000);
        assert!(arrived.delivered >= stats.sent - arrived.lost);
        assert!(stats.queue_full > stats.offered * 2 / 5, "{stats}");
    }
}

/// Guards the queue's bound: a burst fills it to the last packet that fits, and one packet's time on the line makes room for
/// exactly one more.
#[test]
fn the_queue_holds_what_it_says() {
    let spec = LinkSpec::new().rate_bps(1_000_000).queue_bytes(12_500);
    let mut link = Link::new(&spec, 1).unwrap();
    // 1250 bytes with headers: ten fit, each takes 10 ms.
    for _ in 0..10 {
        assert_eq!(link.offer(0, 1222, ()), Offered::Queued);
    }
    assert_eq!(link.queued_bytes(0), 12_500);
    assert_eq!(link.offer(9_999_999, 1222, ()), Offered::QueueFull);
    assert_eq!(link.offer(10_000_000, 1222, ()), Offered::Queued);
    assert_eq!(link.offer(10_000_000, 0, ()), Offered::QueueFull);
    assert_eq!(link.stats(10_000_000).queue_full, 2);
    let expected: Vec<Nanos> = (1..=11).map(|n| n * 10_000_000).collect();
    assert_eq!(times(&mut link), expected);
}

/// Guards the default queue: one bandwidth-delay product, at least 30 kB.
#[test]
fn the_default_queue_is_a_bandwidth_delay_product() {
    let spec = LinkSpec::new().rate_bps(8_000_000);
    assert_eq!(spec.queue_limit(), 30_000);
    assert_eq!(
        spec.delay(Duration::from_millis(600)).queue_limit(),
        600_000
    );
}

/// Guards the cut: what is on its way is lost and counted, and a restored link starts idle.
#[test]
fn a_cut_takes_what_is_on_its_way() {
    let spec = LinkSpec::new()
        .rate_bps(1_000_000)
        .delay(Duration::from_millis(100));
    let mut link = Link::new(&spec, 1).unwrap();
    for n in 0..5 {
        link.offer(0, 1222, n);
    }
    // At 125 ms the first two have arrived (110 and 120 ms), although nobody asked for them yet.
    link.set_down(125_000_000, true);
    assert_eq!(link.offer(126_000_000, 10, 5), Offered::Down);
    link.set_down(130_000_000, false);
    assert_eq!(link.offer(130_000_000, 1222, 6), Offered::Queued);
    let arrived: Vec<(Nanos, i32)> = std::iter::from_fn(|| link.poll(240_000_000))
        .map(|arrival| (arrival.at, arrival.packet))
        .collect();
    assert_eq!(
        arrived,
        [(110_000_000, 0), (120_000_000, 1), (240_000_000, 6)]
    );
    let stats = link.stats(240_000_000);
    assert_eq!((stats.delivered, stats.cut, stats.in_flight()), (3, 4, 0));
}

/// Guards the change of a link: the packet being sent keeps its time on the line, those that wait go at the new rate, and
/// a shorter way lets them overtake what is still under way.
#[test]
fn a_reshaped_link_goes_on_at_its_new_rate() {
    let spec = |rate, delay| {
        LinkSpec::new()
            .rate_bps(rate)
            .delay(Duration::from_millis(delay))
    };
    let mut link = Link::new(&spec(1_000_000, 100), 1).unwrap();
    for n in 0..4 {
        link.offer(0, 1222, n);
    }
    // Packet 0 left at 10 ms; packet 1 leaves at 20 ms, 2 and 3 take 5 ms each from then on.
    link.reshape(15_000_000, &spec(2_000_000, 20)).unwrap();
    assert!(link.reshape(15_000_000, &spec(0, 20)).is_err());
    assert_eq!(link.line_free_at(), 30_000_000);
    let arrived: Vec<(Nanos, i32)> = drain(&mut link)
        .iter()
        .map(|arrival| (arrival.at / 1_000_000, arrival.packet))
        .collect();
    assert_eq!(arrived, [(40, 1), (45, 2), (50, 3), (110, 0)]);
}

/// Guards repeatability: the same seed gives the same fates and the same damage, another seed others, and corruption does
/// not change which packets are lost.
#[test]
fn a_seed_decides_everything() {
    let run = |seed, corrupt| {
        let spec = LinkSpec::new()
            .rate_bps(1_000_000)
            .loss(0.3)
            .corrupt(corrupt)
            .queue_bytes(1 << 20);
        let mut link = Link::new(&spec, seed).unwrap();
        for n in 0..500 {
            link.offer(n * 7, 100, n);
        }
        let arrivals = drain(&mut link);
        let mut packet = [0; 32];
        link.damage(&mut packet);
        assert_ne!(packet, [0; 32]);
        (arrivals, packet)
    };
    let packets = |run: &(Vec<Arrival<u64>>, _)| -> Vec<(Nanos, u64)> {
        let arrivals = run.0.iter();
        arrivals.map(|a| (a.at, a.packet)).collect()
    };
    assert_eq!(run(1, 0.1), run(1, 0.1));
    assert_ne!(run(1, 0.1).0, run(2, 0.1).0);
    assert_ne!(run(1, 0.1).1, run(2, 0.1).1);
    assert_eq!(packets(&run(1, 0.1)), packets(&run(1, 0.9)));
    // Pins the sequence itself: a scenario's seed keeps its meaning from one version to the next.
    let arrived = packets(&run(1, 0.1));
    let lost: Vec<u64> = (0..40)
        .filter(|n| arrived.iter().all(|(_, packet)| packet != n))
        .collect();
    assert_eq!(
        lost,
        [
            1, 3, 4, 7, 12, 13, 15, 19, 23, 24, 25, 27, 28, 29, 32, 36, 38
        ]
    );
}

/// Guards the checks: each impossible link is refused by the error that names it.
#[test]
fn impossible_links_are_refused() {
    let refused = |spec: LinkSpec| spec.validate().unwrap_err();
    let spec = LinkSpec::new;
    assert_eq!(refused(spec().rate_bps(0)), SpecError::ZeroRate);
    assert!(matches!(
        refused(spec().loss(f64::NAN)),
        SpecError::Probability { name: "loss", .. }
    ));
    assert!(matches!(
        refused(spec().corrupt(-0.1)),
        SpecError::Probability {
            name: "corrupt",
            ..
        }
    ));
    assert!(matches!(refused(spec().mtu(28)), SpecError::Mtu { .. }));
    assert!(matches!(
        refused(spec().queue_bytes(1499)),
        SpecError::Queue { .. }
    ));
    assert!(matches!(
        refused(spec().delay(Duration::MAX)),
        SpecError::Delay(_)
    ));
    assert!(
        refused(spec().loss(2.0))
            .to_string()
            .ends_with("give a number from 0 to 1")
    );
}

/// Guards the mean queue: bytes count over the time that they wait, to the nanosecond, whether or not anything has left, and
/// what a cut drops has waited until then. Asking in between, or late, changes nothing.
#[test]
fn the_queue_is_counted_over_time_and_not_by_departures() {
    // A packet of 100 bytes takes 100 s.
    let spec = LinkSpec::new().rate_bps(8).overhead(0).queue_bytes(2000);
    let mut link = Link::new(&spec, 1).unwrap();
    let mut asked = Link::new(&spec, 1).unwrap();
    let second = u64::try_from(SECOND).unwrap();
    for at in [0, 10] {
        link.offer(at * second, 100, ());
        asked.offer(at * second, 100, ());
    }
    // 100 bytes for 10 s and 200 for 40: nothing has left.
    let first = asked.stats(50 * second);
    assert_eq!(first.sent, 0);
    assert_eq!(first.queue_byte_nanos, (100 * 10 + 200 * 40) * SECOND);
    // One left after 100 s, and the other is cut after 120.
    for link in [&mut link, &mut asked] {
        link.set_down(120 * second, true);
        let stats = link.stats(500 * second);
        assert_eq!((stats.sent, stats.cut), (1, 1));
        let bytes = 100 * 10 + 200 * 90 + 100 * 20;
        assert_eq!(stats.queue_byte_nanos, bytes * SECOND);
    }
}

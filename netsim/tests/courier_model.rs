//! Couriers against their timetables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::SECOND;
use ostrakon_netsim::model::{Courier, CourierSpec, Nanos, Offered, SetDown, SpecError, Stop};

fn stop(place: usize, arrive: u64, leave: u64) -> Stop {
    Stop::new(
        place,
        Duration::from_secs(arrive),
        Duration::from_secs(leave),
    )
}

/// A round of 1000 s over three places, 100 s at each.
fn round() -> CourierSpec {
    CourierSpec::new(vec![stop(0, 0, 100), stop(1, 300, 400), stop(2, 600, 700)])
        .every(Duration::from_secs(1000))
}

fn drain<P: Clone>(courier: &mut Courier<P>) -> Vec<SetDown<P>> {
    let mut all = Vec::new();
    while let Some(at) = courier.next_at() {
        all.extend(std::iter::from_fn(|| courier.poll(at)));
    }
    all
}

fn seen<P: Copy>(all: &[SetDown<P>]) -> Vec<(u64, usize, usize, P)> {
    let one = |s: &SetDown<P>| (s.arrival.at / SECOND, s.from, s.to, s.arrival.packet);
    all.iter().map(one).collect()
}

/// Guards the round: packets are taken only where the courier is, and set down at every other place at its next visit, in
/// order, once; then there is room again.
#[test]
fn packets_are_set_down_at_the_next_visit() {
    let spec = round().capacity(2 << 16);
    let mut courier = Courier::new(&spec, 1).unwrap();
    let size = 1 << 16;
    assert_eq!(courier.offer(50 * SECOND, 1, size, 'x'), Offered::Down);
    assert_eq!(
        courier.offer(50 * SECOND, 0, size + 1, 'x'),
        Offered::TooBig
    );
    assert_eq!(courier.offer(50 * SECOND, 0, size, 'a'), Offered::Queued);
    assert_eq!(courier.offer(350 * SECOND, 1, size, 'b'), Offered::Queued);
    assert_eq!(courier.offer(350 * SECOND, 1, 1, 'x'), Offered::QueueFull);
    assert_eq!(courier.offer(100 * SECOND, 0, 1, 'x'), Offered::Down);
    let expected = [
        (300, 0, 1, 'a'),
        (600, 0, 2, 'a'),
        (600, 1, 2, 'b'),
        (1000, 1, 0, 'b'),
    ];
    assert_eq!(seen(&drain(&mut courier)), expected);
    assert_eq!(courier.carried_bytes(1000 * SECOND), 0);
    let stats = courier.stats(1000 * SECOND);
    assert_eq!(
        (
            stats.offered,
            stats.loaded,
            stats.full,
            stats.too_big,
            stats.absent
        ),
        (6, 2, 1, 1, 2)
    );
    assert_eq!((stats.delivered, stats.lost), (4, 0));
    // Years later the round is where it should be.
    let later = 100_000_000 * SECOND + 350 * SECOND;
    assert_eq!(courier.place(later), Some(1));
    assert_eq!(courier.offer(later, 1, 10, 'c'), Offered::Queued);
    assert_eq!(seen(&drain(&mut courier)).len(), 2);
}

/// Guards the connection: loading and setting down take their time each way, what does not fit a visit waits for the next,
/// and nothing is loaded that is not done before the courier leaves.
#[test]
fn a_visit_carries_its_rate_times_its_length() {
    // A packet of 10,000 bytes takes 10 s: ten of them fit a visit.
    let spec = round().rate_bps(8000);
    let mut courier = Courier::new(&spec, 1).unwrap();
    let loaded = (0..20)
        .filter(|n| courier.offer(5 * SECOND, 0, 10_000, *n) == Offered::Queued)
        .count();
    assert_eq!(loaded, 9);
    for n in 20..31 {
        let expected = if n < 30 {
            Offered::Queued
        } else {
            Offered::QueueFull
        };
        assert_eq!(courier.offer(300 * SECOND, 1, 10_000, n), expected);
    }
    let all = seen(&drain(&mut courier));
    let at = |place: usize| -> Vec<u64> {
        let here = all.iter().filter(|(_, _, to, _)| *to == place);
        here.map(|(at, ..)| *at).collect()
    };
    let steps =
        |from: u64, count: u64| -> Vec<u64> { (1..=count).map(|n| from + 10 * n).collect() };
    assert_eq!(at(1), steps(300, 9));
    assert_eq!(at(0), steps(1000, 10));
    // 19 are for place 2: ten at the first visit, nine at the second.
    assert_eq!(at(2), [steps(600, 10), steps(1600, 9)].concat());
}

/// Guards loss and breakdown: losses are binomial within three standard deviations, and a courier that is down takes nothing
/// and passes by.
#[test]
fn parcels_are_lost_and_visits_missed() {
    let mut courier = Courier::new(&round().loss(0.1), 2).unwrap();
    for n in 0..10_000 {
        courier.offer(SECOND, 0, 100, n);
    }
    courier.set_down(200 * SECOND, true);
    assert_eq!(courier.place(350 * SECOND), None);
    assert_eq!(courier.offer(350 * SECOND, 1, 100, 0), Offered::Down);
    courier.set_down(500 * SECOND, false);
    let all = seen(&drain(&mut courier));
    assert_eq!(all.first().map(|(at, ..)| *at), Some(600));
    assert_eq!(all.last().map(|(at, ..)| *at), Some(1300));
    let stats = courier.stats(2000 * SECOND);
    assert_eq!(stats.delivered + stats.lost, 20_000);
    // sigma = sqrt(20,000 · 0.1 · 0.9) = 42.4
    assert!(stats.lost.abs_diff(2000) <= 127, "seed 2: {}", stats.lost);
}

/// Guards the timetable: where the courier is and when that changes, in every round; and the checks of it.
#[test]
fn the_timetable_says_where_it_is() {
    let spec = round();
    for base in [0, 1000, 5_000_000] {
        let at = |second: u64| (base + second) * SECOND;
        let places = [0, 99, 100, 300, 650, 999].map(|second| spec.place_at(at(second)));
        assert_eq!(places, [Some(0), Some(0), None, Some(1), Some(2), None]);
        let next: Vec<Nanos> = [0, 100, 300, 700]
            .map(|second| spec.next_change(at(second)).unwrap() / SECOND - base)
            .into();
        assert_eq!(next, [100, 300, 400, 1000]);
    }
    let single = CourierSpec::new(vec![stop(0, 0, 100), stop(1, 300, 400)]);
    assert_eq!(single.next_change(400 * SECOND), None);
    let mut courier = Courier::new(&single, 1).unwrap();
    courier.offer(0, 0, 1, ());
    courier.offer(300 * SECOND, 1, 1, ());
    assert_eq!(drain(&mut courier).len(), 1, "there is no way back");

    let refused = |stops: Vec<Stop>| CourierSpec::new(stops).validate().unwrap_err();
    assert_eq!(refused(vec![]), SpecError::NoStops);
    assert_eq!(
        refused(vec![stop(1, 0, 9), stop(1, 9, 10)]),
        SpecError::NoStops
    );
    assert_eq!(
        refused(vec![stop(0, 0, 9), stop(1, 8, 10)]),
        SpecError::StopOrder { index: 1 }
    );
    assert_eq!(
        refused(vec![stop(0, 9, 9)]),
        SpecError::StopOrder { index: 0 }
    );
    assert_eq!(
        refused(vec![stop(0, 0, 9), stop(64, 9, 10)]),
        SpecError::Places(65)
    );
    let short = round().every(Duration::from_secs(600)).validate();
    assert_eq!(short, Err(SpecError::RoundPeriod(Duration::from_secs(600))));
}

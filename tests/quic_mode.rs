//! Mode `quic`: the engine of the field over the QUIC library of the field, over the links of scenarios.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ostrakon::sim::{Outcome, run, shipped};
use ostrakon_netsim::scenario::Scenario;

fn ran(mut scenario: Scenario, changes: &[(&str, &str)], seed: u64) -> Outcome {
    scenario.set("mode", "quic").unwrap();
    for (key, value) in changes {
        scenario.set(key, value).unwrap();
    }
    run(&scenario, seed, &mut |_| {}).unwrap()
}

fn shipped(name: &str, changes: &[(&str, &str)], seed: u64) -> Outcome {
    ran(shipped::find(name).unwrap(), changes, seed)
}

fn one_file(bytes: &str) -> Scenario {
    let text = format!(
        r#"
[scenario]
duration = "1h"
[[node]]
name = "a"
[[node]]
name = "b"
[[link]]
name = "sky"
between = ["a", "b"]
profile = "geo"
[[message]]
from = "a"
to = "b"
at = "0s"
parts = [{{ text = 160, priority = "urgent" }}, {{ file = "{bytes}", priority = "bulk" }}]
[expect]
delivered = "all"
confirmed = "all"
"#
    );
    Scenario::parse("one-file.toml", &text).unwrap()
}

/// Guards the mode itself: a satellite, one that loses a fifth, and three links at once deliver over QUIC, within the
/// bound and not far from it, and the outcome says which mode it was and shows no hash.
#[test]
fn satellites_and_three_links_deliver() {
    for (name, outcome, least) in [
        ("geo", ran(one_file("3MB"), &[], 1), 0.3),
        (
            "geo, 20 %",
            ran(one_file("3MB"), &[("loss", "20%")], 1),
            0.15,
        ),
        ("three-links", shipped("three-links", &[], 1), 0.3),
    ] {
        println!("{name}: ratio {:?}", outcome.ratio);
        assert_eq!(outcome.violations, [""; 0], "{name}, seed 1");
        assert_eq!((outcome.mode, &outcome.trace), ("quic", &None), "{name}");
        let ratio = outcome.ratio.unwrap();
        assert!(ratio <= 1.005 && ratio > least, "{name}: {ratio}");
    }
}

/// Guards how soon a first file is there over a satellite that loses twice as much as is reckoned with at first: what that
/// leaves open is made up for while the rest is under way, and hardly ever by rounds of their own.
#[test]
fn a_first_file_needs_few_rounds_where_a_fifth_is_lost() {
    let changes = [("file", "1MB"), ("loss", "20%")];
    let took = |seed| {
        let outcome = shipped("limit-geo-10mb", &changes, seed);
        assert_eq!(outcome.violations, [""; 0], "seed {seed}");
        outcome.achieved_s.unwrap()
    };
    let mean = (1..=10).map(took).sum::<f64>() / 10.0;
    println!("{mean} s on average");
    assert!(mean < 1.9, "{mean} s on average");
}

/// Guards links within a building, whose queues are too short to be told from what a host is late by: they are filled, warm
/// and cold, and not flooded.
#[test]
fn a_local_link_is_filled_and_not_flooded() {
    let line = [
        ("loss", "0"),
        ("rate", "300mbit"),
        ("rate-back", "300mbit"),
        ("rtt", "1ms"),
    ];
    for start in ["warm", "cold"] {
        let mut scenario = one_file("30MB");
        scenario.set("queue", "1bdp").unwrap();
        let outcome = ran(scenario, &[&line[..], &[("start", start)]].concat(), 1);
        assert_eq!(outcome.violations, [""; 0], "{start}, seed 1");
        let (ratio, offered) = (outcome.ratio.unwrap(), outcome.links[0].offered_bytes);
        println!("{start}: ratio {ratio}, {offered} bytes offered");
        assert!(
            ratio > 0.5 && offered < 36_000_000,
            "{start}: {ratio}, {offered}"
        );
    }
}

/// Guards what distinguishes cold from warm: with the handshake and the hello within the time measured, a text over a
/// satellite takes two round trips more.
#[test]
fn a_cold_start_pays_for_the_handshake() {
    let first = |start| {
        let outcome = ran(one_file("1kB"), &[("start", start)], 1);
        assert_eq!(outcome.violations, [""; 0], "{start}, seed 1");
        outcome.messages[0].parts[0].delivered_s.unwrap()
    };
    let (warm, cold) = (first("warm"), first("cold"));
    assert!(warm < 0.5 && cold > 1.4, "{warm} s and {cold} s");
}

/// Guards the search for the rate: with nothing known of the path it ends, also where the round trip is longer than the
/// library assumes of any, and the file comes in a time that is not many times what the path needs.
#[test]
fn a_cold_start_finds_the_rate() {
    let outcome = ran(one_file("3MB"), &[("start", "cold")], 1);
    assert_eq!(outcome.violations, [""; 0], "seed 1");
    println!("geo, cold: ratio {:?}", outcome.ratio);
    assert!(outcome.ratio.unwrap() > 0.15, "{:?}", outcome.ratio);
}

/// Guards crashes, power cuts and lying links: connections that lost an end are given up and dialled anew, and nothing
/// is lost or doubled.
#[test]
fn whatever_goes_wrong_nothing_is_lost_or_doubled() {
    for seed in 1..8 {
        let outcome = shipped("chaos", &[], seed);
        assert_eq!(
            outcome.violations, [""; 0],
            "seed {seed}; repeat with: ostrakon sim run chaos --mode quic --seed {seed}"
        );
    }
}

/// Guards the mode `shared`: beside a CUBIC flow neither side has much more than the other, the line is full, and its queue
/// is no longer than that of two CUBIC flows. Which of the two is ahead in one run is chance, so the mean of some counts.
#[test]
fn a_shared_link_is_fair_beside_cubic() {
    const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;
    let scenario = shipped::find("limit-shared").unwrap();
    let mut jain = 0.0;
    for seed in SEEDS {
        let outcome = run(&scenario, seed, &mut |_| {}).unwrap();
        assert_eq!(outcome.violations, [""; 0], "seed {seed}");
        let share = &outcome.shares[0];
        println!("seed {seed}: {share:?}");
        jain += share.jain.unwrap() / SEEDS.count() as f64;
        assert!(share.used.unwrap() >= 0.95, "seed {seed}: {share:?}");
        assert!(share.queue_ratio.unwrap() <= 1.1, "seed {seed}: {share:?}");
    }
    assert!(jain >= 0.9, "{jain}");
}

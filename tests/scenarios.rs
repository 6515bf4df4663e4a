//! The shipped scenarios, run by the engine of the field: what they promise holds, and the same seed is the same run.
//!
//! `cargo run --release -- sim run chaos --seeds 1..1000` runs many more seeds of the last one.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ostrakon::sim::report::Report;
use ostrakon::sim::{Outcome, record, run, shipped};
use ostrakon_netsim::scenario::Scenario;

fn ran(name: &str, seed: u64) -> Outcome {
    run(&shipped::find(name).unwrap(), seed, &mut |_| {}).unwrap()
}

/// Guards every shipped scenario: it reads, its recipients are in reach, and it ends as it says it does.
#[test]
fn every_shipped_scenario_ends_as_it_says() {
    for (name, _) in shipped::all() {
        let mut scenario = shipped::find(&name).unwrap();
        scenario.check_reach().unwrap();
        if name == "disaster" {
            // A day of 50 nodes takes minutes unless it is optimised: `cargo run --release -- sim run disaster`.
            continue;
        }
        if name.starts_with("limit-") {
            // The ratio at full size is for measuring, and takes as long.
            let mut parts = scenario.messages.iter().flat_map(|m| &m.parts);
            if parts.any(|part| !part.text) {
                scenario.set("file", "2MB").unwrap();
            }
            if !scenario.flows.is_empty() {
                // Beside others nothing ends before it was judged.
                scenario.set("flow", "none").unwrap();
            }
        }
        let outcome = run(&scenario, 1, &mut |_| {}).unwrap();
        assert_eq!(outcome.violations, [""; 0], "{name}, seed 1");
        assert!(outcome.ratio.is_none_or(|ratio| ratio <= 1.005), "{name}");
    }
}

/// Guards that a limit can be worked out again from what is printed of a link: its rate and delay, the contacts in which it was
/// there, and the loss that counts.
#[test]
fn a_limit_follows_from_what_is_printed() {
    let mut scenario = shipped::find("limit-outage").unwrap();
    for (key, value) in [("mode", "model"), ("file", "8MB"), ("loss", "5%")] {
        scenario.set(key, value).unwrap();
    }
    let ran = run(&scenario, 1, &mut |_| {}).unwrap();
    let (message, link) = (&ran.messages[0], &ran.links[0]);
    assert!(link.limit_loss > 0.04 && link.limit_loss < 0.06);
    let rate = link.rate_bps.unwrap() as f64 * 0.94 * (1.0 - link.limit_loss);
    let contacts = link.contacts.as_ref().unwrap();
    assert_eq!(contacts.every_s, None);
    assert!(
        contacts
            .times
            .iter()
            .all(|time| time.from_s <= ran.virtual_s)
    );
    let mut left_s = message.bytes as f64 * 8.0 / rate;
    let mut limit_s = None;
    for time in &contacts.times {
        let (from, until) = (time.from_s.max(message.at_s), time.until_s.unwrap());
        let used = left_s.min((until - from).max(0.0));
        left_s -= used;
        if left_s <= 0.0 {
            limit_s = Some(from + used + link.delay_s - message.at_s);
            break;
        }
    }
    let (worked_out, printed) = (limit_s.unwrap(), ran.limit_s.unwrap());
    assert!(
        (worked_out - printed).abs() < 1e-3,
        "{worked_out} and {printed}"
    );
    // The second contact is needed.
    assert!(printed > 20.0, "{printed}");
}

/// Guards repeatability: one seed is one run, to the last byte of every packet, and another is another.
#[test]
fn a_seed_is_a_run() {
    let (once, again, other) = (ran("chaos", 7), ran("chaos", 7), ran("chaos", 8));
    assert_eq!((&once.trace, once.events), (&again.trace, again.events));
    assert_ne!(once.trace, other.trace);
}

/// Guards that looking changes nothing: a run that is taken down for a report is the same run, and its page stands alone,
/// with every part and every link on it and nothing of a name taken for markup.
#[test]
fn a_report_is_of_the_same_run_and_stands_alone() {
    let mut scenario = shipped::find("outage").unwrap();
    scenario.title = "<b>bold</b> & \"quoted\"".into();
    let plain = run(&scenario, 3, &mut |_| {}).unwrap();
    let (outcome, series) = record(&scenario, 3, &mut |_| {}).unwrap();
    assert_eq!(plain.trace, outcome.trace);
    let page = Report {
        scenario: &scenario,
        outcome: &outcome,
        series: &series,
        command: "ostrakon sim run outage --seed 3",
    }
    .page();
    for shown in [
        "text-1",
        "map",
        "phone",
        plain.trace.as_deref().unwrap(),
        "ostrakon sim run outage --seed 3",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(page.contains("&lt;b&gt;bold&lt;/b&gt; &amp; &quot;quoted&quot;"));
    for foreign in ["<b>bold", "<script", "href=", "src=", "url(", "@import"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // The link is down for 15 s of every 20. What has arrived stays; only the padding of a block no longer counts when it is
    // solved.
    assert_eq!(series.down[0][0], (5_000_000_000, 20_000_000_000));
    let held: Vec<u64> = series
        .samples
        .iter()
        .map(|sample| sample.held[0][1])
        .collect();
    assert!(
        held.windows(2).all(|two| two[1] + 2_000 > two[0]),
        "{held:?}"
    );
    assert_eq!(held.last(), Some(&(10 << 20)));
}

/// Guards the bound that ratios are taken against: without anything drawn it is the formula.
#[test]
fn the_nominal_limit_is_the_formula() {
    let outcome = ran("three-links", 1);
    // Bits a second after loss and headers, and the delay, of each link.
    let links = [
        (20e6 * 0.9 * 0.94, 0.3),
        (5e6 * 0.98 * 0.94, 0.04),
        (1e6 * 0.8 * 0.94, 0.15),
    ];
    let bits = 20_000_160.0 * 8.0;
    let (sum, lead) = links.iter().fold((0.0, 0.0), |(sum, lead), (rate, delay)| {
        (sum + rate, lead + rate * delay)
    });
    let formula = (bits + lead) / sum;
    let nominal = outcome.nominal_limit_s.unwrap();
    assert!(
        (nominal / formula - 1.0).abs() < 0.002,
        "{nominal} and {formula}"
    );
    assert!((outcome.limit_s.unwrap() / formula - 1.0).abs() < 0.05);
}

/// Guards that what a wide link brought counts behind a hop that carries 222-byte frames: the narrow hop cuts and joins,
/// and little more than the message crosses it.
#[test]
fn what_a_wide_link_brought_crosses_a_thin_hop() {
    for seed in 1..5 {
        let outcome = ran("relay-thin-hop", seed);
        assert_eq!(outcome.violations, [""; 0], "seed {seed}");
        assert_eq!(outcome.delivered, 1, "seed {seed}");
    }
}

/// Guards what couriers lose: the recipient tells what is missing, and the next visit brings it. Without any word a courier
/// is given everything again after two days.
#[test]
fn what_a_courier_lost_is_carried_once_more() {
    let text = r#"
[scenario]
duration = "10d"
[[node]]
name = "clinic"
[[node]]
name = "town"
[[link]]
name = "courier"
profile = "courier-usb"
timetable = [
    { at = "clinic", arrive = "1h", leave = "2h" },
    { at = "town", arrive = "5h", leave = "6h" },
]
every = "12h"
[[message]]
from = "clinic"
to = "town"
at = "10s"
parts = [{ text = 160, priority = "urgent" }, { file = "1MB" }]
[[fault]]
kind = "drop"
link = "courier"
at = "4h"
lasts = "3h"
share = 0.3
[expect]
delivered = "all"
confirmed = "all"
"#;
    for (lost, within) in [("0.3", 20.0), ("1.0", 96.0)] {
        let text = text.replace("share = 0.3", &format!("share = {lost}"));
        let scenario = Scenario::parse("lost.toml", &text).unwrap();
        for seed in 1..4 {
            let outcome = run(&scenario, seed, &mut |_| {}).unwrap();
            assert_eq!(outcome.violations, [""; 0], "seed {seed}, lost {lost}");
            let took = outcome.messages[0].delivered_s.unwrap() / 3600.0;
            assert!(took < within, "seed {seed}, lost {lost}: {took} h");
        }
    }
}

/// Guards that a sender whose relay answers hours later makes up at once for what a lossy hop to it has cost: what the first
/// courier brings too little of, the next one brings, though there is a link that leads nowhere and nobody remembers any more
/// when what arrived has left.
#[test]
fn what_a_lossy_hop_cost_comes_with_the_next_courier() {
    let text = r#"
[scenario]
duration = "24h"

[[node]]
name = "sender"
[[node]]
name = "neighbour"
[[node]]
name = "village"
kind = "relay"
[[node]]
name = "town"
kind = "relay"
[[node]]
name = "recipient"

[[link]]
name = "mesh"
between = ["sender", "village"]
profile = "wifi-mesh"
kind = "relay"
assume-loss = "12%"

[[link]]
name = "radio"
between = ["sender", "neighbour"]
profile = "lora-sf7"

[[link]]
name = "courier"
profile = "courier-usb"
timetable = [
    { at = "village", arrive = "10min", leave = "20min" },
    { at = "town", arrive = "2h", leave = "130min" },
]
every = "4h"

[[link]]
name = "cable"
between = ["town", "recipient"]
profile = "lan"
kind = "relay"

[[route]]
node = "village"
to = "recipient"
via = "town"
[[route]]
node = "town"
to = "sender"
via = "village"

[[message]]
from = "sender"
to = "recipient"
at = "1min"
every = "1h"
count = 5
parts = [{ text = 160 }, { file = "300kB", name = "photo", priority = "normal" }]
"#;
    let scenario = Scenario::parse("lossy-hop.toml", text).unwrap();
    // When the first courier gets there that can have a message with him.
    let visits = [2.0, 6.0, 6.0, 6.0, 6.0];
    let mut later = Vec::new();
    for seed in 1..=30 {
        let outcome = run(&scenario, seed, &mut |_| {}).unwrap();
        for (message, visit) in outcome.messages.iter().zip(visits) {
            let came = message.delivered_s.unwrap_or(f64::MAX) / 3600.0;
            if came > visit + 4.5 {
                later.push((seed, message.number, came));
            }
        }
    }
    assert!(later.len() <= 3, "of 150 messages: {later:?}");
}

/// Guards relays in a row and couriers between them: whatever hops there are, everything comes through under any seed.
#[test]
fn what_relays_and_couriers_pass_on_arrives_under_any_seed() {
    for name in ["relay-chain", "relay-courier"] {
        for seed in 1..=5 {
            let outcome = ran(name, seed);
            assert_eq!(outcome.violations, [""; 0], "{name}, seed {seed}");
            assert_eq!(outcome.confirmed, outcome.sent, "{name}, seed {seed}");
        }
    }
}

/// Guards a whole day of fifty people: everything arrives, and it is as much as is said.
#[test]
#[ignore = "takes a minute in a release build: cargo test --release --test scenarios -- --ignored"]
fn a_day_after_the_storm_brings_everything_to_everybody() {
    let outcome = ran("disaster", 7);
    assert_eq!(outcome.violations, [""; 0], "seed 7");
    assert!(outcome.frames >= 1_000_000, "{} frames", outcome.frames);
    let with = |bytes: u64| outcome.messages.iter().filter(|m| m.bytes > bytes).count();
    assert!(with(0) >= 2000 && with(290_000) >= 200 + 49 && with(20_000_000) == 49);
}

/// Guards what must hold of machines that go back to older disks again and again, of senders, of recipients, and of two from
/// one image: no nonce meets two contents, and nothing comes out that was not sent.
#[test]
fn old_disks_make_no_nonce_meet_two_contents() {
    let scenario = shipped::find("rollback").unwrap();
    let (mut again, mut generations) = (0, 0);
    for seed in 1..20 {
        let outcome = run(&scenario, seed, &mut |_| {}).unwrap();
        assert_eq!(
            outcome.violations, [""; 0],
            "seed {seed}; repeat with: ostrakon sim run rollback --seed {seed}"
        );
        again += outcome.duplicates;
        generations += outcome.generations;
    }
    assert!(again > 0, "recipients have forgotten what they had");
    assert!(generations > 19, "{generations}");
}

/// Guards everything that checkers look for, whatever goes wrong: nothing that was confirmed is lost, everything comes out
/// once and unchanged, what is in the manifest first, and no nonce meets two contents.
#[test]
fn whatever_goes_wrong_nothing_is_lost_or_doubled() {
    let scenario = shipped::find("chaos").unwrap();
    let mut generations = 0;
    for seed in 1..150 {
        let outcome = run(&scenario, seed, &mut |_| {}).unwrap();
        assert_eq!(
            outcome.violations, [""; 0],
            "seed {seed}; repeat with: ostrakon sim run chaos --seed {seed}"
        );
        generations += outcome.generations;
    }
    assert!(generations > 150, "{generations}");
}

/// Guards that a link which loses more than half both ways keeps its rate: a long one, a thin one and one whose delay varies are
/// used not far from their limit, and none begins so slowly that it never gets there.
#[test]
fn what_loses_more_than_half_is_still_used() {
    for (name, changes, least) in [
        ("geo", [("loss", "50%"), ("file", "20MB")].as_slice(), 0.8),
        ("geo", &[("loss", "60%"), ("file", "20MB")], 0.7),
        ("geo", &[("loss", "70%"), ("file", "20MB")], 0.7),
        ("lte", &[("loss", "60%"), ("file", "5MB")], 0.6),
        (
            "geo",
            &[("loss", "60%"), ("file", "2MB"), ("rate", "1mbit")],
            0.4,
        ),
        (
            "geo",
            &[("loss", "60%"), ("file", "20MB"), ("start", "cold")],
            0.2,
        ),
    ] {
        let mut scenario = shipped::find(name).unwrap();
        for (key, value) in changes {
            scenario.set(key, value).unwrap();
        }
        for seed in 1..=5 {
            let outcome = run(&scenario, seed, &mut |_| {}).unwrap();
            let ratio = outcome.ratio.unwrap_or(0.0);
            println!("{name} {changes:?}, seed {seed}: ratio {ratio:.3}");
            assert_eq!(
                outcome.violations, [""; 0],
                "{name} {changes:?}, seed {seed}"
            );
            assert!(ratio > least, "{name} {changes:?}, seed {seed}: {ratio}");
        }
    }
}

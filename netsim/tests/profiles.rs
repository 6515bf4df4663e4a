//! The shipped profiles and their overrides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{SECOND, drain, ms};
use ostrakon_netsim::model::{
    Access, Airtime, BurstClock, Channel, ChannelSpec, Courier, Duty, Link, LinkSpec, Offered,
    Qdisc, SpecError,
};
use ostrakon_netsim::profile::{Medium, Profile, ProfileError};

fn named(name: &str) -> Profile {
    Profile::named(name).unwrap()
}

fn changed(name: &str, changes: &[&str]) -> Medium {
    let mut profile = named(name);
    for change in changes {
        profile.change(change).unwrap();
    }
    profile.medium().unwrap()
}

fn pair(name: &str, changes: &[&str]) -> (LinkSpec, Option<LinkSpec>) {
    match changed(name, changes) {
        Medium::Pair { forward, back } => (*forward, back.map(|back| *back)),
        other => panic!("{name} is no pair: {other:?}"),
    }
}

fn channel(name: &str, changes: &[&str]) -> ChannelSpec {
    match changed(name, changes) {
        Medium::Channel(channel) => *channel,
        other => panic!("{name} is no channel: {other:?}"),
    }
}

/// Guards what is promised to be there: the names, that each profile can be built, carries a packet of its full size, and
/// says where its numbers are from; and which tell.
#[test]
fn every_profile_carries_a_packet() {
    let expected = [
        "lan",
        "wifi-mesh",
        "lte",
        "lte-edge-of-cell",
        "gprs",
        "geo",
        "geo-rain",
        "leo-handover",
        "hf-300",
        "vhf-1200",
        "uhf-9600",
        "lora-sf7",
        "lora-sf10",
        "lora-sf12",
        "lunar",
        "mars",
        "bus-mule",
        "courier-usb",
    ];
    let mut names = Profile::names();
    assert_eq!(names.len(), expected.len());
    names.sort_unstable();
    let mut sorted = expected;
    sorted.sort_unstable();
    assert_eq!(names, sorted);
    for profile in Profile::all() {
        let name = profile.name();
        assert!(
            profile.title().len() > 10 && profile.source().contains("chosen"),
            "{name}"
        );
        let radio = matches!(profile.medium().unwrap(), Medium::Channel(_));
        assert_eq!(profile.tells(), radio, "{name}");
        // What is sure to arrive, so that one packet shows it.
        let mut sure = profile.clone();
        sure.set("loss", "0").unwrap();
        if sure.keys().iter().any(|key| key.name == "bad") {
            sure.set("bad", "0").unwrap();
        }
        match sure.medium().unwrap() {
            Medium::Pair { forward, back } => {
                for spec in [*forward, *back.unwrap()] {
                    let mut link = Link::new(&spec, 1).unwrap();
                    assert_eq!(link.offer(0, spec.mtu - spec.overhead, ()), Offered::Queued);
                    assert_eq!(drain(&mut link).len(), 1, "{name}");
                }
            }
            Medium::Channel(spec) => {
                let mut channel = Channel::new(&spec, 2, 1).unwrap();
                assert_eq!(
                    channel.offer(0, 0, spec.mtu - spec.overhead, ()),
                    Offered::Queued
                );
                assert!(channel.poll(1000 * SECOND).is_some(), "{name}");
            }
            Medium::Courier(spec) => {
                let mut courier = Courier::new(&spec, 1).unwrap();
                assert_eq!(
                    courier.offer(0, 0, spec.mtu - spec.overhead, ()),
                    Offered::Queued
                );
                assert!(courier.poll(100_000 * SECOND).is_some(), "{name}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Guards the numbers that comparisons rest on: geo has 10 and 2 Mbit/s, a round trip of 600 ms, 1 % loss and queues of one
/// bandwidth-delay product.
#[test]
fn geo_is_what_comparisons_take_it_for() {
    let (forward, back) = pair("geo", &[]);
    let back = back.unwrap();
    assert_eq!(
        (forward.rate_bps, back.rate_bps),
        (Some(10_000_000), Some(2_000_000))
    );
    assert_eq!(forward.delay + back.delay, ms(600));
    assert_eq!((forward.loss, back.loss), (0.01, 0.01));
    assert_eq!(
        (forward.queue_limit(), back.queue_limit()),
        (750_000, 150_000)
    );
    assert_eq!((forward.mtu, forward.overhead), (1500, 28));
    // The others follow from it: lossy20, bursts.
    let (forward, back) = pair("geo", &["rate=20mbit", "rtt=100ms", "loss=20%"]);
    assert_eq!(back.unwrap().rate_bps, Some(2_000_000));
    assert_eq!((forward.queue_limit(), forward.loss), (250_000, 0.2));
    let (forward, back) = pair("geo", &["rtt=200ms", "loss=0", "bad=10%", "burst=400ms"]);
    let burst = forward.burst.unwrap();
    assert!((burst.bad_share() - 0.1).abs() < 1e-6 && burst.loss_bad == 1.0);
    assert!(matches!(burst.clock, BurstClock::Time { mean_bad, .. } if mean_bad == ms(400)));
    assert_eq!(back.unwrap().burst, None);
}

/// Guards the keys: each profile takes every key that it names with the example given, changes by it, refuses nonsense by
/// naming key, value and what would do, and refuses all other keys with the one most like it.
#[test]
fn every_key_does_something() {
    let mut seen = std::collections::BTreeSet::new();
    for profile in Profile::all() {
        for key in profile.keys() {
            seen.insert(key.name);
            let mut changed = profile.clone();
            let name = profile.name();
            changed
                .set(key.name, key.example)
                .unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_ne!(changed, profile, "{name}: {}={}", key.name, key.example);
            let refused = changed.set(key.name, "nonsense").unwrap_err();
            let ProfileError::Value {
                key: k,
                value,
                expected,
            } = &refused
            else {
                panic!("{refused:?}")
            };
            assert_eq!(
                (k.as_str(), value.as_str(), *expected),
                (key.name, "nonsense", key.accepts)
            );
            assert!(
                refused
                    .to_string()
                    .starts_with(&format!("{} cannot be \"nonsense\": give ", key.name))
            );
        }
    }
    for key in [
        "rate",
        "rate-back",
        "delay",
        "rtt",
        "loss",
        "loss-back",
        "burst",
        "bad",
        "jitter",
        "reorder",
        "duplicate",
        "corrupt",
        "mtu",
        "queue",
        "qdisc",
        "overhead",
        "duty",
    ] {
        assert!(seen.contains(key), "{key}");
    }
    let refused = named("geo").set("loss-bck", "1%").unwrap_err();
    assert!(
        matches!(
            &refused,
            ProfileError::UnknownKey {
                nearest: "loss-back",
                ..
            }
        ),
        "{refused}"
    );
    assert!(
        named("lan").set("duty", "1%").is_err() && named("bus-mule").set("delay", "1s").is_err()
    );
    assert_eq!(
        named("geo").change("loss"),
        Err(ProfileError::NoChange("loss".into()))
    );
    let refused = Profile::named("lora-sf11").unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("did you mean \"lora-sf10\"? There are lan, "),
        "{refused}"
    );
}

/// Guards what the changes mean, where that is not the same as their name.
#[test]
fn changes_mean_what_is_said() {
    // The way back follows where it had the same rate, or would be above.
    let rates = |name: &str, changes: &[&str]| {
        let (forward, back) = pair(name, changes);
        (forward.rate_bps.unwrap(), back.unwrap().rate_bps.unwrap())
    };
    assert_eq!(rates("lan", &["rate=13mbit"]), (13_000_000, 13_000_000));
    assert_eq!(rates("geo", &["rate=13mbit"]), (13_000_000, 2_000_000));
    assert_eq!(rates("geo", &["rate=1mbit"]), (1_000_000, 1_000_000));
    assert_eq!(
        rates("geo", &["rate=1mbit", "rate-back=5mbit"]),
        (1_000_000, 5_000_000)
    );

    let (forward, back) = pair(
        "geo",
        &[
            "loss-back=5%",
            "jitter=9ms",
            "in-order=no",
            "qdisc=codel",
            "mtu=1280",
        ],
    );
    let back = back.unwrap();
    assert_eq!((forward.loss, back.loss), (0.01, 0.05));
    assert_eq!(
        (back.jitter, back.in_order, back.qdisc, back.mtu),
        (ms(9), false, Qdisc::codel(), 1280)
    );
    let queue = |change: &str| pair("geo", &[change]).0.queue_limit();
    assert_eq!(
        (
            queue("queue=2bdp"),
            queue("queue=40kB"),
            queue("queue=.001bdp")
        ),
        (1_500_000, 40_000, 30_000)
    );
    assert_eq!(pair("geo", &["oneway=yes"]).1, None);
    // Bursts that a profile has both ways change both ways; a delay that is given holds through handovers.
    let (forward, back) = pair("geo-rain", &["bad=30%"]);
    assert_eq!(forward.burst, back.unwrap().burst);
    let (forward, _) = pair("leo-handover", &["delay=50ms"]);
    let plan = forward.contacts.unwrap();
    assert!(
        plan.contacts()
            .iter()
            .all(|contact| contact.delay.is_none())
    );
    assert!(plan.at(14_950_000_000).is_none() && plan.at(15_000_000_000).is_some());

    let spec = channel(
        "vhf-1200",
        &[
            "rate=2400bit",
            "slot=80ms",
            "persistence=50%",
            "capture=none",
            "duty=10%",
        ],
    );
    assert!(matches!(spec.airtime, Airtime::Rate { rate_bps: 2400, .. }));
    assert!(
        matches!(spec.access, Access::Csma { persistence, slot, .. } if persistence == 0.5 && slot == ms(80))
    );
    assert_eq!(
        (spec.capture_db, spec.duty.map(|duty| duty.share)),
        (None, Some(0.1))
    );
    let spec = channel(
        "lora-sf7",
        &["sf=9", "bandwidth=250kHz", "coding-rate=4/8", "duty=none"],
    );
    let Airtime::LoRa(lora) = spec.airtime else {
        panic!()
    };
    assert_eq!(
        (lora.spreading_factor, lora.bandwidth_hz, lora.coding_rate),
        (9, 250_000, 4)
    );
    assert_eq!(spec.duty, None);
    let paused = channel("lora-sf7", &["duty=10% pause"]).duty;
    assert_eq!(paused, Some(Duty::off_time(0.1)));

    // What does not go together is told when the link is built.
    let mut profile = named("geo");
    profile.set("mtu", "28").unwrap();
    assert!(matches!(profile.medium(), Err(SpecError::Mtu { .. })));
    profile.set("overhead", "0").unwrap();
    assert!(profile.medium().is_ok());
    profile.set("delay", "31d").unwrap();
    assert_eq!(
        profile.medium(),
        Err(SpecError::Delay(Duration::from_secs(31 * 86_400)))
    );
}

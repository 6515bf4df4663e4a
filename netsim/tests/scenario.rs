//! Scenario files: what they mean, what is wrong with them, and what becomes of them in a world.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::profile::Medium;
use ostrakon_netsim::scenario::{
    Carrier, Control, Flow, FlowControl, Judged, NodeKind, Priority, Scenario, Shape, Start,
};
use ostrakon_netsim::world::{FaultKind, Host, HostId, LinkId, Meddling, Notice, Out, Port, When};

const SECOND: Nanos = 1_000_000_000;
const MINUTE: Nanos = 60 * SECOND;

fn shipped(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    Scenario::load(&folder.join(name)).unwrap()
}

/// Guards the reading of values, defaults included.
#[test]
fn a_scenario_says_what_its_file_says() {
    let scenario = shipped("two-links.toml");
    assert_eq!(
        (scenario.name.as_str(), scenario.seed, scenario.start),
        ("two-links", 7, Start::Cold)
    );
    assert_eq!(scenario.duration, 30 * MINUTE);
    assert_eq!(scenario.nodes[0].options["rank"], "3");
    let [sat, radio] = &scenario.links[..] else {
        panic!()
    };
    assert_eq!(
        (sat.carrier, sat.notice, sat.cost),
        (Carrier::Quic, Notice::Peer, 0)
    );
    assert_eq!(
        (radio.carrier, radio.notice, radio.cost),
        (Carrier::Serial, Notice::Line, 2)
    );
    assert_eq!(radio.assume_loss_ppm, Some(20_000));
    let times: Vec<_> = scenario
        .messages
        .iter()
        .map(|message| message.at / SECOND)
        .collect();
    assert_eq!(times, [10, 610]);
    let [text, file] = &scenario.messages[0].parts[..] else {
        panic!()
    };
    assert_eq!(
        (text.bytes, text.priority, text.name.as_str()),
        (160, Priority::Urgent, "text-1")
    );
    assert_eq!(
        (file.bytes, file.priority, file.name.as_str()),
        (300_000, Priority::Bulk, "x-ray")
    );
    assert_eq!(
        (file.via.as_slice(), file.lifetime),
        (&[0][..], Some(86_400 * SECOND))
    );
    assert_eq!(scenario.faults.plan.faults[0].when, When::At(12 * SECOND));
    assert!(scenario.fault_plan(1).faults.len() >= 2 + 3);
    assert_eq!(scenario.fault_plan(1), scenario.fault_plan(1));
    assert_ne!(scenario.fault_plan(1), scenario.fault_plan(2));
    assert_eq!(scenario.expect.delivered_ppm, Some(1_000_000));
    assert_eq!(scenario.expect.ratio_ppm, Some(500_000));
}

/// Guards repetition helpers: groups of nodes, patterns of links, selections, partitions.
#[test]
fn groups_and_patterns_spare_writing() {
    let scenario = shipped("mesh.toml");
    assert_eq!(scenario.nodes.len(), 1 + 48 + 2);
    assert_eq!(
        (scenario.nodes[5].name.as_str(), scenario.nodes[5].kind),
        ("mesh-5", NodeKind::Relay)
    );
    let row = scenario
        .links
        .iter()
        .filter(|link| link.group.as_deref() == Some("row"));
    assert_eq!(row.count(), 49);
    // mesh-1 and mesh-10 to mesh-19.
    let star: Vec<_> = scenario
        .links
        .iter()
        .filter(|link| link.group.as_deref() == Some("star"))
        .collect();
    assert_eq!(star.len(), 11);
    assert!(
        star.iter()
            .all(|link| link.ends[0] == 0 && link.notice == Notice::Nothing)
    );
    // From the two ends to each other; relays are nobody's recipients.
    assert_eq!(scenario.messages.len(), 1);
    let plan = scenario.fault_plan(1);
    let FaultKind::Cut {
        links,
        noticed: false,
        ..
    } = &plan.faults[0].kind
    else {
        panic!("{plan:?}")
    };
    // mesh-3 to mesh-4, mesh-4 to mesh-5, mesh-39 to mesh-40.
    let names: Vec<_> = links
        .iter()
        .map(|link| scenario.links[link.0 as usize].name.as_str())
        .collect();
    assert_eq!(names, ["row-4", "row-5", "row-40"]);
    let reorder = FaultKind::Meddle {
        link: LinkId(49),
        way: ostrakon_netsim::world::Way::Both,
        what: Meddling::Reorder(SECOND),
        share_ppm: 100_000,
        lasts: None,
    };
    assert_eq!(plan.faults[1].kind, reorder);
    assert_eq!(plan.faults.len(), 1 + 11);
}

/// Guards reachability: couriers, relays, contacts and routes count, and the earliest arrival is what the timetable
/// says.
#[test]
fn the_earliest_arrival_follows_couriers_contacts_and_routes() {
    let mut scenario = shipped("village-bus.toml");
    assert!(matches!(&scenario.links[0].shape, Shape::Courier { halts, .. } if halts.len() == 2));
    scenario.check_reach().unwrap();
    let bound = scenario.bound(&scenario.messages[0], 1).unwrap().unwrap();
    // The bus is there at 1:30, the uplink at 2:05, half a round trip behind it.
    assert_eq!(bound / SECOND, 125 * 60);
    scenario.set("duration", "2h").unwrap();
    let why = scenario.check_reach().unwrap_err().to_string();
    assert!(
        why.contains("village-bus.toml:") && why.contains("`ministry` within 2 h"),
        "{why}"
    );
    // Without the relay nobody passes on what comes by bus.
    let mut scenario = shipped("village-bus.toml");
    scenario.nodes[1].kind = NodeKind::Node;
    let why = scenario.check_reach().unwrap_err().to_string();
    assert!(
        why.contains("nothing from `village`") && !why.contains("earliest"),
        "{why}"
    );

    let mut scenario = shipped("mesh.toml");
    scenario.check_reach().unwrap();
    // The way over the gateway is the only one that the routes leave.
    let star = scenario
        .links
        .iter()
        .position(|link| link.name == "star-11")
        .unwrap();
    scenario.links.remove(star);
    assert!(scenario.check_reach().is_err());
    scenario.routes.clear();
    scenario.check_reach().unwrap();
}

/// Guards names of many: a route for several nodes and recipients is one for each, and a part that may leave by a group may
/// leave by each of its links.
#[test]
fn lists_and_groups_stand_for_each_of_theirs() {
    let text = r#"
[scenario]
duration = "1h"
[[node]]
name = "hub"
kind = "relay"
[[nodes]]
prefix = "n"
count = 3
[[link]]
name = "spokes"
among = ["hub", "n*"]
pattern = "star"
profile = "lan"
[[route]]
node = ["n1", "n2"]
to = ["n3"]
via = "hub"
[[message]]
from = "n1"
to = "n3"
parts = [{ text = 10, via = "spokes" }]
"#;
    let scenario = Scenario::parse("spokes.toml", text).unwrap();
    let routes = scenario.routes.iter().map(|r| (r.node, r.to, r.via));
    assert_eq!(routes.collect::<Vec<_>>(), [(1, 3, 0), (2, 3, 0)]);
    assert_eq!(scenario.messages[0].parts[0].via, [0, 1, 2]);
    let circle = text.replace(r#"["n3"]"#, r#"["n*"]"#);
    let why = Scenario::parse("spokes.toml", &circle).unwrap_err();
    assert!(why.to_string().starts_with("spokes.toml:15: "), "{why}");
}

/// Guards the manual: its worked example is a scenario, and what it says of it is so.
#[test]
fn the_example_of_the_manual_is_as_it_says() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scenarios.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let (_, example) = manual.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let mut scenario = Scenario::parse("example.toml", example).unwrap();
    scenario.check_reach().unwrap();
    let bound = scenario.bound(&scenario.messages[0], 0).unwrap().unwrap();
    assert_eq!(bound, (2 * 60 + 5) * MINUTE + 300 * SECOND / 1000);
    scenario.set("duration", "5h").unwrap();
    let why = scenario.check_reach().unwrap_err().to_string();
    let (_, said) = manual.split_once("village.toml:38: ").unwrap();
    let (said, _) = said.split_once("\n```").unwrap();
    assert_eq!(why, format!("example.toml:38: {}", said.replace('\n', " ")));
}

/// Guards overrides, and that a wrong one changes nothing and says what could be set.
#[test]
fn overrides_change_what_they_name() {
    let mut scenario = shipped("two-links.toml");
    scenario.set("seed", "9").unwrap();
    scenario.set("start", "warm").unwrap();
    scenario.set("duration", "1h").unwrap();
    assert_eq!(
        (scenario.seed, scenario.start, scenario.duration),
        (9, Start::Warm, 60 * MINUTE)
    );
    let before = scenario.clone();
    scenario.set("radio.rate", "1200bit").unwrap();
    assert_eq!(before.links[0], scenario.links[0]);
    assert_ne!(before.links[1], scenario.links[1]);
    scenario.set("rate", "13mbit").unwrap();
    assert_ne!(before.links[0], scenario.links[0]);
    scenario.set("sat.remembered-rate", "5mbit").unwrap();
    scenario.set("cost", "3").unwrap();
    scenario.set("text", "2kB").unwrap();
    let links = scenario.links.iter();
    let of_links: Vec<_> = links.map(|l| (l.remembered_bps, l.cost)).collect();
    assert_eq!(of_links, [(Some(5_000_000), 3), (None, 3)]);
    let parts = || scenario.messages.iter().flat_map(|m| &m.parts);
    assert!(parts().any(|part| part.text));
    assert!(parts().all(|part| (part.bytes == 2000) == part.text));
    let before = scenario.clone();
    for (key, value, words) in [
        ("raet", "13mbit", "did you mean `rate`?"),
        ("satt.rate", "13mbit", "did you mean `sat.rate`?"),
        ("colour", "red", "duration, file, mode, seed, start"),
        ("flow", "none", "`flow` cannot be set"),
        ("file", "2TB", "1 GiB"),
        ("sat.cost", "cheap", "whole number"),
        ("remembered-rate", "fast", "give a rate"),
        ("sat.rate", "13 furlongs", "give a rate"),
        ("rate", "-5mbit", "-5mbit"),
        ("start", "hot", "cold or warm"),
        ("duration", "10min", "a time within the duration of 10 min"),
        ("duration", "0s", "above 0"),
        ("seed", "x", "whole number"),
    ] {
        let why = scenario.set(key, value).unwrap_err().to_string();
        assert!(why.contains(words), "{key}={value}: {why}");
        assert!(scenario == before, "{key}={value} changed something");
    }
}

const GOOD: &str = r#"[scenario]
duration = "1h"
[[node]]
name = "a"
[[node]]
name = "b"
[[link]]
name = "l"
between = ["a", "b"]
profile = "geo"
"#;

/// Guards flows of others: what the file says of them and of the link's own control, what overrides change, and when
/// shares are judged.
#[test]
fn others_use_a_link_as_it_is_said() {
    let text = format!(
        "{GOOD}control = \"shared\"\n\
         [[flow]]\nlink = \"l\"\ncontrol = \"cubic\"\nstart = \"500ms\"\nspread = \"1s\"\n\
         [[flow]]\nlink = \"l\"\ncontrol = \"bbr\"\n\
         [judged]\nfrom = \"10s\"\nuntil = \"70s\"\n"
    );
    let mut scenario = Scenario::parse("f.toml", &text).unwrap();
    let flow = |control, start, spread, line| Flow {
        link: 0,
        control,
        start,
        spread,
        line,
    };
    let read = [
        flow(FlowControl::Cubic, SECOND / 2, SECOND, 12),
        flow(FlowControl::Bbr, 0, 0, 17),
    ];
    assert_eq!(scenario.flows, read);
    let (from, until) = (10 * SECOND, 70 * SECOND);
    let line = 20;
    assert_eq!(scenario.judged, Some(Judged { from, until, line }));
    assert_eq!(scenario.judging(), from..until);
    let why = scenario.set("duration", "69s").unwrap_err().to_string();
    assert!(why.contains("within the duration of 1 min 9 s"), "{why}");
    assert_eq!(scenario.links[0].control, Control::Shared);
    scenario.set("control", "own").unwrap();
    scenario.set("flow", "none").unwrap();
    assert_eq!(scenario.links[0].control, Control::Own);
    let absent = |flow: &Flow| flow.control == FlowControl::Absent;
    assert!(scenario.flows.iter().all(absent));
    for (key, expected) in [
        ("flow", "cubic, bbr or none"),
        ("l.control", "own or shared"),
    ] {
        let why = scenario.set(key, "reno").unwrap_err().to_string();
        assert!(why.contains(expected), "{why}");
    }
}

/// Guards recorded rates: a trace is read from a file that the scenario names, and an empty one is refused with its
/// place.
#[test]
fn a_trace_is_read_from_its_file() {
    let text = format!("{GOOD}trace = \"up.trace\"\n");
    let read = |content: &'static str| {
        Scenario::parse_with("t.toml", &text, &|name| match name {
            "up.trace" => Ok(content.into()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        })
    };
    let scenario = read("0\n5\n10\n").unwrap();
    let Medium::Pair { forward, back } = &scenario.media().unwrap()[0] else {
        panic!()
    };
    assert!(forward.trace.is_some() && back.as_ref().unwrap().trace.is_none());
    let why = read("").unwrap_err().to_string();
    assert!(
        why.starts_with("t.toml:11: the trace up.trace: the trace is empty"),
        "{why}"
    );
    let why = read("5\n3\n").unwrap_err().to_string();
    assert!(why.contains("line 2"), "{why}");
}

/// Guards shared channels: who hears whom is what the file says, and a radio profile between two nodes is a channel of
/// two.
#[test]
fn stations_hear_whom_they_are_said_to_hear() {
    let text = r#"
        [scenario]
        duration = "1h"
        [[nodes]]
        prefix = "n"
        count = 3
        [[node]]
        name = "far"
        [[link]]
        stations = "n*"
        hears = [["n1", "n2"], ["n2", "n3"]]
        profile = "vhf-1200"
        [[link]]
        between = ["n3", "far"]
        profile = "lora-sf7"
        [[message]]
        from = "n1"
        to = ["n2", "n3"]
        parts = [{ text = 1 }]
    "#;
    let scenario = Scenario::parse("air.toml", text).unwrap();
    assert_eq!(scenario.links[0].carrier, Carrier::Serial);
    assert_eq!(scenario.links[1].shape, Shape::Shared { hears: None });
    let why = scenario.check_reach().unwrap_err().to_string();
    assert!(
        why.contains("nothing from `n1` sent at 0 s can reach `n3`"),
        "{why}"
    );
    // All shout at once; what gets through comes from the one in the middle, far is 0 and n1 is 1.
    let mut world = scenario.build(1, |_, node| Shout::new(&node.name)).unwrap();
    world.run_until(60 * SECOND, |_| false);
    let heard = |host| {
        let notes = world.notes().iter();
        let notes = notes.filter(move |note| note.host == HostId(host));
        notes.map(|note| note.text.as_str()).collect::<Vec<_>>()
    };
    assert_eq!((heard(1), heard(3)), (vec!["n2"], vec!["n2"]));
}

/// Sends its name to all neighbours when a port comes up, and passes nothing on.
struct Shout(Vec<u8>, u64);

impl Shout {
    fn new(name: &str) -> Self {
        Self(name.into(), 0)
    }
}

impl Host for Shout {
    fn start(&mut self, _now: Nanos, _out: &mut Out<'_>) {}
    fn packet(&mut self, _now: Nanos, _port: Port, packet: Bytes, out: &mut Out<'_>) {
        self.1 += 1;
        out.note("heard", String::from_utf8_lossy(&packet), 0);
    }
    fn link(&mut self, _now: Nanos, port: Port, up: bool, out: &mut Out<'_>) {
        if up {
            out.send(port, self.0.clone());
        }
    }
}

/// Guards the way from a file to a world: the numbers of nodes and links are kept, contacts and faults take effect, and
/// the same scenario gives the same trace.
#[test]
fn a_scenario_becomes_a_world() {
    let scenario = shipped("village-bus.toml");
    let run = |seed| {
        let mut world = scenario
            .build(seed, |_, node| Shout::new(&node.name))
            .unwrap();
        assert_eq!(world.name(HostId(1)), "station");
        assert_eq!(world.port(HostId(1), LinkId(1)), Some(Port(1)));
        assert_eq!(
            (scenario.ports(1), scenario.ports(2)),
            (vec![0, 1], vec![1])
        );
        world.run_until(scenario.duration, |_| false);
        let heard = world.host(HostId(2)).1;
        (world.trace_hash(), heard)
    };
    // Eight contacts, and one loss in a hundred.
    let (hash, heard) = run(1);
    assert!((6..=8).contains(&heard), "{heard}");
    assert_eq!((hash, heard), run(1));
    assert_ne!(hash, run(2).0);
}

/// Guards faults of disks: what is named comes as it is written, and what is drawn follows from the seed, keeps to the nodes
/// that are named and leaves time to recover.
#[test]
fn disks_go_back_as_it_is_written_and_drawn() {
    let text = r#"
        [scenario]
        duration = "160s"
        [[nodes]]
        prefix = "n-"
        count = 3
        [[fault]]
        kind = "image"
        node = "n-1"
        at = "10s"
        [[fault]]
        kind = "rollback"
        node = "n-1"
        ago = 2
        at = "20s"
        off = "3s"
        [[fault]]
        kind = "clone"
        node = "n-3"
        of = "n-2"
        at = "30s"
        [[fault]]
        kind = "rollbacks"
        node = ["n-1", "n-3"]
        shared = true
    "#;
    let scenario = Scenario::parse("disks.toml", text).unwrap();
    let [a, b, c] = [0, 1, 2].map(HostId);
    let restore = |host, of, ago, off| FaultKind::Restore { host, of, ago, off };
    let kinds: Vec<_> = scenario
        .faults
        .plan
        .faults
        .iter()
        .map(|f| f.kind.clone())
        .collect();
    assert_eq!(
        kinds,
        [
            FaultKind::Image { host: a },
            restore(a, a, 2, 3 * SECOND),
            FaultKind::Image { host: b },
            restore(c, b, 0, 1),
        ]
    );
    assert_eq!(scenario.fault_plan(5), scenario.fault_plan(5));
    assert_ne!(scenario.fault_plan(5), scenario.fault_plan(6));
    let mut copies = 0;
    for seed in 0..20 {
        for fault in scenario.fault_plan(seed).faults.split_off(4) {
            assert!(matches!(fault.when, When::At(at) if at < 120 * SECOND));
            let FaultKind::Restore { host, of, off, .. } = fault.kind else {
                continue;
            };
            assert!([a, c].contains(&host) && [a, c].contains(&of));
            assert!((1..=10 * SECOND).contains(&off));
            copies += usize::from(host != of);
        }
    }
    assert!(copies > 0);
    let alone = text.replace("of = \"n-2\"", "");
    let why = Scenario::parse("disks.toml", &alone)
        .unwrap_err()
        .to_string();
    assert!(why.contains("`of`"), "{why}");
}

//! What small scenarios must show, from end to end.

use super::report::Report;
use super::{Outcome, can_be, record, run, shipped};
use ostrakon_netsim::scenario::Scenario;

fn ran(text: &str, seed: u64) -> Outcome {
    let scenario = Scenario::parse("t.toml", text).unwrap();
    run(&scenario, seed, &mut |_| {}).unwrap()
}

/// Two people with a link between them, and a relay beside that leads nowhere.
pub(super) const BESIDE_A_BLACK_HOLE: &str = r#"
    [scenario]
    duration = "1h"
    [[node]]
    name = "a"
    [[node]]
    name = "b"
    [[node]]
    name = "r"
    kind = "relay"
    [[link]]
    name = "good"
    between = ["a", "b"]
    profile = "lte"
    [[link]]
    name = "hole"
    between = ["a", "r"]
    profile = "lan"
    kind = "relay"
"#;

/// Guards that a node keeps to its static routes: what they allow carries the message, and all else nothing of it.
#[test]
fn a_node_sends_by_its_routes_alone() {
    let message =
        "[[message]]\nfrom = \"a\"\nto = \"b\"\nparts = [{ text = 160 }, { file = \"20kB\" }]\n";
    let offered = |ran: &Outcome, link: &str| -> u64 {
        let from_a = ran.links.iter().filter(|l| l.link == link && l.from == "a");
        from_a.map(|l| l.offered_bytes).sum()
    };
    let route = "[[route]]\nnode = \"a\"\nto = \"b\"\nvia = \"b\"\n";
    let good = ran(&format!("{BESIDE_A_BLACK_HOLE}{message}{route}"), 1);
    assert_eq!((good.delivered, good.confirmed), (1, 1));
    assert_eq!(offered(&good, "hole"), 0);

    let route = "[[route]]\nnode = \"a\"\nto = \"b\"\nvia = \"r\"\n";
    let lost = ran(&format!("{BESIDE_A_BLACK_HOLE}{message}{route}"), 1);
    assert_eq!(lost.delivered, 0);
    assert!(offered(&lost, "hole") > 20_000, "{:?}", lost.links);
}

/// Guards a link that works beside a relay that leads nowhere: what the relay swallows is neither waited for nor sent again
/// and again.
#[test]
fn a_relay_that_leads_nowhere_holds_nothing_up() {
    let message =
        "[[message]]\nfrom = \"a\"\nto = \"b\"\nparts = [{ text = 160 }, { file = \"500kB\" }]\n";
    for seed in 1..5 {
        let outcome = ran(&format!("{BESIDE_A_BLACK_HOLE}{message}"), seed);
        let delivered = outcome.messages[0].delivered_s;
        assert!(
            delivered.is_some_and(|at| at < 5.0),
            "seed {seed}: {delivered:?}"
        );
        let swallowed = outcome.links.iter().filter(|link| link.to == "r");
        let swallowed: u64 = swallowed.map(|link| link.offered_bytes).sum();
        assert!(swallowed < 500_000, "seed {seed}: {swallowed} bytes");
    }
}

/// Guards that what an engine refuses is told of: a run without the message is not as it should be.
#[test]
fn a_refused_message_is_a_violation() {
    let message = "[[message]]\nfrom = \"a\"\nto = \"b\"\nparts = [{ text = 9 }]\n";
    let text = format!("{BESIDE_A_BLACK_HOLE}{message}");
    let mut scenario = Scenario::parse("t.toml", &text).unwrap();
    // Longer than a file may have it.
    scenario.messages[0].parts[0].name = "n".repeat(300);
    let refused = run(&scenario, 1, &mut |_| {}).unwrap();
    let told = &refused.violations;
    assert!(
        told.len() == 1 && told[0].starts_with("a: message 0 was refused: "),
        "{told:?}"
    );
}

/// Guards that radio, whose rate is not fixed, has no limit rather than one of nothing, and that the page says so.
#[test]
fn radio_has_no_limit() {
    let scenario = shipped::find("lora-sf12").unwrap();
    let (outcome, series) = record(&scenario, 1, &mut |_| {}).unwrap();
    let limits = (outcome.limit_s, outcome.nominal_limit_s, outcome.ratio);
    assert_eq!((limits, series.limit.len()), ((None, None, None), 0));
    let page = Report {
        scenario: &scenario,
        outcome: &outcome,
        series: &series,
        command: "",
    }
    .page();
    assert!(page.contains("<b>none</b>") && page.contains("no limit to draw"));
    assert!(!page.contains("no protocol can be above"));
}

/// Guards everybody else from one file that is larger than the disk of its recipient: it waits with its sender, and what
/// others send arrives.
#[test]
fn a_file_too_large_for_the_disk_holds_up_nobody_else() {
    let text = r#"
        [scenario]
        duration = "10min"
        [[node]]
        name = "a"
        [[node]]
        name = "b"
        options = { disk = "2MB" }
        [[node]]
        name = "c"
        [[link]]
        between = ["a", "b"]
        profile = "lan"
        [[link]]
        between = ["c", "b"]
        profile = "lan"
        [[message]]
        from = "a"
        to = "b"
        parts = [{ file = "3MB" }]
        [[message]]
        from = "c"
        to = "b"
        at = "10s"
        parts = [{ text = 100 }, { file = "500kB" }]
    "#;
    let ran = ran(text, 1);
    let delivered: Vec<bool> = ran
        .messages
        .iter()
        .map(|m| m.delivered_s.is_some())
        .collect();
    assert_eq!(delivered, [false, true], "{:?}", ran.dropped);
    assert!(ran.dropped["b"]["no room on the disk for a message"] > 0);
}

/// A disk on which a slow file of somebody else takes the room that a file of `a` needs, who sends more after it.
fn without_room_for_a_while(link: &str) -> String {
    format!(
        r#"
        [scenario]
        duration = "30min"
        [[node]]
        name = "a"
        [[node]]
        name = "b"
        options = {{ disk = "2MB" }}
        [[node]]
        name = "c"
        [[link]]
        between = ["a", "b"]
        {link}
        [[link]]
        between = ["c", "b"]
        profile = "lan"
        rate = "60kbit"
        [[message]]
        from = "c"
        to = "b"
        parts = [{{ file = "600kB" }}]
        [[message]]
        from = "a"
        to = "b"
        at = "10s"
        parts = [{{ file = "800kB" }}]
        [[message]]
        from = "a"
        to = "b"
        at = "20s"
        every = "10s"
        count = 4
        parts = [{{ text = 100 }}, {{ file = "50kB" }}]
    "#
    )
}

/// Guards all else that somebody sends from a file that there is no room for: it waits alone, little is sent for it
/// meanwhile, and it goes on by itself once there is room.
#[test]
fn a_file_without_room_waits_alone_and_goes_on_once_there_is_room() {
    let links = [
        "profile = \"lan\"\nloss = \"10%\"",
        "profile = \"lte\"",
        "profile = \"geo\"",
    ];
    for (link, seed) in links
        .iter()
        .flat_map(|link| (1..9).map(move |seed| (link, seed)))
    {
        let ran = ran(&without_room_for_a_while(link), seed);
        let took = |message: usize| {
            let message = &ran.messages[message];
            message.delivered_s.map(|at| at - message.at_s)
        };
        let blocker = ran.messages[0].delivered_s.unwrap();
        let waited = ran.messages[1].delivered_s.unwrap();
        assert!(
            (blocker..blocker + 100.0).contains(&waited),
            "{link}, seed {seed}: there was room at {blocker} s, and the file was there at {waited} s"
        );
        for other in 2..6 {
            let took = took(other).unwrap();
            assert!(
                took < 5.0,
                "{link}, seed {seed}: message {other} took {took} s"
            );
        }
        assert!(ran.dropped["b"]["no room on the disk for a message"] > 0);
        let offered = ran.messages[1].offered_bytes;
        assert!(
            offered < 1_600_000,
            "{link}, seed {seed}: {offered} bytes left for 800 kB"
        );
    }
}

/// Guards that mode `model` does not pretend: what it does not have, flows of others and links that are to be shared, is
/// refused with what to do.
#[test]
fn mode_model_refuses_what_it_does_not_have() {
    for (flow, control) in [("cubic", "own"), ("none", "shared")] {
        let mut scenario = shipped::find("limit-shared").unwrap();
        scenario.set("flow", flow).unwrap();
        scenario.set("control", control).unwrap();
        scenario.set("mode", "model").unwrap();
        let why = run(&scenario, 1, &mut |_| {}).unwrap_err().to_string();
        assert!(
            why.contains("give quic") && why.contains("flow=none"),
            "{why}"
        );
    }
}

/// Guards what shares are judged by: a sender that has nothing left to send while they are judged is a violation.
#[test]
fn a_share_needs_a_sender_until_the_end() {
    let mut scenario = shipped::find("limit-shared").unwrap();
    scenario.set("file", "100kB").unwrap();
    let until = &mut scenario.judged.as_mut().unwrap().until;
    *until = 11_000_000_000;
    let ran = run(&scenario, 1, &mut |_| {}).unwrap();
    let told = &ran.violations;
    assert!(
        told.len() == 1 && told[0].contains("before 11 s"),
        "{told:?}"
    );
}

/// Guards what shares are judged by: where nothing came, or a few packets, nobody had a share, and that is a violation.
#[test]
fn a_share_of_next_to_nothing_is_a_violation() {
    for (key, value) in [("loss", "1"), ("rate", "1kbit")] {
        let mut scenario = shipped::find("limit-shared").unwrap();
        scenario.set(key, value).unwrap();
        let until = &mut scenario.judged.as_mut().unwrap().until;
        *until = 40_000_000_000;
        let ran = run(&scenario, 1, &mut |_| {}).unwrap();
        assert_eq!(ran.violations.len(), 1, "{:?}", ran.violations);
        let told = ran.violations[0].strip_prefix("line: ").unwrap();
        let (bytes, why) = told.split_once(' ').unwrap();
        assert_eq!(bytes == "0", key == "loss", "{told}");
        assert_eq!(
            why,
            "bytes came from 10 s to 40 s, and shares of less than 120000 tell nothing: give a higher rate, or judge for longer"
        );
    }
}

/// Guards that a link which can never carry anything in mode `quic`, or shares in name alone, is refused with what to give.
#[test]
fn mode_quic_refuses_links_that_it_cannot_be_on() {
    let small = |mtu| {
        let mut scenario = shipped::find("limit-bulk-0").unwrap();
        scenario.set("mtu", mtu).unwrap();
        can_be(&scenario)
    };
    small("1228").unwrap();
    let why = small("1227").unwrap_err().to_string();
    assert!(why.contains("give at least 1228"), "{why}");
    let mut scenario = shipped::find("limit-shared").unwrap();
    scenario.set("flow", "none").unwrap();
    scenario.set("oneway", "yes").unwrap();
    let why = can_be(&scenario).unwrap_err().to_string();
    assert!(why.contains("leave `control` out"), "{why}");
}

/// Guards what messages are said to have been offered in: together it is what their sender's link was offered, but for packets
/// without a frame, and never more.
#[test]
fn the_bytes_of_messages_are_those_of_their_packets() {
    let text = r#"
        [scenario]
        duration = "10min"
        [[node]]
        name = "a"
        [[node]]
        name = "b"
        [[link]]
        name = "sky"
        between = ["a", "b"]
        profile = "geo"
        loss = "10%"
        [[message]]
        from = "a"
        to = "b"
        at = "1s"
        every = "100ms"
        count = 20
        parts = [{ text = 800 }]
        [[message]]
        from = "a"
        to = "b"
        at = "1s"
        parts = [{ file = "3MB" }]
    "#;
    for mode in ["model", "quic"] {
        let mut scenario = Scenario::parse("t.toml", text).unwrap();
        scenario.set("mode", mode).unwrap();
        let ran = run(&scenario, 1, &mut |_| {}).unwrap();
        assert_eq!(ran.delivered, 21);
        let link = ran.links.iter().find(|link| link.from == "a").unwrap();
        let messages: u64 = ran.messages.iter().map(|m| m.offered_bytes).sum();
        let (least, most) = (link.offered_bytes * 95 / 100, link.offered_bytes);
        assert!(
            (least..=most).contains(&messages),
            "{mode}: {messages} of {most}"
        );
        assert!(ran.text_costs().all(|cost| cost > 100));
    }
}

//! A run in a few lines, for people. Names and titles are those of a file from anywhere.

use crate::plain::one_line;
use ostrakon::sim::{Outcome, Share};
use std::fmt::Write as _;

/// Violations that are named.
const NAMED: usize = 20;

/// The lines.
pub fn outcome(ran: &Outcome) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {}",
        one_line(&ran.scenario),
        one_line(&ran.title)
    );
    let _ = writeln!(
        text,
        "seed {}, mode {}, {}",
        ran.seed,
        ran.mode,
        ran.trace.as_ref().map_or_else(
            || "no trace hash: the keys of QUIC follow from no seed".into(),
            |trace| format!("trace {trace}")
        )
    );
    let _ = writeln!(
        text,
        "{} events, {} packets, {} frames; {:.1} s of the world in {:.1} s: {:.0} events and {:.0} frames a second",
        ran.events,
        ran.packets,
        ran.frames,
        ran.virtual_s,
        ran.wall_s,
        ran.events_per_s,
        ran.frames_per_s
    );
    let _ = writeln!(
        text,
        "{} messages sent, {} delivered, {} confirmed",
        ran.sent, ran.delivered, ran.confirmed
    );
    messages(ran, &mut text);
    if let (Some(limit), Some(achieved), Some(ratio)) = (ran.limit_s, ran.achieved_s, ran.ratio) {
        let nominal = ran.nominal_limit_s.map_or(String::new(), |nominal| {
            format!(" ({nominal:.3} s with the loss that links have on average)")
        });
        let _ = writeln!(
            text,
            "the largest message took {achieved:.3} s; the limit is {limit:.3} s{nominal}, ratio {ratio:.3}"
        );
    }
    if let Some(other) = &ran.beside
        && let (Some(limit), Some(achieved), Some(ratio)) =
            (other.limit_s, other.achieved_s, other.ratio)
    {
        let mode = other.mode;
        let _ = writeln!(
            text,
            "in mode {mode} it took {achieved:.3} s; the limit is {limit:.3} s, ratio {ratio:.3}"
        );
    }
    ran.shares.iter().for_each(|of| share(of, &mut text));
    links(ran, &mut text);
    if ran.dropped.len() <= 12 {
        for (node, reasons) in &ran.dropped {
            let reasons: Vec<String> = reasons
                .iter()
                .map(|(why, n)| format!("{n} × {why}"))
                .collect();
            let _ = writeln!(text, "  dropped by {node}: {}", reasons.join(", "));
        }
    }
    for violation in ran.violations.iter().take(NAMED) {
        let _ = writeln!(text, "VIOLATION {}", one_line(violation));
    }
    text
}

/// What became of each part, if there are few.
fn messages(ran: &Outcome, text: &mut String) {
    if ran.messages.len() > 10 {
        return;
    }
    for message in &ran.messages {
        for part in &message.parts {
            let when = part.delivered_s.map_or("not delivered".into(), |at| {
                format!("delivered after {:.3} s", at - message.at_s)
            });
            let _ = writeln!(
                text,
                "  {} to {}: {} ({} bytes) {when}",
                message.from,
                message.to,
                one_line(&part.name),
                part.bytes
            );
        }
    }
}

/// A figure that there may be none of.
pub(super) fn figure(figure: Option<f64>) -> String {
    figure.map_or("none".into(), |figure| format!("{figure:.3}"))
}

/// How a link was shared with flows of others.
fn share(of: &Share, text: &mut String) {
    let flows = of.flows.iter();
    let flows: Vec<String> = flows
        .map(|flow| format!("{} {} B", flow.control, flow.bytes))
        .collect();
    let _ = writeln!(
        text,
        "  {} from {} s to {} s: own {} B, {}; Jain's index {} (with CUBIC instead {}), use {}, mean queue {:.0} B, {} \
         times that with CUBIC",
        of.link,
        of.from_s,
        of.until_s,
        of.own_bytes,
        flows.join(", "),
        figure(of.jain),
        figure(of.cubic_jain),
        figure(of.used),
        of.mean_queue_bytes,
        figure(of.queue_ratio)
    );
}

/// What each link carried, if there are few.
fn links(ran: &Outcome, text: &mut String) {
    if ran.links.len() > 12 {
        return;
    }
    for link in &ran.links {
        let lost = match (link.bad_share, link.lost_bytes) {
            (Some(bad), _) => format!("bad for {:.1} % of the time", bad * 100.0),
            (None, Some(bytes)) => format!("lost {bytes} B"),
            (None, None) => format!("lost {} packets", link.lost_packets),
        };
        let _ = writeln!(
            text,
            "  {} {} to {}: offered {} B, {lost}, {} packets dropped by the queue, arrived {} B",
            link.link,
            link.from,
            link.to,
            link.offered_bytes,
            link.queue_dropped,
            link.delivered_bytes
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostrakon_netsim::scenario::Scenario;

    /// Guards the terminal of who runs a scenario of somebody else, also if its reader were to let such names pass: neither
    /// its title nor the names of its parts can move the cursor, begin a line or turn text around.
    #[test]
    fn a_scenario_cannot_steer_the_terminal() {
        let text = r#"
            [scenario]
            duration = "1min"
            [[node]]
            name = "a"
            [[node]]
            name = "b"
            [[link]]
            between = ["a", "b"]
            profile = "lan"
            [[message]]
            from = "a"
            to = "b"
            parts = [{ text = 9 }]
        "#;
        let mut scenario = Scenario::parse("t.toml", text).unwrap();
        scenario.title = "one\u{1b}[2J\ntwo\u{202e}".into();
        scenario.messages[0].parts[0].name = "x\u{1b}]0;y\u{7}".into();
        let ran = ostrakon::sim::run(&scenario, 1, &mut |_| {}).unwrap();
        let shown = outcome(&ran);
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.contains(steers), "{shown:?}");
        assert!(shown.contains("one\u{fffd}[2J two\u{fffd}\n"), "{shown:?}");
    }
}

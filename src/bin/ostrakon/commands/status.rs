//! `status`: what is under way.

use crate::ask::{ask, unexpected};
use crate::failure::Outcome;
use crate::out::Out;
use crate::plain::{Lean, bytes, one_line, percent, rate, short, table, time};
use ostrakon::node::api::{
    InboundEntry, LinkEntry, OutboundEntry, PartProgress, RateControl, Request, Response,
    StatusReport,
};
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);
/// Back to the top, and what stood there is gone.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Shows it once, or again every second until Ctrl-C.
///
/// # Errors
/// If there is no home, or the node does not answer.
pub async fn run(out: Out, home: &Path, watch: bool) -> Outcome {
    loop {
        let answer = ask(home, Request::Status).await?;
        let Response::Status(report) = &answer else {
            return Err(unexpected());
        };
        let clear = watch && std::io::stdout().is_terminal();
        out.show(&answer, || {
            let head = if clear { CLEAR } else { "" };
            format!("{head}{}", render(report))
        })?;
        if !watch {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn render(report: &StatusReport) -> String {
    let mut text = match report.node {
        Some(pid) => format!("The node is running (process {pid}).\n"),
        None => "No node is running: nothing is sent or received. Start one with: ostrakon node\n"
            .into(),
    };
    if let Some(why) = &report.store_failing {
        text.push_str(&format!(
            "The disk is failing, nothing new is taken in: {}\n",
            one_line(why)
        ));
    }
    if !report.blocked.is_empty() {
        let names: Vec<String> = report.blocked.iter().map(|name| one_line(name)).collect();
        text.push_str(&format!(
            "Blocked, so that nothing is taken from there or sent: {}\n",
            names.join(", ")
        ));
    }
    if report.strangers > 0 {
        text.push_str(&format!(
            "Strangers who wait for your word: {}, see: ostrakon person strangers\n",
            report.strangers
        ));
    }
    for warning in &report.warnings {
        text.push_str(&format!("Warning: {}\n", one_line(warning)));
    }
    let over = |message: &&OutboundEntry| message.complete || message.expired;
    let sending = report.outbound.iter().filter(|message| !over(message));
    section(&mut text, "Sending", sending.map(outbound));
    section(&mut text, "Arriving", report.inbound.iter().map(inbound));
    let sent = report.outbound.iter().filter(over);
    section(&mut text, "Sent", sent.map(outbound));
    if !report.links.is_empty() {
        section(&mut text, "Links", std::iter::once(links(&report.links)));
    }
    if !report.dropped.is_empty() {
        let rows: Vec<Vec<String>> = report
            .dropped
            .iter()
            .map(|(reason, count)| vec![one_line(reason), count.to_string()])
            .collect();
        let rows = table(2, &[Lean::Left, Lean::Right], &rows);
        section(&mut text, "Dropped", std::iter::once(rows));
    }
    text
}

fn section(text: &mut String, title: &str, entries: impl Iterator<Item = String>) {
    for (n, entry) in entries.enumerate() {
        if n == 0 {
            text.push_str(&format!("\n{title}\n"));
        }
        text.push_str(&entry);
    }
}

fn outbound(message: &OutboundEntry) -> String {
    let state = match (message.complete, message.expired, message.eta_s) {
        (true, ..) => "delivered".into(),
        (_, true, _) => "given up".into(),
        (.., Some(s)) => format!("about {} to go", time(Duration::from_secs(s))),
        _ => "on its way".into(),
    };
    let mut text = format!(
        "  {}  to {}, {state}\n",
        short(&message.message),
        one_line(&message.to)
    );
    text.push_str(&parts(&message.parts, "delivered"));
    for note in &message.notes {
        text.push_str(&format!("    note: {}\n", one_line(note)));
    }
    text
}

fn inbound(message: &InboundEntry) -> String {
    let head = format!(
        "  {}  from {}\n",
        short(&message.message),
        one_line(&message.from)
    );
    head + &parts(&message.parts, "here")
}

fn parts(parts: &[PartProgress], done: &str) -> String {
    let rows: Vec<Vec<String>> = parts
        .iter()
        .map(|part| {
            let state = if part.complete {
                done.to_owned()
            } else {
                format!("{} %", percent(part.held_bytes, part.bytes))
            };
            let name = if part.name.is_empty() {
                "text".into()
            } else {
                one_line(&part.name)
            };
            vec![part.part.to_string(), bytes(part.bytes), state, name]
        })
        .collect();
    table(
        4,
        &[Lean::Right, Lean::Right, Lean::Right, Lean::Left],
        &rows,
    )
}

fn links(links: &[LinkEntry]) -> String {
    let heading = [
        "NAME",
        "STATE",
        "RATE",
        "LOSS",
        "ROUND TRIP",
        "CONTROL",
        "SENT",
        "RECEIVED",
        "",
    ];
    let mut rows = vec![heading.map(String::from).to_vec()];
    rows.extend(links.iter().map(|link| {
        let why = match link.up {
            true => link.notice.as_deref(),
            false => link.down_reason.as_deref(),
        };
        vec![
            one_line(&link.name),
            if link.up { "up" } else { "down" }.into(),
            if link.rate_bps == 0 {
                "-".into()
            } else {
                rate(link.rate_bps)
            },
            format!("{:.1} %", link.loss_percent),
            link.rtt_ms
                .map_or_else(|| "-".into(), |ms| time(Duration::from_millis(ms))),
            link.control.map_or("-", RateControl::name).into(),
            bytes(link.sent_bytes),
            bytes(link.received_bytes),
            why.map(one_line).unwrap_or_default(),
        ]
    }));
    use Lean::{Left, Right};
    table(
        2,
        &[Left, Left, Right, Right, Right, Left, Right, Right, Left],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One look says who waits for what, in words, and hostile names cannot steer the terminal.
    #[test]
    fn a_report_reads_in_plain_words() {
        let part = PartProgress {
            part: 2,
            name: "map\x1b[2J.pdf".into(),
            bytes: 6_000_000,
            held_bytes: 2_000_000,
            complete: false,
            first_seen_bytes: Default::default(),
        };
        let waits = OutboundEntry {
            message: "ostrakon:message:abcdefghijklmnop".into(),
            to: "bo".into(),
            complete: false,
            expired: false,
            eta_s: Some(90),
            parts: vec![part],
            notes: vec![],
        };
        let there = OutboundEntry {
            message: "ostrakon:message:ponmlkjihgfedcba".into(),
            complete: true,
            eta_s: None,
            parts: vec![],
            ..waits.clone()
        };
        let report = StatusReport {
            outbound: vec![there, waits],
            warnings: vec!["look\x1b[2J here".into()],
            ..StatusReport::default()
        };
        let expected = "No node is running: nothing is sent or received. Start one with: ostrakon node\n\
            Warning: look\u{fffd}[2J here\n\
            \nSending\n  abcdefghijkl  to bo, about 1 min 30 s to go\n    2  6.0 MB  33 %  map\u{fffd}[2J.pdf\n\
            \nSent\n  ponmlkjihgfe  to bo, delivered\n";
        assert_eq!(render(&report), expected);
    }
}

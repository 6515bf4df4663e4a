//! The tables: messages and their parts, links, what was dropped.

use super::many::{PRIORITIES, groups, quantile};
use super::svg::escape;
use super::{Report, units};
use std::fmt::Write as _;

/// Parts that have a row each; of more there is a summary.
const PARTS: usize = 60;
/// Rows of the links.
const LINKS: usize = 80;

/// A table. Cells of columns whose heads begin with `>` are numbers.
fn table(caption: &str, heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = format!(
        "<table>\n<caption>{}</caption>\n<thead><tr>",
        escape(caption)
    );
    let class = |head: &str| {
        if head.starts_with('>') {
            " class=\"n\""
        } else {
            ""
        }
    };
    for head in heads {
        let _ = write!(
            out,
            "<th{}>{}</th>",
            class(head),
            escape(head.trim_start_matches('>'))
        );
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (cell, head) in row.iter().zip(heads) {
            let _ = write!(out, "<td{}>{}</td>", class(head), escape(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
    out
}

fn or_dash<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or("–".into(), show)
}

/// Messages: each part, or a summary by priority.
pub fn messages(report: &Report<'_>) -> String {
    let messages = &report.outcome.messages;
    let parts: usize = messages.iter().map(|message| message.parts.len()).sum();
    if parts > PARTS {
        return summary(report);
    }
    let heads = [
        "from",
        "to",
        ">sent at",
        "part",
        "priority",
        ">size",
        ">delivered after",
        ">confirmed after",
        ">frames",
    ];
    let mut rows = Vec::new();
    for message in messages {
        for (i, part) in message.parts.iter().enumerate() {
            let first = |text: String| if i == 0 { text } else { String::new() };
            rows.push(vec![
                first(message.from.clone()),
                first(message.to.clone()),
                first(units::time(message.at_s)),
                part.name.clone(),
                part.priority.to_owned(),
                units::bytes(part.bytes),
                or_dash(part.delivered_s, |at| units::time(at - message.at_s)),
                first(or_dash(message.confirmed_s, |at| {
                    units::time(at - message.at_s)
                })),
                first(units::count(message.frames)),
            ]);
        }
    }
    table(
        "Messages and their parts. Frames are those that the sender gave to its links.",
        &heads,
        &rows,
    )
}

fn summary(report: &Report<'_>) -> String {
    let heads = [
        "priority",
        ">parts",
        ">bytes",
        ">delivered",
        ">share",
        ">half within",
        ">90 % within",
        ">99 % within",
        ">slowest",
    ];
    let rows = groups(report).into_iter().map(|group| {
        let within = |share| or_dash(quantile(&group.took_s, group.parts, share), units::time);
        let came = group.took_s.len();
        vec![
            PRIORITIES[group.place].to_owned(),
            units::count(group.parts as u64),
            units::bytes(group.bytes),
            units::count(came as u64),
            units::percent(came as f64 / group.parts.max(1) as f64),
            within(0.5),
            within(0.9),
            within(0.99),
            or_dash(group.took_s.last().copied(), units::time),
        ]
    });
    let messages = units::count(report.outcome.messages.len() as u64);
    table(
        &format!(
            "Parts of {messages} messages by priority. Times count from sending; what did not come counts as never."
        ),
        &heads,
        &rows.collect::<Vec<_>>(),
    )
}

/// Links.
pub fn links(report: &Report<'_>) -> String {
    let heads = [
        "link",
        "way",
        ">rate",
        ">delay",
        ">loss on average",
        ">lost",
        ">offered",
        ">arrived",
        ">queue dropped",
        ">peak queue",
    ];
    let mut links: Vec<_> = report.outcome.links.iter().collect();
    let all = links.len();
    if all > LINKS {
        links.sort_by_key(|link| std::cmp::Reverse(link.sent_bytes));
        links.truncate(LINKS);
    }
    let rows = links.iter().map(|link| {
        let way = match link.kind {
            "radio" => format!("by {}", link.from),
            "courier" => "courier".into(),
            _ => format!("{} → {}", link.from, link.to),
        };
        let lost = match (link.bad_share, link.lost_bytes) {
            (Some(bad), _) => format!("{} of time", units::percent(bad)),
            (None, Some(lost)) if link.sent_bytes > 0 => {
                units::percent(lost as f64 / link.sent_bytes as f64)
            }
            (None, Some(_)) => "–".into(),
            (None, None) => format!("{} frames", units::count(link.lost_packets)),
        };
        vec![
            link.link.clone(),
            way,
            or_dash(link.rate_bps, |rate| units::rate(rate as f64)),
            units::time(link.delay_s),
            units::percent(link.nominal_loss),
            lost,
            units::bytes(link.offered_bytes),
            units::bytes(link.delivered_bytes),
            units::count(link.queue_dropped),
            units::bytes(link.peak_queue_bytes),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let shown = match rows.len() {
        shown if shown < all => format!(" The {shown} busiest of {all}."),
        _ => String::new(),
    };
    let caption = "Links. Bytes are those that count against the rate, headers included. Lost is what this seed drew: bytes, or \
                   the share of time in the bad state of bursts.";
    table(&format!("{caption}{shown}"), &heads, &rows)
}

/// What engines and relays dropped; nothing if they dropped nothing.
pub fn dropped(report: &Report<'_>) -> String {
    let mut by_reason: std::collections::BTreeMap<&str, (u64, u64)> =
        std::collections::BTreeMap::new();
    for (why, count) in report.outcome.dropped.values().flatten() {
        let (frames, nodes) = by_reason.entry(why).or_default();
        *frames += count;
        *nodes += 1;
    }
    if by_reason.is_empty() {
        return String::new();
    }
    let rows = by_reason.iter().map(|(why, (frames, nodes))| {
        vec![
            (*why).to_owned(),
            units::count(*frames),
            units::count(*nodes),
        ]
    });
    table(
        "What nodes and relays that ran at the end had dropped since they started.",
        &["reason", ">times", ">nodes"],
        &rows.collect::<Vec<_>>(),
    )
}

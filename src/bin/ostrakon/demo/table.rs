//! The end of the demo for people: what happened, in tables.

use super::script::Record;
use super::tally::Summary;
use super::world::World;
use crate::plain::{Lean, bytes, one_line, percent, table, time};
use ostrakon_netsim::model::LinkStats;
use std::time::Duration;

/// All of it.
pub fn render(summary: &Summary, world: &World, record: &Record) -> String {
    let mut text = String::new();
    for part in &summary.parts {
        let (name, size) = (one_line(&part.name), bytes(part.bytes));
        text.push_str(&format!(
            "{name} ({size}) was there after {}\n",
            ms(part.delivered_at_ms)
        ));
    }
    if summary.sha256_match {
        text.push_str("The file that bo saved is the one that amina sent: the SHA-256 digests are the same.\n");
    }
    let sections = [
        ("What bo received", received(summary)),
        ("What the emulated links dropped", dropped(world)),
        ("What the accidents cost", accidents(summary, record)),
        ("Bounds, computed and not measured", bounds(summary)),
    ];
    for (title, body) in sections {
        text.push_str(&format!("\n{title}\n{body}"));
    }
    text
}

fn received(summary: &Summary) -> String {
    let heading = [
        "LINK",
        "FRAMES",
        "FRAGMENTS",
        "BYTES",
        "FIRST TO BRING",
        "SHARE",
    ];
    let mut rows = vec![heading.map(String::from).to_vec()];
    let all: u64 = summary.links.iter().map(|link| link.first_seen_bytes).sum();
    rows.extend(summary.links.iter().map(|link| {
        vec![
            link.name.to_owned(),
            link.frames.to_string(),
            link.fragments.to_string(),
            bytes(link.bytes),
            bytes(link.first_seen_bytes),
            format!(
                "{} %",
                if all == 0 {
                    0
                } else {
                    percent(link.first_seen_bytes, all)
                }
            ),
        ]
    }));
    table(2, &[Lean::Left, Lean::Right], &rows)
}

fn dropped(world: &World) -> String {
    let heading = ["LINK", "OFFERED", "LOST", "QUEUE FULL", "CUT", "DAMAGED"];
    let mut rows = vec![heading.map(String::from).to_vec()];
    let packets = |name: &str, stats: LinkStats| {
        let counts = [
            stats.offered,
            stats.lost,
            stats.queue_full,
            stats.cut,
            stats.corrupted,
        ];
        let mut row = vec![name.to_owned()];
        row.extend(counts.map(|count| count.to_string()));
        row
    };
    let (there, back) = world.satellite.stats();
    rows.push(packets("satellite, packets to bo", there));
    rows.push(packets("satellite, packets back", back));
    let (there, back) = world.relay_path.stats();
    rows.push(packets("relay, packets to it", there));
    rows.push(packets("relay, packets back", back));
    let (there, back) = world.serial.stats();
    for (name, stats) in [("serial, bytes to bo", there), ("serial, bytes back", back)] {
        let dash = || "-".to_owned();
        let row = [
            name.to_owned(),
            stats.offered.to_string(),
            dash(),
            stats.overrun.to_string(),
        ];
        let rest = [stats.cut.to_string(), stats.corrupted.to_string()];
        rows.push([&row[..], &rest[..]].concat());
    }
    let late = world.satellite.lateness();
    let table = table(2, &[Lean::Left, Lean::Right], &rows);
    format!("{table}  The emulator itself delivered {late}.\n")
}

fn accidents(summary: &Summary, record: &Record) -> String {
    let mut rows = Vec::new();
    let mut row = |what: &str, value: String| rows.push(vec![what.to_owned(), value]);
    for cut in &record.cuts {
        let back = if cut.to_ms == u64::MAX {
            "never".into()
        } else {
            ms(cut.to_ms)
        };
        row(
            "Satellite cut",
            format!("{}, restored {back}", ms(cut.from_ms)),
        );
    }
    for death in &record.deaths {
        row(
            "Sender killed",
            format!("{}, back {}", ms(death.from_ms), ms(death.to_ms)),
        );
    }
    let pids: Vec<String> = summary.sender_pids.iter().map(u32::to_string).collect();
    row("Sender's processes", pids.join(", then "));
    row(
        "Held by bo at the kill",
        bytes(summary.delivered_bytes_at_kill),
    );
    row(
        "Sent again because of the kill",
        bytes(summary.resent_bytes),
    );
    row(
        "Duplicates dropped",
        format!("{} fragments", summary.duplicates_dropped),
    );
    row("Deliveries into the inbox", summary.deliveries.to_string());
    if let Some(receipt) = record.receipt_ms {
        row("Receipt back at amina", format!("after {}", ms(receipt)));
    }
    table(2, &[Lean::Left], &rows)
}

fn bounds(summary: &Summary) -> String {
    let took = |computed: u64| match computed {
        0 => "never".to_owned(),
        computed => ms(computed),
    };
    let rows = [
        [
            "Best single link, same accidents".into(),
            took(summary.bound_best_link_ms),
        ],
        [
            "All links together, same accidents".into(),
            took(summary.bound_joint_ms),
        ],
        ["This run".into(), ms(summary.elapsed_ms)],
    ]
    .map(|row| row.to_vec());
    let formula = "  The least T with the sum over the links of rate x (1 - loss) x share x (time available in\n  \
        [0, T] - one-way delay) = size. Share: 0.94 of a packet is content; on the serial line, 8 of 10 bits.\n";
    table(2, &[Lean::Left, Lean::Right], &rows) + formula
}

fn ms(length: u64) -> String {
    time(Duration::from_millis(length))
}

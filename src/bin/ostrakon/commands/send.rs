//! `send`: queue a message, and with `--wait` watch it arrive.

use crate::args::SendArgs;
use crate::ask::{absolute, ask, unexpected};
use crate::failure::{Failure, Kind, Outcome};
use crate::out::Out;
use crate::plain::{bytes, one_line, percent, rate, short, time};
use crate::progress::{Row, Screen, Stream};
use ostrakon::node::MAX_TEXT;
use ostrakon::node::api::{
    ErrorKind, LinkEntry, OutboundEntry, PartProgress, Request, Response, SendRequest, StatusReport,
};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often `--wait` looks.
const EVERY: Duration = Duration::from_millis(100);

/// Queues it; with `--wait` comes back when the receipt is there.
///
/// # Errors
/// An unknown person, a file that cannot be read, a bound that was reached; with `--wait` also Ctrl-C, and a message that
/// was given up.
pub async fn run(out: Out, home: &Path, args: SendArgs) -> Outcome {
    let wait = args.wait;
    let started = Instant::now();
    let answer = tokio::select! {
        answer = ask(home, Request::Send(request(args)?)) => answer?,
        _ = tokio::signal::ctrl_c() => {
            let what = "stopped before it was known that the message is taken";
            let next = "look for it with: ostrakon status; if it is not there, nothing was sent";
            return Err(Failure::new(Kind::Interrupted, what, next));
        }
    };
    let Response::Queued { message, to } = &answer else {
        return Err(unexpected());
    };
    if !wait {
        return out.show(&answer, || {
            format!(
                "Queued as {}.\nSee how far it is with: ostrakon status",
                short(message)
            )
        });
    }
    let accepted = started.elapsed();
    let waited = tokio::select! {
        waited = receipt(home, message) => waited,
        _ = tokio::signal::ctrl_c() => {
            let what = format!("stopped waiting; the message {} stays queued and the node goes on with it", short(message));
            Err(Failure::new(Kind::Interrupted, what, "see how far it is with: ostrakon status"))
        }
    };
    waited.map_err(|failure| failure.about(message))?;
    let elapsed = started.elapsed();
    let object = serde_json::json!({
        "message": message, "to": to, "delivered": true,
        "accepted_ms": accepted.as_millis() as u64, "elapsed_ms": elapsed.as_millis() as u64,
    });
    out.show(&object, || {
        format!("Delivered after {}: {}", time(elapsed), short(message))
    })
}

fn request(args: SendArgs) -> Outcome<SendRequest> {
    let text = match args.text.as_deref() {
        Some("-") => Some(standard_input()?),
        _ => args.text,
    };
    let files: Outcome<Vec<_>> = args.file.iter().map(|file| absolute(file)).collect();
    Ok(SendRequest {
        person: args.person,
        text,
        files: files?,
        priority: args.priority.map(|priority| priority.name().to_owned()),
        lifetime_s: args.lifetime,
        via: args.via,
        max_cost: args.max_cost,
    })
}

fn standard_input() -> Outcome<String> {
    let mut bytes = Vec::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_TEXT as u64 + 1)
        .read_to_end(&mut bytes);
    let wrong = |why: &str| {
        let what = format!("the text on standard input {why}");
        Failure::api(ErrorKind::BadInput, what, "send it as a file: --file PATH")
    };
    read.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if bytes.len() > MAX_TEXT {
        return Err(wrong("is longer than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))
}

/// Shows the progress until every recipient has all of it.
async fn receipt(home: &Path, message: &str) -> Outcome {
    let mut screen = Screen::new(Stream::Err);
    loop {
        let Response::Status(report) = ask(home, Request::Status).await? else {
            return Err(unexpected());
        };
        let its = |entry: &&OutboundEntry| entry.message == message;
        let entries: Vec<&OutboundEntry> = report.outbound.iter().filter(its).collect();
        if entries.is_empty() {
            let what = format!("the node no longer knows the message {}", short(message));
            return Err(Failure::api(
                ErrorKind::NotFound,
                what,
                "it may have been cancelled; see: ostrakon status",
            ));
        }
        screen.show(&rows(&entries, &report.links))?;
        let over = entries.iter().all(|entry| entry.complete || entry.expired);
        let lost: Vec<String> = (entries.iter().filter(|entry| entry.expired))
            .map(|entry| one_line(&entry.to))
            .collect();
        match (over, lost.is_empty(), report.node) {
            (true, true, _) => return Ok(()),
            (true, false, _) => return Err(given_up(message, &lost)),
            (.., None) => return Err(no_node(&report, message)),
            _ => tokio::time::sleep(EVERY).await,
        }
    }
}

fn given_up(message: &str, lost: &[String]) -> Failure {
    let what = format!(
        "the message {} to {} was given up: its lifetime is over, it was cancelled, or it is larger than the recipient takes (ostrakon person show)",
        short(message),
        lost.join(", ")
    );
    Failure::new(Kind::Other, what, "send it again, with a longer --lifetime")
}

fn no_node(report: &StatusReport, message: &str) -> Failure {
    let links = if report.links.is_empty() {
        " and add a link with: ostrakon link add"
    } else {
        ""
    };
    let what = format!(
        "the message {} is queued, but no node is running to carry it",
        short(message)
    );
    Failure::api(
        ErrorKind::Node,
        what,
        format!("start one with: ostrakon node{links}"),
    )
}

fn rows(entries: &[&OutboundEntry], links: &[LinkEntry]) -> Vec<Row> {
    let parts = entries.iter().flat_map(|entry| {
        let to = (entries.len() > 1).then(|| one_line(&entry.to));
        entry.parts.iter().map(move |part| match &to {
            Some(to) => {
                let row = part_row(part);
                let label = format!("{to} {}", row.label);
                Row { label, ..row }
            }
            None => part_row(part),
        })
    });
    let most = links.iter().map(|link| link.sent_bytes).max().unwrap_or(0);
    let links = links
        .iter()
        .map(|link| link_row(link, link.sent_bytes, most));
    parts.chain(links).collect()
}

/// A part: how much of it is there.
pub fn part_row(part: &PartProgress) -> Row {
    let name = if part.name.is_empty() {
        "text".to_owned()
    } else {
        one_line(&part.name)
    };
    let share = percent(part.held_bytes, part.bytes);
    let note = if part.complete {
        format!("{} delivered", bytes(part.bytes))
    } else {
        format!("{share:>3} % of {}", bytes(part.bytes))
    };
    Row {
        label: format!("{} {name}", part.part),
        at: if part.complete {
            part.bytes
        } else {
            part.held_bytes.min(part.bytes)
        },
        of: part.bytes,
        note,
        brief: if part.complete {
            "delivered".into()
        } else {
            format!("{share} %")
        },
    }
}

/// A link: how much it carried, of what may be seen as much.
pub fn link_row(link: &LinkEntry, carried: u64, much: u64) -> Row {
    let state = match (link.up, link.rate_bps) {
        (false, _) => ", down".to_owned(),
        (true, 0) => String::new(),
        (true, bps) => format!(", {}", rate(bps)),
    };
    Row {
        label: one_line(&link.name),
        at: carried,
        of: much,
        note: format!("{}{state}", bytes(carried)),
        brief: format!("{}{}", bytes(carried), if link.up { "" } else { " (down)" }),
    }
}

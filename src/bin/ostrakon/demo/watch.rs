//! Asks both nodes how far they are, and shows it.

use super::world::World;
use crate::ask::{ask, unexpected};
use crate::commands::send::part_row;
use crate::failure::Outcome;
use crate::plain::{bytes, rate};
use crate::progress::{Row, Screen};
use ostrakon::node::api::{InboxEntry, LinkEntry, PartProgress, Request, Response, StatusReport};
use std::collections::BTreeMap;

/// The links, as the operator named them at the sender, and their kinds.
pub const LINKS: [(&str, &str); 3] = [
    ("satellite", "quic"),
    ("relay", "relay"),
    ("serial", "serial"),
];

/// What was seen at one moment.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Bytes of the file that the recipient holds.
    pub held: u64,
    /// Its length.
    pub file_bytes: u64,
    /// The recipient has delivered all parts.
    pub complete: bool,
    /// The sender knows it.
    pub receipt: bool,
    /// Bytes that came to the recipient in vain.
    pub surplus: u64,
    /// Links of either node that are down, by kind.
    pub links_down: Vec<&'static str>,
}

/// Looks, remembers and shows.
#[derive(Debug)]
pub struct Watch {
    screen: Screen,
    /// The length of the file.
    pub file_bytes: u64,
    /// The most that was seen of what came in vain; the node forgets it with the message.
    pub surplus: u64,
    parts: BTreeMap<u8, PartProgress>,
}

impl Watch {
    /// Shows on `screen`.
    pub fn new(screen: Screen, file_bytes: u64) -> Self {
        Self {
            screen,
            file_bytes,
            surplus: 0,
            parts: BTreeMap::new(),
        }
    }

    /// Prints a line that stays.
    ///
    /// # Errors
    /// If the stream does not take it.
    pub fn say(&self, text: &str) -> Outcome {
        self.screen.say(text)
    }

    /// Starts the clock of plain lines anew.
    pub fn restart_clock(&mut self) {
        self.screen.restart_clock();
    }

    /// Leaves what is on the screen there.
    pub fn settle(&mut self) {
        self.screen.settle();
    }

    /// Asks both nodes and shows what they say of `message`.
    ///
    /// # Errors
    /// If one of them does not answer.
    pub async fn look(&mut self, world: &World, message: &str) -> Outcome<Look> {
        let there = world.recipient_status().await?;
        let here = world.sender_status().await?;
        let inbox = inbox(world).await?;
        let arrived = inbox.iter().find(|entry| entry.message == message);
        self.remember(&there, arrived, message);
        let receipt = here.as_ref().is_some_and(|report| {
            report
                .outbound
                .iter()
                .any(|entry| entry.message == message && entry.complete)
        });
        let complete = arrived.is_some_and(|entry| entry.complete);
        let held = self
            .parts
            .values()
            .filter(|part| part.bytes == self.file_bytes)
            .map(|part| part.held_bytes);
        let look = Look {
            held: held.max().unwrap_or(0),
            file_bytes: self.file_bytes,
            complete,
            receipt,
            surplus: self.surplus,
            links_down: links_down(&there, here.as_ref()),
        };
        if !self.parts.is_empty() {
            let rows = self.rows(&there, here.as_ref());
            self.screen.show(&rows)?;
        }
        Ok(look)
    }

    fn remember(&mut self, there: &StatusReport, arrived: Option<&InboxEntry>, message: &str) {
        if let Some(entry) = there.inbound.iter().find(|entry| entry.message == message) {
            self.surplus = self.surplus.max(entry.surplus_bytes);
            for part in &entry.parts {
                self.parts.insert(part.part, part.clone());
            }
        }
        for part in arrived.into_iter().flat_map(|entry| &entry.parts) {
            let delivered = PartProgress {
                part: part.part,
                name: part.name.clone(),
                bytes: part.bytes,
                held_bytes: part.bytes,
                complete: true,
                first_seen_bytes: BTreeMap::new(),
            };
            self.parts.insert(part.part, delivered);
        }
    }

    fn rows(&self, there: &StatusReport, here: Option<&StatusReport>) -> Vec<Row> {
        let parts = self.parts.values().map(part_row);
        let links = LINKS
            .iter()
            .map(|(name, kind)| self.link_row(name, of_kind(there, kind), here));
        parts.chain(links).collect()
    }

    fn link_row(&self, name: &str, there: Received, here: Option<&StatusReport>) -> Row {
        let mine = here.and_then(|report| report.links.iter().find(|link| link.name == name));
        let state = match (here, mine) {
            (None, _) => "the sender is dead".to_owned(),
            (
                _,
                Some(LinkEntry {
                    up: true, rate_bps, ..
                }),
            ) if *rate_bps > 0 => rate(*rate_bps),
            (_, Some(LinkEntry { up: true, .. })) => "up".to_owned(),
            _ => "down".to_owned(),
        };
        Row {
            label: name.to_owned(),
            at: there.first_seen_bytes.min(self.file_bytes),
            of: self.file_bytes,
            note: format!("{} of it first, {state}", bytes(there.first_seen_bytes)),
            brief: bytes(there.first_seen_bytes),
        }
    }
}

/// What the recipient received by one kind of link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Frames.
    pub frames: u64,
    /// Authentic fragments.
    pub fragments: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// Bytes of parts that this link was first to bring.
    pub first_seen_bytes: u64,
    /// Authentic fragments that were there already.
    pub duplicates: u64,
}

/// Sums up all links of one kind.
pub fn of_kind(report: &StatusReport, kind: &str) -> Received {
    let links = report.links.iter().filter(|link| link.kind == kind);
    links.fold(Received::default(), |sum, link| Received {
        frames: sum.frames + link.received_frames,
        fragments: sum.fragments + link.received_fragments,
        bytes: sum.bytes + link.received_bytes,
        first_seen_bytes: sum.first_seen_bytes + link.first_seen_bytes,
        duplicates: sum.duplicates + link.duplicates,
    })
}

/// The recipient's inbox.
///
/// # Errors
/// If its node does not answer.
pub async fn inbox(world: &World) -> Outcome<Vec<InboxEntry>> {
    match ask(&world.bo.home, Request::Inbox).await? {
        Response::Inbox { messages } => Ok(messages),
        _ => Err(unexpected()),
    }
}

fn links_down(there: &StatusReport, here: Option<&StatusReport>) -> Vec<&'static str> {
    let up = |report: &StatusReport, kind: &str| {
        report.links.iter().any(|link| link.kind == kind && link.up)
    };
    let both = |kind: &str| up(there, kind) && here.is_some_and(|here| up(here, kind));
    LINKS
        .iter()
        .filter(|(_, kind)| !both(kind))
        .map(|(name, _)| *name)
        .collect()
}

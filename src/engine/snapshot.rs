//! What the engine tells people of itself.

use super::incoming::Incoming;
use super::io::{FileId, FileKind, Time};
use super::outgoing::Outgoing;
use super::status::{InPart, Inbound, OutPart, Outbound, Status};
use super::{Engine, MessageId, PartInfo, PersonId};
use crate::wire::manifest::Body;
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// A snapshot for people.
    pub fn status(&self, now: Time) -> Status {
        let rate: u64 = self
            .links
            .values()
            .filter(|l| l.profile.is_some())
            .filter_map(|l| l.rate.rate())
            .sum();
        let links = self.links.values().map(|link| {
            let mut stats = link.stats.clone();
            stats.loss_ppm = link.rate.loss_ppm();
            stats.rate_bps = link.rate.rate_measured().unwrap_or(0).saturating_mul(8);
            stats.rtt_ms = link.rate.srtt().map(|rtt| rtt.as_millis() as u64);
            stats
        });
        Status {
            outbound: self.outbound(rate),
            inbound: self.inbox.values().map(inbound).collect(),
            links: links.collect(),
            dropped: self.dropped.clone(),
            store_failing: self
                .writer
                .retry_at()
                .is_some_and(|at| at.since(now) > std::time::Duration::ZERO),
            went_back: self.went_back,
            peers_went_back: self.peers_went_back.iter().copied().collect(),
        }
    }

    /// One entry for each person, of the endpoint that has most. What one of them has confirmed is over for people.
    fn outbound(&self, rate: u64) -> Vec<Outbound> {
        let mut all: Vec<Outbound> = Vec::new();
        let mut known: BTreeMap<(MessageId, PersonId), usize> = BTreeMap::new();
        let shown = self
            .outbox
            .values()
            .filter(|m| !m.withdrawn && !m.follows());
        for message in shown {
            let entry = outbound(message, rate);
            let at = *known.entry((message.id, message.to)).or_insert(all.len());
            match all.get_mut(at) {
                Some(other) if other.confirmed_bytes() < entry.confirmed_bytes() => *other = entry,
                Some(_) => {}
                None => all.push(entry),
            }
        }
        all
    }

    /// Whether a bulk file is still of use, so that a host can sweep what a crash has left.
    pub fn wants(&self, file: &FileId) -> bool {
        let part = self
            .inbox
            .get(&file.message)
            .and_then(|m| m.parts.get(&file.part));
        match file.kind {
            FileKind::Outgoing => {
                let places = self.places_of(file.message);
                let mut messages = places.filter_map(|seq| self.outbox.get(&seq));
                messages.any(|m| m.parts.contains_key(&file.part))
            }
            FileKind::Incoming => part.is_some_and(|p| p.geometry.is_some()),
            FileKind::Repair => part.is_some_and(|p| p.geometry.is_some() && !p.complete),
        }
    }

    /// The tags of all messages that are still to be sent: see [`super::io::Output::Transmit`].
    pub fn tags(&self) -> BTreeSet<u64> {
        let sent = self.outbox.values().filter(|message| !message.withdrawn);
        sent.map(|message| message.tag).collect()
    }

    /// The tag of the frames of a message that is still to be sent; of one to several, that of the first of them.
    #[cfg(feature = "sim")]
    pub fn tag(&self, message: MessageId) -> Option<u64> {
        let seq = self.places_of(message).next()?;
        self.outbox.get(&seq).map(|message| message.tag)
    }

    /// A part of a message that is in the inbox of the engine: at the time of its delivery.
    pub fn part_info(&self, message: MessageId, part: u8) -> Option<PartInfo> {
        let incoming = self.inbox.get(&message)?;
        let entry = incoming.entry(part)?;
        let shared = incoming.manifest.shared.iter();
        let others = shared.flat_map(|shared| &shared.recipients);
        let others = others.filter(|person| **person != self.me.person());
        Some(PartInfo {
            from: incoming.from,
            created: incoming.manifest.created,
            media_type: entry.media_type.clone(),
            name: entry.name.clone(),
            bytes: entry.body.len(),
            alone: incoming.manifest.parts.len() == 1,
            also: others.copied().collect(),
            inline: match &entry.body {
                Body::Inline(bytes) => Some(bytes.clone()),
                Body::Coded { .. } => None,
            },
        })
    }
}

fn outbound(message: &Outgoing, rate: u64) -> Outbound {
    let parts: Vec<OutPart> = message
        .manifest
        .parts
        .iter()
        .map(|entry| {
            let state = message.parts.get(&entry.id);
            let complete = state.map_or(message.manifest_there, |s| s.complete);
            let held = state.map_or(0, |s| s.pool.held_bytes());
            let bytes = entry.body.len();
            let confirmed_bytes = if complete { bytes } else { held };
            OutPart {
                part: entry.id,
                name: entry.name.clone(),
                bytes,
                confirmed_bytes,
                complete,
            }
        })
        .collect();
    let left: u64 = parts
        .iter()
        .map(|p| p.bytes - p.confirmed_bytes.min(p.bytes))
        .sum();
    let no_room = message.waits_for_room();
    Outbound {
        message: message.id,
        to: message.to,
        complete: false,
        eta_s: (rate > 0 && !no_room).then(|| left / rate),
        no_room,
        links: message.bound_to(),
        parts,
        sent_fragments: message.sent_fragments,
    }
}

fn inbound(message: &Incoming) -> Inbound {
    let parts = message.manifest.parts.iter().filter_map(|entry| {
        let state = message.parts.get(&entry.id)?;
        Some(InPart {
            part: entry.id,
            name: entry.name.clone(),
            media_type: entry.media_type.clone(),
            bytes: entry.body.len(),
            held_bytes: state.held_bytes(entry),
            complete: state.delivered,
            first_seen_bytes: state
                .first_seen
                .iter()
                .map(|(link, bytes)| (link.0, *bytes))
                .collect(),
        })
    });
    Inbound {
        message: message.id,
        from: message.from,
        parts: parts.collect(),
        surplus_bytes: message.surplus_bytes,
    }
}

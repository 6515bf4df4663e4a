//! Status for people: the engine's numbers with the names of persons and links.

use super::api::{InboundEntry, LinkEntry, OutboundEntry, PartProgress, StatusReport};
use super::cards::Contacts;
use super::history::History;
use super::links::{Link, Links};
use crate::engine::io::LinkId;
use crate::engine::message::{Content, Draft, DraftPart};
use crate::engine::status::{self, InPart, Inbound, OutPart, Outbound, Status};
use std::collections::{BTreeMap, BTreeSet};

/// Puts names to numbers.
pub(super) fn report(
    status: &Status,
    links: &Links,
    contacts: &Contacts,
    history: &History,
) -> StatusReport {
    let mut outbound: Vec<OutboundEntry> = Vec::new();
    for sent in &status.outbound {
        let mut entry = self::outbound(sent, contacts);
        entry.notes = history.notes(&sent.message).to_vec();
        outbound.push(entry);
    }
    let known: BTreeSet<String> = outbound.iter().map(|e| e.message.clone()).collect();
    let over = history.over().filter(|e| !known.contains(&e.message));
    let mut all: Vec<OutboundEntry> = over.cloned().collect();
    all.append(&mut outbound);
    let by_number: BTreeMap<u32, &status::Link> =
        status.links.iter().map(|link| (link.link, link)).collect();
    let mut dropped: BTreeMap<String, u64> = BTreeMap::new();
    for (why, count) in &status.dropped {
        dropped.insert((*why).to_owned(), *count);
    }
    for (why, count) in links.dropped() {
        if count > 0 {
            dropped.insert(why.to_owned(), count);
        }
    }
    StatusReport {
        node: None,
        outbound: all,
        inbound: status
            .inbound
            .iter()
            .map(|arriving| inbound(arriving, links, contacts))
            .collect(),
        links: links
            .iter()
            .map(|(id, link)| self::link(*id, link, by_number.get(&id.0).copied()))
            .collect(),
        dropped,
        store_failing: None,
    }
}

/// A message that was just queued; without its id.
pub(super) fn queued(draft: &Draft, contacts: &Contacts) -> OutboundEntry {
    let part = |part: &DraftPart| PartProgress {
        part: part.id,
        name: part.name.clone(),
        bytes: match &part.content {
            Content::Inline(bytes) => bytes.len() as u64,
            Content::Snapshot { len, .. } => *len,
        },
        held_bytes: 0,
        complete: false,
        first_seen_bytes: BTreeMap::new(),
    };
    OutboundEntry {
        message: String::new(),
        to: contacts.name(draft.to),
        complete: false,
        expired: false,
        eta_s: None,
        parts: draft.parts.iter().map(part).collect(),
        notes: Vec::new(),
    }
}

/// A message on its way.
pub(super) fn outbound(sent: &Outbound, contacts: &Contacts) -> OutboundEntry {
    OutboundEntry {
        message: sent.message.to_string(),
        to: contacts.name(sent.to),
        complete: sent.complete,
        expired: false,
        eta_s: sent.eta_s,
        parts: sent.parts.iter().map(out_part).collect(),
        notes: Vec::new(),
    }
}

fn out_part(part: &OutPart) -> PartProgress {
    PartProgress {
        part: part.part,
        name: part.name.clone(),
        bytes: part.bytes,
        held_bytes: part.confirmed_bytes,
        complete: part.complete,
        first_seen_bytes: BTreeMap::new(),
    }
}

fn inbound(arriving: &Inbound, links: &Links, contacts: &Contacts) -> InboundEntry {
    InboundEntry {
        message: arriving.message.to_string(),
        from: contacts.name(arriving.from),
        parts: arriving.parts.iter().map(|p| in_part(p, links)).collect(),
        surplus_bytes: arriving.surplus_bytes,
    }
}

fn in_part(part: &InPart, links: &Links) -> PartProgress {
    let mut first_seen_bytes = BTreeMap::new();
    for (link, bytes) in &part.first_seen_bytes {
        *first_seen_bytes
            .entry(links.name(LinkId(*link)))
            .or_insert(0) += bytes;
    }
    PartProgress {
        part: part.part,
        name: part.name.clone(),
        bytes: part.bytes,
        held_bytes: part.held_bytes,
        complete: part.complete,
        first_seen_bytes,
    }
}

fn link(id: LinkId, link: &Link, measured: Option<&status::Link>) -> LinkEntry {
    let idle = status::Link::new(id);
    let m = measured.unwrap_or(&idle);
    LinkEntry {
        name: link.name.clone(),
        kind: link.kind.to_owned(),
        up: link.up,
        down_reason: link.reason.clone(),
        notice: link.notice.map(str::to_owned),
        cost: link.config.as_ref().map_or(0, |c| c.cost),
        mtu: link.mtu,
        loss_percent: f64::from(m.loss_ppm) / 10_000.0,
        rate_bps: m.rate_bps,
        rtt_ms: m.rtt_ms,
        sent_frames: m.sent_frames,
        sent_fragments: m.sent_fragments,
        sent_bytes: m.sent_bytes,
        received_frames: m.received_frames,
        received_fragments: m.received_fragments,
        received_bytes: m.received_bytes,
        duplicates: m.duplicates,
        first_seen_bytes: m.first_seen_bytes,
    }
}

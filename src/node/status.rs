//! Status for people: the engine's numbers with the names of persons and links.

use super::api::{InboundEntry, LinkEntry, OutboundEntry, PartProgress, StatusReport};
use super::cards::Contacts;
use super::history::History;
use super::links::{Link, Links};
use crate::engine::id::PersonId;
use crate::engine::io::LinkId;
use crate::engine::message::{Content, Draft, DraftPart};
use crate::engine::status::{self, InPart, Inbound, OutPart, Outbound, Status};
use std::collections::{BTreeMap, BTreeSet};

/// What people are told whose own home has gone back.
pub(super) const HOME_WENT_BACK: &str = "this home is older than others have heard, or a copy of it is in use: \
    what was sent and received since is lost here, and new sessions were opened. If you did not restore a backup, somebody has \
    a copy of your keys: stop using it, make a new identity with `ostrakon init` in another home, and give people its card";

/// What people are told whose message waits for its recipient to have room.
const NO_ROOM: &str = "there is no room for it there now; it goes on by itself once there is, and `ostrakon cancel` gives it up";

/// What people are told whose message may travel by links alone that are no more.
const NO_LINK: &str =
    "the link that it was to travel by was removed; `ostrakon cancel` it and send it again";

/// What people are told whose other device has removed this one.
pub(super) const REMOVED: &str = "another device of yours has removed this one: contacts take nothing of it any more. \
    Use the other device, or join anew from another home with `ostrakon init --join`";

/// The same of somebody else's home.
pub(super) fn peer_went_back(name: &str) -> String {
    format!(
        "the home of {name} was restored from an older copy, or somebody uses a copy of it: ask {name}, by another way, whether \
         a backup was restored, and if not, do not trust what comes in that name any more"
    )
}

fn warnings(status: &Status, contacts: &Contacts) -> Vec<String> {
    let own = status.went_back.then(|| HOME_WENT_BACK.to_owned());
    let peers = status.peers_went_back.iter();
    let peers = peers.map(|person| peer_went_back(&contacts.name(*person)));
    own.into_iter().chain(peers).collect()
}

/// Puts names to numbers.
pub(super) fn report(
    status: &Status,
    (links, configured): (&Links, &BTreeSet<u32>),
    contacts: &Contacts,
    history: &History,
) -> StatusReport {
    let mut outbound: Vec<OutboundEntry> = Vec::new();
    for sent in &status.outbound {
        let mut entry = self::outbound(sent, contacts);
        entry.notes = history.notes(sent.message, sent.to).to_vec();
        let waits = sent.no_room.then(|| NO_ROOM.to_owned());
        entry.notes.extend(waits);
        if has_no_link(sent, configured) {
            entry.eta_s = None;
            entry.notes.push(NO_LINK.to_owned());
        }
        outbound.push(entry);
    }
    let place = |e: &OutboundEntry| (e.message.clone(), e.to.clone());
    let known: BTreeSet<_> = outbound.iter().map(place).collect();
    let over = history.over().filter(|e| !known.contains(&place(e)));
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
    let refused = contacts.introductions.refused();
    if refused > 0 {
        dropped.insert("introduction that was refused".to_owned(), refused);
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
        blocked: contacts.blocked(),
        strangers: contacts.strangers.persons().len(),
        warnings: warnings(status, contacts),
    }
}

/// Whether no link that there is may carry a message.
fn has_no_link(sent: &Outbound, configured: &BTreeSet<u32>) -> bool {
    let links = sent.links.as_ref();
    links.is_some_and(|links| links.is_disjoint(configured))
}

/// The messages that a link was the last one to be allowed to carry.
pub(super) fn bound_to(status: &Status, link: u32, left: &BTreeSet<u32>) -> Vec<String> {
    let could = |sent: &&Outbound| {
        sent.links
            .as_ref()
            .is_some_and(|links| links.contains(&link))
    };
    let lost = status.outbound.iter().filter(could);
    let lost = lost.filter(|sent| has_no_link(sent, left));
    // One to several is there more than once.
    let lost: BTreeSet<String> = lost.map(|sent| sent.message.to_string()).collect();
    lost.into_iter().collect()
}

/// A message that was just queued, for each of its recipients; without its id.
pub(super) fn queued(draft: &Draft, contacts: &Contacts) -> Vec<(PersonId, OutboundEntry)> {
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
    let entry = |to: &PersonId| OutboundEntry {
        message: String::new(),
        to: contacts.name(*to),
        complete: false,
        expired: false,
        eta_s: None,
        parts: draft.parts.iter().map(part).collect(),
        notes: Vec::new(),
    };
    draft.to.iter().map(|to| (*to, entry(to))).collect()
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
        control: link.control,
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

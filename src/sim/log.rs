//! What an application has seen at one node, kept outside of the process: the truth that checkers compare.

use crate::engine::id::{MessageId, PersonId};
use crate::engine::io::{Batch, Record, Table};
use crate::engine::message::{LinkPolicy, Priority};
use crate::security::seal::SealMark;
use crate::wire::manifest::Lifetime;
use ostrakon_netsim::model::Nanos;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A part that somebody is going to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPart {
    /// Its name.
    pub name: String,
    /// It is a text.
    pub text: bool,
    /// Its length in bytes.
    pub bytes: usize,
    /// The number of its content.
    pub content: u64,
    /// Its digest.
    pub digest: [u8; 32],
    /// How urgent it is.
    pub priority: Priority,
    /// How long it is worth carrying.
    pub lifetime: Lifetime,
    /// Which links may carry it.
    pub policy: LinkPolicy,
}

impl PlannedPart {
    /// Its media type.
    pub fn media_type(&self) -> &'static str {
        if self.text {
            "text/plain"
        } else {
            "application/octet-stream"
        }
    }
}

/// A message that somebody is going to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its number in the run.
    pub number: u64,
    /// When, in the time of the world.
    pub at: Nanos,
    /// To whom.
    pub to: PersonId,
    /// Its parts, numbered from 1.
    pub parts: Vec<PlannedPart>,
}

impl Planned {
    /// Parts that are too long to stand in the manifest: their number and that of their content.
    pub fn snapshots(&self, inline: usize) -> impl Iterator<Item = (u8, u64)> {
        let parts = (1..=u8::MAX).zip(&self.parts);
        parts
            .filter(move |(_, part)| part.bytes > inline)
            .map(|(id, part)| (id, part.content))
    }
}

/// A part, or with 0 a message, that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// When it was first handed over, in the time of the world.
    pub at: Nanos,
    /// Its digest; zeros for a whole message.
    pub digest: [u8; 32],
}

/// The log of one node.
#[derive(Debug, Default)]
pub struct Log {
    /// What was given to the engine, by message.
    pub sent: BTreeMap<MessageId, Planned>,
    /// What the engine has taken durably.
    pub accepted: BTreeMap<MessageId, Nanos>,
    /// What it refused: the number in the run, and why.
    pub refused: Vec<(u64, String)>,
    /// When the recipient's receipt for a part, or with 0 the whole, was seen.
    pub confirmed: BTreeMap<(MessageId, u8), Nanos>,
    /// Messages that were given up.
    pub expired: Vec<(Nanos, MessageId)>,
    /// What has come out, whatever became of it later.
    pub arrived: BTreeMap<(MessageId, u8), Arrived>,
    /// Chances of success that one-way links announced, in parts per million.
    pub planned_ppm: Vec<u32>,
    /// Frames given to links.
    pub sent_frames: u64,
    /// Parts that came out once more.
    pub came_again: u64,
    /// How often its engine took its own home or somebody else's for an older one.
    pub alarms: u64,
    /// Of each message that was accepted the tag of its frames, and what frames each tag had.
    tags: BTreeMap<MessageId, u64>,
    frames: BTreeMap<u64, Frames>,
    /// Messages of ours that were confirmed as a whole or given up.
    ended: BTreeSet<MessageId>,
    /// What must never happen and did.
    pub violations: Vec<String>,
    /// What was sealed: for each nonce the content.
    seals: HashMap<[u8; 16], [u8; 16]>,
    /// Handed over by the running process.
    handed: BTreeSet<(MessageId, u8)>,
    /// What goes with the disk.
    kept: Kept,
}

/// Frames that belong together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frames {
    /// How many were given to links.
    pub count: u64,
    /// Bytes of the packets in which they were offered to the network, with all headers.
    pub bytes: u64,
}

/// What goes with the disk of a node, and so back with an image of it.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// What the application has.
    taken: BTreeSet<(MessageId, u8)>,
    /// Messages that the engine has durably noted as over.
    over: BTreeSet<MessageId>,
}

impl Log {
    pub(super) fn violation(&mut self, what: String) {
        self.violations.push(what);
    }

    /// The message with that number in the run.
    pub(super) fn message(&self, number: u64) -> Option<MessageId> {
        let found = self.sent.iter().find(|(_, p)| p.number == number);
        found.map(|(id, _)| *id)
    }

    pub(super) fn sent(&mut self, id: MessageId, planned: Planned) {
        self.sent.insert(id, planned);
    }

    /// Takes out what was asked for before the process ended and was never answered, unless `outbox` has it; in order of
    /// time.
    pub(super) fn take_unanswered(&mut self, outbox: &BTreeSet<MessageId>) -> Vec<Planned> {
        let mut taken = Vec::new();
        self.sent.retain(|id, planned| {
            let refused = || self.refused.iter().any(|(n, _)| *n == planned.number);
            let answered = self.accepted.contains_key(id) || outbox.contains(id) || refused();
            if !answered {
                taken.push(planned.clone());
            }
            answered
        });
        taken.sort_by_key(|planned| planned.at);
        taken
    }

    /// A message was accepted, and its frames have this tag.
    pub(super) fn accepted(&mut self, at: Nanos, id: MessageId, tag: Option<u64>) {
        self.accepted.entry(id).or_insert(at);
        if let Some(tag) = tag {
            self.tags.insert(id, tag);
            self.frames.entry(tag).or_default();
        }
    }

    /// A frame was given to a link.
    pub(super) fn sent_frame(&mut self, tag: u64) {
        self.sent_frames += 1;
        if let Some(frames) = self.frames.get_mut(&tag) {
            frames.count += 1;
        }
    }

    /// Frames of a tag have been offered to the network, in so many bytes of packets.
    pub(super) fn cost(&mut self, tag: u64, bytes: u64) {
        if let Some(frames) = self.frames.get_mut(&tag) {
            frames.bytes += bytes;
        }
    }

    /// Frames of a message of ours.
    pub fn frames_of(&self, id: MessageId) -> Frames {
        let tag = self.tags.get(&id);
        let frames = tag.and_then(|tag| self.frames.get(tag));
        frames.copied().unwrap_or_default()
    }

    /// Messages of ours that are over: confirmed, given up or refused.
    pub fn over_messages(&self) -> usize {
        self.ended.len() + self.refused.len()
    }

    pub(super) fn confirmed(&mut self, at: Nanos, id: MessageId, part: u8) {
        self.confirmed.entry((id, part)).or_insert(at);
        if part == 0 && self.sent.contains_key(&id) {
            self.ended.insert(id);
        }
    }

    /// The lifetime of a message ended, here or arriving.
    pub(super) fn expired(&mut self, at: Nanos, id: MessageId) {
        self.expired.push((at, id));
        if self.sent.contains_key(&id) {
            self.ended.insert(id);
        }
    }

    /// A hand-over. One process hands each thing over once, and after the message was durably noted as over no other that
    /// knows of it does it again. Whenever it comes, it is the same.
    pub(super) fn delivered(&mut self, at: Nanos, id: MessageId, part: u8, digest: [u8; 32]) {
        if !self.handed.insert((id, part)) || self.kept.over.contains(&id) {
            self.violation(format!("part {part} of {id} was delivered twice"));
        }
        self.kept.taken.insert((id, part));
        self.came_again += u64::from(part != 0 && self.arrived.contains_key(&(id, part)));
        let first = self
            .arrived
            .entry((id, part))
            .or_insert(Arrived { at, digest });
        if first.digest != digest {
            self.violation(format!("part {part} of {id} came again with other bytes"));
        }
    }

    /// The digest of a part that the application has.
    pub(super) fn taken(&self, id: MessageId, part: u8) -> Option<[u8; 32]> {
        let arrived = self.arrived.get(&(id, part));
        let digest = arrived.map(|arrived| arrived.digest);
        digest.filter(|_| self.kept.taken.contains(&(id, part)))
    }

    /// What goes with the disk.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The disk is another one now.
    pub(super) fn went_back(&mut self, kept: Kept) {
        self.kept = kept;
    }

    /// The process has started on an older disk: what it was given later and does not have in its outbox is gone, and
    /// nobody sends it any more.
    pub(super) fn forgotten(&mut self, outbox: &BTreeSet<MessageId>) {
        let gone = self.accepted.keys().filter(|id| !outbox.contains(id));
        self.ended
            .extend(gone.filter(|id| self.sent.contains_key(id)));
    }

    /// A batch counts. Whatever the ledger names then is over.
    pub(super) fn applied(&mut self, batch: &Batch) {
        let ids = batch.records.iter().filter_map(|record| match record {
            Record::Put {
                table: Table::Ledger,
                key,
                ..
            } => key.as_slice().try_into().ok().map(MessageId),
            _ => None,
        });
        self.kept.over.extend(ids.filter(|_| batch.durable));
    }

    /// Fragments were sealed. One nonce never meets two contents, whatever process used it.
    pub(super) fn sealed(&mut self, marks: &[SealMark]) {
        for mark in marks {
            let known = self.seals.insert(mark.nonce, mark.content);
            if known.is_some_and(|content| content != mark.content) {
                self.violation("a nonce was used for two contents".into());
            }
        }
    }

    /// Whether somebody else has used a nonce of this one for another content, as two machines with the same keys might.
    pub(super) fn shares_a_nonce(&self, other: &Self) -> bool {
        let differs = |(nonce, content)| {
            let known = other.seals.get(nonce);
            known.is_some_and(|known| known != content)
        };
        self.seals.iter().any(differs)
    }

    pub(super) fn restarted(&mut self) {
        self.handed.clear();
    }
}

//! Messages to others as people remember them: notes while under way, and the last ones that are over.

use super::api::OutboundEntry;
use super::error::NodeError;
use super::lanes::Chore;
use crate::engine::id::{MessageId, PersonId};
use crate::store::meta::Meta;
use std::collections::{BTreeMap, VecDeque};

const PREFIX: &str = "done/";
/// How many messages that are over are remembered.
const REMEMBERED: usize = 100;
/// Notes of one message.
const MAX_NOTES: usize = 16;

/// What became of messages.
pub(super) struct History {
    /// Messages under way by recipient, with their notes. As many as the outbox of the engine takes.
    open: BTreeMap<(MessageId, PersonId), OutboundEntry>,
    /// Messages that are over, with the number under which each is stored.
    over: VecDeque<(u64, OutboundEntry)>,
    next: u64,
}

impl History {
    /// Reads what was stored.
    pub(super) fn load(meta: &Meta) -> Result<Self, NodeError> {
        let mut over = VecDeque::new();
        for (key, value) in meta.list(PREFIX)? {
            let number = key
                .strip_prefix(PREFIX)
                .and_then(|n| u64::from_str_radix(n, 16).ok());
            let entry = serde_json::from_slice(&value);
            if let (Some(number), Ok(entry)) = (number, entry) {
                over.push_back((number, entry));
            }
        }
        let next = over.back().map_or(0, |(number, _)| number + 1);
        Ok(Self {
            open: BTreeMap::new(),
            over,
            next,
        })
    }

    /// A message is under way.
    pub(super) fn begin(&mut self, message: MessageId, to: PersonId, mut entry: OutboundEntry) {
        entry.message = message.to_string();
        self.open.insert((message, to), entry);
    }

    /// Adds a note to a message under way; the same note only once.
    pub(super) fn note(&mut self, message: MessageId, to: PersonId, note: String) {
        let Some(entry) = self.open.get_mut(&(message, to)) else {
            return;
        };
        if entry.notes.len() < MAX_NOTES && !entry.notes.contains(&note) {
            entry.notes.push(note);
        }
    }

    /// The recipient has a part.
    pub(super) fn confirmed(&mut self, message: MessageId, by: PersonId, part: u8) {
        let Some(entry) = self.open.get_mut(&(message, by)) else {
            return;
        };
        for known in entry.parts.iter_mut().filter(|p| p.part == part) {
            known.complete = true;
            known.held_bytes = known.bytes;
        }
    }

    /// The notes of a message under way.
    pub(super) fn notes(&self, message: MessageId, to: PersonId) -> &[String] {
        self.open
            .get(&(message, to))
            .map_or(&[], |entry| &entry.notes)
    }

    /// A message is over, unless it is none of ours. Returns what has to be written down.
    pub(super) fn finish(&mut self, message: MessageId, to: PersonId, expired: bool) -> Vec<Chore> {
        let Some(mut entry) = self.open.remove(&(message, to)) else {
            return Vec::new();
        };
        (entry.complete, entry.expired, entry.eta_s) = (!expired, expired, None);
        if entry.complete {
            for part in &mut entry.parts {
                part.complete = true;
                part.held_bytes = part.bytes;
            }
        }
        let number = self.next;
        self.next += 1;
        let mut chores = vec![Chore::Note {
            key: key(number),
            value: serde_json::to_vec(&entry).ok(),
        }];
        self.over.push_back((number, entry));
        while self.over.len() > REMEMBERED
            && let Some((old, _)) = self.over.pop_front()
        {
            chores.push(Chore::Note {
                key: key(old),
                value: None,
            });
        }
        chores
    }

    /// The messages that are over, the oldest first.
    pub(super) fn over(&self) -> impl Iterator<Item = &OutboundEntry> {
        self.over.iter().map(|(_, entry)| entry)
    }
}

fn key(number: u64) -> String {
    format!("{PREFIX}{number:016x}")
}

//! Ids of messages delivered, so that a late copy is known for one.

use super::id::{MessageId, PersonId};
use super::io::{Record, Table};
use super::limits::Limits;
use crate::wire::fragment::Label;
use crate::wire::read::{Malformed, Reader};
use std::collections::{BTreeMap, BTreeSet};

/// A delivered message.
#[derive(Clone, Debug)]
pub struct Entry {
    /// From whom.
    pub from: PersonId,
    /// Under which labels it came.
    pub labels: Vec<Label>,
    /// Under which label its symbols came, if it was to several.
    pub content: Option<Label>,
    /// It was refused or its lifetime ended, rather than delivered.
    pub unwanted: bool,
    /// Its sender has still to be told.
    pub owed: bool,
    number: u64,
}

/// The ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<MessageId, Entry>,
    order: BTreeMap<u64, MessageId>,
    /// Messages that were called off before anything of them came, by who did so.
    unseen: BTreeMap<PersonId, BTreeSet<u64>>,
    last: u64,
}

impl Ledger {
    /// The entry of a message.
    pub fn get(&self, id: &MessageId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// How many messages it has.
    #[cfg(feature = "sim")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a message; the oldest beyond the limits are forgotten. Gives the rows to write and the labels forgotten.
    pub fn add(
        &mut self,
        id: MessageId,
        from: PersonId,
        (labels, content): (Vec<Label>, Option<Label>),
        unwanted: bool,
        limits: &Limits,
    ) -> (Vec<Record>, Vec<Label>) {
        self.last += 1;
        let entry = Entry {
            from,
            labels,
            content,
            unwanted,
            owed: true,
            number: self.last,
        };
        let mut records = vec![Record::Put {
            table: Table::Ledger,
            key: id.0.to_vec(),
            value: entry.encode(),
        }];
        self.insert(id, entry);
        let mut forgotten = Vec::new();
        while let Some(oldest) = self.surplus(&from, limits) {
            records.push(Record::Delete {
                table: Table::Ledger,
                key: oldest.0.to_vec(),
            });
            forgotten.extend(self.forget(&oldest));
        }
        (records, forgotten)
    }

    /// The sender of a message was told. Gives the row to write.
    pub fn told(&mut self, id: &MessageId) -> Option<Record> {
        let entry = self.entries.get_mut(id).filter(|entry| entry.owed)?;
        entry.owed = false;
        Some(Record::Put {
            table: Table::Ledger,
            key: id.0.to_vec(),
            value: entry.encode(),
        })
    }

    /// Messages whose senders have still to be told.
    pub fn owed(&self) -> impl Iterator<Item = (&MessageId, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.owed)
    }

    /// The entry that has to go: the oldest of those that this person has called off unseen, or of all.
    fn surplus(&self, from: &PersonId, limits: &Limits) -> Option<MessageId> {
        let unseen = self.unseen.get(from);
        let unseen = unseen.filter(|all| all.len() > limits.unseen_cancellations_per_person);
        if let Some(number) = unseen.and_then(BTreeSet::first) {
            return self.order.get(number).copied();
        }
        let full = self.entries.len() > limits.ledger;
        self.order.values().next().filter(|_| full).copied()
    }

    fn insert(&mut self, id: MessageId, entry: Entry) {
        self.forget(&id);
        self.last = self.last.max(entry.number);
        self.order.insert(entry.number, id);
        if entry.is_unseen() {
            let unseen = self.unseen.entry(entry.from).or_default();
            unseen.insert(entry.number);
        }
        self.entries.insert(id, entry);
    }

    /// Takes an entry out. Gives its labels.
    fn forget(&mut self, id: &MessageId) -> Vec<Label> {
        let Some(entry) = self.entries.remove(id) else {
            return Vec::new();
        };
        self.order.remove(&entry.number);
        if let Some(unseen) = self.unseen.get_mut(&entry.from) {
            unseen.remove(&entry.number);
        }
        entry.labels.into_iter().chain(entry.content).collect()
    }

    /// Reads a row. Gives the message.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(MessageId, &Entry), Malformed> {
        let id = MessageId(key.try_into().map_err(|_| Malformed::Value("ledger key"))?);
        let mut r = Reader::new(value);
        let (from, flags, number) = (PersonId(r.array()?), r.u8()?, r.u64()?);
        let content = (flags & 4 != 0).then(|| r.array()).transpose()?;
        let mut labels = Vec::new();
        while !r.is_empty() {
            labels.push(r.array()?);
        }
        let (unwanted, owed) = (flags & 1 != 0, flags & 2 != 0);
        let entry = Entry {
            from,
            labels,
            content,
            unwanted,
            owed,
            number,
        };
        self.insert(id, entry);
        let entry = self
            .entries
            .get(&id)
            .ok_or(Malformed::Value("ledger key"))?;
        Ok((id, entry))
    }
}

impl Entry {
    fn is_unseen(&self) -> bool {
        self.unwanted && self.labels.is_empty()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = self.from.0.to_vec();
        let content = u8::from(self.content.is_some());
        out.push(u8::from(self.unwanted) | u8::from(self.owed) << 1 | content << 2);
        out.extend_from_slice(&self.number.to_be_bytes());
        (self.content.iter().chain(&self.labels)).for_each(|label| out.extend_from_slice(label));
        out
    }
}

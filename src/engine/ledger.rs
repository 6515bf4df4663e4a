//! Ids of messages delivered, so that a late copy is known for one.

use super::id::{MessageId, PersonId};
use super::io::{Record, Table};
use crate::wire::fragment::Label;
use crate::wire::read::{Malformed, Reader};
use std::collections::BTreeMap;

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

    /// Adds a message; the oldest beyond `most` are forgotten. Gives the rows to write and the labels forgotten.
    pub fn add(
        &mut self,
        id: MessageId,
        from: PersonId,
        (labels, content): (Vec<Label>, Option<Label>),
        unwanted: bool,
        most: usize,
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
        while self.entries.len() > most {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            records.push(Record::Delete {
                table: Table::Ledger,
                key: oldest.0.to_vec(),
            });
            forgotten.extend(
                self.entries
                    .remove(&oldest)
                    .into_iter()
                    .flat_map(|e| e.labels.into_iter().chain(e.content)),
            );
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

    fn insert(&mut self, id: MessageId, entry: Entry) {
        self.last = self.last.max(entry.number);
        self.order.insert(entry.number, id);
        if let Some(older) = self.entries.insert(id, entry) {
            self.order.remove(&older.number);
        }
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
    fn encode(&self) -> Vec<u8> {
        let mut out = self.from.0.to_vec();
        let content = u8::from(self.content.is_some());
        out.push(u8::from(self.unwanted) | u8::from(self.owed) << 1 | content << 2);
        out.extend_from_slice(&self.number.to_be_bytes());
        (self.content.iter().chain(&self.labels)).for_each(|label| out.extend_from_slice(label));
        out
    }
}

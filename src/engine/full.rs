//! The store has no room for what waits to be written: what can come again is given up, so that all else passes.
//!
//! Room that was there when a message was begun may be another program's by the time its files are made. Nothing of what waits
//! counts, so nobody was told of it. A message that was begun in it is as if it had never been, and waits with its sender; repair
//! symbols in it did not come.

use super::incoming::{InPart, Incoming, is_block_key};
use super::io::{FileKind, Record, Table, Token};
use super::lifetimes::Mortal;
use super::{Effect, Engine, MessageId, Route};
use crate::security::seal::MessageKeys;
use std::collections::BTreeSet;

/// Slices of a repair symbol that wait to be written.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    /// The batch that they leave in.
    pub at: Token,
    /// The message.
    pub message: MessageId,
    /// The part.
    pub part: u8,
    /// The block.
    pub block: u16,
    /// The symbol.
    pub symbol: u16,
    /// Which slices of it.
    pub mask: u8,
}

/// What is given up of all that waits.
struct GivenUp {
    /// Messages that were begun.
    begun: BTreeSet<MessageId>,
    /// Messages of which repair symbols came.
    repaired: BTreeSet<MessageId>,
}

impl GivenUp {
    fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.repaired.is_empty()
    }

    /// Whether a record is written all the same. What says which slices of a block are here is said anew, without those that
    /// are not; what removes something is of use in any case.
    fn keeps(&self, record: &Record) -> bool {
        match record {
            Record::Create { file, .. } | Record::Vacate { file, .. } => {
                !self.begun.contains(&file.message)
            }
            Record::Write { file, .. } => {
                file.kind != FileKind::Repair && !self.begun.contains(&file.message)
            }
            Record::Put {
                table: Table::Inbox,
                key,
                ..
            } => !self.is_untrue(key, is_block_key(key)),
            Record::Journal(note) => !self.is_untrue(note, true),
            Record::Put { .. } | Record::Delete { .. } | Record::Remove { .. } => true,
        }
    }

    /// Whether what begins with the id of a message says of it what is not so any more.
    fn is_untrue(&self, bytes: &[u8], names_slices: bool) -> bool {
        let id = bytes.first_chunk().map(|id| MessageId(*id));
        id.is_some_and(|id| {
            self.begun.contains(&id) || (names_slices && self.repaired.contains(&id))
        })
    }
}

impl Engine {
    /// Gives up what can come again of all that does not count yet, and tries the store with the rest.
    pub(super) fn give_room_up(&mut self) {
        let made = self.writer.uncounted().filter_map(|record| match record {
            Record::Create { file, .. } => Some(file.message),
            _ => None,
        });
        let given = GivenUp {
            begun: made.collect(),
            repaired: self.repairs.iter().map(|slices| slices.message).collect(),
        };
        if given.is_empty() {
            return;
        }
        self.writer
            .keep_only(self.now, |record| given.keeps(record));
        for slices in std::mem::take(&mut self.repairs) {
            self.take_no_repair(slices);
        }
        for id in given.repaired.difference(&given.begun) {
            self.say_anew(*id);
        }
        for id in given.begun {
            self.begin_not(id);
        }
    }

    /// Repair symbols that count need not be remembered.
    pub(super) fn forget_repairs(&mut self) {
        while self
            .repairs
            .front()
            .is_some_and(|slices| self.writer.counts(slices.at))
        {
            self.repairs.pop_front();
        }
    }

    fn take_no_repair(&mut self, slices: Slices) {
        self.count("no room on the disk for a repair symbol");
        let message = self.inbox.get_mut(&slices.message);
        if let Some(part) = message.and_then(|m| m.parts.get_mut(&slices.part)) {
            part.give_back(slices.block, slices.symbol, slices.mask);
        }
    }

    /// What is here of a message is written down anew, and told once that counts.
    fn say_anew(&mut self, id: MessageId) {
        if let Some(message) = self.inbox.get_mut(&id) {
            message.parts.values_mut().for_each(InPart::touch_blocks);
            self.forget_views(id);
            self.notes.forget(id);
            self.dirty.insert(id);
            self.want_sync(super::SYNC_INTERVAL);
        }
    }

    /// A message was never begun. Its sender is told that there is no room for it.
    fn begin_not(&mut self, id: MessageId) {
        // One that is over already has but its end to be written.
        let Some(message) = self.inbox.remove(&id) else {
            return;
        };
        self.count("no room on the disk for a message");
        self.writer.take_back(message.repair_room());
        self.forget_routes(&message);
        self.forget_views(id);
        self.notes.forget(id);
        self.dirty.remove(&id);
        self.reading.remove(&id);
        self.watch(Mortal::In(id));
        self.reports.remove(&id);
        self.put_off(id, message.sender());
    }

    fn forget_routes(&mut self, message: &Incoming) {
        for label in message
            .keys
            .iter()
            .chain(&message.content)
            .map(MessageKeys::label)
        {
            if matches!(self.routes.get(&label), Some(Route::Incoming(id)) if *id == message.id) {
                self.routes.remove(&label);
            }
        }
    }

    /// What was to be told of a message once some batch counts is not so any more.
    fn forget_views(&mut self, id: MessageId) {
        for effects in self.effects.values_mut() {
            effects.retain(|effect| !matches!(effect, Effect::View(of, _) if *of == id));
        }
    }
}

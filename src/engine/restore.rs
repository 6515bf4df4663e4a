//! A restart: from rows and notes back to where everything was.

use super::ends::End;
use super::incoming::{Incoming, Notes};
use super::io::{Restored, Table, Time, Token};
use super::lifetimes::Mortal;
use super::outgoing::Outgoing;
use super::reporting::Reporting;
use super::{Damaged, Engine, HOLD, MessageId, Route};
use crate::wire::read::{Malformed, Reader};
use std::cmp::Reverse;

impl Engine {
    pub(super) fn restore(&mut self, restored: Restored) -> Result<(), Damaged> {
        let mut outbox = Vec::new();
        for (table, key, value) in &restored.rows {
            self.restore_row(*table, key, value, &mut outbox)
                .map_err(|why| Damaged(format!("a row of table {table:?}: {why}")))?;
        }
        // Rows come in the order of their ids. What waited without any uptime has but the calendar to tell.
        outbox.sort_by_key(|m: &Outgoing| (Reverse(m.age(self.now)), m.manifest.created));
        for message in outbox {
            self.enlist(message);
        }
        for note in &restored.journal {
            let inbox = &mut self.inbox;
            let read = Notes::read(note, |id, part, block, symbol, mask| {
                if let Some(state) = inbox.get_mut(&id).and_then(|m| m.parts.get_mut(&part)) {
                    state.restore_slices(block, symbol, mask);
                }
            });
            read.map_err(|why| Damaged(format!("a note of progress: {why}")))?;
        }
        self.resume();
        Ok(())
    }

    fn restore_row(
        &mut self,
        table: Table,
        key: &[u8],
        value: &[u8],
        outbox: &mut Vec<Outgoing>,
    ) -> Result<(), Malformed> {
        match table {
            Table::Session => match key.split_first() {
                Some((b'i', [])) => self.incarnations.restore_own(value),
                Some((b'p', person)) => self.incarnations.restore_other(person, value),
                Some((b'v', id)) => self.invitations.restore(id, value, self.now),
                _ => self.sessions.restore(key, value, self.now),
            },
            Table::Ledger if cfg!(feature = "break-forget-dedup") => Ok(()),
            Table::Ledger => {
                let (id, entry) = self.ledger.restore(key, value)?;
                let done = entry.labels.iter().map(|label| (*label, Route::Done(id)));
                self.routes.extend(done);
                self.routes
                    .extend(entry.content.map(|label| (label, Route::Spent)));
                Ok(())
            }
            Table::Outbox => {
                let mut message = Outgoing::restore(key, value, self.now)?;
                message.hold_until = Some(self.now.after(HOLD));
                message
                    .parts
                    .values_mut()
                    .for_each(|part| part.pool.forget());
                outbox.push(message);
                Ok(())
            }
            Table::Inbox => self.restore_inbox(key, value),
        }
    }

    /// Rows come in the order of their keys: a message, then its parts, each followed by its blocks.
    fn restore_inbox(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let mut r = Reader::new(key);
        let id = MessageId(r.array()?);
        if r.is_empty() {
            self.inbox
                .insert(id, Incoming::restore(id, value, self.now)?);
            return Ok(());
        }
        let part = r.u8()?;
        let message = self
            .inbox
            .get_mut(&id)
            .ok_or(Malformed::Value("inbox key"))?;
        let state = message
            .parts
            .get_mut(&part)
            .ok_or(Malformed::Value("inbox key"))?;
        if r.is_empty() {
            return state.restore(value);
        }
        let block = r.u16()?;
        for (symbol, &mask) in value.iter().enumerate().filter(|(_, mask)| **mask != 0) {
            state.restore_slices(block, symbol as u16, mask);
        }
        r.finish()
    }

    /// What follows from the rows: solved blocks, routes, digests to take, deliveries to repeat, reports to give.
    fn resume(&mut self) {
        self.meet_again();
        let mut spare = Vec::new();
        for (id, message) in &mut self.inbox {
            self.writer.promise(message.repair_room());
            self.routes.extend(
                message
                    .keys
                    .iter()
                    .map(|k| (k.label(), Route::Incoming(*id))),
            );
            for (part, state) in &mut message.parts {
                let ready: Vec<u16> = state
                    .geometry
                    .iter()
                    .flat_map(|g| state.blocks.iter().map(move |(b, block)| (g, b, block)))
                    .filter(|(g, b, block)| {
                        block.has_source(g.source_symbols(**b), g.coding.full_mask())
                    })
                    .map(|(_, b, _)| *b)
                    .collect();
                let ready = ready.into_iter();
                spare.extend(ready.map(|block| (*id, *part, state.solve(block, Token(0)))));
            }
            self.reports
                .insert(*id, Reporting::new(message.sender(), Time::default()));
            self.reading.insert(*id);
            self.dirty.insert(*id);
        }
        for (message, part, repair) in spare {
            self.vacate(message, part, repair);
        }
        let invitations = self.invitations.list().into_iter();
        let invitations: Vec<_> = invitations.map(|(id, _)| id).collect();
        for id in invitations {
            self.watch(Mortal::Invitation(id));
        }
        let inbox: Vec<MessageId> = self.inbox.keys().copied().collect();
        for id in inbox {
            self.route_content(id);
            self.watch(Mortal::In(id));
        }
        for (id, entry) in self.ledger.owed() {
            self.reports.insert(
                *id,
                Reporting::closed(End::any(entry.from), entry.unwanted, self.now),
            );
        }
        if !self.inbox.is_empty() {
            self.want_sync(std::time::Duration::ZERO);
        }
    }
}

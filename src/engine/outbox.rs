//! Messages of ours begin and end: taken, given their place, dismissed, given up.

use super::io::{Event, FileId, FileKind, Output, Record, SendError, Table};
use super::lifetimes::Mortal;
use super::limits::LimitError;
use super::message::Draft;
use super::outgoing::Outgoing;
use super::{Effect, Engine, MessageId, SYNC_INTERVAL};
use rand_core::Rng;
use std::time::Duration;

impl Engine {
    pub(super) fn take_draft(&mut self, draft: &Draft) {
        match self.accept(draft) {
            Ok(seq) => {
                self.waiting.push(Effect::Accepted {
                    seq,
                    request: draft.request,
                });
                self.want_sync(Duration::ZERO);
            }
            Err(why) => self.event(Event::Refused {
                request: draft.request,
                why,
            }),
        }
    }

    fn accept(&mut self, draft: &Draft) -> Result<u64, SendError> {
        if self.outbox.len() >= self.limits.outbox_messages {
            return Err(LimitError::Outbox(self.outbox.len()).into());
        }
        if self.standings.is_blocked(draft.to) {
            return Err(SendError::Blocked);
        }
        let manifest = draft.manifest(&self.limits)?;
        let id = manifest.message_id(self.me.person(), draft.to);
        if self.outbox_ids.contains_key(&id) {
            return Err(SendError::Duplicate);
        }
        let card = self.cards.get(&draft.to).ok_or(SendError::UnknownPerson)?;
        let opened = self
            .sessions
            .sending(&self.me, card, &mut self.rng, self.now);
        // The row is written below, after the label was counted, whether the session is new or not.
        let (sending, _) = opened.map_err(|_| SendError::UnusableCard)?;
        sending.turn(self.now);
        let keys = sending.keys(id, self.now);
        let (place, session_row) = (sending.place(), sending.record(draft.to, self.now));
        self.writer.durable(session_row);
        let tag = self.rng.next_u64();
        let message = Outgoing::new(draft, manifest, id, keys, place, tag, self.now);
        self.writer.durable(message.record(self.now));
        Ok(self.enlist(message))
    }

    /// Gives a message its place in the outbox and the schedule.
    pub(super) fn enlist(&mut self, message: Outgoing) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.schedule.insert((message.priority().code(), seq, 0));
        for (part, state) in &message.parts {
            self.schedule.insert((state.priority.code(), seq, *part));
        }
        self.outbox_ids.insert(message.id, seq);
        self.outbox.insert(seq, message);
        self.watch(Mortal::Out(seq));
        self.work += 1;
        seq
    }

    /// A message needs no more sending: it is delivered, expired, refused or cancelled.
    pub(super) fn dismiss(&mut self, seq: u64, event: Event) {
        self.stop_sending(seq);
        let Some(message) = self.outbox.remove(&seq) else {
            return;
        };
        self.outbox_ids.remove(&message.id);
        self.schedule.retain(|&(_, s, _)| s != seq);
        self.watch(Mortal::Out(seq));
        self.writer.durable(Record::Delete {
            table: Table::Outbox,
            key: message.id.0.to_vec(),
        });
        self.event(event);
        self.want_sync(SYNC_INTERVAL);
    }

    /// Nothing more leaves of the parts of a message, and nothing of them is kept.
    fn stop_sending(&mut self, seq: u64) {
        let Some(message) = self.outbox.get(&seq) else {
            return;
        };
        self.schedule.retain(|&(_, s, part)| s != seq || part == 0);
        for link in self.links.values_mut() {
            let rate = &mut link.rate;
            link.sent.retain(|sent| {
                let keep = sent.message != message.id;
                if !keep {
                    rate.forget(sent.bytes as usize);
                }
                keep
            });
        }
        for part in message.parts.keys() {
            let file = FileId {
                kind: FileKind::Outgoing,
                message: message.id,
                part: *part,
            };
            self.writer.durable(Record::Remove { file });
        }
        self.out.push_back(Output::Purge { tag: message.tag });
    }

    /// Gives up a message of ours, and has its recipient told if something of it may be there; or drops one that is
    /// arriving.
    pub(super) fn cancel(&mut self, message: MessageId) {
        let Some(&seq) = self.outbox_ids.get(&message) else {
            return self.refuse(message, Event::Expired { message });
        };
        let told = |m: &Outgoing| m.may_have_left() && m.durable;
        if !self.outbox.get(&seq).is_some_and(told) {
            return self.dismiss(seq, Event::Expired { message });
        }
        self.stop_sending(seq);
        let now = self.now;
        if let Some(outgoing) = self.outbox.get_mut(&seq).filter(|m| !m.withdrawn) {
            outgoing.withdraw(now);
            self.writer.durable(outgoing.record(now));
            self.event(Event::Expired { message });
        }
        self.watch(Mortal::Out(seq));
        self.work += 1;
        self.want_sync(SYNC_INTERVAL);
    }
}

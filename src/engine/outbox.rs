//! Messages of ours begin and end: taken, given their place, dismissed, given up.

use super::ends::End;
use super::id::PersonId;
use super::io::{Event, FileId, FileKind, Output, Record, SendError, Table};
use super::lifetimes::Mortal;
use super::limits::LimitError;
use super::message::Draft;
use super::outgoing::Outgoing;
use super::{Effect, Engine, MessageId, SYNC_INTERVAL};
use crate::security::seal::MessageKeys;
use crate::security::session::SessionId;
use crate::security::shared;
use rand_core::Rng;
use std::time::Duration;

impl Engine {
    pub(super) fn take_draft(&mut self, draft: &Draft) {
        match self.accept(draft) {
            Ok(seqs) => {
                self.waiting.push(Effect::Accepted {
                    seqs,
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

    /// Takes a message for all its recipients or for none.
    fn accept(&mut self, draft: &Draft) -> Result<Vec<u64>, SendError> {
        let ends = draft.to.iter().flat_map(|to| self.ends_of(*to)).count();
        if self.outbox.len() + ends.max(draft.to.len()) > self.limits.outbox_messages {
            return Err(LimitError::Outbox(self.outbox.len()).into());
        }
        if draft.to.iter().any(|to| self.standings.is_blocked(*to)) {
            return Err(SendError::Blocked);
        }
        let mut manifest = draft.manifest(&self.limits)?;
        let id = draft.message_id(self.me.person(), &self.limits)?;
        if self.places_of(id).next().is_some() {
            return Err(SendError::Duplicate);
        }
        if let Some(shared) = &mut manifest.shared {
            shared.signature = shared::sign(&self.me, id);
        }
        let sealed = draft.to.iter().map(|to| Ok((*to, self.label(*to, id)?)));
        let sealed: Vec<_> = sealed.collect::<Result<_, SendError>>()?;
        let mut seqs = Vec::new();
        for (to, (keys, place)) in sealed {
            let tag = self.rng.next_u64();
            for end in self.ends_of(to) {
                let (manifest, keys) = (manifest.clone(), keys.clone());
                let message = Outgoing::new(draft, end, manifest, id, keys, place, tag, self.now);
                self.writer.durable(message.record(self.now));
                seqs.push(self.enlist(message));
            }
        }
        Ok(seqs)
    }

    /// A label for a message in the session with its recipient.
    fn label(
        &mut self,
        to: PersonId,
        message: MessageId,
    ) -> Result<(MessageKeys, (SessionId, u32)), SendError> {
        if self.ends_of(to).is_empty() {
            return Err(SendError::UnknownPerson);
        }
        let card = self.cards.get(&to).ok_or(SendError::UnknownPerson)?;
        let opened = self
            .sessions
            .sending(&self.me, card, &mut self.rng, self.now);
        // The row is written below, after the label was counted, whether the session is new or not.
        let (sending, _) = opened.map_err(|_| SendError::UnusableCard)?;
        sending.turn(self.now);
        let keys = sending.keys(message, self.now);
        let (place, row) = (sending.place(), sending.record(to, self.now));
        self.writer.durable(row);
        self.plan_offer(to);
        Ok((keys, place))
    }

    /// The places of a message in the outbox: one for each endpoint of a recipient that has not got it.
    pub(super) fn places_of(&self, message: MessageId) -> impl Iterator<Item = u64> + use<'_> {
        let all = (message, End::FIRST)..=(message, End::LAST);
        self.outbox_ids.range(all).map(|(_, seq)| *seq)
    }

    /// Gives a message its place in the outbox and the schedule.
    pub(super) fn enlist(&mut self, mut message: Outgoing) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        message.seq = seq;
        // Who hears symbols that leave for another recipient needs the manifest before them.
        let ahead = u8::from(message.is_shared());
        let urgency = message.priority().code().saturating_sub(ahead);
        self.schedule.insert((urgency, seq, 0));
        for (part, state) in &message.parts {
            self.schedule.insert((state.priority.code(), seq, *part));
        }
        self.outbox_ids.insert((message.id, message.end()), seq);
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
        self.outbox_ids.remove(&(message.id, message.end()));
        self.schedule.retain(|&(_, s, _)| s != seq);
        self.watch(Mortal::Out(seq));
        self.writer.durable(Record::Delete {
            table: Table::Outbox,
            key: message.row_key(),
        });
        if self.speaks_for_person(&message, &event) {
            self.event(event);
        }
        self.want_sync(SYNC_INTERVAL);
    }

    /// Nothing more leaves of the parts of a message, and nothing of them is kept that no other recipient needs.
    fn stop_sending(&mut self, seq: u64) {
        self.forget_sent(seq);
        let Some(message) = self.outbox.get(&seq) else {
            return;
        };
        self.schedule.retain(|&(_, s, part)| s != seq || part == 0);
        let others = self.places_of(message.id).filter(|s| *s != seq);
        let others: Vec<&Outgoing> = others.filter_map(|s| self.outbox.get(&s)).collect();
        for part in message.parts.keys() {
            if others.iter().any(|other| other.parts.contains_key(part)) {
                continue;
            }
            let file = FileId {
                kind: FileKind::Outgoing,
                message: message.id,
                part: *part,
            };
            self.writer.durable(Record::Remove { file });
        }
        // What the other endpoints of the person may fetch is the same.
        if self.siblings(seq).is_empty() {
            self.out.push_back(Output::Purge { tag: message.tag });
        }
    }

    /// Nothing of a message counts as under way any more.
    pub(super) fn forget_sent(&mut self, seq: u64) {
        for link in self.links.values_mut() {
            let rate = &mut link.rate;
            link.sent.retain(|sent| {
                let keep = sent.seq != seq;
                if !keep {
                    rate.forget(sent.bytes as usize);
                }
                keep
            });
        }
    }

    /// Gives up a message of ours, and has those recipients told to whom something of it may have got; or drops one that
    /// is arriving.
    pub(super) fn cancel(&mut self, message: MessageId) {
        let seqs: Vec<u64> = self.places_of(message).collect();
        if let (true, Some(incoming)) = (seqs.is_empty(), self.inbox.get(&message)) {
            let person = incoming.from;
            return self.refuse(message, Event::Expired { message, person });
        }
        seqs.into_iter().for_each(|seq| self.withdraw(seq));
    }

    /// It is told once for all endpoints of a person, and not if one of them had the message.
    fn withdrew(&mut self, seq: u64, event: Event) {
        let siblings = self.siblings(seq).into_iter().chain([seq]);
        let mut places = siblings.filter_map(|seq| self.outbox.get(&seq));
        if places.all(|place| place.withdrawn && !place.follows()) {
            self.event(event);
        }
    }

    fn withdraw(&mut self, seq: u64) {
        let Some(outgoing) = self.outbox.get(&seq) else {
            return;
        };
        let event = Event::Expired {
            message: outgoing.id,
            person: outgoing.to,
        };
        if !outgoing.may_have_left() || !outgoing.durable {
            return self.dismiss(seq, event);
        }
        self.stop_sending(seq);
        let now = self.now;
        if let Some(outgoing) = self.outbox.get_mut(&seq).filter(|m| !m.withdrawn) {
            outgoing.withdraw(now);
            self.writer.durable(outgoing.record(now));
            self.withdrew(seq, event);
        }
        self.watch(Mortal::Out(seq));
        self.work += 1;
        self.want_sync(SYNC_INTERVAL);
    }
}

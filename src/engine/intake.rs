//! A manifest is whole and authentic: a message begins, is known, or was a control record. And how messages end.

use super::ends::End;
use super::incoming::Incoming;
use super::io::{Event, FileKind, Record};
use super::lifetimes::Mortal;
use super::reporting::Reporting;
use super::{Engine, MessageId, PersonId, Route};
use crate::security::seal::MessageKeys;
use crate::security::session::Epoch;
use crate::wire::fragment::Label;
use crate::wire::generation::read_session_ack;
use crate::wire::manifest::{self, Body, Manifest, PartEntry};
use bytes::Bytes;
use std::time::Duration;

impl Engine {
    /// A manifest, and the seconds that the frame which completed it was on its way.
    pub(super) fn on_manifest(
        &mut self,
        by: End,
        epoch: &Epoch,
        keys: MessageKeys,
        (bytes, age_s): (&[u8], u32),
    ) {
        let Ok(manifest) = Manifest::decode(bytes) else {
            return self.count("malformed manifest");
        };
        let from = by.person;
        let id = manifest.message_id(from, self.me.person());
        // Without the comparison, a label stands for any message.
        if epoch.label(id) != keys.label() && cfg!(not(feature = "break-16")) {
            return self.count("manifest under another label");
        }
        if let Some((code, content)) = manifest.control() {
            let content = content.clone();
            // Reports and the like cost nothing; what others ask for is written down.
            let asks = [
                manifest::CANCEL,
                manifest::INCARNATION,
                manifest::GENERATION,
            ];
            let asks = manifest::control_name(code).is_some_and(|name| asks.contains(&name));
            if asks && self.is_stranger(from) {
                return self.count("control record of a stranger");
            }
            return self.on_control(by, code, &content);
        }
        // The id shows whose it is. Who called it off beforehand without being its sender has called off nothing.
        if self.ledger.get(&id).is_some_and(|entry| entry.from == from) {
            self.routes.insert(keys.label(), Route::Done(id));
            return self.answer_late_copy(id);
        }
        let label = keys.label();
        if let Some(known) = self.inbox.get_mut(&id) {
            if let Some(oldest) = known.add_keys(keys) {
                self.routes.remove(&oldest);
            }
            self.routes.insert(label, Route::Incoming(id));
            self.dirty.insert(id);
            return self.tell_again(id);
        }
        let is_met = self.cards.contains_key(&from);
        if !is_met && let Err(why) = self.meet_stranger(from, &manifest) {
            return self.count(why);
        }
        if let Some(why) = self.refusal(from, &manifest) {
            self.count(why);
            return self.put_off_files(id, by, &manifest);
        }
        if let Some(why) = self.shared_refusal(from, id, &manifest) {
            return self.count(why);
        }
        if is_met
            && self
                .largest
                .is_some_and(|largest| manifest.bytes() > largest)
        {
            return self.turn_away(id, by, label);
        }
        let mut message = Incoming::new(id, by, manifest, keys, self.now);
        // A file that the disk has no room for would hold up everything that is to be written. A text takes none of it.
        let room = message.file_bytes().saturating_add(message.repair_room());
        if room > 0 && !self.writer.has_room(room, false) {
            self.count("no room on the disk for a message");
            return self.put_off(id, by);
        }
        message.age_s = u64::from(age_s);
        // Otherwise two clocks have to agree on how old a message is.
        if cfg!(feature = "break-33")
            && let (Some((_, now)), Some(created)) = (self.calendar, message.manifest.created)
        {
            message.age_s = now.abs_diff(u64::from(created));
        }
        self.routes.insert(label, Route::Incoming(id));
        self.begin(message);
        if !is_met {
            self.leave_quarantine();
        }
    }

    /// A message is larger than our card says that we take. Its sender is told that it is not wanted.
    fn turn_away(&mut self, id: MessageId, by: End, label: Label) {
        self.count("message larger than our card allows");
        self.routes.insert(label, Route::Done(id));
        self.reports.insert(id, Reporting::new(by, self.now));
        self.enter(id, by.person, (vec![label], None), true);
    }

    /// Why a message cannot be taken in now. Its sender goes on offering it, so nothing is lost once there is room.
    fn refusal(&self, from: PersonId, manifest: &Manifest) -> Option<&'static str> {
        let (limits, total) = (&self.limits, manifest.bytes());
        let largest = manifest.parts.iter().map(|p| p.body.len()).max();
        // Without the bounds, files are made as large as anybody says.
        let absurd = total > limits.message_bytes || largest > Some(limits.part_bytes);
        if absurd && cfg!(not(feature = "break-17")) {
            return Some("manifest claims too much");
        }
        if self.inbox.len() >= limits.inbox_messages {
            return Some("too many messages arriving");
        }
        let others = self.inbox.values().filter(|m| m.from == from);
        let (count, bytes) = others.fold((0, 0u64), |(count, bytes), m| {
            (count + 1, bytes.saturating_add(m.manifest.bytes()))
        });
        let quota = self.quota(from);
        // Without the bounds, everybody who has our card fills the disk.
        if self.is_stranger(from)
            && cfg!(not(feature = "break-08"))
            && let Some(why) = self.stranger_message_refusal(from, manifest)
        {
            return Some(why);
        }
        if count >= quota.messages {
            return Some("too many messages arriving from one person");
        }
        (bytes.saturating_add(total) > quota.bytes)
            .then_some("too many bytes arriving from one person")
    }

    /// A message of a contact waits with its sender. What stands in a manifest is offered as often as before, as that is all
    /// that leaves.
    fn put_off_files(&mut self, id: MessageId, by: End, manifest: &Manifest) {
        let is_coded = |part: &PartEntry| matches!(part.body, Body::Coded { .. });
        if manifest.parts.iter().any(is_coded) && !self.is_stranger(by.person) {
            self.put_off(id, by);
        }
    }

    fn begin(&mut self, message: Incoming) {
        let (id, from, by) = (message.id, message.from, message.sender());
        message
            .creates()
            .into_iter()
            .for_each(|record| self.writer.durable(record));
        self.writer.promise(message.repair_room());
        self.inbox.insert(id, message);
        self.route_content(id);
        self.watch(Mortal::In(id));
        self.reports.insert(id, Reporting::new(by, self.now));
        self.dirty.insert(id);
        self.event(Event::Arriving { message: id, from });
        self.want_sync(Duration::ZERO);
    }

    fn on_control(&mut self, from: End, code: u8, content: &Bytes) {
        match manifest::control_name(code) {
            Some(manifest::REPORT) => self.on_report(from, content),
            Some(manifest::SESSION_ACK) => self.on_session_ack(from, content),
            Some(manifest::CANCEL) => self.on_cancel(from, content),
            Some(manifest::INCARNATION) => self.on_incarnation(from, content),
            Some(manifest::GENERATION) => self.on_exchange(from.person, content),
            _ => self.count("unknown control record"),
        }
    }

    fn on_session_ack(&mut self, from: End, content: &[u8]) {
        let Ok((id, generation)) = read_session_ack(content) else {
            return self.count("malformed control record");
        };
        if let Some(record) = self.sessions.confirm(from, (id, generation), self.now) {
            self.writer.durable(record);
            self.want_sync(Duration::from_secs(1));
            self.drop_ticket(from.person);
        }
    }

    /// Who has invited us knows us: the invitation is needed no more.
    pub(super) fn drop_ticket(&mut self, person: PersonId) {
        if self.sessions.drop_ticket(person) {
            self.event(Event::TicketDone { person });
        }
    }

    /// The sender of a message has given it up. Whether anything of it is here or not, the sender is told that
    /// nothing is waited for.
    fn on_cancel(&mut self, by: End, content: &[u8]) {
        let from = by.person;
        let Ok(id) = content.try_into().map(MessageId) else {
            return self.count("malformed control record");
        };
        if let Some(message) = self.inbox.get(&id) {
            // Without the question whose it is, any contact calls it off.
            if message.from == from || cfg!(feature = "break-29") {
                let person = message.from;
                return self.refuse(
                    id,
                    Event::Expired {
                        message: id,
                        person,
                    },
                );
            }
            return self.count("cancellation by somebody else");
        }
        match self.ledger.get(&id) {
            Some(entry) if entry.from == from => self.answer_late_copy(id),
            Some(entry) if !entry.unwanted => self.count("cancellation by somebody else"),
            // Whose it is nobody knows, before its manifest comes.
            _ => {
                self.reports.insert(id, Reporting::new(by, self.now));
                self.enter(id, from, (Vec::new(), None), true);
            }
        }
    }

    /// A message that is not wanted any more: nothing of it is kept but its name.
    pub(super) fn refuse(&mut self, id: MessageId, event: Event) {
        let Some(message) = self.inbox.remove(&id) else {
            return;
        };
        self.close(&message, true);
        self.event(event);
    }

    /// A message leaves the inbox for the ledger. What was delivered of it, the host has kept.
    pub(super) fn close(&mut self, message: &Incoming, unwanted: bool) {
        let id = message.id;
        self.reading.remove(&id);
        self.writer.take_back(message.repair_room());
        message
            .deletes()
            .into_iter()
            .for_each(|record| self.writer.durable(record));
        let coded = message
            .parts
            .iter()
            .filter(|(_, part)| part.geometry.is_some());
        for (part, _) in coded {
            for kind in [FileKind::Incoming, FileKind::Repair] {
                let file = message.file(kind, *part);
                self.writer.durable(Record::Remove { file });
            }
        }
        let labels: Vec<Label> = message.keys.iter().map(MessageKeys::label).collect();
        self.routes
            .extend(labels.iter().map(|label| (*label, Route::Done(id))));
        let content = message.content.as_ref().map(MessageKeys::label);
        self.routes
            .extend(content.iter().map(|label| (*label, Route::Spent)));
        self.enter(id, message.from, (labels, content), unwanted);
        self.watch(Mortal::In(id));
        self.offered.retain(|(message, _)| *message != id);
    }

    /// Enters a message that is over into the ledger; its sender is told.
    fn enter(
        &mut self,
        id: MessageId,
        from: PersonId,
        labels: (Vec<Label>, Option<Label>),
        unwanted: bool,
    ) {
        let ledger = &mut self.ledger;
        let (records, forgotten) = ledger.add(id, from, labels, unwanted, &self.limits);
        records
            .into_iter()
            .for_each(|record| self.writer.durable(record));
        forgotten.iter().for_each(|label| {
            self.routes.remove(label);
        });
        self.dirty.insert(id);
        self.want_sync(Duration::ZERO);
    }
}

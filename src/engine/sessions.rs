//! The sessions of one engine: those it opened with others, and those that others opened with it.

use super::id::{MessageId, PersonId};
use super::io::{Record, Table, Time};
use super::limits::Limits;
use crate::security::card::Card;
use crate::security::identity::Identity;
use crate::security::seal::MessageKeys;
use crate::security::session::{Epoch, RecvSession, SendSession, SessionError, SessionId};
use crate::wire::fragment::{Label, View};
use crate::wire::read::Malformed;
use rand_chacha::ChaCha20Rng;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Messages of people in one epoch.
const MESSAGES_PER_EPOCH: u32 = 256;
/// Reports and other control records in one epoch. Each is a message of its own, but loses its worth in seconds.
const CONTROLS_PER_EPOCH: u32 = 4096;
/// How long an epoch lasts at most, in uptime.
const EPOCH_TIME: Duration = Duration::from_secs(24 * 3600);

/// A session that we opened.
#[derive(Debug)]
pub struct Sending {
    session: SendSession,
    /// The recipient has shown that it knows the session.
    pub confirmed: bool,
    messages: u32,
    controls: u32,
    since: Time,
    labels: BTreeSet<Label>,
}

/// A session that somebody opened with us.
#[derive(Debug)]
pub struct Receiving {
    /// Its keys.
    pub session: RecvSession,
    epochs: BTreeMap<u8, Epoch>,
    preamble: Vec<u8>,
    /// Its opener has to be told that we know it.
    pub ack_due: bool,
    durable: bool,
    used: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Sessions {
    sending: BTreeMap<PersonId, Sending>,
    receiving: Vec<Receiving>,
    uses: u64,
}

/// What became of a preamble.
#[derive(Debug, PartialEq, Eq)]
pub enum Announced {
    /// A new session with this person.
    New(PersonId),
    /// One that we know.
    Known,
}

impl Sessions {
    /// From stored rows.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        match (key.first(), value.split_first()) {
            (Some(b's'), Some((confirmed, rest))) => {
                let person = key
                    .get(1..)
                    .and_then(|k| k.try_into().ok())
                    .ok_or(Malformed::Value("session key"))?;
                let mut sending = Sending::new(SendSession::restore(rest)?, Time::default());
                sending.confirmed = *confirmed == 1;
                self.sending.insert(PersonId(person), sending);
            }
            (Some(b'r'), Some(_)) => {
                let session = RecvSession::restore(value)?;
                self.receiving.push(Receiving::new(session, Vec::new(), 0));
            }
            _ => return Err(Malformed::Value("session row")),
        }
        Ok(())
    }

    /// The session with a person, opened if there is none; the record to write if it is new.
    pub fn sending(
        &mut self,
        me: &Identity,
        card: &Card,
        rng: &mut ChaCha20Rng,
        now: Time,
    ) -> Result<(&mut Sending, Option<Record>), SessionError> {
        let person = card.person();
        if self
            .sending
            .get(&person)
            .is_some_and(|s| s.session.is_exhausted())
        {
            self.sending.remove(&person);
        }
        match self.sending.entry(person) {
            Entry::Occupied(known) => Ok((known.into_mut(), None)),
            Entry::Vacant(place) => {
                let sending = Sending::new(SendSession::open(me, card, rng)?, now);
                let record = sending.record(person);
                Ok((place.insert(sending), Some(record)))
            }
        }
    }

    /// The session with a person, if there is one.
    pub fn existing(&mut self, person: PersonId) -> Option<&mut Sending> {
        self.sending.get_mut(&person)
    }

    /// The recipient knows the session with this id. Gives the record to write if that is news.
    pub fn confirm(&mut self, person: PersonId, id: Option<SessionId>) -> Option<Record> {
        let sending = self.sending.get_mut(&person)?;
        if sending.confirmed || id.is_some_and(|id| id != sending.session.id()) {
            return None;
        }
        sending.confirmed = true;
        Some(sending.record(person))
    }

    /// The recipient seems to have lost the session: it is announced again.
    pub fn doubt(&mut self, person: PersonId) {
        if let Some(sending) = self.sending.get_mut(&person) {
            sending.confirmed = false;
        }
    }

    /// Whether a preamble is one that was examined before, byte for byte.
    pub fn knows_preamble(&mut self, frame: &[u8]) -> bool {
        let known = self.receiving.iter_mut().find(|r| r.preamble == frame);
        known.map(|r| r.ack_due = r.durable).is_some()
    }

    /// A session is durable: its opener may be told that we know it.
    pub fn known(&mut self, id: SessionId) {
        if let Some(receiving) = self.receiving.iter_mut().find(|r| r.session.id() == id) {
            (receiving.durable, receiving.ack_due) = (true, true);
        }
    }

    /// Examines a preamble.
    pub fn announce(
        &mut self,
        me: &Identity,
        cards: &BTreeMap<PersonId, Card>,
        frame: &[u8],
        limits: &Limits,
    ) -> Result<(Announced, SessionId, Record), SessionError> {
        let session = RecvSession::accept(me, frame, |person| cards.get(&person))?;
        self.uses += 1;
        if let Some(known) = self
            .receiving
            .iter_mut()
            .find(|r| r.session.id() == session.id())
        {
            known.session.jump(session.epoch_number());
            known.epochs.clear();
            known.preamble = frame.to_vec();
            return Ok((Announced::Known, session.id(), known.record()));
        }
        self.make_room(&session, limits);
        let peer = session.peer();
        let id = session.id();
        let receiving = Receiving::new(session, frame.to_vec(), self.uses);
        let record = receiving.record();
        self.receiving.push(receiving);
        Ok((Announced::New(peer), id, record))
    }

    /// The oldest session of the same endpoint gives way, or the oldest of all.
    fn make_room(&mut self, new: &RecvSession, limits: &Limits) {
        let same = |r: &&Receiving| r.session.endpoint() == new.endpoint();
        let own = self.receiving.iter().filter(same).count() >= limits.sessions_per_endpoint;
        if !own && self.receiving.len() < limits.sessions {
            return;
        }
        let oldest = self
            .receiving
            .iter()
            .enumerate()
            .filter(|(_, r)| !own || same(r))
            .min_by_key(|(_, r)| r.used);
        if let Some((index, _)) = oldest {
            self.receiving.swap_remove(index);
        }
    }

    /// Finds whose fragment this is and the keys of its message, by the hint; nothing has verified yet.
    pub fn candidates(&mut self, view: &View<'_>) -> Vec<(SessionId, Epoch, MessageKeys)> {
        let mut found = Vec::new();
        for receiving in &mut self.receiving {
            let id = receiving.session.id();
            let Some(epoch) = receiving.epoch(view.epoch_bits) else {
                continue;
            };
            if epoch.hint(view.label) == view.hint {
                found.push((id, epoch.clone(), epoch.message(view.label)));
            }
        }
        found
    }

    /// A tag verified in this session and epoch. Gives its sender, and the record to write if the window moved.
    pub fn verified(&mut self, id: SessionId, epoch: &Epoch) -> Option<(PersonId, Option<Record>)> {
        self.uses += 1;
        let uses = self.uses;
        let receiving = self.receiving.iter_mut().find(|r| r.session.id() == id)?;
        receiving.used = uses;
        let moved = receiving.session.verified(epoch);
        if moved {
            receiving.epochs.clear();
        }
        Some((receiving.session.peer(), moved.then(|| receiving.record())))
    }

    /// Sessions whose openers have to be told that we know them.
    pub fn acks_due(&mut self) -> impl Iterator<Item = &mut Receiving> {
        self.receiving.iter_mut().filter(|r| r.ack_due)
    }
}

impl Sending {
    fn new(session: SendSession, now: Time) -> Self {
        Self {
            session,
            confirmed: false,
            messages: 0,
            controls: 0,
            since: now,
            labels: BTreeSet::new(),
        }
    }

    /// The row of this session.
    pub fn record(&self, person: PersonId) -> Record {
        let mut value = vec![u8::from(self.confirmed)];
        value.extend_from_slice(&self.session.store());
        Record::Put {
            table: Table::Session,
            key: [b"s", &person.0[..]].concat(),
            value,
        }
    }

    /// The frame that announces it.
    pub fn preamble(&self, me: &Identity) -> Vec<u8> {
        self.session.preamble(me)
    }

    /// The number of the current epoch.
    pub fn epoch_number(&self) -> u32 {
        self.session.epoch_number()
    }

    /// Goes on to the next epoch if this one is worn out. Tells whether it did.
    pub fn turn(&mut self, now: Time) -> bool {
        let worn = self.messages >= MESSAGES_PER_EPOCH
            || self.controls >= CONTROLS_PER_EPOCH
            || (self.messages + self.controls > 0 && now.since(self.since) >= EPOCH_TIME);
        if worn {
            self.advance(now);
        }
        worn
    }

    fn advance(&mut self, now: Time) {
        self.session.advance();
        (self.messages, self.controls, self.since) = (0, 0, now);
        self.labels.clear();
    }

    /// Keys for a message in the current epoch; the next epoch, if its label is taken in this one.
    pub fn keys(&mut self, message: MessageId, now: Time) -> MessageKeys {
        if self.labels.contains(&self.session.epoch().label(message)) {
            self.advance(now);
        }
        self.messages += 1;
        self.name(message)
    }

    /// Keys for a control record, or nothing if its label is taken: then it needs another salt.
    pub fn control_keys(&mut self, message: MessageId) -> Option<MessageKeys> {
        if self.labels.contains(&self.session.epoch().label(message)) {
            return None;
        }
        self.controls += 1;
        Some(self.name(message))
    }

    fn name(&mut self, message: MessageId) -> MessageKeys {
        let epoch = self.session.epoch();
        let label = epoch.label(message);
        self.labels.insert(label);
        epoch.message(label)
    }
}

impl Receiving {
    fn new(session: RecvSession, preamble: Vec<u8>, used: u64) -> Self {
        Self {
            session,
            epochs: BTreeMap::new(),
            preamble,
            ack_due: false,
            durable: false,
            used,
        }
    }

    fn record(&self) -> Record {
        let key = [b"r", &self.session.id()[..]].concat();
        Record::Put {
            table: Table::Session,
            key,
            value: self.session.store(),
        }
    }

    fn epoch(&mut self, bits: u8) -> Option<&Epoch> {
        if !self.epochs.contains_key(&bits) {
            let epoch = self.session.epoch(bits)?;
            self.epochs.insert(bits, epoch);
        }
        self.epochs.get(&bits)
    }
}

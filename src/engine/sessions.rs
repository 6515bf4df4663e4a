//! The sessions of one engine: those it opened with others, and those that others opened with it.

mod later;

use super::id::{MessageId, PersonId};
use super::io::{Record, Table, Time};
use super::limits::Limits;
use crate::security::card::Card;
use crate::security::identity::Identity;
use crate::security::seal::MessageKeys;
use crate::security::session::{Epoch, RecvSession, SendSession, SessionError, SessionId};
use crate::wire::fragment::{Label, View};
use crate::wire::generation;
use crate::wire::read::{Malformed, Reader};
use bytes::Bytes;
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

/// How often the age of an epoch is written down.
const NOTE_TIME: Duration = Duration::from_secs(3600);

/// A session that we opened.
#[derive(Debug)]
pub struct Sending {
    /// Its keys.
    pub session: SendSession,
    /// The recipient has shown that it knows the session.
    pub confirmed: bool,
    /// Since when its recipient has shown to be here and not to know generations, without confirming it.
    unheard: Option<Time>,
    messages: u32,
    controls: u32,
    since: Time,
    /// Seconds that the epoch was old at `since`.
    age_s: u32,
    /// Likewise of the generation.
    began: Time,
    generation_age_s: u32,
    /// When that age was last written down.
    noted: Time,
    labels: BTreeSet<Label>,
    /// The frame that announces it, and its epoch.
    preamble: Option<(u32, Bytes)>,
}

/// A session that somebody opened with us.
#[derive(Debug)]
pub struct Receiving {
    /// Its keys.
    pub session: RecvSession,
    epochs: BTreeMap<u8, Vec<Epoch>>,
    preamble: Vec<u8>,
    /// Its opener has to be told that we know it.
    ack_due: bool,
    durable: bool,
    used: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Sessions {
    sending: BTreeMap<PersonId, Sending>,
    receiving: Vec<Receiving>,
    uses: u64,
    /// Whether any of them may have an opener to be told; asked for with every frame.
    acks: bool,
}

/// What became of a preamble.
#[derive(Debug, PartialEq, Eq)]
pub enum Announced {
    /// A new session with this person.
    New(PersonId),
    /// A new generation of one that we know.
    Next,
    /// One that we know.
    Known,
}

impl Sessions {
    /// From stored rows.
    pub fn restore(&mut self, key: &[u8], value: &[u8], now: Time) -> Result<(), Malformed> {
        match key.split_first() {
            Some((b's', person)) => {
                let person = person
                    .try_into()
                    .map_err(|_| Malformed::Value("session key"))?;
                let sending = Sending::restore(value, now)?;
                self.sending.insert(PersonId(person), sending);
            }
            Some((b'r', _)) => {
                let session = RecvSession::restore(value)?;
                self.receiving.push(Receiving::new(session, Vec::new(), 0));
            }
            _ => return Err(Malformed::Value("session row")),
        }
        Ok(())
    }

    /// The session with a person, opened if there is none, or anew if its epochs are used up or the card has a newer
    /// prekey; the record to write if it is new.
    pub fn sending(
        &mut self,
        me: &Identity,
        card: &Card,
        rng: &mut ChaCha20Rng,
        now: Time,
    ) -> Result<(&mut Sending, Option<Record>), SessionError> {
        let person = card.person();
        if self.sending.get(&person).is_some_and(|s| s.is_over(card)) {
            self.sending.remove(&person);
        }
        match self.sending.entry(person) {
            Entry::Occupied(known) => Ok((known.into_mut(), None)),
            Entry::Vacant(place) => {
                let sending = Sending::new(SendSession::open(me, card, rng)?, now);
                let record = sending.record(person, now);
                Ok((place.insert(sending), Some(record)))
            }
        }
    }

    /// Whether there is a session with a person that a card makes out of date.
    pub fn is_outdated(&self, card: &Card) -> bool {
        let sending = self.sending.get(&card.person());
        sending.is_some_and(|s| s.is_over(card))
    }

    /// The session with a person, if there is one.
    pub fn existing(&mut self, person: PersonId) -> Option<&mut Sending> {
        self.sending.get_mut(&person)
    }

    /// The recipient knows a session, if it is the present one in its present generation. Gives the record to write if
    /// that is news.
    pub fn confirm(
        &mut self,
        person: PersonId,
        is_present: impl Fn(&SendSession) -> bool,
        now: Time,
    ) -> Option<Record> {
        let sending = self.sending.get_mut(&person)?;
        if sending.confirmed || !is_present(&sending.session) {
            return None;
        }
        (sending.confirmed, sending.unheard) = (true, None);
        Some(sending.record(person, now))
    }

    /// The rows of all sessions that we opened.
    pub fn records(&self, now: Time) -> Vec<Record> {
        let rows = self.sending.iter();
        rows.map(|(person, sending)| sending.record(*person, now))
            .collect()
    }

    /// Forgets all sessions that we opened. Gives with whom they were.
    pub fn abandon(&mut self) -> Vec<PersonId> {
        let sessions = std::mem::take(&mut self.sending);
        sessions.into_keys().collect()
    }

    /// The recipient seems to have lost the session: it is announced again. Tells whether it was confirmed.
    pub fn doubt(&mut self, person: PersonId) -> bool {
        let sending = self.sending.get_mut(&person);
        sending.is_some_and(|sending| std::mem::take(&mut sending.confirmed))
    }

    /// Whose preamble this is, if it was examined before, byte for byte.
    pub fn known_preamble(&mut self, frame: &[u8]) -> Option<PersonId> {
        let known = self.receiving.iter_mut().find(|r| r.preamble == frame)?;
        known.ack_due = known.durable;
        self.acks = true;
        Some(known.session.peer())
    }

    /// Who has opened a session.
    pub fn peer(&self, id: SessionId) -> Option<PersonId> {
        let mut all = self.receiving.iter();
        let session = all.find(|r| r.session.id() == id)?;
        Some(session.session.peer())
    }

    /// A session is durable: its opener may be told that we know it.
    pub fn known(&mut self, id: SessionId) {
        if let Some(receiving) = self.receiving.iter_mut().find(|r| r.session.id() == id) {
            (receiving.durable, receiving.ack_due) = (true, true);
            self.acks = true;
        }
    }

    /// Takes in a session that a preamble has announced. Gives the rows to write.
    pub fn announce(
        &mut self,
        session: RecvSession,
        frame: &[u8],
        limits: &Limits,
    ) -> (Announced, SessionId, Vec<Record>) {
        self.uses += 1;
        if let Some(known) = self
            .receiving
            .iter_mut()
            .find(|r| r.session.id() == session.id())
        {
            let id = session.id();
            let announced = match known.session.follow(session) {
                true => Announced::Next,
                false => Announced::Known,
            };
            known.epochs.clear();
            known.preamble = frame.to_vec();
            return (announced, id, vec![known.record()]);
        }
        let mut records: Vec<Record> = self.make_room(&session, limits).into_iter().collect();
        let peer = session.peer();
        let id = session.id();
        let receiving = Receiving::new(session, frame.to_vec(), self.uses);
        records.push(receiving.record());
        self.receiving.push(receiving);
        (Announced::New(peer), id, records)
    }

    /// The session of the same endpoint that was not used for longest gives way, or that of all. Gives the row to
    /// delete.
    fn make_room(&mut self, new: &RecvSession, limits: &Limits) -> Option<Record> {
        let same = |r: &&Receiving| r.session.endpoint() == new.endpoint();
        let own = self.receiving.iter().filter(same).count() >= limits.sessions_per_endpoint;
        if !own && self.receiving.len() < limits.sessions {
            return None;
        }
        let oldest = self
            .receiving
            .iter()
            .enumerate()
            .filter(|(_, r)| !own || same(r))
            .min_by_key(|(_, r)| r.used);
        let gone = self.receiving.swap_remove(oldest?.0);
        Some(Record::Delete {
            table: Table::Session,
            key: gone.key(),
        })
    }

    /// Ends the sessions of endpoints that their owner's newest card does not name. Gives the rows to delete.
    pub fn revoke(&mut self, card: &Card) -> Vec<Record> {
        let endpoints = &card.body().endpoints;
        let revoked = |r: &Receiving| {
            let named = endpoints.iter().any(|e| e.key == r.session.endpoint());
            r.session.peer() == card.person() && !named && cfg!(not(feature = "break-26"))
        };
        let gone = self.receiving.extract_if(.., |r| revoked(r));
        let delete = |gone: Receiving| Record::Delete {
            table: Table::Session,
            key: gone.key(),
        };
        gone.map(delete).collect()
    }

    /// How many others have opened.
    pub fn receiving(&self) -> usize {
        self.receiving.len()
    }

    /// Finds whose fragment this is and the keys of its message, by the hint; nothing has verified yet.
    pub fn candidates(&mut self, view: &View<'_>) -> Vec<(SessionId, Epoch, MessageKeys)> {
        let mut found = Vec::new();
        for receiving in &mut self.receiving {
            let id = receiving.session.id();
            for epoch in receiving.epochs(view.epoch_bits) {
                if epoch.hint(view.label) == view.hint {
                    found.push((id, epoch.clone(), epoch.message(view.label)));
                }
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

    /// Whether there may be openers of sessions to be told so.
    pub fn owes_acks(&self) -> bool {
        self.acks
    }

    /// The next session whose opener has to be told that we know it and can be reached, as one who is told now: who it is,
    /// and what to say.
    pub fn take_ack(&mut self, able: impl Fn(PersonId) -> bool) -> Option<(PersonId, Vec<u8>)> {
        if !self.acks {
            return None;
        }
        self.acks = self.receiving.iter().any(|r| r.ack_due);
        let mut due = self.receiving.iter_mut().filter(|r| r.ack_due);
        let due = due.find(|r| able(r.session.peer()))?;
        due.ack_due = false;
        let note = generation::session_ack(due.session.id(), due.session.generation());
        Some((due.session.peer(), note))
    }
}

impl Sending {
    fn new(session: SendSession, now: Time) -> Self {
        Self {
            session,
            confirmed: false,
            unheard: None,
            messages: 0,
            controls: 0,
            since: now,
            age_s: 0,
            began: now,
            generation_age_s: 0,
            noted: now,
            labels: BTreeSet::new(),
            preamble: None,
        }
    }

    fn age(&self, now: Time) -> Duration {
        now.since(self.since) + Duration::from_secs(self.age_s.into())
    }

    fn generation_age(&self, now: Time) -> Duration {
        now.since(self.began) + Duration::from_secs(self.generation_age_s.into())
    }

    /// The row of this session.
    pub fn record(&self, person: PersonId, now: Time) -> Record {
        let mut value = vec![u8::from(self.confirmed)];
        value.extend_from_slice(&self.messages.to_be_bytes());
        value.extend_from_slice(&self.controls.to_be_bytes());
        for age in [self.generation_age(now), self.age(now)] {
            let seconds = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
            value.extend_from_slice(&seconds.to_be_bytes());
        }
        value.extend_from_slice(&self.session.store());
        Record::Put {
            table: Table::Session,
            key: [b"s", &person.0[..]].concat(),
            value,
        }
    }

    /// Reads what [`Sending::record`] wrote. Its epoch goes on ageing where it was. An answer that was written down, and
    /// whose generation has not begun, has it begin.
    fn restore(value: &[u8], now: Time) -> Result<Self, Malformed> {
        let mut r = Reader::new(value);
        let (confirmed, messages, controls) = (r.u8()? == 1, r.u32()?, r.u32()?);
        let (generation_age_s, age_s) = (r.u32()?, r.u32()?);
        let session = SendSession::restore(r.rest())?;
        let mut sending = Self {
            confirmed,
            messages,
            controls,
            generation_age_s,
            age_s,
            ..Self::new(session, now)
        };
        sending.go_on(now);
        Ok(sending)
    }

    /// The frame that announces it. It is the same for a whole epoch.
    pub fn preamble(&mut self, me: &Identity) -> Bytes {
        let epoch = self.session.epoch_number();
        if let Some((known, frame)) = &self.preamble
            && *known == epoch
        {
            return frame.clone();
        }
        let frame = Bytes::from(self.session.preamble(me));
        self.preamble = Some((epoch, frame.clone()));
        frame
    }

    /// The session and the epoch that messages are sealed in at present.
    pub fn place(&self) -> (SessionId, u32) {
        (self.session.id(), self.session.epoch_number())
    }

    fn is_over(&self, card: &Card) -> bool {
        let newest = card.body().prekeys.last().map(|prekey| prekey.id);
        self.session.is_exhausted() || newest > Some(self.session.prekey())
    }

    /// Goes on to the next epoch if this one is worn out. Tells whether it did.
    pub fn turn(&mut self, now: Time) -> bool {
        let worn = self.messages >= MESSAGES_PER_EPOCH
            || self.controls >= CONTROLS_PER_EPOCH
            || (self.messages + self.controls > 0 && self.age(now) >= EPOCH_TIME);
        if worn {
            self.advance(now);
        }
        worn
    }

    /// Whether its row is due again, so that a crash does not make the epoch much younger than it is.
    pub fn is_note_due(&mut self, now: Time) -> bool {
        let due = now.since(self.noted) >= NOTE_TIME;
        if due {
            self.noted = now;
        }
        due
    }

    fn advance(&mut self, now: Time) {
        self.session.advance();
        self.begin_epoch(now);
    }

    fn begin_epoch(&mut self, now: Time) {
        (self.messages, self.controls) = (0, 0);
        (self.since, self.age_s) = (now, 0);
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

    fn key(&self) -> Vec<u8> {
        [b"r", &self.session.id()[..]].concat()
    }

    fn record(&self) -> Record {
        Record::Put {
            table: Table::Session,
            key: self.key(),
            value: self.session.store(),
        }
    }

    fn epochs(&mut self, bits: u8) -> &[Epoch] {
        let session = &self.session;
        self.epochs
            .entry(bits)
            .or_insert_with(|| session.epochs(bits))
    }
}

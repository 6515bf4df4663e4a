//! The sessions of one engine: those it opened with others, and those that others opened with it.

mod later;

use super::ends::End;
use super::id::{MessageId, PersonId};
use super::io::{Record, Table, Time};
use super::limits::Limits;
use crate::security::card::Card;
use crate::security::identity::Identity;
use crate::security::invitation::Ticket;
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

/// The most endpoints that a card names.
const MAX_ENDPOINTS: usize = 16;
/// What the first byte of a row is that names the endpoints which know the session, and by how much more the more of them.
const NAMED: u8 = 2;

/// How often the age of an epoch is written down.
const NOTE_TIME: Duration = Duration::from_secs(3600);

/// A session that we opened.
#[derive(Debug)]
pub struct Sending {
    /// Its keys.
    pub session: SendSession,
    /// The endpoints of the recipient that have shown to know the session.
    confirmed: BTreeSet<[u8; 32]>,
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
    /// Invitations of others that the next session with each is opened by.
    tickets: BTreeMap<PersonId, Ticket>,
    uses: u64,
    /// Whether any of them may have an opener to be told; asked for with every frame.
    acks: bool,
}

/// What became of a preamble.
#[derive(Debug, PartialEq, Eq)]
pub enum Announced {
    /// A new session of this endpoint.
    New(End),
    /// A new generation of one that we know.
    Next,
    /// One that we know.
    Known,
}

/// Whether a stored row is of a session that somebody has opened with us.
pub fn opened_by_others((table, key, _): &(Table, Vec<u8>, Vec<u8>)) -> bool {
    *table == Table::Session && key.first() == Some(&b'r')
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
                let ticket = self.tickets.get(&person);
                let sending = Sending::new(SendSession::open_by(me, card, ticket, rng)?, now);
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

    /// The session that we opened with a person is used no more. Tells whether there was one.
    pub fn close(&mut self, person: PersonId) -> bool {
        self.sending.remove(&person).is_some()
    }

    /// The session with a person, if there is one.
    pub fn existing(&mut self, person: PersonId) -> Option<&mut Sending> {
        self.sending.get_mut(&person)
    }

    /// The same, to look at.
    pub fn find(&self, person: PersonId) -> Option<&Sending> {
        self.sending.get(&person)
    }

    /// The next session with a person is opened by an invitation. One that was opened otherwise gives way. Tells whether
    /// the invitation has done its work already.
    pub fn set_ticket(&mut self, person: PersonId, ticket: Ticket) -> bool {
        let opened = self.sending.get(&person);
        let by_it = opened.filter(|s| s.session.invitation() == Some(ticket.id));
        match by_it {
            Some(sending) if !sending.confirmed.is_empty() => return true,
            Some(_) => {}
            None => {
                self.sending.remove(&person);
            }
        }
        self.tickets.insert(person, ticket);
        false
    }

    /// Who has invited us knows us by now: further sessions need no invitation. Tells whether that is news.
    pub fn drop_ticket(&mut self, person: PersonId) -> bool {
        self.tickets.remove(&person).is_some()
    }

    /// An endpoint of the recipient knows a session in this generation, which counts if both are the present ones. Gives the
    /// record to write if that is news.
    pub fn confirm(
        &mut self,
        by: End,
        (id, generation): (SessionId, u32),
        now: Time,
    ) -> Option<Record> {
        let sending = self.sending.get_mut(&by.person)?;
        let full = sending.confirmed.len() >= MAX_ENDPOINTS;
        let ours = &sending.session;
        let is_present = ours.id() == id && ours.generation() == generation;
        if full || !is_present || !sending.confirmed.insert(by.key?) {
            return None;
        }
        sending.unheard = None;
        Some(sending.record(by.person, now))
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

    /// An endpoint of the recipient seems to have lost the session: it is announced again. Gives the row to write if it was
    /// confirmed.
    pub fn doubt(&mut self, end: End, now: Time) -> Option<Record> {
        let sending = self.sending.get_mut(&end.person)?;
        let was_confirmed = match end.key {
            Some(key) => sending.confirmed.remove(&key),
            None => !std::mem::take(&mut sending.confirmed).is_empty(),
        };
        was_confirmed.then(|| sending.record(end.person, now))
    }

    /// Whose preamble this is, if it was examined before, byte for byte.
    pub fn known_preamble(&mut self, frame: &[u8]) -> Option<PersonId> {
        let known = self.receiving.iter_mut().find(|r| r.preamble == frame)?;
        known.ack_due = known.durable;
        self.acks = true;
        Some(known.session.peer())
    }

    /// Who has opened a session.
    pub fn opener(&self, id: SessionId) -> Option<End> {
        let mut all = self.receiving.iter();
        Some(all.find(|r| r.session.id() == id)?.opener())
    }

    /// Whether an endpoint has ever opened a session with us that we know.
    pub fn has_opened(&self, end: End) -> bool {
        self.receiving.iter().any(|r| r.opener().matches(end))
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
            return (announced, id, vec![known.announced(frame)]);
        }
        let mut records: Vec<Record> = self.make_room(&session, limits).into_iter().collect();
        let id = session.id();
        let receiving = Receiving::new(session, frame.to_vec(), self.uses);
        let opener = receiving.opener();
        records.push(receiving.record());
        self.receiving.push(receiving);
        (Announced::New(opener), id, records)
    }

    /// A session that is known is announced once more. Gives the row to write.
    pub fn announced_again(&mut self, id: SessionId, epoch: u32, frame: &[u8]) -> Option<Record> {
        let mut all = self.receiving.iter_mut();
        let known = all.find(|r| r.session.id() == id)?;
        known.session.jump(epoch);
        Some(known.announced(frame))
    }

    /// Who has opened sessions, each once.
    pub fn peers(&self) -> BTreeSet<PersonId> {
        self.receiving.iter().map(|r| r.session.peer()).collect()
    }

    /// Ends the session of a person that was not used for longest. Gives the row to delete.
    pub fn drop_oldest(&mut self, person: PersonId) -> Option<Record> {
        let all = self.receiving.iter().enumerate();
        let own = all.filter(|(_, r)| r.session.peer() == person);
        let (oldest, _) = own.min_by_key(|(_, r)| r.used)?;
        Some(self.receiving.swap_remove(oldest).delete())
    }

    /// Ends all sessions with a person. Gives the rows to delete.
    pub fn drop_all(&mut self, person: PersonId) -> Vec<Record> {
        let own = |r: &mut Receiving| r.session.peer() == person;
        let gone = self.receiving.extract_if(.., own);
        let mut rows: Vec<Record> = gone.map(|r| r.delete()).collect();
        if self.sending.remove(&person).is_some() {
            rows.push(Record::Delete {
                table: Table::Session,
                key: sending_key(person),
            });
        }
        rows
    }

    /// The static keys of the endpoints by which a person has opened sessions.
    pub fn endpoints(&self, person: PersonId) -> impl Iterator<Item = [u8; 32]> + '_ {
        let own = self.receiving.iter();
        let own = own.filter(move |r| r.session.peer() == person);
        own.map(|r| r.session.endpoint())
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
        Some(self.receiving.swap_remove(oldest?.0).delete())
    }

    /// Ends the sessions of endpoints that their owner's newest card does not name. Gives the rows to delete.
    pub fn revoke(&mut self, card: &Card) -> Vec<Record> {
        let revoked = |r: &Receiving| {
            let named = card.names(&r.session.endpoint());
            r.session.peer() == card.person() && !named && cfg!(not(feature = "break-26"))
        };
        let gone = self.receiving.extract_if(.., |r| revoked(r));
        gone.map(|gone| gone.delete()).collect()
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
    pub fn verified(&mut self, id: SessionId, epoch: &Epoch) -> Option<(End, Option<Record>)> {
        self.uses += 1;
        let uses = self.uses;
        let receiving = self.receiving.iter_mut().find(|r| r.session.id() == id)?;
        receiving.used = uses;
        let moved = receiving.session.verified(epoch);
        if moved {
            receiving.epochs.clear();
        }
        Some((receiving.opener(), moved.then(|| receiving.record())))
    }

    /// Whether there may be openers of sessions to be told so.
    pub fn owes_acks(&self) -> bool {
        self.acks
    }

    /// The next session whose opener has to be told that we know it and can be reached, as one who is told now: who it is,
    /// and what to say.
    pub fn take_ack(&mut self, able: impl Fn(End) -> bool) -> Option<(End, Vec<u8>)> {
        if !self.acks {
            return None;
        }
        self.acks = self.receiving.iter().any(|r| r.ack_due);
        let mut due = self.receiving.iter_mut().filter(|r| r.ack_due);
        let due = due.find(|r| able(r.opener()))?;
        due.ack_due = false;
        let note = generation::session_ack(due.session.id(), due.session.generation());
        Some((due.opener(), note))
    }
}

impl Sending {
    fn new(session: SendSession, now: Time) -> Self {
        Self {
            session,
            confirmed: BTreeSet::new(),
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
        let mut value = vec![NAMED + self.confirmed.len() as u8];
        value.extend(self.confirmed.iter().flatten());
        value.extend_from_slice(&self.messages.to_be_bytes());
        value.extend_from_slice(&self.controls.to_be_bytes());
        for age in [self.generation_age(now), self.age(now)] {
            let seconds = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
            value.extend_from_slice(&seconds.to_be_bytes());
        }
        value.extend_from_slice(&self.session.store());
        Record::Put {
            table: Table::Session,
            key: sending_key(person),
            value,
        }
    }

    /// Reads what [`Sending::record`] wrote. Its epoch goes on ageing where it was. An answer that was written down, and
    /// whose generation has not begun, has it begin.
    fn restore(value: &[u8], now: Time) -> Result<Self, Malformed> {
        let mut r = Reader::new(value);
        // A row from before persons had several endpoints does not say which one knows the session.
        let known = r.u8()?.saturating_sub(NAMED);
        let confirmed = (0..known).map(|_| r.array()).collect::<Result<_, _>>()?;
        let (messages, controls) = (r.u32()?, r.u32()?);
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

    /// Whether an endpoint has shown to know it.
    pub fn is_known_to(&self, end: End) -> bool {
        end.key.is_some_and(|key| self.confirmed.contains(&key))
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
        // A further endpoint of the recipient knows nothing of the exchanges of another.
        let alone = self.session.generation() == 0 || card.takes_generations();
        self.session.is_exhausted() || newest > Some(self.session.prekey()) || !alone
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

fn sending_key(person: PersonId) -> Vec<u8> {
    [b"s", &person.0[..]].concat()
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

    fn opener(&self) -> End {
        End::new(self.session.peer(), self.session.endpoint())
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

    /// It is where this preamble says. Gives the row to write.
    fn announced(&mut self, preamble: &[u8]) -> Record {
        self.epochs.clear();
        self.preamble = preamble.to_vec();
        self.record()
    }

    fn delete(&self) -> Record {
        Record::Delete {
            table: Table::Session,
            key: self.key(),
        }
    }

    fn epochs(&mut self, bits: u8) -> &[Epoch] {
        let session = &self.session;
        self.epochs
            .entry(bits)
            .or_insert_with(|| session.epochs(bits))
    }
}

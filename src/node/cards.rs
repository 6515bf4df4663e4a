//! Contact cards: those of others, and one's own.

use super::api::{PersonEntry, Response};
use super::error::NodeError;
use super::hidden::Outcome;
use super::home::HomeError;
use super::introductions::IntroductionBook;
use super::kept::Kept;
use super::linkbook::MAX_RELAYS;
use super::marks::Marks;
use super::standings::{Standings, Stored};
use super::strangers::StrangerBook;
use super::tickets::Tickets;
use super::voices::Voices;
use crate::engine::ends::End;
use crate::engine::id::{PersonId, from_base32, to_base32};
use crate::engine::trust::Level;
use crate::security::card::{Body, Card, is_name};
use crate::security::enrolment::{Bundle, Known};
use crate::security::identity::{Identity, safety_number};
use crate::security::invitation::{Invitation, Ticket};
use crate::security::mailbox;
use crate::security::roster::Roster;
use crate::store::meta::Meta;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const PREFIX: &str = "card/";
const OWN: &str = "own-card";
/// Which devices of ours were added and removed.
const ROSTER: &str = "roster";
/// Which relays of it this endpoint has put there.
const OWN_RELAYS: &str = "own-relays";
const TOLD: &str = "told/";
/// The shortest beginning of a key that names somebody, in characters.
const SHORTEST: usize = 4;
/// How much of a key people are shown at least, in characters.
const SHOWN: usize = 12;
/// How the URI of a person begins.
const URI: &str = "ostrakon:person:";

/// Everybody whose card is known. Changes are durable before they are seen.
pub(super) struct Contacts {
    meta: Meta,
    me: PersonId,
    known: Mutex<BTreeMap<PersonId, Card>>,
    /// Our own card, which names all our endpoints.
    own: Mutex<Option<Card>>,
    /// Which of them were added and removed.
    roster: Kept<Roster>,
    /// How we stand to each, and to others.
    pub(super) standings: Standings,
    /// Who may become one.
    pub(super) introductions: IntroductionBook,
    /// Who has written and is none.
    pub(super) strangers: StrangerBook,
    /// Whose invitations are to be used, and who may not know us yet.
    pub(super) tickets: Tickets,
    /// Whether links of unknown endpoints are let in.
    pub(super) door: Door,
    /// Which messages were seen or read.
    pub(super) marks: Marks,
    /// With whom numbers are compared aloud.
    pub(super) voices: Voices,
}

/// Whether unknown endpoints may connect.
#[derive(Debug, Default)]
pub(super) struct Door(AtomicBool);

impl Door {
    /// As the engine says.
    pub(super) fn set(&self, open: bool) {
        self.0.store(open, Ordering::Relaxed);
    }

    /// For who listens.
    pub(super) fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Contacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contacts")
    }
}

impl Contacts {
    /// Reads the stored cards; one that does not read any more is left out and logged.
    pub(super) fn load(meta: Meta, me: PersonId) -> Result<Self, NodeError> {
        let mut known = BTreeMap::new();
        for (key, bytes) in meta.list(PREFIX)? {
            match Card::decode(&bytes) {
                Ok(card) => {
                    known.insert(card.person(), card);
                }
                Err(error) => tracing::warn!(%key, %error, "a stored contact card does not read"),
            }
        }
        Ok(Self {
            known: Mutex::new(known),
            own: Mutex::new(last_own(&meta)?),
            roster: Kept::load(meta.clone(), ROSTER, Roster::decode, Roster::encode)?,
            standings: Standings::load(meta.clone())?,
            introductions: IntroductionBook::load(meta.clone(), me)?,
            strangers: StrangerBook::load(meta.clone(), me)?,
            tickets: Tickets::load(meta.clone())?,
            door: Door::default(),
            marks: Marks::load(meta.clone())?,
            voices: Voices::new(meta.clone(), me),
            meta,
            me,
        })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<PersonId, Card>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own_card(&self) -> MutexGuard<'_, Option<Card>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a card in from its text form, or an invitation, of which the rest is kept until it was used. Blocks on the disk;
    /// callers take turns.
    pub(super) fn add(&self, text: &str) -> Result<(Card, Option<Ticket>), NodeError> {
        let (card, ticket) = match Invitation::is_in(text) {
            true => {
                let Invitation { card, ticket } = Invitation::from_text(text)?;
                (card, Some(ticket))
            }
            false => (Card::from_text(text)?, None),
        };
        let person = card.person();
        if person == self.me {
            return Err(NodeError::Usage(
                "this is your own contact card; give it to others and import theirs".into(),
            ));
        }
        let old = self.get(person);
        // An invitation may be older than what has come since; its secret is as good.
        let stale = |old: &Card| ticket.is_some() && old.body().sequence > card.body().sequence;
        let card = match old.clone().filter(stale) {
            Some(newer) => newer,
            None => card,
        };
        if let Some(old) = &old {
            card.replaces(old)?;
        }
        match &ticket {
            Some(ticket) => self.tickets.put(person, ticket)?,
            None if old.is_none() => self.tickets.expect(person)?,
            None => {}
        }
        self.keep(&card)?;
        // Whoever gives us a card has ours, or gets it the same way, or with the first message to him. Whoever gives us an
        // invitation has not.
        let told = ticket.is_none() && self.told(person).is_none();
        if let Some(own) = last_own(&self.meta)?.filter(|_| told) {
            self.note_told(person, own.body().sequence)?;
        }
        Ok((card, ticket))
    }

    /// Takes in the card that somebody has sent of himself, if it is newer. Blocks on the disk. Another name has to come by
    /// hand: nobody changes silently into somebody else.
    pub(super) fn update(
        &self,
        from: PersonId,
        bytes: &[u8],
        invited: bool,
    ) -> Result<Outcome, NodeError> {
        let card = Card::decode(bytes)?;
        if card.person() != from {
            return Err(NodeError::Usage(
                "a contact sent the card of somebody else; it is not taken".into(),
            ));
        }
        let Some(old) = self.get(from) else {
            return self.strangers.take(card, invited, self);
        };
        if card.body().name != old.body().name {
            return Err(NodeError::Usage(format!(
                "{} wants another name; it is taken with the card that `ostrakon person add` is given",
                shown(&old.body().name)
            )));
        }
        card.replaces(&old)?;
        self.keep(&card)?;
        Ok(Outcome::Card(Box::new(card)))
    }

    /// Takes in a card of ours that another endpoint has made, if it is newer. Blocks on the disk. Gives the card if it was
    /// taken.
    pub(super) fn update_own(&self, bytes: &[u8]) -> Result<Option<Card>, NodeError> {
        let card = Card::decode(bytes)?;
        if card.person() != self.me {
            return Err(NodeError::Usage(
                "an endpoint of ours sent the card of somebody else; it is not taken".into(),
            ));
        }
        let old = self.own();
        if let Some(old) = &old {
            card.replaces(old)?;
            if old.bytes() == card.bytes() {
                return Ok(None);
            }
        }
        self.meta.put(OWN, card.bytes())?;
        let sequence = card.body().sequence;
        if old.is_some_and(|old| old.body().sequence == sequence) {
            self.forget_told(sequence)?;
        }
        self.set_own(&card);
        Ok(Some(card))
    }

    /// Takes in what another endpoint of ours says of our devices. Blocks on the disk. Tells whether it is news.
    pub(super) fn update_roster(&self, bytes: &[u8]) -> Result<bool, NodeError> {
        let said = Roster::decode(bytes)
            .map_err(|why| NodeError::Usage(format!("what another device says of ours: {why}")))?;
        let news = self.roster().merge(&said);
        if news {
            self.change_roster(|roster| {
                roster.merge(&said);
            })?;
        }
        Ok(news)
    }

    /// A device of ours is added or removed. Blocks on the disk.
    pub(super) fn change_roster(&self, change: impl FnOnce(&mut Roster)) -> Result<(), NodeError> {
        let under = self.own_number();
        self.roster.change(|roster| {
            *roster = std::mem::take(roster).under(under);
            change(roster);
            Ok(())
        })
    }

    /// Which of our devices were added and removed.
    pub(super) fn roster(&self) -> Roster {
        self.roster.get().clone().under(self.own_number())
    }

    /// The number of the delegation under which our card is signed.
    fn own_number(&self) -> u32 {
        self.own_card().as_ref().map_or(0, Card::number)
    }

    /// Our own card is this one now, and on the disk. Tells whether it is another one.
    pub(super) fn set_own(&self, card: &Card) -> bool {
        let mut own = self.own_card();
        let old = own.replace(card.clone());
        old.is_none_or(|old| old.bytes() != card.bytes())
    }

    /// Our own card, once there is one.
    pub(super) fn own(&self) -> Option<Card> {
        self.own_card().clone()
    }

    /// Whether this is us.
    pub(super) fn is_me(&self, person: PersonId) -> bool {
        person == self.me
    }

    /// Whether we have other endpoints.
    pub(super) fn has_siblings(&self) -> bool {
        let own = self.own_card();
        own.as_ref()
            .is_some_and(|card| card.body().endpoints.len() > 1)
    }

    /// What a new endpoint of ours is to know of others.
    pub(super) fn hand_over(&self) -> Vec<Known> {
        let standings: BTreeMap<PersonId, Stored> = self.standings.list().into_iter().collect();
        let known = self.known();
        let persons: BTreeSet<PersonId> = known.keys().chain(standings.keys()).copied().collect();
        let hand = |person: PersonId| Known {
            person,
            card: known.get(&person).cloned(),
            kept: standings.get(&person).map_or(Vec::new(), Stored::to_bytes),
        };
        persons.into_iter().map(hand).collect()
    }

    /// Takes over what another endpoint of ours has given. Blocks on the disk.
    pub(super) fn take_over(&self, bundle: &Bundle) -> Result<(), NodeError> {
        for known in &bundle.persons {
            if !known.kept.is_empty() {
                self.standings
                    .set(known.person, Stored::of_bytes(&known.kept))?;
            }
            if let Some(card) = &known.card {
                self.keep(card)?;
            }
        }
        self.meta.put(OWN, bundle.card.bytes())?;
        self.set_own(&bundle.card);
        Ok(())
    }

    fn keep(&self, card: &Card) -> Result<(), NodeError> {
        let key = format!("{PREFIX}{}", key(card));
        self.meta.put(&key, card.bytes())?;
        self.known().insert(card.person(), card.clone());
        Ok(())
    }

    /// Takes in somebody who wrote first, and has a card of ours. Blocks on the disk.
    pub(super) fn keep_as(
        &self,
        card: &Card,
        level: Level,
        alias: Option<String>,
    ) -> Result<Stored, NodeError> {
        let person = card.person();
        if alias.as_deref().is_some_and(|alias| !is_name(alias)) {
            return Err(HomeError::Name.into());
        }
        if self.is_called(alias.as_deref().unwrap_or(&card.body().name), person) {
            return Err(NodeError::Usage(
                "you know somebody else by this name already; choose another one: --as NAME".into(),
            ));
        }
        let stored = Stored {
            level,
            alias,
            ..self.standings.get(person)
        };
        // In this order: nobody is a contact of a level that was not given.
        self.standings.set(person, stored.clone())?;
        self.keep(card)?;
        if let Some(own) = last_own(&self.meta)? {
            self.note_told(person, own.body().sequence)?;
        }
        Ok(stored)
    }

    /// Whether a contact other than its owner is called as a card says.
    pub(super) fn is_taken(&self, card: &Card) -> bool {
        self.is_called(&card.body().name, card.person())
    }

    fn is_called(&self, name: &str, but: PersonId) -> bool {
        let low = name.trim().to_lowercase();
        let others = self.list().into_iter().filter(|card| card.person() != but);
        let mut names = others.map(|card| self.called(&card));
        names.any(|name| name.trim().to_lowercase() == low)
    }

    /// What a contact is called here.
    fn called(&self, card: &Card) -> String {
        let alias = self.standings.get(card.person()).alias;
        alias.unwrap_or_else(|| card.body().name.clone())
    }

    /// Takes in the card of somebody whom a contact has introduced. Blocks on the disk.
    pub(super) fn keep_introduced(
        &self,
        card: &Card,
        introducer: PersonId,
    ) -> Result<(), NodeError> {
        let stored = Stored {
            level: Level::Introduced,
            introducer: Some(introducer.to_string()),
            ..self.standings.get(card.person())
        };
        // In this order: nobody is a contact of a level that was not given.
        self.standings.set(card.person(), stored)?;
        self.keep(card)
    }

    fn told(&self, person: PersonId) -> Option<u64> {
        let bytes = self.meta.get(&told_key(person)).ok().flatten()?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    }

    /// Somebody has our card of this number, or will have. Blocks on the disk.
    pub(super) fn note_told(&self, person: PersonId, sequence: u64) -> Result<(), NodeError> {
        Ok(self.meta.put(&told_key(person), &sequence.to_be_bytes())?)
    }

    /// Another card of ours has this number now, so nobody has it yet as far as we know. Blocks on the disk.
    fn forget_told(&self, sequence: u64) -> Result<(), NodeError> {
        for (key, bytes) in self.meta.list(TOLD)? {
            if bytes == sequence.to_be_bytes() {
                let before = sequence.saturating_sub(1);
                self.meta.put(&key, &before.to_be_bytes())?;
            }
        }
        Ok(())
    }

    /// Who has no card of ours with this number, and is to have it. Reads the disk.
    pub(super) fn not_told(&self, sequence: u64) -> Vec<PersonId> {
        let mut persons: Vec<PersonId> = self.known().keys().copied().collect();
        persons.extend(self.has_siblings().then_some(self.me));
        let untold = |person: &PersonId| {
            self.told(*person) < Some(sequence) && !self.standings.get(*person).blocked
        };
        persons.into_iter().filter(untold).collect()
    }

    /// Somebody's card.
    pub(super) fn get(&self, person: PersonId) -> Option<Card> {
        match person == self.me {
            true => self.own_card().clone(),
            false => self.known().get(&person).cloned(),
        }
    }

    /// All cards, by name.
    pub(super) fn list(&self) -> Vec<Card> {
        let mut cards: Vec<Card> = self.known().values().cloned().collect();
        cards.sort_by(|a, b| a.body().name.cmp(&b.body().name));
        cards
    }

    /// The same, for who asks for them.
    pub(super) fn all(&self) -> Response {
        let persons = self.list().iter().map(|card| self.entry(card)).collect();
        let introductions = self.introductions.list(self);
        Response::Persons {
            persons,
            introductions,
        }
    }

    /// Whose endpoint proves itself with this link key, unless it is blocked.
    pub(super) fn by_link_key(&self, key: &[u8; 32]) -> Option<PersonId> {
        let end = self.end_by_link_key(key).map(|end| end.person);
        let person = end.or_else(|| self.strangers.by_link_key(key));
        person.filter(|person| !self.standings.get(*person).blocked)
    }

    /// The endpoint of a contact, or of ours, that proves itself so.
    pub(super) fn end_by_link_key(&self, key: &[u8; 32]) -> Option<End> {
        let own = self.own_card().clone();
        let known = self.known();
        let mut cards = known.values().chain(&own);
        let end = cards.find_map(|card| {
            let endpoint = card.endpoint_by_link(key)?;
            Some(End::new(card.person(), endpoint.key))
        });
        end.filter(|end| !self.standings.get(end.person).blocked)
    }

    /// The names of all who are blocked.
    pub(super) fn blocked(&self) -> Vec<String> {
        let all = self.standings.list().into_iter();
        let blocked = all.filter(|(_, stored)| stored.blocked);
        let mut names: Vec<String> = blocked.map(|(person, _)| self.name(person)).collect();
        names.sort();
        names
    }

    /// Which of these persons takes the smallest messages only, by name, and how large they may be, in bytes.
    pub(super) fn smallest_bound(&self, persons: &BTreeSet<PersonId>) -> Option<(String, u64)> {
        let cards = persons.iter().filter_map(|person| self.get(*person));
        let bounds = cards.filter_map(|card| Some((self.called(&card), card.body().largest?)));
        bounds.min_by_key(|(_, largest)| *largest)
    }

    /// The name that we know somebody by.
    pub(super) fn name(&self, person: PersonId) -> String {
        match self.get(person) {
            Some(card) => self.called(&card),
            None => person.short(),
        }
    }

    /// Finds somebody by the whole key, or else by name, in either case, or by the beginning of the key. The owner
    /// of a card chooses its name: so nobody comes before anybody else, and of several it takes none.
    pub(super) fn find(&self, text: &str) -> Result<Card, NodeError> {
        let low = text.trim().to_lowercase();
        let head = low.strip_prefix(URI).unwrap_or(&low);
        if let Ok(person) = format!("{URI}{head}").parse::<PersonId>() {
            return self.get(person).ok_or_else(|| unknown(text));
        }
        // No name begins like a URI.
        let named = |card: &Card| self.called(card).trim().to_lowercase() == low;
        let keyed = |card: &Card| head.len() >= SHORTEST && key(card).starts_with(head);
        let mut found = self.list();
        found.retain(|card| named(card) || keyed(card));
        match found.as_slice() {
            [] => Err(unknown(text)),
            [one] => Ok(one.clone()),
            several => Err(ambiguous(text, several)),
        }
    }

    /// As [`Contacts::find`]; where no contact is meant, our own name or key means our other endpoints.
    pub(super) fn find_or_us(&self, text: &str) -> Result<PersonId, NodeError> {
        let found = self.find(text).map(|card| card.person());
        let own = self.own().filter(|_| self.has_siblings());
        let low = text.trim().to_lowercase();
        let is_us = |card: &Card| {
            card.body().name.trim().to_lowercase() == low || card.person().to_string() == low
        };
        match own.filter(is_us) {
            Some(own) if matches!(found, Err(NodeError::NotFound(_))) => Ok(own.person()),
            _ => found,
        }
    }

    /// What people want to know of a card.
    pub(super) fn entry(&self, card: &Card) -> PersonEntry {
        let body = card.body();
        let stored = self.standings.get(card.person());
        let introducer: Option<PersonId> = stored.introducer.and_then(|uri| uri.parse().ok());
        PersonEntry {
            name: stored.alias.unwrap_or_else(|| body.name.clone()),
            person: card.person().to_string(),
            card_sequence: body.sequence,
            safety_number: safety_number(self.me, card.person()),
            relays: body.relays.clone(),
            level: stored.level,
            introduced_by: introducer.map(|person| self.name(person)),
            blocked: stored.blocked,
            largest: body.largest,
        }
    }
}

fn told_key(person: PersonId) -> String {
    format!("{TOLD}{}", to_base32(&person.0))
}

fn key(card: &Card) -> String {
    to_base32(&card.person().0)
}

/// Whether a card is meant by its name, or by the beginning of its key.
pub(super) fn answers_to(card: &Card, text: &str) -> bool {
    let low = text.trim().to_lowercase();
    let keyed = id_head(&low).is_some_and(|head| key(card).starts_with(&head));
    keyed || card.body().name.trim().to_lowercase() == low
}

pub(super) fn shown(text: &str) -> String {
    let visible = text.trim().chars().filter(|c| !c.is_control());
    visible.take(80).collect()
}

fn unknown(text: &str) -> NodeError {
    NodeError::NotFound(format!(
        "nobody is known as `{}`; see `ostrakon person list`, or import the contact card with `ostrakon person add`",
        shown(text)
    ))
}

/// Names each by as much of its URI as tells it from the others: what no name can look like.
fn ambiguous(text: &str, several: &[Card]) -> NodeError {
    let keys: Vec<String> = several.iter().map(key).collect();
    let apart = |len: &usize| {
        let heads: BTreeSet<Option<&str>> = keys.iter().map(|key| key.get(..*len)).collect();
        heads.len() == keys.len()
    };
    let len = (SHOWN..52).find(apart).unwrap_or(52);
    let each = several.iter().zip(&keys).map(|(card, key)| {
        let head = key.get(..len).unwrap_or(key);
        format!("{} is {URI}{head}", shown(&card.body().name))
    });
    NodeError::Usage(format!(
        "`{}` means several persons; say which: {}",
        shown(text),
        each.collect::<Vec<_>>().join(", ")
    ))
}

/// One's own card as it has to be now: a new number if the name, the relays, the prekeys or what this program can do changed.
/// Other endpoints make cards as well: what they have put in stays, and an endpoint that the last card does not name makes
/// none. Blocks on the disk; callers take turns.
pub(super) fn own(
    meta: &Meta,
    identity: &Identity,
    name: &str,
    relays: &[String],
) -> Result<Card, NodeError> {
    let Some(last) = last_own(meta)? else {
        return keep_own(meta, &identity.card(name, 1, relays.to_vec()), relays);
    };
    let body = last.body();
    let us = identity.described();
    let endpoints = match identity.renews(&last) {
        true => vec![us],
        false if !body.endpoints.contains(&us) => return Ok(last),
        false => roster(meta)?.devices(&last),
    };
    let alone = endpoints.len() == 1;
    let (name, all) = match alone {
        true => (name, relays.to_vec()),
        false => (
            &*body.name,
            joined(&body.relays, &own_relays(meta)?, relays),
        ),
    };
    let card = identity.card_after(&last, name, all, endpoints, body.largest);
    let same = Body {
        sequence: body.sequence,
        ..card.body().clone()
    };
    if same == *body {
        return Ok(last);
    }
    keep_own(meta, &card, relays)
}

/// Which of our devices were added and removed. What does not read is told of where it is loaded.
fn roster(meta: &Meta) -> Result<Roster, NodeError> {
    let stored = meta.get(ROSTER)?.map(|bytes| Roster::decode(&bytes));
    Ok(stored.and_then(Result::ok).unwrap_or_default())
}

/// Writes down the card that we have made, and which relays in it are ours.
pub(super) fn keep_own(meta: &Meta, card: &Card, relays: &[String]) -> Result<Card, NodeError> {
    // Reads back, or nobody else could read it either.
    let card = Card::decode(card.bytes())?;
    // Strings always have a JSON form.
    meta.put(OWN_RELAYS, &serde_json::to_vec(relays).unwrap_or_default())?;
    meta.put(OWN, card.bytes())?;
    Ok(card)
}

/// The relays that this endpoint has put into the card.
fn own_relays(meta: &Meta) -> Result<Vec<String>, NodeError> {
    let stored = meta.get(OWN_RELAYS)?;
    Ok(stored
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default())
}

/// Relays of all endpoints: those of the card without what was ours and is not any more, and what is ours now.
fn joined(card: &[String], before: &[String], now: &[String]) -> Vec<String> {
    let stays = |relay: &&String| !before.contains(relay) || now.contains(relay);
    let mut all: Vec<String> = card.iter().filter(stays).cloned().collect();
    all.extend(now.iter().filter(|relay| !card.contains(relay)).cloned());
    all.truncate(MAX_RELAYS);
    all
}

/// One's own card as it was written down last.
pub(super) fn last_own(meta: &Meta) -> Result<Option<Card>, NodeError> {
    Ok(meta.get(OWN)?.and_then(|bytes| Card::decode(&bytes).ok()))
}

/// One's own card, for who asks for it.
pub(super) fn shown_card(card: &Card) -> Response {
    Response::Card {
        text: card.to_text(),
        person: card.person().to_string(),
        name: card.body().name.clone(),
        mailbox: mailbox::address(&card.body().mailbox),
    }
}

/// Reads the beginning of an id: what stands behind the last colon, in lower case, if it is base32.
pub(super) fn id_head(text: &str) -> Option<String> {
    let low = text.trim().to_ascii_lowercase();
    let head = low.rsplit(':').next().unwrap_or_default().to_owned();
    let digits = |c: char| c.is_ascii_lowercase() || ('2'..='7').contains(&c);
    let whole = head.len() < 52 || from_base32(&head).is_ok();
    (head.len() >= SHORTEST && head.chars().all(digits) && whole).then_some(head)
}

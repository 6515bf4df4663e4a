//! Contact cards: those of others, and one's own.

use super::api::{PersonEntry, Response};
use super::error::NodeError;
use super::introductions::IntroductionBook;
use super::standings::{Standings, Stored};
use super::voices::Voices;
use crate::engine::id::{PersonId, from_base32, to_base32};
use crate::engine::trust::Level;
use crate::security::card::{self, Card};
use crate::security::identity::{Identity, safety_number};
use crate::security::mailbox;
use crate::store::meta::Meta;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

const PREFIX: &str = "card/";
const OWN: &str = "own-card";
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
    /// How we stand to each, and to others.
    pub(super) standings: Standings,
    /// Who may become one.
    pub(super) introductions: IntroductionBook,
    /// With whom numbers are compared aloud.
    pub(super) voices: Voices,
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
            standings: Standings::load(meta.clone())?,
            introductions: IntroductionBook::load(meta.clone(), me)?,
            voices: Voices::new(meta.clone(), me),
            meta,
            me,
        })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<PersonId, Card>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a card in from its text form. Blocks on the disk; callers take turns.
    pub(super) fn add(&self, text: &str) -> Result<Card, NodeError> {
        let card = Card::from_text(text)?;
        let person = card.person();
        if person == self.me {
            return Err(NodeError::Usage(
                "this is your own contact card; give it to others and import theirs".into(),
            ));
        }
        if let Some(old) = self.get(person) {
            card.replaces(&old)?;
        }
        self.keep(&card)?;
        // Whoever gives us a card has ours, or gets it the same way.
        if let Some(own) = last_own(&self.meta)?.filter(|_| self.told(person).is_none()) {
            self.note_told(person, own.body().sequence)?;
        }
        Ok(card)
    }

    /// Takes in the card that somebody has sent of himself, if it is newer. Blocks on the disk. Gives the card if it was
    /// taken. Another name has to come by hand: nobody changes silently into somebody else.
    pub(super) fn update(&self, from: PersonId, bytes: &[u8]) -> Result<Option<Card>, NodeError> {
        let Some(old) = self.get(from) else {
            return Ok(None);
        };
        let card = Card::decode(bytes)?;
        if card.person() != from {
            return Err(NodeError::Usage(
                "a contact sent the card of somebody else; it is not taken".into(),
            ));
        }
        if card.body().name != old.body().name {
            return Err(NodeError::Usage(format!(
                "{} wants another name; it is taken with the card that `ostrakon person add` is given",
                shown(&old.body().name)
            )));
        }
        card.replaces(&old)?;
        self.keep(&card)?;
        Ok(Some(card))
    }

    fn keep(&self, card: &Card) -> Result<(), NodeError> {
        let key = format!("{PREFIX}{}", key(card));
        self.meta.put(&key, card.bytes())?;
        self.known().insert(card.person(), card.clone());
        Ok(())
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

    /// Who has no card of ours with this number, and is to have it. Reads the disk.
    pub(super) fn not_told(&self, sequence: u64) -> Vec<PersonId> {
        let persons: Vec<PersonId> = self.known().keys().copied().collect();
        let untold = |person: &PersonId| {
            self.told(*person) < Some(sequence) && !self.standings.get(*person).blocked
        };
        persons.into_iter().filter(untold).collect()
    }

    /// Somebody's card.
    pub(super) fn get(&self, person: PersonId) -> Option<Card> {
        self.known().get(&person).cloned()
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
        let proves = |card: &&Card| card.body().endpoints.iter().any(|e| &e.link == key);
        let person = self.known().values().find(proves).map(Card::person);
        person.filter(|person| !self.standings.get(*person).blocked)
    }

    /// The names of all who are blocked.
    pub(super) fn blocked(&self) -> Vec<String> {
        let all = self.standings.list().into_iter();
        let blocked = all.filter(|(_, stored)| stored.blocked);
        let mut names: Vec<String> = blocked.map(|(person, _)| self.name(person)).collect();
        names.sort();
        names
    }

    /// The name that we know somebody by.
    pub(super) fn name(&self, person: PersonId) -> String {
        match self.known().get(&person) {
            Some(card) => card.body().name.clone(),
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
        let named = |card: &Card| card.body().name.trim().to_lowercase() == low;
        let keyed = |card: &Card| head.len() >= SHORTEST && key(card).starts_with(head);
        let mut found = self.list();
        found.retain(|card| named(card) || keyed(card));
        match found.as_slice() {
            [] => Err(unknown(text)),
            [one] => Ok(one.clone()),
            several => Err(ambiguous(text, several)),
        }
    }

    /// What people want to know of a card.
    pub(super) fn entry(&self, card: &Card) -> PersonEntry {
        let body = card.body();
        let stored = self.standings.get(card.person());
        let introducer: Option<PersonId> = stored.introducer.and_then(|uri| uri.parse().ok());
        PersonEntry {
            name: body.name.clone(),
            person: card.person().to_string(),
            card_sequence: body.sequence,
            safety_number: safety_number(self.me, card.person()),
            relays: body.relays.clone(),
            level: stored.level,
            introduced_by: introducer.map(|person| self.name(person)),
            blocked: stored.blocked,
        }
    }
}

fn told_key(person: PersonId) -> String {
    format!("{TOLD}{}", to_base32(&person.0))
}

fn key(card: &Card) -> String {
    to_base32(&card.person().0)
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

/// One's own card as it has to be now: a new number if the name, the relays, the prekeys or what this program can do
/// changed. Blocks on the disk; callers take turns.
pub(super) fn own(
    meta: &Meta,
    identity: &Identity,
    name: &str,
    relays: &[String],
) -> Result<Card, NodeError> {
    let last = last_own(meta)?;
    let sequence = match &last {
        Some(card)
            if card.body().name == name
                && card.body().relays == relays
                && card.body().prekeys == identity.prekeys.published()
                && card.body().capabilities == card::capabilities() =>
        {
            return Ok(card.clone());
        }
        Some(card) => card.body().sequence.saturating_add(1),
        None => 1,
    };
    let card = identity.card(name, sequence, relays.to_vec());
    // Reads back, or nobody else could read it either.
    let card = Card::decode(card.bytes())?;
    meta.put(OWN, card.bytes())?;
    Ok(card)
}

/// One's own card as it was written down last.
fn last_own(meta: &Meta) -> Result<Option<Card>, NodeError> {
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

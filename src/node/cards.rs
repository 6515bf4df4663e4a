//! Contact cards: those of others, and one's own.

use super::api::PersonEntry;
use super::error::NodeError;
use crate::engine::id::{PersonId, from_base32, to_base32};
use crate::security::card::Card;
use crate::security::identity::{Identity, safety_number};
use crate::store::meta::Meta;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

const PREFIX: &str = "card/";
const OWN: &str = "own-card";
/// The shortest beginning of a key that names somebody, in characters.
const SHORTEST: usize = 4;

/// Everybody whose card is known. Changes are durable before they are seen.
pub(super) struct Contacts {
    meta: Meta,
    me: PersonId,
    known: Mutex<BTreeMap<PersonId, Card>>,
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
        let known = Mutex::new(known);
        Ok(Self { meta, me, known })
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
        let key = format!("{PREFIX}{}", to_base32(&person.0));
        self.meta.put(&key, card.bytes())?;
        self.known().insert(person, card.clone());
        Ok(card)
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

    /// Whose endpoint proves itself with this link key.
    pub(super) fn by_link_key(&self, key: &[u8; 32]) -> Option<PersonId> {
        let proves = |card: &&Card| card.body().endpoints.iter().any(|e| &e.link == key);
        self.known().values().find(proves).map(Card::person)
    }

    /// The name that we know somebody by.
    pub(super) fn name(&self, person: PersonId) -> String {
        match self.known().get(&person) {
            Some(card) => card.body().name.clone(),
            None => person.short(),
        }
    }

    /// Finds somebody by name, by URI, or by the beginning of the key.
    pub(super) fn find(&self, text: &str) -> Result<Card, NodeError> {
        let text = text.trim();
        if let Ok(person) = text.parse::<PersonId>() {
            return self.get(person).ok_or_else(|| unknown(text));
        }
        let cards = self.list();
        let exact = |card: &&Card| card.body().name == text;
        let loose = |card: &&Card| card.body().name.to_lowercase() == text.to_lowercase();
        let low = text.to_ascii_lowercase();
        let head = low.strip_prefix("ostrakon:person:").unwrap_or(&low);
        let by_key =
            |card: &&Card| head.len() >= SHORTEST && to_base32(&card.person().0).starts_with(head);
        for test in [&exact as &dyn Fn(&&Card) -> bool, &loose, &by_key] {
            let found: Vec<&Card> = cards.iter().filter(test).collect();
            match found.as_slice() {
                [] => {}
                [one] => return Ok((*one).clone()),
                several => return Err(ambiguous(text, several)),
            }
        }
        Err(unknown(text))
    }

    /// What people want to know of a card.
    pub(super) fn entry(&self, card: &Card) -> PersonEntry {
        let body = card.body();
        PersonEntry {
            name: body.name.clone(),
            person: card.person().to_string(),
            card_sequence: body.sequence,
            safety_number: safety_number(self.me, card.person()),
            relays: body.relays.clone(),
        }
    }
}

fn unknown(text: &str) -> NodeError {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    NodeError::NotFound(format!(
        "nobody is known as `{shown}`; see `ostrakon person list`, or import the contact card with `ostrakon person add`"
    ))
}

fn ambiguous(text: &str, several: &[&Card]) -> NodeError {
    let ids: Vec<String> = several.iter().map(|c| c.person().to_string()).collect();
    NodeError::Usage(format!(
        "`{text}` means several persons; say which: {}",
        ids.join(", ")
    ))
}

/// One's own card as it has to be now: a new number if the name or the relays changed. Blocks on the disk;
/// callers take turns.
pub(super) fn own(
    meta: &Meta,
    identity: &Identity,
    name: &str,
    relays: &[String],
) -> Result<Card, NodeError> {
    let last = meta.get(OWN)?.and_then(|bytes| Card::decode(&bytes).ok());
    let sequence = match &last {
        Some(card) if card.body().name == name && card.body().relays == relays => {
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

/// Reads the beginning of an id: what stands behind the last colon, in lower case, if it is base32.
pub(super) fn id_head(text: &str) -> Option<String> {
    let low = text.trim().to_ascii_lowercase();
    let head = low.rsplit(':').next().unwrap_or_default().to_owned();
    let digits = |c: char| c.is_ascii_lowercase() || ('2'..='7').contains(&c);
    let whole = head.len() < 52 || from_base32(&head).is_ok();
    (head.len() >= SHORTEST && head.chars().all(digits) && whole).then_some(head)
}

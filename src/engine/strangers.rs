//! Persons who are no contacts: what little is taken of them, and where it waits.
//!
//! Somebody unknown opens a session if strangers are let in, or by an invitation. The first thing that is taken in it is his
//! card: it has to be his and to name the endpoint that speaks. Then come small messages, which wait here until the host
//! says that he is more than unknown. They are durable, and reported as begun and not as delivered. How many strangers there
//! are, how much waits of each, and how much work all of them together may ask for is bounded.

use super::incoming::Incoming;
use super::reporting::Reporting;
use super::trust::Level;
use super::{Engine, MessageId, PersonId};
use crate::security::card::{self, Card};
use crate::wire::manifest::{Body, Manifest, PartEntry};
use rand_core::Rng;
use std::time::Duration;

/// Sessions that one stranger may have open with us.
const SESSIONS_OF_ONE: usize = 2;

/// What is counted when somebody says something before who he is.
pub(super) const CARDLESS: &str = "message of a stranger before its card";

/// What is counted when there is no room for another stranger, or for what he asks.
const TOO_MANY: &str = "too many strangers";

impl Engine {
    /// How far a person is trusted. Whose card the host has not given is unknown.
    pub(super) fn level(&self, person: PersonId) -> Level {
        match self.cards.contains_key(&person) && !self.guests.contains(&person) {
            true => self.standings.level(person),
            false => Level::Unknown,
        }
    }

    /// Whether what a person sends waits for a word of the host.
    pub(super) fn is_stranger(&self, person: PersonId) -> bool {
        self.level(person) == Level::Unknown
    }

    /// How many unknown persons with a card wait, those who were invited aside.
    fn strangers(&self) -> usize {
        let persons = self.cards.keys().copied();
        let waits = |person: &PersonId| {
            let out = |person| self.standings.is_blocked(person) || self.was_invited(person);
            self.is_stranger(*person) && !out(*person)
        };
        persons.filter(waits).count()
    }

    /// Why a preamble of somebody who is no contact and names no invitation goes no further. Asked before the costly part
    /// of the key agreement.
    pub(super) fn stranger_refusal(&self, from: PersonId) -> Option<&'static str> {
        if !self.open_to_strangers {
            return Some("preamble of a stranger");
        }
        let new = !self.cards.contains_key(&from);
        let full = new && self.strangers() >= self.limits.strangers;
        // Without the bound, everybody who has our card makes us agree as often as he likes.
        let often = !self.porch.session() && cfg!(not(feature = "break-09"));
        (full || often).then_some(TOO_MANY)
    }

    /// Makes room for a session of a stranger: of his own ones the oldest goes, and of those of strangers without a card a
    /// random one, so that nobody can choose whose.
    pub(super) fn make_room_for_stranger(&mut self, from: PersonId) {
        let mut gone = Vec::new();
        if self.sessions.endpoints(from).count() >= SESSIONS_OF_ONE {
            gone.extend(self.sessions.drop_oldest(from));
        }
        let peers = self.sessions.peers();
        let cardless = |p: &PersonId| !self.cards.contains_key(p) && !self.was_invited(*p);
        let cardless: Vec<PersonId> = peers.into_iter().filter(cardless).collect();
        let places = self.limits.stranger_sessions as u64;
        if !self.cards.contains_key(&from) && cardless.len() as u64 >= places {
            let chosen = self.rng.next_u64() % cardless.len().max(1) as u64;
            if let Some(person) = cardless.get(chosen as usize) {
                self.assembling.close_all(*person);
                gone.extend(self.sessions.drop_oldest(*person));
            }
        }
        gone.into_iter().for_each(|row| self.writer.durable(row));
    }

    /// Whether a message of somebody whose card is not here came ahead of it, as links may have it.
    pub(super) fn is_ahead_of_card(&self, from: PersonId, manifest: &[u8]) -> bool {
        let message = |m: Manifest| m.control().is_none() && !is_card(&m);
        !self.cards.contains_key(&from) && Manifest::decode(manifest).is_ok_and(message)
    }

    /// The first message of somebody whose card is not here has to be that card.
    pub(super) fn meet_stranger(
        &mut self,
        from: PersonId,
        manifest: &Manifest,
    ) -> Result<(), &'static str> {
        if !is_card(manifest) {
            return Err(CARDLESS);
        }
        if !self.was_invited(from) && self.strangers() >= self.limits.strangers {
            return Err(TOO_MANY);
        }
        if !self.porch.message() {
            return Err(TOO_MANY);
        }
        let card = card_in(manifest).filter(|card| card.person() == from);
        let named = |card: &Card| self.sessions.endpoints(from).any(|key| card.names(&key));
        let card = card.filter(named).ok_or("card of another person")?;
        self.guests.insert(from);
        // What came in a session that the card does not name has nothing to do with it.
        self.assembling.close_all(from);
        self.put_card(card);
        Ok(())
    }

    /// A card of a stranger that was durable before a restart is here again.
    pub(super) fn meet_again(&mut self) {
        let cards = self.inbox.values().filter_map(|message| {
            let card = card_in(&message.manifest).filter(|card| card.person() == message.from);
            card.filter(|_| is_card(&message.manifest))
        });
        for card in cards.collect::<Vec<Card>>() {
            self.guests.insert(card.person());
            self.cards.insert(card.person(), card);
        }
    }

    /// Why a message of a stranger is not taken in. Its sender goes on offering it.
    pub(super) fn stranger_message_refusal(
        &self,
        from: PersonId,
        manifest: &Manifest,
    ) -> Option<&'static str> {
        let coded = |body: &Body| matches!(body, Body::Coded { .. });
        if manifest.parts.iter().any(|part| coded(&part.body)) {
            return Some("file of a stranger");
        }
        let own = self.inbox.values().filter(|m| m.from == from);
        let kept: usize = own.map(|m| m.manifest.encode().len()).sum();
        if kept + manifest.encode().len() > self.limits.stranger_bytes {
            return Some("too many bytes of a stranger");
        }
        // The card of a new one was counted when it was looked at.
        let counted = self.guests.contains(&from) && is_card(manifest);
        // Without the bound, the store is busy with strangers alone.
        (!counted && !self.porch.message()).then_some("too many messages of strangers")
    }

    /// Whether a message waits for a word of the host about its sender. Cards do not: they tell whom it is about.
    pub(super) fn waits_for_host(&self, message: &Incoming) -> bool {
        self.is_stranger(message.from) && !is_card(&message.manifest)
    }

    /// Messages of a stranger that wait.
    pub fn waiting_of(&self, person: PersonId) -> Vec<MessageId> {
        let own = self.inbox.values().filter(|m| m.from == person);
        let waits = own.filter(|m| self.waits_for_host(m));
        waits.map(|m| m.id).collect()
    }

    /// A person is unknown no more: what waited goes on to the application.
    pub(super) fn release(&mut self, person: PersonId) {
        let own = self.inbox.values().filter(|m| m.from == person);
        let waiting: Vec<_> = own.map(|m| (m.id, m.sender())).collect();
        for (id, sender) in &waiting {
            self.reports.insert(*id, Reporting::new(*sender, self.now));
            self.dirty.insert(*id);
        }
        if !waiting.is_empty() {
            self.want_sync(Duration::ZERO);
        }
    }

    /// Nothing is left of a stranger: sessions in both directions, card, what was told.
    pub(super) fn forget_stranger(&mut self, person: PersonId) {
        let gone = self.sessions.drop_all(person);
        gone.into_iter().for_each(|row| self.writer.durable(row));
        self.cards.remove(&person);
        self.guests.remove(&person);
        self.want_sync(Duration::ZERO);
    }
}

/// Whether a message holds a card, as a whole.
fn is_card(manifest: &Manifest) -> bool {
    let alone = manifest.parts.len() == 1 && manifest.shared.is_none();
    let of_card = |part: &PartEntry| {
        part.media_type == card::MEDIA_TYPE && matches!(part.body, Body::Inline(_))
    };
    alone && manifest.parts.iter().all(of_card)
}

fn card_in(manifest: &Manifest) -> Option<Card> {
    match &manifest.parts.first()?.body {
        Body::Inline(bytes) => Card::decode(bytes).ok(),
        Body::Coded { .. } => None,
    }
}

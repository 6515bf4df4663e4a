//! The endpoints of a person. A message leads to a person, and there is one place in the outbox for each of its endpoints
//! that the card names, this one excepted: each reports for itself, and is sent what it lacks.
//!
//! All places of a person have the same label, so one copy on the air serves them all. The first endpoint that has a
//! message makes it a delivered one; the places of the others *follow*: they go on until those have confirmed it too, its
//! lifetime ends or a month of uptime has passed, but cost little while nothing shows that they are there. An endpoint that has never opened a session with
//! us is only told of what another one has.

use super::Engine;
use super::id::{MessageId, PersonId};
use super::io::{Event, LinkId};
use super::lifetimes::Mortal;
use super::link::{Link, Mode};
use super::outgoing::Outgoing;
use crate::security::card::Card;
use std::collections::BTreeSet;

/// An endpoint of a person, by the static key that its sessions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Whose it is.
    pub person: PersonId,
    /// Its key; `None` means whichever endpoint it may be.
    pub key: Option<[u8; 32]>,
}

impl End {
    /// The least of all, in order.
    pub const FIRST: Self = Self::any(PersonId([0; 32]));
    /// The greatest.
    pub const LAST: Self = Self::new(PersonId([255; 32]), [255; 32]);

    /// A certain endpoint.
    pub const fn new(person: PersonId, key: [u8; 32]) -> Self {
        let key = Some(key);
        Self { person, key }
    }

    /// Whichever of a person.
    pub const fn any(person: PersonId) -> Self {
        Self { person, key: None }
    }

    /// Whether both may mean the same endpoint.
    pub fn matches(self, other: Self) -> bool {
        let either = self.key.is_none() || other.key.is_none();
        self.person == other.person && (either || self.key == other.key)
    }
}

impl Engine {
    /// The endpoints that a person's card names, without this one.
    pub(super) fn ends_of(&self, person: PersonId) -> Vec<End> {
        self.cards
            .get(&person)
            .map_or(Vec::new(), |card| self.named(card))
    }

    fn named(&self, card: &Card) -> Vec<End> {
        let own = self.me.endpoint_key();
        let endpoints = card.body().endpoints.iter();
        let others = endpoints.filter(|endpoint| endpoint.key != own);
        let ends: BTreeSet<End> = others.map(|e| End::new(card.person(), e.key)).collect();
        // Otherwise a receipt of one endpoint is one of all.
        let most = if cfg!(feature = "break-35") {
            1
        } else {
            ends.len()
        };
        ends.into_iter().take(most).collect()
    }

    /// The places of a message for the endpoints of a person.
    fn places_for(&self, id: MessageId, person: PersonId) -> Vec<(End, u64)> {
        let all = (id, End::any(person))..=(id, End::new(person, [255; 32]));
        let places = self.outbox_ids.range(all);
        places.map(|((_, end), seq)| (*end, *seq)).collect()
    }

    /// The other places of a message for the same person.
    pub(super) fn siblings(&self, seq: u64) -> Vec<u64> {
        let Some(message) = self.outbox.get(&seq) else {
            return Vec::new();
        };
        let places = self.places_for(message.id, message.to).into_iter();
        let places = places.map(|(_, place)| place);
        places.filter(|place| *place != seq).collect()
    }

    /// What is told of the end of a place: the first endpoint that has all speaks for the person, and only the last one
    /// that has not.
    pub(super) fn speaks_for_person(&mut self, message: &Outgoing, event: &Event) -> bool {
        if message.follows() {
            return false;
        }
        let places = self.places_for(message.id, message.to);
        if !matches!(event, Event::Confirmed { .. }) {
            return places.is_empty();
        }
        for (_, seq) in places {
            if let Some(other) = self.outbox.get_mut(&seq) {
                other.follow(self.now);
                self.writer.durable(other.record(self.now));
                self.watch(Mortal::Out(seq));
            }
        }
        true
    }

    /// Whether another endpoint of the person has confirmed a part before.
    pub(super) fn is_part_known(&self, seq: u64, part: u8) -> bool {
        let has = |other: &Outgoing| other.parts.get(&part).is_some_and(|p| p.complete);
        let siblings = self.siblings(seq).into_iter();
        let mut others = siblings.filter_map(|seq| self.outbox.get(&seq));
        self.outbox.get(&seq).is_some_and(|m| m.follows()) || others.any(has)
    }

    /// Whether symbols of a place may leave by a link. An endpoint that nothing was heard of there is not sent any while
    /// another one of the person answers there, or if it never spoke and another one has the message.
    pub(super) fn may_serve(&self, id: LinkId, message: &Outgoing, mode: Mode) -> bool {
        let (Some(link), end) = (self.links.get(&id), message.end()) else {
            return false;
        };
        if link.is_near(end) || link.leads_to(end) {
            return true;
        }
        if message.follows() && !self.sessions.has_opened(end) {
            return false;
        }
        mode != Mode::Attached || !self.ends_of(message.to).iter().any(|e| link.is_near(*e))
    }

    /// An endpoint was heard by a link where nothing was known of it: what waits for it is offered there.
    pub(super) fn came_near(&mut self, id: LinkId, end: End) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if !link.near.insert(end) {
            return;
        }
        self.work += 1;
        let now = self.now;
        let waiting = self.outbox.values_mut().filter(|m| m.end().matches(end));
        for message in waiting.filter(|m| m.follows()) {
            if let Some(offer) = message.offers.get_mut(&id) {
                (offer.rounds, offer.next) = (offer.rounds.min(1), now);
            }
        }
    }

    /// A manifest or a piece of it has left by a link: other endpoints of the person that the link may reach hear it too.
    pub(super) fn offered_to_siblings(
        &mut self,
        id: LinkId,
        seq: u64,
        offer: (usize, usize),
        copies: usize,
    ) {
        let siblings = self.siblings(seq);
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let label = self.outbox.get(&seq).map(|m| m.keys.label());
        for sibling in siblings {
            let Some(other) = self.outbox.get_mut(&sibling) else {
                continue;
            };
            let hears = link.toward(other.end()).is_some() && !other.withdrawn && other.durable;
            if hears && Some(other.keys.label()) == label {
                other.overhear_offer(id, link, offer, copies, self.now);
            }
        }
    }

    /// A card is new: what waits for its owner gets places for endpoints that it names first, unless another one has
    /// confirmed the message, and loses those of endpoints that it does not name.
    pub(super) fn match_places(&mut self, card: &Card) {
        let person = card.person();
        let named = self.named(card);
        let places = self
            .outbox_ids
            .iter()
            .filter(|((_, end), _)| end.person == person);
        let messages: BTreeSet<MessageId> = places.map(|((id, _), _)| *id).collect();
        for id in messages {
            self.match_places_of(id, person, &named);
        }
    }

    fn match_places_of(&mut self, id: MessageId, person: PersonId, named: &[End]) {
        let places = self.places_for(id, person);
        let there: BTreeSet<End> = places.iter().map(|(end, _)| *end).collect();
        if named.iter().copied().eq(there.iter().copied()) {
            return;
        }
        let Some(model) = places.first().and_then(|(_, seq)| self.outbox.get(seq)) else {
            return;
        };
        let new = named
            .iter()
            .filter(|end| !there.contains(end) && !model.follows());
        let new: Vec<Outgoing> = new.map(|end| model.for_endpoint(*end, self.now)).collect();
        for message in new {
            self.writer.durable(message.record(self.now));
            self.enlist(message);
        }
        for (_, seq) in places.iter().filter(|(end, _)| !named.contains(end)) {
            let event = Event::Expired {
                message: id,
                person,
            };
            self.dismiss(*seq, event);
        }
    }
}

impl Link {
    /// Whether an endpoint was heard on it since it came up.
    pub fn is_near(&self, end: End) -> bool {
        self.near.iter().any(|near| near.matches(end))
    }
}

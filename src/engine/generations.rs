//! Generations of sessions: ours are offered and begun, those of others answered. `exchanges` knows when.
//!
//! An offer leaves once its keys are durable, an answer once the generation is, and the session goes on once the answer is.
//! So whoever crashes makes the same offer, gives the same answer, and goes on in the same generation.

use super::ends::End;
use super::exchanges::Word;
use super::io::LinkId;
use super::link::{Link, Ready, UNHURRIED};
use super::reporting::control_room;
use super::{Effect, Engine, PersonId, SYNC_INTERVAL};
use crate::security::announcement::Announcement;
use crate::security::hybrid;
use crate::security::session::{GenerationError, SessionError, SessionId};
use crate::wire::generation::{Answer, Exchange, HYBRID_KEY, Offer};
use crate::wire::manifest;
use crate::wire::preamble;
use bytes::Bytes;
use std::time::Duration;

/// Bytes of an offer without its X-Wing key.
const OFFER: usize = 55;
/// How soon it is durable that a session has gone on.
const SOON: Duration = Duration::from_secs(1);

impl Engine {
    /// Key exchanges within the sessions that we opened, all together, for a simulation that wants to see them.
    #[cfg(feature = "sim")]
    pub fn generations(&self) -> u32 {
        self.sessions.generations()
    }

    /// The session with somebody is used, or was before a restart: in time it gets a new generation.
    pub(super) fn plan_offer(&mut self, to: PersonId) {
        let (now, every) = (self.now, self.limits.generation_every);
        let sending = self.sessions.existing(to);
        if let Some(at) = sending.and_then(|sending| sending.offer_at(now, every)) {
            self.exchanges.plan(to, at);
        }
    }

    /// Makes the offers that are due, and repeats those that nobody has answered.
    pub(super) fn make_offers(&mut self) {
        while let Some(to) = self.exchanges.take_due(self.now) {
            self.make_offer(to);
        }
    }

    fn make_offer(&mut self, to: PersonId) {
        let (now, every) = (self.now, self.limits.generation_every);
        let Some(card) = self.cards.get(&to).filter(|card| card.takes_generations()) else {
            return;
        };
        let large = OFFER + HYBRID_KEY;
        let end = End::any(to);
        let carries =
            |link: &Link| link.toward(end).is_some() && control_room(link.room()) >= large;
        let hybrid = hybrid::IS_BUILT_IN && card.takes_hybrid() && self.links.values().any(carries);
        let Some(sending) = self.sessions.existing(to) else {
            return;
        };
        match sending.offer_at(now, every) {
            Some(at) if at > now => self.exchanges.plan(to, at),
            Some(_) if sending.session.offer().is_some() => self.exchanges.owe(to, Word::Offer),
            // Where nobody answers there is nobody to exchange keys with.
            Some(_) if !sending.is_known() => self.exchanges.wait(to, UNHURRIED, every, now),
            Some(_) => {
                sending.session.make_offer(hybrid, &mut self.rng);
                let record = sending.record(to, now);
                self.writer.durable(record);
                self.waiting.push(Effect::Offer(to));
                self.want_sync(SYNC_INTERVAL);
            }
            None => {}
        }
    }

    /// The keys of an offer are durable.
    pub(super) fn on_offer_durable(&mut self, to: PersonId) {
        self.exchanges.owe(to, Word::Offer);
    }

    /// Whether there is something to say of generations that this link can carry.
    pub(super) fn has_word(&mut self, id: LinkId) -> bool {
        !self.exchanges.owed().is_empty() && self.word_for(id).is_some()
    }

    /// The next thing to say of generations that this link can carry.
    pub(super) fn next_word(&mut self, id: LinkId) -> Option<Ready> {
        let (to, word, content) = self.word_for(id)?;
        self.exchanges.said(to, word);
        if word == Word::Offer {
            let first = self.links.get(&id).map_or(UNHURRIED, Link::unhurried);
            let every = self.limits.generation_every;
            self.exchanges.wait(to, first, every, self.now);
        }
        self.control(End::any(to), manifest::GENERATION, content)
    }

    fn word_for(&mut self, id: LinkId) -> Option<(PersonId, Word, Bytes)> {
        let (link, standings) = (self.links.get(&id)?, &self.standings);
        let (room, sessions) = (control_room(link.room()), &self.sessions);
        let able = |to| link.toward(End::any(to)).is_some() && !standings.is_blocked(to);
        let mut found = None;
        let mut over = Vec::new();
        for (to, word) in self.exchanges.owed() {
            match sessions.said_by(*to, word) {
                None => over.push((*to, *word)),
                Some(content) if able(*to) && content.len() <= room => {
                    found = Some((*to, *word, content.into()));
                    break;
                }
                Some(_) => {}
            }
        }
        over.into_iter()
            .for_each(|(to, word)| self.exchanges.said(to, word));
        found
    }

    /// A record of an exchange came.
    pub(super) fn on_exchange(&mut self, from: PersonId, content: &[u8]) {
        match Exchange::decode(content) {
            Ok(Exchange::Offer(offer)) => self.on_offer(from, &offer),
            Ok(Exchange::Answer(answer)) => self.on_answer(from, &answer),
            Ok(Exchange::Unknown { session, confirm }) => {
                self.on_unknown_generation(from, session, confirm)
            }
            Err(_) => self.count("malformed control record"),
        }
    }

    fn on_offer(&mut self, from: PersonId, offer: &Offer) {
        match self.sessions.answer(from, &self.me, offer, &mut self.rng) {
            Ok(record) => {
                record.into_iter().for_each(|row| self.writer.durable(row));
                // Also if the answer was given before: it may still be on its way to the disk.
                self.waiting.push(Effect::Answer(offer.session));
                self.want_sync(SYNC_INTERVAL);
            }
            Err(why) => self.count(refused(why)),
        }
    }

    /// The generation that answers an offer is durable.
    pub(super) fn on_answer_durable(&mut self, session: SessionId) {
        if let Some(opener) = self.sessions.opener(session) {
            self.exchanges.owe(opener.person, Word::Answer(session));
        }
    }

    fn on_answer(&mut self, from: PersonId, answer: &Answer) {
        let Some(card) = self
            .cards
            .get(&from)
            .filter(|card| card.takes_generations())
        else {
            return;
        };
        let Some(sending) = self.sessions.existing(from) else {
            return self.count(refused(GenerationError::NotDue));
        };
        if let Err(why) = sending.session.take_answer(&self.me, card, answer) {
            return self.count(refused(why));
        }
        let record = sending.record(from, self.now);
        self.writer.durable(record);
        self.waiting.push(Effect::GoOn(from, answer.session));
        self.exchanges.settle(from);
        self.want_sync(SYNC_INTERVAL);
    }

    /// The answer to our offer is durable: the session goes on in its new generation, and says so before its next frame.
    pub(super) fn on_answer_kept(&mut self, with: PersonId, session: SessionId) {
        if let Some(record) = self.sessions.go_on(with, session, self.now) {
            self.writer.durable(record);
            self.want_sync(SOON);
            for link in self.links.values_mut() {
                link.since_preamble.retain(|end, _| end.person != with);
            }
        }
    }

    /// A preamble of a later generation than the first came.
    pub(super) fn on_later_generation(&mut self, announced: &Announcement, frame: &[u8]) {
        let (from, id) = (announced.sender(), announced.session(&self.me));
        match self.sessions.resumed(id, announced) {
            Some(Ok(session)) => self.on_session(session, frame),
            Some(Err(SessionError::EpochTooFar)) => {
                self.count("preamble of an epoch too far ahead");
            }
            // Who is no contact is owed nothing.
            _ if self.is_stranger(from) => self.count("preamble of a stranger"),
            _ => self.tell_unknown(from, id, frame),
        }
    }

    /// A preamble names a generation that is not known here, or one before that which is: its sender is told which
    /// preamble it was, and opens a new session if that is his present one.
    pub(super) fn tell_unknown(&mut self, from: PersonId, session: SessionId, frame: &[u8]) {
        self.count("preamble of a generation that is not known");
        let Ok(view) = preamble::View::parse(frame) else {
            return;
        };
        if !self.exchanges.may_tell(from, self.now) {
            return;
        }
        // Who has lost this may have lost our session as well, and then cannot read what is said in it.
        if self.sessions.is_unheard(from, self.now) {
            self.open_anew(from);
        } else {
            self.announce_again(End::any(from));
        }
        let word = Word::Unknown(session, view.confirm);
        self.exchanges.owe(from, word);
    }

    /// The session with somebody is left for a new one.
    fn open_anew(&mut self, with: PersonId) {
        if let Some(card) = self.cards.get(&with).cloned() {
            self.sessions.leave(with);
            self.exchanges.settle(with);
            self.renew_session(&card);
        }
    }

    fn on_unknown_generation(
        &mut self,
        from: PersonId,
        session: SessionId,
        confirm: [u8; preamble::CONFIRM],
    ) {
        let (me, sending) = (&self.me, self.sessions.existing(from));
        // Of an older preamble, which anybody may have played again, it says nothing.
        let is_present = sending.is_some_and(|sending| {
            let frame = sending.preamble(me);
            let view = preamble::View::parse(&frame);
            sending.session.id() == session && view.is_ok_and(|view| view.confirm == confirm)
        });
        if !is_present || !self.exchanges.may_believe(from, self.now) {
            return self.count("note of an unknown generation that is not the present one");
        }
        self.open_anew(from);
    }
}

/// The words under which a record that was not taken is counted.
fn refused(why: GenerationError) -> &'static str {
    match why {
        GenerationError::NotDue => "record of a generation that is not due",
        GenerationError::Another => "second offer of one generation",
        GenerationError::Hybrid => "hybrid offer that cannot be answered",
        GenerationError::Downgrade => "answer that is not hybrid as its offer is",
        GenerationError::NotConfirmed => "answer that does not confirm its generation",
        GenerationError::LowOrder => "generation with a low-order key",
    }
}

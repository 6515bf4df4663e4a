//! Later generations of sessions, and sessions that are left because one of them was lost.

use super::{Receiving, Sending, Sessions};
use crate::engine::exchanges::Word;
use crate::engine::id::PersonId;
use crate::engine::io::{Record, Time};
use crate::security::announcement::Announcement;
use crate::security::identity::Identity;
use crate::security::session::{GenerationError, RecvSession, SessionError, SessionId};
use crate::wire::generation::{Exchange, Offer};
use rand_chacha::ChaCha20Rng;
use std::time::Duration;

/// How long somebody may go on not to know a session of ours before there is a new one.
const UNHEARD: Duration = Duration::from_secs(600);

impl Sessions {
    /// Forgets the session with somebody.
    pub fn leave(&mut self, person: PersonId) {
        self.sending.remove(&person);
    }

    /// The session goes on in the generation whose answer was taken, if it is still this one. Gives the row to write.
    pub fn go_on(&mut self, with: PersonId, id: SessionId, now: Time) -> Option<Record> {
        let sending = self.sending.get_mut(&with)?;
        let goes_on = sending.session.id() == id && sending.go_on(now);
        goes_on.then(|| sending.record(with, now))
    }

    /// Answers an offer of somebody's session. Gives the row to write unless it was answered before.
    pub fn answer(
        &mut self,
        from: PersonId,
        me: &Identity,
        offer: &Offer,
        rng: &mut ChaCha20Rng,
    ) -> Result<Option<Record>, GenerationError> {
        let mut all = self.receiving.iter_mut();
        let its = |r: &&mut Receiving| r.session.id() == offer.session && r.session.peer() == from;
        let known = all.find(its).ok_or(GenerationError::NotDue)?;
        let is_new = known.session.answer(me, offer, rng)?;
        Ok(is_new.then(|| known.record()))
    }

    /// The session with this id as a preamble of a later generation announces it, if it is known.
    pub fn resumed(
        &self,
        id: SessionId,
        announced: &Announcement,
    ) -> Option<Result<RecvSession, SessionError>> {
        let mut all = self.receiving.iter();
        let known = all.find(|r| r.session.id() == id)?;
        Some(known.session.resume(announced))
    }

    /// Whether a session that is announced in its first generation is known in a later one.
    pub fn has_gone_on(&self, id: SessionId) -> bool {
        let gone_on = |r: &Receiving| r.session.id() == id && r.session.generation() > 0;
        self.receiving.iter().any(gone_on)
    }

    /// Whether a session was announced in a generation before the one that is known.
    pub fn is_past(&self, announced: &RecvSession) -> bool {
        let past = |r: &Receiving| {
            r.session.id() == announced.id() && r.session.generation() > announced.generation()
        };
        // Without the question, who has stolen an older generation brings it back.
        cfg!(not(feature = "break-15")) && self.receiving.iter().any(past)
    }

    /// What is said of generations, as long as there is reason to.
    pub fn said_by(&self, to: PersonId, word: &Word) -> Option<Vec<u8>> {
        match word {
            Word::Offer => {
                let offer = self.sending.get(&to)?.session.offer()?;
                Some(Exchange::Offer(offer).encode())
            }
            Word::Answer(id) => {
                let mut all = self.receiving.iter();
                let known = all.find(|r| r.session.id() == *id)?;
                known.session.answered().map(<[u8]>::to_vec)
            }
            Word::Unknown(session, confirm) => {
                let (session, confirm) = (*session, *confirm);
                Some(Exchange::Unknown { session, confirm }.encode())
            }
        }
    }

    /// Somebody is here and does not know generations that we do: whether it has been so for long, and the session that we
    /// speak in was never confirmed meanwhile. In its first generation a preamble alone tells all of a session.
    pub fn is_unheard(&mut self, person: PersonId, now: Time) -> bool {
        let sending = self.sending.get_mut(&person);
        let later = sending.filter(|sending| sending.session.generation() > 0);
        later.is_some_and(|sending| {
            let since = *sending.unheard.get_or_insert(now);
            now.since(since) >= UNHEARD
        })
    }

    /// Key exchanges within those that we opened, all together.
    #[cfg(feature = "sim")]
    pub fn generations(&self) -> u32 {
        let all = self.sending.values();
        all.map(|sending| sending.session.generation()).sum()
    }
}

impl Sending {
    /// Goes on in the generation whose answer was taken, which its recipient does not know yet. Tells whether there was
    /// one.
    pub(super) fn go_on(&mut self, now: Time) -> bool {
        let goes_on = self.session.go_on();
        if goes_on {
            self.begin_epoch(now);
            (self.began, self.generation_age_s) = (now, 0);
            self.confirmed.clear();
        }
        goes_on
    }

    /// When a new generation is to be offered, or the offer that is under way looked at again: never, if the session is
    /// not used. `every`: how long a generation lasts.
    pub fn offer_at(&self, now: Time, every: Duration) -> Option<Time> {
        if self.session.offer().is_some() {
            return Some(now);
        }
        let used = self.messages > 0 || self.session.epoch_number() > self.session.first_epoch();
        let left = every.saturating_sub(self.generation_age(now));
        (used && self.session.may_offer()).then(|| now.after(left))
    }

    /// Whether any endpoint has shown to know it.
    pub fn is_known(&self) -> bool {
        !self.confirmed.is_empty()
    }
}

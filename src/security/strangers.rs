//! Persons who have written and are no contacts: their cards wait for a word of the user, as introductions do.
//!
//! What they wrote waits in the engine. Who was accepted or declined, or whose time is over, waits no more; who was declined is
//! remembered, so that the same person does not come back. How many there are of either is bounded.

use super::card::{Card, CardError};
use crate::engine::id::PersonId;
use crate::wire::read::{Malformed, Reader};
use std::collections::VecDeque;
use std::time::Duration;

const VERSION: u8 = 1;
/// Persons who may wait: those whom the engine lets in, and some who were invited and are called like a contact.
pub const WAITING: usize = 64;
/// Declined persons who are remembered, the oldest forgotten first.
pub const DECLINED: usize = 256;
/// For how long somebody waits, in seconds of uptime: 30 days.
pub const PATIENCE_S: u32 = 30 * 24 * 3600;

/// Somebody who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// What he says of himself.
    pub card: Card,
    /// He has used an invitation, and somebody is called like him already.
    pub invited: bool,
    /// Seconds of uptime that he still waits.
    pub left_s: u32,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strangers {
    /// The oldest first.
    waiting: Vec<Stranger>,
    /// The oldest first.
    declined: VecDeque<PersonId>,
}

/// Why a stranger does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrangerError {
    /// Too many do.
    #[error("too many strangers wait; accept or decline some: see `ostrakon person strangers`")]
    TooMany,
    /// His card is older than the one that waits.
    #[error(transparent)]
    Card(#[from] CardError),
}

impl Strangers {
    /// Takes in the card that somebody has sent of himself, in the place of an older one.
    ///
    /// # Errors
    /// [`StrangerError`]; nothing has changed then.
    pub fn take(&mut self, card: Card, invited: bool) -> Result<(), StrangerError> {
        let person = card.person();
        if let Some(known) = self.waiting.iter_mut().find(|s| s.card.person() == person) {
            card.replaces(&known.card)?;
            known.card = card;
            return Ok(());
        }
        if self.waiting.len() >= WAITING {
            return Err(StrangerError::TooMany);
        }
        self.waiting.push(Stranger {
            card,
            invited,
            left_s: PATIENCE_S,
        });
        Ok(())
    }

    /// Those who wait, the oldest first.
    pub fn waiting(&self) -> &[Stranger] {
        &self.waiting
    }

    /// Those who were declined.
    pub fn declined(&self) -> impl Iterator<Item = PersonId> + '_ {
        self.declined.iter().copied()
    }

    /// Somebody waits no more.
    pub fn remove(&mut self, person: PersonId) -> Option<Stranger> {
        let place = self
            .waiting
            .iter()
            .position(|s| s.card.person() == person)?;
        Some(self.waiting.remove(place))
    }

    /// Somebody waits no more and is to stay away. Gives who is forgotten for that.
    pub fn decline(&mut self, person: PersonId) -> Option<PersonId> {
        self.remove(person)?;
        let full = self.declined.len() >= DECLINED;
        self.declined.push_back(person);
        full.then(|| self.declined.pop_front()).flatten()
    }

    /// Counts uptime. Gives whose time is over; they wait no more.
    pub fn age(&mut self, uptime: Duration) -> Vec<PersonId> {
        let seconds = u32::try_from(uptime.as_secs()).unwrap_or(u32::MAX);
        for stranger in &mut self.waiting {
            stranger.left_s = stranger.left_s.saturating_sub(seconds);
        }
        let over = self.waiting.extract_if(.., |s| s.left_s == 0);
        over.map(|s| s.card.person()).collect()
    }

    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.waiting.len() as u8];
        for stranger in &self.waiting {
            let card = stranger.card.bytes();
            out.push(u8::from(stranger.invited));
            out.extend_from_slice(&stranger.left_s.to_be_bytes());
            out.extend_from_slice(&(card.len() as u16).to_be_bytes());
            out.extend_from_slice(card);
        }
        for person in &self.declined {
            out.extend_from_slice(&person.0);
        }
        out
    }

    /// Reads what [`Strangers::encode`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.version(VERSION)?;
        let mut read = Self::default();
        for _ in 0..r.u8()? {
            let (invited, left_s, len) = (r.u8()? == 1, r.u32()?, r.u16()?);
            let card = Card::decode(r.take(usize::from(len))?);
            read.waiting.push(Stranger {
                card: card.map_err(|_| Malformed::Value("card"))?,
                invited,
                left_s,
            });
        }
        while !r.is_empty() {
            read.declined.push_back(PersonId(r.array()?));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::super::identity::Identity;
    use super::*;
    use rand_core::SeedableRng;

    fn card(seed: u64, sequence: u64) -> Card {
        let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(seed);
        Identity::generate(&mut rng).card("Bo", sequence, vec![])
    }

    #[test]
    fn they_wait_once_for_a_time_and_everything_reads_back() {
        let mut book = Strangers::default();
        for (seed, sequence) in [(1, 1), (1, 2), (2, 1)] {
            assert_eq!(book.take(card(seed, sequence), seed == 2), Ok(()));
        }
        let stale = CardError::Stale { known: 2, got: 1 };
        assert_eq!(book.take(card(1, 1), false), Err(stale.into()));
        assert_eq!(book.waiting().len(), 2);
        assert_eq!(book.waiting()[0].card, card(1, 2));
        book.decline(card(1, 1).person());
        assert_eq!(book.age(Duration::from_secs(60)), []);
        let read = Strangers::decode(&book.encode()).unwrap();
        assert_eq!(read, book);
        assert_eq!(read.waiting()[0].left_s, PATIENCE_S - 60);
        let rest = Duration::from_secs(u64::from(PATIENCE_S));
        assert_eq!(book.age(rest), [card(2, 1).person()]);
        assert!(book.waiting().is_empty());
    }

    #[test]
    fn how_many_wait_and_are_remembered_is_bounded() {
        let mut book = Strangers::default();
        for seed in 0..WAITING as u64 {
            assert_eq!(book.take(card(seed, 1), false), Ok(()));
        }
        assert_eq!(book.take(card(999, 1), false), Err(StrangerError::TooMany));
        for seed in 0..=DECLINED as u64 {
            let person = card(seed, 1).person();
            if seed >= WAITING as u64 {
                assert_eq!(book.take(card(seed, 1), false), Ok(()));
            }
            let forgotten = book.decline(person);
            let first = card(0, 1).person();
            assert_eq!(forgotten, (seed == DECLINED as u64).then_some(first));
        }
    }
}

//! The introductions that wait for their recipient's word, and the ids of those that are over.
//!
//! An introduction does nothing by itself. It waits until the person whom it is for accepts or declines it, or until its
//! time is over, and then it is spent: the same one never waits again. How many wait is bounded, of one introducer and in
//! all.

use super::card::Card;
use super::introduction::{Id, Introduction, IntroductionError};
use crate::engine::id::PersonId;
use crate::wire::read::{Malformed, Reader};
use std::collections::VecDeque;
use std::time::Duration;

const VERSION: u8 = 1;
/// Introductions of one person that may wait.
pub const WAITING_OF_ONE: usize = 8;
/// Introductions that may wait.
pub const WAITING: usize = 64;
/// Spent introductions of one person that are remembered; the oldest is forgotten first.
pub const SPENT_OF_ONE: usize = 64;
/// Spent introductions that are remembered.
pub const SPENT: usize = 4096;

/// An introduction that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What waits.
    pub introduction: Introduction,
    /// Seconds of uptime that it is still good.
    pub left_s: u32,
}

/// All of them, of one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introductions {
    /// The oldest first.
    waiting: Vec<Waiting>,
    /// The oldest first.
    spent: VecDeque<(PersonId, Id)>,
}

impl Introductions {
    /// Takes in what `from` has sent to `me`. `known` gives the card of who is a contact.
    ///
    /// # Errors
    /// [`IntroductionError`]; nothing has changed then.
    pub fn take(
        &mut self,
        bytes: &[u8],
        from: PersonId,
        me: PersonId,
        known: impl Fn(PersonId) -> Option<Card>,
    ) -> Result<(), IntroductionError> {
        let introduction = Introduction::decode(bytes)?;
        if introduction.recipient() != me {
            return Err(IntroductionError::Foreign);
        }
        if introduction.introducer() != from {
            return Err(IntroductionError::PassedOn);
        }
        let newest = known(from).map_or(0, |card| card.number());
        if introduction.number() < newest && cfg!(not(feature = "break-26")) {
            return Err(IntroductionError::Replaced);
        }
        let id = introduction.terms().id;
        if self.spent.contains(&(from, id)) {
            return Err(IntroductionError::Spent);
        }
        if self.place(from, id).is_some() {
            return Err(IntroductionError::Waiting);
        }
        if known(introduction.card().person()).is_some() {
            return Err(IntroductionError::Known);
        }
        let own = self.waiting.iter().filter(|w| w.is_of(from));
        if self.waiting.len() >= WAITING || own.count() >= WAITING_OF_ONE {
            return Err(IntroductionError::TooMany);
        }
        let left_s = introduction.terms().seconds;
        self.waiting.push(Waiting {
            introduction,
            left_s,
        });
        Ok(())
    }

    /// Uses an introduction: its card is a contact's from now on, as one who is introduced and no more. Other
    /// introductions of the same person are spent with it.
    ///
    /// # Errors
    /// [`IntroductionError::Spent`] if it does not wait, [`IntroductionError::Known`] or [`IntroductionError::NameTaken`]
    /// if one of the contacts stands in its way; nothing has changed then.
    pub fn accept<'c>(
        &mut self,
        introducer: PersonId,
        id: Id,
        contacts: impl IntoIterator<Item = &'c Card>,
    ) -> Result<Introduction, IntroductionError> {
        let place = self.place(introducer, id);
        let found = place.and_then(|at| self.waiting.get(at));
        let introduction = found.ok_or(IntroductionError::Spent)?.introduction.clone();
        for contact in contacts {
            may_stand_beside(introduction.card(), contact)?;
        }
        let person = introduction.card().person();
        self.spend(|w| w.introduction.card().person() == person);
        Ok(introduction)
    }

    /// Drops an introduction that waits. Tells whether there was one.
    pub fn decline(&mut self, introducer: PersonId, id: Id) -> bool {
        let before = self.waiting.len();
        self.spend(|w| w.is_of(introducer) && w.introduction.terms().id == id);
        self.waiting.len() < before
    }

    /// Counts uptime; what has run out is spent.
    pub fn age(&mut self, uptime: Duration) {
        let seconds = u32::try_from(uptime.as_secs()).unwrap_or(u32::MAX);
        for waiting in &mut self.waiting {
            waiting.left_s = waiting.left_s.saturating_sub(seconds);
        }
        self.spend(|w| w.left_s == 0);
    }

    /// Those that wait, the oldest first.
    pub fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    fn place(&self, introducer: PersonId, id: Id) -> Option<usize> {
        let this = |w: &Waiting| w.is_of(introducer) && w.introduction.terms().id == id;
        self.waiting.iter().position(this)
    }

    /// Those that are over wait no more, and are remembered.
    fn spend(&mut self, over: impl Fn(&Waiting) -> bool) {
        let spent: Vec<Waiting> = self.waiting.extract_if(.., |w| over(w)).collect();
        // Without the memory, an introduction can be used as often as its author sends it.
        for one in spent.iter().filter(|_| cfg!(not(feature = "break-28"))) {
            let introducer = one.introduction.introducer();
            self.remember(introducer, one.introduction.terms().id);
        }
    }

    fn remember(&mut self, introducer: PersonId, id: Id) {
        let own = self.spent.iter().filter(|(who, _)| *who == introducer);
        if own.count() >= SPENT_OF_ONE {
            let oldest = self.spent.iter().position(|(who, _)| *who == introducer);
            oldest.and_then(|at| self.spent.remove(at));
        } else if self.spent.len() >= SPENT {
            self.spent.pop_front();
        }
        self.spent.push_back((introducer, id));
    }

    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.waiting.len() as u8];
        for waiting in &self.waiting {
            let bytes = waiting.introduction.bytes();
            out.extend_from_slice(&waiting.left_s.to_be_bytes());
            out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
            out.extend_from_slice(bytes);
        }
        for (introducer, id) in &self.spent {
            out.extend_from_slice(&introducer.0);
            out.extend_from_slice(id);
        }
        out
    }

    /// Reads what [`Introductions::encode`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.version(VERSION)?;
        let mut read = Self::default();
        for _ in 0..r.u8()? {
            let (left_s, len) = (r.u32()?, r.u16()?);
            let introduction = Introduction::decode(r.take(usize::from(len))?);
            let introduction = introduction.map_err(|_| Malformed::Value("introduction"))?;
            read.waiting.push(Waiting {
                introduction,
                left_s,
            });
        }
        while !r.is_empty() {
            read.spent.push_back((PersonId(r.array()?), r.array()?));
        }
        Ok(read)
    }
}

impl Waiting {
    fn is_of(&self, introducer: PersonId) -> bool {
        self.introduction.introducer() == introducer
    }
}

/// An introduction adds a contact and changes none: it brings no other card of somebody who is known, and nobody who is
/// called like a contact. Names compare as where people are looked up.
fn may_stand_beside(card: &Card, contact: &Card) -> Result<(), IntroductionError> {
    // Without this, whoever introduces can put himself into the place of a contact.
    if cfg!(feature = "break-27") {
        return Ok(());
    }
    if card.person() == contact.person() {
        return Err(IntroductionError::Known);
    }
    let name = |card: &Card| card.body().name.trim().to_lowercase();
    if name(card) == name(contact) {
        return Err(IntroductionError::NameTaken);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::identity::Identity;
    use super::super::introduction::Terms;
    use super::*;
    use rand_core::SeedableRng;

    fn identity(seed: u64) -> Identity {
        Identity::generate(&mut rand_chacha::ChaCha20Rng::seed_from_u64(seed))
    }

    /// Person `of` introduces to `to` somebody who is known as `name`.
    fn introduced(of: &Identity, to: &Identity, who: u64, name: &str) -> Introduction {
        let terms = Terms {
            id: [who as u8; 16],
            seconds: 100,
            note: String::new(),
        };
        of.introduce(to.person(), &identity(who).card(name, 1, vec![]), terms)
    }

    #[test]
    fn it_waits_is_used_once_and_everything_reads_back() {
        let (m, a) = (identity(1), identity(2));
        let (used, left) = (introduced(&m, &a, 3, "Bo"), introduced(&m, &a, 4, "Cy"));
        let mut book = Introductions::default();
        for one in [&used, &left] {
            let taken = book.take(one.bytes(), m.person(), a.person(), |_| None);
            assert_eq!(taken, Ok(()));
        }
        let accepted = book.accept(m.person(), used.terms().id, []);
        assert_eq!(accepted.as_ref(), Ok(&used));
        book.age(Duration::from_secs(40));
        let read = Introductions::decode(&book.encode()).unwrap();
        assert_eq!(read, book);
        let [waiting] = read.waiting() else {
            panic!("{read:?}")
        };
        assert_eq!((&waiting.introduction, waiting.left_s), (&left, 60));
        let bytes = book.encode();
        assert!(Introductions::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    /// One contact fills its own places and nobody else's, and its spent ones push out no others.
    #[test]
    fn what_waits_and_what_is_remembered_is_bounded() {
        let (m, n, a) = (identity(1), identity(2), identity(3));
        let mut book = Introductions::default();
        let take = |book: &mut Introductions, of: &Identity, who: u64| {
            let one = introduced(of, &a, who, &format!("Bo {who}"));
            book.take(one.bytes(), of.person(), a.person(), |_| None)
        };
        assert_eq!(take(&mut book, &n, 9), Ok(()));
        assert!(book.decline(n.person(), [9; 16]));
        for who in 10..10 + WAITING_OF_ONE as u64 {
            assert_eq!(take(&mut book, &m, who), Ok(()));
        }
        assert_eq!(take(&mut book, &m, 99), Err(IntroductionError::TooMany));
        assert_eq!(take(&mut book, &n, 99), Ok(()));
        for id in 0..=255 {
            book.remember(m.person(), [id; 16]);
        }
        assert_eq!(book.spent.len(), 1 + SPENT_OF_ONE);
        assert_eq!(take(&mut book, &n, 9), Err(IntroductionError::Spent));
    }
}

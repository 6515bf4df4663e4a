//! Key exchanges within sessions: when offers of new generations leave, and what else has to be said of generations.
//!
//! Nothing of it is urgent, and nothing grows: of each person there is one plan, and what is owed is replaced by the next
//! of its kind.

use super::id::PersonId;
use super::io::Time;
use crate::security::session::SessionId;
use crate::wire::preamble;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often at most somebody is told that a generation is not known, and is believed that. Whoever knows cards can make
/// preambles that name one; who has lost a session must not wait long.
const AGAIN: Duration = Duration::from_secs(60);

/// What is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// Our offer.
    Offer,
    /// The answer to an offer in this session.
    Answer(SessionId),
    /// The generation that a preamble of this session named, with this confirmation, is not known.
    Unknown(SessionId, [u8; preamble::CONFIRM]),
}

/// All of them.
#[derive(Debug, Default)]
pub struct Exchanges {
    /// When it is looked at whether somebody is to get an offer, or gets it again.
    plans: BTreeMap<PersonId, Time>,
    /// The first of these moments.
    next: Option<Time>,
    /// How long the next answer is waited for.
    patience: BTreeMap<PersonId, Duration>,
    /// What leaves as soon as a link can carry it.
    owed: BTreeSet<(PersonId, Word)>,
    told: BTreeMap<PersonId, Time>,
    believed: BTreeMap<PersonId, Time>,
}

impl Exchanges {
    /// Looks at somebody at this moment, unless that is planned already.
    pub fn plan(&mut self, who: PersonId, at: Time) {
        let at = *self.plans.entry(who).or_insert(at);
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Looks at somebody again once an answer cannot be expected any more: `first` says how long that takes at first, and each
    /// time it takes twice as long. `every`: generations follow each other in this time.
    pub fn wait(&mut self, who: PersonId, first: Duration, every: Duration, now: Time) {
        let patience = self.patience.entry(who).or_insert(first.min(every / 4));
        let at = now.after(*patience);
        *patience = (*patience * 2).min(every);
        self.plan(who, at);
    }

    /// The exchange with somebody is over.
    pub fn settle(&mut self, who: PersonId) {
        self.patience.remove(&who);
        self.owed.remove(&(who, Word::Offer));
    }

    /// The first moment at which somebody is looked at.
    pub fn next(&self) -> Option<Time> {
        self.next
    }

    /// Somebody to look at by now.
    pub fn take_due(&mut self, now: Time) -> Option<PersonId> {
        self.next.filter(|next| *next <= now)?;
        let mut due = self.plans.iter().filter(|(_, at)| **at <= now);
        let who = due.next().map(|(who, _)| *who);
        if let Some(who) = &who {
            self.plans.remove(who);
        }
        self.next = self.plans.values().min().copied();
        who
    }

    /// Something is to be said to somebody.
    pub fn owe(&mut self, to: PersonId, word: Word) {
        if let Word::Unknown(..) = word {
            let other =
                |(who, word): &(PersonId, Word)| *who != to || !matches!(word, Word::Unknown(..));
            self.owed.retain(other);
        }
        self.owed.insert((to, word));
    }

    /// What is to be said, to whom.
    pub fn owed(&self) -> &BTreeSet<(PersonId, Word)> {
        &self.owed
    }

    /// It was said, or is not true any more.
    pub fn said(&mut self, to: PersonId, word: Word) {
        self.owed.remove(&(to, word));
    }

    /// Whether somebody may be told now that a generation is not known; it counts as told.
    pub fn may_tell(&mut self, whom: PersonId, now: Time) -> bool {
        take_turn(&mut self.told, whom, now)
    }

    /// Whether somebody who says that a generation is not known is believed now; it counts as believed.
    pub fn may_believe(&mut self, whom: PersonId, now: Time) -> bool {
        take_turn(&mut self.believed, whom, now)
    }
}

fn take_turn(last: &mut BTreeMap<PersonId, Time>, who: PersonId, now: Time) -> bool {
    let lately = last.get(&who).is_some_and(|at| now.since(*at) < AGAIN);
    if !lately {
        last.insert(who, now);
    }
    !lately
}

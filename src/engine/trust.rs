//! How far persons are trusted, and who is shut out.
//!
//! The host says it by [`Input::Standing`](super::io::Input::Standing) and keeps it. Levels order what one person may have
//! under way with us. Of a blocked person nothing is taken in, and nothing is sent to it.

use super::Engine;
use super::ends::End;
use super::id::{MessageId, PersonId};
use super::incoming::Incoming;
use super::io::Event;
use super::limits::Limits;
use super::reporting::Reporting;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How sure it is that a contact is who it is called. Higher levels compare greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// No contact: what comes of it waits for a word of the user.
    Unknown,
    /// The card was taken in by hand, and nothing was compared.
    #[default]
    Known,
    /// It has used an invitation of ours.
    Invited,
    /// A contact has vouched for the card.
    Introduced,
    /// The safety number was compared.
    Verified,
}

/// Manifests of one stranger of which some chunks are here.
const STRANGER_MANIFESTS: usize = 2;
/// Fragments of one stranger that came before their manifest, in bytes.
const STRANGER_EARLY: usize = 4 << 10;

/// How we stand to a person. Who was never spoken of is known and not blocked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How sure it is who it is.
    pub level: Level,
    /// Nothing is taken from it and nothing sent to it.
    pub blocked: bool,
}

/// What one person may have under way with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Messages arriving at once.
    pub messages: usize,
    /// Their bytes: room is reserved for them on the disk.
    pub bytes: u64,
    /// Manifests of which some chunks are here.
    pub manifests: usize,
    /// Verified fragments that came before their manifest, in bytes of frames.
    pub early_bytes: usize,
}

impl Limits {
    /// What a person of this level may have under way: all that one person may if it is verified, half of it if it is
    /// introduced, a third if it was invited, a quarter if it is known; next to nothing otherwise.
    pub fn quota(&self, level: Level) -> Quota {
        let share = match level {
            Level::Verified => 1,
            Level::Introduced => 2,
            Level::Invited => 3,
            Level::Known => 4,
            Level::Unknown => return self.quota_of_strangers(),
        };
        Quota {
            messages: self.inbox_messages_per_person.div_ceil(share),
            bytes: self.inbox_bytes_per_person.div_ceil(share as u64),
            manifests: self.manifests_per_person.div_ceil(share),
            early_bytes: self.early_bytes.div_ceil(share),
        }
    }

    fn quota_of_strangers(&self) -> Quota {
        let known = self.quota(Level::Known);
        Quota {
            messages: self.stranger_messages.min(known.messages),
            bytes: (self.stranger_bytes as u64).min(known.bytes),
            manifests: STRANGER_MANIFESTS.min(known.manifests),
            early_bytes: STRANGER_EARLY.min(known.early_bytes),
        }
    }
}

/// What the host has said of persons.
#[derive(Debug, Default)]
pub struct Standings {
    levels: BTreeMap<PersonId, Level>,
    blocked: BTreeSet<PersonId>,
}

impl Standings {
    /// How sure it is who a person is.
    pub fn level(&self, person: PersonId) -> Level {
        self.levels.get(&person).copied().unwrap_or_default()
    }

    /// Whether a person is shut out.
    pub fn is_blocked(&self, person: PersonId) -> bool {
        self.blocked.contains(&person)
    }

    /// Takes down what the host says. Tells whether the person was blocked before.
    fn set(&mut self, person: PersonId, standing: Standing) -> bool {
        match standing.level {
            Level::Known => self.levels.remove(&person),
            level => self.levels.insert(person, level),
        };
        match standing.blocked {
            true => !self.blocked.insert(person),
            false => self.blocked.remove(&person),
        }
    }
}

impl Engine {
    pub(super) fn on_standing(&mut self, person: PersonId, standing: Standing) {
        let was_stranger = self.is_stranger(person);
        let was_blocked = self.standings.set(person, standing);
        self.guests.remove(&person);
        if standing.blocked {
            self.shut_out(person);
        } else if was_blocked {
            self.let_in(person);
        } else if was_stranger && !self.is_stranger(person) {
            self.release(person);
        }
        self.work += 1;
    }

    /// What one person may have under way.
    pub(super) fn quota(&self, person: PersonId) -> Quota {
        self.limits.quota(self.level(person))
    }

    /// Everything of a person that is under way ends here for good, and it is not told. Messages to it wait.
    fn shut_out(&mut self, person: PersonId) {
        let from = self.inbox.values().filter(|m| m.from == person);
        let messages: Vec<MessageId> = from.map(|m| m.id).collect();
        for id in messages {
            self.give_up(id);
        }
        self.assembling.close_all(person);
        self.reports.remove_all(person);
        for link in self.links.values_mut() {
            link.pending.retain(|(mark, _)| mark.to.person != person);
        }
        if self.standings.level(person) == Level::Unknown {
            self.forget_stranger(person);
        }
    }

    /// Drops a message that is arriving, as if it was called off: what its sender was told to be here never comes anew. A
    /// part that is whole and on its way to the application gets there first.
    pub(super) fn give_up(&mut self, id: MessageId) {
        let leaving = |m: &Incoming| {
            let mut parts = m.parts.values();
            let waits = self.standings.level(m.from) == Level::Unknown;
            !waits && parts.any(|part| part.complete && !part.delivered)
        };
        let Some(message) = self.inbox.get(&id).filter(|m| !leaving(m)) else {
            return;
        };
        let person = message.from;
        let event = Event::Expired {
            message: id,
            person,
        };
        self.refuse(id, event);
    }

    /// A person hears again of what is over, and of what was left.
    fn let_in(&mut self, person: PersonId) {
        for (id, entry) in self.ledger.owed().filter(|(_, e)| e.from == person) {
            let closed = Reporting::closed(End::any(person), entry.unwanted, self.now);
            self.reports.insert(*id, closed);
        }
        for (id, message) in self.inbox.iter().filter(|(_, m)| m.from == person) {
            self.reports
                .insert(*id, Reporting::new(message.sender(), self.now));
            self.dirty.insert(*id);
        }
        self.want_sync(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each level may have at least as much under way as the one below it, and none so little that nothing comes.
    #[test]
    fn levels_order_quotas() {
        for limits in [
            Limits::default(),
            Limits {
                manifests_per_person: 1,
                inbox_messages_per_person: 1,
                inbox_bytes_per_person: 1,
                early_bytes: 1,
                ..Limits::default()
            },
        ] {
            let all = [
                Level::Unknown,
                Level::Known,
                Level::Invited,
                Level::Introduced,
                Level::Verified,
            ];
            assert!(all.is_sorted());
            let quotas = all.map(|level| limits.quota(level));
            let figures = quotas.map(|q| {
                let small = [q.messages, q.manifests, q.early_bytes];
                small.map(|n| n as u64).into_iter().chain([q.bytes])
            });
            let figures = figures.map(Vec::from_iter);
            assert!(figures[0].iter().all(|n| *n > 0));
            for pair in figures.windows(2) {
                assert!(pair[0].iter().zip(&pair[1]).all(|(a, b)| a <= b));
            }
            assert_eq!(quotas[4].manifests, limits.manifests_per_person);
        }
    }
}

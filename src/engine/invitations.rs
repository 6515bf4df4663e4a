//! Invitations that we have given: which are open, who has used which, which are over.
//!
//! An invitation is used by the first preamble that names it and holds under its secret. The row that says so is written in
//! the batch of the session, and the secret goes with it: so it is good once, through restarts, and what was sealed with its
//! help stays closed to who steals this home afterwards. Those that are over are remembered for their names; one that was
//! forgotten is unknown, and opens nothing either.

use super::id::PersonId;
use super::io::{Event, Record, Table, Time};
use super::lifetimes::Mortal;
use super::{Effect, Engine};
use crate::security::announcement::Announcement;
use crate::security::invitation::Id;
use crate::security::kdf::Key;
use crate::security::session::{EPOCH_MAX, SessionError, SessionId};
use crate::wire::read::{Malformed, Reader};
use std::collections::BTreeMap;
use std::time::Duration;

/// How an invitation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It can be used.
    Open {
        /// What goes into the key agreement.
        secret: Key,
        /// Seconds of uptime that it was good for when this began.
        left_s: u64,
        /// When this began.
        since: Time,
    },
    /// Somebody has used it.
    Used {
        /// Who says so of himself.
        by: PersonId,
        /// The session that came of it.
        session: SessionId,
        /// What later announcements of that session are confirmed by.
        confirm: Key,
    },
    /// It was taken back.
    Revoked,
    /// Its time is over.
    RunOut,
}

impl State {
    /// For how long it is good, in seconds of uptime; `None` if it is not open.
    pub fn left_s(&self, now: Time) -> Option<u64> {
        match self {
            Self::Open { left_s, since, .. } => {
                Some(left_s.saturating_sub(now.since(*since).as_secs()))
            }
            _ => None,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Invitations {
    all: BTreeMap<Id, One>,
    last: u64,
}

#[derive(Debug)]
struct One {
    /// Counts up with every change.
    number: u64,
    state: State,
}

impl Invitations {
    /// How each stands, in the order of their last change.
    pub fn list(&self) -> Vec<(Id, &State)> {
        let mut all: Vec<_> = self.all.iter().collect();
        all.sort_by_key(|(_, one)| one.number);
        all.into_iter().map(|(id, one)| (*id, &one.state)).collect()
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        let open = |one: &&One| matches!(one.state, State::Open { .. });
        self.all.values().filter(open).count()
    }

    /// How one stands.
    pub fn get(&self, id: &Id) -> Option<&State> {
        self.all.get(id).map(|one| &one.state)
    }

    /// The sessions that a person has opened by one.
    fn sessions_of(&self, person: PersonId) -> impl Iterator<Item = SessionId> + '_ {
        self.all.values().filter_map(move |one| match one.state {
            State::Used { by, session, .. } if by == person => Some(session),
            _ => None,
        })
    }

    /// Changes how one stands, or begins it. Gives the rows to write: those that are over are forgotten beyond `most`,
    /// the oldest first.
    fn set(&mut self, id: Id, state: State, now: Time, most: usize) -> Vec<Record> {
        self.last += 1;
        let one = One {
            number: self.last,
            state,
        };
        let mut records = vec![one.record(&id, now)];
        self.all.insert(id, one);
        let over = |one: &&One| !matches!(one.state, State::Open { .. });
        while self.all.values().filter(over).count() > most {
            let mut all: Vec<_> = self.all.iter().filter(|(_, one)| over(one)).collect();
            all.sort_by_key(|(_, one)| one.number);
            let Some(oldest) = all.first().map(|(id, _)| **id) else {
                break;
            };
            self.all.remove(&oldest);
            records.push(Record::Delete {
                table: Table::Session,
                key: key(&oldest),
            });
        }
        records
    }

    /// Reads a row.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn restore(&mut self, id: &[u8], value: &[u8], now: Time) -> Result<(), Malformed> {
        let id = Id::try_from(id).map_err(|_| Malformed::Value("invitation key"))?;
        let mut r = Reader::new(value);
        let (kind, number) = (r.u8()?, r.u64()?);
        let state = match kind {
            0 => State::Open {
                left_s: r.u64()?,
                secret: Key::new(r.array()?),
                since: now,
            },
            1 => State::Used {
                by: PersonId(r.array()?),
                session: r.array()?,
                confirm: Key::new(r.array()?),
            },
            2 => State::Revoked,
            3 => State::RunOut,
            _ => return Err(Malformed::Value("invitation")),
        };
        r.finish()?;
        self.last = self.last.max(number);
        self.all.insert(id, One { number, state });
        Ok(())
    }
}

impl One {
    fn record(&self, id: &Id, now: Time) -> Record {
        let kind = match self.state {
            State::Open { .. } => 0,
            State::Used { .. } => 1,
            State::Revoked => 2,
            State::RunOut => 3,
        };
        let mut value = vec![kind];
        value.extend_from_slice(&self.number.to_be_bytes());
        match &self.state {
            State::Open { secret, .. } => {
                let left = self.state.left_s(now).unwrap_or(0);
                value.extend_from_slice(&left.to_be_bytes());
                value.extend_from_slice(secret.bytes());
            }
            State::Used {
                by,
                session,
                confirm,
            } => {
                value.extend_from_slice(&by.0);
                value.extend_from_slice(session);
                value.extend_from_slice(confirm.bytes());
            }
            State::Revoked | State::RunOut => {}
        }
        Record::Put {
            table: Table::Session,
            key: key(id),
            value,
        }
    }
}

fn key(id: &Id) -> Vec<u8> {
    [b"v", &id[..]].concat()
}

impl Engine {
    /// How each of our invitations stands, in the order of their last change.
    pub fn invitations(&self) -> Vec<(Id, State)> {
        let all = self.invitations.list().into_iter();
        all.map(|(id, state)| (id, state.clone())).collect()
    }

    /// Whether a person has used an invitation of ours. Once his card is here it has to name the endpoint that did, or that
    /// session is over: so who has used one in the name of somebody else has not got that one in either.
    pub fn was_invited(&self, person: PersonId) -> bool {
        let mut opened = self.invitations.sessions_of(person);
        opened.any(|session| {
            self.sessions
                .opener(session)
                .is_some_and(|end| end.person == person)
        })
    }

    /// Whether somebody unknown may come: strangers are let in, an invitation is open, or who has used one has not sent
    /// his card yet.
    pub fn waits_for_unknown(&self) -> bool {
        let waited_for = |(_, state): (Id, &State)| match state {
            State::Open { .. } => true,
            State::Used { by, .. } => !self.cards.contains_key(by),
            State::Revoked | State::RunOut => false,
        };
        self.open_to_strangers || self.invitations.list().into_iter().any(waited_for)
    }

    pub(super) fn on_invite(&mut self, id: Id, secret: Key, seconds: u32) {
        let full = self.invitations.open() >= self.limits.invitations;
        if full || self.invitations.get(&id).is_some() {
            return self.event(Event::NotInvited { id });
        }
        let state = State::Open {
            secret,
            left_s: u64::from(seconds),
            since: self.now,
        };
        self.set_invitation(id, state);
        self.waiting.push(Effect::Invited(id));
        self.watch(Mortal::Invitation(id));
    }

    pub(super) fn on_uninvite(&mut self, id: Id) {
        if let Some(State::Open { .. }) = self.invitations.get(&id) {
            self.set_invitation(id, State::Revoked);
            self.waiting.push(Effect::Uninvited(id));
            self.watch(Mortal::Invitation(id));
        }
    }

    fn set_invitation(&mut self, id: Id, state: State) {
        let most = self.limits.invitations_over;
        let rows = self.invitations.set(id, state, self.now, most);
        rows.into_iter().for_each(|row| self.writer.durable(row));
        self.want_sync(Duration::ZERO);
    }

    /// Until when an invitation is good, and for how long.
    pub(super) fn invitation_time(&self, id: &Id) -> (Option<Time>, Option<Duration>) {
        let left = self.invitations.get(id).and_then(|s| s.left_s(self.now));
        let left = left.map(Duration::from_secs);
        (left.map(|left| self.now.after(left)), left)
    }

    /// Ends an invitation whose time is over, and writes down how long others are still good.
    pub(super) fn look_at_invitation(&mut self, id: Id) {
        let Some(state) = self.invitations.get(&id).cloned() else {
            return;
        };
        match state.left_s(self.now) {
            Some(0) => self.set_invitation(id, State::RunOut),
            Some(_) => self.set_invitation(id, state),
            None => {}
        }
    }

    /// Somebody has announced a session by an invitation of ours.
    pub(super) fn on_invited(&mut self, announced: Announcement, id: Id, frame: &[u8]) {
        let from = announced.sender();
        let secret = match self.invitations.get(&id) {
            Some(State::Open { secret, .. }) => secret.clone(),
            Some(State::Used {
                session, confirm, ..
            }) if announced.is_confirmed_by(confirm) => {
                let session = *session;
                return self.on_announced_again(&announced, session, frame);
            }
            Some(State::Used { .. }) => return self.count("invitation that was used"),
            Some(State::Revoked) => return self.count("invitation that was revoked"),
            Some(State::RunOut) => return self.count("invitation that has run out"),
            None => return self.count("invitation that is not known"),
        };
        match announced.accept_with_key(&self.me, Some(&secret)) {
            Ok((session, confirm)) => {
                let used = State::Used {
                    by: from,
                    session: session.id(),
                    confirm,
                };
                // Otherwise an invitation is good as often as anybody uses it.
                if cfg!(not(feature = "break-28")) {
                    self.set_invitation(id, used);
                }
                self.watch(Mortal::Invitation(id));
                self.on_session(session, frame);
            }
            Err(SessionError::Prekey(_)) => self.count("preamble for a prekey that is gone"),
            Err(why) => self.count_refused_session(why),
        }
    }

    /// The session that came of an invitation is announced in another epoch, or after a restart.
    fn on_announced_again(&mut self, announced: &Announcement, session: SessionId, frame: &[u8]) {
        if announced.epoch() > EPOCH_MAX {
            return self.count("preamble of an epoch too far ahead");
        }
        if self.sessions.has_gone_on(session) {
            return self.tell_unknown(announced.sender(), session, frame);
        }
        let epoch = announced.epoch();
        if let Some(row) = self.sessions.announced_again(session, epoch, frame) {
            self.writer.durable(row);
            self.waiting.push(Effect::SessionKnown(session));
            self.want_sync(Duration::ZERO);
        }
    }
}

//! When lifetimes end, and when ages are written down again.
//!
//! Age is counted in uptime. What a row says of it was true when the row was written, so a crash makes a message
//! younger; rewriting the row every [`NOTES`]th of the lifetime bounds by how much.

use super::assembly::IDLE;
use super::incoming::Incoming;
use super::io::{Event, Time};
use super::outgoing::Outgoing;
use super::{Engine, MessageId};
use crate::security::invitation;
use crate::wire::fragment::Label;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often in its lifetime a message's age is written down.
const NOTES: u32 = 16;
/// The least time from one such note to the next.
const NOTE_LEAST: Duration = Duration::from_secs(60);

/// What has a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mortal {
    /// A message in the outbox.
    Out(u64),
    /// A message arriving.
    In(MessageId),
    /// A manifest of which some chunks are here.
    Manifest(Label),
    /// An invitation of ours.
    Invitation(invitation::Id),
}

/// When to look at what next.
#[derive(Debug, Default)]
pub struct Lifetimes {
    by_time: BTreeSet<(Time, Mortal)>,
    times: BTreeMap<Mortal, Time>,
}

impl Lifetimes {
    /// When the first look is due.
    pub fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Has something looked at then, in place of whatever was said of it before.
    fn set(&mut self, what: Mortal, at: Option<Time>) {
        if let Some(old) = self.times.remove(&what) {
            self.by_time.remove(&(old, what));
        }
        if let Some(at) = at {
            self.times.insert(what, at);
            self.by_time.insert((at, what));
        }
    }

    fn due(&mut self, now: Time) -> Option<Mortal> {
        let what = self.by_time.first().filter(|(at, _)| *at <= now)?.1;
        self.set(what, None);
        Some(what)
    }
}

impl Engine {
    /// Looks after the lifetime of something that is new or has changed; of what is gone, no more.
    pub(super) fn watch(&mut self, what: Mortal) {
        let (expires, lifetime) = match what {
            Mortal::Out(seq) => {
                let message = self.outbox.get(&seq);
                let lifetime = message.and_then(Outgoing::lifetime);
                (message.and_then(Outgoing::expires), lifetime)
            }
            Mortal::In(id) => {
                let message = self.inbox.get(&id);
                let lifetime = message.and_then(Incoming::lifetime);
                (message.and_then(Incoming::expires), lifetime)
            }
            Mortal::Manifest(label) => {
                let heard = self.assembling.heard(label);
                (heard.map(|at| at.after(IDLE)), Some(IDLE * NOTES))
            }
            Mortal::Invitation(id) => self.invitation_time(&id),
        };
        let note = self
            .now
            .after((lifetime.unwrap_or_default() / NOTES).max(NOTE_LEAST));
        self.lifetimes.set(what, expires.map(|at| at.min(note)));
    }

    /// Ends what has outlived its lifetime and writes down the age of the rest.
    pub(super) fn look_at_lifetimes(&mut self) {
        while let Some(what) = self.lifetimes.due(self.now) {
            match what {
                Mortal::Out(seq) => self.look_at_outgoing(seq),
                Mortal::In(id) => self.look_at_incoming(id),
                Mortal::Invitation(id) => self.look_at_invitation(id),
                Mortal::Manifest(label) => {
                    let over = |at: Time| at.after(IDLE) <= self.now;
                    if self.assembling.heard(label).is_some_and(over) {
                        self.assembling.close(label);
                        self.count("manifest that stayed incomplete");
                    }
                }
            }
            self.watch(what);
        }
    }

    fn look_at_outgoing(&mut self, seq: u64) {
        let Some(message) = self.outbox.get(&seq) else {
            return;
        };
        if message.expires().is_some_and(|at| at <= self.now) {
            let (message, person) = (message.id, message.to);
            return self.dismiss(seq, Event::Expired { message, person });
        }
        self.writer.durable(message.record(self.now));
        self.want_sync(NOTE_LEAST);
    }

    fn look_at_incoming(&mut self, id: MessageId) {
        let Some(message) = self.inbox.get(&id) else {
            return;
        };
        if message.expires().is_some_and(|at| at <= self.now) {
            let (message, person) = (id, message.from);
            return self.refuse(id, Event::Expired { message, person });
        }
        self.writer.durable(message.record(self.now));
        self.want_sync(NOTE_LEAST);
    }
}

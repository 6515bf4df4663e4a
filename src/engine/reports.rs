//! The reports about all messages, and when a link has the next one of them to carry.
//!
//! Every input asks each link for a report that is due, and nearly always none is. So a link remembers until when it has
//! none; any change here makes that void.

use super::io::{LinkId, Time};
use super::link::Link;
use super::reporting::Reporting;
use super::{MessageId, PersonId};
use std::collections::BTreeMap;

/// Until when a link has no report to carry, for ever if there is no such moment, at a count of changes.
pub type Quiet = (u64, Option<Time>);

/// All of them, by message.
#[derive(Debug, Default)]
pub struct Reports {
    by_message: BTreeMap<MessageId, Reporting>,
    changes: u64,
}

impl Reports {
    /// What is told about a message.
    pub fn get_mut(&mut self, message: &MessageId) -> Option<&mut Reporting> {
        self.changes += 1;
        self.by_message.get_mut(message)
    }

    /// Begins to tell about a message, or begins anew.
    pub fn insert(&mut self, message: MessageId, reporting: Reporting) {
        self.changes += 1;
        self.by_message.insert(message, reporting);
    }

    /// What is told about a message, begun if need be.
    pub fn get_or_insert(
        &mut self,
        message: MessageId,
        begin: impl FnOnce() -> Reporting,
    ) -> &mut Reporting {
        self.changes += 1;
        self.by_message.entry(message).or_insert_with(begin)
    }

    /// Of how many messages a person is to be told that they cannot be taken in now.
    pub fn put_off(&self, to: PersonId) -> usize {
        let all = self.by_message.values();
        let its = all.filter(|reporting| reporting.to.person == to && reporting.is_put_off());
        its.count()
    }

    /// Nothing more is to be told about a message.
    pub fn remove(&mut self, message: &MessageId) {
        self.changes += 1;
        self.by_message.remove(message);
    }

    /// Nothing more is to be told to a person.
    pub fn remove_all(&mut self, to: PersonId) {
        self.changes += 1;
        self.by_message
            .retain(|_, reporting| reporting.to.person != to);
    }

    /// Nothing of what a link carried before counts as told by it.
    pub fn forget(&mut self, link: LinkId) {
        self.changes += 1;
        for reporting in self.by_message.values_mut() {
            reporting.told.remove(&link);
        }
    }

    /// When the first report is due that a link can carry; what the link remembers of that.
    pub fn due(&self, id: LinkId, link: &Link) -> Quiet {
        if let Some(quiet) = link.quiet.filter(|(changes, _)| *changes == self.changes) {
            return quiet;
        }
        let able = self.able(link);
        let first = able.filter_map(|(_, reporting)| reporting.due(id)).min();
        (self.changes, first)
    }

    /// The first message of which a report is due on a link by now.
    pub fn first_due(&self, id: LinkId, link: &Link, now: Time) -> Option<MessageId> {
        let due = |r: &Reporting| r.due(id).is_some_and(|at| at <= now);
        let mut able = self.able(link);
        able.find(|(_, reporting)| due(reporting)).map(|(m, _)| *m)
    }

    fn able<'a>(&'a self, link: &'a Link) -> impl Iterator<Item = (&'a MessageId, &'a Reporting)> {
        let all = self.by_message.iter();
        all.filter(|(_, reporting)| link.toward(reporting.to).is_some())
    }
}

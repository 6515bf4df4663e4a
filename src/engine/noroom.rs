//! What there is no room for: its recipient says so, and its sender waits with it alone.
//!
//! Of a message that cannot be taken in now nothing is kept, so nothing would ever be reported of its symbols, and a link that
//! carries them looks like one that swallows everything. A report without a word but that the manifest is not here tells it from
//! that. Symbols then wait, none of them counts as lost, and the manifest is offered again, more rarely each time, until the
//! answer is that it is here.

use super::ends::End;
use super::io::{LinkId, Time};
use super::link::Link;
use super::outgoing::{OutPart, Outgoing};
use super::reporting::Reporting;
use super::{Engine, MessageId};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a message waits at first before it is offered again.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// How often that doubles.
const DOUBLINGS: u32 = 5;

/// A message of ours waits for room.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// How often it was offered in vain, the first time left out.
    times: u32,
    /// Until when.
    until: Time,
}

impl Wait {
    /// The first one, or the next. Copies of an answer are no answers to a further question.
    fn next(last: Option<Self>, now: Time) -> Self {
        if let Some(last) = last.filter(|last| last.until > now) {
            return last;
        }
        let times = last.map_or(0, |last| (last.times + 1).min(DOUBLINGS));
        Self {
            times,
            until: now.after(FIRST_WAIT * (1 << times)),
        }
    }
}

impl Engine {
    /// A message is not taken in now. Its sender is told, unless there is a good deal else that this person is to be told of:
    /// who makes up many of them fills nothing here.
    pub(super) fn put_off(&mut self, id: MessageId, by: End) {
        let most = self.quota(by.person).manifests;
        let known = self.reports.get_mut(&id);
        if known.is_some_and(|reporting| reporting.is_put_off()) {
            return self.tell_again(id);
        }
        if self.reports.put_off(by.person) < most {
            self.reports.insert(id, Reporting::put_off(by, self.now));
        }
    }

    /// A recipient has no room for a message of ours.
    pub(super) fn on_no_room(&mut self, seq: u64) {
        let now = self.now;
        let Some(message) = self.outbox.get_mut(&seq) else {
            return;
        };
        self.work += 1;
        if message.manifest_there {
            // An older word that came late, or the disk there has lost it: the next offer shows which.
            message.manifest_there = false;
            return message.offers.clear();
        }
        message.wait_for_room(&self.links, now);
        let carries = |link: &Link| link.sent.iter().any(|sent| sent.seq == seq);
        let carrying = self.links.iter().filter(|(_, link)| carries(link));
        let carrying: Vec<LinkId> = carrying.map(|(id, _)| *id).collect();
        self.forget_sent(seq);
        for id in carrying {
            if let Some(link) = self.links.get_mut(&id) {
                link.spare_doubt();
            }
        }
    }
}

impl Outgoing {
    /// Whether it waits for room with its recipient.
    pub fn waits_for_room(&self) -> bool {
        self.no_room.is_some()
    }

    /// Nothing of it counts as there, but for parts that were verified, and it is offered again after a while.
    fn wait_for_room(&mut self, links: &BTreeMap<LinkId, Link>, now: Time) {
        let wait = Wait::next(self.no_room, now);
        self.no_room = Some(wait);
        self.hold_until = None;
        for part in self.parts.values_mut().filter(|part| !part.complete) {
            *part = OutPart::new(*part.pool.geometry(), part.priority);
        }
        for (id, offer) in &mut self.offers {
            // A thin link has other things to carry.
            let patience = links.get(id).map_or(Duration::ZERO, Link::patience);
            (offer.left, offer.symbols) = (0, 0);
            offer.next = wait.until.max(now.after(patience * wait.times));
        }
    }
}

//! Homes that have gone back to an older disk, ours and others': notes that tell of it, and what follows.

use super::ends::End;
use super::io::{Event, LinkId, Record, Time};
use super::link::{Link, Ready, UNHURRIED};
use super::{Effect, Engine, PersonId};
use crate::wire::incarnation::{Incarnation, Note};
use crate::wire::manifest;
use std::time::Duration;

/// How soon what others may be told of our life is durable.
const SOON: Duration = Duration::from_secs(1);

/// What a note names an endpoint by.
fn beginning(key: [u8; 32]) -> [u8; 8] {
    std::array::from_fn(|i| key[i])
}

impl Engine {
    /// Something authentic came from somebody.
    pub(super) fn meet(&mut self, who: End, by: LinkId) {
        let patience = self.links.get(&by).map_or(UNHURRIED, Link::unhurried);
        let met = (by, patience);
        let row = self.incarnations.met(who, met, &mut self.rng, self.now);
        self.write_incarnation(row);
    }

    fn write_incarnation(&mut self, row: Option<Record>) {
        if let Some(row) = row {
            self.writer.durable(row);
            let number = self.incarnations.number();
            self.waiting.push(Effect::Incarnation(number));
            self.want_sync(SOON);
        }
    }

    /// When a note is due on a link that has room.
    pub(super) fn note_due(&self) -> Option<Time> {
        let has_room = |link: &Link| link.credit > 0 && link.pending.is_empty();
        let links = self.links.iter().filter(|(_, link)| has_room(link));
        links
            .filter_map(|(id, link)| self.note_due_on(*id, link))
            .min()
    }

    /// Whether a note is due by now that this link can carry.
    pub(super) fn has_note(&self, id: LinkId) -> bool {
        let link = self.links.get(&id);
        let due = link.and_then(|link| self.note_due_on(id, link));
        due.is_some_and(|at| at <= self.now)
    }

    fn note_due_on(&self, id: LinkId, link: &Link) -> Option<Time> {
        let able = |end: End| link.toward(end).is_some() && !self.standings.is_blocked(end.person);
        self.incarnations.due(id, able)
    }

    /// A note that is due and that this link can carry.
    pub(super) fn next_note(&mut self, id: LinkId) -> Option<Ready> {
        let link = self.links.get(&id)?;
        let standings = &self.standings;
        let able = |end: End| link.toward(end).is_some() && !standings.is_blocked(end.person);
        let (to, note) = self.incarnations.take(self.now, id, able)?;
        // Other endpoints may hear it, who have lives of their own.
        let several = self.ends_of(to.person).len() > 1;
        let note = Note {
            to: to.key.filter(|_| several).map(beginning),
            ..note
        };
        self.control(to, manifest::INCARNATION, note.encode().into())
    }

    /// A note came.
    pub(super) fn on_incarnation(&mut self, by: End, content: &[u8]) {
        let from = by.person;
        let Ok(note) = Note::decode(content) else {
            return self.count("malformed control record");
        };
        let own = beginning(self.me.endpoint_key());
        let note = match note.to.is_none_or(|to| to == own) {
            true => note,
            false => Note {
                wants_answer: false,
                seen: None,
                ..note
            },
        };
        let heard = self.incarnations.hear(by, &note, self.now);
        if let Some(record) = heard.record {
            self.writer.durable(record);
            self.want_sync(SOON);
        }
        if heard.they_went_back {
            self.peers_went_back.insert(from);
            self.event(Event::PeerWentBack { person: from });
        }
        if let Some(seen) = note.seen.filter(|_| heard.we_went_back) {
            self.find_out(from, seen);
        }
        let answers = note.wants_answer || heard.we_went_back;
        if let Some((_, link)) = self.heard.get(&by).filter(|_| answers) {
            let row = self.incarnations.owe(by, *link, self.now);
            self.write_incarnation(row);
        }
    }

    /// This home is older than somebody has heard, or there are two of it. Sessions that another process may have gone on
    /// with are left to it.
    fn find_out(&mut self, by: PersonId, seen: Incarnation) {
        self.incarnations.leap(seen, &mut self.rng, self.now);
        self.went_back = true;
        self.event(Event::HomeWentBack { by });
        for person in self.sessions.abandon() {
            if let Some(card) = self.cards.get(&person).cloned() {
                self.renew_session(&card);
            }
        }
    }
}

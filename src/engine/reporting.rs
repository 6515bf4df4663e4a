//! What others are told of what is here: reports and receipts, and when they leave.

use super::ends::End;
use super::incoming::Incoming;
use super::io::{LinkId, Output, Time};
use super::link::{Postmark, Ready};
use super::{Effect, Engine, MessageId};
use crate::wire::fragment::{Kind, NARROW_OVERHEAD, Place};
use crate::wire::manifest::{self, Lifetime, Manifest};
use crate::wire::report::{self, Header, STILL_SO};
use bytes::Bytes;
use rand_core::Rng;
use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes of a report from which on a link counts as wide.
const WIDE_REPORT: usize = 600;
/// How often the last word about a message is repeated.
const REPEATS: u8 = 2;

/// What is durable of a message. Only this is ever reported.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Everything was delivered.
    pub complete: bool,
    /// The rest is not wanted.
    pub unwanted: bool,
    /// What comes has to be sealed to us alone.
    pub apart: bool,
    /// There is no room for it now, so that nothing of it is here.
    pub put_off: bool,
    /// Parts: number, mask of a whole symbol, and what is held.
    pub parts: Vec<(u8, u8, report::Part)>,
    /// When the view was taken.
    pub at: Time,
}

/// Reports about one message.
#[derive(Debug)]
pub struct Reporting {
    /// To whom.
    pub to: End,
    /// What is durable, once anything is.
    pub view: Option<View>,
    /// Counts up with each view and each request.
    pub version: u64,
    /// What was told by which link.
    pub told: BTreeMap<LinkId, Told>,
    /// When the last view was taken, durable or not.
    taken: Time,
    /// When the one was taken that was told last.
    told_of: Option<Time>,
    number: u32,
    asked: Time,
}

/// What was told by one link.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    version: u64,
    repeats: u8,
    /// When something new may be told.
    next: Time,
    /// When the same is told again.
    again: Time,
    /// Where the next report goes on, since the last one had no room for all: part and block.
    goes_on: Option<(u8, u16)>,
}

impl Reporting {
    /// The message was delivered, or refused, and all of that is durable.
    pub fn closed(to: End, unwanted: bool, now: Time) -> Self {
        let view = View {
            complete: !unwanted,
            unwanted,
            at: now,
            ..View::default()
        };
        Self {
            view: Some(view),
            version: 1,
            ..Self::new(to, Time::default())
        }
    }

    /// The message cannot be taken in now. That promises nothing, so it waits for no batch.
    pub fn put_off(to: End, now: Time) -> Self {
        let view = View {
            put_off: true,
            at: now,
            ..View::default()
        };
        Self {
            view: Some(view),
            version: 1,
            ..Self::new(to, now)
        }
    }

    /// Whether it tells that the message cannot be taken in now.
    pub fn is_put_off(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.put_off)
    }

    /// Nothing is durable yet.
    pub fn new(to: End, now: Time) -> Self {
        Self {
            to,
            view: None,
            version: 0,
            told: BTreeMap::new(),
            taken: Time::default(),
            told_of: None,
            number: 0,
            asked: now,
        }
    }

    /// When a report by this link is due; `None` if there is nothing to say.
    pub fn due(&self, link: LinkId) -> Option<Time> {
        self.view.as_ref()?;
        match self.told.get(&link) {
            None => Some(Time::default()),
            Some(told) if told.version < self.version => Some(told.next),
            Some(told) => (told.repeats > 0).then_some(told.again),
        }
    }

    /// A report has left by this link. If there was no room for all, a wide link goes on at once; a thin one, on
    /// which that would be all it carries, at its next turn.
    fn told(
        &mut self,
        link: LinkId,
        now: Time,
        interval: Duration,
        goes_on: Option<(u8, u16)>,
        wide: bool,
    ) {
        let told = self.told.entry(link).or_insert(Told {
            version: 0,
            repeats: 0,
            next: now,
            again: now,
            goes_on: None,
        });
        told.goes_on = goes_on;
        if goes_on.is_some() && wide {
            told.version = 0;
            told.next = now;
        } else if told.version < self.version {
            *told = Told {
                version: self.version,
                repeats: REPEATS,
                next: now.after(interval),
                again: now.after(interval),
                goes_on,
            };
        } else {
            told.repeats = told.repeats.saturating_sub(1);
            (told.next, told.again) = (now.after(interval), now.after(interval * 8));
        }
    }
}

impl Engine {
    /// The sender seems not to know what is here.
    pub(super) fn tell_again(&mut self, message: MessageId) {
        let now = self.now;
        if let Some(reporting) = self.reports.get_mut(&message)
            && (now.since(reporting.asked) >= super::SYNC_INTERVAL || reporting.version == 0)
        {
            reporting.asked = now;
            reporting.version += 1;
        }
    }

    /// A fragment of a delivered message came: its sender has not got the receipt.
    pub(super) fn answer_late_copy(&mut self, message: MessageId) {
        let Some(entry) = self.ledger.get(&message) else {
            return;
        };
        if self.dirty.contains(&message) || self.standings.is_blocked(entry.from) {
            return;
        }
        let (now, unwanted) = (self.now, entry.unwanted);
        // Nobody has noted which endpoint sent it.
        let from = End::any(entry.from);
        let closed = || Reporting::closed(from, unwanted, now);
        let reporting = self.reports.get_or_insert(message, closed);
        if let Some(view) = &mut reporting.view {
            view.at = now;
        }
        self.tell_again(message);
    }

    /// The next moment at which a report is due on a link that has room.
    pub(super) fn report_due(&self) -> Option<Time> {
        let links = self
            .links
            .iter()
            .filter(|(_, l)| l.credit > 0 && l.pending.is_empty());
        links
            .filter_map(|(id, link)| self.reports.due(*id, link).1)
            .min()
    }

    /// A report that is due on this link.
    pub(super) fn next_report(&mut self, id: LinkId) -> Option<Ready> {
        let link = self.links.get_mut(&id)?;
        let room = control_room(link.room());
        let quiet = self.reports.due(id, link);
        link.quiet = Some(quiet);
        quiet.1.filter(|at| *at <= self.now)?;
        let message = self.reports.first_due(id, link, self.now)?;
        let interval = self.report_interval(id, room);
        let reporting = self.reports.get_mut(&message)?;
        let from = reporting.told.get(&id).and_then(|told| told.goes_on);
        let delay_ms = reporting.delay_ms(self.now, self.dirty.contains(&message));
        let (bytes, goes_on) = reporting.encode(message, room, delay_ms, from);
        reporting.told(id, self.now, interval, goes_on, room >= WIDE_REPORT);
        let to = reporting.to;
        let finished = reporting
            .view
            .as_ref()
            .is_some_and(|v| v.complete || v.unwanted || v.put_off);
        if finished
            && self
                .links
                .iter()
                .all(|(id, l)| l.toward(to).is_none() || reporting.due(*id).is_none())
        {
            self.reports.remove(&message);
            if let Some(row) = self.ledger.told(&message) {
                self.writer.durable(row);
                self.want_sync(Duration::from_secs(1));
            }
        }
        self.control(to, manifest::REPORT, bytes.into())
    }

    /// The quickest link tells most often; others serve as its stand-ins.
    fn report_interval(&self, id: LinkId, bytes: usize) -> Duration {
        let Some(link) = self.links.get(&id) else {
            return Duration::from_secs(1);
        };
        let rtt = |l: &super::link::Link| {
            l.profile
                .as_ref()
                .and_then(|p| p.rtt)
                .or(l.rate.srtt())
                .unwrap_or(Duration::from_millis(200))
        };
        let live = self
            .links
            .values()
            .filter(|l| l.profile.as_ref().is_some_and(|p| p.can_send && !p.courier));
        let best = live.map(rtt).min().unwrap_or_default();
        let interval = link.report_interval(bytes.min(400));
        if rtt(link) > best {
            interval * 3
        } else {
            interval
        }
    }

    /// A note to somebody that we know their session, by this link.
    pub(super) fn next_ack(&mut self, id: LinkId) -> Option<Ready> {
        let link = self.links.get(&id)?;
        let (standings, cards) = (&self.standings, &self.cards);
        let able = |peer: End| {
            let reaches = link.toward(peer).is_some() && cards.contains_key(&peer.person);
            reaches && !standings.is_blocked(peer.person)
        };
        let (to, note) = self.sessions.take_ack(able)?;
        self.control(to, manifest::SESSION_ACK, note.into())
    }

    /// Seals a control record: a message of its own, in one frame.
    pub(super) fn control(&mut self, to: End, kind: &str, content: Bytes) -> Option<Ready> {
        let person = to.person;
        let card = self.cards.get(&person)?;
        let (sending, record) = self
            .sessions
            .sending(&self.me, card, &mut self.rng, self.now)
            .ok()?;
        let turned = sending.turn(self.now) | sending.is_note_due(self.now);
        let mut frame = None;
        while frame.is_none() {
            let mut salt = [0; 8];
            self.rng.fill_bytes(&mut salt);
            let record = Manifest::single(salt, None, Lifetime::default(), kind, content.clone());
            let id = record.message_id(self.me.person(), person);
            let seals = &mut self.seals;
            frame = sending
                .control_keys(id)
                .map(|keys| seals.seal(&keys, Kind::Short, &Place::SHORT, &record.encode()));
        }
        let row = if turned {
            Some(sending.record(person, self.now))
        } else {
            record
        };
        if let Some(row) = row {
            self.writer.durable(row);
            self.want_sync(Duration::from_secs(1));
        }
        let mark = Postmark {
            to,
            tag: 0,
            priority: 0,
            age_s: 0,
        };
        frame.map(|frame| Ready::one(mark, frame))
    }

    /// Takes down what is held of all messages that changed: it may be told once this batch counts.
    pub(super) fn take_views(&mut self) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.waiting);
        for id in std::mem::take(&mut self.dirty) {
            let at = self.now;
            let view = match (self.inbox.get_mut(&id), self.ledger.get(&id)) {
                (Some(message), _) => {
                    message
                        .records(at)
                        .into_iter()
                        .for_each(|record| self.writer.durable(record));
                    let full = |part: u8| {
                        let geometry = message.parts.get(&part).and_then(|p| p.geometry);
                        geometry.map_or(0, |g| g.coding.full_mask())
                    };
                    let parts = message
                        .held()
                        .into_iter()
                        .map(|(part, held)| (part, full(part), held))
                        .collect();
                    View {
                        complete: false,
                        unwanted: message.unwanted,
                        apart: message.apart,
                        put_off: false,
                        parts,
                        at,
                    }
                }
                (None, Some(entry)) => View {
                    complete: !entry.unwanted,
                    unwanted: entry.unwanted,
                    at,
                    ..View::default()
                },
                (None, None) => continue,
            };
            if let Some(reporting) = self.reports.get_mut(&id) {
                reporting.taken = at;
            }
            effects.push(Effect::View(id, Box::new(view)));
        }
        for (&id, link) in &mut self.links {
            if link.custody.0 > link.custody.1 {
                link.custody.1 = link.custody.0;
                effects.push(Effect::Release {
                    link: id,
                    upto: link.custody.0,
                });
            }
        }
        effects
    }

    /// A view became durable.
    pub(super) fn on_view(&mut self, id: MessageId, view: View) {
        let deliver: Vec<u8> = match self.inbox.get(&id) {
            Some(m) => m
                .parts
                .iter()
                .filter(|(_, p)| p.complete && !p.delivered)
                .map(|(part, _)| *part)
                .collect(),
            None => Vec::new(),
        };
        for part in deliver {
            // What is complete in memory may be so only since this batch left; then the next one delivers it.
            let told = view
                .parts
                .iter()
                .any(|(p, _, held)| *p == part && *held == report::Part::Complete);
            let inline = self
                .inbox
                .get(&id)
                .is_some_and(|m| m.parts.get(&part).is_some_and(|p| p.geometry.is_none()));
            if told || inline {
                self.offer(id, part);
            }
        }
        if self.inbox.get(&id).is_some_and(Incoming::all_delivered) {
            self.offer(id, 0);
        }
        if let Some(reporting) = self.reports.get_mut(&id) {
            reporting.view = Some(view);
            reporting.version += 1;
        }
    }

    /// Hands a part, or with 0 the whole, to the application, once per start.
    fn offer(&mut self, message: MessageId, part: u8) {
        let waits = |m: &&Incoming| !self.waits_for_host(m);
        let Some(incoming) = self.inbox.get(&message).filter(waits) else {
            return;
        };
        if self.offered.insert((message, part)) {
            let from = incoming.from;
            self.out.push_back(Output::Deliver(super::io::Delivery {
                message,
                from,
                part,
            }));
        }
    }

    /// The application has it, durably.
    pub(super) fn on_delivered(&mut self, message: MessageId, part: u8) {
        let Some(incoming) = self.inbox.get_mut(&message) else {
            return;
        };
        if part == 0 {
            if incoming.all_delivered()
                && let Some(done) = self.inbox.remove(&message)
            {
                self.close(&done, false);
            }
            return;
        }
        if let Some(state) = incoming.parts.get_mut(&part).filter(|state| state.complete) {
            state.delivered = true;
            state.touch();
        }
        let (all, from) = (incoming.all_delivered(), incoming.from);
        self.dirty.insert(message);
        self.want_sync(super::SYNC_INTERVAL);
        if all {
            self.offer(message, 0);
        } else if self.standings.is_blocked(from) {
            self.give_up(message);
        }
    }
}

impl Reporting {
    /// How old the state is of which a report tells now. What was told before and is still so, since nothing has `changed`
    /// that is not told, is as of now: what is missing then has had so much longer to come.
    fn delay_ms(&mut self, now: Time, changed: bool) -> u16 {
        let at = self.view.as_ref().map_or(now, |view| view.at);
        let told = self.told_of.replace(at) == Some(at);
        if told && !changed && self.taken == at {
            return STILL_SO;
        }
        let age = now.since(at).as_millis().max(u128::from(STILL_SO) + 1);
        u16::try_from(age).unwrap_or(u16::MAX)
    }

    /// The report, and where the next one has to go on if this had no room for all.
    fn encode(
        &mut self,
        message: MessageId,
        room: usize,
        delay_ms: u16,
        from: Option<(u8, u16)>,
    ) -> (Vec<u8>, Option<(u8, u16)>) {
        self.number += 1;
        let mut id = [0; 16];
        id.copy_from_slice(&message.0[..16]);
        let view = self.view.clone().unwrap_or_default();
        let header = Header {
            complete: view.complete,
            manifest: !view.put_off,
            partial: from.is_some(),
            unwanted: view.unwanted,
            apart: view.apart,
            message: id,
            number: self.number,
            delay_ms,
        };
        let mut writer = report::Writer::new(&header, room);
        let mut goes_on = None;
        for (part, full, held) in view
            .parts
            .iter()
            .filter(|(part, ..)| from.is_none_or(|(p, _)| *part >= p))
        {
            let first = from
                .filter(|(p, _)| p == part)
                .map_or(0, |(_, block)| block);
            let left_out = writer.part(*part, &held.listed_from(first), *full);
            goes_on = goes_on.or(left_out.map(|block| (*part, block)));
        }
        // Nothing at all had room where this one began: the next begins anew.
        let goes_on = goes_on.filter(|next| Some(*next) != from);
        (writer.finish(), goes_on)
    }
}

/// Bytes that a control record in a frame of `room` bytes can have.
pub(super) fn control_room(room: usize) -> usize {
    room.saturating_sub(NARROW_OVERHEAD + manifest::SHORT_OVERHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Time {
        Time(n * 1_000_000)
    }

    /// Reports about a message of which a view was taken, and became durable, at that moment.
    fn reporting(at: Time) -> Reporting {
        let person = super::super::PersonId([1; 32]);
        let mut reporting = Reporting::new(End::any(person), Time::default());
        see(&mut reporting, at);
        reporting
    }

    fn see(reporting: &mut Reporting, at: Time) {
        reporting.taken = at;
        reporting.view = Some(View {
            at,
            ..View::default()
        });
        reporting.version += 1;
    }

    /// Guards what tells a lost tail: the same state is as of now when it is told again, unless something came in between or
    /// is on its way to the disk. The first time its age is told, which is never that of now.
    #[test]
    fn what_is_still_so_is_as_of_now() {
        let mut reporting = reporting(ms(100));
        assert_eq!(reporting.delay_ms(ms(100), false), 1);
        assert_eq!(reporting.delay_ms(ms(250), false), STILL_SO);
        assert_eq!(reporting.delay_ms(ms(300), true), 200);
        reporting.taken = ms(310);
        assert_eq!(reporting.delay_ms(ms(320), false), 220);
        see(&mut reporting, ms(310));
        assert_eq!(reporting.delay_ms(ms(330), false), 20);
        assert_eq!(reporting.delay_ms(ms(90_000), false), STILL_SO);
    }

    /// Guards that news after a while of silence waits no longer than in a row of reports: what is said again is rare, what is
    /// new is not.
    #[test]
    fn news_does_not_wait_for_a_repetition() {
        let (link, interval) = (LinkId(1), Duration::from_millis(150));
        let mut reporting = reporting(ms(0));
        reporting.told(link, ms(10), interval, None, true);
        assert_eq!(reporting.due(link), Some(ms(160)));
        reporting.told(link, ms(160), interval, None, true);
        assert_eq!(reporting.due(link), Some(ms(1360)));
        see(&mut reporting, ms(200));
        assert_eq!(reporting.due(link), Some(ms(310)));
    }
}

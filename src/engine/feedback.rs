//! A report came: what is there, what was lost, and how the links have done.

use super::ends::End;
use super::io::{Event, LinkId, Time};
use super::link::{Link, Sent};
use super::outgoing::Outgoing;
use super::pool::carrier;
use super::{Engine, MessageId};
use crate::wire::report::{Header, Held, Part, Report, STILL_SO};
use std::collections::BTreeMap;
use std::time::Duration;

/// By how many fragments a relay may mix up their order.
const REORDERED: u64 = 3;

/// What a report has shown of one link.
#[derive(Default)]
struct Tally {
    delivered: u64,
    lost: u64,
    /// Bytes that are there, by whatever link.
    untold: u64,
    /// When the youngest left that the recipient lists.
    newest: Option<Time>,
    /// The same of those that it needs no more.
    spared: Option<Time>,
    /// Something arrived that had left by this link alone.
    proven: bool,
    /// Fragments that were lost.
    gone: Vec<Sent>,
}

/// What tells which fragments are late that no report tells of.
enum Order {
    /// The link keeps the order in which they left, but for a little: what left before the first moment is overtaken, and before
    /// the second has had its time.
    OfTimes { overtaken: Time, late: Time },
    /// A relay keeps the order of what is equally urgent: of each part, what left well before the youngest that has
    /// arrived; and what left before that moment.
    OfParts {
        late: Time,
        newest: BTreeMap<u8, u64>,
    },
}

impl Order {
    fn is_late(&self, sent: &Sent) -> bool {
        match self {
            Self::OfTimes { overtaken, late } => sent.at < *overtaken.max(late),
            Self::OfParts { late, newest } => {
                let passed = |newest: &u64| sent.number + REORDERED < *newest;
                sent.at < *late || newest.get(&sent.part).is_some_and(passed)
            }
        }
    }

    /// Whether it is lost and not merely late.
    fn is_overtaken(&self, sent: &Sent) -> bool {
        matches!(self, Self::OfTimes { overtaken, .. } if sent.at < *overtaken)
    }
}

/// What became of a fragment under way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    There,
    Lost,
    Open,
}

impl Engine {
    pub(super) fn on_report(&mut self, from: End, content: &[u8]) {
        let Ok(header) = Header::peek(content) else {
            return self.count("malformed report");
        };
        let mut low = [0; 32];
        low[..16].copy_from_slice(&header.message);
        let known = self.outbox_ids.range((MessageId(low), End::FIRST)..);
        let known: Vec<(MessageId, End, u64)> = known
            .take_while(|((id, _), _)| id.0[..16] == header.message)
            .map(|((id, to), seq)| (*id, *to, *seq))
            .collect();
        // An endpoint that has confirmed all may say so again while others of the person have not.
        let is_somebody_elses = |(_, to, _): &(_, End, _)| to.person != from.person;
        let its = |(_, to, _): &&(_, End, _)| to.matches(from);
        // Without the question to whom it goes, any contact gives a receipt.
        let any = || {
            let others = known.first().filter(|place| is_somebody_elses(place));
            others.filter(|_| cfg!(feature = "break-29"))
        };
        let Some((id, to, seq)) = known.iter().find(its).or_else(any).copied() else {
            if !known.is_empty() && known.iter().all(is_somebody_elses) {
                self.count("report of somebody else");
            }
            return;
        };
        let to = to.person;
        // It does not show that the session is known there: a name in a ledger and the keys of a message outlive it.
        let Some(message) = self.outbox.get_mut(&seq) else {
            return;
        };
        let full = |part: u8| {
            message
                .parts
                .get(&part)
                .map(|p| p.pool.geometry().coding.full_mask())
        };
        let Ok(report) = Report::decode(content, full) else {
            return self.count("malformed report");
        };
        self.work += 1;
        if header.complete {
            self.all_arrived(seq);
            return self.dismiss(
                seq,
                Event::Confirmed {
                    message: id,
                    by: to,
                    part: 0,
                },
            );
        }
        if header.unwanted {
            let (message, person) = (id, to);
            return self.dismiss(seq, Event::Expired { message, person });
        }
        let able = |link: &&Link| link.toward(from).is_some();
        let limits = self.links.values().filter(able).map(Link::silence_limit);
        message.answered(self.now, limits.max().unwrap_or_default());
        if message.withdrawn {
            // The note that it was given up has not got there.
            return message.offers.clear();
        }
        if !header.manifest {
            return self.on_no_room(seq);
        }
        message.no_room = None;
        if header.apart && message.set_apart() {
            self.writer.durable(message.record(self.now));
            self.want_sync(super::SYNC_INTERVAL);
            return self.forget_sent(seq);
        }
        if message.apart && !header.apart {
            // From before the recipient threw away what it tells of.
            return;
        }
        self.doubt(seq, &report);
        let Some(message) = self.outbox.get_mut(&seq) else {
            return;
        };
        if !header.partial {
            message
                .parts
                .values_mut()
                .for_each(|part| part.pool.learn(0, u32::MAX));
        }
        message.hold_until = None;
        message.manifest_there = true;
        let completed = message.merge(&report);
        for part in completed {
            self.schedule.retain(|&(_, s, p)| s != seq || p != part);
            if self.is_part_known(seq, part) {
                continue;
            }
            self.event(Event::Confirmed {
                message: id,
                by: to,
                part,
            });
        }
        self.tally(seq, &report);
    }

    /// All of a message has arrived, which may tell of a relay that something came through.
    fn all_arrived(&mut self, seq: u64) {
        let Some(message) = self.outbox.get_mut(&seq) else {
            return;
        };
        message
            .parts
            .values_mut()
            .for_each(|part| part.pool.complete());
        for (&id, link) in &mut self.links {
            if message.note_shown(id, link) {
                link.prove(self.now);
            }
        }
    }

    /// Settles what is under way: there, lost, or still open.
    fn tally(&mut self, seq: u64, report: &Report) {
        let Some(message) = self.outbox.get_mut(&seq) else {
            return;
        };
        let alone = is_alone(&self.links, message.end());
        for (&id, link) in &mut self.links {
            message.tally(id, link, report, alone, self.now);
        }
    }

    /// Fragments on which nobody has reported for long count no longer as under way.
    pub(super) fn look_for_losses(&mut self) {
        if self.loss_at.is_none_or(|at| at > self.now) {
            return;
        }
        let now = self.now;
        let mut next: Option<Time> = None;
        for (&id, link) in &mut self.links {
            let limit = link.loss_limit();
            // A relay that nobody asks still has what it was given.
            let (kept, carried) = (link.is_relayed(), link.is_carried_both_ways());
            while let Some(sent) = link
                .sent
                .front()
                .filter(|s| now.since(s.at) > limit)
                .copied()
            {
                link.sent.pop_front();
                link.rate.forget(sent.bytes as usize);
                if let Some(message) = self.outbox.get_mut(&sent.seq) {
                    message.given_up(&sent, id, kept, carried);
                    self.work += 1;
                }
            }
            let Some(oldest) = link.sent.front() else {
                continue;
            };
            let tick = now.after(super::LOSS_TICK);
            let at = if kept {
                tick.max(oldest.at.after(limit))
            } else {
                tick
            };
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        self.loss_at = next;
    }

    /// The chance, of [`super::pool::FULL`], that a fragment sent to somebody by this link now will arrive.
    pub(super) fn weight(&self, id: LinkId, to: End) -> u32 {
        // What a link may well swallow is no reason for others to wait.
        let Some(link) = self.links.get(&id).filter(|link| {
            let avoidable = link.is_untried() && !is_alone(&self.links, to);
            !avoidable && !link.is_unanswered(self.now)
        }) else {
            return 0;
        };
        chance(link)
    }
}

/// Whether no more than one link may bring reports of somebody.
pub(super) fn is_alone(links: &BTreeMap<LinkId, Link>, end: End) -> bool {
    let answers = |link: &&Link| {
        let profile = link.toward(end);
        profile.is_some_and(|p| !p.courier && p.can_receive)
    };
    links.values().filter(answers).count() <= 1
}

/// The chance, of [`super::pool::FULL`], that a fragment arrives which leaves by a link that is not in doubt.
fn chance(link: &Link) -> u32 {
    let loss = link.loss_ahead();
    (u64::from(super::pool::FULL) * u64::from(1_000_000 - loss.min(1_000_000)) / 1_000_000) as u32
}

/// After how long a fragment is late of which such a report does not tell.
fn lateness(link: &Link, alone: bool, header: &Header) -> Duration {
    let direct = !link.is_relayed() && !link.is_carried_both_ways();
    match header.delay_ms {
        // All that had come when it left is told, and it took no other way than those before.
        STILL_SO if direct && alone => link.rate.patience(),
        delay => link.lateness(alone) + Duration::from_millis(u64::from(delay)) * 2,
    }
}

impl Outgoing {
    /// Settles what is under way on a link. `alone`: no other link may bring reports.
    fn tally(&mut self, id: LinkId, link: &mut Link, report: &Report, alone: bool, now: Time) {
        let by = carrier(id);
        let header = &report.header;
        let delay = Duration::from_millis(u64::from(header.delay_ms));
        let alive = !link.is_unanswered(now) && (alone || !link.is_untried());
        let before = link.answered_before(now);
        self.note_newest(id, link, before);
        let shown = self.note_shown(id, link);
        let order = self.order(id, link, alone, header, now);
        let carried = link.is_carried_both_ways();
        let mut tally = Tally::default();
        link.sent.retain(|sent| {
            if sent.seq != self.seq || sent.at > before {
                return true;
            }
            match self.fate(sent, report, order.is_late(sent)) {
                Fate::Open => return true,
                // What other links may have brought says nothing of one that is in doubt.
                Fate::There if !alive && !self.is_telling(sent, by) => {
                    tally.untold += u64::from(sent.bytes)
                }
                Fate::There => {
                    let telling = self.is_telling(sent, by);
                    tally.proven |= telling;
                    tally.delivered += u64::from(sent.bytes);
                    let newest = match telling && !self.is_complete(sent.part) {
                        true => &mut tally.newest,
                        false => &mut tally.spared,
                    };
                    *newest = (*newest).max(Some(sent.at));
                }
                Fate::Lost => {
                    tally.lost += u64::from(sent.bytes);
                    tally.gone.push(*sent);
                }
            }
            self.settle(sent, id);
            false
        });
        // Of what was sent to several, each lacks something else.
        let alike = !self.is_shared();
        for sent in &tally.gone {
            self.lost(sent, id, carried, alike && order.is_overtaken(sent));
        }
        link.rate.forget(tally.untold as usize);
        let trip = |at: Time| now.since(at).saturating_sub(delay);
        // What is needed no more may still be on its way, so it tells of no trip that is shorter than any.
        let least = link.rate.least_rtt().unwrap_or_default();
        let spared = tally.spared.map(trip).filter(|trip| *trip >= least);
        // What was told before may have been lost, so how long ago the youngest came is not known.
        let rtt = tally
            .newest
            .map(trip)
            .or(spared)
            .filter(|_| header.delay_ms != STILL_SO);
        link.rate.on_feedback(now, tally.delivered, tally.lost, rtt);
        // Of a solved block nobody knows what solved it; while the link is not in doubt, its own fragments did.
        if tally.proven || shown || (alive && tally.delivered > 0 && link.sent.is_empty()) {
            link.prove(now);
        } else if tally.lost > 0 {
            link.doubt(now, alone);
        }
        if !link.is_relayed() && !carried && !link.is_unanswered(now) {
            self.weigh_anew(link);
        }
    }

    /// What is under way counts for no more than the loss that is known now allows, nor for more than when it left.
    fn weigh_anew(&mut self, link: &mut Link) {
        let known = chance(link);
        for sent in link.sent.iter_mut().filter(|sent| sent.seq == self.seq) {
            let weight = known.min(sent.weighed);
            let part = self.parts.get_mut(&sent.part);
            if let Some(part) = part.filter(|_| sent.weight != weight) {
                part.pool.weigh_anew(&sent.run, sent.weight, weight);
                sent.weight = weight;
            }
        }
    }

    /// Notes the youngest fragments of a link that have arrived, of those that left by then.
    fn note_newest(&mut self, id: LinkId, link: &mut Link, before: Time) {
        let by = carrier(id);
        // What a courier carries, others go on with: who else has carried it is not noted.
        let carried = link.is_carried_both_ways();
        let tells = |sent: &Sent| carried || self.is_telling(sent, by);
        let ours = |sent: &Sent| sent.seq == self.seq && sent.at <= before;
        let there = |sent: &&Sent| ours(sent) && self.is_there(sent) && tells(sent);
        let relayed = link.is_relayed();
        let mut newest: BTreeMap<u8, u64> = BTreeMap::new();
        for sent in link.sent.iter().filter(there) {
            link.newest_there = link.newest_there.max(Some(sent.at));
            if relayed {
                // Numbers grow from the front to the back.
                newest.insert(sent.part, sent.number);
            }
        }
        for (part, number) in newest {
            if let Some(part) = self.parts.get_mut(&part) {
                let known = part.newest_there.entry(id).or_default();
                *known = number.max(*known);
            }
        }
    }

    /// Whether something new has come through a relay. When it left may be forgotten by now, but not by whom.
    fn note_shown(&mut self, id: LinkId, link: &mut Link) -> bool {
        let by = carrier(id);
        let mut shown = false;
        for part in self.parts.values_mut().filter(|_| link.is_relayed()) {
            shown |= part.pool.has_shown(by);
        }
        if shown {
            link.newest_there = link.newest_there.max(Some(self.taken));
        }
        shown
    }

    /// In which order fragments arrive by a link, and when.
    fn order(&self, id: LinkId, link: &Link, alone: bool, header: &Header, now: Time) -> Order {
        let lateness = lateness(link, alone, header);
        let before = |time: Time, wait: Duration| {
            let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
            Time(time.0.saturating_sub(wait))
        };
        let late = before(now, lateness);
        if link.is_carried_both_ways() {
            // What a courier took along together is read together.
            let read = link.newest_there.map(|at| Time(at.0.saturating_add(1)));
            return Order::OfTimes {
                overtaken: Time::default(),
                late: late.max(read.unwrap_or_default()),
            };
        }
        if !link.is_relayed() {
            let newest = link.newest_there.unwrap_or_default();
            let overtaken = before(newest, link.rate.reordering());
            return Order::OfTimes { overtaken, late };
        }
        // What a relay holds waits for its recipient to be there.
        let waits = self.answering.is_some_and(|since| since > late);
        let parts = self.parts.iter();
        let newest =
            parts.filter_map(|(number, part)| Some((*number, *part.newest_there.get(&id)?)));
        Order::OfParts {
            late: if waits { Time::default() } else { late },
            newest: newest.collect(),
        }
    }

    /// Takes over what a report says. Gives the parts that are complete now and were not before.
    fn merge(&mut self, report: &Report) -> Vec<u8> {
        let mut completed = Vec::new();
        for (number, held) in &report.parts {
            let Some(part) = self.parts.get_mut(number) else {
                continue;
            };
            match held {
                Part::Complete if !part.complete => {
                    part.complete = true;
                    part.pool.complete();
                    completed.push(*number);
                }
                Part::Complete => {}
                Part::Blocks { solved, listed, .. } => {
                    (0..(*solved).min(part.pool.geometry().blocks()))
                        .for_each(|b| part.pool.solve(b as u16));
                    for block in listed {
                        match &block.held {
                            Held::Solved => part.pool.solve(block.block),
                            Held::Some(masks) => part.pool.hold(block.block, masks),
                        }
                    }
                    let (from, upto) = held.told();
                    part.pool.learn(from, upto);
                }
            }
        }
        completed
    }

    /// Whether the recipient has what this fragment brings, or needs it no more.
    fn is_there(&self, sent: &Sent) -> bool {
        self.parts
            .get(&sent.part)
            .is_none_or(|part| part.complete || part.pool.has(&sent.run))
    }

    /// Whether all of a part is there, so that nobody knows which fragments have brought it.
    fn is_complete(&self, part: u8) -> bool {
        self.parts.get(&part).is_some_and(|part| part.complete)
    }

    fn fate(&self, sent: &Sent, report: &Report, late: bool) -> Fate {
        if self.is_there(sent) {
            return Fate::There;
        }
        let told = report.parts.iter().any(|(number, held)| {
            let (from, upto) = held.told();
            *number == sent.part && (from..upto).contains(&u32::from(sent.run.block))
        });
        // A report without a word on a part, though there was room for all, says that nothing of it is held.
        let told = told
            || (!report.header.partial
                && report.parts.iter().all(|(number, _)| *number != sent.part));
        if late && told { Fate::Lost } else { Fate::Open }
    }

    /// Whether the arrival of a fragment proves its link: no other link carried that symbol, and the recipient lists
    /// it. Of a block that is solved nobody knows which fragments did it.
    fn is_telling(&self, sent: &Sent, by: u8) -> bool {
        self.parts
            .get(&sent.part)
            .is_some_and(|p| p.pool.is_only_by(&sent.run, by))
    }

    /// Nobody waits for a fragment any more: it is lost, unless a relay has `kept` it.
    pub(super) fn given_up(&mut self, sent: &Sent, id: LinkId, kept: bool, courier: bool) {
        self.settle(sent, id);
        if !kept {
            self.lost(sent, id, courier, false);
        }
    }

    /// A fragment is lost, `surely` or for all we know. A courier who lost something takes it along once more.
    fn lost(&mut self, sent: &Sent, id: LinkId, courier: bool, surely: bool) {
        let Some(part) = self.parts.get_mut(&sent.part) else {
            return;
        };
        part.pool.lost(&sent.run, carrier(id), surely);
        if courier {
            part.carry_again(id);
            if !self.manifest_there {
                self.offers.remove(&id);
            }
        }
    }

    /// A fragment is no longer under way.
    fn settle(&mut self, sent: &Sent, id: LinkId) {
        if let Some(part) = self.parts.get_mut(&sent.part) {
            part.pool.settle(&sent.run, sent.weight);
            part.settle_carried(id, &sent.run);
        }
    }
}

//! A link has room: which frame leaves next.
//!
//! First what tells others of what is here, then parts by priority and age. A preamble goes before the first
//! frame to a recipient that may not know the session, and before others after it: of many frames fewer.

use super::Engine;
use super::ends::End;
use super::io::{LinkId, Output, Time};
use super::link::{Link, Passed, Postmark, Ready};
use super::redundancy;
use crate::security::mailbox;
use crate::wire::envelope::{self, Envelope};
use bytes::Bytes;
use std::ops::Bound;
use std::time::Duration;

/// Frames to a recipient from one preamble to the next, at most. The first ones follow each other sooner: what comes
/// before a preamble has arrived is of no use yet.
const PREAMBLE_EVERY: u8 = 8;
/// The same where nobody can answer, who would end it. Who begins to listen waits for no more frames than that.
const PREAMBLE_EVERY_ONE_WAY: u32 = 64;
/// Frames that a recipient keeps until a preamble explains them, at least: its quarantine is a mebibyte. All preambles
/// among so many frames are lost in one of a million cases at most.
const KEPT_FRAMES: u32 = 512;

/// What a manifest or a part has for a link.
pub(super) enum Found {
    /// These frames.
    Frames(Ready),
    /// Nothing before this moment; `None` waits for an input.
    Later(Option<Time>),
}

impl Engine {
    /// Gives every link what it has room for.
    pub(super) fn serve(&mut self) {
        self.probe_at = None;
        let able = |link: &Link| link.credit > 0;
        let links = self.links.iter().filter(|(_, link)| able(link));
        let ids: Vec<LinkId> = links.map(|(&id, _)| id).collect();
        for id in ids {
            if self.has_work(id) {
                self.fill(id);
            }
            let link = self.links.get(&id).filter(|link| able(link));
            let idle = link.and_then(|link| link.idle);
            self.probe_at = earliest(self.probe_at, idle.and_then(|(_, until)| until));
        }
    }

    /// Whether a link has room and may have something for it. Most have not, and this is asked at every input.
    fn has_work(&mut self, id: LinkId) -> bool {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.credit > 0) else {
            return false;
        };
        let quiet = self.reports.due(id, link);
        link.quiet = Some(quiet);
        !link.pending.is_empty()
            || self.sessions.owes_acks()
            || quiet.1.is_some_and(|at| at <= self.now)
            || !link.is_idle(self.work, self.now)
            || self.has_note(id)
            || self.has_word(id)
    }

    /// Gives a link what it has room for: what was chosen already, then what tells others of what is here, then the rest.
    fn fill(&mut self, id: LinkId) {
        let mut tells = true;
        while let Some(link) = self.links.get_mut(&id).filter(|l| l.credit > 0) {
            if let Some((mark, frame)) = link.pending.pop_front() {
                self.transmit(id, &mark, [frame]);
                continue;
            }
            // Once all is told, nothing that leaves now makes more to tell.
            let told = tells.then(|| self.next_told(id)).flatten();
            tells = told.is_some();
            let Some(ready) = told.or_else(|| self.choose(id)) else {
                return;
            };
            self.hand_over(id, ready);
        }
    }

    /// The next of what tells others of what is here.
    fn next_told(&mut self, id: LinkId) -> Option<Ready> {
        let told = self.next_ack(id).or_else(|| self.next_report(id));
        let told = told.or_else(|| self.next_note(id));
        told.or_else(|| self.next_word(id))
    }

    /// Gives a link frames, with the preambles that are due before them.
    fn hand_over(&mut self, id: LinkId, ready: Ready) {
        let Ready { mark, frames } = ready;
        if !self.needs_preambles(id, mark.to) {
            return self.transmit(id, &mark, frames);
        }
        let mut frames = frames.into_iter();
        while frames.len() > 0 && self.links.contains_key(&id) {
            let free = self.until_preamble(id, mark.to).min(frames.len());
            match free {
                0 => {
                    let preamble = self.next_preamble(id, mark.to);
                    self.transmit(id, &mark, preamble);
                }
                _ => self.count_since_preamble(id, mark.to, free),
            }
            self.transmit(id, &mark, frames.by_ref().take(free.max(1)));
        }
    }

    /// The next frames of a message.
    fn choose(&mut self, id: LinkId) -> Option<Ready> {
        let link = self.links.get_mut(&id)?;
        if link.is_idle(self.work, self.now) {
            return None;
        }
        // What had nothing when the last frame was found has nothing now, unless there was news since.
        let work = self.work;
        let still = |p: &Passed| p.work == work && p.until.is_none_or(|at| at > self.now);
        let passed = link.passed.filter(still);
        let mut later = passed.and_then(|passed| passed.until);
        let mut from = passed.map_or(Bound::Unbounded, |passed| Bound::Included(passed.item));
        loop {
            let mut rest = self.schedule.range((from, Bound::Unbounded));
            let Some(item) = rest.next().copied() else {
                break;
            };
            match self.next_of(id, item.1, item.2) {
                Found::Frames(frames) => {
                    if let Some(link) = self.links.get_mut(&id) {
                        link.passed = Some(Passed {
                            item,
                            work,
                            until: later,
                        });
                    }
                    return Some(frames);
                }
                Found::Later(at) => later = earliest(later, at),
            }
            from = Bound::Excluded(item);
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.idle = Some((self.work, later));
        }
        None
    }

    fn next_of(&mut self, id: LinkId, seq: u64, part: u8) -> Found {
        let (Some(message), Some(link)) = (self.outbox.get_mut(&seq), self.links.get(&id)) else {
            return Found::Later(None);
        };
        let Some(profile) = link.toward(message.end()) else {
            return Found::Later(None);
        };
        let shut_out = self.standings.is_blocked(message.to);
        if shut_out || !message.durable || !message.allows(part, id, profile) {
            return Found::Later(None);
        }
        if part == 0 {
            self.next_offer(id, seq)
        } else {
            self.next_symbols(id, seq, part)
        }
    }

    /// Somebody may not know our session any more: it is announced before the next frame, and until it is confirmed anew.
    pub(super) fn announce_again(&mut self, to: End) {
        if let Some(record) = self.sessions.doubt(to, self.now) {
            // Or it would be confirmed again after a restart, and what brought the doubt does not come again.
            self.writer.durable(record);
            self.want_sync(Duration::from_secs(1));
            let links = self.links.values_mut();
            links.for_each(|link| link.since_preamble.retain(|end, _| !end.matches(to)));
        }
    }

    /// Whether everybody who may be meant knows our session.
    fn is_session_known(&self, to: End) -> bool {
        let several = to.key.is_none().then(|| self.ends_of(to.person));
        let ends = several.as_deref().unwrap_or(std::slice::from_ref(&to));
        let sending = self.sessions.find(to.person);
        sending.is_some_and(|sending| ends.iter().all(|end| sending.is_known_to(*end)))
    }

    /// Whether preambles go between the frames of a link: not everybody knows our session, or nobody can say so.
    fn needs_preambles(&self, id: LinkId, to: End) -> bool {
        let answers = self.links.get(&id).is_some_and(Link::answers);
        !answers || !self.is_session_known(to)
    }

    /// Frames that may leave before the next preamble is due.
    pub(super) fn until_preamble(&self, id: LinkId, to: End) -> usize {
        if !self.needs_preambles(id, to) {
            return usize::MAX;
        }
        let since = self
            .links
            .get(&id)
            .and_then(|link| link.since_preamble.get(&to));
        since.map_or(0, |(since, every)| {
            every.saturating_sub(*since).saturating_sub(1).into()
        })
    }

    /// The preamble that is due now; the frame that it is due for follows it.
    fn next_preamble(&mut self, id: LinkId, to: End) -> Option<Bytes> {
        let link = self.links.get_mut(&id)?;
        let sending = self.sessions.existing(to.person)?;
        let most = match link.answers() {
            true => PREAMBLE_EVERY,
            false => preamble_every_one_way(link.loss_ppm()),
        };
        let (since, every) = link.since_preamble.entry(to).or_insert((0, 1));
        (*since, *every) = (0, (*every * 2).min(most));
        Some(sending.preamble(&self.me))
    }

    /// So many frames leave before the next preamble is due.
    fn count_since_preamble(&mut self, id: LinkId, to: End, frames: usize) {
        let link = self.links.get_mut(&id);
        if let Some((since, every)) = link.and_then(|link| link.since_preamble.get_mut(&to)) {
            let sum = usize::from(*since).saturating_add(frames);
            *since = u8::try_from(sum).unwrap_or(*every);
        }
    }

    /// Puts frames on a link; those that it has no room for wait.
    fn transmit(&mut self, id: LinkId, mark: &Postmark, frames: impl IntoIterator<Item = Bytes>) {
        let enveloped = self.links.get(&id).is_some_and(Link::is_enveloped);
        let envelope = enveloped.then(|| self.envelope(mark)).flatten();
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        for frame in frames {
            if link.credit == 0 {
                link.pending.push_back((*mark, frame));
                continue;
            }
            link.stats.sent_fragments += u64::from(frame.first().is_some_and(|b| b >> 5 < 6));
            let frame = match &envelope {
                Some(envelope) => Bytes::from(envelope.wrap(&frame)),
                None => frame,
            };
            link.credit -= 1;
            link.stats.sent_frames += 1;
            link.stats.sent_bytes += frame.len() as u64;
            self.out.push_back(Output::Transmit {
                link: id,
                frame,
                tag: mark.tag,
            });
        }
    }

    /// What goes around a frame that others keep or carry.
    fn envelope(&self, mark: &Postmark) -> Option<Envelope> {
        let card = self.cards.get(&mark.to.person)?;
        let day = self
            .calendar
            .map_or(0, |(at, s)| (s + self.now.since(at).as_secs()) / 86_400);
        Some(Envelope {
            tag: mailbox::tag_of_day(&card.body().mailbox, day),
            age: mark.age_s,
            hops: envelope::HOPS,
            priority: mark.priority,
        })
    }
}

fn preamble_every_one_way(loss_ppm: u32) -> u8 {
    let apart = KEPT_FRAMES / redundancy::copies(loss_ppm).max(1);
    apart.clamp(u32::from(PREAMBLE_EVERY), PREAMBLE_EVERY_ONE_WAY) as u8
}

fn earliest(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

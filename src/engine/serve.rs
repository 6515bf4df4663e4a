//! A link has room: which frame leaves next.
//!
//! First what tells others of what is here, then parts by priority and age. A preamble goes before the first
//! frame to a recipient that may not know the session, and before every eighth after it.

use super::io::{Event, FileId, FileKind, Job, LinkId, Output, Time};
use super::link::{Link, Mode, Ready, Sent};
use super::outgoing::{Offer, Outgoing};
use super::pool::{Draw, Drawn, Run, carrier};
use super::{Engine, Request, coding};
use crate::security::mailbox;
use crate::wire::envelope::{self, Envelope};
use crate::wire::fragment::{Kind, NARROW_OVERHEAD, Place, WIDE_OVERHEAD};
use bytes::Bytes;
use std::ops::Bound;
use std::time::Duration;

/// Frames to a recipient from one preamble to the next.
const PREAMBLE_EVERY: u8 = 8;
/// Bytes that a relay may hold for a recipient who has not answered yet, before they count as put there for good.
const PROBATION: u64 = 128 << 10;
/// Rounds of a manifest on a link where nobody can answer.
const ONE_WAY_ROUNDS: u32 = 8;
/// An unanswered message changes its label once its epoch is so far behind.
const EPOCHS_BEHIND: u32 = 8;

/// What a part has for a link.
enum Found {
    Frame(Ready),
    /// Nothing before this moment; `None` waits for an input.
    Later(Option<Time>),
}

impl Engine {
    /// Gives every link what it has room for.
    pub(super) fn serve(&mut self) {
        self.probe_at = None;
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            while self.serve_one(id) {}
            let able = |l: &&Link| l.may_send(l.room()).is_some_and(|at| at <= self.now);
            let idle = self.links.get(&id).filter(able).and_then(|l| l.idle);
            self.probe_at = earliest(self.probe_at, idle.and_then(|(_, until)| until));
        }
    }

    /// Gives a link one frame, and the preamble before it if one is due. What was chosen already and what tells
    /// others of what is here needs room only; the rest keeps to the pace of the link.
    fn serve_one(&mut self, id: LinkId) -> bool {
        let Some(link) = self.links.get_mut(&id).filter(|l| l.credit > 0) else {
            return false;
        };
        link.pace_at = None;
        if let Some(ready) = link.pending.take() {
            self.transmit(id, &ready);
            return true;
        }
        let told = self.next_ack(id).or_else(|| self.next_report(id));
        let Some(ready) = told.or_else(|| self.choose(id)) else {
            return false;
        };
        if let Some(preamble) = self.preamble_due(id, &ready) {
            self.transmit(id, &preamble);
            if let Some(link) = self.links.get_mut(&id) {
                link.pending = Some(ready);
            }
        } else {
            self.transmit(id, &ready);
        }
        true
    }

    /// The next frame of a message, if the link's pace allows one now.
    fn choose(&mut self, id: LinkId) -> Option<Ready> {
        let link = self.links.get_mut(&id)?;
        let pace = link.may_send(link.room())?;
        if pace > self.now {
            link.pace_at = Some(pace);
            return None;
        }
        if let Some((work, until)) = link.idle
            && work == self.work
            && until.is_none_or(|at| at > self.now)
        {
            return None;
        }
        let mut later = None;
        let mut next = self.schedule.first().copied();
        while let Some(item) = next {
            match self.next_of(id, item.1, item.2) {
                Found::Frame(ready) => return Some(ready),
                Found::Later(at) => later = earliest(later, at),
            }
            next = self
                .schedule
                .range((Bound::Excluded(item), Bound::Unbounded))
                .next()
                .copied();
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
        let Some(profile) = link.toward(message.to) else {
            return Found::Later(None);
        };
        if !message.durable || !message.allows(part, id, profile) {
            return Found::Later(None);
        }
        if part == 0 {
            self.next_offer(id, seq)
        } else {
            self.next_symbol(id, seq, part)
        }
    }

    /// The next chunk of a manifest, or the whole of a short message.
    fn next_offer(&mut self, id: LinkId, seq: u64) -> Found {
        self.relabel(seq);
        let (Some(message), Some(link)) = (self.outbox.get_mut(&seq), self.links.get(&id)) else {
            return Found::Later(None);
        };
        let (now, room) = (self.now, link.room());
        let short = message.fits_short(room);
        let round = if short {
            1
        } else {
            round_len(message, link.loss_ppm())
        };
        let fresh = Offer {
            chunk: 0,
            left: round,
            rounds: 0,
            next: now,
        };
        let mut offer = message.offers.get(&id).copied().unwrap_or(fresh);
        if offer.next > now {
            return Found::Later(Some(offer.next));
        }
        if offer.left == 0 {
            let quiet = message
                .heard
                .is_none_or(|heard| now.since(heard) > link.silence_limit());
            if message.manifest_there && !quiet {
                return Found::Later(Some(now.after(link.silence_limit())));
            }
            if !may_repeat(link, offer.rounds) {
                return Found::Later(None);
            }
            offer.left = round;
        }
        let frame = if short {
            offer.left = 1;
            message.seal_short()
        } else {
            message.seal_chunk(offer.chunk)
        };
        offer.chunk = (offer.chunk + 1) % message.chunks().max(1);
        offer.left -= 1;
        if offer.left == 0 {
            offer.rounds += 1;
            offer.next = now.after(pause(link, offer.rounds));
        }
        message.offers.insert(id, offer);
        let Some(frame) = frame else {
            return Found::Later(None);
        };
        message.sent_fragments += 1;
        let priority = message.priority().code();
        Found::Frame(Ready {
            to: message.to,
            frame,
            tag: message.tag,
            priority,
        })
    }

    /// A message that nobody answered gets a label of the present epoch, before the recipient has erased the old.
    fn relabel(&mut self, seq: u64) {
        let Some(message) = self.outbox.get_mut(&seq).filter(|m| !m.manifest_there) else {
            return;
        };
        let Some(sending) = self.sessions.existing(message.to) else {
            return;
        };
        if sending.epoch_number().saturating_sub(message.epoch) > EPOCHS_BEHIND {
            message.keys = sending.keys(message.id, self.now);
            message.epoch = sending.epoch_number();
            self.writer.durable(message.record(self.now));
            self.want_sync(Duration::from_secs(1));
        }
    }

    fn next_symbol(&mut self, id: LinkId, seq: u64, part: u8) -> Found {
        let weight = self.weight(id);
        let heard = self
            .outbox
            .get(&seq)
            .and_then(|m| self.heard.get(&m.to))
            .copied();
        let (Some(message), Some(link)) = (self.outbox.get_mut(&seq), self.links.get_mut(&id))
        else {
            return Found::Later(None);
        };
        // A courier brings no report while it is waited for.
        let courier = link.profile.as_ref().is_some_and(|p| p.courier);
        if let Some(until) = message.hold_until.filter(|&at| at > self.now && !courier) {
            return Found::Later(Some(until));
        }
        if message.hold_until.take().is_some() {
            // Nobody has answered: better to send something twice than nothing.
            message
                .parts
                .values_mut()
                .for_each(|part| part.pool.learn(0, u32::MAX));
        }
        let last = heard
            .max(Some(link.up_since))
            .max(Some(message.taken))
            .unwrap_or_default();
        let silent = link.mode == Mode::Attached && self.now.since(last) > link.silence_limit();
        let enveloped = link.profile.as_ref().is_some_and(|p| p.enveloped);
        if silent && enveloped {
            link.mode = Mode::Detached;
        } else if silent {
            // The manifest goes on being offered; the recipient may have lost the session.
            self.sessions.doubt(message.to);
            return Found::Later(None);
        }
        let unproven =
            enveloped && link.mode == Mode::Attached && link.rate.rate_measured().is_none();
        if link.mode == Mode::Attached && link.is_black_hole(self.now) {
            return Found::Later(None);
        }
        if link.sent.len() >= self.limits.outstanding
            || (unproven && link.rate.in_flight() > PROBATION)
        {
            return Found::Later(None);
        }
        let Some(state) = message.parts.get_mut(&part) else {
            return Found::Later(None);
        };
        let overhead = if state.pool.geometry().is_wide() {
            WIDE_OVERHEAD
        } else {
            NARROW_OVERHEAD
        };
        let coding = state.pool.geometry().coding;
        let fitting = link.room().saturating_sub(overhead) / usize::from(coding.slice_len);
        let slices = fitting.min(usize::from(coding.slices)) as u8;
        if slices == 0 {
            return Found::Later(None);
        }
        let loss_ppm = link.loss_ppm();
        let (run, weight) = if link.mode == Mode::Attached {
            match state.pool.draw(&Draw {
                slices,
                weight,
                loss_ppm,
                link: carrier(id),
            }) {
                Drawn::Run(run) => (run, weight),
                Drawn::Nothing => return Found::Later(None),
                Drawn::Needs { block, repair } => return self.need(seq, part, block, repair),
            }
        } else {
            let Some(run) = state.next_detached(id, slices, loss_ppm) else {
                return self.detached_done(id, seq, part);
            };
            let repair = run.symbol >= state.pool.geometry().source_symbols(run.block);
            if state.pool.bytes(&run).is_none() {
                return self.need(seq, part, run.block, repair);
            }
            state.took_detached(id, &run);
            (run, 0)
        };
        self.symbol_frame(id, seq, part, run, weight)
    }

    fn symbol_frame(&mut self, id: LinkId, seq: u64, part: u8, run: Run, weight: u32) -> Found {
        let (Some(message), Some(link)) = (self.outbox.get_mut(&seq), self.links.get_mut(&id))
        else {
            return Found::Later(None);
        };
        let Some(state) = message.parts.get(&part) else {
            return Found::Later(None);
        };
        let Some(bytes) = state.pool.bytes(&run) else {
            return Found::Later(None);
        };
        let kind = if state.pool.geometry().is_wide() {
            Kind::Wide
        } else {
            Kind::Narrow
        };
        let place = Place {
            part,
            block: run.block,
            symbol: run.symbol,
            slice: run.slice,
        };
        let frame = message.keys.seal(kind, &place, &bytes);
        let sent = Sent {
            message: message.id,
            part,
            run,
            weight,
            at: self.now,
            bytes: frame.len() as u32,
        };
        link.push(sent);
        message.sent_fragments += 1;
        self.loss_at.get_or_insert(self.now.after(super::LOSS_TICK));
        let priority = state.priority.code();
        let ready = Ready {
            to: message.to,
            frame,
            tag: message.tag,
            priority,
        };
        let ahead = state
            .pool
            .is_half_sent(run.block)
            .then(|| state.pool.block_after(run.block))
            .flatten();
        if let Some(next) = ahead {
            self.load(seq, part, next);
        }
        self.touch_block(seq, part, run.block);
        Found::Frame(ready)
    }

    fn detached_done(&mut self, id: LinkId, seq: u64, part: u8) -> Found {
        let Some(message) = self.outbox.get_mut(&seq) else {
            return Found::Later(None);
        };
        let done = message
            .parts
            .get_mut(&part)
            .and_then(|p| p.detached_done(id));
        if let Some(success_ppm) = done {
            let message = message.id;
            self.event(Event::OneWayDone {
                message,
                link: id,
                success_ppm,
            });
        }
        Found::Later(None)
    }

    /// A block is needed: it is read, and coded if repair symbols are asked for.
    fn need(&mut self, seq: u64, part: u8, block: u16, repair: bool) -> Found {
        self.load(seq, part, block);
        let Some(message) = self.outbox.get_mut(&seq) else {
            return Found::Later(None);
        };
        let Some(state) = message.parts.get_mut(&part) else {
            return Found::Later(None);
        };
        let geometry = *state.pool.geometry();
        let data = state.pool.data(block);
        if repair && !data.coding {
            if let Some(source) = data.source.clone() {
                data.coding = true;
                let k = geometry.source_symbols(block);
                let job = Job::Code(coding::Job::Encode {
                    coding: geometry.coding,
                    k,
                    source,
                });
                let token = self.request(Request::CodeBlock { seq, part, block });
                self.out.push_back(Output::Compute { token, job });
            } else {
                data.wants_repair = true;
            }
        }
        Found::Later(None)
    }

    /// Reads a block unless it is in memory or on its way there; the blocks read first give way.
    fn load(&mut self, seq: u64, part: u8, block: u16) {
        let Some(message) = self.outbox.get_mut(&seq) else {
            return;
        };
        let file = FileId {
            kind: FileKind::Outgoing,
            message: message.id,
            part,
        };
        let Some(state) = message.parts.get_mut(&part) else {
            return;
        };
        let (offset, len) = (
            state.pool.geometry().block_offset(block),
            state.pool.geometry().block_len(block),
        );
        let data = state.pool.data(block);
        if data.source.is_some() || data.fetching {
            return;
        }
        data.fetching = true;
        let token = self.request(Request::LoadBlock { seq, part, block });
        self.out.push_back(Output::Fetch {
            token,
            file,
            offset,
            len,
        });
        self.touch_block(seq, part, block);
        self.make_room();
    }

    /// The block used last is the last to give way.
    fn touch_block(&mut self, seq: u64, part: u8, block: u16) {
        let key = (seq, part, block);
        if self.loaded.back() != Some(&key) {
            self.loaded.retain(|loaded| *loaded != key);
            self.loaded.push_back(key);
        }
    }

    fn make_room(&mut self) {
        let pool =
            |outbox: &std::collections::BTreeMap<u64, Outgoing>, seq: u64, part: u8, block: u16| {
                let state = outbox.get(&seq).and_then(|m| m.parts.get(&part));
                state.map_or(0, |p| p.pool.block_bytes(block))
            };
        let mut total: usize = self
            .loaded
            .iter()
            .map(|&(s, p, b)| pool(&self.outbox, s, p, b))
            .sum();
        while total > self.limits.block_cache_bytes && self.loaded.len() > 2 {
            let Some((seq, part, block)) = self.loaded.pop_front() else {
                break;
            };
            total -= pool(&self.outbox, seq, part, block);
            if let Some(state) = self
                .outbox
                .get_mut(&seq)
                .and_then(|m| m.parts.get_mut(&part))
            {
                state.pool.unload(block);
            }
        }
    }

    fn preamble_due(&mut self, id: LinkId, ready: &Ready) -> Option<Ready> {
        let link = self.links.get_mut(&id)?;
        let sending = self.sessions.existing(ready.to)?;
        let answers = link
            .profile
            .as_ref()
            .is_some_and(|p| p.can_receive && !p.courier);
        if sending.confirmed && answers {
            return None;
        }
        let since = link
            .since_preamble
            .entry(ready.to)
            .or_insert(PREAMBLE_EVERY - 1);
        *since += 1;
        if *since < PREAMBLE_EVERY {
            return None;
        }
        *since = 0;
        Some(Ready {
            frame: sending.preamble(&self.me).into(),
            ..ready.clone()
        })
    }

    fn transmit(&mut self, id: LinkId, ready: &Ready) {
        let day = self
            .calendar
            .map_or(0, |(at, s)| (s + self.now.since(at).as_secs()) / 86_400);
        let mailbox = self.cards.get(&ready.to).map(|card| card.body().mailbox);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let enveloped = link.profile.as_ref().is_some_and(|p| p.enveloped);
        let frame = match mailbox {
            Some(key) if enveloped => {
                let tag = mailbox::tag_of_day(&key, day);
                let envelope = Envelope {
                    tag,
                    age: 0,
                    hops: envelope::HOPS,
                    priority: ready.priority,
                };
                Bytes::from(envelope.wrap(&ready.frame))
            }
            _ => ready.frame.clone(),
        };
        link.credit = link.credit.saturating_sub(1);
        link.stats.sent_frames += 1;
        link.stats.sent_fragments += u64::from(ready.frame.first().is_some_and(|b| b >> 5 < 6));
        link.stats.sent_bytes += frame.len() as u64;
        self.out.push_back(Output::Transmit {
            link: id,
            frame,
            tag: ready.tag,
        });
    }
}

impl Outgoing {
    fn seal_short(&self) -> Option<Bytes> {
        let place = Place {
            part: 0,
            block: 0,
            symbol: 0,
            slice: 0,
        };
        Some(self.keys.seal(Kind::Short, &place, &self.manifest.encode()))
    }

    fn seal_chunk(&self, index: usize) -> Option<Bytes> {
        let place = Place {
            part: 0,
            block: 0,
            symbol: u16::try_from(index).ok()?,
            slice: 0,
        };
        Some(self.keys.seal(Kind::Narrow, &place, self.chunk(index)?))
    }
}

/// Chunks of one round: all source chunks, and parity for twice the loss to reckon with.
fn round_len(message: &Outgoing, loss_ppm: u32) -> usize {
    let source = message.source_chunks();
    let extra = (source as u64 * u64::from(loss_ppm) * 2).div_ceil(1_000_000) as usize;
    (source + extra).min(message.chunks())
}

/// Whether an unanswered manifest may be offered another time.
fn may_repeat(link: &Link, rounds: u32) -> bool {
    link.profile
        .as_ref()
        .is_some_and(|p| !p.courier && (p.can_receive || rounds < ONE_WAY_ROUNDS))
}

/// How long to wait before the next round: twice as long each time, up to a minute, ten where a relay keeps what
/// it was given.
fn pause(link: &Link, rounds: u32) -> Duration {
    let most = if link.profile.as_ref().is_some_and(|p| p.enveloped) {
        600
    } else {
        60
    };
    let doubled = link
        .patience()
        .saturating_mul(1 << (rounds.saturating_sub(1)).min(12));
    doubled.min(Duration::from_secs(most).max(link.patience()))
}

fn earliest(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

//! What a part has for a link: the next symbols, or some slices of one, out of its pool.
//!
//! As long as nothing comes in, the same is asked for again with the same answer, so several leave together.

use super::blocks::BlockKey;
use super::detached::Lot;
use super::feedback::is_alone;
use super::io::{Event, LinkId, Time};
use super::link::{Link, Mode, Ready, Sent};
use super::outgoing::{OutPart, Outgoing};
use super::pool::{Draw, Drawn, Need, Pool, Run, carrier};
use super::redundancy::CERTAIN;
use super::serve::Found;
use super::{Engine, LOSS_TICK};
use crate::wire::fragment::{Kind, NARROW_OVERHEAD, Place, WIDE_OVERHEAD};

/// Bytes that a relay may hold for a recipient who has not answered yet, before they count as put there for good.
const PROBATION: u64 = 128 << 10;
/// Blocks that are read before they are needed, if there is room: at times a disk takes longer for one than a fast link does.
const AHEAD: usize = 2;
/// Symbols that leave together, at most: what follows from them is looked at after each lot.
const LOT: usize = 32;

/// Where symbols come from and go to, and how.
struct Course {
    id: LinkId,
    seq: u64,
    part: u8,
    mode: Mode,
    draw: Draw,
    /// How many symbols may leave together.
    most: usize,
}

/// What a link is to carry of a part.
enum Supply {
    /// These, each of which counts for so much in the pool; and what an earlier block waits for.
    Runs(Vec<(Run, u32)>, Option<Need>),
    /// Only what is not in memory.
    Needs(Need),
    /// Nothing before this moment; `None` waits for an input.
    Nothing(Option<Time>),
}

impl Engine {
    /// The next fragments of a part for a link.
    pub(super) fn next_symbols(&mut self, id: LinkId, seq: u64, part: u8) -> Found {
        let Some(mode) = self.mode(id, seq) else {
            return Found::Later(None);
        };
        let served = |message| self.may_serve(id, message, mode);
        if !self.outbox.get(&seq).is_some_and(served) {
            return Found::Later(None);
        }
        if let Some(later) = self.bulk_waits(id, seq, mode) {
            return later;
        }
        let Some(course) = self.course(id, seq, part, mode) else {
            return Found::Later(None);
        };
        loop {
            match self.draw(&course) {
                Supply::Runs(runs, need) => {
                    let frames = self.symbol_frames(&course, &runs);
                    // Otherwise what is lost of a block would be made up for when all others have left.
                    if let Some(need) = need {
                        self.provide(seq, part, need);
                    }
                    return frames;
                }
                Supply::Needs(need) if self.provide(seq, part, need) => {}
                Supply::Needs(_) => return Found::Later(None),
                Supply::Nothing(until) => {
                    if mode == Mode::Detached {
                        self.detached_done(id, seq, part);
                    }
                    return Found::Later(until);
                }
            }
        }
    }

    /// How symbols of a message are sent on a link.
    pub(super) fn mode(&self, id: LinkId, seq: u64) -> Option<Mode> {
        let (message, link) = (self.outbox.get(&seq)?, self.links.get(&id)?);
        let heard = self.heard.get(&message.end()).map(|(at, _)| *at);
        let heard = heard.unwrap_or_default();
        Some(link.mode(heard.max(message.taken), self.now))
    }

    /// Whether symbols of a message have to wait on this link, and until when.
    fn bulk_waits(&mut self, id: LinkId, seq: u64, mode: Mode) -> Option<Found> {
        let (Some(message), Some(link)) = (self.outbox.get_mut(&seq), self.links.get(&id)) else {
            return Some(Found::Later(None));
        };
        if message.waits_for_room() {
            // Its manifest is offered alone.
            return Some(Found::Later(None));
        }
        // A courier brings no report while it is waited for.
        let courier = link.profile.as_ref().is_some_and(|p| p.courier);
        if let Some(until) = message.hold_until.filter(|&at| at > self.now && !courier) {
            return Some(Found::Later(Some(until)));
        }
        if message.hold_until.take().is_some() {
            // Nobody has answered: better to send something twice than nothing.
            message
                .parts
                .values_mut()
                .for_each(|part| part.pool.learn(0, u32::MAX));
        }
        if mode == Mode::Silent {
            // The manifest goes on being offered; the recipient may have lost the session.
            self.sessions.doubt(message.end(), self.now);
            return Some(Found::Later(None));
        }
        // Who has answered tells what is missing, and no more than that leaves; but a relay that nothing came through yet may
        // lead nowhere, and there are other links to wait for.
        let unproven = match message.heard {
            None => link.is_relayed() && link.rate.rate_measured().is_none(),
            Some(_) => link.is_untried() && !is_alone(&self.links, message.end()),
        };
        let full = mode == Mode::Attached
            && (link.sent.len() >= self.limits.outstanding
                || (unproven && link.rate.in_flight() > PROBATION)
                || link.is_black_hole(self.now));
        full.then_some(Found::Later(None))
    }

    /// How the next symbols of a part leave by a link.
    fn course(&self, id: LinkId, seq: u64, part: u8, mode: Mode) -> Option<Course> {
        let (message, link) = (self.outbox.get(&seq)?, self.links.get(&id)?);
        let slices = slices_that_fit(link, message.parts.get(&part)?.pool.geometry());
        let draw = Draw {
            slices,
            weight: self.weight(id, message.end()),
            loss_ppm: link.loss_ahead(),
            link: carrier(id),
        };
        (slices > 0).then(|| Course {
            id,
            seq,
            part,
            mode,
            draw,
            most: self.lot(id, message, link),
        })
    }

    /// How many symbols may leave together before something has to be looked at anew.
    fn lot(&self, id: LinkId, message: &Outgoing, link: &Link) -> usize {
        let overheard = self.places_of(message.id).nth(1).is_some();
        if overheard || link.is_untried() || link.is_unanswered(self.now) {
            return 1;
        }
        let offer = message.offers.get(&id);
        let until_offer = offer.map_or(1, |offer| {
            let every = message.offer_every(link, offer.rounds);
            every.saturating_sub(offer.symbols) as usize
        });
        // Of a link that remembers no more, what leaves is not noted.
        let noted = self.limits.outstanding.checked_sub(link.sent.len());
        let most = LOT.min(link.credit).min(until_offer);
        most.min(noted.filter(|noted| *noted > 0).unwrap_or(LOT))
            .min(self.until_preamble(id, message.end()))
            .max(1)
    }

    /// What leaves together of a part.
    fn draw(&mut self, course: &Course) -> Supply {
        let places = (self.outbox.get_mut(&course.seq), self.links.get(&course.id));
        let (Some(message), Some(link)) = places else {
            return Supply::Nothing(None);
        };
        let Some(state) = message.parts.get_mut(&course.part) else {
            return Supply::Nothing(None);
        };
        match course.mode {
            Mode::Attached => draw_attached(state, link, course, self.now),
            // What is not remembered could never be settled.
            _ => draw_detached(
                state,
                link,
                course,
                link.sent.len() < self.limits.outstanding,
            ),
        }
    }

    /// Seals runs, notes that they are under way, and looks after what follows from that.
    fn symbol_frames(&mut self, course: &Course, runs: &[(Run, u32)]) -> Found {
        let &Course { id, seq, part, .. } = course;
        let Some(ready) = self.seal_runs(course, runs) else {
            return Found::Later(None);
        };
        let (Some(message), Some(link)) = (self.outbox.get_mut(&seq), self.links.get(&id)) else {
            return Found::Later(None);
        };
        let count = ready.frames.len() as u32;
        message.sent_fragments += u64::from(count);
        if let Some(offer) = message.offers.get_mut(&id) {
            offer.symbols = offer.symbols.saturating_add(count);
            // The manifest may be due again before the next symbol.
            let (symbols, rounds) = (offer.symbols, offer.rounds);
            self.work += u64::from(symbols >= message.offer_every(link, rounds));
        }
        let tick = self.now.after(LOSS_TICK);
        self.loss_at = Some(self.loss_at.map_or(tick, |at| at.min(tick)));
        let mut last = None;
        for (run, _) in runs {
            if last.replace(run.block) != Some(run.block) {
                self.read_ahead(BlockKey {
                    seq,
                    part,
                    block: run.block,
                });
            }
        }
        self.count_for_others(id, seq, part, runs);
        match ready.frames.is_empty() {
            true => Found::Later(None),
            false => Found::Frames(ready),
        }
    }

    /// Seals runs and notes that they are under way.
    fn seal_runs(&mut self, course: &Course, runs: &[(Run, u32)]) -> Option<Ready> {
        let &Course { id, seq, part, .. } = course;
        let (message, link) = (self.outbox.get(&seq)?, self.links.get_mut(&id)?);
        let state = message.parts.get(&part)?;
        let kind = match state.pool.geometry().is_wide() {
            true => Kind::Wide,
            false => Kind::Narrow,
        };
        let mut frames = Vec::with_capacity(runs.len());
        for &(run, weight) in runs {
            let Some(bytes) = state.pool.read(&run) else {
                continue;
            };
            let place = Place {
                part,
                block: run.block,
                symbol: run.symbol,
                slice: run.slice,
            };
            let keys = message.symbol_keys();
            let frame = self.seals.seal(keys, kind, &place, &bytes);
            // Of what a detached link carries nobody may ever report, so what is remembered of it is bounded.
            if link.sent.len() < self.limits.outstanding {
                link.push(Sent {
                    seq,
                    part,
                    run,
                    weight,
                    weighed: weight,
                    at: self.now,
                    number: 0,
                    bytes: frame.len() as u32,
                });
            }
            frames.push(frame);
        }
        let mark = message.postmark(state.priority, self.now);
        Some(Ready { mark, frames })
    }

    /// Symbols of this block have left: it is in use, and the next ones will be soon.
    fn read_ahead(&mut self, key: BlockKey) {
        self.touch_block(key);
        let state = self.out_part(key.seq, key.part);
        let Some(state) = state.filter(|state| state.pool.is_half_sent(key.block)) else {
            return;
        };
        let len = state.pool.geometry().block_len(key.block);
        let next = Vec::from_iter(state.pool.blocks_after(key.block).take(AHEAD));
        let fit = (self.block_share() / len.max(1)).saturating_sub(1);
        for block in next.into_iter().take(fit.max(1)) {
            self.load(BlockKey { block, ..key });
        }
    }

    /// Says, once, what a detached link that has sent everything has achieved.
    fn detached_done(&mut self, id: LinkId, seq: u64, part: u8) {
        let state = self.out_part(seq, part);
        let Some(failure) = state.and_then(|state| state.detached_done(id)) else {
            return;
        };
        let (Some(message), Some(link)) = (self.outbox.get(&seq), self.links.get(&id)) else {
            return;
        };
        let failure = failure + message.manifest_failure(id, link);
        let success_ppm = (1.0 - failure).max(0.0) * f64::from(CERTAIN);
        let (message, to) = (message.id, message.to);
        self.event(Event::OneWayDone {
            message,
            to,
            link: id,
            success_ppm: success_ppm as u32,
        });
    }
}

fn draw_attached(state: &mut OutPart, link: &Link, course: &Course, now: Time) -> Supply {
    let (draw, mut runs) = (&course.draw, Vec::with_capacity(course.most));
    while runs.len() < course.most {
        match state.pool.draw(draw) {
            Drawn::Run(run, need) => {
                runs.push((run, draw.weight));
                if need.is_some() {
                    return Supply::Runs(runs, need);
                }
            }
            // The answer to what has just left is not overdue yet.
            _ if !runs.is_empty() => break,
            Drawn::Needs(need) => return Supply::Needs(need),
            Drawn::Nothing => {
                let due = link.answer_due(course.seq, course.part, now);
                return draw_spare(&mut state.pool, draw, due, now);
            }
        }
    }
    Supply::Runs(runs, None)
}

/// A further symbol, alone, where enough is under way and its answer is overdue.
fn draw_spare(pool: &mut Pool, draw: &Draw, due: Option<Time>, now: Time) -> Supply {
    if due.is_none_or(|at| at > now) {
        return Supply::Nothing(due);
    }
    match pool.draw_spare(draw) {
        Drawn::Run(run, _) => Supply::Runs(vec![(run, draw.weight)], None),
        Drawn::Needs(need) => Supply::Needs(need),
        Drawn::Nothing => Supply::Nothing(None),
    }
}

/// `remembered`: what leaves is noted.
fn draw_detached(state: &mut OutPart, link: &Link, course: &Course, remembered: bool) -> Supply {
    let &Course { id, draw, .. } = course;
    let relayed = link.is_relayed();
    let lot = Lot {
        slices: draw.slices,
        loss_ppm: draw.loss_ppm,
        carrier: relayed.then_some(draw.link),
        most: course.most,
    };
    let mut steps = state.next_detached(id, &lot);
    let Some(first) = steps.first() else {
        return Supply::Nothing(None);
    };
    let (block, symbol) = (first.run.block, first.run.symbol);
    steps.truncate(state.pool.in_memory(steps.iter().map(|step| &step.run)));
    if steps.is_empty() {
        let repair = symbol >= state.pool.geometry().source_symbols(block);
        return Supply::Needs(Need { block, repair });
    }
    state.took_detached(id, &steps, remembered && link.is_carried_both_ways());
    // A stick may carry everything while other links go on with it.
    let weight = if remembered && relayed {
        draw.weight
    } else {
        0
    };
    if relayed {
        let draw = Draw { weight, ..draw };
        steps
            .iter()
            .for_each(|step| state.pool.take(&step.run, &draw));
    }
    Supply::Runs(steps.iter().map(|step| (step.run, weight)).collect(), None)
}

/// How many slices of a symbol one frame of this link takes.
fn slices_that_fit(link: &Link, geometry: &super::geometry::Geometry) -> u8 {
    let overhead = if geometry.is_wide() {
        WIDE_OVERHEAD
    } else {
        NARROW_OVERHEAD
    };
    let fitting = link.room().saturating_sub(overhead) / usize::from(geometry.coding.slice_len);
    fitting.min(usize::from(geometry.coding.slices)) as u8
}

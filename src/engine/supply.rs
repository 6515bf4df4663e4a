//! What a part has for a link: the next symbol, or some slices of one, out of its pool.

use super::blocks::BlockKey;
use super::feedback::is_alone;
use super::io::{Event, LinkId, Time};
use super::link::{Link, Mode, Sent};
use super::pool::{Draw, Drawn, Need, Run, carrier};
use super::redundancy::CERTAIN;
use super::serve::Found;
use super::{Engine, LOSS_TICK};
use crate::wire::fragment::{Kind, NARROW_OVERHEAD, Place, WIDE_OVERHEAD};

/// Bytes that a relay may hold for a recipient who has not answered yet, before they count as put there for good.
const PROBATION: u64 = 128 << 10;

/// What a link is to carry of a part.
enum Supply {
    /// This run, which counts for so much in the pool; and what an earlier block waits for.
    Run(Run, u32, Option<Need>),
    /// Only what is not in memory.
    Needs(Need),
    /// Nothing before this moment; `None` waits for an input.
    Nothing(Option<Time>),
}

impl Engine {
    /// The next fragment of a part for a link.
    pub(super) fn next_symbol(&mut self, id: LinkId, seq: u64, part: u8) -> Found {
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
        match self.draw(id, seq, part, mode) {
            Supply::Run(run, weight, need) => {
                let frame = self.symbol_frame(id, seq, part, run, weight);
                // Otherwise what is lost of a block would be made up for when all others have left.
                if let Some(need) = need {
                    self.provide(seq, part, need);
                }
                frame
            }
            Supply::Needs(need) if self.provide(seq, part, need) => self.next_symbol(id, seq, part),
            Supply::Needs(_) => Found::Later(None),
            Supply::Nothing(until) => {
                if mode == Mode::Detached {
                    self.detached_done(id, seq, part);
                }
                Found::Later(until)
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

    fn draw(&mut self, id: LinkId, seq: u64, part: u8, mode: Mode) -> Supply {
        let Some(to) = self.outbox.get(&seq).map(|message| message.end()) else {
            return Supply::Nothing(None);
        };
        let weight = self.weight(id, to);
        let (Some(message), Some(link)) = (self.outbox.get_mut(&seq), self.links.get(&id)) else {
            return Supply::Nothing(None);
        };
        let Some(state) = message.parts.get_mut(&part) else {
            return Supply::Nothing(None);
        };
        let geometry = *state.pool.geometry();
        let slices = slices_that_fit(link, &geometry);
        if slices == 0 {
            return Supply::Nothing(None);
        }
        let loss_ppm = link.loss_ppm();
        let draw = Draw {
            slices,
            weight,
            loss_ppm,
            link: carrier(id),
        };
        if mode == Mode::Attached {
            let overdue = link.answer_due(seq, part, self.now);
            let drawn = match state.pool.draw(&draw) {
                Drawn::Nothing if overdue.is_some_and(|at| at <= self.now) => {
                    state.pool.draw_spare(&draw)
                }
                drawn => drawn,
            };
            return match drawn {
                Drawn::Run(run, need) => Supply::Run(run, weight, need),
                Drawn::Needs(need) => Supply::Needs(need),
                Drawn::Nothing => Supply::Nothing(overdue.filter(|at| *at > self.now)),
            };
        }
        let relayed = link.is_relayed();
        let carried = relayed.then_some(draw.link);
        let Some(run) = state.next_detached(id, slices, loss_ppm, carried) else {
            return Supply::Nothing(None);
        };
        if state.pool.bytes(&run).is_none() {
            let (block, k) = (run.block, geometry.source_symbols(run.block));
            let repair = run.symbol >= k;
            return Supply::Needs(Need { block, repair });
        }
        // What is not remembered could never be settled.
        let remembered = link.sent.len() < self.limits.outstanding;
        state.took_detached(id, &run, remembered && link.is_carried_both_ways());
        if !relayed {
            // A stick may carry everything while other links go on with it.
            return Supply::Run(run, 0, None);
        }
        let weight = if remembered { weight } else { 0 };
        state.pool.take(&run, &Draw { weight, ..draw });
        Supply::Run(run, weight, None)
    }

    /// Seals a run and notes that it is under way.
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
        let frame = self.seals.seal(message.symbol_keys(), kind, &place, &bytes);
        // Of what a detached link carries nobody may ever report, so what is remembered of it is bounded.
        if link.sent.len() < self.limits.outstanding {
            link.push(Sent {
                seq,
                part,
                run,
                weight,
                at: self.now,
                number: 0,
                bytes: frame.len() as u32,
            });
        }
        let half = state.pool.is_half_sent(run.block);
        let ahead = half.then(|| state.pool.block_after(run.block)).flatten();
        let ready = message.ready(frame, state.priority, self.now);
        message.sent_fragments += 1;
        if let Some(offer) = message.offers.get_mut(&id) {
            offer.symbols = offer.symbols.saturating_add(1);
            // The manifest may be due again before the next symbol.
            let (symbols, rounds) = (offer.symbols, offer.rounds);
            self.work += u64::from(symbols >= message.offer_every(link, rounds));
        }
        let tick = self.now.after(LOSS_TICK);
        self.loss_at = Some(self.loss_at.map_or(tick, |at| at.min(tick)));
        let block = |block| BlockKey { seq, part, block };
        if let Some(next) = ahead {
            self.load(block(next));
        }
        self.touch_block(block(run.block));
        self.count_for_others(id, seq, part, run);
        Found::Frame(ready)
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

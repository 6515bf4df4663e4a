//! A part on a link where nobody answers soon: everything leaves once, with as many repair symbols as the loss to reckon
//! with asks for. What a courier turns out to have lost leaves once more.

use super::Engine;
use super::coding::Scheme;
use super::geometry::{Blocks, Geometry, LARGE_BLOCK, LARGE_REPAIR, SLICE, SLICES};
use super::id::PersonId;
use super::io::{LinkId, LinkProfile, Reach};
use super::outgoing::OutPart;
use super::pool::Run;
use super::redundancy;
use std::collections::BTreeSet;

/// The probability, in parts per million, with which all that is put on a link without an answer is to suffice.
const ENOUGH: u32 = 999_800;

/// How often the only symbol of a part leaves at most.
const REPEATS_MAX: u32 = 64;
/// The largest loss to reckon with, in parts per million, for which large blocks have repair symbols enough, with room for a
/// loss that is set higher while they are under way.
const LARGE_LOSS: u32 = 200_000;

/// Bytes that a large block takes in memory, its repair symbols included.
const LARGE_BYTES: usize =
    (LARGE_BLOCK as usize + LARGE_REPAIR as usize) * SLICE as usize * SLICES as usize;

/// What may leave together on a link that nobody answers on.
#[derive(Clone, Copy, Debug)]
pub struct Lot {
    /// Slices that fit one frame, at least 1.
    pub slices: u8,
    /// Loss to reckon with, in parts per million.
    pub loss_ppm: u32,
    /// As what carrier it holds what it has carried, where it does: see [`super::pool::carrier`].
    pub carrier: Option<u8>,
    /// How many frames, at most.
    pub most: usize,
}

/// One frame of a lot.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What is in it.
    pub run: Run,
    /// The symbol and the slice after it.
    then: (u16, u8),
}

/// How far a link that nobody answers on has carried a part.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// The block.
    block: u32,
    /// The next symbol of it.
    symbol: u16,
    /// The next slice of it.
    slice: u8,
    /// The chance that what was sent does not suffice for one of the blocks so far.
    failure: f64,
    /// Blocks for which that was reckoned.
    reckoned: u32,
    /// How many symbols of a block are to leave, and for how many of source, code words and what loss that was reckoned.
    plan: Option<((u32, u32, u32), u32)>,
    /// All was sent.
    done: bool,
    /// What a courier has taken along and nobody has told of: block, symbol and first slice.
    carried: BTreeSet<(u16, u16, u8)>,
}

impl Engine {
    /// How large the blocks of a message to these persons had better be: large, where links lead to each of them, nobody
    /// can answer by any link that is up, and none of them was ever heard. What comes up later takes either.
    pub fn blocks(&self, to: &BTreeSet<PersonId>) -> Blocks {
        let up = self.links.values().filter_map(|link| {
            let profile = link.profile.as_ref()?;
            Some((profile, link.loss_ppm()))
        });
        let up: Vec<(&LinkProfile, u32)> = up
            .filter(|(profile, _)| to.iter().any(|who| leads(profile, *who)))
            .collect();
        let sends = |who: &PersonId| up.iter().any(|(p, _)| p.can_send && leads(p, *who));
        let silent = up
            .iter()
            .all(|(p, loss_ppm)| !p.can_receive && *loss_ppm <= LARGE_LOSS);
        let heard = self.heard.keys().any(|end| to.contains(&end.person));
        // Each link reads and codes for itself.
        let fit = up.len().saturating_mul(LARGE_BYTES) <= self.limits.block_cache_bytes;
        match silent && fit && !heard && to.iter().all(sends) {
            true => Blocks::Large,
            false => Blocks::Usual,
        }
    }
}

/// Whether frames for a person may leave by a link, or frames of him come.
fn leads(profile: &LinkProfile, who: PersonId) -> bool {
    match profile.reach {
        Reach::Anyone => true,
        Reach::Person(person) => person == who,
        Reach::Endpoint(end) => end.person == who,
    }
}

impl OutPart {
    /// The next runs for a link that nobody answers on, all of one block: every block in turn, source symbols and as many
    /// repair symbols as the assumed loss asks for. What the link is known to have carried is left out.
    pub fn next_detached(&mut self, link: LinkId, lot: &Lot) -> Vec<Step> {
        let geometry = *self.pool.geometry();
        // Slices that travel in different frames are lost for themselves, and so are their code words.
        let words = u32::from(geometry.coding.slices.div_ceil(lot.slices.max(1)));
        let cursor = self.detached.entry(link).or_default();
        while cursor.block < geometry.blocks() {
            let n = cursor.reckon(&geometry, words, lot.loss_ppm);
            let needless = self.pool.needless(cursor.block as u16, lot.carrier);
            let steps = cursor.steps(&geometry, lot, n, needless);
            if !steps.is_empty() {
                return steps;
            }
            (cursor.block, cursor.symbol, cursor.slice) = (cursor.block + 1, 0, 0);
        }
        Vec::new()
    }

    /// The first of what [`OutPart::next_detached`] gave has left. `noted`: until it is settled it does not leave again.
    pub fn took_detached(&mut self, link: LinkId, steps: &[Step], noted: bool) {
        let cursor = self.detached.get_mut(&link);
        if let (Some(cursor), Some(last)) = (cursor, steps.last()) {
            (cursor.symbol, cursor.slice) = last.then;
            let noted = steps.iter().filter(|_| noted);
            cursor.carried.extend(noted.map(|step| name(&step.run)));
        }
    }

    /// What a courier took along is there, or lost.
    pub fn settle_carried(&mut self, link: LinkId, run: &Run) {
        if let Some(cursor) = self.detached.get_mut(&link) {
            cursor.carried.remove(&name(run));
        }
    }

    /// Something that a courier took along is lost: it goes through all blocks once more, past what is under way.
    pub fn carry_again(&mut self, link: LinkId) {
        if let Some(cursor) = self.detached.get_mut(&link) {
            (cursor.block, cursor.symbol, cursor.slice) = (0, 0, 0);
        }
    }

    /// The chance that what a detached link has sent does not suffice for all blocks, once it has sent everything; told
    /// once.
    pub fn detached_done(&mut self, link: LinkId) -> Option<f64> {
        let blocks = self.pool.geometry().blocks();
        let cursor = self
            .detached
            .get_mut(&link)
            .filter(|c| c.block >= blocks && !c.done)?;
        cursor.done = true;
        Some(cursor.failure.min(1.0))
    }
}

fn name(run: &Run) -> (u16, u16, u8) {
    (run.block, run.symbol, run.slice)
}

impl Cursor {
    /// How many symbols of its block are to leave; the first time the chance that they do not suffice is taken down.
    fn reckon(&mut self, geometry: &Geometry, words: u32, loss_ppm: u32) -> u32 {
        let n = self.planned(geometry, words, loss_ppm);
        if self.reckoned <= self.block {
            self.reckoned = self.block + 1;
            let k = u32::from(geometry.source_symbols(self.block as u16));
            self.failure += redundancy::failure(k, n, loss_ppm) * f64::from(words);
        }
        n
    }

    /// What leaves next of its block, of which so many symbols are to leave.
    fn steps(
        &self,
        geometry: &Geometry,
        lot: &Lot,
        n: u32,
        needless: impl Fn(&Run) -> bool,
    ) -> Vec<Step> {
        let (block, slices) = (self.block as u16, geometry.coding.slices);
        let last = geometry.symbols(block).saturating_sub(1);
        let (mut symbol, mut slice) = (self.symbol, self.slice);
        let mut steps = Vec::with_capacity(lot.most);
        while steps.len() < lot.most && u32::from(symbol) < n {
            // Whether a symbol leaves another time shows when it has left.
            if symbol > last && !steps.is_empty() {
                break;
            }
            let run = Run {
                block,
                symbol: symbol.min(last),
                slice,
                count: lot.slices.min(slices - slice),
            };
            slice += run.count;
            if slice >= slices {
                (symbol, slice) = (symbol + 1, 0);
            }
            if !self.carried.contains(&name(&run)) && !needless(&run) {
                let then = (symbol, slice);
                steps.push(Step { run, then });
            }
        }
        steps
    }

    /// How many symbols of its block are to leave. Reckoned once a size and loss: it takes longer than a symbol.
    fn planned(&mut self, geometry: &Geometry, words: u32, loss_ppm: u32) -> u32 {
        let block = self.block as u16;
        let k = u32::from(geometry.source_symbols(block));
        let given = (k, words, loss_ppm);
        if let Some((_, n)) = self.plan.filter(|(known, _)| *known == given) {
            return n;
        }
        let most = match geometry.coding.scheme {
            Scheme::Repeat => REPEATS_MAX,
            _ => u32::from(geometry.symbols(block)),
        };
        let all = geometry.blocks().saturating_mul(words);
        let n = redundancy::plan(k, most, all, loss_ppm, ENOUGH);
        self.plan = Some((given, n));
        n
    }
}

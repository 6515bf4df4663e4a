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
    /// The next run for a link that nobody answers on: every block in turn, source symbols and as many repair
    /// symbols as the assumed loss asks for. What the link is known to have carried as this carrier is left out.
    pub fn next_detached(
        &mut self,
        link: LinkId,
        slices: u8,
        loss_ppm: u32,
        carried: Option<u8>,
    ) -> Option<Run> {
        let geometry = *self.pool.geometry();
        let cursor = self.detached.entry(link).or_default();
        while cursor.block < geometry.blocks() {
            let block = cursor.block as u16;
            let k = u32::from(geometry.source_symbols(block));
            // Slices that travel in different frames are lost for themselves, and so are their code words.
            let words = u32::from(geometry.coding.slices.div_ceil(slices.max(1)));
            let n = cursor.planned(&geometry, words, loss_ppm);
            if cursor.reckoned <= cursor.block {
                cursor.reckoned = cursor.block + 1;
                cursor.failure += redundancy::failure(k, n, loss_ppm) * f64::from(words);
            }
            if u32::from(cursor.symbol) >= n || self.pool.is_solved(block) {
                (cursor.block, cursor.symbol, cursor.slice) = (cursor.block + 1, 0, 0);
                continue;
            }
            let run = Run {
                block,
                symbol: cursor.symbol.min(geometry.symbols(block).saturating_sub(1)),
                slice: cursor.slice,
                count: slices.min(geometry.coding.slices - cursor.slice),
            };
            let under_way = cursor.carried.contains(&name(&run))
                || carried.is_some_and(|by| self.pool.is_carried(&run, by));
            if under_way || self.pool.has(&run) {
                cursor.pass(&run, geometry.coding.slices);
                continue;
            }
            return Some(run);
        }
        None
    }

    /// The run that [`OutPart::next_detached`] gave has left. `noted`: until it is settled it does not leave again.
    pub fn took_detached(&mut self, link: LinkId, run: &Run, noted: bool) {
        let slices = self.pool.geometry().coding.slices;
        if let Some(cursor) = self.detached.get_mut(&link) {
            cursor.pass(run, slices);
            cursor.carried.extend(noted.then(|| name(run)));
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

    /// A run of a symbol of so many slices was carried.
    fn pass(&mut self, run: &Run, slices: u8) {
        self.slice = run.slice + run.count;
        if self.slice >= slices {
            (self.symbol, self.slice) = (self.symbol + 1, 0);
        }
    }
}

//! A part on a link where nobody answers soon: everything leaves once, with as many repair symbols as the loss to reckon
//! with asks for. What a courier turns out to have lost leaves once more.

use super::geometry::Geometry;
use super::io::LinkId;
use super::outgoing::OutPart;
use super::pool::Run;
use super::redundancy;
use std::collections::BTreeSet;

/// The probability, in parts per million, with which all that is put on a link without an answer is to suffice.
const ENOUGH: u32 = 999_500;

/// How far a link that nobody answers on has carried a part.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// The block.
    block: u32,
    /// The next symbol of it.
    symbol: u16,
    /// The next slice of it.
    slice: u8,
    /// The least chance, over all blocks so far, that what was sent suffices; in parts per million.
    success_ppm: u32,
    /// Blocks for which that was reckoned.
    reckoned: u32,
    /// How many symbols of a block are to leave, for which block and loss that was reckoned.
    plan: Option<(u32, u32, u32)>,
    /// All was sent.
    done: bool,
    /// What a courier has taken along and nobody has told of: block, symbol and first slice.
    carried: BTreeSet<(u16, u16, u8)>,
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
        let cursor = self.detached.entry(link).or_insert(Cursor {
            success_ppm: redundancy::CERTAIN,
            ..Cursor::default()
        });
        while cursor.block < geometry.blocks() {
            let block = cursor.block as u16;
            let k = u32::from(geometry.source_symbols(block));
            let n = cursor.planned(&geometry, loss_ppm);
            if cursor.reckoned <= cursor.block {
                cursor.reckoned = cursor.block + 1;
                cursor.success_ppm = cursor
                    .success_ppm
                    .min(redundancy::success_ppm(k, n, loss_ppm));
            }
            if u32::from(cursor.symbol) >= n || self.pool.is_solved(block) {
                (cursor.block, cursor.symbol, cursor.slice) = (cursor.block + 1, 0, 0);
                continue;
            }
            let run = Run {
                block,
                symbol: cursor.symbol,
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

    /// The chance that what a detached link has sent suffices for all blocks, once it has sent everything; told once.
    pub fn detached_done(&mut self, link: LinkId) -> Option<u32> {
        let blocks = self.pool.geometry().blocks();
        let cursor = self
            .detached
            .get_mut(&link)
            .filter(|c| c.block >= blocks && !c.done)?;
        cursor.done = true;
        Some(redundancy::all_blocks_ppm(cursor.success_ppm, blocks))
    }
}

fn name(run: &Run) -> (u16, u16, u8) {
    (run.block, run.symbol, run.slice)
}

impl Cursor {
    /// How many symbols of its block are to leave. Reckoned once a block and loss: it takes longer than a symbol.
    fn planned(&mut self, geometry: &Geometry, loss_ppm: u32) -> u32 {
        if let Some((block, loss, n)) = self.plan
            && (block, loss) == (self.block, loss_ppm)
        {
            return n;
        }
        let block = self.block as u16;
        let k = u32::from(geometry.source_symbols(block));
        let most = u32::from(geometry.symbols(block));
        let n = redundancy::plan(k, most, geometry.blocks(), loss_ppm, ENOUGH);
        self.plan = Some((self.block, loss_ppm, n));
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

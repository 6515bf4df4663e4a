//! One pool of source and repair symbols for each part that is being sent. Links draw from it.
//!
//! Every slice of a block is a code word that needs `k` symbols. What the recipient reported counts in full, and a
//! link that asks gets the next symbol of the first block that would still fall short. So nobody has to agree on who
//! sends what, and a slow link cannot hold back a fast one.
//!
//! While there are other blocks to go on with, what is under way counts as if it arrived, and what did not is made up
//! for when a report says so: that costs no time, and no symbol too many where loss comes in bursts. Of a part that is
//! urgent, and of the last blocks, it counts by its chance of arriving, with a margin.

use super::coding::Scheme;
use super::geometry::{Coding, Geometry};
use super::redundancy::tail_margin;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The weight of a fragment that will surely arrive.
pub const FULL: u32 = 1024;
/// Where less than one of so many arrives, hardly anything does.
const HARDLY: u32 = 8;
/// Blocks that may be unsolved at once.
const ACTIVE_MAX: usize = 64;

/// A run of slices of one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The source block.
    pub block: u16,
    /// The symbol in it.
    pub symbol: u16,
    /// The first slice.
    pub slice: u8,
    /// How many slices.
    pub count: u8,
}

impl Run {
    /// Its slices as a mask.
    pub fn mask(&self) -> u8 {
        (((1u16 << self.count) - 1) << self.slice) as u8
    }
}

/// What a link that draws is like.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Slices that fit one frame, at least 1.
    pub slices: u8,
    /// The chance of arrival, of [`FULL`].
    pub weight: u32,
    /// Loss to protect the tail against.
    pub loss_ppm: u32,
    /// Which link it is: see [`carrier`].
    pub link: u8,
}

/// No link carries a symbol.
const NOBODY: u8 = 0;
/// More than one link carries a symbol.
const SEVERAL: u8 = 255;

/// Whether one link carries a symbol, and no other.
fn is_one(carrier: u8) -> bool {
    !matches!(carrier, NOBODY | SEVERAL)
}

/// The number of a link among the carriers of symbols. Two links with one number only cost a little accuracy.
pub fn carrier(link: super::io::LinkId) -> u8 {
    (link.0 % 254) as u8 + 1
}

/// What has to be in memory first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which block: it has to be read.
    pub block: u16,
    /// And coded: its repair symbols are needed.
    pub repair: bool,
}

/// What a pool has for a link.
#[derive(Debug, PartialEq, Eq)]
pub enum Drawn {
    /// This; and what an earlier block that falls short waits for.
    Run(Run, Option<Need>),
    /// Only what is not in memory.
    Needs(Need),
    /// Nothing at present.
    Nothing,
}

/// Bytes of a block, as far as they are in memory.
#[derive(Clone, Debug, Default)]
pub struct BlockData {
    /// The source symbols, the padding of the last one left out.
    pub source: Option<Bytes>,
    /// The first of the repair symbols, or all of them.
    pub repair: Option<Bytes>,
    /// A read is under way.
    pub fetching: bool,
    /// Coding is under way.
    pub coding: bool,
    /// Coding is to follow the reading.
    pub wants_repair: bool,
}

/// How much of one slice is under way, of [`FULL`] a symbol.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// By the chance of arriving.
    expected: u32,
    /// If all goes well.
    hoped: u32,
}

#[derive(Clone, Debug)]
struct Block {
    k: u16,
    /// All slices of a symbol.
    full: u8,
    /// Slices of each symbol that were sent at least once.
    sent: Vec<u8>,
    /// By which link each symbol is under way or has arrived: [`Draw::link`], [`NOBODY`] or [`SEVERAL`].
    carriers: Vec<u8>,
    /// Slices of each symbol that the recipient has.
    held: Vec<u8>,
    held_count: [u16; 8],
    /// What is under way, by slice.
    under_way: [Way; 8],
    next_fresh: u16,
    next_again: u16,
    /// Symbols sent in part, or to be sent again.
    begun: BTreeSet<u16>,
    data: BlockData,
}

/// The pool of one part.
#[derive(Clone, Debug)]
pub struct Pool {
    geometry: Geometry,
    active: BTreeMap<u16, Block>,
    solved: Vec<u64>,
    /// Blocks below this one were opened.
    next_block: u32,
    /// After a restart, blocks from this one on may be held in part for all we know: they wait for a report.
    unknown_from: Option<u32>,
    urgent: bool,
    quiet: Quiet,
    /// Links by which something has arrived that no other link has carried, since that was last asked.
    shown: BTreeSet<u8>,
}

/// Blocks that needed nothing when they were last asked, so that not all are asked for each frame.
#[derive(Clone, Copy, Debug, Default)]
struct Quiet {
    /// The loss that the tail was protected against, if it was.
    loss_ppm: Option<u32>,
    /// All blocks below this one.
    below: u16,
}

impl Quiet {
    /// A block may need something again.
    fn wake(&mut self, block: u16) {
        self.below = self.below.min(block);
    }
}

impl Pool {
    /// A pool of which nothing was sent yet. `urgent` parts are protected against loss from the start.
    pub fn new(geometry: Geometry, urgent: bool) -> Self {
        let words = geometry.blocks().div_ceil(64) as usize;
        Self {
            geometry,
            active: BTreeMap::new(),
            solved: vec![0; words],
            next_block: 0,
            unknown_from: None,
            urgent,
            quiet: Quiet::default(),
            shown: BTreeSet::new(),
        }
    }

    /// How the part is cut.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Nothing is known of what the recipient has.
    pub fn forget(&mut self) {
        self.unknown_from = Some(0);
    }

    /// A report told of blocks `from` to `upto`.
    pub fn learn(&mut self, from: u32, upto: u32) {
        let first_unsolved = (0..self.geometry.blocks())
            .find(|&b| !self.is_solved(b as u16))
            .unwrap_or(u32::MAX);
        if let Some(unknown) = self.unknown_from
            && from <= unknown.max(first_unsolved)
        {
            let known = unknown.max(upto);
            self.unknown_from = (known < self.geometry.blocks()).then_some(known);
        }
    }

    /// What of a block is in memory, if it is under way.
    pub fn loaded(&self, block: u16) -> Option<&BlockData> {
        self.active.get(&block).map(|block| &block.data)
    }

    /// Whether the recipient has this block.
    pub fn is_solved(&self, block: u16) -> bool {
        self.solved
            .get(usize::from(block) / 64)
            .is_some_and(|w| w >> (block % 64) & 1 == 1)
    }

    /// Whether the recipient has reported enough of all blocks, solved or not.
    pub fn is_all_reported(&self) -> bool {
        let slices = self.geometry.coding.slices;
        let solved: u32 = self.solved.iter().map(|word| word.count_ones()).sum();
        let active = self.active.values();
        let enough = active.filter(|block| block.unsolved(slices) == 0).count();
        solved + enough as u32 >= self.geometry.blocks()
    }

    /// The recipient has this block.
    pub fn solve(&mut self, block: u16) {
        if u32::from(block) >= self.geometry.blocks() || self.is_solved(block) {
            return;
        }
        if let Some(word) = self.solved.get_mut(usize::from(block) / 64) {
            *word |= 1 << (block % 64);
            let solved = self.active.remove(&block);
            self.shown
                .extend(solved.and_then(|block| block.only_carrier()));
        }
    }

    /// The recipient has all of the part.
    pub fn complete(&mut self) {
        let open = self.active.values();
        self.shown.extend(open.filter_map(Block::only_carrier));
    }

    /// Whether something new has arrived by this link that no other has carried.
    pub fn has_shown(&mut self, link: u8) -> bool {
        self.shown.remove(&link)
    }

    /// The recipient has these slices of a block.
    pub fn hold(&mut self, block: u16, masks: &[u8]) {
        if u32::from(block) >= self.geometry.blocks() || self.is_solved(block) {
            return;
        }
        let full = self.geometry.coding.full_mask();
        let open = self.open(block);
        let mut shown = BTreeSet::new();
        for ((held, mask), carrier) in open.held.iter_mut().zip(masks).zip(&open.carriers) {
            let new = mask & full & !*held;
            *held |= new;
            for j in 0..8 {
                open.held_count[j] += u16::from(new >> j & 1);
            }
            if new != 0 && is_one(*carrier) {
                shown.insert(*carrier);
            }
        }
        self.shown.append(&mut shown);
    }

    /// Whether the recipient has all slices of this run, or no longer needs them.
    pub fn has(&self, run: &Run) -> bool {
        let block = self.active.get(&run.block);
        self.is_solved(run.block) || block.is_some_and(|block| block.has(run))
    }

    /// Which runs of a block a link need not carry: the recipient has them, or this carrier has carried them and they were
    /// not lost.
    pub fn needless(&self, block: u16, carrier: Option<u8>) -> impl Fn(&Run) -> bool {
        let (solved, open) = (self.is_solved(block), self.active.get(&block));
        let known = move |run: &Run| {
            let carried = |open: &Block| carrier.is_some_and(|by| open.is_carried(run, by));
            open.is_some_and(|open| open.has(run) || carried(open))
        };
        move |run| solved || known(run)
    }

    /// Whether nobody but this link can have brought a run.
    pub fn is_only_by(&self, run: &Run, link: u8) -> bool {
        let block = self.active.get(&run.block);
        block
            .and_then(|b| b.carriers.get(usize::from(run.symbol)))
            .is_some_and(|carrier| *carrier == link)
    }

    /// A run leaves that was not drawn, as if it had been.
    pub fn take(&mut self, run: &Run, draw: &Draw) {
        if let Some(block) = self.active.get_mut(&run.block) {
            block.take(run, draw);
        }
    }

    /// A run has left for somebody else by a link that this recipient hears: it counts as if it had been drawn. False
    /// where its block is not to leave yet.
    pub fn hear(&mut self, run: &Run, draw: &Draw) -> bool {
        while self.next_block <= u32::from(run.block) && self.open_next() {}
        let known = self
            .unknown_from
            .is_none_or(|from| u32::from(run.block) < from);
        match self.active.get_mut(&run.block).filter(|_| known) {
            Some(block) => block.take(run, draw),
            None => return false,
        }
        true
    }

    /// A run that a link carried is lost: whoever carries the symbol next is the only one again. `surely`: it is not merely
    /// late, and nobody else got it either.
    pub fn lost(&mut self, run: &Run, link: u8, surely: bool) {
        if let Some(block) = self.active.get_mut(&run.block) {
            block.lost(run, link, surely);
        }
    }

    /// Bytes that the recipient has or can compute.
    pub fn held_bytes(&self) -> u64 {
        let slice = u64::from(self.geometry.coding.slice_len);
        let whole: u64 = (0..self.geometry.blocks())
            .map(|b| b as u16)
            .filter(|&b| self.is_solved(b))
            .map(|b| self.geometry.block_len(b) as u64)
            .sum();
        let pieces: u64 = self.active.values().map(Block::held_slices).sum();
        (whole + pieces * slice).min(self.geometry.len)
    }

    fn open(&mut self, block: u16) -> &mut Block {
        let (k, n) = (
            self.geometry.source_symbols(block),
            self.geometry.symbols(block),
        );
        let full = self.geometry.coding.full_mask();
        let quiet = &mut self.quiet;
        self.active.entry(block).or_insert_with(|| {
            quiet.wake(block);
            Block::new(k, n, full)
        })
    }

    /// The next run for a link. `tail`: everything was opened, so this may be the last of the part.
    pub fn draw(&mut self, draw: &Draw) -> Drawn {
        loop {
            let tail = self.urgent || self.next_block >= self.geometry.blocks();
            match self.draw_active(draw, tail) {
                Drawn::Nothing if self.open_next() => {}
                drawn => return drawn,
            }
        }
    }

    fn draw_active(&mut self, draw: &Draw, tail: bool) -> Drawn {
        let coding = &self.geometry.coding;
        let slices = coding.slices;
        let mut wanting = None;
        let known = self.unknown_from.unwrap_or(u32::MAX);
        let loss_ppm = tail.then_some(draw.loss_ppm);
        if self.quiet.loss_ppm != loss_ppm {
            self.quiet = Quiet { loss_ppm, below: 0 };
        }
        let mut quiet = true;
        for (&number, block) in self
            .active
            .range_mut(self.quiet.below..)
            .take_while(|(number, _)| u32::from(**number) < known)
        {
            let margin = tail.then(|| tail_margin(block.lacking(slices), draw.loss_ppm));
            let needed = block.needed(slices, margin);
            if needed == 0 {
                if quiet {
                    self.quiet.below = number.saturating_add(1);
                }
                continue;
            }
            quiet = false;
            match block.pick(number, needed, draw, coding) {
                None => {}
                Some((run, None)) => {
                    block.take(&run, draw);
                    return Drawn::Run(run, wanting);
                }
                Some((_, need)) => wanting = wanting.or(need),
            }
        }
        wanting.map_or(Drawn::Nothing, Drawn::Needs)
    }

    /// A further run, where what is under way would do if it arrived, but seems not to. Of a large block that nobody has coded
    /// yet it is one that has left, which is answered as well.
    pub fn draw_spare(&mut self, draw: &Draw) -> Drawn {
        let coding = &self.geometry.coding;
        let is_large = coding.scheme == Scheme::LargeBlock;
        let known = self.unknown_from.unwrap_or(u32::MAX);
        let active = self.active.iter_mut();
        for (&number, block) in active.filter(|(number, _)| u32::from(**number) < known) {
            let unsolved = block.unsolved(coding.slices);
            let drawn = match block.pick(number, unsolved, draw, coding) {
                Some((_, Some(Need { repair: true, .. }))) if is_large && !block.is_coded() => {
                    block.youngest(number, unsolved, draw, coding)
                }
                drawn => drawn,
            };
            match drawn {
                None => {}
                Some((run, None)) => {
                    block.take(&run, draw);
                    return Drawn::Run(run, None);
                }
                Some((_, Some(need))) => return Drawn::Needs(need),
            }
        }
        Drawn::Nothing
    }

    fn open_next(&mut self) -> bool {
        let end = self
            .geometry
            .blocks()
            .min(self.unknown_from.unwrap_or(u32::MAX));
        while self.next_block < end && self.active.len() < ACTIVE_MAX {
            let block = self.next_block as u16;
            self.next_block += 1;
            if !self.is_solved(block) {
                self.open(block);
                return true;
            }
        }
        false
    }

    /// The blocks that will be asked for after `block`, to read ahead.
    pub fn blocks_after(&self, block: u16) -> impl Iterator<Item = u16> {
        (u32::from(block) + 1..self.geometry.blocks())
            .map(|b| b as u16)
            .filter(|&b| !self.is_solved(b))
    }

    /// Whether more than half of the source symbols of this block have left.
    pub fn is_half_sent(&self, block: u16) -> bool {
        self.active
            .get(&block)
            .is_some_and(|b| b.next_fresh > b.k / 2)
    }

    /// A run is no longer under way: it arrived, was lost, or counts no longer.
    pub fn settle(&mut self, run: &Run, weight: u32) {
        self.quiet.wake(run.block);
        if let Some(block) = self.active.get_mut(&run.block) {
            for j in run.slice..run.slice + run.count {
                block.under_way[usize::from(j & 7)].remove(weight);
            }
        }
    }

    /// A run that is under way counts for so much now.
    pub fn weigh_anew(&mut self, run: &Run, before: u32, weight: u32) {
        self.quiet.wake(run.block);
        if let Some(block) = self.active.get_mut(&run.block) {
            for j in run.slice..run.slice + run.count {
                let way = &mut block.under_way[usize::from(j & 7)];
                way.remove(before);
                way.add(weight);
            }
        }
    }

    /// The data of a block, opened for it if need be.
    pub fn data(&mut self, block: u16) -> &mut BlockData {
        &mut self.open(block).data
    }

    /// Bytes of a block in memory, or on their way there.
    pub fn block_bytes(&self, block: u16) -> usize {
        let Some(open) = self.active.get(&block) else {
            return 0;
        };
        let coming = open.data.fetching && open.data.source.is_none();
        let coming = coming.then(|| self.geometry.block_len(block));
        open.data.bytes() + coming.unwrap_or_default()
    }

    /// Forgets the bytes of a block; it is read again when it is needed.
    pub fn unload(&mut self, block: u16) {
        if let Some(open) = self.active.get_mut(&block) {
            (open.data.source, open.data.repair) = (None, None);
            if open.is_untouched() {
                self.active.remove(&block);
                // It is opened anew in its turn.
                self.next_block = self.next_block.min(u32::from(block));
            }
        }
    }

    /// Of how many of these runs, up to the first of which not, the bytes are in memory.
    pub fn in_memory<'a>(&self, runs: impl Iterator<Item = &'a Run>) -> usize {
        runs.take_while(|run| self.place(run).is_some()).count()
    }

    /// The bytes of a run, padded: from memory, if they are there.
    pub fn read(&self, run: &Run) -> Option<Cow<'_, [u8]>> {
        let (symbols, at, len) = self.place(run)?;
        Some(cut_padded(symbols, at, len))
    }

    fn place(&self, run: &Run) -> Option<(&Bytes, usize, usize)> {
        let block = self.active.get(&run.block)?;
        block.place(run, &self.geometry.coding)
    }
}

impl BlockData {
    fn bytes(&self) -> usize {
        self.source.as_ref().map_or(0, Bytes::len) + self.repair.as_ref().map_or(0, Bytes::len)
    }
}

/// Bytes of a block from `at` on, with zeros after its end.
fn cut_padded(source: &[u8], at: usize, len: usize) -> Cow<'_, [u8]> {
    if let Some(whole) = source.get(at..at + len) {
        return whole.into();
    }
    let mut out = source.get(at..).unwrap_or_default().to_vec();
    out.resize(len, 0);
    out.into()
}

impl Way {
    fn add(&mut self, weight: u32) {
        self.expected += weight;
        self.hoped += hope(weight);
    }

    fn remove(&mut self, weight: u32) {
        self.expected = self.expected.saturating_sub(weight);
        self.hoped = self.hoped.saturating_sub(hope(weight));
    }
}

/// What counts in full as long as nobody says that it is lost. What is hardly ever there does not. After a burst most of what
/// was sent lately is lost, and what comes then is not.
fn hope(weight: u32) -> u32 {
    match weight * HARDLY >= FULL {
        true => FULL,
        false => weight,
    }
}

impl Block {
    fn new(k: u16, n: u16, full: u8) -> Self {
        let n = usize::from(n);
        Self {
            k,
            full,
            sent: vec![0; n],
            carriers: vec![NOBODY; n],
            held: vec![0; n],
            held_count: [0; 8],
            under_way: [Way::default(); 8],
            next_fresh: 0,
            next_again: 0,
            begun: BTreeSet::new(),
            data: BlockData::default(),
        }
    }

    /// Whether there are repair symbols, or will be.
    fn is_coded(&self) -> bool {
        self.data.repair.is_some() || self.data.coding || self.data.wants_repair
    }

    fn has(&self, run: &Run) -> bool {
        let held = self.held.get(usize::from(run.symbol));
        held.is_some_and(|held| held & run.mask() == run.mask())
    }

    /// Whether this link has carried a run, and it was not lost.
    fn is_carried(&self, run: &Run, link: u8) -> bool {
        let symbol = usize::from(run.symbol);
        let by = self.carriers.get(symbol);
        let sent = self.sent.get(symbol).map_or(0, |sent| sent & run.mask());
        by.is_some_and(|&by| by == link || by == SEVERAL) && sent == run.mask()
    }

    /// The link that has carried all of it that is not lost, if that was enough.
    fn only_carrier(&self) -> Option<u8> {
        let carried = || self.carriers.iter().filter(|carrier| **carrier != NOBODY);
        let first = *carried().next()?;
        let is_alone = is_one(first) && carried().all(|carrier| *carrier == first);
        (is_alone && carried().count() >= usize::from(self.k)).then_some(first)
    }

    /// Whether nothing is known of it but that it was read.
    fn is_untouched(&self) -> bool {
        !self.data.fetching
            && !self.data.coding
            && self.next_fresh == 0
            && self.held_count == [0; 8]
    }

    /// A symbol that is surely lost does as well as a repair symbol, and nobody has to code for it.
    fn lost(&mut self, run: &Run, link: u8, surely: bool) {
        let coded = self.is_coded();
        let i = usize::from(run.symbol);
        let place = (self.carriers.get_mut(i), self.sent.get_mut(i));
        let (Some(carrier), Some(sent)) = place else {
            return;
        };
        if *carrier != link {
            return;
        }
        *carrier = NOBODY;
        if surely && !coded && run.symbol < self.k {
            *sent &= !run.mask();
            self.begun.insert(run.symbol);
        }
    }

    fn held_slices(&self) -> u64 {
        self.held_count
            .iter()
            .map(|&count| u64::from(count.min(self.k)))
            .sum()
    }

    /// Symbols that the code word with the fewest still lacks.
    fn lacking(&self, slices: u8) -> u32 {
        let least = self
            .held_count
            .iter()
            .take(usize::from(slices))
            .min()
            .copied()
            .unwrap_or(0);
        u32::from(self.k.saturating_sub(least))
    }

    /// Slices whose code word lacks a symbol.
    fn unsolved(&self, slices: u8) -> u8 {
        let held = self.held_count.iter().take(usize::from(slices));
        let lacks = |(j, held): (usize, &u16)| u8::from(*held < self.k) << j;
        held.enumerate().map(lacks).fold(0, |mask, bit| mask | bit)
    }

    /// Slices whose code word would fall short by at least half a symbol: of what may be expected to arrive, with a margin;
    /// without one, even if all that is under way arrives.
    fn needed(&self, slices: u8, margin: Option<u32>) -> u8 {
        let mut mask = 0;
        for j in 0..usize::from(slices) {
            let held = u32::from(self.held_count[j]);
            if held >= u32::from(self.k) {
                continue;
            }
            let way = self.under_way[j];
            let coming = held * FULL + margin.map_or(way.hoped, |_| way.expected);
            let wanted = (u32::from(self.k) + margin.unwrap_or(0)) * FULL;
            if wanted.saturating_sub(coming) >= FULL / 2 {
                mask |= 1 << j;
            }
        }
        mask
    }

    /// Slices of a symbol that were not sent yet and the recipient lacks.
    fn unsent(&self, symbol: u16) -> u8 {
        let i = usize::from(symbol);
        match (self.sent.get(i), self.held.get(i)) {
            (Some(sent), Some(held)) => self.full & !(sent | held),
            _ => 0,
        }
    }

    /// The next run of this block, and what has to be in memory for it.
    fn pick(
        &self,
        number: u16,
        needed: u8,
        draw: &Draw,
        coding: &Coding,
    ) -> Option<(Run, Option<Need>)> {
        let run = |symbol| run_of(number, symbol, self.unsent(symbol) & needed, draw);
        let begun = self.begun.iter().find_map(|&symbol| run(symbol));
        let fresh = || (self.next_fresh..self.sent.len() as u16).find_map(run);
        let run = begun
            .or_else(fresh)
            .or_else(|| self.again(number, needed, draw))?;
        Some((run, self.lacks(&run, coding)))
    }

    /// The source symbol that left last of those that the recipient is not known to have.
    fn youngest(
        &self,
        number: u16,
        needed: u8,
        draw: &Draw,
        coding: &Coding,
    ) -> Option<(Run, Option<Need>)> {
        let missing = |symbol: u16| !self.held.get(usize::from(symbol)).unwrap_or(&0) & needed;
        let run = (0..self.next_fresh.min(self.k))
            .rev()
            .find_map(|symbol| run_of(number, symbol, missing(symbol), draw))?;
        Some((run, self.lacks(&run, coding)))
    }

    /// What has to be in memory for a run.
    fn lacks(&self, run: &Run, coding: &Coding) -> Option<Need> {
        let need = Need {
            block: run.block,
            repair: run.symbol >= self.k,
        };
        self.place(run, coding).is_none().then_some(need)
    }

    /// In which symbols in memory a run of this block is, from where on, and how long it is.
    fn place(&self, run: &Run, coding: &Coding) -> Option<(&Bytes, usize, usize)> {
        let slice = usize::from(coding.slice_len);
        let len = usize::from(run.count) * slice;
        let at = |symbol: u16| {
            usize::from(symbol) * coding.symbol_len() + usize::from(run.slice) * slice
        };
        if run.symbol < self.k {
            return Some((self.data.source.as_ref()?, at(run.symbol), len));
        }
        let (repair, at) = (self.data.repair.as_ref()?, at(run.symbol - self.k));
        (at + len <= repair.len()).then_some((repair, at, len))
    }

    /// Everything was sent once: repeats what the recipient lacks, in turn, source symbols first.
    fn again(&self, number: u16, needed: u8, draw: &Draw) -> Option<Run> {
        let n = self.held.len() as u16;
        (0..n)
            .map(|i| (self.next_again + i) % n)
            .find_map(|symbol| {
                let mask = !self.held[usize::from(symbol)] & needed;
                run_of(number, symbol, mask, draw)
            })
    }

    fn take(&mut self, run: &Run, draw: &Draw) {
        let i = usize::from(run.symbol);
        let repeated = self
            .sent
            .get(i)
            .is_some_and(|sent| sent & run.mask() == run.mask());
        if let (Some(sent), Some(carrier)) = (self.sent.get_mut(i), self.carriers.get_mut(i)) {
            *sent |= run.mask();
            *carrier = if *carrier == NOBODY || *carrier == draw.link {
                draw.link
            } else {
                SEVERAL
            };
        }
        if repeated {
            self.next_again = (run.symbol + 1) % self.held.len().max(1) as u16;
        }
        self.next_fresh = self
            .next_fresh
            .max(run.symbol + 1)
            .min(self.sent.len() as u16);
        self.begun.remove(&run.symbol);
        if self.unsent(run.symbol) != 0 && !repeated {
            self.begun.insert(run.symbol);
        }
        for j in run.slice..run.slice + run.count {
            self.under_way[usize::from(j & 7)].add(draw.weight);
        }
    }
}

/// The first of these slices of a symbol that fit a frame of this link.
fn run_of(block: u16, symbol: u16, mask: u8, draw: &Draw) -> Option<Run> {
    first_run(mask, draw.slices).map(|(slice, count)| Run {
        block,
        symbol,
        slice,
        count,
    })
}

/// The first run of set bits, at most `most` long.
fn first_run(mask: u8, most: u8) -> Option<(u8, u8)> {
    if mask == 0 {
        return None;
    }
    let slice = mask.trailing_zeros() as u8;
    let count = (mask >> slice).trailing_ones() as u8;
    Some((slice, count.min(most.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(len: u64) -> Pool {
        Pool::new(Geometry::new(Coding::choose(len), len).unwrap(), false)
    }

    fn feed(pool: &mut Pool, len: u64) {
        for block in 0..pool.geometry.blocks() {
            let data = pool.data(block as u16);
            data.source = Some(vec![1; len as usize].into());
            data.repair = Some(vec![2; 1024 * 1344].into());
        }
    }

    const WIDE: Draw = Draw {
        slices: 7,
        weight: FULL,
        loss_ppm: 0,
        link: 1,
    };
    const THIN: Draw = Draw {
        slices: 1,
        weight: FULL,
        loss_ppm: 0,
        link: 1,
    };

    fn drain(pool: &mut Pool, draw: &Draw) -> Vec<Run> {
        let mut runs = Vec::new();
        while let Drawn::Run(run, _) = pool.draw(draw) {
            runs.push(run);
        }
        runs
    }

    proptest::proptest! {
        /// Guards that passing over blocks which needed nothing changes nothing of what leaves.
        #[test]
        fn what_is_passed_over_needs_nothing(
            urgent: bool,
            steps in proptest::collection::vec((0u8..8, 0u16..24, 0u32..3), 1..400),
        ) {
            let coding = Coding { block_symbols: 4, repair: 8, ..Coding::choose(1 << 20) };
            let len = 24 * 4 * coding.symbol_len() as u64;
            let mut pool = Pool::new(Geometry::new(coding, len).unwrap(), urgent);
            feed(&mut pool, 4 * coding.symbol_len() as u64);
            let mut away: Vec<Run> = Vec::new();
            for (step, n, loss) in steps {
                match step {
                    0..4 => {
                        let draw = Draw { loss_ppm: loss * 200_000, slices: 4 + 3 * (loss as u8 % 2), ..WIDE };
                        let mut all_asked = pool.clone();
                        all_asked.quiet = Quiet::default();
                        let drawn = pool.draw(&draw);
                        proptest::prop_assert_eq!(&drawn, &all_asked.draw(&draw));
                        away.extend(match drawn { Drawn::Run(run, _) => Some(run), _ => None });
                    }
                    4 if !away.is_empty() => {
                        let run = away.swap_remove(usize::from(n) % away.len());
                        pool.settle(&run, FULL);
                    }
                    5 if !away.is_empty() => {
                        let run = away.swap_remove(usize::from(n) % away.len());
                        let mut masks = vec![0; usize::from(run.symbol) + 1];
                        masks[usize::from(run.symbol)] = run.mask();
                        pool.hold(run.block, &masks);
                        pool.settle(&run, FULL);
                    }
                    6 if loss == 0 => pool.solve(n),
                    7 => pool.learn(u32::from(n), 24),
                    6 if loss == 1 => pool.forget(),
                    _ => pool.unload(n),
                }
            }
        }
    }

    #[test]
    fn without_loss_each_source_symbol_leaves_once_and_nothing_else() {
        let len = 500 * 1344;
        let mut pool = pool(len);
        feed(&mut pool, len);
        let runs = drain(&mut pool, &WIDE);
        assert_eq!(runs.len(), 500);
        assert!(
            runs.iter()
                .enumerate()
                .all(|(i, run)| usize::from(run.symbol) == i && run.count == 7)
        );
    }

    #[test]
    fn what_is_lost_is_made_good_by_as_many_repair_symbols() {
        let len = 500 * 1344;
        let mut pool = pool(len);
        feed(&mut pool, len);
        let runs = drain(&mut pool, &WIDE);
        let mut masks = vec![0x7f; 500];
        for lost in [3, 77, 400] {
            masks[lost] = 0;
        }
        pool.hold(0, &masks);
        runs.iter().for_each(|run| pool.settle(run, FULL));
        let repair: Vec<u16> = drain(&mut pool, &WIDE)
            .iter()
            .map(|run| run.symbol)
            .collect();
        assert_eq!(repair, [500, 501, 502]);
    }

    /// Guards that what a block lacks is asked for at once: otherwise all blocks stay open until the last one has left.
    #[test]
    fn a_block_that_falls_short_says_what_it_waits_for_while_others_go_on() {
        let len = 3 * 1024 * 1344;
        let mut pool = pool(len);
        let source = |pool: &mut Pool, block: u16| {
            let bytes = pool.geometry.block_len(block);
            pool.data(block).source = Some(vec![1; bytes].into());
        };
        source(&mut pool, 0);
        let runs = drain(&mut pool, &WIDE);
        pool.hold(0, &[]);
        runs.iter().for_each(|run| pool.settle(run, FULL));
        source(&mut pool, 1);
        let need = Need {
            block: 0,
            repair: true,
        };
        match pool.draw(&WIDE) {
            Drawn::Run(run, waits) => assert_eq!((run.block, waits), (1, Some(need))),
            other => panic!("nothing of the second block: {other:?}"),
        }
    }

    /// Guards that nobody codes where it is known which symbols are lost: they leave again, each once. Where repair symbols are
    /// there already, or it may be otherwise, those leave.
    #[test]
    fn what_is_surely_lost_leaves_again_where_nobody_has_coded() {
        let leaves = |coded: bool, surely: bool| -> Drawn {
            let len = 500 * 1344;
            let mut pool = pool(len);
            pool.data(0).source = Some(vec![1; len as usize].into());
            let runs = drain(&mut pool, &WIDE);
            pool.data(0).repair = coded.then(|| vec![2; len as usize].into());
            let mut masks = vec![0x7f; 500];
            masks[77] = 0;
            pool.hold(0, &masks);
            for run in &runs {
                pool.settle(run, FULL);
            }
            pool.lost(&runs[77], WIDE.link, surely);
            let first = pool.draw(&WIDE);
            if matches!(first, Drawn::Run(..)) {
                assert_eq!(pool.draw(&WIDE), Drawn::Nothing);
            }
            first
        };
        let run = |symbol| Run {
            block: 0,
            symbol,
            slice: 0,
            count: 7,
        };
        let repair = Need {
            block: 0,
            repair: true,
        };
        assert_eq!(leaves(false, true), Drawn::Run(run(77), None));
        assert_eq!(leaves(false, false), Drawn::Needs(repair));
        assert_eq!(leaves(true, true), Drawn::Run(run(500), None));
    }

    /// Guards that a link shows itself by what it alone has brought, once, however long ago that left, and by nothing else.
    #[test]
    fn a_link_shows_itself_by_what_it_alone_has_brought() {
        let len = 100 * 1344;
        let shown = |links: [u8; 2], held: bool| -> [bool; 2] {
            let mut pool = pool(len);
            feed(&mut pool, len);
            for link in links {
                for _ in 0..100 {
                    pool.draw(&Draw {
                        link,
                        weight: 0,
                        ..WIDE
                    });
                }
            }
            match held {
                true => pool.hold(0, &[0x7f]),
                false => pool.complete(),
            }
            let first = [1, 2].map(|link| pool.has_shown(link));
            assert_eq!([1, 2].map(|link| pool.has_shown(link)), [false; 2]);
            first
        };
        assert_eq!(shown([1, 2], true), [true, false]);
        assert_eq!(shown([1, 2], false), [false, false]);
        assert_eq!(shown([2, 2], false), [false, true]);
    }

    /// Guards that a late answer alone has no large block coded.
    #[test]
    fn a_spare_symbol_of_a_large_block_is_the_youngest_that_may_be_missing() {
        let len = 500 * 1344;
        let mut pool = pool(len);
        pool.data(0).source = Some(vec![1; len as usize].into());
        assert_eq!(drain(&mut pool, &WIDE).len(), 500);
        let mut masks = vec![0; 500];
        masks[499] = 0x7f;
        pool.hold(0, &masks);
        match pool.draw_spare(&WIDE) {
            Drawn::Run(run, None) => assert_eq!((run.symbol, run.count), (498, 7)),
            other => panic!("no spare symbol: {other:?}"),
        }
    }

    /// Guards that a block of which more is lost than its first repair symbols make good asks for the others, and does not
    /// stand still.
    #[test]
    fn beyond_the_first_repair_symbols_it_asks_for_all() {
        let len = 500 * 1344;
        let mut pool = pool(len);
        let first = usize::from(pool.geometry.coding.first_repair(500));
        pool.data(0).source = Some(vec![1; len as usize].into());
        pool.data(0).repair = Some(vec![2; first * 1344].into());
        let runs = drain(&mut pool, &WIDE);
        pool.hold(0, &[]);
        runs.iter().for_each(|run| pool.settle(run, FULL));
        assert_eq!(drain(&mut pool, &WIDE).len(), first);
        let all = Need {
            block: 0,
            repair: true,
        };
        assert_eq!(pool.draw(&WIDE), Drawn::Needs(all));
        pool.data(0).repair = Some(vec![2; 500 * 1344].into());
        assert_eq!(drain(&mut pool, &WIDE).len(), 500 - first);
    }

    /// Guards that a block which gave way before anything of it had left is not passed over.
    #[test]
    fn a_block_that_was_let_go_untouched_has_its_turn() {
        let mut pool = pool(3 * 1024 * 1344);
        let first = Need {
            block: 0,
            repair: false,
        };
        assert_eq!(pool.draw(&WIDE), Drawn::Needs(first));
        pool.unload(0);
        pool.unload(1);
        assert_eq!(pool.draw(&WIDE), Drawn::Needs(first));
    }

    /// Guards what is there when all may be lost that is under way: a further symbol, but none of a block that is solved.
    #[test]
    fn a_spare_symbol_is_one_that_has_not_left() {
        let len = 10 * 1344;
        let mut pool = pool(len);
        feed(&mut pool, len);
        assert_eq!(drain(&mut pool, &WIDE).len(), 10);
        match pool.draw_spare(&WIDE) {
            Drawn::Run(run, None) => assert_eq!((run.symbol, run.count), (10, 7)),
            other => panic!("no spare symbol: {other:?}"),
        }
        pool.solve(0);
        assert_eq!(pool.draw_spare(&WIDE), Drawn::Nothing);
    }

    #[test]
    fn a_thin_and_a_wide_link_together_fill_every_code_word_exactly() {
        let len = 300 * 1344;
        let mut pool = pool(len);
        feed(&mut pool, len);
        let mut words = [0u32; 7];
        let mut turn = 0;
        loop {
            turn += 1;
            let draw = if turn % 5 == 0 { THIN } else { WIDE };
            let Drawn::Run(run, _) = pool.draw(&draw) else {
                break;
            };
            (run.slice..run.slice + run.count).for_each(|j| words[usize::from(j)] += 1);
        }
        assert_eq!(words, [300; 7]);
    }

    /// Guards that what has left on a better opinion of its link is made up for when the link turns out to lose more, without
    /// waiting until it is known to be lost.
    #[test]
    fn loss_that_shows_later_counts_for_what_is_under_way() {
        let len = 1000 * 1344;
        let mut pool = pool(len);
        feed(&mut pool, len);
        let draw = |weight, loss_ppm| Draw {
            slices: 7,
            weight,
            loss_ppm,
            link: 1,
        };
        let better = draw(FULL * 9 / 10, 100_000);
        let sent = drain(&mut pool, &better);
        let worse = draw(FULL * 8 / 10, 200_000);
        for run in &sent {
            pool.weigh_anew(run, better.weight, worse.weight);
        }
        let more = drain(&mut pool, &worse).len();
        assert!((1250..1330).contains(&(sent.len() + more)), "{more} more");
    }

    /// Guards that a burst, after which most of what was sent lately is lost, has no block get more symbols than it needs while
    /// others follow; of a link by which hardly anything arrives they count for little.
    #[test]
    fn a_burst_asks_for_nothing_more_while_other_blocks_follow() {
        let drawn = |weight| {
            let len = 4096 * 1344;
            let mut pool = pool(len);
            let k = usize::from(pool.geometry.source_symbols(0));
            feed(&mut pool, len);
            let draw = Draw { weight, ..WIDE };
            let mut first = 0;
            while let Drawn::Run(Run { block: 0, .. }, _) = pool.draw(&draw) {
                first += 1;
            }
            (first, k)
        };
        let (first, k) = drawn(FULL * 4 / 10);
        assert_eq!(first, k);
        let (first, k) = drawn(FULL / 10);
        assert!(first > k, "{first}");
    }

    #[test]
    fn expected_loss_is_covered_beforehand() {
        let len = 1000 * 1344;
        let mut pool = pool(len);
        feed(&mut pool, len);
        let sent = drain(
            &mut pool,
            &Draw {
                slices: 7,
                weight: FULL * 8 / 10,
                loss_ppm: 200_000,
                link: 1,
            },
        )
        .len();
        assert!((1250..1330).contains(&sent), "{sent}");
    }
}

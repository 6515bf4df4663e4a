//! The reception report: what the recipient has durably, and so what it lacks.
//!
//! ```text
//! 0      version = 1
//! 1      flags: bit 0 whole message delivered, bit 1 manifest here, bit 2 no room for all there is to tell,
//!        bit 3 no longer wanted, bit 4 symbols have to be sealed to the recipient alone
//! 2..18  first half of the message id
//! 18..22 number of this report, counting up
//! 22..24 milliseconds since the state that it tells of; 0 if that was told before and is still so
//! then for each part that has news:
//!   part 1, state 1: 0 nothing more, the part is complete and verified
//!                    1 in blocks, told to the end of the part; 2 likewise, told up to the last listed block:
//!                      varint n, blocks 0 to n-1 are solved; varint f - n, told from block f on;
//!                      varint count of listed blocks, for each
//!                      varint distance from the block before (the first: from f), form 1:
//!                        0 solved
//!                        1 bitmap of whole symbols: varint length, bytes, first symbol in the lowest bit
//!                        2 runs: varint h, varint count, then varint gap and varint length - 1 of each run of
//!                          missing symbols below h; all others below h are here, none from h on
//!                        3 by slices: count of groups 1, at most 8, for each the mask of its slices 1, and a bitmap
//!                          as in 1
//!                      and in forms 1 and 2: varint count of symbols that are here in part, for each
//!                        varint distance from the one before, mask of its slices 1
//! ```
//!
//! Without bits 0, 1 and 3 the manifest has come and is not kept: there is no room now for what it announces.
//!
//! A block that is not listed but lies where it would have been holds nothing. Reports only ever add: what was held once is
//! held. A report travels as a message of its own, sealed like any other.

use super::read::{Malformed, Reader, put_varint, varint_len};
use crate::engine::geometry::SYMBOLS_MAX;

const VERSION: u8 = 1;
/// In place of the time since the state: it was told before, and nothing new has come since.
pub const STILL_SO: u16 = 0;
/// Bytes before the parts.
pub const HEADER: usize = 24;

/// What a report says of the whole message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Everything was delivered, durably.
    pub complete: bool,
    /// The manifest is here.
    pub manifest: bool,
    /// There was no room for all there is to tell.
    pub partial: bool,
    /// The recipient does not want the rest.
    pub unwanted: bool,
    /// Of a message to several: symbols under its content key are not taken any more. What was told without this is void,
    /// but for complete parts.
    pub apart: bool,
    /// First half of the message id.
    pub message: [u8; 16],
    /// Counts up.
    pub number: u32,
    /// Milliseconds since the state that it tells of, or [`STILL_SO`].
    pub delay_ms: u16,
}

/// What is held of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its number.
    pub block: u16,
    /// What of it.
    pub held: Held,
}

/// Symbols of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Enough.
    Solved,
    /// Some: the slices of each symbol as a mask, up to the last symbol of which anything is here.
    Some(Vec<u8>),
}

/// What is held of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it, verified.
    Complete,
    /// Blocks.
    Blocks {
        /// All blocks below this one are solved.
        solved: u32,
        /// The first block that is told of beyond those; at least `solved`.
        from: u32,
        /// Blocks from there on of which something is held.
        listed: Vec<Block>,
        /// The list goes on to the end of the part; otherwise nothing is told beyond its last block.
        to_end: bool,
    },
}

impl Part {
    /// The same, but told from block `first` on.
    pub fn listed_from(&self, first: u16) -> Self {
        let mut part = self.clone();
        if let Self::Blocks { from, listed, .. } = &mut part {
            *from = u32::from(first).max(*from);
            listed.retain(|block| u32::from(block.block) >= *from);
        }
        part
    }

    /// The blocks that this tells of, those that hold nothing included: from, and up to.
    pub fn told(&self) -> (u32, u32) {
        match self {
            Self::Complete => (0, u32::MAX),
            Self::Blocks {
                from, to_end: true, ..
            } => (*from, u32::MAX),
            Self::Blocks { from, listed, .. } => (
                *from,
                listed.last().map_or(*from, |b| u32::from(b.block) + 1),
            ),
        }
    }
}

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of the message.
    pub header: Header,
    /// Of its parts, by number.
    pub parts: Vec<(u8, Part)>,
}

/// The mask of a symbol that is here whole depends on the part; the caller says it.
pub type FullMask = u8;

/// Writes a report into a given number of bytes.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    budget: usize,
    partial: bool,
}

impl Writer {
    /// Begins a report of at most `budget` bytes, at least [`HEADER`].
    pub fn new(header: &Header, budget: usize) -> Self {
        let mut out = vec![VERSION, 0];
        out.extend_from_slice(&header.message);
        out.extend_from_slice(&header.number.to_be_bytes());
        out.extend_from_slice(&header.delay_ms.to_be_bytes());
        out[1] = u8::from(header.complete)
            | u8::from(header.manifest) << 1
            | u8::from(header.partial) << 2
            | u8::from(header.unwanted) << 3
            | u8::from(header.apart) << 4;
        Self {
            out,
            budget,
            partial: header.partial,
        }
    }

    /// Says what is held of a part. What does not fit is left out, and the report says so; gives the first block
    /// that was left out.
    pub fn part(&mut self, part: u8, state: &Part, full: FullMask) -> Option<u16> {
        let Part::Blocks {
            solved,
            from,
            listed,
            to_end,
        } = state
        else {
            return (!self.append(&[part, 0])).then_some(0);
        };
        let mut head = vec![part, if *to_end { 1 } else { 2 }];
        put_varint(&mut head, u64::from(*solved));
        put_varint(&mut head, u64::from(from.saturating_sub(*solved)));
        let mut body = Vec::new();
        let mut fitting = 0u64;
        let mut expected = u64::from(*from);
        let mut left_out = None;
        for block in listed {
            let mut one = Vec::new();
            put_varint(&mut one, u64::from(block.block).saturating_sub(expected));
            put_held(&mut one, &block.held, full);
            let used = self.out.len() + head.len() + varint_len(fitting + 1) + body.len();
            let room = self.budget.saturating_sub(used);
            if one.len() > room && fitting == 0 && self.out.len() == HEADER {
                // It would never fit: better the beginning of it than nothing for ever.
                let distance = varint_len(u64::from(block.block).saturating_sub(expected));
                let beginning = put_beginning(&block.held, full, room.saturating_sub(distance));
                one.truncate(distance);
                one.extend(beginning.unwrap_or_else(|| vec![1, 0, 0]));
            }
            if one.len() > room {
                self.partial = true;
                left_out = Some(block.block);
                head[1] = 2;
                break;
            }
            body.extend_from_slice(&one);
            fitting += 1;
            expected = u64::from(block.block) + 1;
        }
        put_varint(&mut head, fitting);
        head.extend_from_slice(&body);
        if self.append(&head) {
            left_out
        } else {
            Some(0)
        }
    }

    fn append(&mut self, bytes: &[u8]) -> bool {
        let fits = self.out.len() + bytes.len() <= self.budget;
        if fits {
            self.out.extend_from_slice(bytes);
        } else {
            self.partial = true;
        }
        fits
    }

    /// The bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.out[1] |= u8::from(self.partial) << 2;
        self.out
    }
}

fn put_held(out: &mut Vec<u8>, held: &Held, full: FullMask) {
    let Held::Some(masks) = held else {
        return out.push(0);
    };
    let mut best = Vec::new();
    put_symbols(&mut best, masks, full);
    let mut groups = vec![3];
    put_groups(&mut groups, masks, full);
    out.extend_from_slice(if groups.len() < best.len() {
        &groups
    } else {
        &best
    });
}

/// Forms 1 and 2: whole symbols, then those that are here in part.
fn put_symbols(out: &mut Vec<u8>, masks: &[u8], full: FullMask) {
    let whole = |i: usize| masks.get(i).is_some_and(|&m| m == full);
    let end = (0..masks.len())
        .rev()
        .find(|&i| whole(i))
        .map_or(0, |i| i + 1);
    let bitmap = bitmap(end, whole);
    let mut runs = Vec::new();
    put_runs(&mut runs, end, whole);
    if runs.len() < bitmap.len() + varint_len(bitmap.len() as u64) {
        out.push(2);
        out.extend_from_slice(&runs);
    } else {
        out.push(1);
        put_varint(out, bitmap.len() as u64);
        out.extend_from_slice(&bitmap);
    }
    let pieces: Vec<(usize, u8)> = masks
        .iter()
        .copied()
        .enumerate()
        .filter(|&(_, m)| m != 0 && m != full)
        .collect();
    put_varint(out, pieces.len() as u64);
    let mut next = 0;
    for (i, mask) in pieces {
        put_varint(out, (i - next) as u64);
        out.push(mask);
        next = i + 1;
    }
}

/// Form 3: a bitmap for each group of slices that are here of the same symbols.
fn put_groups(out: &mut Vec<u8>, masks: &[u8], full: FullMask) {
    let mut groups: Vec<(u8, Vec<u8>)> = Vec::new();
    for slice in (0..8).filter(|slice| full >> slice & 1 == 1) {
        let here = |i: usize| masks.get(i).is_some_and(|m| m >> slice & 1 == 1);
        let end = (0..masks.len())
            .rev()
            .find(|&i| here(i))
            .map_or(0, |i| i + 1);
        let bits = bitmap(end, here);
        match groups.iter_mut().find(|(_, known)| *known == bits) {
            Some((group, _)) => *group |= 1 << slice,
            None => groups.push((1 << slice, bits)),
        }
    }
    out.push(groups.len() as u8);
    for (group, bits) in groups {
        out.push(group);
        put_varint(out, bits.len() as u64);
        out.extend_from_slice(&bits);
    }
}

/// As much of a block as fits `room` bytes: whole symbols from the first on. It tells less than is held, never more.
fn put_beginning(held: &Held, full: FullMask, room: usize) -> Option<Vec<u8>> {
    let Held::Some(masks) = held else { return None };
    let bytes = room.checked_sub(4)?.min(masks.len() / 8);
    let bits = bitmap(bytes * 8, |i| masks.get(i).is_some_and(|&m| m == full));
    let mut out = vec![1];
    put_varint(&mut out, bits.len() as u64);
    out.extend_from_slice(&bits);
    put_varint(&mut out, 0);
    (bytes > 0).then_some(out)
}

fn bitmap(end: usize, here: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut bits = vec![0u8; end.div_ceil(8)];
    (0..end)
        .filter(|&i| here(i))
        .for_each(|i| bits[i / 8] |= 1 << (i % 8));
    bits
}

fn put_runs(out: &mut Vec<u8>, end: usize, whole: impl Fn(usize) -> bool) {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < end {
        let start = (at..end).find(|&i| !whole(i)).unwrap_or(end);
        let stop = (start..end).find(|&i| whole(i)).unwrap_or(end);
        if start < end {
            runs.push((start - at, stop - start));
        }
        at = stop;
    }
    put_varint(out, end as u64);
    put_varint(out, runs.len() as u64);
    for (gap, len) in runs {
        put_varint(out, gap as u64);
        put_varint(out, (len - 1) as u64);
    }
}

impl Report {
    /// Reads a report. `full` tells the mask of a whole symbol of a part; parts it does not know are refused.
    ///
    /// # Errors
    /// [`Malformed`] says which field is wrong.
    pub fn decode(bytes: &[u8], full: impl Fn(u8) -> Option<FullMask>) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let header = Header::read(&mut r)?;
        let mut parts = Vec::new();
        while !r.is_empty() {
            let part = r.u8()?;
            if parts.last().is_some_and(|&(last, _)| last >= part) {
                return Err(Malformed::Value("order of parts"));
            }
            let full = full(part).ok_or(Malformed::Value("part"))?;
            let state = match r.u8()? {
                0 => Part::Complete,
                state @ (1 | 2) => read_blocks(&mut r, full, state == 1)?,
                _ => return Err(Malformed::Value("state of a part")),
            };
            parts.push((part, state));
        }
        Ok(Self { header, parts })
    }
}

impl Header {
    /// Reads the header alone, to find the message that it is about.
    ///
    /// # Errors
    /// [`Malformed`] says which field is wrong.
    pub fn peek(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::read(&mut Reader::new(bytes))
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        r.version(VERSION)?;
        let flags = r.u8()?;
        if flags & !31 != 0 {
            return Err(Malformed::Value("report flags"));
        }
        Ok(Self {
            complete: flags & 1 != 0,
            manifest: flags & 2 != 0,
            partial: flags & 4 != 0,
            unwanted: flags & 8 != 0,
            apart: flags & 16 != 0,
            message: r.array()?,
            number: r.u32()?,
            delay_ms: r.u16()?,
        })
    }
}

fn read_blocks(r: &mut Reader<'_>, full: FullMask, to_end: bool) -> Result<Part, Malformed> {
    let solved = small(r, 1 << 16)?;
    let from = solved + small(r, 1 << 16)?;
    let count = small(r, 1 << 16)?;
    let mut listed = Vec::new();
    let mut next = u64::from(from);
    for _ in 0..count {
        let block = next + r.varint()?;
        let block = u16::try_from(block).map_err(|_| Malformed::Value("block"))?;
        next = u64::from(block) + 1;
        listed.push(Block {
            block,
            held: read_held(r, full)?,
        });
    }
    Ok(Part::Blocks {
        solved,
        from,
        listed,
        to_end,
    })
}

fn read_held(r: &mut Reader<'_>, full: FullMask) -> Result<Held, Malformed> {
    let mut masks = match r.u8()? {
        0 => return Ok(Held::Solved),
        1 => read_bitmap(r, full)?,
        2 => read_runs(r, full)?,
        3 => return Ok(Held::Some(read_groups(r, full)?)),
        _ => return Err(Malformed::Value("form of a block")),
    };
    let mut next = 0usize;
    for _ in 0..small(r, SYMBOLS_MAX)? {
        let symbol = next + small(r, SYMBOLS_MAX)? as usize;
        if symbol >= SYMBOLS_MAX as usize {
            return Err(Malformed::Value("symbol"));
        }
        if symbol >= masks.len() {
            masks.resize(symbol + 1, 0);
        }
        masks[symbol] |= r.u8()? & full;
        next = symbol + 1;
    }
    Ok(Held::Some(masks))
}

fn read_bitmap(r: &mut Reader<'_>, full: FullMask) -> Result<Vec<u8>, Malformed> {
    let len = small(r, SYMBOLS_MAX / 8)? as usize;
    let bits = r.take(len)?;
    Ok((0..len * 8)
        .map(|i| {
            if bits[i / 8] >> (i % 8) & 1 == 1 {
                full
            } else {
                0
            }
        })
        .collect())
}

fn read_groups(r: &mut Reader<'_>, full: FullMask) -> Result<Vec<u8>, Malformed> {
    let groups = r.u8()?;
    // Every group has at least one slice of its own.
    if groups > 8 {
        return Err(Malformed::Value("number of groups"));
    }
    let mut masks = Vec::new();
    for _ in 0..groups {
        let group = r.u8()? & full;
        let symbols = read_bitmap(r, group)?;
        if symbols.len() > masks.len() {
            masks.resize(symbols.len(), 0);
        }
        masks
            .iter_mut()
            .zip(symbols)
            .for_each(|(mask, new)| *mask |= new);
    }
    Ok(masks)
}

fn read_runs(r: &mut Reader<'_>, full: FullMask) -> Result<Vec<u8>, Malformed> {
    let end = small(r, SYMBOLS_MAX)? as usize;
    let mut masks = vec![full; end];
    let mut at = 0usize;
    for _ in 0..small(r, SYMBOLS_MAX)? {
        let start = at + small(r, SYMBOLS_MAX)? as usize;
        at = start + small(r, SYMBOLS_MAX)? as usize + 1;
        masks
            .get_mut(start..at)
            .ok_or(Malformed::Value("run"))?
            .fill(0);
    }
    Ok(masks)
}

fn small(r: &mut Reader<'_>, max: u32) -> Result<u32, Malformed> {
    let value = r.varint()?;
    u32::try_from(value)
        .ok()
        .filter(|&v| v <= max)
        .ok_or(Malformed::Value("count"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FULL: u8 = 0x7f;

    fn held() -> impl Strategy<Value = Held> {
        let mask = prop_oneof![6 => Just(FULL), 2 => Just(0u8), 1 => 1u8..FULL];
        prop_oneof![1 => Just(Held::Solved), 5 => proptest::collection::vec(mask, 0..2100).prop_map(Held::Some)]
    }

    fn blocks() -> impl Strategy<Value = Part> {
        (0u32..50, proptest::collection::vec((1u16..9, held()), 0..5)).prop_map(|(solved, list)| {
            let mut at = solved as u16;
            let mut listed = Vec::new();
            for (gap, held) in list {
                at += gap;
                listed.push(Block { block: at, held });
            }
            Part::Blocks {
                solved,
                from: solved,
                listed,
                to_end: true,
            }
        })
    }

    fn trimmed(part: &Part) -> Part {
        let Part::Blocks {
            solved,
            from,
            listed,
            to_end,
        } = part
        else {
            return part.clone();
        };
        let listed = listed.iter().map(|b| {
            let held = match &b.held {
                Held::Solved => Held::Solved,
                Held::Some(masks) => {
                    let end = masks.iter().rposition(|&m| m != 0).map_or(0, |i| i + 1);
                    Held::Some(masks[..end].to_vec())
                }
            };
            Block {
                block: b.block,
                held,
            }
        });
        Part::Blocks {
            solved: *solved,
            from: *from,
            listed: listed.collect(),
            to_end: *to_end,
        }
    }

    proptest! {
        #[test]
        fn a_report_with_room_enough_says_exactly_what_is_held(parts in proptest::collection::vec(
            prop_oneof![Just(Part::Complete), blocks()], 0..4)) {
            let header = Header { manifest: true, message: [9; 16], number: 7, delay_ms: 12, ..Header::default() };
            let mut writer = Writer::new(&header, usize::MAX);
            for (i, part) in parts.iter().enumerate() {
                writer.part(i as u8 + 1, part, FULL);
            }
            let read = Report::decode(&writer.finish(), |_| Some(FULL)).unwrap();
            prop_assert_eq!(read.header, header);
            prop_assert_eq!(read.parts.len(), parts.len());
            for ((_, got), want) in read.parts.iter().zip(&parts) {
                prop_assert_eq!(trimmed(got), trimmed(want));
            }
        }

        #[test]
        fn a_report_never_exceeds_its_budget_and_then_says_that_more_is_held(part in blocks(), budget in HEADER..300usize) {
            let mut writer = Writer::new(&Header::default(), budget);
            writer.part(1, &part, FULL);
            let bytes = writer.finish();
            prop_assert!(bytes.len() <= budget);
            let read = Report::decode(&bytes, |_| Some(FULL)).unwrap();
            let Part::Blocks { listed: all, .. } = &part else { unreachable!() };
            let told = match read.parts.first() { Some((_, Part::Blocks { listed, .. })) => listed.clone(), _ => vec![] };
            prop_assert_eq!(read.header.partial, told.len() < all.len() || read.parts.is_empty());
            for (told, held) in told.iter().zip(all) {
                prop_assert_eq!(told.block, held.block);
                let (Held::Some(told), Held::Some(held)) = (&told.held, &held.held) else { continue };
                let more = |(i, mask): (usize, &u8)| mask & !held.get(i).copied().unwrap_or(0) != 0;
                prop_assert!(!told.iter().enumerate().any(more), "more was told than is held");
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic_or_grow(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(report) = Report::decode(&bytes, |_| Some(FULL)) {
                prop_assert!(report.parts.len() <= bytes.len());
            }
        }
    }
}

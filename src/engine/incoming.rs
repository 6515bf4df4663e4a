//! A message arriving: its manifest, its parts, and which symbols of them are here.

use super::ends::End;
use super::geometry::Geometry;
use super::id::{MessageId, PersonId};
use super::io::{FileId, FileKind, LinkId, Record, Table, Time, Token};
use crate::security::seal::MessageKeys;
use crate::security::shared;
use crate::wire::fragment::Label;
use crate::wire::manifest::{Body, Manifest, PartEntry};
use crate::wire::read::{Malformed, Reader, put_varint};
use crate::wire::report;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Labels under which one message may be known: it was sealed anew in later epochs.
const LABELS_MAX: usize = 8;

/// A message.
#[derive(Debug)]
pub struct Incoming {
    /// Its id.
    pub id: MessageId,
    /// From whom.
    pub from: PersonId,
    /// From which of the endpoints; `None` in a row from before persons had several.
    pub key: Option<[u8; 32]>,
    /// What it consists of.
    pub manifest: Manifest,
    /// Keys of its labels.
    pub keys: Vec<MessageKeys>,
    /// Keys of its symbols, if it is to several.
    pub content: Option<MessageKeys>,
    /// Symbols under those keys are not taken any more: others may have made them up.
    pub apart: bool,
    /// Its parts.
    pub parts: BTreeMap<u8, InPart>,
    /// It is not wanted any more.
    pub unwanted: bool,
    /// When it was first heard of, and how old it was then.
    pub taken: Time,
    /// Seconds.
    pub age_s: u64,
    /// Bytes that came although they were here or no longer needed.
    pub surplus_bytes: u64,
    /// The row has changed since it was last written.
    pub row_dirty: bool,
}

/// A part.
#[derive(Debug)]
pub struct InPart {
    /// How it is cut; inline parts are not.
    pub geometry: Option<Geometry>,
    /// Unsolved blocks of which something is here.
    pub blocks: BTreeMap<u16, InBlock>,
    solved: Vec<u64>,
    /// How many blocks are solved.
    pub solved_count: u32,
    /// The token that a block's last write left with, until its digest was taken.
    pub solved_at: BTreeMap<u16, Token>,
    /// The digest so far and the block that comes next.
    pub hasher: Option<Box<blake3::Hasher>>,
    /// The next block to digest.
    pub hashed: u32,
    /// A block is being read or digested.
    pub hashing: bool,
    /// All of it is here and its digest matches.
    pub complete: bool,
    /// The application has it.
    pub delivered: bool,
    /// Bytes that each link was first to bring.
    pub first_seen: BTreeMap<LinkId, u64>,
    dirty_blocks: BTreeSet<u16>,
    dirty: bool,
}

/// A block.
#[derive(Clone, Debug)]
pub struct InBlock {
    /// Slices of each symbol that are here.
    pub masks: Vec<u8>,
    counts: [u16; 8],
    /// Enough is here; the token that the last of it left with.
    pub full_at: Option<Token>,
    /// It is being read or solved.
    pub busy: bool,
    /// Source bytes as read back for solving.
    pub source: Option<Bytes>,
    /// Repair bytes likewise.
    pub repair: Option<Bytes>,
}

/// What became of a run of slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing of it was needed.
    Surplus,
    /// This mask of slices was new and needed.
    New(u8),
    /// As `New`, and now the block can be solved.
    Full(u8),
}

impl Incoming {
    /// From a verified manifest.
    pub fn new(id: MessageId, from: End, manifest: Manifest, keys: MessageKeys, now: Time) -> Self {
        let parts = manifest
            .parts
            .iter()
            .map(|entry| (entry.id, InPart::new(entry)))
            .collect();
        let content = manifest.shared.as_ref().and_then(|s| s.content.as_ref());
        let content = content.map(|content| shared::content_keys(&content.key, id));
        Self {
            id,
            from: from.person,
            key: from.key,
            manifest,
            keys: vec![keys],
            content,
            apart: false,
            parts,
            unwanted: false,
            taken: now,
            age_s: 0,
            surplus_bytes: 0,
            row_dirty: true,
        }
    }

    /// From whom.
    pub fn sender(&self) -> End {
        End {
            person: self.from,
            key: self.key,
        }
    }

    /// Adds keys of another label; the oldest gives way.
    pub fn add_keys(&mut self, keys: MessageKeys) -> Option<Label> {
        if self.keys.iter().any(|k| k.label() == keys.label()) {
            return None;
        }
        self.row_dirty = true;
        self.keys.push(keys);
        (self.keys.len() > LABELS_MAX).then(|| self.keys.remove(0).label())
    }

    /// The entry of a part.
    pub fn entry(&self, part: u8) -> Option<&PartEntry> {
        self.manifest.parts.iter().find(|entry| entry.id == part)
    }

    /// The id of a bulk file of a part.
    pub fn file(&self, kind: FileKind, part: u8) -> FileId {
        FileId {
            kind,
            message: self.id,
            part,
        }
    }

    /// The longest lifetime of its parts; `None` is for ever.
    pub fn lifetime(&self) -> Option<Duration> {
        self.manifest.lifetime()
    }

    /// When its lifetime ends.
    pub fn expires(&self) -> Option<Time> {
        let rest = self
            .lifetime()?
            .saturating_sub(Duration::from_secs(self.age_s));
        Some(self.taken.after(rest))
    }

    /// Whether every part was delivered.
    pub fn all_delivered(&self) -> bool {
        self.parts.values().all(|p| p.delivered)
    }

    /// What to make before symbols are written.
    pub fn creates(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for (part, state) in &self.parts {
            if let Some(geometry) = &state.geometry {
                records.push(Record::Create {
                    file: self.file(FileKind::Incoming, *part),
                    len: geometry.len,
                });
                if geometry.coding.repair > 0 {
                    records.push(Record::Create {
                        file: self.file(FileKind::Repair, *part),
                        len: geometry.repair_len(),
                    });
                }
            }
        }
        records
    }

    /// Bytes of the files that its parts are collected in.
    pub fn file_bytes(&self) -> u64 {
        let geometries = self.parts.values().filter_map(|p| p.geometry.as_ref());
        geometries.fold(0, |sum: u64, g| sum.saturating_add(g.len))
    }

    /// Bytes that repair symbols of its parts need beside these.
    pub fn repair_room(&self) -> u64 {
        let geometries = self.parts.values().filter_map(|p| p.geometry.as_ref());
        geometries.fold(0, |sum: u64, g| sum.saturating_add(g.repair_room()))
    }

    /// What is here, in the words of a report.
    pub fn held(&self) -> Vec<(u8, report::Part)> {
        self.parts
            .iter()
            .filter_map(|(part, state)| Some((*part, state.held()?)))
            .collect()
    }

    /// The rows that changed since the last call.
    pub fn records(&mut self, now: Time) -> Vec<Record> {
        let mut records = Vec::new();
        if std::mem::take(&mut self.row_dirty) {
            records.push(self.record(now));
        }
        let id = self.id;
        for (part, state) in &mut self.parts {
            state.records(&id, *part, &mut records);
        }
        records
    }

    /// The row of the message itself.
    pub fn record(&self, now: Time) -> Record {
        let mut value = self.from.0.to_vec();
        let flags = [self.unwanted, self.apart, self.key.is_some()].map(u8::from);
        value.push(flags[0] | flags[1] << 1 | flags[2] << 2);
        value.extend(self.key.iter().flatten());
        let age = self.age_s + now.since(self.taken).as_secs();
        value.extend_from_slice(&age.to_be_bytes());
        value.push(self.keys.len() as u8);
        for keys in &self.keys {
            let stored = keys.store();
            put_varint(&mut value, stored.len() as u64);
            value.extend_from_slice(&stored);
        }
        value.extend_from_slice(&self.manifest.encode());
        Record::Put {
            table: Table::Inbox,
            key: self.id.0.to_vec(),
            value,
        }
    }

    /// Reads what [`Incoming::records`] wrote for the message itself.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn restore(id: MessageId, value: &[u8], now: Time) -> Result<Self, Malformed> {
        let mut r = Reader::new(value);
        let person = PersonId(r.array()?);
        let flags = r.u8()?;
        let key = (flags & 4 != 0).then(|| r.array()).transpose()?;
        let from = End { person, key };
        let age_s = r.u64()?;
        let mut keys = Vec::new();
        for _ in 0..r.u8()? {
            let len = usize::try_from(r.varint()?).map_err(|_| Malformed::Truncated)?;
            keys.push(MessageKeys::restore(r.take(len)?)?);
        }
        let first = keys.pop().ok_or(Malformed::Value("inbox keys"))?;
        let mut message = Self::new(id, from, Manifest::decode(r.rest())?, first, now);
        message.keys.splice(0..0, keys);
        (message.unwanted, message.apart) = (flags & 1 != 0, flags & 2 != 0);
        (message.age_s, message.row_dirty) = (age_s, false);
        Ok(message)
    }

    /// Keys of all rows of this message.
    pub fn deletes(&self) -> Vec<Record> {
        let delete = |key: Vec<u8>| Record::Delete {
            table: Table::Inbox,
            key,
        };
        let mut records = vec![delete(self.id.0.to_vec())];
        for (part, state) in &self.parts {
            records.push(delete(part_key(&self.id, *part)));
            records.extend(
                state
                    .blocks
                    .keys()
                    .map(|block| delete(block_key(&self.id, *part, *block))),
            );
        }
        records
    }
}

/// The key of a part's row.
pub fn part_key(id: &MessageId, part: u8) -> Vec<u8> {
    [&id.0[..], &[part]].concat()
}

/// Bytes of the key of a block's row: message, part, block.
const BLOCK_KEY: usize = 32 + 1 + 2;

fn block_key(id: &MessageId, part: u8, block: u16) -> Vec<u8> {
    [&id.0[..], &[part], &block.to_be_bytes()[..]].concat()
}

/// Whether a key of the inbox is that of a block's row.
pub fn is_block_key(key: &[u8]) -> bool {
    key.len() == BLOCK_KEY
}

impl InPart {
    fn new(entry: &PartEntry) -> Self {
        let geometry = match &entry.body {
            Body::Inline(_) => None,
            Body::Coded { len, coding, .. } => Geometry::new(*coding, *len).ok(),
        };
        let words = geometry.map_or(0, |g| g.blocks().div_ceil(64) as usize);
        Self {
            geometry,
            blocks: BTreeMap::new(),
            solved: vec![0; words],
            solved_count: 0,
            solved_at: BTreeMap::new(),
            hasher: Some(Box::new(blake3::Hasher::new())),
            hashed: 0,
            hashing: false,
            complete: geometry.is_none(),
            delivered: false,
            first_seen: BTreeMap::new(),
            dirty_blocks: BTreeSet::new(),
            dirty: geometry.is_none(),
        }
    }

    /// Nothing of it counts as here any more; rows of blocks go with the next that are written.
    pub fn begin_anew(&mut self, entry: &PartEntry) {
        let blocks = std::mem::take(&mut self.blocks);
        let mut anew = Self::new(entry);
        anew.dirty_blocks = std::mem::take(&mut self.dirty_blocks);
        anew.dirty_blocks.extend(blocks.into_keys());
        anew.dirty = true;
        *self = anew;
    }

    /// Whether a block is solved.
    pub fn is_solved(&self, block: u16) -> bool {
        self.solved
            .get(usize::from(block) / 64)
            .is_some_and(|w| w >> (block % 64) & 1 == 1)
    }

    /// The first block that is not solved. Only its repair symbols are sure of their room: the others wait for it to give it back.
    pub fn first_unsolved(&self) -> u32 {
        let open = self
            .solved
            .iter()
            .zip(0u32..)
            .find(|(word, _)| **word != u64::MAX);
        open.map_or(u32::MAX, |(word, at)| at * 64 + word.trailing_ones())
    }

    /// Takes a run of slices: `mask` of `symbol` in `block`, all in range.
    pub fn take(&mut self, block: u16, symbol: u16, mask: u8) -> Taken {
        let Some(geometry) = self.geometry else {
            return Taken::Surplus;
        };
        if self.complete || self.is_solved(block) {
            return Taken::Surplus;
        }
        let (k, n) = (geometry.source_symbols(block), geometry.symbols(block));
        let state = self.blocks.entry(block).or_insert_with(|| InBlock::new(n));
        let new = state.add(k, symbol, mask);
        if new == 0 {
            return Taken::Surplus;
        }
        self.dirty_blocks.insert(block);
        if state.is_full(k, geometry.coding.slices) {
            Taken::Full(new)
        } else {
            Taken::New(new)
        }
    }

    /// Slices that were taken do not come to the disk, so they are not here.
    pub fn give_back(&mut self, block: u16, symbol: u16, mask: u8) {
        let Some(geometry) = self.geometry else {
            return;
        };
        if let Some(state) = self.blocks.get_mut(&block) {
            state.remove(symbol, mask);
            if !state.is_full(geometry.source_symbols(block), geometry.coding.slices) {
                state.full_at = None;
            }
        }
    }

    /// The rows of all its open blocks have to be written.
    pub fn touch_blocks(&mut self) {
        self.dirty_blocks.extend(self.blocks.keys());
    }

    /// A block is solved and on its way to the disk with this token. Gives where its repair symbols lie, which are not needed
    /// any more: from, and how many bytes.
    pub fn solve(&mut self, block: u16, token: Token) -> Option<(u64, u64)> {
        if self.is_solved(block) {
            return None;
        }
        let repair = self.repair_range(block);
        if let Some(word) = self.solved.get_mut(usize::from(block) / 64) {
            *word |= 1 << (block % 64);
            self.solved_count += 1;
            self.solved_at.insert(block, token);
            self.blocks.remove(&block);
            self.dirty_blocks.insert(block);
            self.dirty = true;
        }
        repair
    }

    fn repair_range(&self, block: u16) -> Option<(u64, u64)> {
        let geometry = self.geometry.as_ref()?;
        let k = geometry.source_symbols(block);
        let symbols = u64::from(self.blocks.get(&block)?.repair_end(k));
        let len = symbols * geometry.coding.symbol_len() as u64;
        (len > 0).then(|| (geometry.repair_offset(block, k), len))
    }

    /// The part's row has to be written.
    pub fn touch(&mut self) {
        self.dirty = true;
    }

    /// Bytes that are here or can be computed.
    pub fn held_bytes(&self, entry: &PartEntry) -> u64 {
        let Some(geometry) = &self.geometry else {
            return entry.body.len();
        };
        if self.complete {
            return geometry.len;
        }
        let slice = u64::from(geometry.coding.slice_len);
        let solved: u64 = (0..geometry.blocks())
            .map(|b| b as u16)
            .filter(|&b| self.is_solved(b))
            .map(|b| geometry.block_len(b) as u64)
            .sum();
        let pieces: u64 = self
            .blocks
            .iter()
            .map(|(&b, block)| {
                let k = geometry.source_symbols(b);
                block
                    .counts
                    .iter()
                    .map(|&c| u64::from(c.min(k)))
                    .sum::<u64>()
            })
            .sum();
        (solved + pieces * slice).min(geometry.len)
    }

    fn held(&self) -> Option<report::Part> {
        let geometry = self.geometry.as_ref()?;
        if self.complete {
            return Some(report::Part::Complete);
        }
        let solved = (0..geometry.blocks())
            .find(|&b| !self.is_solved(b as u16))
            .unwrap_or(geometry.blocks());
        let mut listed: Vec<report::Block> = (solved..geometry.blocks())
            .map(|b| b as u16)
            .filter(|&b| self.is_solved(b))
            .map(|block| report::Block {
                block,
                held: report::Held::Solved,
            })
            .collect();
        for (&block, state) in &self.blocks {
            // A block that can be solved is as good as solved: no more of it is wanted.
            let held = match state.full_at {
                Some(_) => report::Held::Solved,
                None => report::Held::Some(state.masks.clone()),
            };
            listed.push(report::Block { block, held });
        }
        listed.sort_by_key(|b| b.block);
        Some(report::Part::Blocks {
            solved,
            from: solved,
            listed,
            to_end: true,
        })
    }

    fn records(&mut self, id: &MessageId, part: u8, out: &mut Vec<Record>) {
        if std::mem::take(&mut self.dirty) {
            let mut value = vec![u8::from(self.complete) | u8::from(self.delivered) << 1];
            if !self.complete {
                self.solved
                    .iter()
                    .for_each(|word| value.extend_from_slice(&word.to_be_bytes()));
            }
            out.push(Record::Put {
                table: Table::Inbox,
                key: part_key(id, part),
                value,
            });
        }
        for block in std::mem::take(&mut self.dirty_blocks) {
            let key = block_key(id, part, block);
            out.push(match self.blocks.get(&block) {
                Some(state) if !self.complete => Record::Put {
                    table: Table::Inbox,
                    key,
                    value: state.masks.clone(),
                },
                _ => Record::Delete {
                    table: Table::Inbox,
                    key,
                },
            });
        }
    }

    /// Reads the part's row.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn restore(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let mut r = Reader::new(value);
        let flags = r.u8()?;
        (self.complete, self.delivered) = (flags & 1 != 0, flags & 2 != 0);
        self.dirty = false;
        for word in 0..self.solved.len() {
            if self.complete {
                break;
            }
            self.solved[word] = r.u64()?;
        }
        self.solved_count = self.solved.iter().map(|w| w.count_ones()).sum();
        for block in (0..self.geometry.map_or(0, |g| g.blocks())).map(|b| b as u16) {
            if self.is_solved(block) {
                self.solved_at.insert(block, Token(0));
            }
        }
        r.finish()
    }

    /// Reads a block's row, or a note of cheap progress. What does not fit is left out: it will be sent again.
    pub fn restore_slices(&mut self, block: u16, symbol: u16, mask: u8) {
        let Some(geometry) = self.geometry else {
            return;
        };
        let fits = u32::from(block) < geometry.blocks() && symbol < geometry.symbols(block);
        if !fits || mask & !geometry.coding.full_mask() != 0 {
            return;
        }
        if let Taken::Full(_) = self.take(block, symbol, mask)
            && let Some(state) = self.blocks.get_mut(&block)
        {
            state.full_at = Some(Token(0));
        }
    }
}

impl InBlock {
    fn new(n: u16) -> Self {
        let masks = vec![0; usize::from(n)];
        Self {
            masks,
            counts: [0; 8],
            full_at: None,
            busy: false,
            source: None,
            repair: None,
        }
    }

    /// The slices of `mask` that are new and that their code words still need.
    fn add(&mut self, k: u16, symbol: u16, mask: u8) -> u8 {
        let Some(held) = self.masks.get_mut(usize::from(symbol)) else {
            return 0;
        };
        let mut new = mask & !*held;
        // Otherwise a copy counts like the first.
        if cfg!(feature = "break-30") {
            new = mask;
        }
        for j in 0..8u8 {
            if self.counts[usize::from(j)] >= k {
                new &= !(1 << j);
            }
        }
        *held |= new;
        for j in 0..8 {
            self.counts[j] += u16::from(new >> j & 1);
        }
        new
    }

    fn remove(&mut self, symbol: u16, mask: u8) {
        let Some(held) = self.masks.get_mut(usize::from(symbol)) else {
            return;
        };
        let gone = mask & *held;
        *held &= !gone;
        for j in 0..8 {
            self.counts[j] -= u16::from(gone >> j & 1);
        }
    }

    fn is_full(&self, k: u16, slices: u8) -> bool {
        self.counts
            .iter()
            .take(usize::from(slices))
            .all(|&count| count >= k)
    }

    /// Whether all source symbols are here, so that nothing has to be computed.
    pub fn has_source(&self, k: u16, full: u8) -> bool {
        self.masks
            .iter()
            .take(usize::from(k))
            .all(|&mask| mask == full)
    }

    /// One past the last repair symbol that is here, counted among the repair symbols.
    pub fn repair_end(&self, k: u16) -> u16 {
        let last = self.masks.iter().rposition(|&mask| mask != 0).unwrap_or(0);
        (last as u16 + 1).saturating_sub(k)
    }
}

/// A note of cheap progress: which slices of which message were written.
#[derive(Debug, Default)]
pub struct Notes {
    by_message: BTreeMap<MessageId, Vec<u8>>,
}

impl Notes {
    /// Adds one.
    pub fn add(&mut self, message: MessageId, part: u8, block: u16, symbol: u16, mask: u8) {
        let note = self.by_message.entry(message).or_default();
        note.push(part);
        note.extend_from_slice(&block.to_be_bytes());
        note.extend_from_slice(&symbol.to_be_bytes());
        note.push(mask);
    }

    /// Nothing of a message counts as written.
    pub fn forget(&mut self, message: MessageId) {
        self.by_message.remove(&message);
    }

    /// The journal records.
    pub fn drain(&mut self) -> Vec<Record> {
        let notes = std::mem::take(&mut self.by_message);
        notes
            .into_iter()
            .map(|(id, note)| Record::Journal([&id.0[..], &note].concat()))
            .collect()
    }

    /// Reads a journal record.
    ///
    /// # Errors
    /// [`Malformed`] if it is something else.
    pub fn read(
        note: &[u8],
        mut each: impl FnMut(MessageId, u8, u16, u16, u8),
    ) -> Result<(), Malformed> {
        let mut r = Reader::new(note);
        let id = MessageId(r.array()?);
        while !r.is_empty() {
            each(id, r.u8()?, r.u16()?, r.u16()?, r.u8()?);
        }
        Ok(())
    }
}

//! Source blocks in memory: read when they are needed, coded when repair symbols are, and let go of again.

use super::io::{FileId, FileKind, Job, Output};
use super::outgoing::OutPart;
use super::pool::Need;
use super::{Engine, Request, coding};
use bytes::Bytes;
use std::collections::BTreeSet;

/// How long after a failed read it is tried again.
pub const REREAD: std::time::Duration = std::time::Duration::from_secs(5);

/// Blocks that stay in memory however large they are.
const KEPT: usize = 2;
/// Bytes of more blocks than those of each part, with what is being read.
const ENOUGH: usize = 10 << 20;

/// A block of a message being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockKey {
    /// The message's place in the outbox.
    pub seq: u64,
    /// The part.
    pub part: u8,
    /// The block.
    pub block: u16,
}

/// What the blocks in memory take.
struct InMemory {
    /// How many parts they are of.
    parts: usize,
    /// Their bytes.
    total: usize,
    /// How many these may be.
    most: usize,
}

impl Engine {
    pub(super) fn out_part(&mut self, seq: u64, part: u8) -> Option<&mut OutPart> {
        self.outbox.get_mut(&seq)?.parts.get_mut(&part)
    }

    /// A block is needed. True if it is here now; otherwise it is read, and coded if repair symbols are asked for.
    pub(super) fn provide(&mut self, seq: u64, part: u8, need: Need) -> bool {
        let block = need.block;
        let key = BlockKey { seq, part, block };
        let borrowed = self.borrow(key, need.repair);
        if !borrowed {
            self.need(key, need.repair);
        }
        borrowed
    }

    fn need(&mut self, key: BlockKey, repair: bool) {
        self.load(key);
        if let Some(state) = self.out_part(key.seq, key.part).filter(|_| repair) {
            let data = state.pool.data(key.block);
            data.wants_repair = !data.coding;
            self.code(key);
        }
    }

    /// What is in memory of a block for another recipient of the message, there is for this one as well. Tells whether
    /// that helps.
    fn borrow(&mut self, key: BlockKey, repair: bool) -> bool {
        let Some(message) = self.outbox.get(&key.seq).map(|message| message.id) else {
            return false;
        };
        let here = self.in_memory(key, repair).map_or(0, Bytes::len);
        let others = self.places_of(message).filter(|seq| *seq != key.seq);
        let mut others = others.filter_map(|seq| self.in_memory(BlockKey { seq, ..key }, repair));
        let Some(bytes) = others.find(|bytes| bytes.len() > here).cloned() else {
            return false;
        };
        drop(others);
        let Some(state) = self.out_part(key.seq, key.part) else {
            return false;
        };
        let data = state.pool.data(key.block);
        match repair {
            true => data.repair = Some(bytes),
            false => data.source = Some(bytes),
        }
        self.touch_block(key);
        self.make_room();
        true
    }

    /// The repair symbols of a block, or the source symbols.
    fn in_memory(&self, key: BlockKey, repair: bool) -> Option<&Bytes> {
        let part = self.outbox.get(&key.seq)?.parts.get(&key.part)?;
        let data = part.pool.loaded(key.block)?;
        match repair {
            true => data.repair.as_ref(),
            false => data.source.as_ref(),
        }
    }

    /// Reads a block unless it is in memory or on its way there; the blocks used longest ago give way.
    pub(super) fn load(&mut self, key: BlockKey) {
        let Some(message) = self.outbox.get_mut(&key.seq) else {
            return;
        };
        let file = FileId {
            kind: FileKind::Outgoing,
            message: message.id,
            part: key.part,
        };
        let Some(state) = message.parts.get_mut(&key.part) else {
            return;
        };
        let geometry = *state.pool.geometry();
        let data = state.pool.data(key.block);
        if data.source.is_some() || data.fetching {
            return;
        }
        data.fetching = true;
        let token = self.request(Request::LoadBlock(key));
        self.out.push_back(Output::Fetch {
            token,
            file,
            offset: geometry.block_offset(key.block),
            len: geometry.block_len(key.block),
            last: true,
        });
        self.touch_block(key);
        self.make_room();
    }

    /// A block was read, or could not be.
    pub(super) fn on_loaded(&mut self, key: BlockKey, bytes: Option<Bytes>) {
        let Some(state) = self.out_part(key.seq, key.part) else {
            return;
        };
        if state.pool.is_solved(key.block) {
            return;
        }
        let len = state.pool.geometry().block_len(key.block);
        let Some(bytes) = bytes.filter(|b| b.len() == len) else {
            self.reload.push(key);
            self.reread_at.get_or_insert(self.now.after(REREAD));
            return;
        };
        let data = state.pool.data(key.block);
        data.fetching = false;
        data.source = Some(bytes);
        self.work += 1;
        self.touch_block(key);
        self.make_room();
        self.code(key);
    }

    /// Has repair symbols computed, if they are wanted and the block is here: the first ones, and all if those do not do.
    fn code(&mut self, key: BlockKey) {
        let Some(state) = self.out_part(key.seq, key.part) else {
            return;
        };
        let geometry = *state.pool.geometry();
        let data = state.pool.data(key.block);
        if !data.wants_repair || data.coding {
            return;
        }
        let Some(source) = data.source.clone() else {
            return;
        };
        let k = geometry.source_symbols(key.block);
        let repair = match data.repair {
            None => geometry.coding.first_repair(k),
            Some(_) => geometry.coding.repair,
        };
        (data.wants_repair, data.coding) = (false, true);
        let job = Job::Code(coding::Job::Encode {
            coding: geometry.coding,
            k,
            source,
            repair,
        });
        let token = self.request(Request::CodeBlock(key));
        self.out.push_back(Output::Compute { token, job });
    }

    /// Repair symbols were computed.
    pub(super) fn on_coded(&mut self, key: BlockKey, done: coding::Done) {
        let Some(state) = self.out_part(key.seq, key.part) else {
            return;
        };
        if state.pool.is_solved(key.block) {
            return;
        }
        let data = state.pool.data(key.block);
        data.coding = false;
        if let coding::Done::Encoded(repair) = done {
            data.repair = Some(repair);
        }
        self.work += 1;
        self.touch_block(key);
        self.make_room();
    }

    /// Blocks whose reading failed are read again when they are asked for.
    pub(super) fn reload(&mut self) {
        for key in std::mem::take(&mut self.reload) {
            if let Some(state) = self.out_part(key.seq, key.part) {
                state.pool.data(key.block).fetching = false;
            }
        }
    }

    /// The block used last is the last to give way.
    pub(super) fn touch_block(&mut self, key: BlockKey) {
        if self.loaded.back() != Some(&key) {
            self.loaded.retain(|loaded| *loaded != key);
            self.loaded.push_back(key);
        }
    }

    /// Bytes that a block takes in memory.
    pub(super) fn block_bytes(&self, key: &BlockKey) -> usize {
        let message = self.outbox.get(&key.seq);
        let state = message.and_then(|m| m.parts.get(&key.part));
        state.map_or(0, |state| state.pool.block_bytes(key.block))
    }

    /// Bytes that the blocks of one part may take.
    pub(super) fn block_share(&self) -> usize {
        let InMemory { parts, most, .. } = self.blocks_in_memory();
        most / parts.max(1)
    }

    fn blocks_in_memory(&self) -> InMemory {
        let (mut total, mut parts) = (0, BTreeSet::new());
        for key in &self.loaded {
            let bytes = self.block_bytes(key);
            total += bytes;
            parts.extend((bytes > 0).then_some((key.seq, key.part)));
        }
        let parts = parts.len();
        let enough = parts.saturating_mul(ENOUGH);
        let most = self.limits.block_cache_bytes.min(enough);
        InMemory { parts, total, most }
    }

    fn make_room(&mut self) {
        let InMemory {
            mut total, most, ..
        } = self.blocks_in_memory();
        while total > most && self.loaded.len() > KEPT {
            let Some(key) = self.loaded.pop_front() else {
                break;
            };
            total -= self.block_bytes(&key);
            if let Some(state) = self.out_part(key.seq, key.part) {
                state.pool.unload(key.block);
            }
        }
    }
}

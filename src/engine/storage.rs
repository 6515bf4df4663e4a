//! The store and the workers: what is written down when, and what follows when they answer.

use super::blocks::REREAD;
use super::incoming::Incoming;
use super::io::{Done, Event, FileId, FileKind, Job, Output, Record, StoreError, Token};
use super::readback::{self, ReadBack};
use super::{Effect, Engine, MessageId, Request, SYNC_INTERVAL, coding};
use crate::wire::manifest::Body;
use bytes::Bytes;
use std::time::Duration;

/// Blocks of a part that are read back and solved at once.
const SOLVING_MAX: usize = 4;

impl Engine {
    /// Gives out what waits to be written: all of it if something durable is due, else cheap progress whose window
    /// has closed.
    pub(super) fn write_down(&mut self) {
        if self.writer.refuses() && self.writer.retry_at().is_some() {
            return;
        }
        if self.sync_at.is_some_and(|at| at <= self.now) && !self.writer.syncing() {
            return self.sync();
        }
        if self.writer.window_closed(self.now) {
            let notes = self.notes.drain();
            notes
                .into_iter()
                .for_each(|note| self.writer.cheap(self.now, note));
            self.out
                .extend(self.writer.flush(false).map(|(_, output)| output));
        }
    }

    fn sync(&mut self) {
        self.sync_at = None;
        let effects = self.take_views();
        // The rows say all that the notes would.
        let _ = self.notes.drain();
        match self.writer.flush(true) {
            Some((token, output)) => {
                self.out.push_back(output);
                self.effects.insert(token, effects);
                if cfg!(feature = "break-ack-before-persist") {
                    self.take_effects(token);
                }
            }
            None => effects
                .into_iter()
                .for_each(|effect| self.take_effect(effect)),
        }
    }

    pub(super) fn on_persisted(&mut self, token: Token) {
        for token in self.writer.persisted(token) {
            self.take_effects(token);
        }
        self.forget_repairs();
        if self.writer.recovered() {
            self.event(Event::StoreRecovered);
        }
    }

    pub(super) fn on_persist_failed(&mut self, _token: Token, error: StoreError) {
        let first = self.writer.failed(self.now, &error);
        if matches!(error, StoreError::Full(_)) {
            self.give_room_up();
        }
        if first {
            self.event(Event::StoreFailed(error));
        }
    }

    fn take_effects(&mut self, token: Token) {
        for effect in self.effects.remove(&token).unwrap_or_default() {
            self.take_effect(effect);
        }
    }

    fn take_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Accepted { seqs, request } => {
                let mut accepted = None;
                for seq in seqs {
                    if let Some(message) = self.outbox.get_mut(&seq) {
                        message.durable = true;
                        accepted = Some(message.id);
                    }
                }
                if let Some(message) = accepted {
                    self.work += 1;
                    self.event(Event::Accepted { message, request });
                }
            }
            Effect::View(id, view) => self.on_view(id, *view),
            Effect::Release { link, upto } => {
                if self
                    .links
                    .get(&link)
                    .is_some_and(|l| l.profile.is_some() && l.custody.1 == upto)
                {
                    self.out.push_back(Output::Release { link, upto });
                }
            }
            Effect::SessionKnown(id) => self.sessions.known(id),
            Effect::Invited(id) => self.event(Event::Invited { id }),
            Effect::Uninvited(id) => self.event(Event::Uninvited { id }),
            Effect::Incarnation(number) => self.incarnations.known(number),
            Effect::Offer(to) => self.on_offer_durable(to),
            Effect::Answer(session) => self.on_answer_durable(session),
            Effect::GoOn(with, session) => self.on_answer_kept(with, session),
        }
    }

    pub(super) fn on_fetched(&mut self, token: Token, result: Result<Bytes, StoreError>) {
        let Some(request) = self.requests.remove(&token) else {
            return;
        };
        let bytes = result
            .map_err(|error| self.event(Event::StoreFailed(error)))
            .ok();
        match request {
            Request::LoadBlock(key) => self.on_loaded(key, bytes),
            Request::SolveSource {
                message,
                part,
                block,
            } => self.on_read_back(message, part, block, bytes, false),
            Request::SolveRepair {
                message,
                part,
                block,
            } => self.on_read_back(message, part, block, bytes, true),
            Request::ReadDigest { message, part } => self.on_digest_read(message, part, bytes),
            Request::CodeBlock(_) | Request::Solve { .. } | Request::Digest { .. } => {}
        }
    }

    pub(super) fn on_computed(&mut self, token: Token, done: Done) {
        match (self.requests.remove(&token), done) {
            (Some(Request::CodeBlock(key)), Done::Code(done)) => self.on_coded(key, done),
            (
                Some(Request::Solve {
                    message,
                    part,
                    block,
                }),
                Done::Code(done),
            ) => {
                self.on_solved(message, part, block, done);
            }
            (Some(Request::Digest { message, part }), Done::Digest { hasher }) => {
                self.on_digested(message, part, hasher);
            }
            _ => {}
        }
    }

    /// Reads back what was received: blocks that can be solved, and solved blocks that have to be digested.
    pub(super) fn read_back(&mut self) {
        self.reread();
        let mut now = self.being_read_back();
        let ids: Vec<MessageId> = self.reading.iter().copied().collect();
        for id in ids {
            let parts: Vec<u8> = self
                .inbox
                .get(&id)
                .map(|m| m.parts.keys().copied().collect())
                .unwrap_or_default();
            let mut busy = false;
            for part in parts {
                busy |= self.read_back_solve(id, part, &mut now);
                busy |= self.read_back_digest(id, part, &mut now);
            }
            if !busy {
                self.reading.remove(&id);
            }
        }
    }

    /// Tells whether any block of the part is still to be solved.
    fn read_back_solve(&mut self, id: MessageId, part: u8, now: &mut ReadBack) -> bool {
        let Some(message) = self.inbox.get_mut(&id) else {
            return false;
        };
        let files = (
            message.file(FileKind::Incoming, part),
            message.file(FileKind::Repair, part),
        );
        let Some(state) = message.parts.get_mut(&part) else {
            return false;
        };
        let Some(geometry) = state.geometry else {
            return false;
        };
        let mut left = false;
        let mut fetches = Vec::new();
        let mut solving = state.blocks.values().filter(|open| open.busy).count();
        for (&block, open) in &mut state.blocks {
            let Some(at) = open.full_at else { continue };
            left = true;
            if open.busy || !self.writer.counts(at) || solving >= SOLVING_MAX {
                continue;
            }
            if !now.takes(readback::to_solve(&geometry, block)) {
                continue;
            }
            open.busy = true;
            solving += 1;
            let repair = usize::from(open.repair_end(geometry.source_symbols(block)))
                * geometry.coding.symbol_len();
            let source = (
                files.0,
                geometry.block_offset(block),
                geometry.block_len(block),
            );
            let first = geometry.repair_offset(block, geometry.source_symbols(block));
            fetches.push((block, source, (files.1, first, repair)));
        }
        for (block, source, repair) in fetches {
            let token = self.request(Request::SolveSource {
                message: id,
                part,
                block,
            });
            self.out.push_back(Output::Fetch {
                token,
                file: source.0,
                offset: source.1,
                len: source.2,
                last: false,
            });
            let token = self.request(Request::SolveRepair {
                message: id,
                part,
                block,
            });
            self.out.push_back(Output::Fetch {
                token,
                file: repair.0,
                offset: repair.1,
                len: repair.2,
                last: false,
            });
        }
        left
    }

    fn on_read_back(
        &mut self,
        id: MessageId,
        part: u8,
        block: u16,
        bytes: Option<Bytes>,
        repair: bool,
    ) {
        let state = self.inbox.get_mut(&id).and_then(|m| m.parts.get_mut(&part));
        let Some((state, geometry)) = state.and_then(|s| s.geometry.map(|g| (s, g))) else {
            return;
        };
        let Some(open) = state.blocks.get_mut(&block) else {
            return;
        };
        let Some(bytes) = bytes else {
            (open.source, open.repair) = (None, None);
            return self.read_again_later(id);
        };
        if repair {
            open.repair = Some(bytes);
        } else {
            open.source = Some(bytes);
        }
        let (Some(source), Some(repair)) = (open.source.clone(), open.repair.clone()) else {
            return;
        };
        (open.source, open.repair) = (None, None);
        let k = geometry.source_symbols(block);
        let held = open.masks.clone();
        let job = Job::Code(coding::Job::Decode {
            coding: geometry.coding,
            k,
            source,
            repair,
            held,
        });
        let token = self.request(Request::Solve {
            message: id,
            part,
            block,
        });
        self.out.push_back(Output::Compute { token, job });
    }

    fn on_solved(&mut self, id: MessageId, part: u8, block: u16, done: coding::Done) {
        let Some(message) = self.inbox.get_mut(&id) else {
            return;
        };
        let file = message.file(FileKind::Incoming, part);
        let Some(state) = message.parts.get_mut(&part) else {
            return;
        };
        let (Some(geometry), Some(open)) = (state.geometry, state.blocks.get_mut(&block)) else {
            return;
        };
        let coding::Done::Decoded(found) = done else {
            // Cannot be: enough verified symbols always suffice. What is here counts as not here.
            state.blocks.remove(&block);
            return self.count("block that could not be solved");
        };
        let (len, full) = (geometry.block_len(block), geometry.coding.full_mask());
        let lacks = |symbol: u16| open.masks.get(usize::from(symbol)) != Some(&full);
        for (symbol, mut bytes) in found.into_iter().filter(|(symbol, _)| lacks(*symbol)) {
            let from = (usize::from(symbol) * geometry.coding.symbol_len()).min(len);
            bytes.truncate(len - from);
            let offset = geometry.block_offset(block) + from as u64;
            let write = Record::Write {
                file,
                offset,
                bytes,
            };
            self.writer.cheap(self.now, write);
        }
        let repair = state.solve(block, self.writer.next_token());
        self.vacate(id, part, repair);
        self.dirty.insert(id);
        self.reading.insert(id);
        self.want_sync(SYNC_INTERVAL);
    }

    /// Repair symbols of a solved block give their room back once that is durable.
    pub(super) fn vacate(&mut self, message: MessageId, part: u8, range: Option<(u64, u64)>) {
        let kind = FileKind::Repair;
        let file = FileId {
            kind,
            message,
            part,
        };
        if let Some((offset, len)) = range {
            self.writer.durable(Record::Vacate { file, offset, len });
        }
    }

    /// A read failed, and the store has said why. What it was for is taken up again after a while.
    fn read_again_later(&mut self, id: MessageId) {
        self.reread.insert(id);
        self.reread_at.get_or_insert(self.now.after(REREAD));
    }

    /// Takes up again what failed to be read.
    fn reread(&mut self) {
        if self.reread_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.reread_at = None;
        for id in std::mem::take(&mut self.reread) {
            let Some(message) = self.inbox.get_mut(&id) else {
                continue;
            };
            for state in message.parts.values_mut() {
                state.hashing &= state.hasher.is_none();
                state
                    .blocks
                    .values_mut()
                    .for_each(|block| block.busy = false);
            }
            self.reading.insert(id);
        }
        self.reload();
        self.work += 1;
    }

    /// Tells whether the part is still to be digested.
    fn read_back_digest(&mut self, id: MessageId, part: u8, now: &mut ReadBack) -> bool {
        let Some(message) = self.inbox.get_mut(&id) else {
            return false;
        };
        let file = message.file(FileKind::Incoming, part);
        let Some(state) = message.parts.get_mut(&part) else {
            return false;
        };
        let Some(geometry) = state.geometry.filter(|_| !state.complete) else {
            return false;
        };
        if state.hashing {
            return true;
        }
        let block = state.hashed as u16;
        let Some(&at) = state
            .solved_at
            .get(&block)
            .filter(|_| state.hashed < geometry.blocks())
        else {
            return false;
        };
        if !self.writer.counts(at) || !now.takes(geometry.block_len(block) as u64) {
            return true;
        }
        state.hashing = true;
        let (offset, len) = (geometry.block_offset(block), geometry.block_len(block));
        let token = self.request(Request::ReadDigest { message: id, part });
        self.out.push_back(Output::Fetch {
            token,
            file,
            offset,
            len,
            last: true,
        });
        true
    }

    fn on_digest_read(&mut self, id: MessageId, part: u8, bytes: Option<Bytes>) {
        let Some(state) = self.inbox.get_mut(&id).and_then(|m| m.parts.get_mut(&part)) else {
            return;
        };
        let Some(bytes) = bytes else {
            return self.read_again_later(id);
        };
        let Some(hasher) = state.hasher.take() else {
            return;
        };
        let token = self.request(Request::Digest { message: id, part });
        self.out.push_back(Output::Compute {
            token,
            job: Job::Digest { hasher, bytes },
        });
    }

    fn on_digested(&mut self, id: MessageId, part: u8, hasher: Box<blake3::Hasher>) {
        let Some(message) = self.inbox.get_mut(&id) else {
            return;
        };
        let expected = message.digest(part);
        let repair = message.file(FileKind::Repair, part);
        let Some(state) = message.parts.get_mut(&part) else {
            return;
        };
        state.hashing = false;
        state.solved_at.remove(&(state.hashed as u16));
        state.hashed += 1;
        self.reading.insert(id);
        if state.geometry.is_none_or(|g| state.hashed < g.blocks()) {
            state.hasher = Some(hasher);
            return;
        }
        let is_right = expected.is_some_and(|digest| *hasher.finalize().as_bytes() == digest);
        if !is_right && self.set_apart(id, part) {
            return;
        }
        // Without the comparison, a part is whatever came.
        if !is_right && cfg!(not(feature = "break-19")) {
            return self.refuse(id, Event::DigestMismatch { message: id, part });
        }
        let Some(state) = self.inbox.get_mut(&id).and_then(|m| m.parts.get_mut(&part)) else {
            return;
        };
        state.complete = true;
        state.touch();
        self.writer.durable(Record::Remove { file: repair });
        self.dirty.insert(id);
        self.want_sync(Duration::ZERO);
    }
}

impl Incoming {
    fn digest(&self, part: u8) -> Option<[u8; 32]> {
        match &self.entry(part)?.body {
            Body::Coded { digest, .. } => Some(*digest),
            Body::Inline(_) => None,
        }
    }
}

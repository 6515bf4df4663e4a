//! A frame came: whose it is, whether it is authentic, and where it belongs.
//!
//! What is cheap comes first: a known label is looked up, a delivered message is dropped before any key is
//! touched, and a preamble is examined only as often as its link may ask for it.

use super::incoming::{Incoming, Taken};
use super::io::{Event, FileKind, LinkId, Record};
use super::link::Link;
use super::outgoing::manifest_coding;
use super::reporting::Reporting;
use super::sessions::Announced;
use super::{Effect, Engine, MessageId, PersonId, Route, coding};
use crate::security::seal::MessageKeys;
use crate::security::session::{Epoch, SessionError, SessionId};
use crate::wire::envelope::Envelope;
use crate::wire::fragment::{Kind, Label, ManifestChunk, NARROW_OVERHEAD, Place, View};
use crate::wire::manifest::{self, Manifest};
use crate::wire::{FrameKind, frame_kind, preamble};
use bytes::Bytes;
use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::time::Duration;

/// Limits how often a link may make us examine a preamble.
pub struct Limiter(RateLimiterOf);

type RateLimiterOf = RateLimiter<
    governor::state::NotKeyed,
    governor::state::InMemoryState,
    FakeRelativeClock,
    governor::middleware::NoOpMiddleware<<FakeRelativeClock as governor::clock::Clock>::Instant>,
>;

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limiter")
    }
}

impl Limiter {
    fn new(per_second: u32, clock: &FakeRelativeClock) -> Self {
        let quota = Quota::per_second(NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN));
        Self(RateLimiter::direct_with_clock(quota, clock.clone()))
    }

    fn allows(&self) -> bool {
        self.0.check().is_ok()
    }
}

/// A manifest of which some chunks are here, and verified fragments that came before it was whole.
#[derive(Debug)]
pub struct Assembly {
    from: PersonId,
    epoch: Epoch,
    keys: MessageKeys,
    len: u16,
    chunks: Vec<Option<Bytes>>,
    early: Vec<(LinkId, Bytes)>,
}

impl Engine {
    pub(super) fn on_frame(&mut self, id: LinkId, frame: Bytes, custody: Option<u64>) {
        let refuses = self.writer.refuses();
        let link = self.links.entry(id).or_insert_with(|| Link::new(id));
        link.stats.received_frames += 1;
        link.stats.received_bytes += frame.len() as u64;
        if let Some(number) = custody {
            link.custody_broken |= refuses;
            if !link.custody_broken {
                link.custody.0 = link.custody.0.max(number);
                let within = if self.dirty.is_empty() {
                    Duration::ZERO
                } else {
                    super::SYNC_INTERVAL
                };
                self.want_sync(within);
            }
        }
        if refuses {
            return self.count("store busy or failing");
        }
        self.on_inner(id, frame);
    }

    fn on_inner(&mut self, id: LinkId, frame: Bytes) {
        match frame_kind(&frame) {
            FrameKind::Envelope => self.on_envelope(id, &frame),
            FrameKind::Fragment(_) => self.on_fragment(id, frame),
            FrameKind::Escape(ext) if ext == preamble::MARK[1] => self.on_preamble(id, &frame),
            FrameKind::Escape(_) => self.count("unknown extended kind"),
            FrameKind::Unknown => self.count("unknown kind"),
        }
    }

    fn on_envelope(&mut self, id: LinkId, frame: &Bytes) {
        match Envelope::unwrap(frame) {
            Ok((envelope, _)) if !self.my_tags.contains(&envelope.tag) => {
                self.count("mailbox of somebody else")
            }
            Ok((_, inner)) if frame_kind(inner) == FrameKind::Envelope => {
                self.count("envelope in envelope")
            }
            Ok((_, inner)) => self.on_inner(id, frame.slice_ref(inner)),
            Err(_) => self.count("malformed envelope"),
        }
    }

    fn on_preamble(&mut self, id: LinkId, frame: &[u8]) {
        if self.sessions.knows_preamble(frame) {
            return;
        }
        let (per_second, clock) = (self.limits.preambles_per_second, &self.clock);
        let limiter = self
            .limiters
            .entry(id)
            .or_insert_with(|| Limiter::new(per_second, clock));
        if !limiter.allows() {
            return self.count("too many preambles");
        }
        match self
            .sessions
            .announce(&self.me, &self.cards, frame, &self.limits)
        {
            Ok((announced, session, record)) => {
                self.writer.durable(record);
                self.waiting.push(Effect::SessionKnown(session));
                self.want_sync(Duration::ZERO);
                if let Announced::New(_) = announced {
                    self.leave_quarantine();
                }
            }
            Err(SessionError::Stranger) => self.count("preamble of a stranger"),
            Err(SessionError::LowOrder) => self.count("preamble with a low-order key"),
            Err(SessionError::EpochTooFar) => self.count("preamble of an epoch too far ahead"),
            Err(SessionError::Prekey) => self.count("preamble for a prekey that is gone"),
            Err(_) => self.count("preamble that does not open"),
        }
    }

    /// Frames that no session explained are looked at again, once.
    fn leave_quarantine(&mut self) {
        self.quarantine_bytes = 0;
        for (link, frame) in std::mem::take(&mut self.quarantine) {
            self.on_fragment(link, frame);
        }
    }

    fn on_fragment(&mut self, id: LinkId, frame: Bytes) {
        let Ok(view) = View::parse(&frame) else {
            return self.count("malformed fragment");
        };
        match self.routes.get(&view.label) {
            Some(Route::Done(message)) => {
                let message = *message;
                self.link_counts(id, |stats| stats.duplicates += 1);
                self.count("fragment of a delivered message");
                self.answer_late_copy(message);
            }
            Some(Route::Incoming(message)) => {
                let message = *message;
                self.on_known(id, message, &view);
            }
            None if self.assembling.contains_key(&view.label) => {
                self.on_assembling(id, &frame, &view)
            }
            None => self.on_unknown(id, &frame, &view),
        }
    }

    fn link_counts(&mut self, id: LinkId, update: impl FnOnce(&mut super::status::Link)) {
        if let Some(link) = self.links.get_mut(&id) {
            update(&mut link.stats);
        }
    }

    /// A fragment of a message whose manifest is here.
    fn on_known(&mut self, id: LinkId, message: MessageId, view: &View<'_>) {
        let Some(incoming) = self.inbox.get(&message) else {
            return;
        };
        let keys = incoming.keys.iter().find(|keys| keys.label() == view.label);
        let Some((place, plain)) = keys.and_then(|keys| keys.open(view).ok()) else {
            return self.count("fragment that does not authenticate");
        };
        self.heard.insert(incoming.from, self.now);
        self.link_counts(id, |stats| stats.received_fragments += 1);
        if place.part == 0 {
            // The sender offers the manifest anew: it does not know what is here.
            self.link_counts(id, |stats| stats.duplicates += 1);
            return self.tell_again(message);
        }
        self.on_symbol(id, message, view.kind, place, &plain);
    }

    fn on_symbol(
        &mut self,
        id: LinkId,
        message: MessageId,
        kind: Kind,
        place: Place,
        plain: &Bytes,
    ) {
        let Some(incoming) = self.inbox.get_mut(&message) else {
            return;
        };
        let Some(state) = incoming.parts.get_mut(&place.part) else {
            return self.count("fragment of no part");
        };
        let Some(geometry) = state.geometry else {
            return self.count("fragment of an inline part");
        };
        let slice_len = usize::from(geometry.coding.slice_len);
        let slices = plain.len() / slice_len;
        let fits = plain.len().is_multiple_of(slice_len)
            && slices > 0
            && usize::from(place.slice) + slices <= usize::from(geometry.coding.slices)
            && u32::from(place.block) < geometry.blocks()
            && place.symbol < geometry.symbols(place.block)
            && (kind == Kind::Wide) == geometry.is_wide();
        if !fits {
            return self.count("fragment out of range");
        }
        let mask = (((1u16 << slices) - 1) << place.slice) as u8;
        let taken = state.take(place.block, place.symbol, mask);
        let new = match taken {
            Taken::Surplus => {
                incoming.surplus_bytes += plain.len() as u64;
                self.link_counts(id, |stats| stats.duplicates += 1);
                return self.tell_again(message);
            }
            Taken::New(new) | Taken::Full(new) => new,
        };
        let in_block = usize::from(place.symbol) * geometry.coding.symbol_len()
            + usize::from(place.slice) * slice_len;
        let source = place.symbol < geometry.source_symbols(place.block);
        let bytes = if source {
            plain.slice(
                ..plain
                    .len()
                    .min(geometry.block_len(place.block).saturating_sub(in_block)),
            )
        } else {
            plain.clone()
        };
        let useful = (u64::from(new.count_ones()) * slice_len as u64).min(bytes.len() as u64);
        *state.first_seen.entry(id).or_default() += useful;
        if let Taken::Full(_) = taken
            && let Some(block) = state.blocks.get_mut(&place.block)
        {
            block.full_at = Some(self.writer.next_token());
        }
        let (file, offset) = if source {
            (
                incoming.file(FileKind::Incoming, place.part),
                geometry.block_offset(place.block) + in_block as u64,
            )
        } else {
            let slot = geometry.repair_offset(place.block, place.symbol);
            (
                incoming.file(FileKind::Repair, place.part),
                slot + (usize::from(place.slice) * slice_len) as u64,
            )
        };
        self.link_counts(id, |stats| stats.first_seen_bytes += useful);
        self.note_symbol(
            message,
            place,
            new,
            Record::Write {
                file,
                offset,
                bytes,
            },
            taken,
        );
    }

    fn note_symbol(
        &mut self,
        message: MessageId,
        place: Place,
        new: u8,
        write: Record,
        taken: Taken,
    ) {
        self.writer.cheap(self.now, write);
        self.notes
            .add(message, place.part, place.block, place.symbol, new);
        self.dirty.insert(message);
        self.want_sync(super::SYNC_INTERVAL);
        if let Taken::Full(_) = taken {
            self.solve_if_source(message, place.part, place.block);
            self.reading.insert(message);
        }
    }

    /// A block of which all source symbols came is solved without computing anything.
    fn solve_if_source(&mut self, message: MessageId, part: u8, block: u16) {
        let Some(state) = self
            .inbox
            .get_mut(&message)
            .and_then(|m| m.parts.get_mut(&part))
        else {
            return;
        };
        let Some(geometry) = state.geometry else {
            return;
        };
        let (k, full) = (geometry.source_symbols(block), geometry.coding.full_mask());
        if state
            .blocks
            .get(&block)
            .is_some_and(|b| b.has_source(k, full))
        {
            state.solve(block, self.writer.next_token());
        }
    }

    /// A fragment with a label that nothing is known of.
    fn on_unknown(&mut self, id: LinkId, frame: &Bytes, view: &View<'_>) {
        for (session, epoch, keys) in self.sessions.candidates(view) {
            let Ok((place, plain)) = keys.open(view) else {
                continue;
            };
            self.link_counts(id, |stats| stats.received_fragments += 1);
            return self.on_first(id, frame, session, epoch, keys, view.kind, place, &plain);
        }
        self.count("fragment of an unknown session");
        self.quarantine_bytes += frame.len();
        self.quarantine.push_back((id, frame.clone()));
        while self.quarantine_bytes > self.limits.quarantine_bytes {
            let Some((_, oldest)) = self.quarantine.pop_front() else {
                break;
            };
            self.quarantine_bytes -= oldest.len();
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "everything that the opening of one fragment has shown"
    )]
    fn on_first(
        &mut self,
        id: LinkId,
        frame: &Bytes,
        session: SessionId,
        epoch: Epoch,
        keys: MessageKeys,
        kind: Kind,
        place: Place,
        plain: &Bytes,
    ) {
        let Some((from, moved)) = self.sessions.verified(session, &epoch) else {
            return;
        };
        if let Some(record) = moved {
            self.writer.durable(record);
            self.want_sync(super::SYNC_INTERVAL);
        }
        self.heard.insert(from, self.now);
        if kind == Kind::Short {
            return self.on_manifest(from, &epoch, keys, plain);
        }
        if self.assembling.len() >= self.limits.inbox_messages {
            return self.count("too many manifests under way");
        }
        let label = keys.label();
        let assembly = Assembly {
            from,
            epoch,
            keys,
            len: 0,
            chunks: Vec::new(),
            early: Vec::new(),
        };
        self.assembling.insert(label, assembly);
        self.add_to_assembly(id, label, frame, place, plain);
    }

    fn on_assembling(&mut self, id: LinkId, frame: &Bytes, view: &View<'_>) {
        let Some(assembly) = self.assembling.get(&view.label) else {
            return;
        };
        let Ok((place, plain)) = assembly.keys.open(view) else {
            return self.count("fragment that does not authenticate");
        };
        self.link_counts(id, |stats| stats.received_fragments += 1);
        self.add_to_assembly(id, view.label, frame, place, &plain);
    }

    fn add_to_assembly(
        &mut self,
        id: LinkId,
        label: Label,
        frame: &Bytes,
        place: Place,
        plain: &Bytes,
    ) {
        let Some(assembly) = self.assembling.get_mut(&label) else {
            return;
        };
        if place.part != 0 {
            if self.early_bytes + frame.len() > self.limits.early_bytes {
                return self.count("fragment too long before its manifest");
            }
            self.early_bytes += frame.len();
            return assembly.early.push((id, frame.clone()));
        }
        let Ok(chunk) = ManifestChunk::decode(plain) else {
            return self.count("malformed manifest chunk");
        };
        if usize::from(chunk.manifest_len) > self.limits.manifest_bytes
            || !assembly.add(&chunk, place.symbol)
        {
            return self.count("malformed manifest chunk");
        }
        let Some(bytes) = assembly.whole() else {
            return;
        };
        let Some(assembly) = self.assembling.remove(&label) else {
            return;
        };
        self.on_manifest(assembly.from, &assembly.epoch, assembly.keys, &bytes);
        for (link, frame) in assembly.early {
            self.early_bytes -= frame.len();
            self.on_fragment(link, frame);
        }
    }

    /// A manifest is whole and authentic.
    fn on_manifest(&mut self, from: PersonId, epoch: &Epoch, keys: MessageKeys, bytes: &[u8]) {
        let Ok(manifest) = Manifest::decode(bytes) else {
            return self.count("malformed manifest");
        };
        let id = manifest.message_id(from, self.me.person());
        if epoch.label(id) != keys.label() {
            return self.count("manifest under another label");
        }
        if let Some((code, content)) = manifest.control() {
            let content = content.clone();
            return self.on_control(from, code, &content);
        }
        if self.ledger.get(&id).is_some() {
            self.routes.insert(keys.label(), Route::Done(id));
            return self.answer_late_copy(id);
        }
        let label = keys.label();
        if let Some(known) = self.inbox.get_mut(&id) {
            if let Some(oldest) = known.add_keys(keys) {
                self.routes.remove(&oldest);
            }
            self.routes.insert(label, Route::Incoming(id));
            self.dirty.insert(id);
            return self.tell_again(id);
        }
        self.begin(id, from, manifest, keys);
    }

    fn begin(&mut self, id: MessageId, from: PersonId, manifest: Manifest, keys: MessageKeys) {
        let total: u64 = manifest
            .parts
            .iter()
            .map(|p| p.body.len())
            .fold(0, u64::saturating_add);
        let largest = manifest
            .parts
            .iter()
            .map(|p| p.body.len())
            .max()
            .unwrap_or(0);
        if self.inbox.len() >= self.limits.inbox_messages {
            return self.count("too many messages arriving");
        }
        if total > self.limits.message_bytes || largest > self.limits.part_bytes {
            return self.count("manifest claims too much");
        }
        self.routes.insert(keys.label(), Route::Incoming(id));
        let message = Incoming::new(id, from, manifest, keys, self.now);
        message
            .creates()
            .into_iter()
            .for_each(|record| self.writer.durable(record));
        self.inbox.insert(id, message);
        self.reports.insert(id, Reporting::new(from, self.now));
        self.dirty.insert(id);
        self.event(Event::Arriving { message: id, from });
        self.want_sync(Duration::ZERO);
    }

    fn on_control(&mut self, from: PersonId, code: u8, content: &Bytes) {
        match manifest::control_name(code) {
            Some(manifest::REPORT) => self.on_report(from, content),
            Some(manifest::SESSION_ACK) => self.on_session_ack(from, content),
            _ => self.count("unknown control record"),
        }
    }

    fn on_session_ack(&mut self, from: PersonId, content: &[u8]) {
        let Ok(id) = SessionId::try_from(content) else {
            return self.count("malformed control record");
        };
        if let Some(record) = self.sessions.confirm(from, Some(id)) {
            self.writer.durable(record);
            self.want_sync(Duration::from_secs(1));
        }
    }

    /// A message that is not wanted any more: nothing of it is kept but its name.
    pub(super) fn refuse(&mut self, id: MessageId, event: Event) {
        let Some(message) = self.inbox.remove(&id) else {
            return;
        };
        for part in message.parts.keys() {
            self.writer.durable(Record::Remove {
                file: message.file(FileKind::Incoming, *part),
            });
        }
        self.close(&message, true);
        self.event(event);
    }

    /// A message leaves the inbox for the ledger.
    pub(super) fn close(&mut self, message: &Incoming, unwanted: bool) {
        let id = message.id;
        self.reading.remove(&id);
        message
            .deletes()
            .into_iter()
            .for_each(|record| self.writer.durable(record));
        for part in message.parts.keys() {
            self.writer.durable(Record::Remove {
                file: message.file(FileKind::Repair, *part),
            });
        }
        let labels: Vec<Label> = message.keys.iter().map(MessageKeys::label).collect();
        self.routes
            .extend(labels.iter().map(|label| (*label, Route::Done(id))));
        let (records, forgotten) =
            self.ledger
                .add(id, message.from, labels, unwanted, self.limits.ledger);
        records
            .into_iter()
            .for_each(|record| self.writer.durable(record));
        forgotten.iter().for_each(|label| {
            self.routes.remove(label);
        });
        self.dirty.insert(id);
        self.offered.retain(|(message, _)| *message != id);
        self.want_sync(Duration::ZERO);
    }
}

impl Assembly {
    /// Adds a chunk; false if it does not fit the others.
    fn add(&mut self, chunk: &ManifestChunk<'_>, symbol: u16) -> bool {
        let len = usize::from(chunk.manifest_len);
        let (n, parity) = (ManifestChunk::count(len), ManifestChunk::parity(len));
        if self.len == 0 {
            self.len = chunk.manifest_len;
            self.chunks = vec![None; n + parity];
        }
        let index = usize::from(symbol);
        let last = len - (n - 1) * ManifestChunk::SIZE;
        let expected = if index + 1 == n {
            last
        } else {
            ManifestChunk::SIZE
        };
        let fits = self.len == chunk.manifest_len && chunk.bytes.len() == expected;
        match self.chunks.get_mut(index) {
            Some(slot) if fits => {
                *slot = Some(Bytes::copy_from_slice(chunk.bytes));
                true
            }
            _ => false,
        }
    }

    /// The manifest, once enough chunks are here.
    fn whole(&self) -> Option<Vec<u8>> {
        let len = usize::from(self.len);
        let n = ManifestChunk::count(len);
        let (source, parity) = self.chunks.split_at_checked(n)?;
        if self.chunks.iter().flatten().count() < n {
            return None;
        }
        if source.iter().all(Option::is_some) {
            return Some(
                source
                    .iter()
                    .flatten()
                    .flat_map(|chunk| chunk.iter().copied())
                    .collect(),
            );
        }
        let flat = |chunks: &[Option<Bytes>]| {
            let mut out = vec![0; chunks.len() * ManifestChunk::SIZE];
            for (slot, chunk) in out.chunks_mut(ManifestChunk::SIZE).zip(chunks) {
                if let Some(chunk) = chunk {
                    slot[..chunk.len()].copy_from_slice(chunk);
                }
            }
            Bytes::from(out)
        };
        let coding = manifest_coding(len);
        let held = self
            .chunks
            .iter()
            .map(|chunk| u8::from(chunk.is_some()))
            .collect();
        let job = coding::Job::Decode {
            coding,
            k: n as u16,
            source: flat(source),
            repair: flat(parity),
            held,
        };
        let coding::Done::Decoded(block) = job.run() else {
            return None;
        };
        Some(block.get(..len)?.to_vec())
    }
}

/// Bytes that a control record in a frame of `room` bytes can have.
pub fn control_room(room: usize) -> usize {
    room.saturating_sub(NARROW_OVERHEAD + manifest::SHORT_OVERHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preambles_are_limited_by_the_clock_that_inputs_set() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::new(1, &clock);
        assert!(limiter.allows());
        assert!(!limiter.allows());
        clock.advance(Duration::from_secs(1));
        assert!(limiter.allows());
    }
}

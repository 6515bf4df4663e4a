//! A symbol, or some slices of one, came for a message whose manifest is here.

use super::full::Slices;
use super::geometry::Geometry;
use super::incoming::Taken;
use super::io::{FileId, FileKind, LinkId, Record};
use super::writer::room_of;
use super::{Engine, MessageId};
use crate::wire::fragment::{Kind, Place};
use bytes::Bytes;

impl Engine {
    pub(super) fn on_symbol(
        &mut self,
        id: LinkId,
        message: MessageId,
        kind: Kind,
        place: Place,
        plain: Bytes,
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
        let came = plain.len();
        let slices = came / slice_len;
        // Without the one, half slices are taken; without the other, the first block takes what was sealed for any.
        let whole = came.is_multiple_of(slice_len) || cfg!(feature = "break-03");
        let of_kind = (kind == Kind::Wide) == geometry.is_wide() || cfg!(feature = "break-02");
        let fits = whole
            && slices > 0
            && usize::from(place.slice) + slices <= usize::from(geometry.coding.slices)
            && u32::from(place.block) < geometry.blocks()
            && place.symbol < geometry.symbols(place.block)
            && of_kind;
        if !fits {
            return self.count("fragment out of range");
        }
        let mask = (((1u16 << slices) - 1) << place.slice) as u8;
        let (write, len) = write_of(&geometry, message, &place, plain);
        let over = state.complete || state.is_solved(place.block);
        let first = state.first_unsolved() == u32::from(place.block);
        let loose = room_of(&write);
        if loose > 0 && !over && !self.writer.has_room(loose, first) {
            return self.count("no room on the disk for a repair symbol");
        }
        let taken = state.take(place.block, place.symbol, mask);
        let new = match taken {
            Taken::Surplus => {
                incoming.surplus_bytes += came as u64;
                self.link_counts(id, |stats| stats.duplicates += 1);
                return self.tell_again(message);
            }
            Taken::New(new) | Taken::Full(new) => new,
        };
        let useful = (u64::from(new.count_ones()) * slice_len as u64).min(len as u64);
        *state.first_seen.entry(id).or_default() += useful;
        if let Taken::Full(_) = taken
            && let Some(block) = state.blocks.get_mut(&place.block)
        {
            block.full_at = Some(self.writer.next_token());
        }
        self.link_counts(id, |stats| stats.first_seen_bytes += useful);
        self.note_symbol(message, place, new, write, taken);
    }

    fn note_symbol(
        &mut self,
        message: MessageId,
        place: Place,
        new: u8,
        write: Record,
        taken: Taken,
    ) {
        if matches!(&write, Record::Write { file, .. } if file.kind == FileKind::Repair) {
            self.repairs.push_back(Slices {
                at: self.writer.next_token(),
                message,
                part: place.part,
                block: place.block,
                symbol: place.symbol,
                mask: new,
            });
        }
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
            let repair = state.solve(block, self.writer.next_token());
            self.vacate(message, part, repair);
        }
    }
}

/// Slices of a symbol go to their place in the part, or among its repair symbols. Gives how many bytes that are.
fn write_of(
    geometry: &Geometry,
    message: MessageId,
    place: &Place,
    mut plain: Bytes,
) -> (Record, usize) {
    let in_symbol = usize::from(place.slice) * usize::from(geometry.coding.slice_len);
    let (kind, offset) = if place.symbol < geometry.source_symbols(place.block) {
        let in_block = usize::from(place.symbol) * geometry.coding.symbol_len() + in_symbol;
        // The last symbol of a part is padded, and slices of nothing but padding would lie behind the end of the file.
        let in_file = in_block.min(geometry.block_len(place.block));
        plain.truncate(geometry.block_len(place.block) - in_file);
        let offset = geometry.block_offset(place.block) + in_file as u64;
        (FileKind::Incoming, offset)
    } else {
        let slot = geometry.repair_offset(place.block, place.symbol);
        (FileKind::Repair, slot + in_symbol as u64)
    };
    let part = place.part;
    let file = FileId {
        kind,
        message,
        part,
    };
    let len = plain.len();
    let bytes = plain;
    let write = Record::Write {
        file,
        offset,
        bytes,
    };
    (write, len)
}

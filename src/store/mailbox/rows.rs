//! The tables of a mailbox store, and what has to change in several of them at once.

use super::readers::{self, Marks};
use super::{CLASSES, Tag, Totals};
use crate::engine::message::Priority;
use crate::wire::envelope::Envelope;
use crate::wire::{FrameKind, frame_kind, preamble};
use ostrakon_transports::relay::Place;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

/// By tag, class and number: the second in which it came, and the frame.
pub(super) const FRAMES: TableDefinition<(&Tag, u8, u64), (u64, &[u8])> =
    TableDefinition::new("frames");
/// By tag and the first half of the BLAKE3 hash of what the envelope holds: its number.
pub(super) const HASHES: TableDefinition<(&Tag, &[u8; 16]), u64> = TableDefinition::new("hashes");
/// By second and number: tag and class.
pub(super) const AGES: TableDefinition<(u64, u64), (&Tag, u8)> = TableDefinition::new("ages");
/// By tag: frames and what they count for in bytes. No row for a tag without frames.
pub(super) const TAGS: TableDefinition<&Tag, (u64, u64)> = TableDefinition::new("tags");
/// By name: what the relay's operator has set.
pub(super) const SETTINGS: TableDefinition<&str, &[u8]> = TableDefinition::new("settings");

/// The class of what has no envelope.
const LAST_CLASS: u8 = CLASSES as u8 - 1;

/// What the envelope of a frame says, and what makes two frames the same: all but the envelope, whose age and hops
/// differ from copy to copy.
pub(super) struct Carried {
    pub(super) hash: [u8; 16],
    pub(super) hops: u8,
    pub(super) class: u8,
    /// A preamble, which its sender repeats on purpose.
    pub(super) repeats: bool,
}

impl Carried {
    pub(super) fn of(frame: &[u8]) -> Self {
        let (class, hops, inner) = match Envelope::unwrap(frame) {
            Ok((envelope, inner)) => {
                let class = Priority::from_code(envelope.priority).code();
                (class, envelope.hops, inner)
            }
            Err(_) => (LAST_CLASS, 0, frame),
        };
        let mut hash = [0; 16];
        hash.copy_from_slice(&blake3::hash(inner).as_bytes()[..16]);
        let repeats =
            matches!(frame_kind(inner), FrameKind::Escape(ext) if preamble::is_extension(ext));
        Self {
            hash,
            hops,
            class,
            repeats,
        }
    }
}

/// Makes the tables, so that readers find them.
pub(super) fn prepare(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(FRAMES)?;
    txn.open_table(HASHES)?;
    txn.open_table(AGES)?;
    txn.open_table(TAGS)?;
    txn.open_table(SETTINGS)?;
    readers::prepare(txn)?;
    super::seen::prepare(txn)?;
    super::spent::prepare(txn)
}

/// Those of the tags of which something is held, each once.
pub(super) fn held(txn: &ReadTransaction, tags: &[Tag]) -> Result<Vec<Tag>, redb::Error> {
    let mut tags = tags.to_vec();
    tags.sort_unstable();
    tags.dedup();
    let table = txn.open_table(TAGS)?;
    let mut held = Vec::new();
    for tag in tags {
        if table.get(&tag)?.is_some() {
            held.push(tag);
        }
    }
    Ok(held)
}

/// Adds number, tag and length of the frames with this tag and class after `after` that a reader has not released, until they
/// exceed `max_bytes`. Gives the number of the last one that was looked at.
pub(super) fn find<'a>(
    table: &redb::ReadOnlyTable<(&Tag, u8, u64), (u64, &[u8])>,
    marks: Option<&Marks<'_>>,
    (tag, class, after): (&'a Tag, u8, u64),
    max_bytes: usize,
    found: &mut Vec<(u64, &'a Tag, usize)>,
) -> Result<u64, redb::Error> {
    let (mut sum, mut last) = (0_usize, after);
    let Some(from) = after.checked_add(1) else {
        return Ok(last);
    };
    for row in table.range((tag, class, from)..=(tag, class, u64::MAX))? {
        let (key, value) = row?;
        last = key.value().2;
        if marks.map_or(Ok(false), |marks| marks.has(last))? {
            continue;
        }
        let len = value.value().1.len();
        found.push((last, tag, len));
        sum = sum.saturating_add(len);
        if sum > max_bytes {
            break;
        }
    }
    Ok(last)
}

/// Deletes a frame from all tables, and returns it if it was there.
pub(super) fn drop_one(
    txn: &WriteTransaction,
    totals: &mut Totals,
    place: &Place,
) -> Result<Option<Carried>, redb::Error> {
    let Place { tag, class, number } = place;
    let mut frames = txn.open_table(FRAMES)?;
    let Some(row) = frames.remove((tag, *class, *number))? else {
        return Ok(None);
    };
    readers::forget(txn, *number)?;
    let (second, frame) = row.value();
    let cost = Totals::of(frame.len());
    let carried = Carried::of(frame);
    txn.open_table(HASHES)?.remove((tag, &carried.hash))?;
    txn.open_table(AGES)?.remove((second, *number))?;
    let left = tag_totals(txn, tag)?.minus(cost);
    let mut tags = txn.open_table(TAGS)?;
    if left.frames == 0 {
        tags.remove(tag)?;
    } else {
        tags.insert(tag, (left.frames, left.bytes))?;
    }
    *totals = totals.minus(cost);
    Ok(Some(carried))
}

/// Has a frame count as come in another second.
pub(super) fn restamp(
    txn: &WriteTransaction,
    place: &Place,
    from: u64,
    to: u64,
) -> Result<(), redb::Error> {
    let Place { tag, class, number } = place;
    let mut frames = txn.open_table(FRAMES)?;
    let frame = match frames.get((tag, *class, *number))? {
        Some(row) => row.value().1.to_vec(),
        None => return Ok(()),
    };
    frames.insert((tag, *class, *number), (to, frame.as_slice()))?;
    let mut ages = txn.open_table(AGES)?;
    ages.remove((from, *number))?;
    ages.insert((to, *number), (tag, *class))?;
    Ok(())
}

/// What is held with this tag.
pub(super) fn tag_totals(txn: &WriteTransaction, tag: &Tag) -> Result<Totals, redb::Error> {
    let table = txn.open_table(TAGS)?;
    let row = table.get(tag)?;
    Ok(row.map_or_else(Totals::default, |row| Totals {
        frames: row.value().0,
        bytes: row.value().1,
    }))
}

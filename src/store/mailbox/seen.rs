//! Frames that were passed on: what ends loops, and second copies that came another way.
//!
//! A frame that its sender sends again, because it was lost further on, is the same bytes and has to get through. So
//! a copy is dropped only while that is the better guess: within [`REPEAT_S`] of the first, when nobody can have
//! missed it yet, or within [`DETOUR_S`] if it has fewer hops left than the first had, for then it came by a longer
//! way, such as a loop. A loop that takes longer than that ends when no hops are left.
//!
//! A preamble is never remembered. It is the same bytes each time, repeated on purpose: what comes behind it is of no
//! use to an owner without one that arrives, and the first may be lost further on. Its hops alone end a loop.

use super::rows::Carried;
use crate::store::db::next;
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

/// How long any copy of a frame is dropped, in seconds. Senders wait for ten minutes at least before they offer again
/// what they gave to a relay.
pub(super) const REPEAT_S: u64 = 600;
/// How long a copy that came by a longer way is dropped, in seconds.
pub(super) const DETOUR_S: u64 = 24 * 3600;

/// By the first half of the BLAKE3 hash of what the envelope held: the second in which it was passed on, the hops it
/// had left, and its number in `SEEN_ORDER`.
const SEEN: TableDefinition<&[u8; 16], (u64, u8, u64)> = TableDefinition::new("seen");
/// The same, the oldest first.
const SEEN_ORDER: TableDefinition<u64, &[u8; 16]> = TableDefinition::new("seen_order");

pub(super) fn prepare(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(SEEN)?;
    txn.open_table(SEEN_ORDER)?;
    Ok(())
}

/// Whether a frame is a copy to be dropped.
pub(super) fn is_seen(
    txn: &WriteTransaction,
    now_s: u64,
    frame: &Carried,
) -> Result<bool, redb::Error> {
    if frame.repeats {
        return Ok(false);
    }
    let table = txn.open_table(SEEN)?;
    let row = table.get(&frame.hash)?;
    Ok(row.is_some_and(|row| {
        let (second, hops, _) = row.value();
        let ago = now_s.saturating_sub(second);
        ago < REPEAT_S || (ago < DETOUR_S && frame.hops < hops)
    }))
}

/// Remembers a frame that is passed on, if copies of it are to be dropped, and forgets the oldest beyond `max`.
pub(super) fn remember(
    txn: &WriteTransaction,
    now_s: u64,
    frame: &Carried,
    max: u64,
) -> Result<(), redb::Error> {
    if frame.repeats {
        return Ok(());
    }
    let (mut seen, mut order) = (txn.open_table(SEEN)?, txn.open_table(SEEN_ORDER)?);
    let number = next(txn, "seen")?;
    let old = seen.insert(&frame.hash, (now_s, frame.hops, number))?;
    if let Some(former) = old.map(|row| row.value().2) {
        order.remove(former)?;
    }
    order.insert(number, &frame.hash)?;
    while order.len()? > max {
        let Some((_, hash)) = order.pop_first()? else {
            break;
        };
        seen.remove(hash.value())?;
    }
    Ok(())
}

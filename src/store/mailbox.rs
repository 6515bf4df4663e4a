//! A relay's mailboxes: opaque frames by tag, numbered, until fetched and deleted or too old.
//!
//! A relay cannot know whom a tag belongs to nor what a frame holds. What strangers can make it keep is bounded:
//! in all, per tag in frames and bytes, and in time. A frame counts as its length plus [`FRAME_COST`], which is
//! about what its rows in the indexes take, so that many small frames cannot take more room than few large ones.

use super::db::{Db, next};
use super::error::OpenError;
use super::lock::{Lock, make_dir};
use crate::engine::io::StoreError;
use crate::wire::envelope::Envelope;
use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// The format of a mailbox store that this program reads and writes.
pub const FORMAT: u64 = 1;
/// What a frame counts for beyond its length, in bytes.
pub const FRAME_COST: u64 = 128;

/// The mailbox tag of a carrier envelope.
pub type Tag = [u8; 8];

/// By tag and number: the second in which it came, and the frame.
const FRAMES: TableDefinition<(&Tag, u64), (u64, &[u8])> = TableDefinition::new("frames");
/// By tag and the first half of the BLAKE3 hash of what the envelope holds: its number.
const HASHES: TableDefinition<(&Tag, &[u8; 16]), u64> = TableDefinition::new("hashes");
/// By second and number: the tag.
const AGES: TableDefinition<(u64, u64), &Tag> = TableDefinition::new("ages");
/// By tag: frames and what they count for in bytes. No row for a tag without frames.
const TAGS: TableDefinition<&Tag, (u64, u64)> = TableDefinition::new("tags");

/// Bounds of a mailbox store. Bytes are counted as the head of [`crate::store::mailbox`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxLimits {
    /// Bytes in all.
    pub max_bytes: u64,
    /// Frames with one tag.
    pub max_frames_per_tag: u64,
    /// Bytes with one tag.
    pub max_bytes_per_tag: u64,
    /// How long a frame is kept.
    pub max_age: Duration,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored under this number, which rises over all tags and is never used twice.
    Stored(u64),
    /// [`MailboxLimits::max_bytes`] is reached.
    Full,
    /// A bound for this tag is reached.
    TagFull,
    /// The very same bytes, the envelope aside, are stored with this tag already.
    Duplicate,
}

/// A stored frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFrame {
    /// Its number.
    pub number: u64,
    /// Its tag.
    pub tag: Tag,
    /// The second in which it came.
    pub since_s: u64,
    /// Its bytes.
    pub frame: Bytes,
}

/// Frames and bytes held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames.
    pub frames: u64,
    /// What they count for, in bytes.
    pub bytes: u64,
}

impl Totals {
    fn of(len: usize) -> Self {
        Self {
            frames: 1,
            bytes: FRAME_COST + len as u64,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            frames: self.frames + other.frames,
            bytes: self.bytes + other.bytes,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            frames: self.frames.saturating_sub(other.frames),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// The mailboxes of a relay. Calls block; any thread may make them.
pub struct MailboxStore {
    db: Db,
    limits: MailboxLimits,
    /// As of the last commit; `None` after a failed one, until counted anew.
    totals: Mutex<Option<Totals>>,
    _lock: Lock,
}

impl MailboxStore {
    /// Opens the mailboxes in `dir`, or makes them there. Reads all of them once to check for damage.
    ///
    /// # Errors
    /// [`OpenError`]: in use by another process, of another format, damaged, or the disk fails.
    pub fn open(dir: &Path, limits: MailboxLimits) -> Result<Self, OpenError> {
        make_dir(dir)?;
        let lock = Lock::take(dir)?;
        let db = Db::open(&dir.join("mailbox.redb"), FORMAT)?;
        db.write(|txn| {
            txn.open_table(FRAMES)?;
            txn.open_table(HASHES)?;
            txn.open_table(AGES)?;
            txn.open_table(TAGS)?;
            Ok(())
        })
        .map_err(super::in_open(db.path()))?;
        let store = Self {
            limits,
            totals: Mutex::new(None),
            _lock: lock,
            db,
        };
        store.totals().map_err(super::in_open(store.db.path()))?;
        Ok(store)
    }

    /// Stores frames that came in the second `now_s`, all in one durable commit, and says of each, in order, what
    /// became of it.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; none of them is stored then.
    pub fn store(&self, now_s: u64, frames: &[(Tag, Bytes)]) -> Result<Vec<Verdict>, StoreError> {
        self.change(|txn, totals| {
            let mut verdicts = Vec::with_capacity(frames.len());
            for (tag, frame) in frames {
                verdicts.push(self.store_one(txn, totals, now_s, tag, frame)?);
            }
            Ok(verdicts)
        })
    }

    /// Frames with any of these tags and a number greater than `after`, in the order of their numbers, as many as
    /// fit in `max_bytes` (without [`FRAME_COST`]), but one at least if there is one.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn fetch(
        &self,
        tags: &[Tag],
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<StoredFrame>, StoreError> {
        let mut tags = tags.to_vec();
        tags.sort_unstable();
        tags.dedup();
        self.db.read(|txn| {
            let mut found = Vec::new();
            for tag in &tags {
                find(txn, tag, after, max_bytes, &mut found)?;
            }
            found.sort_unstable();
            let table = txn.open_table(FRAMES)?;
            let mut sum = 0_usize;
            let mut out = Vec::new();
            for (number, tag, len) in found {
                // Nothing after the first that does not fit: `find` has left out what comes later.
                sum = sum.saturating_add(len);
                if sum > max_bytes && !out.is_empty() {
                    break;
                }
                if let Some(row) = table.get((tag, number))? {
                    let (since_s, frame) = row.value();
                    out.push(StoredFrame {
                        number,
                        tag: *tag,
                        since_s,
                        frame: Bytes::copy_from_slice(frame),
                    });
                }
            }
            Ok(out)
        })
    }

    /// Deletes the frames with any of these tags and a number up to `upto`, durably. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; none is deleted then.
    pub fn delete(&self, tags: &[Tag], upto: u64) -> Result<u64, StoreError> {
        self.change(|txn, totals| {
            let before = totals.frames;
            for tag in tags {
                let rows = txn.open_table(FRAMES)?;
                let numbers = rows
                    .range((tag, 0)..=(tag, upto))?
                    .map(|row| Ok(row?.0.value().1))
                    .collect::<Result<Vec<u64>, redb::Error>>()?;
                drop(rows);
                for number in numbers {
                    drop_one(txn, totals, tag, number)?;
                }
            }
            Ok(before - totals.frames)
        })
    }

    /// Deletes the frames that are older than [`MailboxLimits::max_age`] in the second `now_s`, durably. Frames
    /// from the future, which only a clock set back can leave, count as of now. Returns how many were deleted.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; none is deleted then.
    pub fn expire(&self, now_s: u64) -> Result<u64, StoreError> {
        let oldest = now_s.saturating_sub(self.limits.max_age.as_secs());
        let (old, future) = self.db.read(|txn| {
            let ages = txn.open_table(AGES)?;
            let collect = |range: redb::Range<'_, (u64, u64), &Tag>| {
                range
                    .map(|row| row.map(|(key, tag)| (key.value(), *tag.value())))
                    .collect::<Result<Vec<_>, _>>()
            };
            let future = match now_s.checked_add(1) {
                Some(next) => collect(ages.range((next, 0)..)?)?,
                None => Vec::new(),
            };
            Ok((collect(ages.range(..(oldest, 0))?)?, future))
        })?;
        if old.is_empty() && future.is_empty() {
            return Ok(0);
        }
        self.change(|txn, totals| {
            let before = totals.frames;
            for ((_, number), tag) in &old {
                drop_one(txn, totals, tag, *number)?;
            }
            for ((second, number), tag) in &future {
                restamp(txn, tag, *number, *second, now_s)?;
            }
            Ok(before - totals.frames)
        })
    }

    /// What is held now.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn totals(&self) -> Result<Totals, StoreError> {
        self.counted(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Totals>> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, kept: &mut Option<Totals>) -> Result<Totals, StoreError> {
        if let Some(totals) = *kept {
            return Ok(totals);
        }
        let totals = self.db.read(|txn| {
            let mut totals = Totals::default();
            for row in txn.open_table(TAGS)?.iter()? {
                let (frames, bytes) = row?.1.value();
                totals = totals.plus(Totals { frames, bytes });
            }
            Ok(totals)
        })?;
        *kept = Some(totals);
        Ok(totals)
    }

    /// Runs a transaction that keeps the totals.
    fn change<T>(
        &self,
        work: impl FnOnce(&WriteTransaction, &mut Totals) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut kept = self.lock();
        let mut totals = self.counted(&mut kept)?;
        *kept = None;
        let value = self.db.write(|txn| work(txn, &mut totals))?;
        *kept = Some(totals);
        Ok(value)
    }

    fn store_one(
        &self,
        txn: &WriteTransaction,
        totals: &mut Totals,
        now_s: u64,
        tag: &Tag,
        frame: &Bytes,
    ) -> Result<Verdict, redb::Error> {
        let hash = half_hash(frame);
        let mut hashes = txn.open_table(HASHES)?;
        if hashes.get((tag, &hash))?.is_some() {
            return Ok(Verdict::Duplicate);
        }
        let cost = Totals::of(frame.len());
        let after = totals.plus(cost);
        if after.bytes > self.limits.max_bytes {
            return Ok(Verdict::Full);
        }
        let tag_after = tag_totals(txn, tag)?.plus(cost);
        if tag_after.frames > self.limits.max_frames_per_tag
            || tag_after.bytes > self.limits.max_bytes_per_tag
        {
            return Ok(Verdict::TagFull);
        }
        let number = next(txn, "number")?;
        txn.open_table(FRAMES)?
            .insert((tag, number), (now_s, frame.as_ref()))?;
        hashes.insert((tag, &hash), number)?;
        txn.open_table(AGES)?.insert((now_s, number), tag)?;
        txn.open_table(TAGS)?
            .insert(tag, (tag_after.frames, tag_after.bytes))?;
        *totals = after;
        Ok(Verdict::Stored(number))
    }
}

/// Adds number, tag and length of the frames with this tag after `after`, until they exceed `max_bytes`.
fn find<'a>(
    txn: &ReadTransaction,
    tag: &'a Tag,
    after: u64,
    max_bytes: usize,
    found: &mut Vec<(u64, &'a Tag, usize)>,
) -> Result<(), redb::Error> {
    let Some(from) = after.checked_add(1) else {
        return Ok(());
    };
    let mut sum = 0_usize;
    for row in txn
        .open_table(FRAMES)?
        .range((tag, from)..=(tag, u64::MAX))?
    {
        let (key, value) = row?;
        let len = value.value().1.len();
        found.push((key.value().1, tag, len));
        sum = sum.saturating_add(len);
        if sum > max_bytes {
            break;
        }
    }
    Ok(())
}

/// Deletes a frame from all tables, if it is there.
fn drop_one(
    txn: &WriteTransaction,
    totals: &mut Totals,
    tag: &Tag,
    number: u64,
) -> Result<(), redb::Error> {
    let mut frames = txn.open_table(FRAMES)?;
    let Some(row) = frames.remove((tag, number))? else {
        return Ok(());
    };
    let (second, frame) = row.value();
    let cost = Totals::of(frame.len());
    txn.open_table(HASHES)?.remove((tag, &half_hash(frame)))?;
    txn.open_table(AGES)?.remove((second, number))?;
    let left = tag_totals(txn, tag)?.minus(cost);
    let mut tags = txn.open_table(TAGS)?;
    if left.frames == 0 {
        tags.remove(tag)?;
    } else {
        tags.insert(tag, (left.frames, left.bytes))?;
    }
    *totals = totals.minus(cost);
    Ok(())
}

fn restamp(
    txn: &WriteTransaction,
    tag: &Tag,
    number: u64,
    from: u64,
    to: u64,
) -> Result<(), redb::Error> {
    let mut frames = txn.open_table(FRAMES)?;
    let frame = match frames.get((tag, number))? {
        Some(row) => row.value().1.to_vec(),
        None => return Ok(()),
    };
    frames.insert((tag, number), (to, frame.as_slice()))?;
    let mut ages = txn.open_table(AGES)?;
    ages.remove((from, number))?;
    ages.insert((to, number), tag)?;
    Ok(())
}

fn tag_totals(txn: &WriteTransaction, tag: &Tag) -> Result<Totals, redb::Error> {
    let table = txn.open_table(TAGS)?;
    let row = table.get(tag)?;
    Ok(row.map_or_else(Totals::default, |row| Totals {
        frames: row.value().0,
        bytes: row.value().1,
    }))
}

/// What makes two frames the same: all but the envelope, whose age and hops differ from copy to copy.
fn half_hash(frame: &[u8]) -> [u8; 16] {
    let inner = Envelope::unwrap(frame).map_or(frame, |(_, inner)| inner);
    let mut out = [0; 16];
    out.copy_from_slice(&blake3::hash(inner).as_bytes()[..16]);
    out
}

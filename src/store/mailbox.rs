//! A relay's mailboxes: opaque frames by tag, numbered, until fetched and deleted, passed on, or too old.
//!
//! A relay cannot know whom a tag belongs to nor what a frame holds. What strangers can make it keep is bounded:
//! in all, per tag in frames and bytes, and in time. A frame counts as its length plus [`FRAME_COST`], which is
//! about what its rows in the indexes take, so that many small frames cannot take more room than few large ones.
//!
//! Frames are handed over by their class, which is the priority in the envelope, and within a class in the order in
//! which they came. Those that were passed on to another relay are remembered for a while, see `mailbox/seen.rs`, so that a
//! loop ends; but for preambles, which are repeated on purpose.

use super::db::{Db, counter, next};
use super::error::OpenError;
use super::lock::{Lock, make_dir};
use crate::engine::io::StoreError;
use crate::security::grant::Grant;
use crate::security::spending::Row;
use crate::wire::envelope;
use bytes::Bytes;
use ostrakon_transports::relay::{CLASSES, Cursor, MailboxTag as Tag, Place, Reader};
use readers::Marks;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use rows::{AGES, FRAMES, HASHES, SETTINGS, TAGS};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod readers;
mod rows;
mod seen;
mod spent;
#[cfg(test)]
mod tests;

/// The format of a mailbox store that this program reads and writes.
pub const FORMAT: u64 = 2;
/// What a frame counts for beyond its length, in bytes.
pub const FRAME_COST: u64 = 128;

/// Numbers that one run of a relay may hand frames over under, as a power of two.
const RUN_BITS: u32 = 40;

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
    /// Frames that were passed on and are remembered.
    pub max_seen: u64,
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
    /// The very same bytes, the envelope aside, were passed on already: a loop, or another way.
    Seen,
    /// None of the grants that were to pay for it has enough left.
    NotGranted,
}

/// A frame to be stored.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The tag of its mailbox.
    pub tag: Tag,
    /// Its bytes.
    pub frame: Bytes,
    /// Grants of which the first that has enough left pays for it; a frame that nobody has to pay for has no such list.
    pub grants: Option<Vec<Arc<Grant>>>,
}

/// A stored frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFrame {
    /// Where it is kept.
    pub place: Place,
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

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
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

fn fetch(
    txn: &ReadTransaction,
    marks: Option<&Marks<'_>>,
    tags: &[Tag],
    after: &Cursor,
    max_bytes: usize,
) -> Result<(Vec<StoredFrame>, Cursor), redb::Error> {
    let tags = rows::held(txn, tags)?;
    let table = txn.open_table(FRAMES)?;
    let (mut out, mut sum, mut upto) = (Vec::new(), 0_usize, *after);
    for (class, after) in (0..).zip(after.0) {
        let (mut found, mut last) = (Vec::new(), after);
        for tag in &tags {
            let room = max_bytes.saturating_sub(sum);
            let looked = rows::find(&table, marks, (tag, class, after), room, &mut found)?;
            last = last.max(looked);
        }
        if found.is_empty()
            && let Some(upto) = upto.0.get_mut(usize::from(class))
        {
            *upto = last;
        }
        found.sort_unstable();
        for (number, tag, len) in found {
            // Nothing after the first that does not fit: `find` has left out what comes later.
            sum = sum.saturating_add(len);
            if sum > max_bytes && !out.is_empty() {
                return Ok((out, upto));
            }
            if let Some(row) = table.get((tag, class, number))? {
                let (since_s, frame) = row.value();
                let place = Place {
                    tag: *tag,
                    class,
                    number,
                };
                let frame = Bytes::copy_from_slice(frame);
                out.push(StoredFrame {
                    place,
                    since_s,
                    frame,
                });
            }
        }
    }
    Ok((out, upto))
}

/// The mailboxes of a relay. Calls block; any thread may make them.
pub struct MailboxStore {
    db: Db,
    limits: MailboxLimits,
    /// As of the last commit; `None` after a failed one, until counted anew.
    totals: Mutex<Option<Totals>>,
    /// Why the last call failed; nothing once something was written again.
    trouble: Mutex<Option<StoreError>>,
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
        let db = Db::open(&dir.join("mailbox.redb"), FORMAT..=FORMAT, None)?;
        db.write(|txn| {
            rows::prepare(txn)?;
            next(txn, "run")
        })
        .map_err(super::in_open(db.path()))?;
        let store = Self {
            limits,
            totals: Mutex::new(None),
            trouble: Mutex::new(None),
            _lock: lock,
            db,
        };
        store.totals().map_err(super::in_open(store.db.path()))?;
        Ok(store)
    }

    /// The first number under which frames may be handed over now: larger than all that were possible before the
    /// store was opened.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn first_number(&self) -> Result<u64, StoreError> {
        let run = self.read(|txn| counter(txn, "run"))?;
        Ok(run << RUN_BITS)
    }

    /// Stores frames that came in the second `now_s`, all in one durable commit, and says of each, in order, what
    /// became of it.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; none of them is stored then.
    pub fn store(&self, now_s: u64, frames: &[Brought]) -> Result<Vec<Verdict>, StoreError> {
        self.change(|txn, totals| {
            let mut verdicts = Vec::with_capacity(frames.len());
            for brought in frames {
                verdicts.push(self.store_one(txn, totals, now_s, brought)?);
            }
            Ok(verdicts)
        })
    }

    /// What grants have cost here, each link of them.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn spent(&self) -> Result<Vec<Row>, StoreError> {
        self.read(spent::all)
    }

    /// Forgets what grants of this issuer have cost that were over before its counter had this value, durably.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; nothing is forgotten then.
    pub fn forget_spent(&self, issuer: &[u8; 32], counter: u64) -> Result<(), StoreError> {
        self.write(|txn| spent::forget(txn, issuer, counter))
    }

    /// A number that was never given before, durably: of a statement of what grants have cost.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails.
    pub fn next_statement(&self) -> Result<u64, StoreError> {
        self.write(|txn| next(txn, "statement"))
    }

    /// Frames with any of these tags beyond `after`, the lowest class first and in each class in the order of their
    /// numbers, as many as fit in `max_bytes` (without [`FRAME_COST`]), but one at least if there is one.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn fetch(
        &self,
        tags: &[Tag],
        after: &Cursor,
        max_bytes: usize,
    ) -> Result<Vec<StoredFrame>, StoreError> {
        let fetched = self.read(|txn| fetch(txn, None, tags, after, max_bytes));
        fetched.map(|(frames, _)| frames)
    }

    /// The same without what a reader has released; and how far there is nothing else for it, in classes of which there is
    /// no frame among them.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn fetch_for(
        &self,
        reader: &Reader,
        tags: &[Tag],
        after: &Cursor,
        max_bytes: usize,
    ) -> Result<(Vec<StoredFrame>, Cursor), StoreError> {
        self.read(|txn| {
            let marks = Marks::of(txn, reader)?;
            fetch(txn, Some(&marks), tags, after, max_bytes)
        })
    }

    /// A reader of a mailbox is here, durably. What comes from now on waits for it too.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails.
    pub fn note_reader(&self, now_s: u64, reader: &Reader) -> Result<(), StoreError> {
        self.write(|txn| readers::note(txn, reader, now_s))
    }

    /// A reader has the frames at these places. Deletes those that no other reader of the mailbox waits for, durably. Returns
    /// how many that were.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; nothing has changed then.
    pub fn release(
        &self,
        now_s: u64,
        reader: &Reader,
        places: &[Place],
    ) -> Result<u64, StoreError> {
        self.change(|txn, totals| {
            let before = totals.frames;
            readers::release(txn, totals, reader, now_s, places)?;
            Ok(before - totals.frames)
        })
    }

    /// The tags of which something is held, with how much.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn tags(&self) -> Result<Vec<(Tag, Totals)>, StoreError> {
        self.read(|txn| {
            let table = txn.open_table(TAGS)?;
            let rows = table.iter()?.map(|row| {
                let (tag, value) = row?;
                let (frames, bytes) = value.value();
                Ok((*tag.value(), Totals { frames, bytes }))
            });
            rows.collect()
        })
    }

    /// Where the frames with any of these tags up to `upto` are kept.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn places(&self, tags: &[Tag], upto: &Cursor) -> Result<Vec<Place>, StoreError> {
        self.read(|txn| {
            let table = txn.open_table(FRAMES)?;
            let mut places = Vec::new();
            for tag in rows::held(txn, tags)? {
                for (class, upto) in (0..).zip(upto.0) {
                    for row in table.range((&tag, class, 0)..=(&tag, class, upto))? {
                        let number = row?.0.value().2;
                        places.push(Place { tag, class, number });
                    }
                }
            }
            Ok(places)
        })
    }

    /// Deletes the frames at these places, as far as they are there, durably. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; none is deleted then.
    pub fn delete(&self, places: &[Place]) -> Result<u64, StoreError> {
        self.change(|txn, totals| {
            let before = totals.frames;
            for place in places {
                rows::drop_one(txn, totals, place)?;
            }
            Ok(before - totals.frames)
        })
    }

    /// Deletes the frames at these places, which another holds from now on, and remembers that they were here: both
    /// or neither, durably. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; none is deleted then.
    pub fn pass_on(&self, now_s: u64, places: &[Place]) -> Result<u64, StoreError> {
        self.change(|txn, totals| {
            let before = totals.frames;
            for place in places {
                if let Some(frame) = rows::drop_one(txn, totals, place)? {
                    seen::remember(txn, now_s, &frame, self.limits.max_seen)?;
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
        let (old, future) = self.read(|txn| {
            let ages = txn.open_table(AGES)?;
            let collect = |range: redb::Range<'_, (u64, u64), (&Tag, u8)>| {
                let rows = range.map(|row| {
                    let (key, value) = row?;
                    let ((second, number), (tag, class)) = (key.value(), value.value());
                    let tag = *tag;
                    Ok((second, Place { tag, class, number }))
                });
                rows.collect::<Result<Vec<_>, redb::Error>>()
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
            for (_, place) in &old {
                rows::drop_one(txn, totals, place)?;
            }
            for (second, place) in &future {
                rows::restamp(txn, place, *second, now_s)?;
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

    /// The settings of the relay, by name.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.read(|txn| {
            let table = txn.open_table(SETTINGS)?;
            let rows = table.iter()?.map(|row| {
                let (name, value) = row?;
                Ok((name.value().to_owned(), value.value().to_vec()))
            });
            rows.collect()
        })
    }

    /// Sets a setting, or forgets it, durably.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; nothing has changed then.
    pub fn set(&self, name: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        self.write(|txn| {
            let mut table = txn.open_table(SETTINGS)?;
            match value {
                Some(value) => table.insert(name, value)?,
                None => table.remove(name)?,
            };
            Ok(())
        })
    }

    /// Why the store failed last, until something was written again.
    pub fn trouble(&self) -> Option<StoreError> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why nothing can be stored or fetched any more before the relay starts again.
    pub fn lost(&self) -> Option<StoreError> {
        self.db.lost()
    }

    fn note<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = done.as_ref().err().cloned();
        done
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let read = self.db.read(work);
        match read {
            // A store that can be read may still be full.
            Ok(value) => Ok(value),
            failed => self.note(failed),
        }
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let written = self.db.write(work);
        self.note(written)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Totals>> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, kept: &mut Option<Totals>) -> Result<Totals, StoreError> {
        if let Some(totals) = *kept {
            return Ok(totals);
        }
        let totals = self.read(|txn| {
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
        let value = self.write(|txn| work(txn, &mut totals))?;
        *kept = Some(totals);
        Ok(value)
    }

    fn store_one(
        &self,
        txn: &WriteTransaction,
        totals: &mut Totals,
        now_s: u64,
        brought: &Brought,
    ) -> Result<Verdict, redb::Error> {
        let Brought { tag, frame, grants } = brought;
        let carried = rows::Carried::of(frame);
        let known = txn
            .open_table(HASHES)?
            .get((tag, &carried.hash))?
            .map(|n| n.value());
        if let Some(number) = known {
            // Who has released a preamble may need it once more.
            if !carried.repeats || !readers::was_released(txn, number)? {
                return Ok(Verdict::Duplicate);
            }
            let (tag, class) = (*tag, carried.class);
            rows::drop_one(txn, totals, &Place { tag, class, number })?;
        }
        if seen::is_seen(txn, now_s, &carried)? {
            return Ok(Verdict::Seen);
        }
        let cost = Totals::of(frame.len());
        let limits = self.limits;
        let fits_all = |all: Totals| all.plus(cost).bytes <= limits.max_bytes;
        let fits_tag = |of_tag: Totals| {
            let after = of_tag.plus(cost);
            after.frames <= limits.max_frames_per_tag && after.bytes <= limits.max_bytes_per_tag
        };
        let fits = |all: Totals, of_tag: Totals| fits_all(all) && fits_tag(of_tag);
        if !fits(*totals, rows::tag_totals(txn, tag)?) {
            readers::make_room(txn, totals, tag, fits)?;
        }
        if !fits_all(*totals) {
            return Ok(Verdict::Full);
        }
        if !fits_tag(rows::tag_totals(txn, tag)?) {
            return Ok(Verdict::TagFull);
        }
        let (after, tag_after) = (totals.plus(cost), rows::tag_totals(txn, tag)?.plus(cost));
        let mut hashes = txn.open_table(HASHES)?;
        let (mut class, mut frame) = (carried.class, frame.clone());
        if let Some(grants) = grants {
            let Some(grant) = spent::pay(txn, grants, frame.len())? else {
                return Ok(Verdict::NotGranted);
            };
            if class < grant.terms().priority {
                class = grant.terms().priority;
                frame = envelope::with_priority(frame, class);
            }
        }
        let number = next(txn, "number")?;
        txn.open_table(FRAMES)?
            .insert((tag, class, number), (now_s, frame.as_ref()))?;
        hashes.insert((tag, &carried.hash), number)?;
        txn.open_table(AGES)?
            .insert((now_s, number), (tag, class))?;
        txn.open_table(TAGS)?
            .insert(tag, (tag_after.frames, tag_after.bytes))?;
        *totals = after;
        Ok(Verdict::Stored(number))
    }
}

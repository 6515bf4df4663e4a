//! The database file: opening with a format check, and one transaction at a time.
//!
//! redb refuses everything after its first failed write, until the file is opened anew. After a full disk that
//! is safe, since nothing of a failed transaction counts, and is done here without the caller's notice. After
//! any other failure it is not: the kernel may have dropped pages that it could not write and would now show
//! them as if they were stored. The database then stays shut until the process starts again. So it does when another
//! program has cut, replaced or removed the file meanwhile: what would be written then is not there after a start.

use super::backend::Backend;
use super::error::{OpenError, database, is_full};
use super::reserve::Reserve;
use crate::engine::io::StoreError;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Counters of the store itself: its format, the generation of the journal, the next delivery number.
pub(super) const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("store");
/// The key of the format number.
const FORMAT: &str = "format";
/// Memory that redb may use to keep pages, in bytes.
const CACHE: usize = 8 << 20;

/// The text of what cannot be read.
const UNREADABLE: &str = "a page does not read";
/// The text of a file that is not the one that was written last.
const CHANGED: &str = "another program has cut, replaced or removed the file";

enum State {
    Open(Database, Mark),
    /// To be opened at the next use.
    Closed,
    /// Not to be opened any more, and why.
    Lost(StoreError),
}

/// By what the file is known again that a transaction has left.
struct Mark {
    device: u64,
    inode: u64,
    len: u64,
}

impl Mark {
    fn of(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        Ok(Self {
            device: file.dev(),
            inode: file.ino(),
            len: file.len(),
        })
    }

    /// Whether what is there may still be what was left. A transaction that did not come to its end may have made it longer.
    fn holds(&self, path: &Path) -> bool {
        Self::of(path).is_ok_and(|now| {
            (now.device, now.inode) == (self.device, self.inode) && now.len >= self.len
        })
    }
}

/// A database file.
pub(super) struct Db {
    path: PathBuf,
    /// Room for when there is no other.
    reserve: Option<Arc<Reserve>>,
    state: Mutex<State>,
}

impl Db {
    /// Opens the file, or makes it if there is none, in the last of these formats; one of an earlier of them becomes one of
    /// it. Every page is checked: a damaged file is refused here and
    /// does no harm later. The check ends in a synced commit, so that what a killed process had written but not
    /// synced is durable too once this returns.
    pub(super) fn open(
        path: &Path,
        formats: RangeInclusive<u64>,
        reserve: Option<Arc<Reserve>>,
    ) -> Result<Self, OpenError> {
        let newest = *formats.end();
        if !path.try_exists().map_err(OpenError::io(path))? {
            create(path, newest)?;
        }
        let fail = |e: redb::Error| OpenError::database(path, e);
        let mut checked = builder();
        checked.set_check_integrity_on_open(true);
        let db = open(&checked, path, reserve.clone()).map_err(fail)?;
        let txn = db.begin_read().map_err(|e| fail(e.into()))?;
        let found = counter(&txn, FORMAT).map_err(fail)?;
        if !formats.contains(&found) {
            return Err(OpenError::Version {
                path: path.to_owned(),
                found,
                known: newest,
            });
        }
        drop(txn);
        let mark = Mark::of(path).map_err(OpenError::io(path))?;
        let opened = Self {
            path: path.to_owned(),
            reserve,
            state: Mutex::new(State::Open(db, mark)),
        };
        if found != newest {
            opened
                .write(|txn| set_format(txn, newest))
                .map_err(super::in_open(path))?;
        }
        Ok(opened)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Why nothing can be done with it any more before the process starts again.
    pub(super) fn lost(&self) -> Option<StoreError> {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Lost(why) => Some(why.clone()),
            State::Open(..) | State::Closed => None,
        }
    }

    /// Runs a transaction that is durable once this returns `Ok`, and of which nothing counts otherwise, save
    /// that a failure of the commit itself leaves open whether it took place.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.run(|db, mark| {
            let txn = db.begin_write()?;
            let value = work(&txn)?;
            txn.commit()?;
            *mark = Mark::of(&self.path)?;
            Ok(value)
        })
    }

    /// Runs a transaction that only reads.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.run(|db, _| work(&db.begin_read()?))
    }

    fn run<T>(
        &self,
        work: impl FnOnce(&Database, &mut Mark) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Closed = *state {
            let db = open(&builder(), &self.path, self.reserve.clone())
                .map_err(|e| database(&self.path, e))?;
            let mark = Mark::of(&self.path).map_err(|e| database(&self.path, e.into()))?;
            *state = State::Open(db, mark);
        }
        let result = match &mut *state {
            State::Open(_, mark) if !mark.holds(&self.path) => {
                Err(redb::Error::Corrupted(CHANGED.into()))
            }
            State::Open(db, mark) => caught(|| work(db, mark)),
            State::Lost(why) => return Err(why.clone()),
            State::Closed => Err(redb::Error::DatabaseClosed),
        };
        result.map_err(|error| {
            let full = matches!(&error, redb::Error::Io(e) if is_full(e));
            let usable = matches!(error, redb::Error::ValueTooLarge(_));
            let error = database(&self.path, error);
            let next = match (full, usable) {
                (true, _) => State::Closed,
                (_, true) => return error,
                _ => State::Lost(error.clone()),
            };
            let last = std::mem::replace(&mut *state, next);
            // What cannot be put in order at the end is lost already.
            let _ = caught(|| {
                drop(last);
                Ok(())
            });
            error
        })
    }
}

/// The database takes it that pages are as it has written them, and panics where one that another program has changed makes no
/// sense. That is an error like any other here, after which it is not asked again.
fn caught<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(redb::Error::Corrupted(UNREADABLE.into())))
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

fn open(
    builder: &redb::Builder,
    path: &Path,
    reserve: Option<Arc<Reserve>>,
) -> Result<Database, redb::Error> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.len() == 0 {
        // Else it would be taken for a new one.
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty").into());
    }
    Ok(builder.create_with_backend(Backend::new(file, reserve)?)?)
}

/// Makes the file beside its place and moves it there when whole, so that a half-made one is never found.
fn set_format(txn: &WriteTransaction, format: u64) -> Result<(), redb::Error> {
    txn.open_table(COUNTERS)?.insert(FORMAT, format)?;
    Ok(())
}

fn create(path: &Path, format: u64) -> Result<(), OpenError> {
    let half = path.with_extension("new");
    match fs::remove_file(&half) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(OpenError::io(&half)(e)),
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&half)
        .map_err(OpenError::io(&half))?;
    let make = || -> Result<(), redb::Error> {
        let db = builder().create_with_backend(Backend::new(file, None)?)?;
        let txn = db.begin_write()?;
        set_format(&txn, format)?;
        txn.commit()?;
        Ok(db.close()?)
    };
    make().map_err(|e| OpenError::database(&half, e))?;
    fs::rename(&half, path).map_err(OpenError::io(path))?;
    let parent = path.parent().unwrap_or(Path::new("."));
    sync_dir(parent).map_err(OpenError::io(parent))
}

/// Reads a counter; one never written is 0.
pub(super) fn counter(txn: &ReadTransaction, key: &str) -> Result<u64, redb::Error> {
    let table = txn.open_table(COUNTERS)?;
    Ok(table.get(key)?.map_or(0, |v| v.value()))
}

/// Adds one to a counter and returns the value it has then: from 1, never twice the same.
pub(super) fn next(txn: &WriteTransaction, key: &str) -> Result<u64, redb::Error> {
    let mut table = txn.open_table(COUNTERS)?;
    let last = table.get(key)?.map_or(0, |v| v.value());
    let next = last
        .checked_add(1)
        .ok_or_else(|| redb::Error::Corrupted(format!("the counter {key} is at its end")))?;
    table.insert(key, next)?;
    Ok(next)
}

/// Makes names in a directory survive a power cut.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

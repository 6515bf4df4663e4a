//! The durable store under the engine.
//!
//! ```text
//! HOME/lock          held while a process uses the home; its number is in it
//! HOME/state.redb    the engine's tables, the application's inbox, settings, counters
//! HOME/journal       notes of cheap progress since the last durable batch
//! HOME/reserve       room that is set aside for what is above
//! HOME/payload/      bulk bytes: KIND-MESSAGE-PART, written in place
//! HOME/inbox/        content of delivered parts, kept for the application
//! HOME/tmp/          snapshots in the making; emptied at every start
//! ```
//!
//! A cheap batch writes bulk bytes, then notes, and syncs nothing. A durable batch writes bulk bytes, syncs every
//! payload file written since the last one, and the directory if it made files; then commits all its keys in one
//! transaction; then empties the journal and removes files. So no key that survives speaks of bytes that do not.
//!
//! The store cannot tell from keys, which are opaque to it, which files are still wanted. So a removal is written
//! down in the transaction that makes the file needless, is finished at the next start if the process died before,
//! and is struck off in a later transaction, once the directory without the file is on the disk. Files of a batch
//! that never was committed are found by [`Store::sweep`] with the engine's help.
//!
//! The values of rows are sealed under a key of the home, see [`crate::security::rows`], and bulk files where that is
//! wanted, see [`crate::security::content`]. The keys of rows are not, nor is the journal.
//!
//! After a failed batch nothing of it counts, and it may be applied again. One failure is final: if the disk fails
//! to sync, the kernel may have dropped what it could not write and shows it all the same; then every batch fails
//! until the process starts again from what did reach the disk.

mod backend;
mod batch;
mod content;
mod db;
mod direct;
mod error;
mod files;
mod handle;
pub mod inbox;
mod journal;
mod lock;
pub mod mailbox;
pub mod meta;
mod reserve;
mod sealed;
#[cfg(test)]
mod tests;

pub use content::{ContentReader, Snapshot};
pub use direct::Pages;
pub use error::{OpenError, is_of_disk};
pub use handle::Handle;
pub(crate) use lock::hold;

use crate::engine::io::{FileId, FileKind, Restored, StoreError, Table, Token};
use crate::security::rows::RowKey;
use db::{Db, counter};
use files::Files;
use journal::{BootId, Journal};
use lock::{Lock, make_dir};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use reserve::Reserve;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The format of a home that this program writes. It reads the one before as well, which had no sealed files, and makes
/// this one of it.
pub const FORMAT: u64 = 4;

type KeyTable = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// The engine's tables. Values are sealed.
const TABLES: [(Table, KeyTable); 4] = [
    (Table::Outbox, TableDefinition::new("outbox")),
    (Table::Inbox, TableDefinition::new("inbox")),
    (Table::Session, TableDefinition::new("session")),
    (Table::Ledger, TableDefinition::new("ledger")),
];
/// Files to remove, or removed but perhaps not yet so on the disk.
const REMOVALS: TableDefinition<&[u8; 34], ()> = TableDefinition::new("removals");
/// The key of the generation of the journal.
const GENERATION: &str = "generation";

/// What the store and its handles share.
struct Home {
    dir: PathBuf,
    files: Files,
    db: Db,
    /// Room for rows and notes when there is no other.
    reserve: Arc<Reserve>,
    /// What seals and opens rows.
    key: RowKey,
    /// The rows of [`REMOVALS`].
    removals: Mutex<BTreeSet<FileId>>,
    _lock: Lock,
}

impl Home {
    fn removals(&self) -> MutexGuard<'_, BTreeSet<FileId>> {
        self.removals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The durable store of one home. Its calls block; the node gives it a thread of its own, and [`Handle`]s to the
/// others.
pub struct Store {
    home: Arc<Home>,
    journal: Journal,
    /// How many durable batches there were.
    generation: u64,
    /// Files written since they were last synced.
    dirty: BTreeSet<FileId>,
    /// Files were made since the directory was last synced.
    names_dirty: bool,
    /// A commit failed, and it is open whether it took place.
    unsure: bool,
    /// Files that the batch with that commit has made.
    made: Vec<FileId>,
    /// Why no batch can be taken until the next start.
    lost: Option<StoreError>,
    /// The batch that failed and has not been given again: none after it counts before it does.
    failed: Option<Token>,
}

impl Store {
    /// Opens the home in `dir`, or makes one there, and returns what it holds. Its rows are sealed under `key`.
    /// Directories and files made here can be read by their owner only.
    ///
    /// # Errors
    /// [`OpenError`]: in use by another process, of another format, damaged, sealed under another key, or the disk fails.
    pub fn open(dir: &Path, key: RowKey) -> Result<(Self, Restored), OpenError> {
        Self::open_in_boot(dir, key, journal::boot_id())
    }

    fn open_in_boot(
        dir: &Path,
        key: RowKey,
        boot: Option<BootId>,
    ) -> Result<(Self, Restored), OpenError> {
        let home = open_home(dir, key)?;
        let path = home.db.path();
        home.db.write(prepare).map_err(in_open(path))?;
        // Before anything is settled: with the wrong key nothing changes.
        let rows = home.rows()?;
        let (generation, removals) = home
            .db
            .read(|txn| Ok((counter(txn, GENERATION)?, removals(txn)?)))
            .map_err(in_open(path))?;
        *home.removals() = removals;
        let reserve = home.reserve.clone();
        let (journal, notes) = Journal::open(&dir.join("journal"), boot, generation, reserve)?;
        let store = Self {
            home: Arc::new(home),
            journal,
            generation,
            dirty: BTreeSet::new(),
            names_dirty: false,
            unsure: false,
            made: Vec::new(),
            lost: None,
            failed: None,
        };
        store.settle_files(!notes.is_empty())?;
        let restored = Restored {
            rows,
            journal: notes,
        };
        Ok((store, restored))
    }

    /// Finishes what the last process left undone among the files.
    fn settle_files(&self, notes: bool) -> Result<(), OpenError> {
        let dir = &self.home.dir;
        let finish = || -> Result<(), StoreError> {
            self.home.finish_removals()?;
            self.handle().inbox().sweep()
        };
        finish().map_err(in_open(dir))?;
        empty(&dir.join("tmp"))?;
        if notes {
            // The bytes that these notes speak of may be in the page cache alone, and the next durable batch
            // syncs only what this process wrote.
            let payload = dir.join("payload");
            for file in self.home.files.list().map_err(OpenError::io(&payload))? {
                if file.kind != FileKind::Outgoing {
                    self.home.files.sync(file).map_err(in_open(&payload))?;
                }
            }
        }
        Ok(())
    }

    /// Whether bulk files that are made from now on are sealed. Those that are there stay as they are, and are read either
    /// way.
    pub fn seal_content(&self, sealed: bool) {
        self.home.files.seal(sealed);
    }

    /// What other threads use of this store.
    pub fn handle(&self) -> Handle {
        Handle(self.home.clone())
    }

    /// Removes every payload file that `wanted` does not want: those of batches that were cut off, and snapshots
    /// whose message was never taken. To be called after the start, once the engine has its rows and before
    /// anything new is imported. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn sweep(&mut self, wanted: impl Fn(FileId) -> bool) -> Result<usize, StoreError> {
        let payload = self.home.dir.join("payload");
        let mut count = 0;
        for file in self
            .home
            .files
            .list()
            .map_err(error::disk("list", &payload))?
        {
            if !wanted(file) {
                self.home.files.remove(file)?;
                self.dirty.remove(&file);
                count += 1;
            }
        }
        Ok(count)
    }
}

/// A store error while opening, about `path`.
fn in_open(path: &Path) -> impl FnOnce(StoreError) -> OpenError + '_ {
    move |error| match error {
        StoreError::Corrupt(reason) => OpenError::Corrupt {
            path: path.to_owned(),
            reason,
        },
        StoreError::Full(text) | StoreError::Io(text) => OpenError::Io {
            path: path.to_owned(),
            source: std::io::Error::other(text),
        },
    }
}

fn open_home(dir: &Path, key: RowKey) -> Result<Home, OpenError> {
    make_dir(dir)?;
    let lock = Lock::take(dir)?;
    for name in ["payload", "inbox", "tmp"] {
        make_dir(&dir.join(name))?;
    }
    let reserve = Arc::new(Reserve::of(dir));
    let files = Files::new(dir.join("payload"), key.content_key(), reserve.clone());
    let state = dir.join("state.redb");
    let (missing, journal) = (!exists(&state)?, exists(&dir.join("journal"))?);
    // The journal is made once there is a database.
    if missing && (journal || !files.list().map_err(OpenError::io(dir))?.is_empty()) {
        return Err(OpenError::Corrupt {
            path: state,
            reason: "it is missing, and files that belong to it are there".into(),
        });
    }
    Ok(Home {
        dir: dir.to_owned(),
        files,
        db: Db::open(&state, FORMAT - 1..=FORMAT, Some(reserve.clone()))?,
        reserve,
        key,
        removals: Mutex::default(),
        _lock: lock,
    })
}

fn exists(path: &Path) -> Result<bool, OpenError> {
    path.try_exists().map_err(OpenError::io(path))
}

fn empty(dir: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(dir).map_err(OpenError::io(dir))? {
        let path = entry.map_err(OpenError::io(dir))?.path();
        let done = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        done.map_err(OpenError::io(&path))?;
    }
    Ok(())
}

/// Makes every table, so that readers find them.
fn prepare(txn: &WriteTransaction) -> Result<(), redb::Error> {
    for (_, table) in TABLES {
        txn.open_table(table)?;
    }
    txn.open_table(REMOVALS)?;
    inbox::prepare(txn)?;
    meta::prepare(txn)
}

fn removals(txn: &ReadTransaction) -> Result<BTreeSet<FileId>, redb::Error> {
    let mut found = BTreeSet::new();
    for row in txn.open_table(REMOVALS)?.iter()? {
        let id = files::from_key(row?.0.value());
        found
            .insert(id.ok_or_else(|| redb::Error::Corrupted("a removal of no known kind".into()))?);
    }
    Ok(found)
}

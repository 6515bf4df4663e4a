//! The application's inbox: what was delivered here and waits to be taken, each exactly once.
//!
//! The engine repeats a delivery until it is acknowledged, also after a restart. So the inbox remembers what
//! the application has taken out: the last [`REMEMBERED`] of them, far more than can wait for an acknowledgement.

use super::Home;
use super::content::ContentReader;
use super::db::{next, sync_dir};
use super::error::disk;
use super::sealed::KeyValue;
use crate::engine::id::MessageId;
use crate::engine::io::{FileId, FileKind, StoreError};
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many taken deliveries are remembered.
pub const REMEMBERED: u64 = 65_536;

/// The name of the table with what was delivered.
pub(super) const TABLE: &str = "app_entry";
/// By message and part: delivery number and sealed value.
const ENTRY: TableDefinition<&[u8; 33], (u64, &[u8])> = TableDefinition::new(TABLE);
/// By delivery number: message and part.
const ORDER: TableDefinition<u64, &[u8; 33]> = TableDefinition::new("app_order");
/// What was taken out: by message and part, delivery number and how many were taken before.
const TAKEN: TableDefinition<&[u8; 33], (u64, u64)> = TableDefinition::new("app_taken");
/// The same in the order in which it was taken.
const TAKEN_ORDER: TableDefinition<u64, &[u8; 33]> = TableDefinition::new("app_taken_order");

/// The inbox. Every change is durable once its call returns.
#[derive(Clone)]
pub struct Inbox(pub(super) Arc<Home>);

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is new and has this delivery number, counted from 1.
    New(u64),
    /// It has been here before, under this number, and changed nothing.
    Known(u64),
}

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, rising in the order of arrival, never used twice.
    pub number: u64,
    /// The message.
    pub message: MessageId,
    /// The part, or 0 for the message as a whole.
    pub part: u8,
    /// What the node wrote down of it.
    pub value: Vec<u8>,
}

impl Inbox {
    /// Takes a delivery in, unless it is here or was taken out before.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails: do not acknowledge then, the engine will repeat it.
    pub fn put(&self, message: MessageId, part: u8, value: &[u8]) -> Result<Put, StoreError> {
        let key = key(message, part);
        let sealed = self.0.seal(TABLE, &key, value)?;
        self.0.db.write(|txn| {
            let mut entries = txn.open_table(ENTRY)?;
            if let Some(row) = entries.get(&key)? {
                return Ok(Put::Known(row.value().0));
            }
            if let Some(row) = txn.open_table(TAKEN)?.get(&key)? {
                return Ok(Put::Known(row.value().0));
            }
            let number = next(txn, "delivery")?;
            entries.insert(&key, (number, sealed.as_slice()))?;
            txn.open_table(ORDER)?.insert(number, &key)?;
            Ok(Put::New(number))
        })
    }

    /// One delivery, if it is here.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or the delivery does not open.
    pub fn get(&self, message: MessageId, part: u8) -> Result<Option<Entry>, StoreError> {
        let found = self.0.db.read(|txn| {
            let row = txn.open_table(ENTRY)?.get(&key(message, part))?;
            Ok(row.map(|row| Entry {
                number: row.value().0,
                message,
                part,
                value: row.value().1.to_vec(),
            }))
        })?;
        found.map(|entry| self.opened(entry)).transpose()
    }

    /// Up to `max` deliveries with a number greater than `after`, in order.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or a delivery does not open.
    pub fn list(&self, after: u64, max: usize) -> Result<Vec<Entry>, StoreError> {
        let found = self.0.db.read(|txn| {
            let entries = txn.open_table(ENTRY)?;
            let mut found = Vec::new();
            let from = after.saturating_add(1);
            for row in txn.open_table(ORDER)?.range(from..)?.take(max) {
                let (number, key) = row?;
                let number = number.value();
                let row = entries.get(key.value())?.ok_or_else(|| {
                    redb::Error::Corrupted(format!("delivery {number} has no entry"))
                })?;
                let (message, part) = split(key.value());
                let value = row.value().1.to_vec();
                found.push(Entry {
                    number,
                    message,
                    part,
                    value,
                });
            }
            Ok(found)
        })?;
        found.into_iter().map(|entry| self.opened(entry)).collect()
    }

    /// A delivery as it is in the database, opened.
    fn opened(&self, mut entry: Entry) -> Result<Entry, StoreError> {
        let key = key(entry.message, entry.part);
        entry.value = self.0.open_row(TABLE, &key, &entry.value)?;
        Ok(entry)
    }

    /// Takes a delivery out, together with its content if that was kept; true if it was here.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; nothing has changed then.
    pub fn remove(&self, message: MessageId, part: u8) -> Result<bool, StoreError> {
        let key = key(message, part);
        let found = self.0.db.write(|txn| take(txn, &key))?;
        if found {
            // A kept file without an entry is removed at the next open at the latest.
            let _ = fs::remove_file(self.content_path(message, part));
        }
        Ok(found)
    }

    /// Where the content of a part is once it was kept.
    pub fn content_path(&self, message: MessageId, part: u8) -> PathBuf {
        self.0.dir.join("inbox").join(name(message, part))
    }

    /// The kept content of a part, from its beginning on.
    ///
    /// # Errors
    /// What the system says, if there is none or the disk fails.
    pub fn content(&self, message: MessageId, part: u8) -> io::Result<ContentReader> {
        self.0.files.reader(&self.content_path(message, part))
    }

    /// Keeps the content of a delivered part beyond the engine's own use of it, durably, until
    /// [`Inbox::remove`]: call it before [`Inbox::put`], and that before the acknowledgement. Takes no room
    /// where the file system has hard links. May be repeated.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such part, or the disk is full or fails.
    pub fn keep_incoming(&self, message: MessageId, part: u8) -> Result<PathBuf, StoreError> {
        let from = self.0.files.path(FileId {
            kind: FileKind::Incoming,
            message,
            part,
        });
        let to = self.content_path(message, part);
        match fs::hard_link(&from, &to) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(disk("keep", &from)(e)),
            Err(_) => self.copy(&from, &to, message, part)?,
        }
        let dir = self.0.dir.join("inbox");
        sync_dir(&dir).map_err(disk("sync", &dir))?;
        Ok(to)
    }

    fn copy(&self, from: &Path, to: &Path, message: MessageId, part: u8) -> Result<(), StoreError> {
        let half = self.0.dir.join("tmp").join(name(message, part));
        fs::copy(from, &half)
            .and_then(|_| File::open(&half)?.sync_all())
            .and_then(|()| fs::rename(&half, to))
            .map_err(|e| {
                let _ = fs::remove_file(&half);
                disk("keep", to)(e)
            })
    }

    /// Removes kept content that has no entry: the process ended between the two.
    pub(super) fn sweep(&self) -> Result<(), StoreError> {
        let dir = self.0.dir.join("inbox");
        let mut wanted = std::collections::BTreeSet::new();
        self.0.db.read(|txn| {
            for row in txn.open_table(ENTRY)?.iter()? {
                let (message, part) = split(row?.0.value());
                wanted.insert(name(message, part));
            }
            Ok(())
        })?;
        for file in fs::read_dir(&dir).map_err(disk("list", &dir))? {
            let file = file.map_err(disk("list", &dir))?;
            if !file
                .file_name()
                .to_str()
                .is_some_and(|n| wanted.contains(n))
            {
                let path = file.path();
                fs::remove_file(&path).map_err(disk("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// All rows of [`TABLE`] as they are in the database.
pub(super) fn sealed(txn: &ReadTransaction) -> Result<Vec<KeyValue>, redb::Error> {
    let mut rows = Vec::new();
    for row in txn.open_table(ENTRY)?.iter()? {
        let (key, row) = row?;
        rows.push((key.value().to_vec(), row.value().1.to_vec()));
    }
    Ok(rows)
}

fn take(txn: &WriteTransaction, key: &[u8; 33]) -> Result<bool, redb::Error> {
    let number = match txn.open_table(ENTRY)?.remove(key)? {
        Some(row) => row.value().0,
        None => return Ok(false),
    };
    txn.open_table(ORDER)?.remove(number)?;
    let mut taken = txn.open_table(TAKEN)?;
    let mut order = txn.open_table(TAKEN_ORDER)?;
    let turn = order.last()?.map_or(0, |(turn, _)| turn.value() + 1);
    taken.insert(key, (number, turn))?;
    order.insert(turn, key)?;
    while order.len()? > REMEMBERED {
        if let Some((_, oldest)) = order.pop_first()? {
            taken.remove(oldest.value())?;
        }
    }
    Ok(true)
}

fn key(message: MessageId, part: u8) -> [u8; 33] {
    let mut out = [0; 33];
    out[..32].copy_from_slice(&message.0);
    out[32] = part;
    out
}

fn split(key: &[u8; 33]) -> (MessageId, u8) {
    let mut message = [0; 32];
    message.copy_from_slice(&key[..32]);
    (MessageId(message), key[32])
}

fn name(message: MessageId, part: u8) -> String {
    format!("{}-{part}", blake3::Hash::from_bytes(message.0).to_hex())
}

/// Makes the tables, so that readers find them.
pub(super) fn prepare(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(ENTRY)?;
    txn.open_table(ORDER)?;
    txn.open_table(TAKEN)?;
    txn.open_table(TAKEN_ORDER)?;
    Ok(())
}

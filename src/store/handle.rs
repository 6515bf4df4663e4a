//! The store as threads other than its own see it.

use super::content::Snapshot;
use super::error::disk;
use super::inbox::Inbox;
use super::meta::Meta;
use super::{Home, REMOVALS, files};
use crate::engine::io::{FileId, StoreError};
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A share in an open home: reads payload files, takes snapshots in, and leads to the node's own tables. Cheap to
/// clone, usable from any thread while the store works. The home stays locked as long as one of these lives.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Home>);

impl Handle {
    /// Reads `len` bytes of a file from `offset` on.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the file is shorter, [`StoreError::Io`] if there is none or the disk fails.
    pub fn fetch(&self, file: FileId, offset: u64, len: usize) -> Result<Bytes, StoreError> {
        self.0.files.read(file, offset, len)
    }

    /// A range of a payload file is hardly read again: it need not stay in the system's memory, where a large file would
    /// push out all else.
    pub fn let_go(&self, file: FileId, offset: u64, len: usize) {
        self.0.files.let_go(file, offset, len as u64);
    }

    /// Where a payload file is. To be read only; the engine may have it removed at any time.
    pub fn payload_path(&self, file: FileId) -> PathBuf {
        self.0.files.path(file)
    }

    /// Begins a snapshot under a name that is not taken, on the same file system as the payload files. What is left of those
    /// that are not imported goes at the next start.
    ///
    /// # Errors
    /// What the system says: the name is taken, the disk is full or fails.
    pub fn snapshot(&self, name: &str) -> io::Result<Snapshot> {
        self.0.files.snapshot(self.0.dir.join("tmp").join(name))
    }

    /// Moves a [`Handle::snapshot`] in place and makes it durable. To be done before the engine
    /// is told of it.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such file, or the disk is full or fails.
    pub fn import_outgoing(&self, file: FileId, from: &Path) -> Result<(), StoreError> {
        let mut removals = self.0.removals();
        if removals.contains(&file) {
            // Else the next start would remove the new file in place of the old one.
            self.0.db.write(|txn| {
                txn.open_table(REMOVALS)?.remove(&files::key(file))?;
                Ok(())
            })?;
            removals.remove(&file);
        }
        self.0.files.import(file, from)
    }

    /// Removes a snapshot that the engine refused.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn discard_outgoing(&self, file: FileId) -> Result<(), StoreError> {
        self.0.files.remove(file)
    }

    /// The application's inbox.
    pub fn inbox(&self) -> Inbox {
        Inbox(self.0.clone())
    }

    /// The settings of the node.
    pub fn meta(&self) -> Meta {
        Meta(self.0.clone())
    }

    /// Bytes free for files on the file system of the home, as far as this user may use them. Some of what there is is set
    /// aside for rows and notes.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the system does not tell.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        let stat = rustix::fs::statvfs(&self.0.dir)
            .map_err(|e| disk("ask for the free space of", &self.0.dir)(e.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        Ok(self.0.reserve.beside(free))
    }
}

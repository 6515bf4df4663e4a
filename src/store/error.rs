//! What can go wrong with the disk, in words that name the file and say what to do.

use crate::engine::io::StoreError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a home or a mailbox could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by {holder}: stop that one first, or choose another home", dir.display())]
    InUse {
        /// The home.
        dir: PathBuf,
        /// "process N", or "another process" if it left no number.
        holder: String,
    },
    /// Written by a program with another format.
    #[error("{} has format {found}, this program knows {known}: use the version of ostrakon that wrote it, or a new home", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u64,
        /// The format that this program reads and writes.
        known: u64,
    },
    /// What is stored is not what was written.
    #[error("{} is damaged ({reason}): restore the home from a copy, or start with a new one", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A row does not open with the key that was given.
    #[error("{}: a row of `{table}` is damaged or of another home: put back the keys that belong to it, restore the home from a copy, or start with a new one", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The table that the row is in.
        table: String,
    },
    /// Any other failure.
    #[error("{}: {source}: see that the disk works, has room and may be written, then try again", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    /// For `map_err`: an error of the system about `path`.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// A database error about `path`.
    pub(super) fn database(path: &Path, error: redb::Error) -> Self {
        let path = path.to_owned();
        match error {
            redb::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
                Self::Corrupt {
                    path,
                    reason: source.to_string(),
                }
            }
            redb::Error::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Corrupt {
                    path,
                    reason: "it is cut short".into(),
                }
            }
            redb::Error::Io(source) => Self::Io { path, source },
            other => Self::Corrupt {
                path,
                reason: other.to_string(),
            },
        }
    }
}

/// Whether the system said that no room is left.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Whether an error says that the disk is full or fails, rather than that a path cannot be used.
pub fn is_of_disk(error: &io::Error) -> bool {
    let failed = error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    // A bound on the size of files is a disk that takes no more.
    failed || is_full(error) || error.kind() == io::ErrorKind::FileTooLarge
}

/// For `map_err`: an error of the system while doing `what` with `path`.
pub(super) fn disk<'a>(
    what: &'a str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StoreError + use<'a> {
    move |error| {
        let path = path.display();
        if is_full(&error) {
            StoreError::Full(format!(
                "cannot {what} {path}: {error}; free some space, it goes on by itself"
            ))
        } else {
            StoreError::Io(format!(
                "cannot {what} {path}: {error}; check the disk and the rights of this file"
            ))
        }
    }
}

/// A database error about `path`.
pub(super) fn database(path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::Io(error) => disk("write", path)(error),
        redb::Error::Corrupted(reason) => StoreError::Corrupt(format!(
            "{}: {reason}; stop ostrakon and restore the home from a copy",
            path.display()
        )),
        other => StoreError::Io(format!("{}: {other}; restart ostrakon", path.display())),
    }
}

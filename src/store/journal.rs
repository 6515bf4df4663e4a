//! Notes of cheap progress: appended without a sync, so that a killed process loses none, and trusted only as
//! long as the kernel that took them runs.
//!
//! ```text
//! header   magic "OSTRJRN", format 1 | boot id 16 | check 8
//! record   generation 8 | length 4 | check 8 | bytes
//! ```
//!
//! Integers are big-endian; `check` is the first 8 bytes of the BLAKE3 hash of what stands before it, and for a
//! record also of the bytes after it. The generation is that of the last durable commit before the note. A
//! commit raises the generation within its own transaction, so that notes which it made needless never count
//! again, even if the process dies before it has emptied the file.
//!
//! The bytes that a note speaks of went to the kernel before it. While that kernel runs, its page cache has
//! both, whatever happens to the process. After a power cut the disk may have the note and not the bytes. So
//! the header names the boot (`/proc/sys/kernel/random/boot_id`), and notes of another boot are dropped: nobody
//! was told of what they say. Where the system has no boot id, they are always dropped; a proper stop ends in a
//! durable batch and leaves none. A medium that is pulled out and put back under a running kernel goes
//! unnoticed here; the digest of a part finds what it lost.

use super::error::{OpenError, disk};
use super::reserve::Reserve;
use crate::engine::io::StoreError;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"OSTRJRN\x01";
const CHECK: usize = 8;
const HEADER: usize = 8 + 16 + CHECK;
const RECORD: usize = 8 + 4 + CHECK;

/// Names one run of a kernel.
pub(super) type BootId = [u8; 16];

/// The journal file.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// Room for when there is no other.
    reserve: Arc<Reserve>,
    /// Where the next record goes.
    end: u64,
    /// Something may stand behind `end`.
    torn: bool,
}

impl Journal {
    /// Opens the file and returns the notes that count: whole, of this boot and of this generation.
    pub(super) fn open(
        path: &Path,
        boot: Option<BootId>,
        generation: u64,
        reserve: Arc<Reserve>,
    ) -> Result<(Self, Vec<Vec<u8>>), OpenError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(OpenError::io(path))?;
        let bytes = fs::read(path).map_err(OpenError::io(path))?;
        let mut journal = Self {
            file,
            path: path.to_owned(),
            reserve,
            end: HEADER as u64,
            torn: false,
        };
        let mut notes = Vec::new();
        if boot.is_some_and(|boot| bytes.starts_with(&header(boot))) {
            let (found, end) = parse(&bytes, generation);
            notes = found;
            if !notes.is_empty() {
                journal.end = end as u64;
            }
            journal.cut().map_err(OpenError::io(path))?;
        } else {
            let head = header(boot.unwrap_or_default());
            journal.file.set_len(0).map_err(OpenError::io(path))?;
            let write = || journal.file.write_all_at(&head, 0);
            journal.reserve.spend(write).map_err(OpenError::io(path))?;
        }
        Ok((journal, notes))
    }

    /// Appends notes with one write. After a failure none of them counts.
    pub(super) fn append(&mut self, generation: u64, notes: &[&[u8]]) -> Result<(), StoreError> {
        if notes.is_empty() {
            return Ok(());
        }
        let mut out = Vec::with_capacity(notes.iter().map(|n| n.len() + RECORD).sum());
        for note in notes {
            let Ok(len) = u32::try_from(note.len()) else {
                return Err(StoreError::Io(
                    "a note of 4 GiB or more: report this as a bug".into(),
                ));
            };
            out.extend_from_slice(&generation.to_be_bytes());
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(&check(generation, note));
            out.extend_from_slice(note);
        }
        if self.torn {
            self.cut().map_err(disk("shorten", &self.path))?;
        }
        let write = || self.file.write_all_at(&out, self.end);
        if let Err(e) = self.reserve.spend(write) {
            // A shorter batch written over this one must not leave its last records standing behind it.
            self.torn = true;
            let _ = self.cut();
            return Err(disk("append to", &self.path)(e));
        }
        self.end += out.len() as u64;
        Ok(())
    }

    /// Drops all notes, which a commit has made needless. If that fails they stay, without effect.
    pub(super) fn clear(&mut self) {
        let end = self.end;
        self.end = HEADER as u64;
        if end != self.end && self.cut().is_err() {
            self.end = end;
        }
    }

    fn cut(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.end)?;
        self.torn = false;
        Ok(())
    }
}

/// The boot id of the running kernel, if it tells.
pub(super) fn boot_id() -> Option<BootId> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let hex: String = text.trim().chars().filter(|c| *c != '-').collect();
    u128::from_str_radix(&hex, 16).ok().map(u128::to_be_bytes)
}

fn header(boot: BootId) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(MAGIC);
    out[8..24].copy_from_slice(&boot);
    let hash = blake3::hash(&out[..24]);
    out[24..].copy_from_slice(&hash.as_bytes()[..CHECK]);
    out
}

fn check(generation: u64, note: &[u8]) -> [u8; CHECK] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&generation.to_be_bytes());
    hasher.update(&(note.len() as u64).to_be_bytes());
    hasher.update(note);
    let mut out = [0; CHECK];
    out.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK]);
    out
}

/// The notes of this generation up to the first damage, and where they end.
fn parse(bytes: &[u8], generation: u64) -> (Vec<Vec<u8>>, usize) {
    let mut notes = Vec::new();
    let mut at = HEADER;
    while let Some((found, note, next)) = record(bytes, at) {
        if found == generation {
            notes.push(note.to_vec());
        }
        at = next;
    }
    (notes, at)
}

/// The record at `at`: its generation, its note, and where the next one starts.
fn record(bytes: &[u8], at: usize) -> Option<(u64, &[u8], usize)> {
    let (head, rest) = bytes.get(at..)?.split_at_checked(RECORD)?;
    let generation = u64::from_be_bytes(head.get(..8)?.try_into().ok()?);
    let len = usize::try_from(u32::from_be_bytes(head.get(8..12)?.try_into().ok()?)).ok()?;
    let note = rest.get(..len)?;
    let good = check(generation, note) == *head.get(12..)?;
    good.then_some((generation, note, at + RECORD + len))
}

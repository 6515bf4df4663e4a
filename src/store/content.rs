//! A bulk file on the disk, sealed or in the clear: see [`crate::security::content`].

use super::direct::{Direct, PAGE, Step, with_room};
use crate::security::content::{ContentKey, FileKey, HEAD, NONCE};
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, pread, pwritev};
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Written at once of a snapshot, in bytes.
const CHUNK: usize = 1 << 20;
/// So much of a snapshot is synced at once while it is copied, in bytes.
const AHEAD: u64 = 16 << 20;

/// An open file. Offsets and lengths are those of its content.
pub(super) struct Content {
    file: File,
    seal: Option<FileKey>,
    direct: Direct,
}

impl Content {
    /// Begins a new file, which is empty: sealed if there is a key.
    pub(super) fn begin(file: File, key: Option<&ContentKey>) -> io::Result<Self> {
        let Some(key) = key else {
            return Ok(Self::new(file, None));
        };
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let (head, seal) = key.begin(nonce);
        file.write_all_at(&head, 0)?;
        Ok(Self::new(file, Some(seal)))
    }

    /// A file that is there. Its head says whether it is sealed.
    pub(super) fn resume(file: File, key: &ContentKey) -> io::Result<Self> {
        let mut head = [0; HEAD];
        let seal = match file.read_exact_at(&mut head, 0) {
            Ok(()) => key.resume(&head),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(e) => return Err(e),
        };
        Ok(Self::new(file, seal))
    }

    fn new(file: File, seal: Option<FileKey>) -> Self {
        let direct = Direct::default();
        Self { file, seal, direct }
    }

    /// Where the content begins in the file.
    fn start(&self) -> u64 {
        match self.seal {
            Some(_) => HEAD as u64,
            None => 0,
        }
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len().saturating_sub(self.start()))
    }

    /// Grows to this length if it is shorter; with `reserved` the room is set aside.
    pub(super) fn grow(&self, len: u64, reserved: bool) -> io::Result<()> {
        if self.len()? >= len {
            return Ok(());
        }
        let end = self.start().saturating_add(len);
        if !reserved {
            return self.file.set_len(end);
        }
        match fallocate(&self.file, FallocateFlags::empty(), 0, end) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.file.set_len(end),
            other => Ok(other?),
        }
    }

    /// Gives back the room of a range, which then holds nothing of use.
    pub(super) fn vacate(&self, offset: u64, len: u64) -> io::Result<()> {
        punch(&self.file, self.place(offset)?, len)
    }

    /// Reads exactly so many bytes. `past`: the system hardly has them in memory.
    pub(super) fn read_bytes_at(&self, len: usize, offset: u64, past: bool) -> io::Result<Bytes> {
        let place = self.place(offset)?;
        if (past || self.direct.is_used())
            && let Some(mut bytes) = self.direct.read(&self.file, place, len)?
        {
            self.open(bytes.as_mut(), offset);
            return Ok(Bytes::from_owner(bytes));
        }
        let mut bytes = self.read_vec_at(len, place)?;
        self.open(&mut bytes, offset);
        Ok(bytes.into())
    }

    /// Their room is not zeroed first: a whole block is read at once.
    fn read_vec_at(&self, len: usize, place: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = place.saturating_add(bytes.len() as u64);
            match pread(&self.file, spare_capacity(&mut bytes), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        // The allocator may have given more room.
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Lets the system forget a range that is on the disk. What is not yet stays.
    pub(super) fn let_go(&self, offset: u64, len: u64) {
        if let Ok(place) = self.place(offset) {
            forget(&self.file, place, len);
        }
    }

    /// Writes pieces that follow each other, the first at this offset.
    pub(super) fn write_all_at(&self, pieces: &[&[u8]], offset: u64) -> io::Result<()> {
        let place = self.place(offset)?;
        let len = pieces.iter().map(|piece| piece.len()).sum();
        let mut steps = self.direct.steps(&self.file, place, len);
        if steps.is_empty() && self.seal.is_none() {
            return self.write_pieces(pieces, place);
        }
        if steps.is_empty() {
            steps.push(Step { len, whole: false });
        }
        let (mut pieces, mut at) = (Pieces(pieces.iter().copied(), &[]), offset);
        for step in steps {
            let place = self.place(at)?;
            let write = |bytes: &[u8]| self.direct.write(&self.file, step, bytes, place);
            let in_place = step.whole && self.seal.is_none();
            match in_place.then(|| pieces.take_pages(step.len)).flatten() {
                Some(pages) => write(pages)?,
                None => {
                    let gather = |bytes: &mut [u8]| {
                        pieces.take_into(bytes);
                        self.open(bytes, at);
                    };
                    with_room(step.len, gather, write)?;
                }
            }
            at = at.saturating_add(step.len as u64);
        }
        Ok(())
    }

    /// From where they are.
    fn write_pieces(&self, pieces: &[&[u8]], mut place: u64) -> io::Result<()> {
        let mut pieces: Vec<IoSlice> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = pieces.as_mut_slice();
        // What is empty goes.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match pwritev(&self.file, left, place) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    place = place.saturating_add(written as u64);
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Makes content and length survive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.place(offset)?)?;
        self.open(bytes.get_mut(..read).unwrap_or_default(), offset);
        Ok(read)
    }

    fn place(&self, offset: u64) -> io::Result<u64> {
        let place = self.start().checked_add(offset);
        place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
    }

    /// Opens what is sealed, and seals what is not.
    fn open(&self, bytes: &mut [u8], offset: u64) {
        if let Some(key) = &self.seal {
            key.apply(offset, bytes);
        }
    }
}

/// Pieces that follow each other: those to come, and what is left of the one before.
struct Pieces<'a, I>(I, &'a [u8]);

impl<'a, I: Iterator<Item = &'a [u8]>> Pieces<'a, I> {
    /// So many bytes, if they are in one piece and begin with a page.
    fn take_pages(&mut self, len: usize) -> Option<&'a [u8]> {
        if self.1.is_empty() {
            self.1 = self.0.next()?;
        }
        let (pages, rest) = self.1.split_at_checked(len)?;
        if pages.as_ptr().align_offset(PAGE) != 0 {
            return None;
        }
        self.1 = rest;
        Some(pages)
    }

    /// Fills this room with what follows.
    fn take_into(&mut self, mut room: &mut [u8]) {
        while !room.is_empty() {
            if self.1.is_empty() {
                match self.0.next() {
                    Some(piece) => self.1 = piece,
                    None => return,
                }
            }
            let len = room.len().min(self.1.len());
            let (now, rest) = self.1.split_at(len);
            let (filled, left) = room.split_at_mut(len);
            filled.copy_from_slice(now);
            (self.1, room) = (rest, left);
        }
    }
}

/// Reads content from its beginning on.
pub struct ContentReader {
    content: Arc<Content>,
    at: u64,
}

impl ContentReader {
    pub(super) fn new(content: Arc<Content>) -> Self {
        Self { content, at: 0 }
    }
}

impl Read for ContentReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// What is to be sent, while it is copied into the home.
pub struct Snapshot {
    path: PathBuf,
    content: Arc<Content>,
    at: u64,
    /// Has what was written up to here synced, while more is copied.
    ahead: (u64, Option<JoinHandle<io::Result<()>>>),
}

impl Snapshot {
    /// Of a new file at `path`, which is open.
    pub(super) fn begin(path: PathBuf, file: File, key: Option<&ContentKey>) -> io::Result<Self> {
        let content = Arc::new(Content::begin(file, key)?);
        Ok(Self {
            path,
            content,
            at: 0,
            ahead: (0, None),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the content of `file` over without a copy; false where the file system cannot do that, or what is here has to
    /// be sealed.
    pub fn clone_from(&self, file: &File) -> bool {
        self.content.seal.is_none() && clone_file(file, &self.content.file)
    }

    /// Reads what it holds.
    pub fn reader(&self) -> ContentReader {
        ContentReader::new(self.content.clone())
    }

    /// Makes it survive a power cut.
    ///
    /// # Errors
    /// What the system says: the disk is full or fails.
    pub fn sync(&mut self) -> io::Result<()> {
        // The system tells of a failure once, to whom that may be.
        self.end_ahead()?;
        self.content.file.sync_all()
    }

    /// Keeps the disk busy while more is copied, so that less is left to be waited for at the end. What went past the memory
    /// of the system keeps it busy by itself.
    fn sync_ahead(&mut self) -> io::Result<()> {
        if self.content.direct.is_used() {
            return Ok(());
        }
        let (upto, under_way) = &self.ahead;
        let busy = under_way.as_ref().is_some_and(|sync| !sync.is_finished());
        if busy || self.at - upto < AHEAD {
            return Ok(());
        }
        self.end_ahead()?;
        let content = self.content.clone();
        // Without a thread more is left for the end, and no harm is done.
        let sync = thread::Builder::new().spawn(move || content.sync());
        self.ahead = (self.at, sync.ok());
        Ok(())
    }

    fn end_ahead(&mut self) -> io::Result<()> {
        let Some(sync) = self.ahead.1.take() else {
            return Ok(());
        };
        let defect = |_| Err(io::Error::other("the thread that syncs ended by a defect"));
        sync.join().unwrap_or_else(defect)
    }
}

impl Write for Snapshot {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = bytes.get(..CHUNK).unwrap_or(bytes);
        self.content.write_all_at(&[now], self.at)?;
        self.at += now.len() as u64;
        self.sync_ahead()?;
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn forget(file: &File, offset: u64, len: u64) {
    // An advice; no harm is done if it is not taken.
    let _ = rustix::fs::fadvise(
        file,
        offset,
        std::num::NonZeroU64::new(len),
        rustix::fs::Advice::DontNeed,
    );
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &File, _: u64, _: u64) {}

#[cfg(target_os = "linux")]
fn punch(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, hole, offset, len)?)
}

#[cfg(not(target_os = "linux"))]
fn punch(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn clone_file(file: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, file).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn clone_file(_: &File, _: &File) -> bool {
    false
}

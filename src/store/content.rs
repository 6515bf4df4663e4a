//! A bulk file on the disk, sealed or in the clear: see [`crate::security::content`].

use crate::security::content::{ContentKey, FileKey, HEAD, NONCE};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sealed at once while a snapshot is written, in bytes.
const CHUNK: usize = 64 << 10;

/// An open file. Offsets and lengths are those of its content.
pub(super) struct Content {
    file: File,
    seal: Option<FileKey>,
}

impl Content {
    /// Begins a new file, which is empty: sealed if there is a key.
    pub(super) fn begin(file: File, key: Option<&ContentKey>) -> io::Result<Self> {
        let Some(key) = key else {
            return Ok(Self { file, seal: None });
        };
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let (head, seal) = key.begin(nonce);
        file.write_all_at(&head, 0)?;
        let seal = Some(seal);
        Ok(Self { file, seal })
    }

    /// A file that is there. Its head says whether it is sealed.
    pub(super) fn resume(file: File, key: &ContentKey) -> io::Result<Self> {
        let mut head = [0; HEAD];
        let seal = match file.read_exact_at(&mut head, 0) {
            Ok(()) => key.resume(&head),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(e) => return Err(e),
        };
        Ok(Self { file, seal })
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

    pub(super) fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, self.place(offset)?)?;
        self.open(bytes, offset);
        Ok(())
    }

    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let place = self.place(offset)?;
        match &self.seal {
            None => self.file.write_all_at(bytes, place),
            Some(key) => {
                let mut sealed = bytes.to_vec();
                key.apply(offset, &mut sealed);
                self.file.write_all_at(&sealed, place)
            }
        }
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

    fn open(&self, bytes: &mut [u8], offset: u64) {
        if let Some(key) = &self.seal {
            key.apply(offset, bytes);
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
}

impl Snapshot {
    /// Of a new file at `path`, which is open.
    pub(super) fn begin(path: PathBuf, file: File, key: Option<&ContentKey>) -> io::Result<Self> {
        let content = Arc::new(Content::begin(file, key)?);
        let at = 0;
        Ok(Self { path, content, at })
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
    pub fn sync(&self) -> io::Result<()> {
        self.content.file.sync_all()
    }
}

impl Write for Snapshot {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = bytes.get(..CHUNK).unwrap_or(bytes);
        self.content.write_all_at(now, self.at)?;
        self.at += now.len() as u64;
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn clone_file(file: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, file).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn clone_file(_: &File, _: &File) -> bool {
    false
}

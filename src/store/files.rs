//! Payload files: bulk bytes outside the database, written in place.

use super::content::{Content, ContentReader, Snapshot};
use super::db::sync_dir;
use super::error::disk;
use super::reserve::{Reserve, SMALL};
use crate::engine::id::MessageId;
use crate::engine::io::{FileId, FileKind, StoreError};
use crate::security::content::ContentKey;
use bytes::Bytes;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many payload files are held open.
const OPEN_FILES: usize = 32;

/// Pieces that are written at once, at most. Systems take 1024 (`IOV_MAX` of Linux, macOS and the BSDs).
const TOGETHER: usize = 1024;

/// A directory of payload files, one per [`FileId`], with the last used ones held open.
pub(super) struct Files {
    dir: PathBuf,
    /// Room for small files when there is no other.
    reserve: Arc<Reserve>,
    /// The last used at the end. Opening and removing happen under this lock, so that no file is found here
    /// after its name is gone.
    open: Mutex<Vec<(FileId, Arc<Content>)>>,
    key: ContentKey,
    /// Whether new files are sealed.
    sealed: AtomicBool,
}

impl Files {
    /// The files in `dir`, which exists; new ones are in the clear.
    pub(super) fn new(dir: PathBuf, key: ContentKey, reserve: Arc<Reserve>) -> Self {
        Self {
            dir,
            reserve,
            open: Mutex::new(Vec::new()),
            key,
            sealed: AtomicBool::new(false),
        }
    }

    /// Whether new files are sealed from now on.
    pub(super) fn seal(&self, sealed: bool) {
        self.sealed.store(sealed, Ordering::Relaxed);
    }

    fn seal_with(&self) -> Option<&ContentKey> {
        self.sealed.load(Ordering::Relaxed).then_some(&self.key)
    }

    /// Begins a snapshot at `path`, where nothing is yet.
    pub(super) fn snapshot(&self, path: PathBuf) -> io::Result<Snapshot> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600);
        let file = file.open(&path)?;
        Snapshot::begin(path, file, self.seal_with())
    }

    /// Reads a file of this home, wherever it is.
    pub(super) fn reader(&self, path: &Path) -> io::Result<ContentReader> {
        let content = Content::resume(File::open(path)?, &self.key)?;
        Ok(ContentReader::new(Arc::new(content)))
    }

    /// Where a file is. The whole message id is in the name: the sender of a message has a say in its id, and no
    /// two messages may ever share a file.
    pub(super) fn path(&self, id: FileId) -> PathBuf {
        self.dir.join(name(id))
    }

    /// Makes a file of this length, or grows a shorter one, of a batch that was cut off, to it. True if it is
    /// new; after a failure no new file is left.
    pub(super) fn create(&self, id: FileId, len: u64) -> Result<bool, StoreError> {
        let path = self.path(id);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let is_new = match options.clone().create_new(true).open(&path) {
            Ok(file) => Some(file),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => None,
            Err(e) => return Err(disk("create", &path)(e)),
        };
        let (content, is_new) = match is_new {
            Some(file) => (Content::begin(file, self.seal_with()), true),
            None => {
                let file = options.open(&path).map_err(disk("open", &path))?;
                (Content::resume(file, &self.key), false)
            }
        };
        let sized = content.and_then(|content| {
            let grow = || content.grow(len, id.kind.is_reserved());
            match len <= SMALL {
                true => self.reserve.spend(grow),
                false => grow(),
            }
        });
        if let Err(e) = sized {
            if is_new {
                let _ = fs::remove_file(&path);
            }
            return Err(disk("reserve space for", &path)(e));
        }
        Ok(is_new)
    }

    /// Writes bytes in place, in this order. What follows each other in a file is written at once: symbols are small and
    /// many.
    pub(super) fn write_all(&self, writes: &[(FileId, u64, &[u8])]) -> Result<(), StoreError> {
        let mut rest = writes;
        while let Some(&(file, offset, _)) = rest.first() {
            let (run, others) = rest.split_at(run_of(rest));
            let pieces: Vec<&[u8]> = run.iter().map(|(.., piece)| *piece).collect();
            self.get(file)
                .and_then(|content| content.write_all_at(&pieces, offset))
                .map_err(|error| disk("write", &self.path(file))(error))?;
            rest = others;
        }
        Ok(())
    }

    /// Reads exactly `len` bytes.
    pub(super) fn read(&self, id: FileId, offset: u64, len: usize) -> Result<Bytes, StoreError> {
        let path = self.path(id);
        let file = self.file(id)?;
        let have = file.len().map_err(disk("read", &path))?;
        if offset.checked_add(len as u64).is_none_or(|end| end > have) {
            return Err(StoreError::Corrupt(format!(
                "{} ends at {have}, and {len} bytes at {offset} were asked for; cancel this message",
                path.display()
            )));
        }
        // What is sent was written in one go, and is read from one end to the other.
        let past = id.kind == FileKind::Outgoing;
        file.read_bytes_at(len, offset, past)
            .map_err(disk("read", &path))
    }

    /// Lets the system forget a range that is on the disk.
    pub(super) fn let_go(&self, id: FileId, offset: u64, len: u64) {
        if let Ok(content) = self.get(id) {
            content.let_go(offset, len);
        }
    }

    /// Gives back the room of a range, as far as the system can.
    pub(super) fn vacate(&self, id: FileId, offset: u64, len: u64) -> io::Result<()> {
        self.get(id)?.vacate(offset, len)
    }

    /// The open file, for what is not done here.
    pub(super) fn file(&self, id: FileId) -> Result<Arc<Content>, StoreError> {
        self.get(id).map_err(disk("open", &self.path(id)))
    }

    /// Makes the names of files survive a power cut.
    pub(super) fn sync_names(&self) -> Result<(), StoreError> {
        sync_dir(&self.dir).map_err(disk("sync", &self.dir))
    }

    /// Makes the content and length of a file survive a power cut.
    pub(super) fn sync(&self, id: FileId) -> Result<(), StoreError> {
        let file = self.file(id)?;
        file.sync().map_err(disk("sync", &self.path(id)))
    }

    /// Removes a file; there need be none.
    pub(super) fn remove(&self, id: FileId) -> Result<(), StoreError> {
        let path = self.path(id);
        let mut open = self.lock();
        open.retain(|(held, _)| *held != id);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(disk("remove", &path)(e)),
            _ => Ok(()),
        }
    }

    /// Puts the file at `from`, on the same file system, in place, durably.
    pub(super) fn import(&self, id: FileId, from: &Path) -> Result<(), StoreError> {
        let path = self.path(id);
        File::open(from)
            .and_then(|file| file.sync_all())
            .map_err(disk("sync", from))?;
        {
            let mut open = self.lock();
            open.retain(|(held, _)| *held != id);
            fs::rename(from, &path).map_err(disk("move a snapshot to", &path))?;
        }
        self.sync_names()
    }

    /// All files, in order.
    pub(super) fn list(&self) -> io::Result<Vec<FileId>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            found.extend(entry?.file_name().to_str().and_then(parse));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// How many files are held open.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(FileId, Arc<Content>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: FileId) -> io::Result<Arc<Content>> {
        let mut open = self.lock();
        let file = match open.iter().rposition(|(held, _)| *held == id) {
            Some(at) if at + 1 == open.len() => return Ok(open[at].1.clone()),
            Some(at) => open.remove(at).1,
            None => {
                let mut options = OpenOptions::new();
                let file = options.read(true).write(true).open(self.path(id))?;
                Arc::new(Content::resume(file, &self.key)?)
            }
        };
        if open.len() >= OPEN_FILES {
            open.remove(0);
        }
        open.push((id, file.clone()));
        Ok(file)
    }
}

/// How many of these writes, from the first on, follow each other in one file. At least one, of any.
fn run_of(writes: &[(FileId, u64, &[u8])]) -> usize {
    let follows = |pair: &&[(FileId, u64, &[u8])]| match pair {
        [(file, offset, bytes), (next, at, _)] => {
            file == next && offset.checked_add(bytes.len() as u64) == Some(*at)
        }
        _ => false,
    };
    let further = writes.windows(2).take(TOGETHER - 1).take_while(follows);
    further.count() + 1
}

fn name(id: FileId) -> String {
    let kind = match id.kind {
        FileKind::Outgoing => "out",
        FileKind::Incoming => "in",
        FileKind::Repair => "repair",
    };
    format!(
        "{kind}-{}-{}",
        blake3::Hash::from_bytes(id.message.0).to_hex(),
        id.part
    )
}

fn parse(text: &str) -> Option<FileId> {
    let mut fields = text.split('-');
    let kind = match fields.next()? {
        "out" => FileKind::Outgoing,
        "in" => FileKind::Incoming,
        "repair" => FileKind::Repair,
        _ => return None,
    };
    let id = FileId {
        kind,
        message: MessageId(*blake3::Hash::from_hex(fields.next()?).ok()?.as_bytes()),
        part: fields.next()?.parse().ok()?,
    };
    (name(id) == text).then_some(id)
}

/// A file id as a database key of 34 bytes.
pub(super) fn key(id: FileId) -> [u8; 34] {
    let mut out = [0; 34];
    out[0] = match id.kind {
        FileKind::Outgoing => 0,
        FileKind::Incoming => 1,
        FileKind::Repair => 2,
    };
    out[1..33].copy_from_slice(&id.message.0);
    out[33] = id.part;
    out
}

/// The file id of such a key.
pub(super) fn from_key(key: &[u8; 34]) -> Option<FileId> {
    let mut message = [0; 32];
    message.copy_from_slice(&key[1..33]);
    Some(FileId {
        kind: match key[0] {
            0 => FileKind::Outgoing,
            1 => FileKind::Incoming,
            2 => FileKind::Repair,
            _ => return None,
        },
        message: MessageId(message),
        part: key[33],
    })
}

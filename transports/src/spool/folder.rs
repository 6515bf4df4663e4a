//! Names and files of a spool folder.
//!
//! A batch appears under its final name only when it is whole and on the disk: it is written under a
//! temporary name, synced, renamed, and the folder synced. What a killed process leaves behind is a temporary
//! file, which nobody reads and its origin removes.

use super::batch::{BatchHeader, BatchWriter};
use bytes::Bytes;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

const SUFFIX: &str = ".ostk";
const TEMPORARY: &str = ".tmp";
const HEX: usize = 16;

/// What the name of a file in a spool folder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `<origin>-<tag>-<random>.ostk`, each 16 lower-case hexadecimal digits.
    Batch(BatchHeader),
    /// `.<batch name>.tmp`: a batch that is being written.
    Temporary(BatchHeader),
    /// Another name with that ending, in capitals too: a batch that somebody has renamed or copied beside itself. What
    /// it is stands in the file only.
    Renamed,
    /// Anything else.
    Foreign,
}

impl Name {
    pub(super) fn of(name: &OsStr) -> Self {
        let Some(name) = name.to_str() else {
            return Self::Foreign;
        };
        if let Some(header) = batch_name(name) {
            return Self::Batch(header);
        }
        name.strip_prefix('.')
            .and_then(|n| n.strip_suffix(TEMPORARY))
            .and_then(batch_name)
            .map_or_else(|| renamed(name), Self::Temporary)
    }
}

/// Hidden files are what systems note about others, or write at the moment.
fn renamed(name: &str) -> Name {
    let (stem, end) = name
        .split_at_checked(name.len().saturating_sub(SUFFIX.len()))
        .unwrap_or_default();
    let is_ours = !stem.is_empty() && !stem.starts_with('.') && end.eq_ignore_ascii_case(SUFFIX);
    if is_ours {
        Name::Renamed
    } else {
        Name::Foreign
    }
}

fn batch_name(name: &str) -> Option<BatchHeader> {
    let mut fields = name.strip_suffix(SUFFIX)?.split('-').map(hex);
    let (origin, tag, _) = (fields.next()??, fields.next()??, fields.next()??);
    let origin = origin.to_be_bytes();
    fields
        .next()
        .is_none()
        .then_some(BatchHeader { origin, tag })
}

fn hex(field: &str) -> Option<u64> {
    let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (field.len() == HEX && field.bytes().all(digits))
        .then(|| u64::from_str_radix(field, 16).ok())
        .flatten()
}

fn new_name(header: &BatchHeader) -> io::Result<String> {
    let origin = u64::from_be_bytes(header.origin);
    let random = getrandom::u64().map_err(|e| io::Error::other(e.to_string()))?;
    Ok(format!(
        "{origin:016x}-{:016x}-{random:016x}{SUFFIX}",
        header.tag
    ))
}

/// A batch that stands in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) name: OsString,
    pub(super) size: u64,
}

/// Writes frames as one batch; on any error nothing stays behind under the final name.
///
/// Every frame must fit into a record.
pub(super) fn write_batch(
    dir: &Path,
    header: &BatchHeader,
    frames: &[Bytes],
) -> io::Result<Written> {
    let name = new_name(header)?;
    let temporary = dir.join(format!(".{name}{TEMPORARY}"));
    let written = write_file(&temporary, header, frames).and_then(|size| {
        fs::rename(&temporary, dir.join(&name))?;
        Ok(size)
    });
    match written {
        Ok(size) => {
            sync_folder(dir)?;
            let name = name.into();
            Ok(Written { name, size })
        }
        Err(error) => {
            // If that fails too, the scan removes it later by its name.
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

fn write_file(path: &Path, header: &BatchHeader, frames: &[Bytes]) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut writer = BatchWriter::new(BufWriter::new(file), header)?;
    for frame in frames {
        writer.push(frame)?;
    }
    let file = writer.finish()?.into_inner().map_err(|e| e.into_error())?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Whether the folder takes `bytes` more bytes now; leaves nothing behind.
pub(super) fn probe(dir: &Path, header: &BatchHeader, bytes: u64) -> io::Result<()> {
    let temporary = dir.join(format!(".{}{TEMPORARY}", new_name(header)?));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .and_then(|file| {
            let mut out = BufWriter::new(&file);
            io::copy(&mut io::Read::take(io::repeat(0x5A), bytes), &mut out)?;
            out.flush()?;
            file.sync_all()
        });
    let removed = fs::remove_file(&temporary);
    written.and(removed)
}

/// Makes renames in the folder durable, where the file system has such a thing.
fn sync_folder(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// Opens a regular file for reading; never follows a link and never waits for a pipe.
pub(super) fn open_regular(dir: &Path, name: &OsStr) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let path: PathBuf = dir.join(name);
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HEADER: BatchHeader = BatchHeader {
        origin: [1, 2, 3, 4, 5, 6, 7, 0xEF],
        tag: 0xAB,
    };

    /// Names say whose they are; of what is not exactly of the form the file has to say it, if it ends as ours do.
    #[test]
    fn names() {
        let name = new_name(&HEADER).unwrap();
        assert!(name.starts_with("01020304050607ef-00000000000000ab-"));
        assert_eq!(Name::of(OsStr::new(&name)), Name::Batch(HEADER));
        let temporary = format!(".{name}.tmp");
        assert_eq!(Name::of(OsStr::new(&temporary)), Name::Temporary(HEADER));
        for foreign in [
            "",
            ".ostk",
            "README",
            "ostk",
            &format!("{name}.tmp"),
            &format!(".{name}"),
            &format!(".{}", name.to_uppercase()),
        ] {
            assert_eq!(Name::of(OsStr::new(foreign)), Name::Foreign, "{foreign}");
        }
        for renamed in [
            "é.Ostk",
            &name.to_uppercase(),
            &format!("x{name}"),
            &name.replace(".ostk", " (1).ostk"),
            &name.replacen('-', "-+", 1),
            &name.replacen("ab-", "ab-0-", 1),
        ] {
            assert_eq!(Name::of(OsStr::new(renamed)), Name::Renamed, "{renamed}");
        }
    }

    /// A batch that cannot be written leaves no file of either name.
    #[test]
    fn failed_batch_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let too_large = Bytes::from(vec![0; super::super::batch::MAX_RECORD_FRAME + 1]);
        let frames = [Bytes::from_static(b"good"), too_large];
        assert!(write_batch(dir.path(), &HEADER, &frames).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        probe(dir.path(), &HEADER, 100_000).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

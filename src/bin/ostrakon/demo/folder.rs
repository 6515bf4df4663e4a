//! The folder in which a demo happens.

use crate::failure::{Failure, Outcome};
use ostrakon::node::api::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Bytes of the sample that is sent if no file is given.
const SAMPLE: u64 = 6_000_000;
/// The files that the demo's claims hold for: smaller ones are over before three links have shown anything, larger ones
/// take longer than anybody watches.
const SIZES: std::ops::RangeInclusive<u64> = 3_000_000..=32_000_000;

/// A new folder that only we may read; removed when dropped, unless it is to be kept.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// Makes one in the system's place for such folders.
    ///
    /// # Errors
    /// If there is no room.
    pub fn new(keep: bool) -> Outcome<Self> {
        let now = std::time::UNIX_EPOCH
            .elapsed()
            .map_or(0, |now| now.subsec_micros());
        let name = format!("ostrakon-demo-{}-{now}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| trouble("make the folder", &path, &error))?;
        Ok(Self { path, keep })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a sample to send, one that no compression makes smaller; with its length.
    ///
    /// # Errors
    /// If there is no room.
    pub fn sample(&self) -> Outcome<(PathBuf, u64)> {
        let path = self.path.join("sample.bin");
        let written = std::fs::write(&path, sample());
        written.map_err(|error| trouble("write", &path, &error))?;
        Ok((path, SAMPLE))
    }
}

/// The file to send that was given, with its length.
///
/// # Errors
/// If it cannot be read or is of a size that the demo is not made for.
pub fn given(path: &Path) -> Outcome<(PathBuf, u64)> {
    let refuse =
        |kind, what: String| Failure::api(kind, what, "give another file with --file, or none");
    let path = crate::ask::absolute(path)?;
    let unreadable = |error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Usage,
        };
        refuse(kind, format!("cannot read {}: {error}", path.display()))
    };
    // Not opened unless it is a file: a pipe would keep us waiting.
    let meta = std::fs::metadata(&path).map_err(unreadable)?;
    if !meta.is_file() || !SIZES.contains(&meta.len()) {
        let what = format!("{} is no file of 3 to 32 MB", path.display());
        return Err(refuse(ErrorKind::Usage, what));
    }
    std::fs::File::open(&path).map_err(unreadable)?;
    Ok((path, meta.len()))
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is left to the system, which clears such folders.
            let _removed = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn trouble(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    let what = format!("cannot {what} {}: {error}", path.display());
    Failure::api(
        ErrorKind::Store,
        what,
        "make room, or set TMPDIR to a folder with room",
    )
}

fn sample() -> Vec<u8> {
    let mut bytes = vec![0; SAMPLE as usize];
    blake3::Hasher::new_derive_key("ostrakon demo sample")
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

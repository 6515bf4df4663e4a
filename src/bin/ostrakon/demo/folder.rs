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

    /// The file to send: the one given, or a sample that no compression makes smaller.
    ///
    /// # Errors
    /// If the file cannot be read or is of a size that the demo is not made for.
    pub fn file(&self, given: Option<&Path>) -> Outcome<(PathBuf, u64)> {
        let Some(given) = given else {
            let path = self.path.join("sample.bin");
            let written = std::fs::write(&path, sample());
            written.map_err(|error| trouble("write", &path, &error))?;
            return Ok((path, SAMPLE));
        };
        let path = crate::ask::absolute(given)?;
        let size = std::fs::metadata(&path).map_err(|error| {
            let what = format!("cannot read {}: {error}", path.display());
            Failure::api(
                ErrorKind::NotFound,
                what,
                "give another file with --file, or none",
            )
        })?;
        if !size.is_file() || !SIZES.contains(&size.len()) {
            let what = format!("{} is no file of 3 to 30 MB", path.display());
            return Err(Failure::api(
                ErrorKind::Usage,
                what,
                "give another file with --file, or none",
            ));
        }
        Ok((path, size.len()))
    }
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

//! Export and import by hand, for a courier with a stick and no node that runs.

use super::batch::{BatchHeader, MAX_RECORD_FRAME, RECORD_OVERHEAD};
use super::folder::{Name, write_batch};
use super::scan::{MAX_BATCHES, Scanner};
use super::{DEFAULT_BATCH_BYTES, SpoolError};
use bytes::Bytes;
use std::fs;
use std::path::{Path, PathBuf};

/// What [`export`] wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportSummary {
    /// Batch files.
    pub batches: u64,
    /// Frames in them.
    pub frames: u64,
    /// Bytes of the batch files.
    pub bytes: u64,
    /// Frames left out because they are larger than a record takes.
    pub oversized: u64,
}

/// What [`import`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportSummary {
    /// Batch files read.
    pub batches: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Damaged stretches in batch files, and batch files that could not be read.
    pub damaged: u64,
    /// Files that are no batch of this version.
    pub foreign: u64,
}

/// A batch that lies in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnBatch {
    /// The group of its frames.
    pub tag: u64,
    path: PathBuf,
}

/// The batches of one origin in a folder.
///
/// # Errors
/// [`SpoolError::Read`] if the folder cannot be listed.
pub fn own_batches(dir: &Path, origin: [u8; 8]) -> Result<Vec<OwnBatch>, SpoolError> {
    let failed = |source| SpoolError::Read {
        dir: dir.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)?.take(MAX_BATCHES) {
        let name = entry.map_err(failed)?.file_name();
        if let Name::Batch(header) = Name::of(&name)
            && header.origin == origin
        {
            let path = dir.join(name);
            found.push(OwnBatch {
                tag: header.tag,
                path,
            });
        }
    }
    Ok(found)
}

/// Removes batches that are of no use any more. One that cannot be removed stays, which only takes its room.
pub fn remove(batches: &[OwnBatch]) {
    for batch in batches {
        if let Err(error) = fs::remove_file(&batch.path) {
            tracing::debug!(path = %batch.path.display(), %error, "a batch stays");
        }
    }
}

/// Writes frames into batches of about 1 MiB in a folder that exists.
///
/// Blocks on the disk. When it returns, what it counts is durable.
///
/// # Errors
/// [`SpoolError::Write`] if the folder is missing, full or read-only. Batches written before stay.
pub fn export(
    dir: &Path,
    origin: [u8; 8],
    tag: u64,
    frames: impl IntoIterator<Item = Bytes>,
) -> Result<ExportSummary, SpoolError> {
    let header = BatchHeader { origin, tag };
    let mut summary = ExportSummary::default();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let write = |batch: &mut Vec<Bytes>, summary: &mut ExportSummary| {
        if batch.is_empty() {
            return Ok(());
        }
        let written = write_batch(dir, &header, batch).map_err(|source| SpoolError::Write {
            dir: dir.to_owned(),
            source,
        })?;
        summary.batches += 1;
        summary.frames += batch.len() as u64;
        summary.bytes += written.size;
        batch.clear();
        Ok(())
    };
    for frame in frames {
        if frame.len() > MAX_RECORD_FRAME {
            summary.oversized += 1;
            continue;
        }
        bytes += frame.len() + RECORD_OVERHEAD;
        batch.push(frame);
        if bytes >= DEFAULT_BATCH_BYTES {
            write(&mut batch, &mut summary)?;
            bytes = 0;
        }
    }
    write(&mut batch, &mut summary)?;
    Ok(summary)
}

/// Reads every batch in a folder, apart from those of `skip_origin`, and gives each frame to `deliver`.
///
/// Blocks on the disk. Nothing in the folder is changed. A batch that was copied in part gives what it has.
///
/// # Errors
/// [`SpoolError::Read`] if the folder cannot be listed.
pub fn import(
    dir: &Path,
    skip_origin: Option<[u8; 8]>,
    mut deliver: impl FnMut(Bytes),
) -> Result<ImportSummary, SpoolError> {
    let mut scanner = Scanner::once(dir, skip_origin);
    let mut summary = ImportSummary::default();
    loop {
        let step = scanner.step().map_err(|source| SpoolError::Read {
            dir: dir.to_owned(),
            source,
        })?;
        summary.batches += step.batches;
        summary.frames += step.frames.len() as u64;
        summary.damaged += step.damaged;
        summary.foreign += step.foreign;
        step.frames.into_iter().for_each(&mut deliver);
        if step.finished {
            return Ok(summary);
        }
    }
}

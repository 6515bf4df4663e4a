//! Content on its way into the home, hashed while it is written. Both take about as long, so each has a thread.

use crate::store::{Pages, Snapshot};
use std::io::{self, Read, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

/// Read at once, in bytes.
const CHUNK: usize = 1 << 20;
/// Chunks that wait to be written.
const WAITING: usize = 2;

/// What was copied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// How many bytes.
    pub(super) len: u64,
    /// Their digest.
    pub(super) digest: [u8; 32],
}

/// The first chunk of what there is to read; it is shorter than a whole one if that is all.
pub(super) fn first_chunk(from: &mut impl Read) -> io::Result<Pages> {
    let mut chunk = Pages::new(CHUNK);
    chunk.fill(from)?;
    Ok(chunk)
}

/// Copies `first`, which was read already, and the rest, and makes it durable.
pub(super) fn copy(first: Pages, from: &mut impl Read, to: &mut Snapshot) -> io::Result<Copied> {
    thread::scope(|scope| {
        let (filled, chunks) = mpsc::sync_channel(WAITING);
        let (emptied, empty) = mpsc::channel();
        let write = move || write_all(&chunks, &emptied, to);
        let writer = thread::Builder::new().spawn_scoped(scope, write)?;
        let (mut hasher, mut chunk, mut read) = (blake3::Hasher::new(), first, Ok(()));
        while read.is_ok() && !chunk.is_empty() {
            hasher.update(&chunk);
            // The writer ends before only if it has failed, and says why.
            if filled.send(chunk).is_err() {
                break;
            }
            chunk = empty.try_recv().unwrap_or_else(|_| Pages::new(CHUNK));
            read = chunk.fill(from);
        }
        drop(filled);
        let defect = |_| Err(io::Error::other("the thread that writes ended by a defect"));
        writer.join().unwrap_or_else(defect).and(read)?;
        Ok(Copied {
            len: hasher.count(),
            digest: *hasher.finalize().as_bytes(),
        })
    })
}

/// Writes chunks as they come, makes all durable, and gives their room back.
fn write_all(
    chunks: &Receiver<Pages>,
    emptied: &Sender<Pages>,
    to: &mut Snapshot,
) -> io::Result<()> {
    for chunk in chunks {
        to.write_all(&chunk)?;
        // Nobody takes it after the last one.
        let _ = emptied.send(chunk);
    }
    to.sync()
}

//! What a node waits for from its disk, its workers and its application, and how long that takes.

use crate::engine::coding;
use crate::engine::io::{Batch, Delivery, FileId, Job, LinkId, Record, Token};
use ostrakon_netsim::model::Nanos;
use std::sync::Arc;

/// What a durable write takes unless a scenario says otherwise: a sync of a laptop's disk or of a good SD card.
pub const SYNC: Nanos = 4_000_000;
/// What a cheap batch or a read takes, beside its bytes.
const TOUCH: Nanos = 200_000;
/// Bytes that the disk reads or writes in a microsecond.
const DISK_PER_MICRO: u64 = 200;
/// Bytes that a worker codes, decodes or hashes in a microsecond.
const WORK_PER_MICRO: u64 = 500;

/// The timers of the field's runtime are exact to this.
const TICK: Nanos = 1_000_000;

/// When a timer fires that is set for `at`: at a whole tick, and later than `now`.
pub fn timer(at: Nanos, now: Nanos) -> Nanos {
    let at = at.max(now.saturating_add(1));
    at.div_ceil(TICK).saturating_mul(TICK)
}

/// What a node waits for.
pub enum Pending {
    /// A batch is written.
    Persist(Arc<Batch>),
    /// Bytes of a file are read.
    Fetch {
        /// The engine's name for it.
        token: Token,
        /// Which file.
        file: FileId,
        /// From where.
        offset: u64,
        /// How many.
        len: usize,
    },
    /// A job is done.
    Compute(Token, Box<Job>),
    /// The application takes something.
    Deliver(Delivery),
    /// A transport that paces has room again.
    Ready(LinkId),
}

/// The time that a batch takes to write; `sync` is that of a durable one beside its bytes.
pub fn writing(batch: &Batch, sync: Nanos) -> Nanos {
    let bytes = batch.records.iter().map(|record| match record {
        Record::Put { key, value, .. } => key.len() + value.len(),
        Record::Write { bytes, .. } => bytes.len(),
        Record::Journal(note) => note.len(),
        Record::Delete { .. }
        | Record::Create { .. }
        | Record::Remove { .. }
        | Record::Vacate { .. } => 0,
    });
    let fixed = if batch.durable { sync } else { TOUCH };
    fixed + bytes.sum::<usize>() as u64 / DISK_PER_MICRO * 1000
}

/// The time that so many bytes take to read.
pub fn reading(len: usize) -> Nanos {
    TOUCH + len as u64 / DISK_PER_MICRO * 1000
}

/// The time that a job takes.
pub fn computing(job: &Job) -> Nanos {
    let bytes = match job {
        Job::Code(coding::Job::Encode { source, .. }) => source.len(),
        Job::Code(coding::Job::Decode { source, repair, .. }) => source.len() + repair.len(),
        Job::Digest { bytes, .. } => bytes.len(),
    };
    bytes as u64 / WORK_PER_MICRO * 1000
}

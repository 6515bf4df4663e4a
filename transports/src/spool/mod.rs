//! Frames through a folder: a stick, a shared drive, whatever carries or syncs files.
//!
//! Every node that uses a folder writes batches of frames into it and reads those of all others. [`batch`] has
//! the layout of a batch byte by byte. Its name is `<origin>-<tag>-<random>.ostk`, each 16 lower-case
//! hexadecimal digits: the random id of the node that wrote it, the group of its frames, and a random
//! number. Until it is whole and on the disk it is named `.<name>.tmp`.
//!
//! A node touches nothing in the folder but its own files. It deletes its own batches when their tag is
//! purged, also those from before a restart. Which batches of others it has read, it remembers in memory by
//! name, size and time of change: after a restart they are delivered again, and the engine above drops
//! duplicates. A batch without its end, because it is still being copied or was cut, gives its intact records
//! once its size and time stood still between two looks, and the rest when it grows.

pub mod batch;
mod courier;
mod folder;
mod scan;
mod task;
mod worker;

pub use courier::{ExportSummary, ImportSummary, OwnBatch, export, import, own_batches, remove};
pub use scan::{MAX_BATCHES, MAX_FILE};

use crate::{Direction, EventSender, LinkCounters, LinkHandle, LinkId, LinkKind, LinkProfile};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The largest frame that a spool link carries, in bytes.
///
/// A symbol of 1344 bytes, 30 bytes of fragment overhead and a carrier envelope of 16: what a QUIC path
/// carries as well, so a fragment made for the one fits the other whole.
pub const SPOOL_MTU: usize = 1390;

/// [`SpoolSpec::batch_bytes`] unless set, in bytes.
pub const DEFAULT_BATCH_BYTES: usize = 1 << 20;

const MAX_BATCH_BYTES: usize = 16 << 20;
const ORDERS: usize = 256;

/// How a folder is used.
#[derive(Clone, Debug)]
pub struct SpoolSpec {
    /// The folder. It is never created: a missing folder is a stick that is not plugged in.
    pub dir: PathBuf,
    /// A random id of this node, the same after a restart: it skips and purges its own batches by it.
    pub origin: [u8; 8],
    /// A batch is written when it has this many bytes; at most 16 MiB.
    pub batch_bytes: usize,
    /// What our batches may take in the folder, in bytes; files count in blocks of 4 KiB.
    pub max_bytes: u64,
    /// A batch is written this long after its first frame at the latest.
    pub batch_delay: Duration,
    /// How often the folder is looked through.
    pub poll_interval: Duration,
    /// Which way frames travel.
    pub direction: Direction,
}

impl SpoolSpec {
    /// Both ways; batches of 1 MiB or 300 ms, 1 GiB in all, a look every 500 ms.
    pub fn new(dir: impl Into<PathBuf>, origin: [u8; 8]) -> Self {
        Self {
            dir: dir.into(),
            origin,
            batch_bytes: DEFAULT_BATCH_BYTES,
            max_bytes: 1 << 30,
            batch_delay: Duration::from_millis(300),
            poll_interval: Duration::from_millis(500),
            direction: Direction::Both,
        }
    }

    fn sends(&self) -> bool {
        self.direction != Direction::ReceiveOnly
    }

    fn receives(&self) -> bool {
        self.direction != Direction::SendOnly
    }

    fn profile(&self, writable: bool) -> LinkProfile {
        LinkProfile {
            kind: LinkKind::Spool,
            mtu: SPOOL_MTU,
            rate_bps: None,
            rtt: None,
            direction: if writable {
                self.direction
            } else {
                Direction::ReceiveOnly
            },
            store_and_forward: true,
            peer_key: None,
            notice: None,
        }
    }
}

/// Why export or import by hand failed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A batch could not be written.
    #[error("cannot write a batch to {}: {source}; make room or make the folder writable, then export again", dir.display())]
    Write {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder could not be listed.
    #[error("cannot look into {}: {source}; check the path and that the medium is mounted", dir.display())]
    Read {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A link through a folder.
#[derive(Debug)]
pub struct SpoolLink;

impl SpoolLink {
    /// Starts the link; needs a tokio runtime with time.
    ///
    /// `Up` when the folder is there, `Down` with the reason when it is not. When a batch cannot be written
    /// (no space, read-only) the link says `Down` with the reason, its frames count as dropped, and it comes
    /// back as receive-only until a probe, tried every tenth look, can be written. A full quota ends the credit, not the link.
    /// Frames that were handed over before the handle is dropped are still written.
    pub fn spawn(link: LinkId, spec: SpoolSpec, events: EventSender) -> LinkHandle {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (counters, watched) = watch::channel(LinkCounters::default());
        let task = task::Task::new(link, spec, events, counters);
        tokio::spawn(task.run(inbox));
        LinkHandle {
            orders,
            counters: watched,
        }
    }
}

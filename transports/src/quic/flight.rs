//! What all controllers of ours keep of a connection: what is under way, as far as the library tells, and what only whoever
//! drives the connection can tell.

use super::model::PACKET;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Bytes that have left and are worth a look at what waits.
const WORTH_A_LOOK: u64 = 64 << 10;

/// What the library does not tell its controllers. Copies of one share it.
#[derive(Debug, Default)]
struct Told {
    /// For how long nothing was heard, in nanoseconds.
    nanos: AtomicU64,
    /// A packet is to leave, whatever is under way.
    asks: AtomicBool,
}

/// What is under way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// From here on time is counted.
    origin: Instant,
    bytes: u64,
    told: Arc<Told>,
    /// Bytes that have left since the bell rang.
    unsaid: u64,
    /// Copies of one share it, too.
    left: Arc<Notify>,
}

impl Flight {
    /// Nothing is.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            bytes: 0,
            told: Arc::default(),
            unsaid: 0,
            left: Arc::default(),
        }
    }

    /// A moment, counted from the first.
    pub(super) fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.origin)
    }

    /// So many bytes have left.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.told.asks.store(false, Ordering::Relaxed);
        self.unsaid += bytes;
        if self.unsaid >= WORTH_A_LOOK {
            self.unsaid = 0;
            self.left.notify_one();
        }
    }

    /// Rings whenever [`WORTH_A_LOOK`] bytes more have left.
    pub(super) fn bell(&self) -> Arc<Notify> {
        self.left.clone()
    }

    /// Acknowledgements came, and so many bytes are still under way.
    pub(super) fn acked(&mut self, in_flight: u64) {
        self.bytes = in_flight;
        self.told.nanos.store(0, Ordering::Relaxed);
    }

    /// So many bytes were lost.
    pub(super) fn lost(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Nothing was heard for so long that should have been; `asks`: a sign is to be asked for.
    pub(super) fn tell_silence(&self, silence: Duration, asks: bool) {
        let nanos = u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX);
        self.told.nanos.store(nanos, Ordering::Relaxed);
        self.told.asks.fetch_or(asks, Ordering::Relaxed);
    }

    /// For how long nothing was heard that should have been.
    pub(super) fn silence(&self) -> Duration {
        Duration::from_nanos(self.told.nanos.load(Ordering::Relaxed))
    }

    /// A window, with room for a sign if one is to be asked for.
    pub(super) fn window(&self, window: u64) -> u64 {
        match self.told.asks.load(Ordering::Relaxed) {
            true => window.max(self.bytes + 2 * PACKET),
            false => window,
        }
    }
}

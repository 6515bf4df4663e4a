//! What became of the packets offered to a link.

use super::Nanos;
use super::flight::Flying;

/// Counts of one direction of a link. Every packet offered is in exactly one of `delivered`, `lost`, `queue_full`,
/// `aqm`, `too_big`, `cut`, or still in flight; copies that the link made are in `duplicated` alone. Line bytes are bytes with overhead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Packets offered, whatever became of them.
    pub offered: u64,
    /// Their bytes, without overhead.
    pub offered_bytes: u64,
    /// Their bytes, with overhead.
    pub offered_line_bytes: u64,
    /// Packets whose last bit has left the transmitter, lost ones included.
    pub sent: u64,
    /// Their bytes, with overhead.
    pub sent_line_bytes: u64,
    /// Packets that have arrived, damaged ones included.
    pub delivered: u64,
    /// Their bytes, without overhead.
    pub delivered_bytes: u64,
    /// Their bytes, with overhead.
    pub delivered_line_bytes: u64,
    /// Packets lost by chance. Counted when they have left the transmitter.
    pub lost: u64,
    /// Their bytes, with overhead.
    pub lost_line_bytes: u64,
    /// Packets dropped because the queue was full: the sender's doing, not the line's.
    pub queue_full: u64,
    /// Packets dropped by the queue discipline on their way out of the queue.
    pub aqm: u64,
    /// Bytes, with overhead, of the packets that the queue dropped: because it was full, or by its discipline.
    pub queue_dropped_line_bytes: u64,
    /// Packets dropped because they were above the MTU.
    pub too_big: u64,
    /// Packets dropped because the link was cut, when offered or on their way.
    pub cut: u64,
    /// Packets damaged on their way; they count as delivered (or cut) as well.
    pub corrupted: u64,
    /// Second copies that have arrived.
    pub duplicated: u64,
    /// Packets that arrived after one that was sent later (RFC 4737, section 3.3). Counted when they are handed out.
    pub reordered: u64,
    /// Bytes in the queue, the one that is being sent included, over time, in bytes times nanoseconds: what a span of time
    /// adds, divided by it, is the mean queue. Packets that wait still or are dropped later count for as long as they have
    /// waited.
    pub queue_byte_nanos: u128,
    /// How long the link has been in the bad state of its bursts, if those are clocked by time.
    pub bad_nanos: Nanos,
}

impl LinkStats {
    /// Packets that wait or are on their way.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let done =
            self.delivered + self.lost + self.queue_full + self.aqm + self.too_big + self.cut;
        self.offered.saturating_sub(done)
    }

    /// Counts a packet that has arrived.
    pub(crate) fn deliver<P>(&mut self, flying: &Flying<P>) {
        if flying.arrival.copy {
            self.duplicated += 1;
            return;
        }
        self.delivered += 1;
        self.delivered_bytes += flying.arrival.len as u64;
        self.delivered_line_bytes += flying.line_bytes;
    }
}

impl std::fmt::Display for LinkStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "offered {} ({} B), delivered {} ({} B), lost {}, queue full {}, AQM {}, too big {}, cut {}, corrupted {}, duplicated {}, reordered {}, in flight {}",
            self.offered,
            self.offered_bytes,
            self.delivered,
            self.delivered_bytes,
            self.lost,
            self.queue_full,
            self.aqm,
            self.too_big,
            self.cut,
            self.corrupted,
            self.duplicated,
            self.reordered,
            self.in_flight()
        )
    }
}

//! What became of the frames of a station, sent and heard.

use crate::model::Nanos;
use crate::model::queue::Waiting;

/// Counts of one station of a channel.
///
/// Every frame offered is in exactly one of `sent`, `queue_full`, `too_big`, `cut`, or still waits. Every frame that ended
/// within reach is, at each station that hears its sender, in exactly one of `delivered`, `lost`, `collided`, `deaf` or
/// `missed_down`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StationStats {
    /// Frames offered to this station's transmitter, whatever became of them.
    pub offered: u64,
    /// Their bytes, without overhead.
    pub offered_bytes: u64,
    /// Frames whose transmission has begun.
    pub sent: u64,
    /// Their bytes, without overhead.
    pub sent_bytes: u64,
    /// Their bytes, with overhead.
    pub sent_line_bytes: u64,
    /// How long the transmitter was keyed for them, the delay before the first bit included.
    pub keyed_nanos: Nanos,
    /// Frames dropped because the queue was full.
    pub queue_full: u64,
    /// Frames dropped because they were above the MTU.
    pub too_big: u64,
    /// Frames dropped because the station was switched off, when offered or waiting; and those whose transmission that cut,
    /// which count as sent as well.
    pub cut: u64,
    /// Frames heard whole, damaged ones included. Counted at the end of their transmission.
    pub delivered: u64,
    /// Their bytes, without overhead.
    pub delivered_bytes: u64,
    /// Of these, damaged ones.
    pub corrupted: u64,
    /// Frames missed by chance.
    pub lost: u64,
    /// Frames that another one drowned at this station.
    pub collided: u64,
    /// Frames missed because the station was transmitting itself.
    pub deaf: u64,
    /// Frames missed because the station was switched off.
    pub missed_down: u64,
    /// How long the station has been in the bad state of its bursts, if those are clocked by time.
    pub bad_nanos: Nanos,
}

impl StationStats {
    pub(super) fn send<P>(&mut self, frame: &Waiting<P>, keyed: Nanos) {
        self.sent += 1;
        self.sent_bytes += frame.len as u64;
        self.sent_line_bytes += frame.line_bytes;
        self.keyed_nanos = self.keyed_nanos.saturating_add(keyed);
    }

    pub(super) fn receive(&mut self, len: usize, damaged: bool) {
        self.delivered += 1;
        self.delivered_bytes += len as u64;
        self.corrupted += u64::from(damaged);
    }

    /// Takes back a frame that was on its way to a station when that was switched off.
    pub(super) fn undo(&mut self, len: usize, damaged: bool) {
        self.delivered -= 1;
        self.delivered_bytes -= len as u64;
        self.corrupted -= u64::from(damaged);
        self.missed_down += 1;
    }
}

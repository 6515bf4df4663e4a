//! What a world has counted. No clock is involved: the same run gives the same counts.

use crate::model::Nanos;

use super::HostId;

/// Counts of a whole world. What became of packets on a link is in its [`LinkStats`](crate::model::LinkStats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Events taken: calls of hosts, faults, actions, packets dropped on arrival.
    pub events: u64,
    /// Packets that hosts have sent.
    pub packets: u64,
    /// Packets that came to a host, copies included.
    pub arrived: u64,
    /// Packets sent on a port that does not exist or that only receives.
    pub no_way: u64,
    /// Packets that came to a host that was stopped.
    pub host_down: u64,
    /// Packets that came while a cut was in force that nobody noticed.
    pub cut_unnoticed: u64,
    /// Packets dropped by meddling.
    pub meddled_dropped: u64,
    /// Packets that meddling made late, reordering included.
    pub meddled_late: u64,
    /// Packets doubled by meddling.
    pub meddled_doubled: u64,
    /// Packets changed by meddling.
    pub meddled_corrupted: u64,
    /// The most events that waited in the queue at a time: the bound on the world's memory beside what links hold.
    pub peak_events: u64,
    /// The most packets that meddling held back at a time.
    pub peak_late: u64,
}

/// What a host noted, see [`Out::note`](super::Out::note).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When, in true time.
    pub at: Nanos,
    /// Who.
    pub host: HostId,
    /// What about.
    pub name: &'static str,
    /// In words.
    pub text: String,
    /// A number that goes with it.
    pub value: u64,
}

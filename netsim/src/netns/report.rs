//! What a network tells of itself, for people and for programs.

use serde::{Deserialize, Serialize};

use super::air::StationCounts;
use super::direction::Counts;
use super::names::HostName;
use crate::emulate::Lateness;

/// A network that is up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkReport {
    /// The process that carries it.
    pub pid: u32,
    /// Seconds since it came up.
    pub uptime_s: f64,
    /// Its links.
    pub links: Vec<LinkReport>,
}

/// A link of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkReport {
    /// Its name, which is the name of the device on both hosts.
    pub name: String,
    /// Its profile, with what was changed about it.
    pub profile: String,
    /// Whether it is cut.
    pub cut: bool,
    /// There and back, if it is a pair of links.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directions: Vec<DirectionReport>,
    /// Its stations, if it is a channel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stations: Vec<StationReport>,
}

/// One direction of a link. Lengths are those of IP packets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DirectionReport {
    /// The sending host.
    pub from: String,
    /// The receiving host.
    pub to: String,
    /// Packets that programs sent.
    pub offered: u64,
    /// Their bytes.
    pub offered_bytes: u64,
    /// Packets that arrived.
    pub delivered: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Bytes that have left the transmitter, lost ones and overhead included.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Packets that the link lost by chance.
    pub lost: u64,
    /// Their bytes, with overhead.
    #[serde(default)]
    pub lost_bytes: u64,
    /// Packets that found the queue full.
    pub queue_full: u64,
    /// Packets that the queue discipline dropped.
    pub aqm: u64,
    /// Packets above the MTU.
    pub too_big: u64,
    /// Packets lost because the link was cut.
    pub cut: u64,
    /// Packets that arrived damaged.
    pub corrupted: u64,
    /// Second copies that the link made.
    pub duplicated: u64,
    /// Packets that arrived after one that was sent later.
    pub reordered: u64,
    /// Bytes that wait for the line now.
    pub queued_bytes: u64,
    /// Bytes in the queue over time, in bytes times seconds: what a span of time adds, divided by it, is the mean queue.
    #[serde(default)]
    pub queue_byte_s: f64,
    /// Packets that the kernel dropped before the emulator read them: the machine was too busy.
    pub missed: u64,
    /// Packets that the kernel did not take from the emulator: damaged beyond being an IP packet.
    pub refused: u64,
    /// How late the emulator was against its own model.
    pub lateness: LatenessReport,
}

/// A station of a channel. Lengths are those of IP packets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StationReport {
    /// The host.
    pub host: String,
    /// Packets that its programs sent.
    pub offered: u64,
    /// Their bytes.
    pub offered_bytes: u64,
    /// Packets whose transmission has begun.
    pub sent: u64,
    /// Packets that found the queue full.
    pub queue_full: u64,
    /// Packets above the MTU.
    pub too_big: u64,
    /// Packets lost because the channel was cut.
    pub cut: u64,
    /// Packets heard whole.
    pub delivered: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Of these, damaged ones.
    pub corrupted: u64,
    /// Packets missed by chance.
    pub lost: u64,
    /// Packets that another one drowned.
    pub collided: u64,
    /// Packets missed because the station was transmitting itself.
    pub deaf: u64,
    /// Bytes that wait for the transmitter now.
    pub queued_bytes: u64,
    /// Packets that the kernel dropped before the emulator read them: the machine was too busy.
    pub missed: u64,
    /// Packets that the kernel did not take from the emulator: damaged beyond being an IP packet.
    pub refused: u64,
    /// How late the emulator was against its own model.
    pub lateness: LatenessReport,
}

/// How late packets were handed on after the time that the model says, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatenessReport {
    /// Half of them not more than this.
    pub median_us: f64,
    /// 99 % of them not more than this.
    pub p99_us: f64,
    /// The latest.
    pub worst_us: f64,
}

impl DirectionReport {
    pub(super) fn new(from: &HostName, to: &HostName, counts: &Counts, missed: u64) -> Self {
        let link = &counts.link;
        Self {
            from: from.to_string(),
            to: to.to_string(),
            offered: link.offered,
            offered_bytes: link.offered_bytes,
            delivered: link.delivered,
            delivered_bytes: link.delivered_bytes,
            sent_bytes: link.sent_line_bytes,
            lost: link.lost,
            lost_bytes: link.lost_line_bytes,
            queue_full: link.queue_full,
            aqm: link.aqm,
            too_big: link.too_big,
            cut: link.cut,
            corrupted: link.corrupted,
            duplicated: link.duplicated,
            reordered: link.reordered,
            queued_bytes: counts.queued_bytes,
            queue_byte_s: link.queue_byte_nanos as f64 / 1e9,
            missed,
            refused: counts.refused,
            lateness: LatenessReport::new(&counts.lateness),
        }
    }
}

impl StationReport {
    pub(super) fn new(host: &HostName, counts: &StationCounts, missed: u64) -> Self {
        let station = &counts.station;
        Self {
            host: host.to_string(),
            offered: station.offered,
            offered_bytes: station.offered_bytes,
            sent: station.sent,
            queue_full: station.queue_full,
            too_big: station.too_big,
            cut: station.cut,
            delivered: station.delivered,
            delivered_bytes: station.delivered_bytes,
            corrupted: station.corrupted,
            lost: station.lost,
            collided: station.collided,
            deaf: station.deaf,
            queued_bytes: counts.queued_bytes,
            missed,
            refused: counts.refused,
            lateness: LatenessReport::new(&counts.lateness),
        }
    }
}

impl LatenessReport {
    fn new(lateness: &Lateness) -> Self {
        let micros = |percent| lateness.percentile(percent).as_nanos() as f64 / 1000.0;
        Self {
            median_us: micros(50.0),
            p99_us: micros(99.0),
            worst_us: lateness.max().as_nanos() as f64 / 1000.0,
        }
    }
}

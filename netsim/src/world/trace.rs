//! The trace: every event as one record, and one running BLAKE3 hash over them all.

use twox_hash::XxHash3_128;

use crate::model::{Nanos, Offered};

use super::fault::LinkId;
use super::{HostId, Port};

/// One event of a world, as it goes into the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// A host's program starts.
    Start(HostId),
    /// A host's program stops.
    Stop(HostId, super::Stop),
    /// A host gave a packet to a transmitter; packets are numbered in this order over the whole world.
    Sent {
        /// Who sent it.
        host: HostId,
        /// Where.
        port: Port,
        /// The number of the packet.
        packet: u64,
        /// Its bytes.
        bytes: &'a [u8],
        /// What the transmitter made of it; `None` if there is no such port or no way out by it.
        offered: Option<Offered>,
    },
    /// A packet came to a host.
    Arrived {
        /// Who got it.
        host: HostId,
        /// Where.
        port: Port,
        /// The number of the packet.
        packet: u64,
        /// BLAKE3 of the bytes that arrived, if they are others than were sent.
        damaged: Option<[u8; 32]>,
    },
    /// A packet came by a link to a host that is stopped, or a fault dropped it.
    Dropped {
        /// Who would have got it.
        host: HostId,
        /// The number of the packet.
        packet: u64,
    },
    /// A port came up or went down, and the host was told.
    Link(HostId, Port, bool),
    /// A transmitter told its host that it is free.
    Ready(HostId, Port),
    /// A host's timer.
    Timer(HostId),
    /// Something that a host asked for is done.
    Done(HostId, u64),
    /// A fault took effect; its place in the plan.
    Fault(usize),
    /// A fault ended; its place in the plan.
    FaultEnd(usize),
    /// A link came up or went down, told or not.
    Up(LinkId, bool),
    /// An action of whoever drives the world.
    Action,
    /// A note of a host.
    Note(HostId, &'a str, &'a str, u64),
}

type Sink = Box<dyn FnMut(Nanos, &Record<'_>)>;

/// Records are hashed many at a time, for which BLAKE3 has vector code.
const HASHED_AT_ONCE: usize = 64 << 10;

pub(super) struct Trace {
    hasher: blake3::Hasher,
    /// Records that were not hashed yet.
    unhashed: Vec<u8>,
    sink: Option<Sink>,
}

impl Trace {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            unhashed: seed.to_le_bytes().to_vec(),
            sink: None,
        }
    }

    pub(super) fn set_sink(&mut self, sink: Sink) {
        self.sink = Some(sink);
    }

    pub(super) fn add(&mut self, at: Nanos, record: &Record<'_>) {
        self.unhashed.extend_from_slice(&at.to_le_bytes());
        encode(record, &mut self.unhashed);
        if self.unhashed.len() >= HASHED_AT_ONCE {
            self.hasher.update(&self.unhashed);
            self.unhashed.clear();
        }
        if let Some(sink) = &mut self.sink {
            sink(at, record);
        }
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        *self
            .hasher
            .clone()
            .update(&self.unhashed)
            .finalize()
            .as_bytes()
    }
}

/// What tells packets apart that nobody has made to look alike: their XXH3 of 128 bits. Most of what a busy world does is
/// packets, and a digest of each would take longer than carrying it.
#[must_use]
pub fn fingerprint(packet: &[u8]) -> [u8; 16] {
    XxHash3_128::oneshot(packet).to_le_bytes()
}

/// A record as bytes: a kind, then its fields in fixed width, packets as their fingerprint, texts with their length first.
/// No two records encode alike.
fn encode(record: &Record<'_>, line: &mut Vec<u8>) {
    let mut put = |kind: u8, words: &[u64]| {
        line.push(kind);
        for word in words {
            line.extend_from_slice(&word.to_le_bytes());
        }
    };
    match *record {
        Record::Start(host) => put(1, &[host.0.into()]),
        Record::Stop(host, how) => put(2, &[host.0.into(), how as u64]),
        Record::Sent {
            host,
            port,
            packet,
            bytes,
            offered,
        } => {
            let fate = offered.map_or(0, |offered| 1 + offered as u64);
            let len = bytes.len() as u64;
            put(3, &[host.0.into(), port.0.into(), packet, len, fate]);
            line.extend_from_slice(&fingerprint(bytes));
        }
        Record::Arrived {
            host,
            port,
            packet,
            damaged,
        } => {
            put(4, &[host.0.into(), port.0.into(), packet]);
            line.push(u8::from(damaged.is_some()));
            line.extend(damaged.iter().flatten());
        }
        Record::Dropped { host, packet } => put(5, &[host.0.into(), packet]),
        Record::Link(host, port, up) => put(6, &[host.0.into(), port.0.into(), up.into()]),
        Record::Ready(host, port) => put(7, &[host.0.into(), port.0.into()]),
        Record::Timer(host) => put(8, &[host.0.into()]),
        Record::Done(host, token) => put(9, &[host.0.into(), token]),
        Record::Fault(place) => put(10, &[place as u64]),
        Record::FaultEnd(place) => put(11, &[place as u64]),
        Record::Up(link, up) => put(12, &[link.0.into(), up.into()]),
        Record::Action => put(13, &[]),
        Record::Note(host, name, text, value) => {
            put(
                14,
                &[host.0.into(), name.len() as u64, text.len() as u64, value],
            );
            line.extend_from_slice(name.as_bytes());
            line.extend_from_slice(text.as_bytes());
        }
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}

//! A relay of a simulated world: keeps frames for others by their mailbox tags and passes them on, with no key of
//! anybody. It knows who is behind which port as its operator's static routes say, and nothing else.
//!
//! In this model nothing is repeated from hop to hop: what a hop loses is made good from end to end. So a relay here is
//! never kinder than the one of the field, whose connections repeat what they lose.

use crate::engine::io::LinkProfile;
use crate::engine::reassembly::Reassembly;
use crate::wire::envelope::{self, Envelope, MailboxTag};
use crate::wire::piece::{self, Piece};
use crate::wire::{FrameKind, frame_kind};
use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::world::{Host, Out, Port, Stop, fingerprint};
use std::collections::{BTreeMap, HashSet};

/// Frames that a port may have waiting, in bytes, if nothing else is said.
pub const QUEUE_BYTES: usize = 256 << 20;
/// What a port without a transmitter to wait for is given of its rate, in parts of 100: nothing else slows it down.
const PACE_PERCENT: u64 = 98;

/// A port of the relay.
#[derive(Clone, Debug)]
pub struct RelayPort {
    /// What it is like.
    pub profile: LinkProfile,
    /// The transmitter tells when it is free.
    pub tells: bool,
    /// The port says whether it is up; otherwise it always seems so.
    pub notices: bool,
    /// Bits a second that leave by it, headers of `overhead` bytes a frame included.
    pub rate_bps: Option<u64>,
    /// See `rate_bps`.
    pub overhead: u64,
}

/// A frame, or a piece of one, before a port.
#[derive(Debug)]
struct Waiting {
    bytes: Bytes,
    /// The frame that has left with it.
    ends: Option<[u8; 16]>,
}

#[derive(Debug)]
struct Lane {
    setup: RelayPort,
    /// What waits, the urgent first and then in the order in which it came.
    waiting: BTreeMap<(u8, u64), Waiting>,
    waiting_bytes: usize,
    next_waiting: u64,
    up: bool,
    /// The transmitter is free, or will be then.
    free_at: Option<Nanos>,
    reassembly: Reassembly,
    /// The number of the next frame that has to be cut.
    next_number: u16,
}

/// A relay.
#[derive(Debug, Default)]
pub struct Relay {
    /// Frames that each port may have waiting, in bytes.
    room: usize,
    lanes: Vec<Lane>,
    /// Which port leads nearer to the owner of a mailbox.
    routes: BTreeMap<MailboxTag, Port>,
    /// Frames that wait here, by what their envelopes hold: a second copy of one is of no use.
    held: HashSet<[u8; 16]>,
    /// What was dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Frames passed on.
    pub passed_on: u64,
    /// The most bytes that waited before one of its ports.
    pub peak_bytes: usize,
}

impl Relay {
    /// Bytes that may wait before each port.
    pub fn room(&self) -> usize {
        self.room
    }

    /// A relay without ports, whose ports have room for so many bytes each.
    pub fn new(room: usize) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }

    /// Configures the next port.
    pub fn add_port(&mut self, setup: RelayPort) {
        self.lanes.push(Lane {
            setup,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            next_waiting: 0,
            up: false,
            free_at: Some(0),
            reassembly: Reassembly::default(),
            next_number: 0,
        });
    }

    /// Has frames for these mailboxes leave by a port.
    pub fn route(&mut self, tags: impl IntoIterator<Item = MailboxTag>, port: Port) {
        self.routes.extend(tags.into_iter().map(|tag| (tag, port)));
    }

    fn count(&mut self, why: &'static str) {
        *self.dropped.entry(why).or_default() += 1;
    }

    fn take(&mut self, now: Nanos, from: Port, frame: Bytes, out: &mut Out<'_>) {
        let Ok((envelope, inner)) = Envelope::unwrap(&frame) else {
            return self.count("no carrier envelope");
        };
        let Some(hops) = envelope.hops.checked_sub(1) else {
            return self.count("no hops left");
        };
        let Some(&port) = self.routes.get(&envelope.tag) else {
            return self.count("no route to that mailbox");
        };
        if port == from {
            return self.count("came from where it would go");
        }
        // A preamble is repeated on purpose: what comes behind it needs one that arrives.
        let name = matches!(frame_kind(inner), FrameKind::Fragment(_)).then(|| fingerprint(inner));
        if name.is_some_and(|name| self.held.contains(&name)) {
            return self.count("held already");
        }
        let frame = envelope::with_hops(frame, hops);
        self.enqueue(port, envelope.priority, name, &frame);
        self.serve(now, port, out);
    }

    /// Puts a frame before a port, in pieces if it is larger than the port carries.
    fn enqueue(&mut self, port: Port, priority: u8, name: Option<[u8; 16]>, frame: &Bytes) {
        let Some(lane) = self.lanes.get_mut(port.0 as usize) else {
            return self.count("no such port");
        };
        lane.next_number = lane.next_number.wrapping_add(1);
        let pieces = piece::cut(frame, lane.setup.profile.mtu, lane.next_number);
        if pieces.is_empty() {
            return self.count("too large for the next hop");
        }
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        if lane.waiting_bytes + bytes > self.room {
            return self.count("full");
        }
        self.held.extend(name);
        let last = pieces.len() - 1;
        for (i, bytes) in pieces.into_iter().enumerate() {
            lane.waiting_bytes += bytes.len();
            let ends = name.filter(|_| i == last);
            let piece = Waiting { bytes, ends };
            lane.waiting.insert((priority, lane.next_waiting), piece);
            lane.next_waiting += 1;
        }
        self.peak_bytes = self.peak_bytes.max(lane.waiting_bytes);
    }

    /// Sends what waits before a port, as far as its transmitter is free.
    fn serve(&mut self, now: Nanos, port: Port, out: &mut Out<'_>) {
        let Some(lane) = self.lanes.get_mut(port.0 as usize) else {
            return;
        };
        while lane.up && lane.free_at.is_some_and(|at| at <= now) {
            let Some((_, Waiting { bytes: frame, ends })) = lane.waiting.pop_first() else {
                return;
            };
            if let Some(name) = ends {
                self.held.remove(&name);
            }
            lane.waiting_bytes -= frame.len();
            lane.free_at = match (lane.setup.tells, lane.setup.rate_bps) {
                (true, _) => None,
                (false, None) => Some(now),
                (false, Some(rate)) => {
                    let bits = (frame.len() as u64 + lane.setup.overhead) * 8;
                    let pace = (rate / 100).max(1) * PACE_PERCENT;
                    Some(now + bits * 1_000_000_000 / pace.max(1))
                }
            };
            self.passed_on += 1;
            out.send(port, frame);
        }
        self.set_alarm(now, out);
    }

    fn set_alarm(&self, now: Nanos, out: &mut Out<'_>) {
        let waiting = |lane: &&Lane| lane.up && !lane.waiting.is_empty();
        let next = self.lanes.iter().filter(waiting).filter_map(|l| l.free_at);
        match next.min() {
            Some(at) => out.wake_at(at.max(now + 1)),
            None => out.sleep(),
        }
    }

    fn serve_all(&mut self, now: Nanos, out: &mut Out<'_>) {
        for port in 0..self.lanes.len() {
            self.serve(now, Port(port as u32), out);
        }
    }
}

impl Host for Relay {
    fn start(&mut self, now: Nanos, out: &mut Out<'_>) {
        for lane in &mut self.lanes {
            lane.up = !lane.setup.notices;
            lane.free_at = Some(now);
        }
        self.serve_all(now, out);
    }

    fn packet(&mut self, now: Nanos, port: Port, packet: Bytes, out: &mut Out<'_>) {
        let Some(lane) = self.lanes.get_mut(port.0 as usize) else {
            return;
        };
        let frame = match Piece::decode(&packet) {
            Ok(piece) => lane.reassembly.take(&piece),
            Err(_) => Some(packet),
        };
        if let Some(frame) = frame {
            self.take(now, port, frame, out);
        }
    }

    fn link(&mut self, now: Nanos, port: Port, up: bool, out: &mut Out<'_>) {
        if let Some(lane) = self.lanes.get_mut(port.0 as usize) {
            lane.up = up;
            // What was with the transmitter is gone with the link.
            lane.free_at = Some(now);
        }
        self.serve(now, port, out);
    }

    fn ready(&mut self, now: Nanos, port: Port, out: &mut Out<'_>) {
        if let Some(lane) = self.lanes.get_mut(port.0 as usize) {
            lane.free_at = Some(now);
        }
        self.serve(now, port, out);
    }

    fn timer(&mut self, now: Nanos, out: &mut Out<'_>) {
        self.serve_all(now, out);
    }

    /// Its store is durable, so a stop costs what was with the transmitters only.
    fn stop(&mut self, _now: Nanos, _how: Stop) {
        for lane in &mut self.lanes {
            (lane.up, lane.reassembly) = (false, Reassembly::default());
        }
    }
}

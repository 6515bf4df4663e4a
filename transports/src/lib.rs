//! Carries opaque frames over real links and says what each link is like.
//!
//! A transport moves bytes. It has never heard of a message, a person or a fragment: it takes frames,
//! delivers frames, and reports a [`LinkProfile`]. So it can be used without ostrakon.
//!
//! # Contract
//!
//! Every configured link is one task, started by a `spawn` function of its module, which returns a
//! [`LinkHandle`]. Facts flow out as [`LinkEvent`]s on a channel that the caller gives; orders flow in as
//! [`LinkOrder`]s through the handle.
//!
//! * **Links pull.** A link that can take a frame says [`LinkEvent::Ready`] with the number of further frames
//!   it has room for; the caller sends at most that many [`LinkOrder::Transmit`]. Credit that a link has given
//!   is void when it goes down. Links keep little credit outstanding, so that the caller decides late what is
//!   sent next.
//! * A link starts down. `Up` and `Down` alternate; `Changed` comes only while it is up. One exception: a link
//!   that is down may say `Down` again when the reason is another one, such as a key that does not match.
//! * A frame never exceeds [`LinkProfile::mtu`]; a link whose physical frames are smaller than [`MIN_MTU`]
//!   segments and reassembles by itself. An oversized frame is dropped and counted, never an error that
//!   stops the link.
//! * A frame arrives whole or not at all, at most as often as it was carried; loss, duplication and
//!   reordering are allowed.
//! * [`LinkEvent::Received`] with a custody number means that the far side still holds the frame: it is kept
//!   there until [`LinkOrder::Release`] names that number or a higher one.
//! * Dropping the handle ends the task and closes what it opened.
//! * Everything from outside is bounded and checked; bad input is dropped and counted in [`LinkCounters`].

#[cfg(all(feature = "break-32", not(debug_assertions)))]
compile_error!(
    "the feature break-32 takes a defence away; build without it, or with debug assertions"
);

pub mod keys;
pub mod quic;
pub mod relay;
pub mod segment;
pub mod serial;
pub mod spool;

use bytes::Bytes;
use std::time::Duration;
use tokio::sync::mpsc;

/// The least frame size that every link carries whole, in bytes.
///
/// One slice of 192 bytes and the 30 bytes of a wide fragment's overhead. A link with smaller physical frames
/// segments below this contract.
pub const MIN_MTU: usize = 222;

/// Names a link within one process. The caller chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// Which way frames can travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    Both,
    /// Only from here to the far side.
    SendOnly,
    /// Only from the far side to here.
    ReceiveOnly,
}

/// The kind of link, as users name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// A QUIC connection straight to the recipient's node.
    Quic,
    /// A mailbox on a relay.
    Relay,
    /// A serial line.
    Serial,
    /// A folder of batches.
    Spool,
}

impl LinkKind {
    /// The name as it stands in link addresses and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Relay => "relay",
            Self::Serial => "serial",
            Self::Spool => "spool",
        }
    }
}

/// What a transport knows of its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkProfile {
    /// The kind of link.
    pub kind: LinkKind,
    /// The largest frame it carries now, in bytes; at least [`MIN_MTU`].
    pub mtu: usize,
    /// Its rate if configured or known, in bits per second.
    pub rate_bps: Option<u64>,
    /// The round-trip time if configured or measured by the transport.
    pub rtt: Option<Duration>,
    /// Which way frames travel.
    pub direction: Direction,
    /// The far side keeps frames for others (relay, spool), so frames need a carrier envelope.
    pub store_and_forward: bool,
    /// The key with which the far side proved itself, where it did so.
    pub peer_key: Option<[u8; 32]>,
    /// What is not as it should be although the link carries frames, and what to do.
    pub notice: Option<&'static str>,
}

/// What a link tells its owner.
#[derive(Debug)]
pub enum LinkEvent {
    /// The link can carry frames from now on.
    Up(LinkProfile),
    /// The profile of a link that is up changed (path MTU found, rate measured).
    Changed(LinkProfile),
    /// The link is gone for now; it tries again by itself. The text says why, for people.
    Down(String),
    /// Room for this many further frames.
    Ready(usize),
    /// A frame arrived.
    Received {
        /// The frame, opaque. It may be a slice of a larger buffer, all of which it holds: who keeps it copies it.
        frame: Bytes,
        /// The far side's number for it, if it holds it until released.
        custody: Option<u64>,
    },
}

/// What the owner orders a link to do.
#[derive(Debug)]
pub enum LinkOrder {
    /// Carry a frame. `tag` groups frames that become useless together: see [`LinkOrder::Purge`].
    Transmit {
        /// The frame, opaque.
        frame: Bytes,
        /// The caller's group number.
        tag: u64,
    },
    /// All frames received with a custody number up to this one are durable here.
    Release(u64),
    /// Nobody needs frames of this group any more: a spool deletes its batches. Others ignore it.
    Purge(u64),
}

/// Counts of one link since it was started. All in frames or bytes of frames, framing overhead aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Frames handed to the medium.
    pub sent_frames: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames that arrived whole.
    pub received_frames: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames dropped here because they did not fit or the link was down.
    pub dropped_frames: u64,
    /// Frames that arrived at the far side and that it refused to keep.
    pub refused_frames: u64,
    /// Pieces of input that were no frame: noise, bad checksums, foreign files.
    pub garbage: u64,
}

/// The owner's end of a link. Dropping it ends the link.
#[derive(Debug)]
pub struct LinkHandle {
    /// Orders to the link. Bounded: the credit given by [`LinkEvent::Ready`] always fits.
    pub orders: mpsc::Sender<LinkOrder>,
    /// What the link counted so far.
    pub counters: tokio::sync::watch::Receiver<LinkCounters>,
}

/// Where links send their events: each with the name of the link it came from.
pub type EventSender = mpsc::Sender<(LinkId, LinkEvent)>;

/// The CRC-32 (IEEE 802.3) that guards frames against damage where the medium does not.
pub(crate) fn frame_check(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

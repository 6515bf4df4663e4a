//! What the engine can tell people: a snapshot of plain numbers.

use super::id::{MessageId, PersonId};
use super::io::LinkId;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// Messages on their way to others.
    pub outbound: Vec<Outbound>,
    /// Messages arriving.
    pub inbound: Vec<Inbound>,
    /// Links by number.
    pub links: Vec<Link>,
    /// What was dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// The store is failing and nothing new is taken in.
    pub store_failing: bool,
    /// Since this process has started, this home was found to be older than others have heard, or one of two.
    pub went_back: bool,
    /// Whose homes were, besides.
    #[serde(serialize_with = "display_all")]
    pub peers_went_back: Vec<PersonId>,
}

/// A message on its way to somebody.
#[derive(Clone, Debug, Serialize)]
pub struct Outbound {
    /// Its id.
    #[serde(serialize_with = "display")]
    pub message: MessageId,
    /// To whom.
    #[serde(serialize_with = "display")]
    pub to: PersonId,
    /// The recipient has said that all is delivered.
    pub complete: bool,
    /// Seconds until the rest has arrived at the present rate, if it can be told.
    pub eta_s: Option<u64>,
    /// The recipient has no room for it now.
    pub no_room: bool,
    /// Numbers of the links that may carry it, where its sender has named some.
    pub links: Option<BTreeSet<u32>>,
    /// Its parts.
    pub parts: Vec<OutPart>,
    /// Fragments sent so far by this process, the manifest included.
    pub sent_fragments: u64,
}

impl Outbound {
    /// Bytes of all parts that the recipient has reported durable.
    pub fn confirmed_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.confirmed_bytes).sum()
    }
}

/// A part on its way.
#[derive(Clone, Debug, Serialize)]
pub struct OutPart {
    /// Its number.
    pub part: u8,
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Bytes that the recipient has reported durable.
    pub confirmed_bytes: u64,
    /// The recipient has all of it, verified.
    pub complete: bool,
}

/// A message arriving.
#[derive(Clone, Debug, Serialize)]
pub struct Inbound {
    /// Its id.
    #[serde(serialize_with = "display")]
    pub message: MessageId,
    /// From whom.
    #[serde(serialize_with = "display")]
    pub from: PersonId,
    /// Its parts.
    pub parts: Vec<InPart>,
    /// Sealed bytes that came although they were held already, or for a block that could be solved already.
    pub surplus_bytes: u64,
}

/// A part arriving.
#[derive(Clone, Debug, Serialize)]
pub struct InPart {
    /// Its number.
    pub part: u8,
    /// Its name, as the sender wrote it.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Bytes that are here, or can be computed from what is here.
    pub held_bytes: u64,
    /// All of it is here, verified and delivered.
    pub complete: bool,
    /// By link, the bytes of it which that link was first to bring. They count what the decoder took: source and
    /// repair symbols alike, padding left out.
    pub first_seen_bytes: BTreeMap<u32, u64>,
}

/// A link.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// Its number.
    pub link: u32,
    /// Whether frames can be sent or received now.
    pub up: bool,
    /// Measured loss of fragments in parts per million, end to end.
    pub loss_ppm: u32,
    /// Measured rate of delivery in bits per second.
    pub rate_bps: u64,
    /// Smoothed round-trip time in milliseconds, reports included.
    pub rtt_ms: Option<u64>,
    /// Frames given to the link.
    pub sent_frames: u64,
    /// Fragments among them.
    pub sent_fragments: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames that came by it.
    pub received_frames: u64,
    /// Authentic fragments among them.
    pub received_fragments: u64,
    /// Bytes of all frames that came.
    pub received_bytes: u64,
    /// Authentic fragments that were here already or no longer needed.
    pub duplicates: u64,
    /// Bytes of parts that this link was first to bring.
    pub first_seen_bytes: u64,
}

impl Link {
    /// A link that has done nothing yet.
    pub fn new(link: LinkId) -> Self {
        Self {
            link: link.0,
            up: false,
            loss_ppm: 0,
            rate_bps: 0,
            rtt_ms: None,
            sent_frames: 0,
            sent_fragments: 0,
            sent_bytes: 0,
            received_frames: 0,
            received_fragments: 0,
            received_bytes: 0,
            duplicates: 0,
            first_seen_bytes: 0,
        }
    }
}

fn display<T: std::fmt::Display, S: serde::Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

fn display_all<T: std::fmt::Display, S: serde::Serializer>(
    values: &[T],
    s: S,
) -> Result<S::Ok, S::Error> {
    s.collect_seq(values.iter().map(T::to_string))
}

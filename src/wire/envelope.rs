//! The carrier envelope: what a relay or a spool needs to know of a frame, and all it learns.
//!
//! ```text
//! 0      kind 6 (upper 3 bits), version 1 (lower 5)
//! 1..9   mailbox tag
//! 9..13  age in seconds
//! 13     hops left
//! 14     priority
//! 15     flags, zero; room for loop suppression, one-way groups and purge
//! 16..   the frame inside: a fragment or a preamble
//! ```
//!
//! It stands outside the seal: whoever carries a frame may change it, and a liar gains nothing but the loss of
//! what he could have dropped anyway. Age counts how long the frame was carried, as in RFC 9171 section 4.4.2,
//! so that a lifetime can be kept without clocks that agree.

use super::read::{Malformed, Reader};
use bytes::{Bytes, BytesMut};

/// Bytes of an envelope.
pub const LEN: usize = 16;
/// Version.
const FIRST: u8 = 6 << 5 | 1;
/// How many hops a frame may make from its sender.
pub const HOPS: u8 = 16;

/// Where the hops stand.
const HOPS_AT: usize = 13;
/// Where the priority stands.
const PRIORITY_AT: usize = 14;

/// Names a mailbox to those who carry frames for it.
pub type MailboxTag = [u8; 8];

/// An envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Whose mailbox.
    pub tag: MailboxTag,
    /// Seconds since the frame was made, as far as its carriers counted.
    pub age: u32,
    /// Hops left.
    pub hops: u8,
    /// As [`crate::engine::message::Priority::code`].
    pub priority: u8,
}

/// A frame in its envelope with so many hops left, otherwise as it is: the very same bytes, if nobody else holds them.
pub fn with_hops(frame: Bytes, hops: u8) -> Bytes {
    with_byte(frame, HOPS_AT, hops)
}

/// Likewise with this priority.
pub fn with_priority(frame: Bytes, priority: u8) -> Bytes {
    with_byte(frame, PRIORITY_AT, priority)
}

fn with_byte(frame: Bytes, at: usize, byte: u8) -> Bytes {
    let own = frame.try_into_mut();
    let mut frame = own.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    if let Some(place) = frame.get_mut(at) {
        *place = byte;
    }
    frame.freeze()
}

impl Envelope {
    /// Puts the envelope around a frame.
    pub fn wrap(&self, frame: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(LEN + frame.len());
        out.push(FIRST);
        out.extend_from_slice(&self.tag);
        out.extend_from_slice(&self.age.to_be_bytes());
        out.extend_from_slice(&[self.hops, self.priority, 0]);
        out.extend_from_slice(frame);
        out
    }

    /// Takes the envelope off.
    ///
    /// # Errors
    /// [`Malformed`] if it is none, of another version, or empty.
    pub fn unwrap(frame: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let mut r = Reader::new(frame);
        match r.u8()? {
            FIRST => {}
            other if other >> 5 == 6 => return Err(Malformed::Version(other & 31)),
            _ => return Err(Malformed::Value("kind")),
        }
        let tag = r.array()?;
        let age = r.u32()?;
        let [hops, priority, flags] = r.array()?;
        if flags != 0 {
            return Err(Malformed::Value("envelope flags"));
        }
        if r.is_empty() {
            return Err(Malformed::Truncated);
        }
        Ok((
            Self {
                tag,
                age,
                hops,
                priority,
            },
            r.rest(),
        ))
    }
}

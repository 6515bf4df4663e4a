//! What crosses a paced link: numbered frames, and acknowledgements of them.

use crate::wire::read::{Malformed, Reader, put_varint};
use bytes::Bytes;

/// Bytes before a frame: what it is, the series and the number.
pub const HEADER: usize = 1 + 2 + 4;
const DATA: u8 = 1;
const ACK: u8 = 2;
/// Ranges that an acknowledgement tells of at most: those with the largest numbers.
pub const RANGES: usize = 32;

/// A packet. Its series changes whenever one of the ends has begun anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A frame, or without one a probe.
    Data {
        /// Of the sender.
        series: u16,
        /// Counts up from 0.
        number: u32,
        /// What is carried.
        frame: Bytes,
    },
    /// What has arrived.
    Ack {
        /// That of the packets it tells of.
        series: u16,
        /// For how many microseconds it was kept back.
        delay_us: u32,
        /// First and last number of each range, the largest first.
        ranges: Vec<(u32, u32)>,
    },
}

impl Packet {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Data {
                series,
                number,
                frame,
            } => {
                out.push(DATA);
                out.extend_from_slice(&series.to_be_bytes());
                out.extend_from_slice(&number.to_be_bytes());
                out.extend_from_slice(frame);
            }
            Self::Ack {
                series,
                delay_us,
                ranges,
            } => {
                out.push(ACK);
                out.extend_from_slice(&series.to_be_bytes());
                out.extend_from_slice(&delay_us.to_be_bytes());
                let mut above = u32::MAX;
                for (first, last) in ranges {
                    put_varint(&mut out, u64::from(above - last));
                    put_varint(&mut out, u64::from(last - first));
                    above = *first;
                }
            }
        }
        out.into()
    }

    /// Reads what [`Packet::encode`] wrote; nothing if a link has damaged it.
    pub fn decode(bytes: &Bytes) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (series, rest) = rest.split_first_chunk()?;
        let (word, rest) = rest.split_first_chunk()?;
        let (series, word) = (u16::from_be_bytes(*series), u32::from_be_bytes(*word));
        match *kind {
            DATA => Some(Self::Data {
                series,
                number: word,
                frame: bytes.slice(HEADER..),
            }),
            ACK => Some(Self::Ack {
                series,
                delay_us: word,
                ranges: ranges(rest).ok()?,
            }),
            _ => None,
        }
    }
}

/// Each range by its distance from the one above it and by its length (compare RFC 9000, section 19.3.1).
fn ranges(bytes: &[u8]) -> Result<Vec<(u32, u32)>, Malformed> {
    let mut reader = Reader::new(bytes);
    let (mut found, mut above) = (Vec::new(), u32::MAX);
    while !reader.is_empty() && found.len() < RANGES {
        let mut below = |number: u32| {
            let distance = u32::try_from(reader.varint()?).ok();
            let found = distance.and_then(|distance| number.checked_sub(distance));
            found.ok_or(Malformed::Value("a range of numbers"))
        };
        let last = below(above)?;
        let first = below(last)?;
        found.push((first, last));
        above = first;
    }
    Ok(found)
}

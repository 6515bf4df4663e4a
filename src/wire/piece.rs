//! A piece of a frame that is larger than the next hop carries: made by whoever holds the frame before that hop, joined
//! by whoever receives it.
//!
//! ```text
//! 0      0xE0: kind 7, escape
//! 1      0x02: piece, version 1
//! 2..4   number of the frame on this hop, counting up and around
//! 4      index of this piece, from 0
//! 5      how many pieces the frame has, 2 to 16
//! 6..    1 byte or more of the frame; all pieces but the last are equally long
//! ```
//!
//! It needs no check of its own: what was joined from pieces that do not belong together does not authenticate.

use super::read::{Malformed, Reader};
use bytes::{BufMut, Bytes, BytesMut};

/// The two first bytes.
pub const MARK: [u8; 2] = [0xE0, 0x02];
/// Bytes before those of the frame.
pub const HEADER: usize = 6;
/// The most pieces of a frame.
pub const MOST: usize = 16;

/// A piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The number of its frame.
    pub number: u16,
    /// Which one it is.
    pub index: u8,
    /// How many there are.
    pub count: u8,
    /// Its bytes of the frame.
    pub bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// Reads a piece.
    ///
    /// # Errors
    /// [`Malformed`] if it is none, empty, or beyond the count.
    pub fn decode(frame: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(frame);
        if r.array()? != MARK {
            return Err(Malformed::Value("kind"));
        }
        let piece = Self {
            number: r.u16()?,
            index: r.u8()?,
            count: r.u8()?,
            bytes: r.rest(),
        };
        let fits = (2..=MOST).contains(&usize::from(piece.count)) && piece.index < piece.count;
        if !fits || piece.bytes.is_empty() {
            return Err(Malformed::Value("piece"));
        }
        Ok(piece)
    }

    /// The bytes of a piece.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER + self.bytes.len());
        out.put_slice(&MARK);
        out.put_u16(self.number);
        out.put_slice(&[self.index, self.count]);
        out.put_slice(self.bytes);
        out.freeze()
    }
}

/// The pieces of a frame for a hop that carries `mtu` bytes at most; the frame itself if it fits, nothing if it is too
/// large for [`MOST`] pieces.
pub fn cut(frame: &Bytes, mtu: usize, number: u16) -> Vec<Bytes> {
    if frame.len() <= mtu {
        return vec![frame.clone()];
    }
    let room = mtu.saturating_sub(HEADER).max(1);
    let count = frame.len().div_ceil(room);
    if count > MOST {
        return Vec::new();
    }
    // Equal pieces, so that none is a stub.
    let len = frame.len().div_ceil(count);
    let pieces = frame.chunks(len).zip(0..);
    let piece = |(bytes, index)| {
        let count = count as u8;
        Piece {
            number,
            index,
            count,
            bytes,
        }
        .encode()
    };
    pieces.map(piece).collect()
}

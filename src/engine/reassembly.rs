//! Joins the pieces into which a hop had to cut frames, in a fixed amount of memory.

use crate::wire::piece::{MOST, Piece};
use bytes::{Bytes, BytesMut};

/// Frames of one link that may be here in part at a time.
const SLOTS: usize = 8;
/// The largest frame that is joined, in bytes.
const FRAME_MAX: usize = 4096;

/// The pieces of one frame that have come so far.
#[derive(Debug, Default)]
struct Partial {
    number: u16,
    count: u8,
    pieces: [Option<Bytes>; MOST],
    bytes: usize,
}

/// Frames of one link that are here in part. At most `SLOTS` times `FRAME_MAX` bytes are kept.
#[derive(Debug, Default)]
pub struct Reassembly {
    slots: [Partial; SLOTS],
}

impl Reassembly {
    /// Takes a piece, and gives the frame that it completes. A piece of a later frame takes the place of one that never
    /// became whole.
    pub fn take(&mut self, piece: &Piece<'_>) -> Option<Bytes> {
        let slot = self.slots.get_mut(usize::from(piece.number) % SLOTS)?;
        if slot.number != piece.number || slot.count != piece.count {
            *slot = Partial {
                number: piece.number,
                count: piece.count,
                ..Partial::default()
            };
        }
        let place = slot.pieces.get_mut(usize::from(piece.index))?;
        if place.is_some() || slot.bytes + piece.bytes.len() > FRAME_MAX {
            return None;
        }
        slot.bytes += piece.bytes.len();
        *place = Some(Bytes::copy_from_slice(piece.bytes));
        let here = slot.pieces.iter().flatten().count();
        (here == usize::from(piece.count)).then(|| std::mem::take(slot).join())
    }
}

impl Partial {
    fn join(self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.bytes);
        for piece in self.pieces.iter().flatten() {
            whole.extend_from_slice(piece);
        }
        whole.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::piece;
    use proptest::prelude::*;

    proptest! {
        /// Frames come out as they went in, whatever the hop carries, also when pieces of several frames are mixed up,
        /// repeated and lost; only frames that lack a piece do not come out.
        #[test]
        fn frames_survive_a_narrow_hop(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..1500), 1..SLOTS),
            mtu in 222usize..400, order in prop::collection::vec(any::<u32>(), 256), lost in any::<prop::sample::Index>(),
        ) {
            let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
            let mut pieces = Vec::new();
            for (number, frame) in (100..).zip(&frames) {
                let cut = piece::cut(frame, mtu, number);
                prop_assert!(!cut.is_empty() && cut.iter().all(|p| p.len() <= mtu));
                pieces.extend(cut.into_iter().map(|p| (number, p)));
            }
            let mut keyed: Vec<_> = pieces.iter().zip(order.iter().cycle()).collect();
            keyed.sort_by_key(|(_, key)| **key);
            let gone = lost.index(keyed.len());
            let missing = keyed[gone].0.0;
            let mut reassembly = Reassembly::default();
            let mut out = Vec::new();
            for (i, ((_, bytes), key)) in keyed.iter().enumerate() {
                if i == gone {
                    continue;
                }
                let Ok(piece) = Piece::decode(bytes) else {
                    out.push(bytes.clone());
                    continue;
                };
                out.extend(reassembly.take(&piece));
                // A piece that comes twice before its frame is whole changes nothing.
                if *key % 3 == 0 && piece.number == missing {
                    prop_assert!(reassembly.take(&piece).is_none());
                }
            }
            let mut expected: Vec<Bytes> = (100..).zip(&frames)
                .filter(|(n, _)| *n != missing).map(|(_, f)| f.clone()).collect();
            out.sort();
            expected.sort();
            prop_assert_eq!(out, expected);
        }
    }
}

//! Splits frames for links whose physical frames are smaller than [`MIN_MTU`](crate::MIN_MTU), and joins them.
//!
//! # Layout
//!
//! A CRC-32 (IEEE 802.3, big-endian) of the frame is appended to the frame; the whole is cut into pieces of
//! one size, the last may be shorter. Every piece travels behind two bytes:
//!
//! ```text
//! byte 0      frame number, counts up by one per frame and wraps at 256
//! byte 1      bit 7: this is the frame's last segment; bits 0..=6: index of the segment, from 0
//! byte 2..    1 byte or more of the frame and its CRC-32
//! ```
//!
//! Segments may be lost, repeated or reordered, and those of up to [`SLOTS`] consecutive frames may be
//! interleaved. A frame comes out when all its segments are there and the CRC-32 fits.

use crate::frame_check;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;

/// Bytes of every segment that are not content.
pub const SEGMENT_HEADER: usize = 2;

/// The most segments a frame can have.
pub const MAX_SEGMENTS: usize = 128;

/// The number of frames that a [`Reassembler`] holds in part at one time.
pub const SLOTS: usize = 8;

const CHECK: usize = 4;
const LAST: u8 = 0x80;

/// Cuts frames into segments of a fixed greatest size.
#[derive(Debug)]
pub struct Segmenter {
    content: usize,
    next_number: u8,
}

impl Segmenter {
    /// Makes segments of at most `segment_size` bytes, header included; less than 3 counts as 3.
    ///
    /// `first_number` should be random, so that a restarted sender's frames do not meet remains of old ones.
    pub fn new(segment_size: usize, first_number: u8) -> Self {
        Self {
            content: segment_size.max(SEGMENT_HEADER + 1) - SEGMENT_HEADER,
            next_number: first_number,
        }
    }

    /// The largest frame that [`Self::split`] takes.
    pub fn max_frame(&self) -> usize {
        (self.content * MAX_SEGMENTS).saturating_sub(CHECK)
    }

    /// The segments of `frame` in order, or `None` if it is larger than [`Self::max_frame`].
    pub fn split(&mut self, frame: &[u8]) -> Option<Vec<Bytes>> {
        if frame.len() > self.max_frame() {
            return None;
        }
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        let mut whole = Vec::with_capacity(frame.len() + CHECK);
        whole.extend_from_slice(frame);
        whole.extend_from_slice(&frame_check(&[frame]).to_be_bytes());
        let last = whole.len().div_ceil(self.content) - 1;
        let segment = |(index, piece): (usize, &[u8])| {
            let mut bytes = BytesMut::with_capacity(SEGMENT_HEADER + piece.len());
            bytes.put_u8(number);
            // Below 128: `max_frame` bounds the number of pieces.
            bytes.put_u8(index as u8 | if index == last { LAST } else { 0 });
            bytes.put_slice(piece);
            bytes.freeze()
        };
        Some(
            whole
                .chunks(self.content)
                .enumerate()
                .map(segment)
                .collect(),
        )
    }
}

/// Joins segments to frames in a fixed amount of memory: at most [`SLOTS`] times the largest frame.
#[derive(Debug)]
pub struct Reassembler {
    slots: [Partial; SLOTS],
    max_frame: usize,
    garbage: u64,
}

/// The segments of one frame that have come so far.
#[derive(Debug, Default)]
struct Partial {
    number: u8,
    last: Option<u8>,
    pieces: BTreeMap<u8, Bytes>,
    bytes: usize,
}

impl Reassembler {
    /// Joins frames of at most `max_frame` bytes; larger ones are dropped and counted.
    pub fn new(max_frame: usize) -> Self {
        Self {
            slots: Default::default(),
            max_frame,
            garbage: 0,
        }
    }

    /// Segments that were none, and frames that turned out too large or wrong.
    pub fn garbage(&self) -> u64 {
        self.garbage
    }

    /// Takes a segment, and gives the frame that it completes.
    pub fn push(&mut self, segment: Bytes) -> Option<Bytes> {
        let &[number, flags, _, ..] = segment.as_ref() else {
            self.garbage += 1;
            return None;
        };
        let slot = &mut self.slots[usize::from(number) % SLOTS];
        let piece = segment.slice(SEGMENT_HEADER..);
        let (index, is_last) = (flags & !LAST, flags & LAST != 0);
        if slot.number != number || slot.contradicts(index, is_last, &piece) {
            // A later frame has come round to this slot: what the old one lacks is lost.
            *slot = Partial {
                number,
                ..Partial::default()
            };
        }
        if slot.bytes + piece.len() > self.max_frame + CHECK && !slot.pieces.contains_key(&index) {
            *slot = Partial::default();
            self.garbage += 1;
            return None;
        }
        if !slot.add(index, is_last, piece) {
            return None;
        }
        let frame = std::mem::take(slot).join();
        if frame.is_none() {
            self.garbage += 1;
        }
        frame
    }
}

impl Partial {
    /// Whether a segment cannot belong to the same frame as those that are here.
    fn contradicts(&self, index: u8, is_last: bool, piece: &Bytes) -> bool {
        let end = match self.last {
            Some(last) => index > last || is_last != (index == last),
            None => is_last && self.pieces.keys().next_back().is_some_and(|&k| k > index),
        };
        end || self.pieces.get(&index).is_some_and(|old| old != piece)
    }

    /// Keeps a segment; true when the frame is complete.
    fn add(&mut self, index: u8, is_last: bool, piece: Bytes) -> bool {
        if is_last {
            self.last = Some(index);
        }
        self.bytes += piece.len();
        if let Some(repeated) = self.pieces.insert(index, piece) {
            self.bytes -= repeated.len();
        }
        self.last
            .is_some_and(|last| self.pieces.len() == usize::from(last) + 1)
    }

    fn join(self) -> Option<Bytes> {
        let mut whole = BytesMut::with_capacity(self.bytes);
        for piece in self.pieces.values() {
            whole.put_slice(piece);
        }
        let whole = whole.freeze();
        let (frame, check) = whole.split_last_chunk::<CHECK>()?;
        (frame_check(&[frame]) == u32::from_be_bytes(*check))
            .then(|| whole.slice(..whole.len() - CHECK))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..=SLOTS)
    }

    proptest! {
        /// Interleaved, reordered and repeated segments of up to eight frames give exactly these frames.
        #[test]
        fn any_order_joins(frames in frames(), size in 8usize..100, first: u8,
                           order in prop::collection::vec(any::<u64>(), 400)) {
            let mut segmenter = Segmenter::new(size, first);
            let mut segments: Vec<Bytes> =
                frames.iter().flat_map(|f| segmenter.split(f).unwrap()).collect();
            prop_assert!(segments.iter().all(|s| s.len() <= size));
            let mut keyed: Vec<_> = segments.drain(..).enumerate()
                .map(|(i, s)| (order[i % 400], s)).collect();
            keyed.sort_by_key(|(k, _)| *k);
            let mut reassembler = Reassembler::new(300);
            let mut got: Vec<Vec<u8>> = Vec::new();
            for (key, segment) in keyed {
                got.extend(reassembler.push(segment.clone()).map(|f| f.to_vec()));
                // A repeated piece of a frame that is not complete yet changes nothing.
                if key % 3 == 0 && segment.len() == size && segment[1] & LAST == 0 {
                    let before = got.len();
                    got.extend(reassembler.push(segment).map(|f| f.to_vec()));
                    prop_assert_eq!(before, got.len());
                }
            }
            let (mut got, mut want) = (got, frames);
            got.sort();
            want.sort();
            prop_assert_eq!(got, want);
        }

        /// Lost segments cost the frames they belong to and no other, over several turns of the numbers.
        #[test]
        fn loss_costs_only_the_frame(seed: u64, loss_in_ten in 0u64..5) {
            let mut segmenter = Segmenter::new(20, seed as u8);
            let mut reassembler = Reassembler::new(100);
            let mut state = seed;
            for n in 0..1000u32 {
                let frame: Vec<u8> = (0..60u32).map(|i| (n.wrapping_mul(31) ^ i) as u8).collect();
                let mut lost = false;
                let mut out = None;
                for segment in segmenter.split(&frame).unwrap() {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    if (state >> 33) % 10 < loss_in_ten { lost = true; continue; }
                    out = reassembler.push(segment).or(out);
                }
                prop_assert_eq!(out.as_deref(), (!lost).then_some(&frame[..]));
            }
        }

        /// Arbitrary segments never panic, and what is held stays within the bound.
        #[test]
        fn garbage_is_bounded(segments in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..400)) {
            let mut reassembler = Reassembler::new(100);
            for segment in segments {
                reassembler.push(segment.into());
                let held: usize = reassembler.slots.iter().map(|s| s.bytes).sum();
                prop_assert!(held <= SLOTS * (100 + CHECK));
                let counted: usize = reassembler.slots.iter().flat_map(|s| s.pieces.values()).map(Bytes::len).sum();
                prop_assert_eq!(held, counted);
            }
        }
    }
}

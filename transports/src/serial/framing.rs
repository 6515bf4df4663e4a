//! Line frames: what one frame or segment looks like on a serial line.
//!
//! ```text
//! byte 0        0x00, delimiter
//! byte 1..n     COBS of:  header     1 byte   bits 7..4 version = 1; bits 3..0 kind: 0 frame, 1 segment
//!                         payload    0 bytes or more
//!                         CRC-32     4 bytes  big-endian, IEEE 802.3, over header and payload
//! byte n        0x00, delimiter
//! ```
//!
//! COBS (Cheshire and Baker 1999) leaves no zero inside a line frame and adds one byte, and one more per 254
//! bytes. So a payload of up to 249 bytes costs 8 bytes on the line. Both ends carry a delimiter: noise
//! before a frame and a frame cut off by a pulled plug end at the next zero and never cost the frame after
//! them. Zeros in a row are idle line.

use crate::frame_check;
use bytes::Bytes;

const DELIMITER: u8 = 0;
const VERSION: u8 = 1;
const HEADER: usize = 1;
const CHECK: usize = 4;

/// What the payload of a line frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// A whole frame.
    Frame,
    /// A segment of a frame, as in [`crate::segment`].
    Segment,
}

impl PayloadKind {
    fn header(self) -> u8 {
        VERSION << 4
            | match self {
                Self::Frame => 0,
                Self::Segment => 1,
            }
    }

    fn from_header(header: u8) -> Option<Self> {
        [Self::Frame, Self::Segment]
            .into_iter()
            .find(|kind| kind.header() == header)
    }
}

/// A line frame without its framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFrame {
    /// What the payload is.
    pub kind: PayloadKind,
    /// The payload.
    pub payload: Bytes,
}

/// The most bytes on the line that a payload of `payload` bytes takes, both delimiters included.
pub fn line_size(payload: usize) -> usize {
    2 + cobs_size(HEADER + payload + CHECK)
}

/// The bytes on the line for a payload.
pub fn enframe(kind: PayloadKind, payload: &[u8]) -> Vec<u8> {
    let header = [kind.header()];
    let check = frame_check(&[&header, payload]).to_be_bytes();
    let content = header.iter().chain(payload).chain(&check).copied();
    let mut line = Vec::with_capacity(line_size(payload.len()));
    line.push(DELIMITER);
    stuff(content, &mut line);
    line.push(DELIMITER);
    line
}

/// Finds line frames in a stream of bytes, whatever else there is in it.
///
/// Holds at most one line frame of the largest size.
#[derive(Debug)]
pub struct Deframer {
    pending: Vec<u8>,
    overlong: bool,
    limit: usize,
    garbage: u64,
}

impl Deframer {
    /// Finds line frames with payloads of at most `max_payload` bytes.
    pub fn new(max_payload: usize) -> Self {
        let limit = cobs_size(HEADER + max_payload + CHECK);
        Self {
            pending: Vec::with_capacity(limit),
            overlong: false,
            limit,
            garbage: 0,
        }
    }

    /// Stretches between delimiters that were no line frame of this version.
    pub fn garbage(&self) -> u64 {
        self.garbage
    }

    /// Takes the next bytes of the stream, and gives the line frames that end in them.
    pub fn push(&mut self, input: &[u8]) -> Vec<LineFrame> {
        let mut frames = Vec::new();
        let mut rest = input;
        while let Some(end) = rest.iter().position(|&b| b == DELIMITER) {
            self.hold(&rest[..end]);
            rest = &rest[end + 1..];
            if !self.pending.is_empty() {
                let frame = (!self.overlong).then(|| parse(&self.pending)).flatten();
                self.garbage += u64::from(frame.is_none());
                frames.extend(frame);
                self.pending.clear();
            }
            self.overlong = false;
        }
        self.hold(rest);
        frames
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = self.limit - self.pending.len();
        self.overlong |= bytes.len() > room;
        self.pending
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// The line frame between two delimiters, if it is one.
fn parse(stuffed: &[u8]) -> Option<LineFrame> {
    let content = unstuff(stuffed)?;
    let (checked, check) = content.split_last_chunk::<CHECK>()?;
    let kind = PayloadKind::from_header(*checked.first()?)?;
    if frame_check(&[checked]) != u32::from_be_bytes(*check) {
        return None;
    }
    let payload = HEADER..checked.len();
    Some(LineFrame {
        kind,
        payload: Bytes::from(content).slice(payload),
    })
}

/// The most bytes that COBS makes of `content` bytes.
fn cobs_size(content: usize) -> usize {
    content + content.div_ceil(254).max(1)
}

/// Appends COBS of `content`: groups of up to 254 bytes without a zero, each behind its length plus one. The
/// zero after a group of fewer than 254 is implied, except at the end.
fn stuff(content: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let mut code_at = out.len();
    let mut code = 1u8;
    out.push(code);
    let mut content = content.peekable();
    while let Some(byte) = content.next() {
        if byte != 0 {
            out.push(byte);
            code += 1;
        }
        if byte == 0 || (code == u8::MAX && content.peek().is_some()) {
            out[code_at] = code;
            code_at = out.len();
            code = 1;
            out.push(code);
        }
    }
    out[code_at] = code;
}

/// The content of COBS bytes that hold no zero, or `None` if a group is cut short.
fn unstuff(mut stuffed: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(stuffed.len());
    while let Some((&code, rest)) = stuffed.split_first() {
        let (group, rest) = rest.split_at_checked(usize::from(code).checked_sub(1)?)?;
        out.extend_from_slice(group);
        if code != u8::MAX && !rest.is_empty() {
            out.push(0);
        }
        stuffed = rest;
    }
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 300;

    fn payload() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0u8), Just(0xff), any::<u8>(), 1..=255u8];
        prop::collection::vec(byte, 0..=MAX)
    }

    #[derive(Clone, Debug)]
    enum Piece {
        Frame(Vec<u8>, bool),
        Cut(Vec<u8>, usize),
        Noise(Vec<u8>),
    }

    fn piece() -> impl Strategy<Value = Piece> {
        prop_oneof![
            4 => (payload(), any::<bool>()).prop_map(|(p, k)| Piece::Frame(p, k)),
            1 => (payload(), any::<usize>()).prop_map(|(p, n)| Piece::Cut(p, n)),
            1 => prop::collection::vec(any::<u8>(), 0..2 * MAX).prop_map(Piece::Noise),
        ]
    }

    fn kind(segment: bool) -> PayloadKind {
        if segment {
            PayloadKind::Segment
        } else {
            PayloadKind::Frame
        }
    }

    proptest! {
        /// Whatever noise and cut frames lie between: every untouched frame arrives, in order, and nothing else.
        #[test]
        fn untouched_frames_arrive(pieces in prop::collection::vec(piece(), 0..12),
                                   chunks in prop::collection::vec(1usize..200, 1..20)) {
            let (mut line, mut want) = (Vec::new(), Vec::new());
            for piece in pieces {
                match piece {
                    Piece::Frame(p, k) => {
                        line.extend(enframe(kind(k), &p));
                        want.push(LineFrame { kind: kind(k), payload: p.into() });
                    }
                    Piece::Cut(p, n) => {
                        let whole = enframe(PayloadKind::Frame, &p);
                        // The last delimiter and the byte before it are gone at least.
                        line.extend(&whole[..n % (whole.len() - 2)]);
                    }
                    Piece::Noise(n) => line.extend(n),
                }
            }
            let mut deframer = Deframer::new(MAX);
            let (mut got, mut rest, mut sizes) = (Vec::new(), &line[..], chunks.iter().cycle());
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                got.extend(deframer.push(chunk));
                prop_assert!(deframer.pending.len() <= deframer.limit);
                rest = after;
            }
            prop_assert_eq!(got, want);
        }

        /// One to three flipped bits in a frame never let a wrong one through.
        #[test]
        fn flipped_bits_are_noticed(p in payload(), flips in prop::collection::vec(any::<u32>(), 1..=3)) {
            let mut line = enframe(PayloadKind::Frame, &p);
            for flip in flips {
                let bit = flip as usize % (line.len() * 8);
                line[bit / 8] ^= 1 << (bit % 8);
            }
            line.push(DELIMITER);
            for frame in Deframer::new(MAX).push(&line) {
                prop_assert_eq!(&frame.payload[..], &p[..]);
            }
        }

        /// The line holds no delimiter inside a frame, and no more bytes than promised.
        #[test]
        fn size_is_as_promised(p in payload()) {
            let line = enframe(PayloadKind::Segment, &p);
            prop_assert!(line.len() <= line_size(p.len()));
            prop_assert_eq!(line.iter().filter(|&&b| b == DELIMITER).count(), 2);
        }
    }

    /// Every length, around the group limits of COBS too, comes back and takes what was promised.
    #[test]
    fn all_lengths() {
        let mut deframer = Deframer::new(1100);
        for length in 0..=1100 {
            let payload = vec![0xAB; length];
            let line = enframe(PayloadKind::Frame, &payload);
            assert!(line.len() <= line_size(length), "{length}");
            let [frame] = &deframer.push(&line)[..] else {
                panic!("no frame of {length} bytes");
            };
            assert_eq!(frame.payload, payload);
        }
        assert_eq!(deframer.garbage(), 0);
    }

    /// The byte layout in the module's text, on an example.
    #[test]
    fn layout() {
        let line = enframe(PayloadKind::Frame, &[0x41, 0x00, 0x42]);
        let check = crc32fast::hash(&[0x10, 0x41, 0x00, 0x42]).to_be_bytes();
        assert!(
            check.iter().all(|&b| b != 0),
            "the example needs a check without zeros"
        );
        let mut want = vec![0x00, 0x03, 0x10, 0x41, 0x06, 0x42];
        want.extend(check);
        want.push(0x00);
        assert_eq!(line, want);
        assert_eq!(line_size(222), 222 + 8);
    }

    /// Frames of another version, and frames above the limit, are counted and do no harm.
    #[test]
    fn strange_frames_are_counted() {
        let mut deframer = Deframer::new(10);
        let mut content = vec![0x21, 7];
        content.extend(crc32fast::hash(&content).to_be_bytes());
        let mut line = vec![DELIMITER];
        stuff(content.into_iter(), &mut line);
        line.push(DELIMITER);
        assert_eq!(deframer.push(&line), []);
        assert_eq!(deframer.push(&enframe(PayloadKind::Frame, &[1; 11])), []);
        assert_eq!(deframer.garbage(), 2);
        assert_eq!(
            deframer.push(&enframe(PayloadKind::Frame, &[1; 10])).len(),
            1
        );
    }
}

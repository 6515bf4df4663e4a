//! Wire formats, one file each: layout, checked reading, plain value. `docs/wire-format.md` draws them.
//!
//! A frame begins with a byte whose upper three bits are its kind:
//!
//! | kind | frame | file |
//! | --- | --- | --- |
//! | 1 | narrow fragment | [`fragment`] |
//! | 2 | wide fragment | [`fragment`] |
//! | 3 | short fragment | [`fragment`] |
//! | 6 | carrier envelope around another frame | [`envelope`] |
//! | 7 | escape: the next byte says what it is | [`preamble`], [`piece`], what comes later |
//! | 0, 4, 5 | reserved; dropped and counted | |

pub mod envelope;
pub mod fragment;
pub mod generation;
pub mod incarnation;
pub mod manifest;
pub mod piece;
pub mod preamble;
pub mod read;
pub mod report;
pub mod shared;

/// The least frame size of any link, in bytes: one slice of 192 bytes in a wide fragment.
pub const MIN_MTU: usize = 222;

/// What a frame is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// One sealed fragment.
    Fragment(fragment::Kind),
    /// A carrier envelope.
    Envelope,
    /// An extended kind.
    Escape(u8),
    /// None that this version knows.
    Unknown,
}

/// Tells what a frame is.
pub fn frame_kind(frame: &[u8]) -> FrameKind {
    let Some(&first) = frame.first() else {
        return FrameKind::Unknown;
    };
    match first >> 5 {
        6 => FrameKind::Envelope,
        7 => frame
            .get(1)
            .map_or(FrameKind::Unknown, |&ext| FrameKind::Escape(ext)),
        code => fragment::Kind::from_code(code).map_or(FrameKind::Unknown, FrameKind::Fragment),
    }
}

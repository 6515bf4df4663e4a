//! The sealed fragment.
//!
//! ```text
//! 0      kind (upper 3 bits), epoch (lower 5)
//! 1..7   label
//! 7..9   hint
//! narrow and short:               wide:
//! 9      part          masked     9       part    masked
//! 10..12 symbol        masked     10..12  block   masked
//! 12..   sealed bytes             12..14  symbol  masked
//!                                 14..    sealed bytes
//! last 16 bytes: tag
//! ```
//!
//! `symbol` holds the encoding symbol id (ESI) in its upper 13 bits and the first slice in its lower 3. The
//! sealed bytes are one or more neighbouring slices of that symbol; their length says how many. In part 0, the
//! manifest, they are one chunk of it, see [`ManifestChunk`]. A short fragment has part and symbol 0 and holds a
//! whole manifest with its inline part.
//!
//! Part, block and symbol are masked with bytes that depend on the key and the tag, as RFC 9001 section 5.4
//! protects packet numbers: without the key no byte of a fragment repeats from one message to another.

use super::read::{Malformed, Reader};

/// The tag of ChaCha20-Poly1305, RFC 8439.
pub const TAG: usize = 16;
/// Bytes that narrow and short fragments add.
pub const NARROW_OVERHEAD: usize = 12 + TAG;
/// Bytes that wide fragments add.
pub const WIDE_OVERHEAD: usize = 14 + TAG;
/// Bytes of the label.
pub const LABEL: usize = 6;

/// The label that names a message on the wire.
pub type Label = [u8; LABEL];

/// The kind of fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Parts of one source block.
    Narrow,
    /// Parts of several source blocks.
    Wide,
    /// A whole message in one fragment.
    Short,
}

impl Kind {
    /// Its number on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Narrow => 1,
            Self::Wide => 2,
            Self::Short => 3,
        }
    }

    /// From its number on the wire.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Narrow, Self::Wide, Self::Short]
            .into_iter()
            .find(|kind| kind.code() == code)
    }

    /// Bytes before the sealed ones.
    pub fn header_len(self) -> usize {
        if self == Self::Wide { 14 } else { 12 }
    }
}

/// Where a fragment belongs in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The part; 0 is the manifest.
    pub part: u8,
    /// The source block; 0 in narrow and short fragments.
    pub block: u16,
    /// The encoding symbol id, below 8192.
    pub symbol: u16,
    /// The first slice, below 8.
    pub slice: u8,
}

impl Place {
    /// The place of a short fragment, and of the first chunk of a manifest.
    pub const SHORT: Self = Self {
        part: 0,
        block: 0,
        symbol: 0,
        slice: 0,
    };

    /// Symbol and slice in the two bytes of the wire.
    pub fn packed(&self) -> u16 {
        self.symbol << 3 | u16::from(self.slice & 7)
    }

    /// The masked bytes before masking.
    pub fn encode(&self, kind: Kind) -> ([u8; 5], usize) {
        let [s0, s1] = self.packed().to_be_bytes();
        let [b0, b1] = self.block.to_be_bytes();
        match kind {
            Kind::Wide => ([self.part, b0, b1, s0, s1], 5),
            Kind::Narrow | Kind::Short => ([self.part, s0, s1, 0, 0], 3),
        }
    }

    /// From the bytes after unmasking.
    pub fn decode(kind: Kind, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let part = r.u8()?;
        let block = if kind == Kind::Wide { r.u16()? } else { 0 };
        let packed = r.u16()?;
        r.finish()?;
        Ok(Self {
            part,
            block,
            symbol: packed >> 3,
            slice: (packed & 7) as u8,
        })
    }
}

/// The part of a fragment that anyone can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// Narrow, wide or short.
    pub kind: Kind,
    /// The lower five bits of the epoch.
    pub epoch_bits: u8,
    /// The label.
    pub label: Label,
    /// Two bytes that tell a recipient which session to try.
    pub hint: [u8; 2],
    /// Part, block and symbol, masked.
    pub masked: &'a [u8],
    /// Ciphertext and tag.
    pub sealed: &'a [u8],
}

impl<'a> View<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Malformed`] if it is no fragment or too short for one.
    pub fn parse(frame: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(frame);
        let first = r.u8()?;
        let kind = Kind::from_code(first >> 5).ok_or(Malformed::Value("kind"))?;
        let label = r.array()?;
        let hint = r.array()?;
        let masked = r.take(kind.header_len() - 9)?;
        let sealed = r.rest();
        if sealed.len() < TAG {
            return Err(Malformed::Truncated);
        }
        Ok(Self {
            kind,
            epoch_bits: first & 31,
            label,
            hint,
            masked,
            sealed,
        })
    }

    /// The tag.
    pub fn tag(&self) -> &'a [u8] {
        &self.sealed[self.sealed.len() - TAG..]
    }
}

/// Sealed bytes of part 0: one chunk of a manifest.
///
/// ```text
/// 0..2  length of the whole manifest
/// 2..   up to 192 bytes of it, or of its parity
/// ```
///
/// A manifest of `n` chunks (`n` at most 128) has chunks 0 to n-1 and as many parity chunks after them,
/// Reed-Solomon over GF(2^8) of chunks padded with zeros. So its symbols describe themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestChunk<'a> {
    /// Length of the whole manifest in bytes.
    pub manifest_len: u16,
    /// This chunk.
    pub bytes: &'a [u8],
}

impl<'a> ManifestChunk<'a> {
    /// Bytes of the manifest in each chunk but the last.
    pub const SIZE: usize = 192;

    /// Number of source chunks of a manifest of `len` bytes.
    pub fn count(len: usize) -> usize {
        len.div_ceil(Self::SIZE).max(1)
    }

    /// Number of parity chunks.
    pub fn parity(len: usize) -> usize {
        match Self::count(len) {
            1 => 0,
            n => n.min(127),
        }
    }

    /// The bytes to seal.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.manifest_len.to_be_bytes().to_vec();
        out.extend_from_slice(self.bytes);
        out
    }

    /// Reads a chunk.
    ///
    /// # Errors
    /// [`Malformed`] if it is empty or too long.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let manifest_len = r.u16()?;
        let bytes = r.rest();
        if manifest_len == 0 || bytes.is_empty() || bytes.len() > Self::SIZE {
            return Err(Malformed::Value("manifest chunk"));
        }
        Ok(Self {
            manifest_len,
            bytes,
        })
    }
}

//! How a part is cut: part → source blocks → symbols → slices.
//!
//! A symbol is as large as a fat link likes and consists of up to eight slices that fit the thinnest. The codes
//! work byte by byte, so slice *j* of all symbols of a block is a code word of its own: whole symbols and single
//! slices count towards the same block.
//!
//! Blocks are cut by the algorithm of RFC 5052, section 9.1.

use crate::engine::coding::Scheme;
use crate::wire::read::Malformed;

/// Bytes of a slice in large parts. With the 30 bytes of a wide fragment it fills a frame of 222 bytes, and it is
/// a multiple of the 64 bytes that the large-block code works in.
pub const SLICE: u16 = 192;
/// Slices of a symbol in large parts: 1344 bytes, which one QUIC datagram carries on a path MTU of 1500.
pub const SLICES: u8 = 7;
/// Source symbols of a block in large parts: 1.4 MB a block.
pub const BLOCK: u16 = 1024;
/// Source symbols of a large block: 5.5 MB a block.
pub const LARGE_BLOCK: u16 = 4096;
/// Repair symbols of a large block: enough for a loss of 30 %. With them a block takes 8.3 MB in memory.
pub const LARGE_REPAIR: u16 = 2048;
/// Largest number of source symbols for which the small-block code is used.
pub const SMALL_BLOCK: u64 = 64;
/// What a disk gives at once, in bytes.
const PAGE: u64 = 4096;
/// Symbols of a block, source and repair: 13 bits.
pub const SYMBOLS_MAX: u32 = 1 << 13;
/// Bound on the bytes of a block, so that a claim cannot make us allocate much.
pub const BLOCK_BYTES_MAX: u64 = 16 << 20;

/// How large the blocks of large parts are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blocks {
    /// As large as is needed where somebody reports: what a block lacks is made up for.
    #[default]
    Usual,
    /// Large ones. Where nobody reports, each block needs repair symbols for more than the loss to reckon with, and the
    /// more of its symbols share them, the fewer they are.
    Large,
}

/// The coding parameters of a part, as its manifest states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coding {
    /// The code.
    pub scheme: Scheme,
    /// Bytes of a slice.
    pub slice_len: u16,
    /// Slices of a symbol, 1 to 8.
    pub slices: u8,
    /// Most source symbols of a block.
    pub block_symbols: u16,
    /// Repair symbols of each block.
    pub repair: u16,
}

impl Coding {
    /// The parameters that we choose for a part of `len` bytes, in blocks of this kind.
    pub fn choose_in(blocks: Blocks, len: u64) -> Self {
        let usual = Self::choose(len);
        let one = u64::from(BLOCK) * usual.symbol_len() as u64;
        match blocks {
            Blocks::Large if usual.scheme == Scheme::LargeBlock && len > one => Self {
                block_symbols: LARGE_BLOCK,
                repair: LARGE_REPAIR,
                ..usual
            },
            _ => usual,
        }
    }

    /// The parameters that we choose for a part of `len` bytes, in usual blocks.
    pub fn choose(len: u64) -> Self {
        let full = u64::from(SLICE) * u64::from(SLICES);
        let symbols = len.div_ceil(full).max(1);
        if symbols > SMALL_BLOCK {
            return Self {
                scheme: Scheme::LargeBlock,
                slice_len: SLICE,
                slices: SLICES,
                block_symbols: BLOCK,
                repair: BLOCK,
            };
        }
        let slices = len
            .div_ceil(u64::from(SLICE) * symbols)
            .clamp(1, u64::from(SLICES));
        let slice_len = len.div_ceil(symbols * slices).clamp(1, u64::from(SLICE));
        let scheme = if symbols == 1 {
            Scheme::Repeat
        } else {
            Scheme::SmallBlock
        };
        let repair = if symbols == 1 {
            0
        } else {
            (symbols + 4).min(128)
        };
        Self {
            scheme,
            slice_len: slice_len as u16,
            slices: slices as u8,
            block_symbols: symbols as u16,
            repair: repair as u16,
        }
    }

    /// How many repair symbols of a block of `k` are made at first: of a large one enough for a loss of a quarter. To hold
    /// and to copy those that nobody asks for costs more than to code it a second time where more is lost.
    pub fn first_repair(&self, k: u16) -> u16 {
        match self.scheme {
            Scheme::LargeBlock => self.repair.min((k / 8 * 3).max(1)),
            Scheme::Repeat | Scheme::SmallBlock => self.repair,
        }
    }

    /// Bytes of a symbol.
    pub fn symbol_len(&self) -> usize {
        usize::from(self.slice_len) * usize::from(self.slices)
    }

    /// All slices of a symbol as a bit mask.
    pub fn full_mask(&self) -> u8 {
        (0xffu16 >> (8 - u16::from(self.slices))) as u8
    }
}

/// How one part is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Its parameters.
    pub coding: Coding,
    /// Its length in bytes.
    pub len: u64,
    blocks: u32,
    large: u16,
    large_blocks: u32,
    small: u16,
}

impl Geometry {
    /// Checks parameters and cuts.
    ///
    /// # Errors
    /// [`Malformed::Value`] if a parameter is out of range or they do not fit together.
    pub fn new(coding: Coding, len: u64) -> Result<Self, Malformed> {
        let symbol = coding.symbol_len() as u64;
        let k = u64::from(coding.block_symbols);
        if len == 0 || coding.slices == 0 || coding.slices > 8 || symbol == 0 || k == 0 {
            return Err(Malformed::Value("coding parameters"));
        }
        if k * symbol > BLOCK_BYTES_MAX || !coding.scheme.supports(&coding) {
            return Err(Malformed::Value("block size"));
        }
        let total = len.div_ceil(symbol);
        let blocks = total.div_ceil(k);
        if blocks > 1 << 16 {
            return Err(Malformed::Value("number of blocks"));
        }
        let small = total / blocks;
        let large_blocks = total - small * blocks;
        Ok(Self {
            coding,
            len,
            blocks: blocks as u32,
            large: total.div_ceil(blocks) as u16,
            large_blocks: large_blocks as u32,
            small: small as u16,
        })
    }

    /// Number of source blocks.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Whether fragments of this part need block numbers on the wire.
    pub fn is_wide(&self) -> bool {
        self.blocks > 1
    }

    /// Source symbols of a block.
    pub fn source_symbols(&self, block: u16) -> u16 {
        if u32::from(block) < self.large_blocks {
            self.large
        } else {
            self.small
        }
    }

    /// Source and repair symbols of a block.
    pub fn symbols(&self, block: u16) -> u16 {
        self.source_symbols(block) + self.coding.repair
    }

    /// Where a block begins, in symbols from the start of the part.
    fn first_symbol(&self, block: u16) -> u64 {
        let block = u64::from(block);
        let large = block.min(u64::from(self.large_blocks));
        large * u64::from(self.large) + (block - large) * u64::from(self.small)
    }

    /// Where a block begins in the part, in bytes.
    pub fn block_offset(&self, block: u16) -> u64 {
        self.first_symbol(block) * self.coding.symbol_len() as u64
    }

    /// Bytes of a block, the padding of the last symbol left out.
    pub fn block_len(&self, block: u16) -> usize {
        let whole = u64::from(self.source_symbols(block)) * self.coding.symbol_len() as u64;
        whole.min(self.len - self.block_offset(block).min(self.len)) as usize
    }

    /// Where the slot of a repair symbol begins in the file of repair symbols.
    pub fn repair_offset(&self, block: u16, symbol: u16) -> u64 {
        let slot = u64::from(block) * u64::from(self.coding.repair)
            + u64::from(symbol - self.source_symbols(block).min(symbol));
        slot * self.coding.symbol_len() as u64
    }

    /// Room that repair symbols need on a disk, if those of one block at a time have it and give it back: no more of them are
    /// taken than the block has source symbols, and the pages at the ends of each may stay.
    pub fn repair_room(&self) -> u64 {
        let most = self.source_symbols(0).min(self.coding.repair);
        let ends = u64::from(self.blocks) * 2 * PAGE;
        match most {
            0 => 0,
            most => u64::from(most) * self.coding.symbol_len() as u64 + ends,
        }
    }

    /// Length of the file of repair symbols.
    pub fn repair_len(&self) -> u64 {
        u64::from(self.blocks) * u64::from(self.coding.repair) * self.coding.symbol_len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_cover_a_part_exactly_and_our_choice_is_always_valid(
            len in 1u64..(10 << 30), large in any::<bool>(),
        ) {
            let blocks = if large { Blocks::Large } else { Blocks::Usual };
            let geometry = Geometry::new(Coding::choose_in(blocks, len), len).unwrap();
            let mut at = 0;
            for block in 0..geometry.blocks() {
                prop_assert_eq!(geometry.block_offset(block as u16), at);
                at += geometry.block_len(block as u16) as u64;
                prop_assert!(u32::from(geometry.symbols(block as u16)) <= SYMBOLS_MAX);
            }
            prop_assert_eq!(at, len);
        }

        #[test]
        fn small_parts_waste_little_padding(len in 1u64..(64 * 1344)) {
            let coding = Coding::choose(len);
            let padded = u64::from(coding.block_symbols) * coding.symbol_len() as u64;
            prop_assert!(padded >= len && padded - len < 7 * 64, "{} bytes become {}", len, padded);
        }
    }
}

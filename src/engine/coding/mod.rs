//! Forward error correction behind one seam.
//!
//! | scheme | library | for |
//! | --- | --- | --- |
//! | [`Scheme::Repeat`] | none | one source symbol: every symbol is that one |
//! | [`Scheme::SmallBlock`] | reed-solomon-erasure, GF(2^8) | up to 64 source symbols |
//! | [`Scheme::LargeBlock`] | reed-solomon-simd, GF(2^16) | up to 4096 source symbols |
//!
//! All are systematic and MDS: any `k` symbols solve a block of `k`, never fewer, never more. They work byte by
//! byte (the large one in chunks of 64 bytes), so each slice of the symbols is a code word of its own. Coding is
//! a [`Job`]: a pure function from bytes to bytes. `docs/benchmarks.md` has the measurements behind the choice.

mod large;
mod small;

use crate::engine::geometry::{Coding, SYMBOLS_MAX};
use bytes::Bytes;
use std::borrow::Cow;

/// A code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// One source symbol, repeated.
    Repeat,
    /// Reed-Solomon over GF(2^8).
    SmallBlock,
    /// Reed-Solomon over GF(2^16), in chunks of 64 bytes.
    LargeBlock,
}

impl Scheme {
    /// Its number on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Repeat => 1,
            Self::SmallBlock => 2,
            Self::LargeBlock => 3,
        }
    }

    /// From its number on the wire.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Repeat, Self::SmallBlock, Self::LargeBlock]
            .into_iter()
            .find(|s| s.code() == code)
    }

    /// Whether the code exists with these parameters.
    pub fn supports(self, coding: &Coding) -> bool {
        let (k, r) = (u32::from(coding.block_symbols), u32::from(coding.repair));
        match self {
            Self::Repeat => k == 1 && r == 0,
            Self::SmallBlock => r >= 1 && k + r <= 255,
            Self::LargeBlock => {
                k <= 4096 && r >= 1 && k + r <= SYMBOLS_MAX && coding.slice_len.is_multiple_of(64)
            }
        }
    }
}

/// One block to code.
#[derive(Debug)]
pub enum Job {
    /// Make the repair symbols of a block.
    Encode {
        /// Parameters of the part.
        coding: Coding,
        /// Source symbols of this block.
        k: u16,
        /// The bytes of the block; the last symbol may be cut short and counts as padded with zeros.
        source: Bytes,
        /// How many of its repair symbols are wanted: the first ones.
        repair: u16,
    },
    /// Find the missing source symbols of a block.
    Decode {
        /// Parameters of the part.
        coding: Coding,
        /// Source symbols of this block.
        k: u16,
        /// The bytes of the block as far as they are here, gaps included, cut short as in `Encode`.
        source: Bytes,
        /// Slots of repair symbols from the first to the last that is here, gaps included.
        repair: Bytes,
        /// For each symbol the slices that are here.
        held: Vec<u8>,
    },
}

/// What became of a block.
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    /// The repair symbols that were wanted, one after another.
    Encoded(Bytes),
    /// The source symbols that were not here or not wholly, by number, in order and padded.
    Decoded(Vec<(u16, Bytes)>),
    /// The parameters or the symbols did not suffice.
    Failed,
}

impl Job {
    /// Does the work.
    pub fn run(self) -> Done {
        let done = match &self {
            Self::Encode {
                coding,
                k,
                source,
                repair,
            } => encode(coding, *k, source, *repair).map(|b| Done::Encoded(b.into())),
            Self::Decode {
                coding,
                k,
                source,
                repair,
                held,
            } => decode(coding, *k, source, repair, held).map(Done::Decoded),
        };
        done.unwrap_or(Done::Failed)
    }
}

/// The whole block, padded: what is here of its `k` source symbols, with those put in that were found. `None` if they do not
/// fit it.
pub fn join(coding: &Coding, k: u16, source: &[u8], found: &[(u16, Bytes)]) -> Option<Vec<u8>> {
    let symbol = coding.symbol_len();
    let mut block = padded(source, usize::from(k) * symbol)?;
    for (index, bytes) in found {
        let at = usize::from(*index) * symbol;
        block.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
    }
    Some(block)
}

fn encode(coding: &Coding, k: u16, source: &[u8], wanted: u16) -> Option<Vec<u8>> {
    let (symbol, repair) = (coding.symbol_len(), usize::from(coding.repair));
    let (k, wanted) = (usize::from(k), usize::from(wanted).min(repair));
    if source.len() > k * symbol {
        return None;
    }
    match coding.scheme {
        Scheme::Repeat => Some(Vec::new()),
        Scheme::SmallBlock => {
            let all = small::encode(&padded(source, k * symbol)?, symbol, repair)?;
            all.get(..wanted * symbol).map(<[u8]>::to_vec)
        }
        Scheme::LargeBlock => large::encode(source, k, symbol, repair, wanted),
    }
}

/// Slices that are here for the same symbols are solved together, since long code words are fast; the usual
/// case, whole symbols only, is one such group.
fn decode(
    coding: &Coding,
    k: u16,
    source: &[u8],
    repair: &[u8],
    held: &[u8],
) -> Option<Vec<(u16, Bytes)>> {
    let symbol = coding.symbol_len();
    let full = coding.full_mask();
    let lacking: Vec<u16> = (0..k)
        .filter(|&i| held.get(usize::from(i)).is_none_or(|mask| *mask != full))
        .collect();
    let k = usize::from(k);
    let block = match source.len() == k * symbol {
        true => Cow::Borrowed(source),
        false => padded(source, k * symbol)?.into(),
    };
    let mut out = Vec::with_capacity(lacking.len() * symbol);
    for index in &lacking {
        let at = usize::from(*index) * symbol;
        out.extend_from_slice(block.get(at..at + symbol)?);
    }
    let mut solved = 0u8;
    for slice in 0..coding.slices {
        if solved >> slice & 1 == 1 {
            continue;
        }
        let end = (slice..coding.slices)
            .take_while(|&j| same_symbols(held, slice, j))
            .last()?
            + 1;
        let span = Span::new(coding, slice, end);
        let word = Word {
            block: &block,
            repair,
            symbol,
            span,
            k,
            held,
            slice,
        };
        let found = |index, bytes: &[u8]| {
            let place = lacking.binary_search(&u16::try_from(index).ok()?).ok()?;
            let at = place * symbol + span.start;
            let room = out.get_mut(at..at + span.len)?;
            room.copy_from_slice(bytes.get(..span.len)?);
            Some(())
        };
        let repair = usize::from(coding.repair);
        match coding.scheme {
            Scheme::Repeat => return None,
            Scheme::SmallBlock => small::decode(&word, repair, found)?,
            Scheme::LargeBlock => large::decode(&word, repair, found)?,
        }
        (slice..end).for_each(|j| solved |= 1 << j);
    }
    // Who keeps one of them keeps no more than what was lacking.
    let out = Bytes::from(out);
    let places = (0..).map(|at| at * symbol);
    Some(
        lacking
            .into_iter()
            .zip(places)
            .map(|(index, at)| (index, out.slice(at..at + symbol)))
            .collect(),
    )
}

fn same_symbols(held: &[u8], a: u8, b: u8) -> bool {
    held.iter().all(|mask| mask >> a & 1 == mask >> b & 1)
}

fn padded(bytes: &[u8], len: usize) -> Option<Vec<u8>> {
    if bytes.len() > len {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    out.extend_from_slice(bytes);
    out.resize(len, 0);
    Some(out)
}

/// Bytes of neighbouring slices within a symbol.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    len: usize,
}

impl Span {
    fn new(coding: &Coding, first: u8, end: u8) -> Self {
        let slice = usize::from(coding.slice_len);
        Self {
            start: usize::from(first) * slice,
            len: usize::from(end - first) * slice,
        }
    }
}

/// The code word of a span of slices: what is here of it.
struct Word<'a> {
    block: &'a [u8],
    repair: &'a [u8],
    symbol: usize,
    span: Span,
    k: usize,
    held: &'a [u8],
    slice: u8,
}

impl<'a> Word<'a> {
    fn holds(&self, symbol: usize) -> bool {
        self.held
            .get(symbol)
            .is_some_and(|mask| mask >> self.slice & 1 == 1)
    }

    fn piece(&self, from: &'a [u8], index: usize) -> Option<&'a [u8]> {
        let at = index * self.symbol + self.span.start;
        from.get(at..at + self.span.len)
    }

    /// Source symbols that are here.
    fn source(&self) -> impl Iterator<Item = (usize, &'a [u8])> + '_ {
        (0..self.k)
            .filter(|&i| self.holds(i))
            .filter_map(|i| Some((i, self.piece(self.block, i)?)))
    }

    /// Source symbols that are missing.
    fn missing(&self) -> Vec<usize> {
        (0..self.k).filter(|&i| !self.holds(i)).collect()
    }

    /// As many repair symbols as are missing, by their number among the repair symbols.
    fn repair(&self, wanted: usize) -> Option<Vec<(usize, &'a [u8])>> {
        let all = (self.k..self.held.len()).filter(|&i| self.holds(i));
        let some: Option<Vec<_>> = all
            .take(wanted)
            .map(|i| Some((i - self.k, self.piece(self.repair, i - self.k)?)))
            .collect();
        some.filter(|list| list.len() == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::geometry::Geometry;
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn sample(len: usize) -> Bytes {
        (0..len)
            .map(|i| (i * 31 + i / 251) as u8)
            .collect::<Vec<_>>()
            .into()
    }

    /// Keeps exactly `k` of the symbols for every slice, picked by `order`, and zeroes all others.
    fn erase(
        g: &Geometry,
        source: &[u8],
        repair: &[u8],
        order: &[Vec<usize>],
    ) -> (Bytes, Bytes, Vec<u8>) {
        let (k, n, sym) = (
            usize::from(g.source_symbols(0)),
            usize::from(g.symbols(0)),
            g.coding.symbol_len(),
        );
        let slice_len = usize::from(g.coding.slice_len);
        let (mut s, mut r) = (vec![0; k * sym], vec![0; (n - k) * sym]);
        let mut held = vec![0u8; n];
        let full = padded(source, k * sym).unwrap();
        for j in 0..g.coding.slices {
            for &i in order[usize::from(j) % order.len()].iter().take(k) {
                held[i] |= 1 << j;
                let (from, to, i) = if i < k {
                    (&full[..], &mut s, i)
                } else {
                    (repair, &mut r, i - k)
                };
                let at = i * sym + usize::from(j) * slice_len;
                to[at..at + slice_len].copy_from_slice(&from[at..at + slice_len]);
            }
        }
        (s.into(), r.into(), held)
    }

    fn shuffled(n: usize, picks: &[Index]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for (i, pick) in picks.iter().enumerate().take(n) {
            order.swap(i, i + pick.index(n - i));
        }
        order
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_k_symbols_solve_a_block_also_when_each_slice_has_other_symbols(
            len in prop_oneof![1400usize..86_000, 86_017usize..300_000],
            picks in proptest::collection::vec(proptest::collection::vec(any::<Index>(), 256), 1..4),
        ) {
            let g = Geometry::new(Coding::choose(len as u64), len as u64).unwrap();
            let source = sample(g.block_len(0));
            let k = g.source_symbols(0);
            let Done::Encoded(repair) = (Job::Encode { coding: g.coding, k, source: source.clone(), repair: g.coding.repair }).run() else {
                panic!("encoding failed");
            };
            let orders: Vec<_> = picks.iter().map(|p| shuffled(usize::from(g.symbols(0)), p)).collect();
            let (s, r, held) = erase(&g, &source, &repair, &orders);
            let done = Job::Decode { coding: g.coding, k, source: s.clone(), repair: r, held }.run();
            let Done::Decoded(found) = done else { panic!("decoding failed") };
            let block = join(&g.coding, k, &s, &found).unwrap();
            prop_assert_eq!(&block[..source.len()], &source[..]);
        }
    }

    #[test]
    fn too_few_symbols_are_reported_not_guessed() {
        let g = Geometry::new(Coding::choose(200_000), 200_000).unwrap();
        let k = g.source_symbols(0);
        let held = vec![g.coding.full_mask(); usize::from(k) - 1];
        let job = Job::Decode {
            coding: g.coding,
            k,
            source: sample(200_000),
            repair: Bytes::new(),
            held,
        };
        assert_eq!(job.run(), Done::Failed);
    }
}

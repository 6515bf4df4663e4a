//! The work that nothing which seals, opens and hashes can do without, and how fast it would be if it were all there is.

use super::measure::{Candidate, rates};
use bytes::Bytes;
use ostrakon::security::kdf::Key;
use ostrakon::security::seal::{MessageKeys, Room};
use ostrakon::wire::fragment::{Kind, Place, View};
use std::time::Duration;

/// Bytes of a whole symbol.
const SYMBOL: usize = 1344;
/// Bytes that are hashed and copied at once.
const BLOCK: usize = 1024 * SYMBOL;

/// Rates in MB/s of one core.
pub struct Kernels {
    pub seal: f64,
    pub open: f64,
    pub hash: f64,
    pub copy: f64,
}

impl Kernels {
    /// Measures them, taking turns.
    pub fn measure() -> Self {
        let rates = rates(&mut kernels(), 5, Duration::from_millis(60));
        let [seal, open, hash, copy] = rates[..] else {
            unreachable!("four candidates")
        };
        Self {
            seal,
            open,
            hash,
            copy,
        }
    }
}

/// The rate of work that takes one after another of these rates: the harmonic bound.
pub fn together(rates: &[f64]) -> f64 {
    1.0 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>()
}

fn kernels() -> [Candidate<'static>; 4] {
    let block = vec![0x5a; BLOCK];
    let (source, mut copy) = (block.clone(), block.clone());
    [
        sealing(block.clone()),
        opening(),
        Candidate::new(BLOCK, move || blake3::hash(&block)),
        Candidate::new(BLOCK, move || {
            copy.copy_from_slice(&source);
            copy[symbol_of(&copy)]
        }),
    ]
}

/// Seals symbols into room for several, as the engine does it.
pub struct Sealer(MessageKeys, Room);

impl Sealer {
    pub fn new() -> Self {
        Self(keys(), Room::default())
    }

    pub fn seal(&mut self, symbol: usize, plain: &[u8]) -> Bytes {
        self.0
            .seal_in(&mut self.1, Kind::Wide, &place(symbol), plain)
    }
}

/// Sealing of one symbol of a part after another.
pub fn sealing<'a>(part: impl AsRef<[u8]> + 'a) -> Candidate<'a> {
    let (mut sealer, mut next) = (Sealer::new(), 0);
    Candidate::new(SYMBOL, move || {
        let at = next % (part.as_ref().len() / SYMBOL);
        next += 1;
        sealer.seal(at, &part.as_ref()[at * SYMBOL..(at + 1) * SYMBOL])
    })
}

fn opening() -> Candidate<'static> {
    let (keys, mut room) = (keys(), Room::default());
    let frame = keys.seal(Kind::Wide, &place(7), &[0x5a; SYMBOL]);
    Candidate::new(SYMBOL, move || {
        keys.open_in(&mut room, &View::parse(&frame).unwrap())
            .unwrap()
    })
}

fn keys() -> MessageKeys {
    MessageKeys::new(Key::new([1; 32]), [2; 32], 5, [7, 8], [1, 2, 3, 4, 5, 6])
}

fn place(symbol: usize) -> Place {
    Place {
        part: 1,
        block: 3,
        symbol: symbol as u16 & 0x1fff,
        slice: 0,
    }
}

/// Something that depends on what was copied.
fn symbol_of(bytes: &[u8]) -> usize {
    bytes.first().copied().map_or(0, usize::from)
}

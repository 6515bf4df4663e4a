//! The work that nothing which seals, opens and hashes can do without, and how fast it would be if it were all there is.

use super::measure::{Candidate, rates};
use ostrakon::security::kdf::Key;
use ostrakon::security::seal::MessageKeys;
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
    let keys = MessageKeys::new(Key::new([1; 32]), [2; 32], 5, [7, 8], [1, 2, 3, 4, 5, 6]);
    let again = keys.clone();
    let plain = vec![0x5a; SYMBOL];
    let place = |symbol: u16| Place {
        part: 1,
        block: 3,
        symbol: symbol & 0x1fff,
        slice: 0,
    };
    let frame = keys.seal(Kind::Wide, &place(7), &plain);
    let (block, mut symbol) = (vec![0x5a; BLOCK], 0u16);
    let (source, mut copy) = (block.clone(), block.clone());
    [
        Candidate::new(SYMBOL, move || {
            symbol = symbol.wrapping_add(1);
            keys.seal(Kind::Wide, &place(symbol), &plain)
        }),
        Candidate::new(SYMBOL, move || {
            again.open(&View::parse(&frame).unwrap()).unwrap()
        }),
        Candidate::new(BLOCK, move || blake3::hash(&block)),
        Candidate::new(BLOCK, move || {
            copy.copy_from_slice(&source);
            copy[symbol_of(&copy)]
        }),
    ]
}

/// Something that depends on what was copied.
fn symbol_of(bytes: &[u8]) -> usize {
    bytes.first().copied().map_or(0, usize::from)
}

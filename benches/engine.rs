//! Two engines back to back in one thread: what the protocol itself costs, beside the kernels that it cannot do without.
//!
//! A part is sent by one engine and received by another. There is no network and no disk; frames and batches change
//! hands in memory. Every byte has to be sealed, opened and hashed, so the rate cannot exceed the harmonic bound of those
//! three: `1 / (1/seal + 1/open + 1/hash)`. What is missing to it is the engine's own work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/measure.rs"]
mod measure;
#[path = "support/memory.rs"]
mod memory;
#[path = "support/pair.rs"]
mod pair;
#[path = "support/stopwatch.rs"]
mod stopwatch;

use measure::{Candidate, rates};
use ostrakon::security::kdf::Key;
use ostrakon::security::seal::MessageKeys;
use ostrakon::wire::fragment::{Kind, Place, View};
use pair::{Run, SYMBOL, transfer};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::time::Duration;
use stopwatch::{clock, machine, median};

const PART: usize = 64 << 20;
const ROUNDS: usize = 3;

fn main() {
    println!("engine on {}", machine());
    let mut part = vec![0; PART];
    ChaCha20Rng::seed_from_u64(1).fill_bytes(&mut part);
    let mut measured: [Vec<f64>; 4] = Default::default();
    let mut last = Run::default();
    for _ in 0..ROUNDS {
        let kernels = rates(&mut kernels(), 5, Duration::from_millis(60));
        last = transfer(&part, Vec::new(), |_| Vec::new());
        let engine = PART as f64 / last.took.as_secs_f64() / 1e6;
        for (all, rate) in measured.iter_mut().zip(kernels.into_iter().chain([engine])) {
            all.push(rate);
        }
    }
    let [seal, open, hash, engine] = measured.map(median);
    let bound = 1.0 / (1.0 / seal + 1.0 / open + 1.0 / hash);
    println!(
        "a part of {} MiB, both engines in one thread, median of {ROUNDS} rounds, {}\n",
        PART >> 20,
        clock()
    );
    println!("| | MB/s | of the bound |");
    println!("| --- | ---: | ---: |");
    println!("| seal, {SYMBOL} bytes | {seal:.0} | |");
    println!("| open, {SYMBOL} bytes | {open:.0} | |");
    println!("| hash (BLAKE3, one thread) | {hash:.0} | |");
    println!("| harmonic bound | {bound:.0} | 1.00 |");
    println!("| send and receive | {engine:.0} | {:.2} |", engine / bound);
    let share = |part: Duration| 100.0 * part.as_secs_f64() / last.took.as_secs_f64();
    println!(
        "\nof the last round: {} frames there, {} back, {} durable batches",
        last.frames[0], last.frames[1], last.durable
    );
    println!(
        "coding jobs {:.0} %, store in memory {:.0} % of the time",
        share(last.coding),
        share(last.store)
    );
}

fn kernels() -> [Candidate<'static>; 3] {
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
    let (block, mut symbol) = (vec![0x5a; 1024 * SYMBOL], 0u16);
    [
        Candidate::new(SYMBOL, move || {
            symbol = symbol.wrapping_add(1);
            keys.seal(Kind::Wide, &place(symbol), &plain)
        }),
        Candidate::new(SYMBOL, move || {
            again.open(&View::parse(&frame).unwrap()).unwrap()
        }),
        Candidate::new(block.len(), move || blake3::hash(&block)),
    ]
}

//! Two engines back to back in one thread: what the protocol itself costs, beside the kernels that it cannot do without.
//!
//! A part is sent by one engine and received by another. There is no network and no disk; frames and batches change
//! hands in memory. Every byte has to be sealed, opened and hashed, so the rate cannot exceed the harmonic bound of those
//! three: `1 / (1/seal + 1/open + 1/hash)`. What is missing to it is the engine's own work.
//!
//! And one engine alone, which sends a part on a link that brings nothing back: it has to code every block and to seal every
//! frame.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/kernels.rs"]
mod kernels;
#[path = "support/measure.rs"]
mod measure;
#[path = "support/memory.rs"]
mod memory;
#[path = "support/pair.rs"]
mod pair;
#[path = "support/stopwatch.rs"]
mod stopwatch;

use bytes::Bytes;
use kernels::{Kernels, Sealer, sealing, together};
use measure::{Candidate, rates};
use ostrakon::engine::coding::{Done, Job};
use ostrakon::engine::geometry::Coding;
use pair::{Run, SYMBOL, send_blind, transfer};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::time::Duration;
use stopwatch::{Stopwatch, machine, median};

const PART: usize = 64 << 20;
const ROUNDS: usize = 3;
/// Rounds of the engine alone, which vary more.
const BLIND_ROUNDS: usize = 9;
/// Loss to plan for where nothing comes back, in parts per million.
const LOSS_PPM: u32 = 100_000;
/// Symbols of a block, and its repair symbols.
const BLOCK: u16 = 1024;
/// How long each of the two kernels of the engine alone runs in a round: time for about the whole part.
const SLICE: Duration = Duration::from_millis(60);

fn main() {
    println!("engine on {}", machine());
    let mut part = vec![0; PART];
    ChaCha20Rng::seed_from_u64(1).fill_bytes(&mut part);
    let mut measured: [Vec<f64>; 5] = Default::default();
    let mut last = Run::default();
    for _ in 0..ROUNDS {
        let Kernels {
            seal,
            open,
            hash,
            copy,
        } = Kernels::measure();
        last = transfer(&part, Vec::new(), |_| Vec::new());
        let engine = PART as f64 / last.took.as_secs_f64() / 1e6;
        for (all, rate) in measured.iter_mut().zip([seal, open, hash, copy, engine]) {
            all.push(rate);
        }
    }
    let [seal, open, hash, copy, engine] = measured.map(median);
    let bound = together(&[seal, open, hash]);
    println!(
        "a part of {} MiB, both engines in one thread, median of {ROUNDS} rounds, processor time\n",
        PART >> 20
    );
    println!("| | MB/s | of the bound |");
    println!("| --- | ---: | ---: |");
    println!("| seal, {SYMBOL} bytes | {seal:.0} | |");
    println!("| open, {SYMBOL} bytes | {open:.0} | |");
    println!("| hash (BLAKE3, one thread) | {hash:.0} | |");
    println!("| copy | {copy:.0} | |");
    println!("| harmonic bound of seal, open and hash | {bound:.0} | 1.00 |");
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
    blind(&part);
}

/// One engine that codes and seals, beside the two kernels, which take turns with it and go through the same bytes: those
/// have to come from memory in either case.
fn blind(part: &[u8]) {
    let part = Bytes::copy_from_slice(part);
    let mut rounds: [Vec<f64>; 6] = Default::default();
    let mut frames = 0;
    for _ in 0..BLIND_ROUNDS {
        let kernels = &mut [encoding(part.clone()), sealing(&part)];
        let [encode, seal] = rates(kernels, 1, SLICE)[..] else {
            unreachable!("two candidates")
        };
        let (took, sent) = send_blind(&part, LOSS_PPM);
        // Repair symbols are sealed as well.
        let seal = seal * PART as f64 / (sent as f64 * SYMBOL as f64);
        let rate = PART as f64 / took.as_secs_f64() / 1e6;
        let bare = without_engine(&part, sent as usize);
        let shares = [rate / together(&[encode, seal]), rate / bare];
        let all = [rate, encode, seal, shares[0], bare, shares[1]];
        rounds
            .iter_mut()
            .zip(all)
            .for_each(|(all, one)| all.push(one));
        frames = sent;
    }
    let [rate, encode, seal, share, bare, bare_share] = rounds.map(median);
    println!(
        "\nseal and code: one engine sends it blind at {} % loss in {frames} frames, {rate:.0} MB/s; medians of {BLIND_ROUNDS} rounds",
        LOSS_PPM / 10_000,
    );
    println!(
        "coding alone {encode:.0}, sealing alone {seal:.0}: {share:.2} of the harmonic bound of both"
    );
    println!(
        "both without an engine, a block coded and then sealed, {bare:.0}: {bare_share:.2} of it"
    );
}

/// The coding of one block of the part after another.
fn encoding(part: Bytes) -> Candidate<'static> {
    let mut next = 0;
    Candidate::new(usize::from(BLOCK) * SYMBOL, move || {
        next += 1;
        encode(&part, next % (part.len() / SYMBOL / usize::from(BLOCK)))
    })
}

/// Both kernels in the order in which an engine has to take them, which brings the symbols near that are sealed, and takes the
/// room of the coder from there.
fn without_engine(part: &Bytes, frames: usize) -> f64 {
    let (symbols, watch) = (usize::from(BLOCK), Stopwatch::start());
    let blocks = part.len() / SYMBOL / symbols;
    let repair = (frames * symbols * SYMBOL / part.len()).saturating_sub(symbols);
    let mut sealer = Sealer::new();
    for block in 0..blocks {
        let Done::Encoded(coded) = encode(part, block) else {
            panic!("not encoded")
        };
        let source = part[block * symbols * SYMBOL..]
            .chunks(SYMBOL)
            .take(symbols);
        let repair = coded.chunks(SYMBOL).take(repair);
        for (number, symbol) in source.chain(repair).enumerate() {
            std::hint::black_box(sealer.seal(number, symbol));
        }
    }
    (blocks * symbols * SYMBOL) as f64 / watch.elapsed().as_secs_f64() / 1e6
}

fn encode(part: &Bytes, block: usize) -> Done {
    let coding = Coding {
        block_symbols: BLOCK,
        repair: BLOCK,
        ..Coding::choose(PART as u64)
    };
    let len = usize::from(BLOCK) * SYMBOL;
    Job::Encode {
        coding,
        k: BLOCK,
        source: part.slice(block * len..(block + 1) * len),
        repair: coding.first_repair(BLOCK),
    }
    .run()
}

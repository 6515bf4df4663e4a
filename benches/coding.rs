//! What the codes cost, and what receiving a block takes beyond its size: why blocks are coded as they are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/measure.rs"]
mod measure;
#[path = "support/stopwatch.rs"]
mod stopwatch;

use bytes::Bytes;
use measure::{Candidate, rates};
use ostrakon::engine::coding::{Done, Job, Scheme, join};
use ostrakon::engine::geometry::{Coding, SLICE, SLICES};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use raptorq::{
    EncodingPacket, ObjectTransmissionInformation, SourceBlockDecoder, SourceBlockEncoder,
};
use std::time::Duration;
use stopwatch::machine;

const ROUNDS: usize = 5;
const TURN: Duration = Duration::from_millis(60);
/// Loss that is repaired when decoding is measured.
const LOSS: f64 = 0.1;
/// Blocks whose reception is tried for the overhead.
const TRIALS: u64 = 60;
/// Bytes of a symbol.
const SYMBOL: usize = SLICE as usize * SLICES as usize;
/// Source symbols of a block where both large codes are compared; RaptorQ has no more than 56403.
const COMPARED: u16 = 1000;

fn main() {
    println!("coding on {}", machine());
    println!(
        "symbols of {SYMBOL} bytes; MB/s of source bytes in processor time, median of {ROUNDS} interleaved rounds"
    );
    println!(
        "decoding: {:.0} % of the source symbols lost, as many repair symbols instead\n",
        LOSS * 100.0
    );
    println!("| k | repair | code | encode | decode |");
    println!("| ---: | ---: | --- | ---: | ---: |");
    for k in [8, 32, 64] {
        row(
            k,
            k + 4,
            Scheme::SmallBlock,
            "reed-solomon-erasure, GF(2^8)",
        );
    }
    for k in [64, 256, 1024] {
        row(k, k, Scheme::LargeBlock, "reed-solomon-simd, GF(2^16)");
    }
    compare();
    overhead();
}

fn coding(k: u16, repair: u16, scheme: Scheme) -> Coding {
    Coding {
        scheme,
        slice_len: SLICE,
        slices: SLICES,
        block_symbols: k,
        repair,
    }
}

fn sample(k: u16) -> Bytes {
    let mut bytes = vec![0; usize::from(k) * SYMBOL];
    ChaCha20Rng::seed_from_u64(u64::from(k)).fill_bytes(&mut bytes);
    bytes.into()
}

fn encode(coding: Coding, source: &Bytes) -> Bytes {
    let k = coding.block_symbols;
    let Done::Encoded(repair) = (Job::Encode {
        coding,
        k,
        source: source.clone(),
        repair: coding.repair,
    })
    .run() else {
        panic!("not encoded")
    };
    repair
}

/// What is lost, and what of the repair symbols is here instead.
fn losses(k: u16) -> Vec<u16> {
    let lost = (f64::from(k) * LOSS).ceil() as u16;
    (0..lost)
        .map(|i| (u32::from(i) * u32::from(k) / u32::from(lost)) as u16)
        .collect()
}

/// Finds what is lost.
fn decode_job(
    coding: Coding,
    source: &Bytes,
    repair: &Bytes,
) -> impl Fn() -> Vec<(u16, Bytes)> + use<> {
    let (k, lost) = (coding.block_symbols, losses(coding.block_symbols));
    let mut held = vec![coding.full_mask(); usize::from(k) + lost.len()];
    let mut gaps = source.to_vec();
    for &symbol in &lost {
        held[usize::from(symbol)] = 0;
        gaps[usize::from(symbol) * SYMBOL..][..SYMBOL].fill(0);
    }
    let (gaps, repair) = (Bytes::from(gaps), repair.slice(..lost.len() * SYMBOL));
    move || {
        let job = Job::Decode {
            coding,
            k,
            source: gaps.clone(),
            repair: repair.clone(),
            held: held.clone(),
        };
        let Done::Decoded(found) = job.run() else {
            panic!("not decoded")
        };
        found
    }
}

fn ours(coding: Coding, source: &Bytes) -> [Candidate<'static>; 2] {
    let repair = encode(coding, source);
    let solve = decode_job(coding, source, &repair);
    let is_right =
        |(symbol, found): &(u16, Bytes)| source[usize::from(*symbol) * SYMBOL..].starts_with(found);
    assert!(solve().iter().all(is_right), "other symbols were found");
    let (bytes, source) = (source.len(), source.clone());
    [
        Candidate::new(bytes, move || encode(coding, &source)),
        Candidate::new(bytes, solve),
    ]
}

fn row(k: u16, repair: u16, scheme: Scheme, name: &str) {
    let rates = rates(
        &mut ours(coding(k, repair, scheme), &sample(k)),
        ROUNDS,
        TURN,
    );
    println!(
        "| {k} | {repair} | {name} | {:.0} | {:.0} |",
        rates[0], rates[1]
    );
}

fn raptor_config(k: u16) -> ObjectTransmissionInformation {
    ObjectTransmissionInformation::new(u64::from(k) * SYMBOL as u64, SYMBOL as u16, 1, 1, 8)
}

fn raptor_packets(source: &Bytes, repair: u32) -> Vec<EncodingPacket> {
    let encoder = SourceBlockEncoder::new(0, &raptor_config(COMPARED), source);
    let mut packets = encoder.source_packets();
    packets.extend(encoder.repair_packets(0, repair));
    packets
}

fn raptor_decode(packets: Vec<EncodingPacket>) -> Option<Vec<u8>> {
    let len = u64::from(COMPARED) * SYMBOL as u64;
    SourceBlockDecoder::new(0, &raptor_config(COMPARED), len).decode(packets)
}

/// Both large codes on the same block, in the same minutes.
fn compare() {
    let source = sample(COMPARED);
    let lost = losses(COMPARED);
    for repair in [lost.len() as u16, COMPARED] {
        let large = coding(COMPARED, repair, Scheme::LargeBlock);
        let mut candidates: Vec<_> = ours(large, &source).into();
        let packets = raptor_packets(&source, u32::from(repair));
        let kept: Vec<_> = received(&packets, &lost, lost.len() + 2);
        let bytes = source.len();
        let again = source.clone();
        candidates.push(Candidate::new(bytes, move || {
            raptor_packets(&again, u32::from(repair))
        }));
        assert!(
            raptor_decode(kept.clone()).is_some_and(|block| block == source),
            "raptorq did not decode"
        );
        candidates.push(Candidate::new(bytes, move || raptor_decode(kept.clone())));
        let rates = rates(&mut candidates, ROUNDS, TURN);
        println!(
            "| {COMPARED} | {repair} | reed-solomon-simd | {:.0} | {:.0} |",
            rates[0], rates[1]
        );
        println!(
            "| {COMPARED} | {repair} | raptorq 2 (RFC 6330) | {:.0} | {:.0} |",
            rates[2], rates[3]
        );
    }
}

/// The source packets that were not lost, and so many repair packets.
fn received(packets: &[EncodingPacket], lost: &[u16], repair: usize) -> Vec<EncodingPacket> {
    let (source, spare) = packets.split_at(usize::from(COMPARED));
    let kept = source
        .iter()
        .enumerate()
        .filter(|(i, _)| !lost.contains(&(*i as u16)))
        .map(|(_, packet)| packet);
    kept.chain(spare.iter().take(repair)).cloned().collect()
}

/// How many symbols beyond k it takes, in which share of the receptions of a random selection.
fn overhead() {
    let source = sample(COMPARED);
    let packets = raptor_packets(&source, u32::from(COMPARED));
    let large = coding(COMPARED, COMPARED, Scheme::LargeBlock);
    let repair = encode(large, &source);
    let mut solved = [0u64; 3];
    let mut mds = 0;
    for trial in 0..TRIALS {
        let mut rng = ChaCha20Rng::seed_from_u64(trial);
        let order = shuffled(packets.len(), &mut rng);
        for (extra, count) in solved.iter_mut().enumerate() {
            let some = order
                .iter()
                .take(usize::from(COMPARED) + extra)
                .map(|&i| packets[i].clone());
            *count += u64::from(raptor_decode(some.collect()).is_some_and(|block| block == source));
        }
        let mut held = vec![0; packets.len()];
        let mut gaps = vec![0; source.len()];
        for &i in order.iter().take(usize::from(COMPARED)) {
            held[i] = large.full_mask();
            if let Some(symbol) = source.get(i * SYMBOL..(i + 1) * SYMBOL) {
                gaps[i * SYMBOL..][..SYMBOL].copy_from_slice(symbol);
            }
        }
        let job = Job::Decode {
            coding: large,
            k: COMPARED,
            source: gaps.clone().into(),
            repair: repair.clone(),
            held,
        };
        let Done::Decoded(found) = job.run() else {
            continue;
        };
        let block = join(&large, COMPARED, &gaps, &found);
        mds += u64::from(block.is_some_and(|block| block == source));
    }
    println!(
        "\nreception: {TRIALS} random selections of source and repair symbols, half of all {}",
        packets.len()
    );
    println!("\n| code | k symbols suffice | k + 1 | k + 2 |");
    println!("| --- | ---: | ---: | ---: |");
    println!("| reed-solomon-simd | {mds} of {TRIALS} | | |");
    println!(
        "| raptorq 2 (RFC 6330) | {} of {TRIALS} | {} | {} |",
        solved[0], solved[1], solved[2]
    );
}

fn shuffled(n: usize, rng: &mut ChaCha20Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, rng.next_u64() as usize % (i + 1));
    }
    order
}

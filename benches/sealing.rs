//! What it costs to seal and open a fragment, beside the two bare AEADs, of which one does the work: ring's with the feature
//! `ring`, and the other without it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/measure.rs"]
mod measure;
#[path = "support/stopwatch.rs"]
mod stopwatch;

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use measure::{Candidate, rates};
use ostrakon::security::kdf::Key;
use ostrakon::security::seal::MessageKeys;
use ostrakon::wire::fragment::{Kind, Place, View};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use std::time::Duration;
use stopwatch::machine;

const ROUNDS: usize = 15;
const SLICE: Duration = Duration::from_millis(30);
/// A slice, a typical datagram, a whole symbol.
const SIZES: [usize; 3] = [192, 1200, 1344];
/// As much associated data as a wide fragment has.
const ASSOCIATED: [u8; 46] = [3; 46];

fn main() {
    println!("sealing on {}", machine());
    println!(
        "MB/s of plaintext in processor time, median of {ROUNDS} interleaved rounds; the ratio is to the bare AEAD that does the work\n"
    );
    println!("| bytes | | bare chacha20poly1305 | bare ring | MessageKeys | ratio |");
    println!("| ---: | --- | ---: | ---: | ---: | ---: |");
    for size in SIZES {
        for (what, mut candidates) in [("seal", sealing(size)), ("open", opening(size))] {
            let rates = rates(&mut candidates, ROUNDS, SLICE);
            let [bare, ours, ring] = rates[..] else {
                unreachable!("three candidates")
            };
            println!(
                "| {size} | {what} | {bare:.0} | {ring:.0} | {ours:.0} | {:.2} |",
                ours / if cfg!(feature = "ring") { ring } else { bare }
            );
        }
    }
}

fn keys() -> MessageKeys {
    MessageKeys::new(Key::new([1; 32]), [2; 32], 5, [7, 8], [1, 2, 3, 4, 5, 6])
}

fn bare() -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&[4; 32].into())
}

fn ring() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[4; 32]).unwrap())
}

fn place(symbol: u16) -> Place {
    Place {
        part: 1,
        block: 3,
        symbol: symbol & 0x1fff,
        slice: 0,
    }
}

/// All three make a new buffer for each fragment, as a sender has to.
fn sealing(size: usize) -> Vec<Candidate<'static>> {
    let (cipher, keys, ring, mut symbol) = (bare(), keys(), ring(), 0u16);
    let plain = vec![0x5a; size];
    let (first, second, third) = (plain.clone(), plain.clone(), plain);
    vec![
        Candidate::new(size, move || {
            let mut buffer = Vec::with_capacity(size + 16);
            buffer.extend_from_slice(&first);
            let nonce = [9; 12].into();
            let tag = cipher
                .encrypt_inout_detached(&nonce, &ASSOCIATED, InOutBuf::from(&mut buffer[..]))
                .unwrap();
            buffer.extend_from_slice(&tag);
            buffer
        }),
        Candidate::new(size, move || {
            symbol = symbol.wrapping_add(1);
            keys.seal(Kind::Wide, &place(symbol), &second)
        }),
        Candidate::new(size, move || {
            let mut buffer = Vec::with_capacity(size + 16);
            buffer.extend_from_slice(&third);
            let nonce = Nonce::assume_unique_for_key([9; 12]);
            ring.seal_in_place_append_tag(nonce, Aad::from(ASSOCIATED), &mut buffer)
                .unwrap();
            buffer
        }),
    ]
}

fn opening(size: usize) -> Vec<Candidate<'static>> {
    let (cipher, keys, ring) = (bare(), keys(), ring());
    let mut sealed = vec![0x5a; size];
    let tag = cipher
        .encrypt_inout_detached(
            &[9; 12].into(),
            &ASSOCIATED,
            InOutBuf::from(&mut sealed[..]),
        )
        .unwrap();
    let frame = keys.seal(Kind::Wide, &place(77), &vec![0x5a; size]);
    let mut whole = sealed.clone();
    whole.extend_from_slice(&tag);
    vec![
        Candidate::new(size, move || {
            let mut buffer = sealed.clone();
            let into = InOutBuf::from(&mut buffer[..]);
            cipher
                .decrypt_inout_detached(&[9; 12].into(), &ASSOCIATED, into, &tag)
                .unwrap();
            buffer
        }),
        Candidate::new(size, move || {
            keys.open(&View::parse(&frame).unwrap()).unwrap()
        }),
        Candidate::new(size, move || {
            let mut buffer = whole.clone();
            let nonce = Nonce::assume_unique_for_key([9; 12]);
            ring.open_in_place(nonce, Aad::from(ASSOCIATED), &mut buffer)
                .unwrap();
            buffer
        }),
    ]
}

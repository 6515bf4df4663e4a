//! Golden vectors: every byte of the wire formats and of key derivation, frozen in `tests/vectors/*.txt`.
//!
//! Each file states fields and the bytes that they become. A vector that expects success has to be made from its
//! fields byte for byte, and to be read back as those fields; any other has to be refused with the words it
//! states. After a deliberate change of a format the files are written anew by
//!
//! ```text
//! cargo test --test vectors -- --ignored regenerate
//! ```
//!
//! and the difference is read before it is committed. Everything in them is made from fixed bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "vectors/content.rs"]
mod content;
#[path = "vectors/enrolment.rs"]
mod enrolment;
#[path = "vectors/file.rs"]
mod file;
#[path = "vectors/generations.rs"]
mod generations;
#[path = "vectors/grants.rs"]
mod grants;
#[path = "vectors/incarnation.rs"]
mod incarnation;
#[path = "vectors/introduction.rs"]
mod introduction;
#[path = "vectors/invitation.rs"]
mod invitation;
#[path = "vectors/keys.rs"]
mod keys;
#[path = "vectors/lockbox.rs"]
mod lockbox;
#[path = "vectors/make.rs"]
mod make;
#[path = "vectors/make_keys.rs"]
mod make_keys;
#[path = "vectors/plain.rs"]
mod plain;
#[path = "vectors/roster.rs"]
mod roster;
#[path = "vectors/shared.rs"]
mod shared;
#[path = "vectors/spending.rs"]
mod spending;
#[path = "vectors/voice.rs"]
mod voice;

use file::Vector;
use std::collections::BTreeMap;

/// The bytes that the fields of a vector become.
fn encode(vector: &Vector) -> Vec<u8> {
    match vector.get("type") {
        "varint" => plain::encode_varint(vector),
        "manifest" => plain::manifest(vector).encode(),
        "manifest-chunk" => plain::encode_chunk(vector),
        "envelope" => plain::encode_envelope(vector),
        "piece" => plain::encode_piece(vector),
        "report" => plain::encode_report(vector),
        "incarnation" => incarnation::encode(vector),
        "coding" => plain::encode_repair(vector),
        "fragment" => keys::encode_fragment(vector),
        "card" => keys::encode_card(vector),
        "root" => keys::encode_root(vector),
        "roster" => roster::encode(vector),
        "preamble" => keys::encode_preamble(vector),
        "epoch" => keys::encode_epoch(vector),
        "mailbox-tag" => keys::encode_tag(vector),
        "generation" => generations::encode(vector),
        "generation-answer" => generations::encode_answer(vector),
        "generation-preamble" => generations::encode_preamble(vector),
        "generation-epoch" => generations::encode_epoch(vector),
        "introduction" => introduction::encode(vector),
        "invitation" => invitation::encode(vector),
        "enrolment" => enrolment::encode(vector),
        "enrolment-code" => enrolment::encode_code(vector),
        "lockbox" => lockbox::encode(vector),
        "content" => content::encode(vector),
        "grant" => grants::encode(vector),
        "spending" => spending::encode(vector),
        "shared" => shared::encode(vector),
        "safety-number" => keys::encode_safety_number(vector),
        "voice-step" => voice::encode_step(vector),
        "voice-number" => voice::encode_number(vector),
        other => panic!("{}: unknown type {other}", vector.name),
    }
}

/// Reads the bytes of a vector and compares with its fields; false if they were refused as expected.
fn decode(vector: &Vector) -> bool {
    match vector.get("type") {
        "varint" => plain::decode_varint(vector),
        "manifest" => plain::decode_manifest(vector),
        "manifest-chunk" => plain::decode_chunk(vector),
        "envelope" => plain::decode_envelope(vector),
        "piece" => plain::decode_piece(vector),
        "report" => plain::decode_report(vector),
        "incarnation" => incarnation::decode(vector),
        "coding" => plain::solve(vector),
        "fragment" => keys::decode_fragment(vector),
        "card" => keys::decode_card(vector),
        "root" => keys::decode_root(vector),
        "roster" => roster::decode(vector),
        "preamble" => keys::decode_preamble(vector),
        "epoch" => keys::decode_epoch(vector),
        "generation" => generations::decode(vector),
        "generation-answer" => generations::decode_answer(vector),
        "generation-preamble" => generations::decode_preamble(vector),
        "generation-epoch" => generations::decode_epoch(vector),
        "introduction" => introduction::decode(vector),
        "invitation" => invitation::decode(vector),
        "enrolment" => enrolment::decode(vector),
        "enrolment-code" => enrolment::decode_code(vector),
        "lockbox" => lockbox::decode(vector),
        "content" => content::decode(vector),
        "grant" => grants::decode(vector),
        "spending" => spending::decode(vector),
        "voice-step" => voice::decode_step(vector),
        "shared" => shared::decode(vector),
        // One way only.
        _ => true,
    }
}

#[test]
fn every_vector_is_made_from_its_fields_and_read_back_or_refused_by_name() {
    for vector in file::all() {
        let taken = decode(&vector);
        assert_eq!(taken, vector.get("expect") == "success", "{}", vector.name);
        if taken {
            assert_eq!(
                file::hex(&encode(&vector)),
                file::hex(&vector.body),
                "{}",
                vector.name
            );
        }
    }
}

#[test]
fn the_files_are_exactly_those_that_the_fixed_bytes_make() {
    let stored: BTreeMap<String, String> = file::all()
        .iter()
        .map(|v| (v.name.clone(), v.text()))
        .collect();
    let made: BTreeMap<String, String> = make::all()
        .iter()
        .map(|v| (v.name.clone(), v.text()))
        .collect();
    let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&stored), names(&made));
    for (name, text) in &made {
        assert_eq!(stored.get(name), Some(text), "{name}");
    }
}

#[test]
#[ignore = "writes the files anew"]
fn regenerate() {
    for vector in make::all() {
        std::fs::write(file::dir().join(&vector.name), vector.text()).unwrap();
    }
}

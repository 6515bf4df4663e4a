//! Vectors of formats without keys.

use super::file::{Vector, hex, unhex};
use bytes::Bytes;
use ostrakon::engine::coding::{Done, Job, Scheme, join};
use ostrakon::engine::geometry::Coding;
use ostrakon::engine::id::PersonId;
use ostrakon::security::kdf::Key;
use ostrakon::security::shared;
use ostrakon::wire::envelope::Envelope;
use ostrakon::wire::fragment::ManifestChunk;
use ostrakon::wire::manifest::{Body, Lifetime, Manifest, PartEntry};
use ostrakon::wire::piece::Piece;
use ostrakon::wire::read::{Malformed, Reader, put_varint};
use ostrakon::wire::report::{Block, Header, Held, Part, Report, Writer};
use ostrakon::wire::shared::Shared;
use std::collections::BTreeSet;

pub fn encode_varint(vector: &Vector) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, vector.number("value"));
    out
}

pub fn decode_varint(vector: &Vector) -> bool {
    let mut reader = Reader::new(&vector.body);
    let read = reader
        .varint()
        .and_then(|value| reader.finish().map(|()| value));
    if vector.refused(read) {
        return false;
    }
    assert_eq!(read, Ok(vector.number("value")), "{}", vector.name);
    true
}

/// The manifest that the fields describe.
pub fn manifest(vector: &Vector) -> Manifest {
    let created = vector.find("created").map(|text| text.parse().unwrap());
    let parts = vector
        .values("part")
        .iter()
        .map(|text| part(text))
        .collect();
    Manifest {
        salt: vector.array("salt"),
        created,
        parts,
        shared: several(vector),
    }
}

/// What the fields say of several recipients.
fn several(vector: &Vector) -> Option<Shared> {
    let recipients = vector.values("recipient").into_iter();
    let recipients = recipients.map(|text| PersonId(unhex(text).try_into().unwrap()));
    let recipients: BTreeSet<PersonId> = recipients.collect();
    let key = vector.find("content-key");
    let key = key.map(|text| Key::new(unhex(text).try_into().unwrap()));
    let mut shared = shared::unsigned(recipients, key.as_ref());
    if let Some(signature) = vector.find("signature") {
        shared.signature = unhex(signature).try_into().unwrap();
    }
    (!shared.recipients.is_empty()).then_some(shared)
}

/// `id|priority|lifetime|media type|name|inline|bytes` or
/// `id|priority|lifetime|media type|name|coded|length|digest|scheme|slice length|slices|block symbols|repair`.
fn part(text: &str) -> PartEntry {
    let field: Vec<&str> = text.split('|').collect();
    let body = match field[5] {
        "inline" => Body::Inline(unhex(field[6]).into()),
        "coded" => Body::Coded {
            len: field[6].parse().unwrap(),
            digest: unhex(field[7]).try_into().unwrap(),
            coding: Coding {
                scheme: Scheme::from_code(field[8].parse().unwrap()).unwrap(),
                slice_len: field[9].parse().unwrap(),
                slices: field[10].parse().unwrap(),
                block_symbols: field[11].parse().unwrap(),
                repair: field[12].parse().unwrap(),
            },
        },
        other => panic!("body {other}"),
    };
    PartEntry {
        id: field[0].parse().unwrap(),
        priority: field[1].parse().unwrap(),
        lifetime: Lifetime(field[2].parse().unwrap()),
        media_type: field[3].to_owned(),
        name: field[4].to_owned(),
        body,
    }
}

pub fn decode_manifest(vector: &Vector) -> bool {
    let read = Manifest::decode(&vector.body);
    if vector.refused(read.as_ref()) {
        return false;
    }
    let read = read.unwrap();
    assert_eq!(read, manifest(vector), "{}", vector.name);
    let id = read.message_id(PersonId(vector.array("from")), PersonId(vector.array("to")));
    assert_eq!(hex(&id.0), vector.get("id"), "{}", vector.name);
    true
}

pub fn encode_chunk(vector: &Vector) -> Vec<u8> {
    let bytes = vector.bytes("bytes");
    ManifestChunk {
        manifest_len: vector.number("manifest-length"),
        bytes: &bytes,
    }
    .encode()
}

pub fn decode_chunk(vector: &Vector) -> bool {
    let read = ManifestChunk::decode(&vector.body);
    if vector.refused(read) {
        return false;
    }
    let bytes = vector.bytes("bytes");
    let stated = ManifestChunk {
        manifest_len: vector.number("manifest-length"),
        bytes: &bytes,
    };
    assert_eq!(read, Ok(stated), "{}", vector.name);
    true
}

fn envelope(vector: &Vector) -> Envelope {
    Envelope {
        tag: vector.array("tag"),
        age: vector.number("age"),
        hops: vector.number("hops"),
        priority: vector.number("priority"),
    }
}

pub fn encode_envelope(vector: &Vector) -> Vec<u8> {
    envelope(vector).wrap(&vector.bytes("frame"))
}

pub fn decode_envelope(vector: &Vector) -> bool {
    let read = Envelope::unwrap(&vector.body);
    if vector.refused(read) {
        return false;
    }
    assert_eq!(
        read,
        Ok((envelope(vector), &vector.bytes("frame")[..])),
        "{}",
        vector.name
    );
    true
}

fn piece<'a>(vector: &Vector, bytes: &'a [u8]) -> Piece<'a> {
    Piece {
        number: vector.number("number"),
        index: vector.number("index"),
        count: vector.number("count"),
        bytes,
    }
}

pub fn encode_piece(vector: &Vector) -> Vec<u8> {
    piece(vector, &vector.bytes("frame")).encode().to_vec()
}

pub fn decode_piece(vector: &Vector) -> bool {
    let read = Piece::decode(&vector.body);
    if vector.refused(read) {
        return false;
    }
    assert_eq!(
        read,
        Ok(piece(vector, &vector.bytes("frame"))),
        "{}",
        vector.name
    );
    true
}

fn report_header(vector: &Vector) -> Header {
    let flags: Vec<&str> = vector
        .find("flags")
        .map(|text| text.split(' ').collect())
        .unwrap_or_default();
    Header {
        complete: flags.contains(&"complete"),
        manifest: flags.contains(&"manifest"),
        partial: flags.contains(&"partial"),
        unwanted: flags.contains(&"unwanted"),
        apart: flags.contains(&"apart"),
        message: vector.array("message"),
        number: vector.number("number"),
        delay_ms: vector.number("delay-ms"),
    }
}

/// `part complete` or `part solved-up-to block:solved … block:masks …`.
fn report_part(text: &str) -> (u8, Part) {
    let mut words = text.split(' ');
    let number = words.next().unwrap().parse().unwrap();
    let state = match words.next().unwrap() {
        "complete" => Part::Complete,
        solved => {
            let listed = words.map(|word| {
                let (block, held) = word.split_once(':').unwrap();
                let held = if held == "solved" {
                    Held::Solved
                } else {
                    Held::Some(unhex(held))
                };
                Block {
                    block: block.parse().unwrap(),
                    held,
                }
            });
            Part::Blocks {
                solved: solved.parse().unwrap(),
                from: solved.parse().unwrap(),
                to_end: true,
                listed: listed.collect(),
            }
        }
    };
    (number, state)
}

fn report(vector: &Vector) -> Report {
    Report {
        header: report_header(vector),
        parts: vector
            .values("part")
            .iter()
            .map(|text| report_part(text))
            .collect(),
    }
}

pub fn encode_report(vector: &Vector) -> Vec<u8> {
    let report = report(vector);
    let mut writer = Writer::new(&report.header, usize::MAX);
    for (number, state) in &report.parts {
        writer.part(*number, state, vector.array::<1>("full-mask")[0]);
    }
    writer.finish()
}

pub fn decode_report(vector: &Vector) -> bool {
    let full = vector.array::<1>("full-mask")[0];
    let read = Report::decode(&vector.body, |part| (part < 200).then_some(full));
    if vector.refused(read.as_ref()) {
        return false;
    }
    assert_eq!(
        read.map(trimmed),
        Ok::<_, Malformed>(report(vector)),
        "{}",
        vector.name
    );
    true
}

/// A bitmap fills whole bytes; symbols after the last of which anything is here say nothing.
fn trimmed(mut report: Report) -> Report {
    for (_, part) in &mut report.parts {
        let Part::Blocks { listed, .. } = part else {
            continue;
        };
        for block in listed {
            let Held::Some(masks) = &mut block.held else {
                continue;
            };
            masks.truncate(
                masks
                    .iter()
                    .rposition(|&mask| mask != 0)
                    .map_or(0, |last| last + 1),
            );
        }
    }
    report
}

fn coding(vector: &Vector) -> (Coding, u16) {
    let k = vector.number("source-symbols");
    let coding = Coding {
        scheme: Scheme::from_code(vector.number("scheme")).unwrap(),
        slice_len: vector.number("slice-length"),
        slices: vector.number("slices"),
        block_symbols: k,
        repair: vector.number("repair-symbols"),
    };
    (coding, k)
}

pub fn encode_repair(vector: &Vector) -> Vec<u8> {
    let (coding, k) = coding(vector);
    let job = Job::Encode {
        coding,
        k,
        source: vector.bytes("source").into(),
        repair: coding.repair,
    };
    match job.run() {
        Done::Encoded(repair) => repair.to_vec(),
        other => panic!("{}: {other:?}", vector.name),
    }
}

/// The stated repair symbols make good for as many lost source symbols, the first ones.
pub fn solve(vector: &Vector) -> bool {
    let (coding, k) = coding(vector);
    let lost = usize::from(coding.repair.min(k));
    let (mut source, full) = (vector.bytes("source"), coding.full_mask());
    source[..lost * coding.symbol_len()].fill(0);
    let held = (0..usize::from(k) + lost)
        .map(|symbol| if symbol < lost { 0 } else { full })
        .collect();
    let (source, repair) = (Bytes::from(source), Bytes::copy_from_slice(&vector.body));
    let job = Job::Decode {
        coding,
        k,
        source: source.clone(),
        repair,
        held,
    };
    let found = match job.run() {
        Done::Decoded(found) => found,
        other => panic!("{}: {other:?}", vector.name),
    };
    let block = join(&coding, k, &source, &found).unwrap();
    block.starts_with(&vector.bytes("source"))
}

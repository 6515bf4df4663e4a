//! The list of vectors, each from fixed bytes. Those that depend on keys are in [`super::make_keys`].

use super::file::{Vector, hex};
use super::{
    content, encode, enrolment, generations, grants, incarnation, introduction, invitation,
    lockbox, make_keys, roster, shared, spending, voice,
};
use ostrakon::engine::geometry::Coding;
use ostrakon::engine::id::PersonId;

/// All vectors.
pub fn all() -> Vec<Vector> {
    let mut all = [
        varints(),
        manifests(),
        chunks(),
        envelopes(),
        pieces(),
        reports(),
        incarnation::all(),
        codings(),
        make_keys::all(),
        introduction::all(),
        invitation::all(),
        lockbox::all(),
        content::all(),
        enrolment::all(),
        grants::all(),
        roster::all(),
        spending::all(),
        shared::all(),
        generations::all(),
        voice::all(),
    ]
    .concat();
    all.iter_mut()
        .for_each(|vector| vector.name.push_str(".txt"));
    all
}

/// A vector whose bytes its fields make.
pub fn made(mut vector: Vector) -> Vector {
    vector.body = encode(&vector);
    vector
}

pub fn good(name: &str, kind: &str, note: &str) -> Vector {
    Vector::new(name, kind, "success", note, &[])
}

/// Bytes that count up from `first`.
pub fn run(first: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| first.wrapping_add(i as u8)).collect()
}

fn varints() -> Vec<Vector> {
    let rfc = [
        ("8", 151_288_809_941_952_652u64),
        ("4", 494_878_333),
        ("2", 15_293),
        ("1", 37),
    ];
    let mut list: Vec<Vector> = rfc
        .iter()
        .map(|(len, value)| {
            let note = "RFC 9000, appendix A.1";
            made(good(&format!("varint-rfc9000-{len}"), "varint", note).with("value", value))
        })
        .collect();
    list.push(made(
        good("varint-largest", "varint", "2^62 - 1").with("value", (1u64 << 62) - 1),
    ));
    let long = [0x40, 0x25];
    list.push(Vector::new(
        "varint-too-long",
        "varint",
        "bad value of varint",
        "37 in two bytes",
        &long,
    ));
    list.push(Vector::new(
        "varint-cut",
        "varint",
        "truncated",
        "one byte of two",
        &[0x7b],
    ));
    list
}

fn manifest(name: &str, note: &str) -> Vector {
    good(name, "manifest", note).with_bytes("salt", &run(1, 8))
}

fn identified(vector: Vector) -> Vector {
    let vector = vector
        .with_bytes("from", &[0xa1; 32])
        .with_bytes("to", &[0xb2; 32]);
    let id = super::plain::manifest(&vector).message_id(PersonId([0xa1; 32]), PersonId([0xb2; 32]));
    made(vector.with_bytes("id", &id.0))
}

/// A coded part, as the fields of a vector state it.
pub fn coded(len: u64) -> String {
    let coding = Coding::choose(len);
    let numbers = [
        u64::from(coding.slice_len),
        u64::from(coding.slices),
        u64::from(coding.block_symbols),
    ];
    let [slice_len, slices, block] = numbers;
    let digest = hex(&run(0x40, 32));
    format!(
        "coded|{len}|{digest}|{}|{slice_len}|{slices}|{block}|{}",
        coding.scheme.code(),
        coding.repair
    )
}

fn manifests() -> Vec<Vector> {
    let text = hex("Boat leaves at six.".as_bytes());
    let short = manifest("manifest-short", "one text, the short form")
        .with("created", 1_760_000_000u32)
        .with("part", format!("1|0|104|text/plain||inline|{text}"));
    let timeless = manifest(
        "manifest-short-without-clock",
        "a sender without a clock states no time",
    )
    .with("part", format!("1|0|0|text/plain||inline|{text}"));
    let ack = manifest(
        "manifest-session-ack",
        "a control record: 16 bytes of session id",
    )
    .with(
        "part",
        format!(
            "1|0|0|application/vnd.ostrakon.session-ack||inline|{}",
            hex(&run(9, 16))
        ),
    );
    let cancel = manifest(
        "manifest-cancel",
        "a control record: 32 bytes of message id",
    )
    .with(
        "part",
        format!(
            "1|0|0|application/vnd.ostrakon.cancel||inline|{}",
            hex(&run(3, 32))
        ),
    );
    let table = manifest(
        "manifest-table",
        "a text, a picture in one small block, a file in large blocks",
    )
    .with("created", 1_760_000_000u32)
    .with("part", format!("1|0|104|text/plain||inline|{text}"))
    .with(
        "part",
        format!("2|2|0|image/jpeg|bridge.jpg|{}", coded(40_000)),
    )
    .with(
        "part",
        format!("3|3|160|image/webp|map ü.webp|{}", coded(20_000_000)),
    );
    let single = manifest(
        "manifest-single-symbol",
        "a part of one symbol: the repeating scheme",
    )
    .with(
        "part",
        format!("7|1|0|application/pdf|note.pdf|{}", coded(1200)),
    );
    let good: Vec<Vector> = [short, timeless, ack, table, single, cancel]
        .into_iter()
        .map(identified)
        .collect();
    let bad = refused_manifests(&good[0].body, &good[3].body);
    [good, bad].concat()
}

fn refused_manifests(short: &[u8], table: &[u8]) -> Vec<Vector> {
    let changed = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let refused = |name: &str, expect: &str, note: &str, bytes: &[u8]| {
        Vector::new(
            &format!("manifest-refused-{name}"),
            "manifest",
            expect,
            note,
            bytes,
        )
    };
    let parts = 2 + 8 + 4;
    let first_id = parts + 1;
    let second_id = first_id + 3 + 1 + 1 + 1 + 2 + 19;
    let scheme = second_id + 3 + 1 + 1 + 10 + 1 + 4 + 32;
    let long_form = [
        &[1u8, 0][..],
        &run(1, 8),
        &[1, 1, 0, 0, 1, 0, 0, 0, 2, 0x68, 0x69],
    ]
    .concat();
    vec![
        refused(
            "version",
            "unknown version 2",
            "version 2",
            &changed(short, 0, 2),
        ),
        refused(
            "flag",
            "bad value of manifest flags",
            "an unknown flag",
            &changed(short, 1, 9),
        ),
        refused(
            "lonely",
            "bad value of number of recipients",
            "one recipient of several",
            &[&changed(short, 1, 7)[..], &[1], &[0xb2; 32], &[0; 64]].concat(),
        ),
        refused(
            "list",
            "bad value of order of recipients",
            "the same recipient twice",
            &[&changed(short, 1, 7)[..], &[2], &[0xb2; 64], &[0; 64]].concat(),
        ),
        refused(
            "cut",
            "truncated",
            "the last byte is missing",
            &short[..short.len() - 1],
        ),
        refused(
            "trailing",
            "trailing bytes",
            "one byte too many",
            &[short, &[0]].concat(),
        ),
        refused(
            "no-parts",
            "bad value of number of parts",
            "no part",
            &changed(table, parts, 0),
        ),
        refused(
            "part-zero",
            "bad value of part id",
            "a part 0",
            &changed(table, first_id, 0),
        ),
        refused(
            "part-twice",
            "bad value of part id",
            "two parts with the id 1",
            &changed(table, second_id, 1),
        ),
        refused(
            "scheme",
            "bad value of coding scheme",
            "coding scheme 9",
            &changed(table, scheme, 9),
        ),
        refused(
            "slices",
            "bad value of coding parameters",
            "a symbol of nine slices",
            &changed(table, scheme + 3, 9),
        ),
        refused(
            "long-form",
            "bad value of manifest form",
            "what has a short form in the long one",
            &long_form,
        ),
    ]
}

fn chunks() -> Vec<Vector> {
    let chunk = good(
        "manifest-chunk",
        "manifest-chunk",
        "the first chunk of a manifest of 300 bytes",
    );
    let none = [0, 0, 1];
    let long = [&[1u8, 0][..], &run(0, 193)].concat();
    vec![
        made(
            chunk
                .with("manifest-length", 300)
                .with_bytes("bytes", &run(7, 192)),
        ),
        Vector::new(
            "manifest-chunk-of-nothing",
            "manifest-chunk",
            "bad value of manifest chunk",
            "length 0",
            &none,
        ),
        Vector::new(
            "manifest-chunk-too-long",
            "manifest-chunk",
            "bad value of manifest chunk",
            "193 bytes",
            &long,
        ),
    ]
}

fn pieces() -> Vec<Vector> {
    let piece = good("piece", "piece", "the second of three pieces of a frame")
        .with("number", 4660)
        .with("index", 1)
        .with("count", 3)
        .with_bytes("frame", &run(0x20, 5));
    let piece = made(piece);
    let bad = |name: &str, expect: &str, note: &str, at: usize, value: u8| {
        let mut bytes = piece.body.clone();
        bytes[at] = value;
        Vector::new(name, "piece", expect, note, &bytes)
    };
    let value = "bad value of piece";
    vec![
        bad("piece-refused-index", value, "no such piece", 4, 3),
        bad("piece-refused-count", value, "more than 16 pieces", 5, 17),
        bad(
            "piece-refused-kind",
            "bad value of kind",
            "a preamble",
            1,
            1,
        ),
        piece,
    ]
}

fn envelopes() -> Vec<Vector> {
    let envelope = good("envelope", "envelope", "around five bytes")
        .with_bytes("tag", &run(0x11, 8))
        .with("age", 86_400)
        .with("hops", 16)
        .with("priority", 2)
        .with_bytes("frame", &run(0x20, 5));
    let envelope = made(envelope);
    let change = |at: usize, value: u8| {
        let mut bytes = envelope.body.clone();
        bytes[at] = value;
        bytes
    };
    let bad = |name: &str, expect: &str, note: &str, bytes: &[u8]| {
        Vector::new(name, "envelope", expect, note, bytes)
    };
    vec![
        bad(
            "envelope-refused-version",
            "unknown version 2",
            "version 2",
            &change(0, 6 << 5 | 2),
        ),
        bad(
            "envelope-refused-flags",
            "bad value of envelope flags",
            "an unknown flag",
            &change(15, 1),
        ),
        bad(
            "envelope-refused-empty",
            "truncated",
            "nothing inside",
            &envelope.body[..16],
        ),
        bad(
            "envelope-refused-kind",
            "bad value of kind",
            "another kind",
            &change(0, 1 << 5 | 1),
        ),
        envelope,
    ]
}

fn report(name: &str, note: &str, flags: &str) -> Vector {
    good(name, "report", note)
        .with("flags", flags)
        .with_bytes("message", &run(0x50, 16))
        .with("number", 7)
        .with("delay-ms", 120)
        .with("full-mask", "7f")
}

fn reports() -> Vec<Vector> {
    let scattered = hex(&[0x7f, 0, 0x7f, 0x7f, 0x05, 0x7f]);
    let runs = hex(&[vec![0x7f; 400], vec![0; 3], vec![0x7f; 500]].concat());
    let complete = made(report(
        "report-complete",
        "all delivered",
        "complete manifest",
    ));
    let blocks = report(
        "report-blocks",
        "a part complete; of another, blocks 0 to 2, 4, and some of 6",
        "manifest",
    )
    .with("part", "1 complete")
    .with("part", format!("2 3 4:solved 6:{scattered}"));
    let long = report(
        "report-runs",
        "a block with one gap: runs are shorter than a bitmap",
        "manifest partial",
    )
    .with("part", format!("1 0 0:{runs}"));
    let unwanted = made(report(
        "report-unwanted",
        "no longer wanted",
        "manifest unwanted",
    ));
    let apart = made(report(
        "report-apart",
        "symbols for several are not taken any more",
        "manifest apart",
    ));
    let no_room = made(report(
        "report-no-room",
        "there is no room for the message now",
        "",
    ));
    let bad = |name: &str, expect: &str, note: &str, bytes: Vec<u8>| {
        Vector::new(name, "report", expect, note, &bytes).with("full-mask", "7f")
    };
    let head = complete.body.clone();
    let with = |tail: &[u8]| [&head[..], tail].concat();
    vec![
        made(blocks),
        made(long),
        unwanted,
        apart,
        no_room,
        bad(
            "report-refused-version",
            "unknown version 2",
            "version 2",
            [&[2], &head[1..]].concat(),
        ),
        bad(
            "report-refused-flags",
            "bad value of report flags",
            "an unknown flag",
            [&[1, 32], &head[2..]].concat(),
        ),
        bad(
            "report-refused-part",
            "bad value of part",
            "a part that the message does not have",
            with(&[200, 0]),
        ),
        bad(
            "report-refused-order",
            "bad value of order of parts",
            "part 2 before part 1",
            with(&[2, 0, 1, 0]),
        ),
        bad(
            "report-refused-run",
            "bad value of run",
            "a gap beyond its bound",
            with(&[1, 1, 0, 0, 1, 0, 2, 4, 1, 3, 1, 0]),
        ),
        bad(
            "report-refused-groups",
            "bad value of number of groups",
            "nine groups of slices",
            with(&[&[1, 1, 0, 0, 1, 0, 3, 9][..], &[1, 1, 1].repeat(9)].concat()),
        ),
        bad(
            "report-refused-cut",
            "truncated",
            "a part without a state",
            with(&[1]),
        ),
        complete,
    ]
}

fn codings() -> Vec<Vector> {
    let coding =
        |name: &str, note: &str, [scheme, slice_len, slices, k, r]: [u8; 5], len: usize| {
            let vector = good(name, "coding", note)
                .with("scheme", scheme)
                .with("slice-length", slice_len)
                .with("slices", slices)
                .with("source-symbols", k)
                .with("repair-symbols", r);
            made(vector.with_bytes("source", &run(0xd0, len)))
        };
    vec![
        coding(
            "coding-small",
            "three symbols of two slices; the last is cut short",
            [2, 5, 2, 3, 2],
            27,
        ),
        coding(
            "coding-large",
            "three symbols of one slice; the last is cut short",
            [3, 64, 1, 3, 2],
            180,
        ),
        coding(
            "coding-large-more-repair",
            "more repair than source symbols",
            [3, 64, 1, 2, 5],
            128,
        ),
        coding(
            "coding-large-as-many",
            "as many repair as source symbols",
            [3, 64, 1, 4, 4],
            256,
        ),
    ]
}

//! Vectors of notes of an incarnation.

use super::file::Vector;
use super::make::{good, made, run};
use ostrakon::wire::incarnation::{Incarnation, LEN, Note};

/// All of them.
pub fn all() -> Vec<Vector> {
    let note = |name: &str, note: &str| good(name, "incarnation", note);
    let own = |vector: Vector| {
        vector
            .with("own-number", 7)
            .with("own-mark", "0102030405060708")
    };
    let first =
        made(own(note("incarnation-first", "nothing was heard yet")).with("flags", "wants-answer"));
    let answer = made(
        own(note("incarnation-answer", "of a home that has gone back"))
            .with("flags", "went-back")
            .with("seen-number", 65_537)
            .with("seen-mark", "1112131415161718"),
    );
    let named = made(
        own(note("incarnation-named", "to one of several endpoints"))
            .with("flags", "wants-answer")
            .with("seen-number", 3)
            .with("seen-mark", "1112131415161718")
            .with("to", "2122232425262728"),
    );
    let bad = |name: &str, expect: &str, note: &str, bytes: Vec<u8>| {
        Vector::new(name, "incarnation", expect, note, &bytes)
    };
    let bytes = first.body.clone();
    vec![
        bad(
            "incarnation-refused-version",
            "unknown version 2",
            "version 2",
            [&[2], &bytes[1..]].concat(),
        ),
        bad(
            "incarnation-refused-flags",
            "bad value of incarnation flags",
            "an unknown flag",
            [&[1, 8], &bytes[2..]].concat(),
        ),
        bad(
            "incarnation-refused-own",
            "bad value of incarnation",
            "the sender has none",
            [&bytes[..2], &[0; 24]].concat(),
        ),
        bad(
            "incarnation-refused-mark",
            "bad value of incarnation",
            "a mark without a number",
            [&bytes[..LEN - 8], &run(1, 8)].concat(),
        ),
        bad(
            "incarnation-refused-cut",
            "truncated",
            "a byte is missing",
            bytes[..LEN - 1].to_vec(),
        ),
        first,
        answer,
        named,
    ]
}

fn fields(vector: &Vector) -> Note {
    let flags = vector.find("flags").unwrap_or_default();
    let seen = vector.find("seen-number").map(|_| Incarnation {
        number: vector.number("seen-number"),
        mark: vector.array("seen-mark"),
    });
    Note {
        wants_answer: flags.contains("wants-answer"),
        went_back: flags.contains("went-back"),
        own: Incarnation {
            number: vector.number("own-number"),
            mark: vector.array("own-mark"),
        },
        seen,
        to: vector.find("to").map(|_| vector.array("to")),
    }
}

pub fn encode(vector: &Vector) -> Vec<u8> {
    fields(vector).encode()
}

pub fn decode(vector: &Vector) -> bool {
    let read = Note::decode(&vector.body);
    if vector.refused(read) {
        return false;
    }
    assert_eq!(read, Ok(fields(vector)), "{}", vector.name);
    true
}

//! Vectors of what devices of a person tell each other of their devices.

use super::file::{Vector, hex};
use super::make::{good, made, run};
use super::make_keys::key_file_without_root;
use ostrakon::security::card::{Card, Endpoint};
use ostrakon::security::identity::Identity;
use ostrakon::security::roster::Roster;

/// All of them.
pub fn all() -> Vec<Vector> {
    let note = "one device removed under number 6, one added under number 4";
    let vector = good("roster", "roster", note)
        .with("delegation", 1)
        .with_bytes("added", &run(0x40, 96))
        .with("added-number", 4)
        .with_bytes("removed", &run(0x20, 32))
        .with("removed-number", 6);
    let good = made(vector);
    let bad = |name: &str, expect: &str, note: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.body.clone();
        change(&mut bytes);
        Vector::new(name, "roster", expect, note, &bytes)
    };
    let kind = "bad value of kind of a word on a device";
    vec![
        bad(
            "roster-refused-version",
            "unknown version 2",
            "version 2",
            &|b| b[0] = 2,
        ),
        bad("roster-refused-kind", kind, "a third kind", &|b| b[5] = 2),
        bad(
            "roster-refused-order",
            "bad value of order of devices",
            "the first device once more",
            &|b| b.extend_from_within(5..46),
        ),
        bad("roster-refused-cut", "truncated", "a byte short", &|b| {
            b.pop();
        }),
        good,
    ]
}

/// A card with this sequence number.
fn card(sequence: u64) -> Card {
    let me = Identity::decode(&key_file_without_root(0x10)).unwrap();
    me.card("Amina", sequence, vec![])
}

pub fn encode(vector: &Vector) -> Vec<u8> {
    let mut roster = Roster::default().under(vector.number("delegation"));
    let added = vector.bytes("added");
    let [id, key, link] = [0, 32, 64].map(|at| added[at..at + 32].try_into().unwrap());
    let number: u64 = vector.number("added-number");
    roster.add(&Endpoint { id, key, link }, &card(number - 1));
    let number: u64 = vector.number("removed-number");
    roster.remove(vector.array("removed"), &card(number - 1));
    roster.encode()
}

pub fn decode(vector: &Vector) -> bool {
    let read = Roster::decode(&vector.body);
    if vector.refused(read.as_ref()) {
        return false;
    }
    assert_eq!(
        hex(&read.unwrap().encode()),
        hex(&vector.body),
        "{}",
        vector.name
    );
    true
}

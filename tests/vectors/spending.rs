//! Vectors of statements of what grants have cost at a relay.

use super::file::{Vector, hex, unhex};
use super::make::{good, made, run};
use ed25519_dalek::SigningKey;
use ostrakon::engine::id::{from_base32, to_base32};
use ostrakon::security::spending::{Amount, Row, Statement};

/// All of them.
pub fn all() -> Vec<Vector> {
    let vector = good("spending", "spending", "two links of one grant")
        .with_bytes("relay-seed", &run(1, 32))
        .with("number", 7)
        .with("counter", 3)
        .with("row", row(0x20, 0x20, 0x60, "1000/1048576 9 12/16000"))
        .with("row", row(0x20, 0x40, 0x80, "10/5000 9 10/4999"));
    let vector = vector.clone().with("text", statement(&vector).1);
    let vector = made(vector);
    let bad = |name: &str, expect: &str, note: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = vector.body.clone();
        change(&mut bytes);
        Vector::new(name, "spending", expect, note, &bytes)
    };
    let form = "this is no statement of what was spent; make one with: ostrakon relay grant spent";
    let damaged = "this statement is damaged; make it again with: ostrakon relay grant spent";
    let forged =
        "the signature of this statement is wrong: it was changed or forged; ask for it again";
    vec![
        bad("spending-refused-version", form, "version 2", &|b| b[2] = 2),
        bad("spending-refused-form", damaged, "an array of five", &|b| {
            b[3] = 0x85
        }),
        bad(
            "spending-refused-signature",
            forged,
            "a changed signature",
            &|b| *b.last_mut().unwrap() ^= 1,
        ),
        vector,
    ]
}

/// Issuer, first link and link, holder, and then frames and bytes granted, last value of the counter, and those spent.
fn row(root: u8, id: u8, holder: u8, rest: &str) -> String {
    let names = [1, root, id, holder].map(|first| hex(&run(first, 32)));
    format!("{} {rest}", names.join(" "))
}

fn read_row(text: &str) -> Row {
    let fields: Vec<&str> = text.split(' ').collect();
    let name = |at: usize| unhex(fields[at]).try_into().unwrap();
    let amount = |at: usize| {
        let (frames, bytes) = fields[at].split_once('/').unwrap();
        Amount {
            frames: frames.parse().unwrap(),
            bytes: bytes.parse().unwrap(),
        }
    };
    Row {
        issuer: name(0),
        root: name(1),
        id: name(2),
        holder: name(3),
        granted: amount(4),
        until: fields[5].parse().unwrap(),
        spent: amount(6),
    }
}

/// What the fields say, and its signed text.
fn statement(vector: &Vector) -> (Statement, String) {
    let relay = SigningKey::from_bytes(&vector.array("relay-seed"));
    let rows = vector.values("row");
    let statement = Statement {
        relay: relay.verifying_key().to_bytes(),
        number: vector.number("number"),
        counter: vector.number("counter"),
        rows: rows.into_iter().map(read_row).collect(),
    };
    let text = statement.sign(&relay);
    (statement, text)
}

pub fn encode(vector: &Vector) -> Vec<u8> {
    let (_, text) = statement(vector);
    from_base32(text.strip_prefix("ostrakon-spent:").unwrap()).unwrap()
}

pub fn decode(vector: &Vector) -> bool {
    let read = Statement::from_text(&format!("ostrakon-spent:{}", to_base32(&vector.body)));
    if vector.refused(read.clone()) {
        return false;
    }
    let (stated, text) = statement(vector);
    assert_eq!(
        (read.unwrap(), &*text),
        (stated, vector.get("text")),
        "{}",
        vector.name
    );
    true
}

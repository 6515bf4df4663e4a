//! Vectors of the comparison by voice.

use super::file::{Vector, hex};
use super::make::{good, made, run};
use ostrakon::engine::id::PersonId;
use ostrakon::security::kdf::Key;
use ostrakon::security::voice::{Ends, Step, Voice};

/// All of them.
pub fn all() -> Vec<Vector> {
    let step = |name: &str, note: &str, kind: &str| {
        made(ends(good(name, "voice-step", note).with("kind", kind)))
    };
    let commitment = step("voice-commitment", "the first step", "commitment");
    let refused = |name: &str, note: &str, body: &[u8]| {
        let form = "this is no step of a comparison by voice; update the program of the other side";
        Vector::new(name, "voice-step", form, note, body)
    };
    let kind = [&[1, 3], &commitment.body[2..]].concat();
    let number = good(
        "voice-number",
        "voice-number",
        "as two people read it aloud",
    );
    let number = ends(number).with_bytes("other-nonce", &run(0x30, 32));
    vec![
        refused("voice-refused-kind", "a kind that there is not", &kind),
        refused("voice-refused-cut", "a byte short", &commitment.body[..33]),
        commitment,
        step("voice-nonce", "the second step", "nonce"),
        made(number),
    ]
}

/// The author of the steps, and to whom.
fn ends(vector: Vector) -> Vector {
    vector
        .with_bytes("author", &[0x22; 32])
        .with_bytes("other", &[0x11; 32])
        .with_bytes("nonce", &run(0xa0, 32))
}

/// Both sides, of which neither has said anything.
fn sides(vector: &Vector) -> [(Voice, Ends); 2] {
    let (me, peer) = (
        PersonId(vector.array("author")),
        PersonId(vector.array("other")),
    );
    let begun = |nonce: [u8; 32], me, peer| {
        let mut voice = Voice::default();
        voice.begin(Key::new(nonce));
        (voice, Ends { me, peer })
    };
    let other = vector
        .find("other-nonce")
        .map(|_| vector.array("other-nonce"));
    [
        begun(vector.array("nonce"), me, peer),
        begun(other.unwrap_or([9; 32]), peer, me),
    ]
}

/// The steps of the author until one of this kind.
pub fn encode_step(vector: &Vector) -> Vec<u8> {
    let [(mut author, ends), (mut other, back)] = sides(vector);
    let commitment = author.next_step(ends).unwrap();
    let answer = other.next_step(back).unwrap();
    author.take(answer, ends).unwrap();
    let nonce = author.next_step(ends).unwrap();
    match vector.get("kind") {
        "commitment" => commitment.encode(),
        "nonce" => nonce.encode(),
        other => panic!("{}: kind {other}", vector.name),
    }
}

pub fn decode_step(vector: &Vector) -> bool {
    let read = Step::decode(&vector.body);
    if vector.refused(read) {
        return false;
    }
    assert_eq!(hex(&read.unwrap().encode()), hex(&vector.body));
    true
}

/// What both sides see, once all steps were carried.
pub fn encode_number(vector: &Vector) -> Vec<u8> {
    let [(mut author, ends), (mut other, back)] = sides(vector);
    for _ in 0..2 {
        let steps = (
            author.next_step(ends).unwrap(),
            other.next_step(back).unwrap(),
        );
        author.take(steps.1, ends).unwrap();
        other.take(steps.0, back).unwrap();
    }
    let number = author.number(ends).unwrap();
    assert_eq!(
        other.number(back).as_ref(),
        Some(&number),
        "{}",
        vector.name
    );
    number.into_bytes()
}

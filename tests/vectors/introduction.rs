//! Vectors of introductions.

use super::file::{Vector, hex};
use super::make::{good, made, run};
use super::make_keys::{key_file, key_file_without_root, text_card};
use ostrakon::engine::id::PersonId;
use ostrakon::security::card::Card;
use ostrakon::security::identity::Identity;
use ostrakon::security::introduction::{Introduction, Terms};

/// All of them.
pub fn all() -> Vec<Vector> {
    let good = made(stated("introduction", "a card of one contact for another"));
    let bare = made(with_note("introduction-without-a-note", "no note", ""));
    let mut delegated = stated(
        "introduction-delegate",
        "the same, signed by a delegate of the root",
    );
    delegated.replace("key-file", hex(&key_file_without_root(0x10)));
    let delegated = made(delegated);
    let bad = |name: &str, expect: &str, note: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut vector = stated(name, note).expecting(expect);
        vector.body = good.body.clone();
        change(&mut vector.body);
        vector
    };
    let form = "this is no introduction, or a piece of one; ask for it again";
    let version = "this introduction is of version 3, which this program does not know; update it";
    let field = |name: &str| format!("this introduction has no usable {name}; ask for a new one");
    let forged =
        "the signature of this introduction is wrong: it was changed or forged; ask for it again";
    let other =
        "this introduction comes with another card than it was signed for; ask for a new one";
    let swapped = text_card(&key_file(0x50), "Bako", 1);
    let swapped = Card::from_text(&swapped).unwrap();
    let swap = |bytes: &mut Vec<u8>| {
        bytes.truncate(FIXED + NOTE.len() + 64);
        bytes.extend_from_slice(swapped.bytes());
    };
    let refused = vec![
        bad(
            "introduction-refused-form",
            form,
            "a contact card's head",
            &|b| b[1] = b'C',
        ),
        bad("introduction-refused-cut", form, "before the note", &|b| {
            b.truncate(FIXED - 1)
        }),
        bad("introduction-refused-version", version, "version 3", &|b| {
            b[2] = 3
        }),
        bad(
            "introduction-refused-uses",
            &field("number of uses"),
            "to be used twice",
            &|b| b[3] = 2,
        ),
        bad(
            "introduction-refused-time",
            &field("time"),
            "no time",
            &|b| b[4..8].fill(0),
        ),
        bad(
            "introduction-refused-note",
            &field("note"),
            "a line feed in the note",
            &|b| b[FIXED] = b'\n',
        ),
        bad(
            "introduction-refused-persons",
            &field("three persons"),
            "the recipient is introduced to himself",
            &|b| b.copy_within(56..88, 88),
        ),
        bad(
            "introduction-refused-recipient",
            forged,
            "for another",
            &|b| b[60] ^= 1,
        ),
        bad("introduction-refused-card", other, "another card", &swap),
    ];
    [vec![good, bare, delegated], refused].concat()
}

/// Bytes before the note.
const FIXED: usize = 153;
const NOTE: &str = "the doctor in town";

fn stated(name: &str, note: &str) -> Vector {
    with_note(name, note, NOTE)
}

fn with_note(name: &str, note: &str, word: &str) -> Vector {
    let recipient = Identity::decode(&key_file(0x50)).unwrap();
    good(name, "introduction", note)
        .with_bytes("key-file", &key_file(0x10))
        .with_bytes("recipient", &recipient.person().0)
        .with("card", text_card(&key_file(0x90), "Bako", 1))
        .with("seconds", 2_592_000)
        .with_bytes("id", &run(0xd0, 16))
        .with_bytes("word", word.as_bytes())
}

pub fn encode(vector: &Vector) -> Vec<u8> {
    let me = Identity::decode(&vector.bytes("key-file")).unwrap();
    let terms = Terms {
        id: vector.array("id"),
        seconds: vector.number("seconds"),
        note: String::from_utf8(vector.bytes("word")).unwrap(),
    };
    let card = Card::from_text(vector.get("card")).unwrap();
    let recipient = PersonId(vector.array("recipient"));
    me.introduce(recipient, &card, terms).bytes().to_vec()
}

pub fn decode(vector: &Vector) -> bool {
    let read = Introduction::decode(&vector.body);
    if vector.refused(read.as_ref()) {
        return false;
    }
    let read = read.unwrap();
    let me = Identity::decode(&vector.bytes("key-file")).unwrap();
    let stated = [
        ("recipient", hex(&read.recipient().0)),
        ("card", read.card().to_text()),
        ("seconds", read.terms().seconds.to_string()),
        ("id", hex(&read.terms().id)),
        ("word", hex(read.terms().note.as_bytes())),
    ];
    for (field, got) in stated {
        assert_eq!(vector.get(field), got, "{}: {field}", vector.name);
    }
    assert_eq!(read.introducer(), me.person(), "{}", vector.name);
    true
}

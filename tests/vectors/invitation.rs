//! Vectors of invitations.

use super::file::{Vector, hex};
use super::make::{good, made, run};
use super::make_keys::{key_file, text_card};
use ostrakon::security::card::Card;
use ostrakon::security::invitation::{Invitation, Ticket};
use ostrakon::security::kdf::Key;

/// All of them.
pub fn all() -> Vec<Vector> {
    let stated = |name: &str, note: &str| {
        good(name, "invitation", note)
            .with("card", text_card(&key_file(0x90), "Bako", 1))
            .with_bytes("id", &run(0xd8, 8))
            .with_bytes("secret", &run(0xe0, 32))
    };
    let good = made(stated(
        "invitation",
        "a card and a secret that is good once",
    ));
    let bad = |name: &str, expect: &str, note: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut vector = stated(name, note).expecting(expect);
        vector.body = good.body.clone();
        change(&mut vector.body);
        vector
    };
    let form = "this is no invitation; it starts with ostrakon-invite: and has to be copied whole";
    let version = "this invitation is of version 2, which this program does not know; update it";
    let damaged = "this invitation is damaged; ask for it again";
    let refused = vec![
        bad("invitation-refused-form", form, "a card's head", &|b| {
            b[1] = b'C'
        }),
        bad("invitation-refused-version", version, "version 2", &|b| {
            b[2] = 2
        }),
        bad("invitation-refused-cut", form, "one byte short", &|b| {
            b.truncate(b.len() - 1)
        }),
        bad(
            "invitation-refused-secret",
            damaged,
            "another secret",
            &|b| b[20] ^= 1,
        ),
        bad("invitation-refused-card", damaged, "a changed card", &|b| {
            b[80] ^= 1
        }),
    ];
    [vec![good], refused].concat()
}

pub fn encode(vector: &Vector) -> Vec<u8> {
    invitation(vector).encode()
}

fn invitation(vector: &Vector) -> Invitation {
    Invitation {
        ticket: Ticket {
            id: vector.array("id"),
            secret: Key::new(vector.array("secret")),
        },
        card: Card::from_text(vector.get("card")).unwrap(),
    }
}

pub fn decode(vector: &Vector) -> bool {
    let read = Invitation::decode(&vector.body);
    if vector.refused(read.as_ref()) {
        return false;
    }
    let read = read.unwrap();
    let stated = invitation(vector);
    assert_eq!(read, stated, "{}", vector.name);
    assert_eq!(hex(&read.encode()), hex(&vector.body), "{}", vector.name);
    let pasted = Invitation::from_text(&read.to_text());
    assert_eq!(pasted, Ok(stated), "{}", vector.name);
    true
}

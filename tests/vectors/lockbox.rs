//! Vectors of what keeps secret keys under a passphrase.

use super::file::{Vector, hex};
use super::keys::Stated;
use super::make::{good, made, run};
use argon2::{Algorithm, Argon2, Params, Version};
use ostrakon::security::lockbox::{Cost, Lock, Passphrase};

/// All of them, with parameters that cost little.
pub fn all() -> Vec<Vector> {
    let lockbox = made(stated("lockbox", "a seed under a passphrase"));
    let bad = |name: &str, expect: &str, note: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut vector = stated(name, note).expecting(expect);
        vector.body = lockbox.body.clone();
        change(&mut vector.body);
        vector
    };
    let wrong =
        "the passphrase is wrong, or the file was changed; try again, or restore it from a copy";
    let mut other = bad("lockbox-refused-passphrase", wrong, "another one", &|_| {});
    other.replace("passphrase", hex(b"open barley"));
    let reads =
        |why: &str| format!("it does not read as locked keys ({why}); restore it from a copy");
    let cost = |memory: u64, passes: u32, lanes: u8| {
        format!(
            "it asks for {memory} MiB of memory, {passes} passes and {lanes} lanes, which is out of bounds; restore it from a copy"
        )
    };
    vec![
        other,
        bad("lockbox-refused-salt", wrong, "a changed salt", &|b| {
            b[14] ^= 1
        }),
        bad("lockbox-refused-nonce", wrong, "a changed nonce", &|b| {
            b[30] ^= 1
        }),
        bad("lockbox-refused-content", wrong, "a changed bit", &|b| {
            b[60] ^= 1
        }),
        bad(
            "lockbox-refused-cut",
            &reads("truncated"),
            "a piece of a tag",
            &|b| b.truncate(69),
        ),
        bad(
            "lockbox-refused-version",
            &reads("unknown version 2"),
            "version 2",
            &|b| b[4] = 2,
        ),
        bad(
            "lockbox-refused-form",
            &reads("bad value of lockbox"),
            "another magic",
            &|b| b[3] = 0,
        ),
        bad(
            "lockbox-refused-memory",
            &cost(4_194_303, 1, 4),
            "4 TiB of memory",
            &|b| b[5..9].fill(0xff),
        ),
        bad(
            "lockbox-refused-passes",
            &cost(0, 65, 4),
            "65 passes",
            &|b| b[12] = 65,
        ),
        bad("lockbox-refused-lanes", &cost(0, 1, 0), "no lane", &|b| {
            b[13] = 0
        }),
        lockbox,
    ]
}

fn stated(name: &str, note: &str) -> Vector {
    let vector = good(name, "lockbox", note)
        .with_bytes("passphrase", b"open sesame")
        .with("memory-kib", 32)
        .with("passes", 1)
        .with("lanes", 4)
        .with_bytes("salt", &run(0x10, 16))
        .with_bytes("nonce", &run(0x40, 24))
        .with_bytes("content", &run(0x90, 32));
    let key = key(&vector);
    vector.with_bytes("key", &key)
}

fn passphrase(vector: &Vector) -> Passphrase {
    Passphrase::from_line(&vector.bytes("passphrase")).unwrap()
}

/// The key, derived past the code under test.
fn key(vector: &Vector) -> [u8; 32] {
    let number = |field| vector.number(field);
    let params = Params::new(
        number("memory-kib"),
        number("passes"),
        number("lanes"),
        Some(32),
    );
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.unwrap())
        .hash_password_into(&vector.bytes("passphrase"), &vector.bytes("salt"), &mut key)
        .unwrap();
    key
}

pub fn encode(vector: &Vector) -> Vec<u8> {
    let cost = Cost {
        memory: vector.number("memory-kib"),
        passes: vector.number("passes"),
        lanes: vector.number("lanes"),
    };
    let mut stated = Stated([vector.bytes("salt"), vector.bytes("nonce")].concat());
    let lock = Lock::new(&passphrase(vector), cost, &mut stated).unwrap();
    lock.seal(&vector.bytes("content"), &mut stated)
}

pub fn decode(vector: &Vector) -> bool {
    let opened = Lock::pick(&passphrase(vector), &vector.body);
    if vector.refused(opened.as_ref()) {
        return false;
    }
    let (_, content) = opened.unwrap();
    let stated = (vector.get("content"), vector.array("key"));
    assert_eq!((&*hex(&content), key(vector)), stated, "{}", vector.name);
    true
}

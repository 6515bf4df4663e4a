//! Vectors of messages to several: a manifest as its recipient checks it.

use super::file::{Vector, hex};
use super::make::{coded, good, made, run};
use super::make_keys::key_file;
use super::plain::manifest;
use ostrakon::engine::id::{MessageId, PersonId};
use ostrakon::security::identity::Identity;
use ostrakon::security::kdf::Key;
use ostrakon::security::shared;
use ostrakon::wire::manifest::Manifest;

fn sender(vector: &Vector) -> Identity {
    Identity::decode(&vector.bytes("sender-key-file")).unwrap()
}

fn id(vector: &Vector, manifest: &Manifest) -> MessageId {
    let to = PersonId(vector.array("to"));
    manifest.message_id(sender(vector).person(), to)
}

/// The manifest that the fields describe, signed by the owner of the key file.
pub fn encode(vector: &Vector) -> Vec<u8> {
    let mut manifest = manifest(vector);
    let id = id(vector, &manifest);
    if let Some(shared) = &mut manifest.shared {
        shared.signature = shared::sign(&sender(vector), id);
    }
    manifest.encode()
}

pub fn decode(vector: &Vector) -> bool {
    let read = Manifest::decode(&vector.body).unwrap();
    let id = id(vector, &read);
    let several = read.shared.as_ref().unwrap();
    let card = sender(vector).card("sender", 1, vec![]);
    let checked = shared::check(several, id, PersonId(vector.array("to")), &card);
    if vector.refused(checked) {
        return false;
    }
    assert_eq!(hex(&id.0), vector.get("id"), "{}", vector.name);
    let signature = hex(&several.signature);
    assert_eq!(signature, vector.get("signature"), "{}", vector.name);
    if let Some(content) = &several.content {
        let keys = shared::content_keys(&content.key, id).store();
        assert_eq!(hex(&keys), vector.get("content-keys"), "{}", vector.name);
    }
    true
}

/// All of them.
pub fn all() -> Vec<Vector> {
    let text = format!("1|0|104|text/plain||inline|{}", hex(b"Boat leaves at six."));
    let short = several("shared-text", "a text to two: no content key").with("part", text);
    let file = several("shared-file", "a file to two, sealed under a content key")
        .with_bytes("content-key", &run(0x20, 32))
        .with(
            "part",
            format!("1|2|0|image/jpeg|bridge.jpg|{}", coded(40_000)),
        );
    let good: Vec<Vector> = [short, file].into_iter().map(identified).collect();
    let end = good[1].body.len();
    let refused = |name: &str, expect: &str, note: &str, at: usize| {
        let mut vector = good[1].clone().expecting(expect);
        vector.name = format!("shared-refused-{name}");
        vector.replace("note", note);
        vector.body[at] ^= 1;
        vector
    };
    let mut unlisted = refused(
        "list",
        "a list of recipients without us",
        "read by somebody else",
        0,
    );
    unlisted.body[0] ^= 1;
    unlisted.replace("to", hex(&[0xd4; 32]));
    let signature = "a message to several with a wrong signature";
    let other = "a content key that is not the committed one";
    let bad = vec![
        refused("signature", signature, "another signature", end - 1),
        refused("salt", signature, "a signature of another manifest", 2),
        refused("key", other, "another content key", end - 65),
        refused("commitment", other, "another commitment", end - 97),
        unlisted,
    ];
    [good, bad].concat()
}

fn several(name: &str, note: &str) -> Vector {
    good(name, "shared", note)
        .with_bytes("sender-key-file", &key_file(0x10))
        .with_bytes("to", &[0xb2; 32])
        .with_bytes("recipient", &[0xb2; 32])
        .with_bytes("recipient", &[0xc3; 32])
        .with_bytes("salt", &run(1, 8))
}

fn identified(vector: Vector) -> Vector {
    let plain = manifest(&vector);
    let id = id(&vector, &plain);
    let signature = shared::sign(&sender(&vector), id);
    let mut vector = vector
        .with_bytes("id", &id.0)
        .with_bytes("signature", &signature);
    if let Some(key) = vector.find("content-key") {
        let key = Key::new(super::file::unhex(key).try_into().unwrap());
        vector = vector.with_bytes("content-keys", &shared::content_keys(&key, id).store());
    }
    made(vector)
}

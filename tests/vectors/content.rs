//! Vectors of sealed bulk files: a head, and a piece of the content.

use super::file::{Vector, hex};
use super::make::{good, made, run};
use ostrakon::security::content::{ContentKey, HEAD};
use ostrakon::security::kdf::Key;
use ostrakon::security::rows::RowKey;

/// All of them.
pub fn all() -> Vec<Vector> {
    let file = |name: &str, note: &str, offset: u64| {
        let vector = good(name, "content", note)
            .with_bytes("row-key", &run(0x20, 32))
            .with_bytes("nonce", &run(0x60, 24))
            .with("offset", offset)
            .with_bytes("content", &run(0, 100));
        made(vector)
    };
    let whole = file("content-file", "the beginning of a file", 0);
    let mut other = whole.clone();
    other.name = "content-refused-head".to_owned();
    other.replace("expect", "not sealed here");
    other.replace("note", "a changed nonce");
    other.body[8] ^= 1;
    vec![
        other,
        file(
            "content-file-gib",
            "a piece across the end of the first GiB",
            (1 << 30) - 70,
        ),
        whole,
    ]
}

fn key(vector: &Vector) -> ContentKey {
    RowKey::new(Key::new(vector.array("row-key"))).content_key()
}

pub fn encode(vector: &Vector) -> Vec<u8> {
    let (head, file) = key(vector).begin(vector.array("nonce"));
    let mut content = vector.bytes("content");
    file.apply(vector.number("offset"), &mut content);
    [&head[..], &content].concat()
}

pub fn decode(vector: &Vector) -> bool {
    let (head, content) = vector.body.split_first_chunk::<HEAD>().unwrap();
    let file = key(vector).resume(head).ok_or("not sealed here");
    if vector.refused(file.as_ref()) {
        return false;
    }
    let mut content = content.to_vec();
    file.unwrap().apply(vector.number("offset"), &mut content);
    assert_eq!(hex(&content), vector.get("content"), "{}", vector.name);
    true
}

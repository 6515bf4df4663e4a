//! Vectors of the enrolment of a device: the code that it shows, and the bundle that is sealed for it.

use super::file::{Vector, hex};
use super::keys::Stated;
use super::make::{good, made, run};
use super::make_keys::key_file;
use ostrakon::engine::id::PersonId;
use ostrakon::security::enrolment::{Bundle, Code, EnrolmentError, Known, Newcomer};
use ostrakon::security::identity::Identity;

/// All of them.
pub fn all() -> Vec<Vector> {
    let mut code = newcomer(good("enrolment-code", "enrolment-code", "where it waits"));
    code = code.with("address", "192.0.2.7:7411");
    code = code.clone().with("number", shown(&code).number());
    let code = made(code);
    let bundle = newcomer(good(
        "enrolment",
        "enrolment",
        "a contact of the person, and one who is blocked",
    ));
    let other = Identity::decode(&key_file(0x90)).unwrap();
    let bundle = bundle
        .with_bytes("key-file", &key_file(0x18))
        .with("name", "Amina")
        .with("sequence", 4)
        .with_bytes("contact", other.card("Bo", 2, vec![]).bytes())
        .with_bytes("blocked", &[7; 32])
        .with_bytes(
            "kept",
            br#"{"level":"known","introducer":null,"blocked":true}"#,
        )
        .with_bytes("ephemeral", &run(0x60, 32));
    let bundle = made(bundle);
    let refused = |name: &str, kind: &str, note: &str, why: EnrolmentError, body: &[u8]| {
        let vector = Vector::new(name, kind, &why.to_string(), note, body);
        newcomer(vector)
    };
    let cut = &code.body[..code.body.len() - 1];
    let form = [&b"X"[..], &bundle.body[1..]].concat();
    let mut low = bundle.body.clone();
    low[3..35].fill(0);
    let mut changed = bundle.body.clone();
    changed[40] ^= 1;
    vec![
        refused(
            "enrolment-code-refused-cut",
            "enrolment-code",
            "a byte short",
            EnrolmentError::Code,
            cut,
        ),
        refused(
            "enrolment-refused-form",
            "enrolment",
            "another head",
            EnrolmentError::Form,
            &form,
        ),
        refused(
            "enrolment-refused-low-order",
            "enrolment",
            "a key of low order",
            EnrolmentError::LowOrder,
            &low,
        ),
        refused(
            "enrolment-refused-changed",
            "enrolment",
            "a bit is flipped",
            EnrolmentError::Seal,
            &changed,
        ),
        code,
        bundle,
    ]
}

/// The keys of the new device.
fn newcomer(vector: Vector) -> Vector {
    let keys = [b"ON\x01", &run(0x50, 32)[..], &key_file(0xb0)].concat();
    vector.with_bytes("newcomer", &keys)
}

fn shown(vector: &Vector) -> Code {
    let addresses = vector.values("address").into_iter().map(str::to_owned);
    Newcomer::decode(&vector.bytes("newcomer"))
        .unwrap()
        .code(addresses.collect())
}

pub fn encode_code(vector: &Vector) -> Vec<u8> {
    shown(vector).encode()
}

pub fn decode_code(vector: &Vector) -> bool {
    let read = Code::decode(&vector.body);
    if vector.refused(read.clone()) {
        return false;
    }
    let read = read.unwrap();
    assert_eq!(read.number(), vector.get("number"));
    assert_eq!(read, shown(vector));
    true
}

fn bundle(vector: &Vector) -> (Identity, Bundle) {
    let me = Identity::decode(&vector.bytes("key-file")).unwrap();
    let endpoints = vec![me.described(), shown(vector).endpoint];
    let card = me.card_of(
        vector.get("name"),
        vector.number("sequence"),
        vec![],
        endpoints,
    );
    let contact = ostrakon::security::card::Card::decode(&vector.bytes("contact")).unwrap();
    let persons = vec![
        Known {
            person: contact.person(),
            card: Some(contact),
            kept: Vec::new(),
        },
        Known {
            person: PersonId(vector.array("blocked")),
            card: None,
            kept: vector.bytes("kept"),
        },
    ];
    let name = vector.get("name").to_owned();
    let bundle = Bundle {
        name,
        card,
        persons,
    };
    (me, bundle)
}

pub fn encode(vector: &Vector) -> Vec<u8> {
    let (me, bundle) = bundle(vector);
    let mut rng = Stated(vector.bytes("ephemeral"));
    bundle.seal(&me, &shown(vector), &mut rng).unwrap()
}

pub fn decode(vector: &Vector) -> bool {
    let new = Newcomer::decode(&vector.bytes("newcomer")).unwrap();
    let opened = new.open(&shown(vector), &vector.body);
    if vector.refused(opened.as_ref().map(|_| ()).map_err(|why| *why)) {
        return false;
    }
    let (joined, read) = opened.unwrap();
    let (me, stated) = bundle(vector);
    assert_eq!(read, stated);
    assert_eq!(joined.person(), me.person());
    assert_eq!(
        hex(&joined.endpoint_key()),
        hex(&shown(vector).endpoint.key)
    );
    true
}

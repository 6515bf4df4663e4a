//! Vectors of what depends on keys, each from fixed bytes.

use super::file::{Vector, hex};
use super::keys::Stated;
use super::make::{good, made, run};
use ostrakon::engine::id::PersonId;
use ostrakon::security::card::Card;
use ostrakon::security::identity::{Identity, safety_number};
use ostrakon::security::invitation::Ticket;
use ostrakon::security::kdf::Key;
use ostrakon::security::session::SendSession;

/// All of them.
pub fn all() -> Vec<Vector> {
    [fragments(), cards(), roots(), sessions(), names()].concat()
}

fn fragment(name: &str, note: &str, kind: &str, place: [u16; 4], plain: &[u8]) -> Vector {
    let [part, block, symbol, slice] = place;
    good(name, "fragment", note)
        .with_bytes("secret", &run(0x60, 32))
        .with_bytes("context", &run(0x80, 32))
        .with("epoch-bits", 5)
        .with_bytes("hint", &[0xaa, 0xbb])
        .with_bytes("label", &run(1, 6))
        .with("kind", kind)
        .with("part", part)
        .with("block", block)
        .with("symbol", symbol)
        .with("slice", slice)
        .with_bytes("plain", plain)
}

fn fragments() -> Vec<Vector> {
    let narrow = made(fragment(
        "fragment-narrow",
        "one slice",
        "narrow",
        [1, 0, 37, 3],
        &run(0, 192),
    ));
    let wide = made(fragment(
        "fragment-wide",
        "two slices",
        "wide",
        [2, 14, 2047, 5],
        &run(5, 384),
    ));
    let short = made(fragment(
        "fragment-short",
        "a whole message",
        "short",
        [0, 0, 0, 0],
        &run(9, 33),
    ));
    let chunk = made(fragment(
        "fragment-manifest",
        "a chunk of a manifest",
        "narrow",
        [0, 0, 1, 0],
        &run(3, 80),
    ));
    let forged = |name: &str, note: &str, at: usize| {
        let expect = "a fragment does not authenticate";
        let mut bytes = narrow.body.clone();
        bytes[at] ^= 1;
        let mut vector =
            fragment(name, note, "narrow", [1, 0, 37, 3], &run(0, 192)).expecting(expect);
        vector.body = bytes;
        vector
    };
    let mut cut = fragment(
        "fragment-refused-cut",
        "shorter than header and tag",
        "narrow",
        [1, 0, 37, 3],
        &[],
    )
    .expecting("truncated");
    cut.body = narrow.body[..27].to_vec();
    vec![
        forged("fragment-refused-epoch", "another epoch", 0),
        forged("fragment-refused-hint", "another hint", 7),
        forged("fragment-refused-place", "another place", 10),
        forged("fragment-refused-body", "a changed byte", 20),
        cut,
        narrow,
        wide,
        short,
        chunk,
    ]
}

/// The key file of a person whose secrets count up from `first`.
pub fn key_file(first: u8) -> Vec<u8> {
    let identity = Identity::generate(&mut Stated(
        (0..7).flat_map(|i| run(first + i * 8, 32)).collect(),
    ));
    identity.encode().to_vec()
}

/// The key file of the same person after the root was moved out of it.
pub fn key_file_without_root(first: u8) -> Vec<u8> {
    let me = Identity::decode(&key_file(first)).unwrap();
    let mut root = me.root().unwrap();
    let new = me.without_root(&mut root, &mut Stated(run(first + 0x48, 32)));
    new.encode().to_vec()
}

pub fn text_card(key_file: &[u8], name: &str, sequence: u64) -> String {
    Identity::decode(key_file)
        .unwrap()
        .card(name, sequence, Vec::new())
        .to_text()
}

/// The relay of a card that names one.
const RELAY: &str = "relay://relay.example:7412?key=x";
/// The largest message of a card that names one, in bytes.
const LARGEST: u64 = 50_000_000;

fn cards() -> Vec<Vector> {
    [good_cards(), refused_cards()].concat()
}

fn amina(keys: &[u8], name: &str) -> Card {
    let me = Identity::decode(keys).unwrap();
    me.card(name, 3, vec![RELAY.to_owned()])
}

fn bounded(keys: &[u8], largest: u64) -> Card {
    let me = Identity::decode(keys).unwrap();
    let last = me.card("Amina", 2, vec![]);
    let endpoints = last.body().endpoints.clone();
    let relays = vec![RELAY.to_owned()];
    me.card_after(&last, "Amina", relays, endpoints, Some(largest))
}

fn good_cards() -> Vec<Vector> {
    let keys = key_file(0x10);
    let without = key_file_without_root(0x10);
    let stated = |name: &str, note: &str, keys: &[u8], card: &Card| {
        good(name, "card", note)
            .with_bytes("key-file", keys)
            .with("name", "Amina")
            .with("sequence", 3)
            .with("relay", RELAY)
            .with("person", card.person())
            .with("text", card.to_text())
    };
    let plain = "a person with one device and one relay";
    let delegate = "the same, signed by a delegate of the root";
    let largest = "a person who takes messages of up to 50 MB";
    let card = bounded(&keys, LARGEST);
    let bounded = stated("card-largest", largest, &keys, &card).with("largest", LARGEST);
    vec![
        made(stated("card", plain, &keys, &amina(&keys, "Amina"))),
        made(stated(
            "card-delegate",
            delegate,
            &without,
            &amina(&without, "Amina"),
        )),
        made(bounded),
    ]
}

fn refused_cards() -> Vec<Vector> {
    let keys = key_file(0x10);
    let (card, small) = (amina(&keys, "Amina"), bounded(&keys, 65_535));
    let delegated = amina(&key_file_without_root(0x10), "Amina");
    let of = |card: &Card, name: &str, expect: &str, note: &str, at: usize, value: u8| {
        let mut bytes = card.bytes().to_vec();
        bytes[at] ^= value;
        Vector::new(name, "card", expect, note, &bytes)
    };
    let bad = |name: &str, expect: &str, note: &str, at: usize, value: u8| {
        of(&card, name, expect, note, at, value)
    };
    let forged =
        "the signature of this contact card is wrong: it was changed or forged; ask for it again";
    let version = "this contact card is of version 5, which this program does not know; update it";
    let damaged = "this contact card is damaged or not in canonical form; ask for it again";
    let unusable =
        |field: &str| format!("this contact card has no usable {field}; ask for a new one");
    let named = |file: &str, note: &str, name: &str| {
        let card = amina(&keys, name);
        Vector::new(file, "card", &unusable("name"), note, card.bytes())
    };
    let hidden = "a name that turns the direction of writing (U+202E)";
    let uri = "a name that begins like a URI";
    let number = delegated.bytes().len() - 161;
    let renumbered = "the delegation with another number";
    let least = "a largest message that nothing fits into";
    let promised = "a version that promises a largest message, and none";
    vec![
        bad("card-refused-version", version, "version 5", 2, 4),
        bad("card-refused-name", forged, "another name", 6, 1),
        named("card-refused-name-hidden", hidden, "Am\u{202e}ani"),
        named("card-refused-name-uri", uri, "ostrakon:person:amina"),
        bad(
            "card-refused-form",
            damaged,
            "an array of another length",
            3,
            2,
        ),
        bad("card-refused-bound", damaged, promised, 2, 2),
        of(
            &delegated,
            "card-refused-delegation",
            forged,
            renumbered,
            number,
            3,
        ),
        of(
            &small,
            "card-refused-largest",
            &unusable("largest message"),
            least,
            0,
            0,
        ),
    ]
}

fn roots() -> Vec<Vector> {
    let root = good("root", "root", "a root key that was never used")
        .with_bytes("seed", &run(0x18, 32))
        .with("number", 0);
    vec![made(root)]
}

pub fn session(name: &str, kind: &str, note: &str, epoch: u32) -> Vector {
    let (sender, recipient) = (key_file(0x10), key_file(0x90));
    good(name, kind, note)
        .with_bytes("sender-key-file", &sender)
        .with("sender-card", text_card(&sender, "Amina", 1))
        .with_bytes("recipient-key-file", &recipient)
        .with("recipient-card", text_card(&recipient, "Bako", 1))
        .with_bytes("ephemeral-secret", &run(0xc0, 32))
        .with("epoch", epoch)
}

fn sessions() -> Vec<Vector> {
    let opened = {
        let me = Identity::decode(&key_file(0x10)).unwrap();
        let card = Identity::decode(&key_file(0x90))
            .unwrap()
            .card("Bako", 1, Vec::new());
        SendSession::open(&me, &card, &mut Stated(run(0xc0, 32))).unwrap()
    };
    let id = opened.id();
    let preamble = |name: &str, note: &str, epoch: u32| {
        made(session(name, "preamble", note, epoch).with_bytes("session-id", &id))
    };
    let first = preamble("preamble-epoch-0", "a new session", 0);
    let bad = |name: &str, expect: &str, note: &str, bytes: Vec<u8>| {
        let mut vector = session(name, "preamble", note, 0).expecting(expect);
        vector.body = bytes;
        vector
    };
    let frame = first.body.clone();
    let mut changed = frame.clone();
    changed[40] ^= 1;
    let low = [&frame[..2], &[0; 32], &frame[34..]].concat();
    let mut stranger = bad(
        "preamble-refused-stranger",
        "a preamble of a stranger",
        "no card of the sender",
        frame.clone(),
    );
    stranger.replace("sender-card", text_card(&key_file(0x50), "Else", 1));
    let mut erased = bad(
        "preamble-refused-prekey",
        "a preamble for a prekey that is gone",
        "the recipient has gone on by four prekeys, so that the one used here is erased",
        frame.clone(),
    );
    let mut recipient = Identity::decode(&key_file(0x90)).unwrap();
    (0..4).for_each(|_| recipient.prekeys.advance());
    erased.replace("recipient-key-file", hex(&recipient.encode()));
    let by_invitation = |name: &str, note: &str, id: u8| {
        session(name, "preamble", note, 0)
            .with_bytes("invitation", &run(id, 8))
            .with_bytes("invitation-secret", &run(0xe0, 32))
    };
    let note = "a session by an invitation of the recipient";
    let invited = made(
        by_invitation("preamble-by-invitation", note, 0xd8).with_bytes("session-id", &by_ticket()),
    );
    let refused = |name: &str, expect: &str, note: &str, id: u8| {
        let mut vector = by_invitation(name, note, id).expecting(expect);
        vector.body = invited.body.clone();
        vector
    };
    let closed = refused(
        "preamble-refused-invitation",
        "a preamble with an invitation that is not open",
        "the recipient has another invitation open",
        0xd9,
    );
    let mut guessed = refused(
        "preamble-refused-secret",
        "a preamble does not open",
        "the invitation of the recipient has another secret",
        0xd8,
    );
    guessed.replace("invitation-secret", hex(&run(0xe1, 32)));
    let epoch = |number: u32| {
        let name = format!("epoch-{number}");
        let note = "label, hint, and the stored keys of a message: secret, context, epoch bits, hint, label";
        let vector = session(&name, "epoch", note, number).with_bytes("message", &run(0x33, 32));
        made(vector.with_bytes("preamble", &frame))
    };
    let epochs = [epoch(0), epoch(1), epoch(18)];
    let preambles = vec![
        preamble("preamble-epoch-40", "the same session in its epoch 40", 40),
        bad(
            "preamble-refused-changed",
            "a preamble does not open",
            "a changed bit",
            changed,
        ),
        bad(
            "preamble-refused-low-order",
            "a public key is of low order",
            "an ephemeral key of zeros",
            low,
        ),
        bad(
            "preamble-refused-cut",
            "truncated",
            "one byte short",
            frame[..137].to_vec(),
        ),
        stranger,
        erased,
        first,
        closed,
        guessed,
        invited,
    ];
    preambles.into_iter().chain(epochs).collect()
}

/// The id of the session that the invitation of the vectors opens.
fn by_ticket() -> [u8; 16] {
    let me = Identity::decode(&key_file(0x10)).unwrap();
    let to = Identity::decode(&key_file(0x90)).unwrap();
    let ticket = Ticket {
        id: run(0xd8, 8).try_into().unwrap(),
        secret: Key::new(run(0xe0, 32).try_into().unwrap()),
    };
    let (card, mut random) = (to.card("Bako", 1, Vec::new()), Stated(run(0xc0, 32)));
    let opened = SendSession::open_by(&me, &card, Some(&ticket), &mut random);
    opened.unwrap().id()
}

fn names() -> Vec<Vector> {
    let tag = |index: u8| {
        let vector = good(
            &format!("mailbox-tag-{index}"),
            "mailbox-tag",
            "what a relay sees in place of a name",
        );
        made(
            vector
                .with_bytes("mailbox-key", &run(0x70, 32))
                .with("index", index),
        )
    };
    let (a, b) = ([0x11; 32], [0x22; 32]);
    let number = safety_number(PersonId([0x11; 32]), PersonId([0x22; 32]));
    let vector = good(
        "safety-number",
        "safety-number",
        "as two people read it aloud",
    );
    let vector = vector
        .with_bytes("a", &a)
        .with_bytes("b", &b)
        .with("number", number);
    vec![tag(0), tag(63), made(vector)]
}

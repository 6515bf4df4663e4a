//! The list of vectors, each from fixed bytes.

use super::encode;
use super::file::{Vector, hex, unhex};
use super::keys::Stated;
use ostrakon::engine::geometry::Coding;
use ostrakon::engine::id::PersonId;
use ostrakon::security::identity::{Identity, safety_number};
use ostrakon::security::session::SendSession;

/// All vectors.
pub fn all() -> Vec<Vector> {
    let mut all = [varints(), manifests(), chunks(), envelopes(), reports(), fragments(), cards(), sessions(), names()].concat();
    all.iter_mut().for_each(|vector| vector.name.push_str(".txt"));
    all
}

/// A vector whose bytes its fields make.
fn made(mut vector: Vector) -> Vector {
    vector.body = encode(&vector);
    vector
}

fn good(name: &str, kind: &str, note: &str) -> Vector {
    Vector::new(name, kind, "success", note, &[])
}

/// Bytes that count up from `first`.
fn run(first: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| first.wrapping_add(i as u8)).collect()
}

fn varints() -> Vec<Vector> {
    let rfc = [("8", 151_288_809_941_952_652u64), ("4", 494_878_333), ("2", 15_293), ("1", 37)];
    let mut list: Vec<Vector> = rfc
        .iter()
        .map(|(len, value)| {
            let note = "RFC 9000, appendix A.1";
            made(good(&format!("varint-rfc9000-{len}"), "varint", note).with("value", value))
        })
        .collect();
    list.push(made(good("varint-largest", "varint", "2^62 - 1").with("value", (1u64 << 62) - 1)));
    let long = [0x40, 0x25];
    list.push(Vector::new("varint-too-long", "varint", "bad value of varint", "37 in two bytes", &long));
    list.push(Vector::new("varint-cut", "varint", "truncated", "one byte of two", &[0x7b]));
    list
}

fn manifest(name: &str, note: &str) -> Vector {
    good(name, "manifest", note).with_bytes("salt", &run(1, 8))
}

fn identified(vector: Vector) -> Vector {
    let vector = vector.with_bytes("from", &[0xa1; 32]).with_bytes("to", &[0xb2; 32]);
    let id = super::plain::manifest(&vector).message_id(PersonId([0xa1; 32]), PersonId([0xb2; 32]));
    made(vector.with_bytes("id", &id.0))
}

fn coded(len: u64) -> String {
    let coding = Coding::choose(len);
    let numbers = [u64::from(coding.slice_len), u64::from(coding.slices), u64::from(coding.block_symbols)];
    let [slice_len, slices, block] = numbers;
    let digest = hex(&run(0x40, 32));
    format!("coded|{len}|{digest}|{}|{slice_len}|{slices}|{block}|{}", coding.scheme.code(), coding.repair)
}

fn manifests() -> Vec<Vector> {
    let text = hex("Boat leaves at six.".as_bytes());
    let short = manifest("manifest-short", "one text, the short form")
        .with("created", 1_760_000_000u32)
        .with("part", format!("1|0|104|text/plain||inline|{text}"));
    let timeless = manifest("manifest-short-without-clock", "a sender without a clock states no time")
        .with("part", format!("1|0|0|text/plain||inline|{text}"));
    let ack = manifest("manifest-session-ack", "a control record: 16 bytes of session id")
        .with("part", format!("1|0|0|application/vnd.ostrakon.session-ack||inline|{}", hex(&run(9, 16))));
    let table = manifest("manifest-table", "a text, a picture in one small block, a file in large blocks")
        .with("created", 1_760_000_000u32)
        .with("part", format!("1|0|104|text/plain||inline|{text}"))
        .with("part", format!("2|2|0|image/jpeg|bridge.jpg|{}", coded(40_000)))
        .with("part", format!("3|3|160|image/webp|map ü.webp|{}", coded(20_000_000)));
    let single = manifest("manifest-single-symbol", "a part of one symbol: the repeating scheme")
        .with("part", format!("7|1|0|application/pdf|note.pdf|{}", coded(1200)));
    let good: Vec<Vector> = [short, timeless, ack, table, single].into_iter().map(identified).collect();
    let bad = refused_manifests(&good[0].body, &good[3].body);
    [good, bad].concat()
}

fn refused_manifests(short: &[u8], table: &[u8]) -> Vec<Vector> {
    let changed = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let refused = |name: &str, expect: &str, note: &str, bytes: &[u8]| {
        Vector::new(&format!("manifest-refused-{name}"), "manifest", expect, note, bytes)
    };
    let parts = 2 + 8 + 4;
    let first_id = parts + 1;
    let second_id = first_id + 3 + 1 + 1 + 1 + 2 + 19;
    let scheme = second_id + 3 + 1 + 1 + 10 + 1 + 4 + 32;
    let long_form = [&[1u8, 0][..], &run(1, 8), &[1, 1, 0, 0, 1, 0, 0, 0, 2, 0x68, 0x69]].concat();
    vec![
        refused("version", "unknown version 2", "version 2", &changed(short, 0, 2)),
        refused("flag", "bad value of manifest flags", "an unknown flag", &changed(short, 1, 7)),
        refused("cut", "truncated", "the last byte is missing", &short[..short.len() - 1]),
        refused("trailing", "trailing bytes", "one byte too many", &[short, &[0]].concat()),
        refused("no-parts", "bad value of number of parts", "no part", &changed(table, parts, 0)),
        refused("part-zero", "bad value of part id", "a part 0", &changed(table, first_id, 0)),
        refused("part-twice", "bad value of part id", "two parts with the id 1", &changed(table, second_id, 1)),
        refused("scheme", "bad value of coding scheme", "coding scheme 9", &changed(table, scheme, 9)),
        refused("slices", "bad value of coding parameters", "a symbol of nine slices", &changed(table, scheme + 3, 9)),
        refused("long-form", "bad value of manifest form", "what has a short form in the long one", &long_form),
    ]
}

fn chunks() -> Vec<Vector> {
    let chunk = good("manifest-chunk", "manifest-chunk", "the first chunk of a manifest of 300 bytes");
    let none = [0, 0, 1];
    let long = [&[1u8, 0][..], &run(0, 193)].concat();
    vec![
        made(chunk.with("manifest-length", 300).with_bytes("bytes", &run(7, 192))),
        Vector::new("manifest-chunk-of-nothing", "manifest-chunk", "bad value of manifest chunk", "length 0", &none),
        Vector::new("manifest-chunk-too-long", "manifest-chunk", "bad value of manifest chunk", "193 bytes", &long),
    ]
}

fn envelopes() -> Vec<Vector> {
    let envelope = good("envelope", "envelope", "around five bytes")
        .with_bytes("tag", &run(0x11, 8))
        .with("age", 86_400)
        .with("hops", 16)
        .with("priority", 2)
        .with_bytes("frame", &run(0x20, 5));
    let envelope = made(envelope);
    let change = |at: usize, value: u8| {
        let mut bytes = envelope.body.clone();
        bytes[at] = value;
        bytes
    };
    let bad = |name: &str, expect: &str, note: &str, bytes: &[u8]| Vector::new(name, "envelope", expect, note, bytes);
    vec![
        bad("envelope-refused-version", "unknown version 2", "version 2", &change(0, 6 << 5 | 2)),
        bad("envelope-refused-flags", "bad value of envelope flags", "an unknown flag", &change(15, 1)),
        bad("envelope-refused-empty", "truncated", "nothing inside", &envelope.body[..16]),
        bad("envelope-refused-kind", "bad value of kind", "another kind", &change(0, 1 << 5 | 1)),
        envelope,
    ]
}

fn report(name: &str, note: &str, flags: &str) -> Vector {
    good(name, "report", note)
        .with("flags", flags)
        .with_bytes("message", &run(0x50, 16))
        .with("number", 7)
        .with("delay-ms", 120)
        .with("full-mask", "7f")
}

fn reports() -> Vec<Vector> {
    let scattered = hex(&[0x7f, 0, 0x7f, 0x7f, 0x05, 0x7f]);
    let runs = hex(&[vec![0x7f; 400], vec![0; 3], vec![0x7f; 500]].concat());
    let complete = made(report("report-complete", "all delivered", "complete manifest"));
    let blocks = report("report-blocks", "a part complete; of another, blocks 0 to 2, 4, and some of 6", "manifest")
        .with("part", "1 complete")
        .with("part", format!("2 3 4:solved 6:{scattered}"));
    let long = report("report-runs", "a block with one gap: runs are shorter than a bitmap", "manifest partial")
        .with("part", format!("1 0 0:{runs}"));
    let unwanted = made(report("report-unwanted", "no longer wanted", "manifest unwanted"));
    let bad = |name: &str, expect: &str, note: &str, bytes: Vec<u8>| {
        Vector::new(name, "report", expect, note, &bytes).with("full-mask", "7f")
    };
    let head = complete.body.clone();
    let with = |tail: &[u8]| [&head[..], tail].concat();
    vec![
        made(blocks),
        made(long),
        unwanted,
        bad("report-refused-version", "unknown version 2", "version 2", [&[2], &head[1..]].concat()),
        bad("report-refused-flags", "bad value of report flags", "an unknown flag", [&[1, 16], &head[2..]].concat()),
        bad("report-refused-part", "bad value of part", "a part that the message does not have", with(&[200, 0])),
        bad("report-refused-order", "bad value of order of parts", "part 2 before part 1", with(&[2, 0, 1, 0])),
        bad("report-refused-run", "bad value of run", "a gap beyond its bound", with(&[1, 1, 0, 1, 0, 2, 4, 1, 3, 1, 0])),
        bad("report-refused-cut", "truncated", "a part without a state", with(&[1])),
        complete,
    ]
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
    let narrow = made(fragment("fragment-narrow", "one slice", "narrow", [1, 0, 37, 3], &run(0, 192)));
    let wide = made(fragment("fragment-wide", "two slices", "wide", [2, 14, 2047, 5], &run(5, 384)));
    let short = made(fragment("fragment-short", "a whole message", "short", [0, 0, 0, 0], &run(9, 33)));
    let chunk = made(fragment("fragment-manifest", "a chunk of a manifest", "narrow", [0, 0, 1, 0], &run(3, 80)));
    let forged = |name: &str, note: &str, at: usize| {
        let expect = "a fragment does not authenticate";
        let mut bytes = narrow.body.clone();
        bytes[at] ^= 1;
        let mut vector = fragment(name, note, "narrow", [1, 0, 37, 3], &run(0, 192)).expecting(expect);
        vector.body = bytes;
        vector
    };
    let mut cut = fragment("fragment-refused-cut", "shorter than header and tag", "narrow", [1, 0, 37, 3], &[])
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
fn key_file(first: u8) -> Vec<u8> {
    let identity = Identity::generate(&mut Stated((0..7).flat_map(|i| run(first + i * 8, 32)).collect()));
    identity.encode().to_vec()
}

fn text_card(key_file: &[u8], name: &str, sequence: u64) -> String {
    Identity::decode(key_file).unwrap().card(name, sequence, Vec::new()).to_text()
}

fn cards() -> Vec<Vector> {
    let keys = key_file(0x10);
    let me = Identity::decode(&keys).unwrap();
    let relay = "relay://relay.example:7412?key=x";
    let card = me.card("Amina", 3, vec![relay.to_owned()]);
    let good = good("card", "card", "a person with one device and one relay")
        .with_bytes("key-file", &keys)
        .with("name", "Amina")
        .with("sequence", 3)
        .with("relay", relay)
        .with("person", me.person())
        .with("text", card.to_text());
    let bad = |name: &str, expect: &str, note: &str, at: usize, value: u8| {
        let mut bytes = card.bytes().to_vec();
        bytes[at] ^= value;
        Vector::new(name, "card", expect, note, &bytes)
    };
    let forged = "the signature of this contact card is wrong: it was changed or forged; ask for it again";
    let version = "this contact card is of version 2, which this program does not know; update it";
    let damaged = "this contact card is damaged or not in canonical form; ask for it again";
    vec![
        made(good),
        bad("card-refused-version", version, "version 2", 2, 3),
        bad("card-refused-name", forged, "another name", 6, 1),
        bad("card-refused-form", damaged, "an array of another length", 3, 2),
    ]
}

fn session(name: &str, kind: &str, note: &str, epoch: u32) -> Vector {
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
        let card = Identity::decode(&key_file(0x90)).unwrap().card("Bako", 1, Vec::new());
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
    let mut stranger = bad("preamble-refused-stranger", "a preamble of a stranger", "no card of the sender", frame.clone());
    stranger.replace("sender-card", text_card(&key_file(0x50), "Else", 1));
    let epoch = |number: u32| {
        let name = format!("epoch-{number}");
        let note = "label, hint, and the stored keys of a message: secret, context, epoch bits, hint, label";
        let vector = session(&name, "epoch", note, number).with_bytes("message", &run(0x33, 32));
        made(vector.with_bytes("preamble", &frame))
    };
    let epochs = [epoch(0), epoch(1), epoch(18)];
    let preambles = vec![
        preamble("preamble-epoch-40", "the same session in its epoch 40", 40),
        bad("preamble-refused-changed", "a preamble does not open", "a changed bit", changed),
        bad("preamble-refused-low-order", "a public key is of low order", "an ephemeral key of zeros", low),
        bad("preamble-refused-cut", "truncated", "one byte short", frame[..137].to_vec()),
        stranger,
        first,
    ];
    preambles.into_iter().chain(epochs).collect()
}

fn names() -> Vec<Vector> {
    let tag = |index: u8| {
        let vector = good(&format!("mailbox-tag-{index}"), "mailbox-tag", "what a relay sees in place of a name");
        made(vector.with_bytes("mailbox-key", &run(0x70, 32)).with("index", index))
    };
    let (a, b) = (unhex(&"11".repeat(32)), unhex(&"22".repeat(32)));
    let number = safety_number(PersonId([0x11; 32]), PersonId([0x22; 32]));
    let vector = good("safety-number", "safety-number", "as two people read it aloud");
    let vector = vector.with_bytes("a", &a).with_bytes("b", &b).with("number", number);
    vec![tag(0), tag(63), made(vector)]
}

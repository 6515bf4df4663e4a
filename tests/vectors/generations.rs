//! Vectors of key exchanges within a session: their records, and what both ends derive.

use super::file::{Vector, hex};
use super::keys::{Stated, derived, identity, sending};
use super::make::{good, made, run};
use super::make_keys::session;
use ostrakon::security::announcement::Announcement;
use ostrakon::security::card::Card;
use ostrakon::security::identity::Identity;
use ostrakon::security::session::{RecvSession, SendSession};
use ostrakon::wire::generation::{Answer, CONFIRM, Exchange, HYBRID_CIPHERTEXT, HYBRID_KEY, Offer};

/// All of them.
pub fn all() -> Vec<Vector> {
    [records(), refused(), exchanges()].concat()
}

fn record(name: &str, kind: &str, note: &str) -> Vector {
    good(name, "generation", note)
        .with("kind", kind)
        .with_bytes("session", &run(0x20, 16))
}

fn offer(name: &str, note: &str) -> Vector {
    record(name, "offer", note)
        .with("generation", 3)
        .with_bytes("key", &run(0x40, 32))
}

fn answer(name: &str, note: &str) -> Vector {
    record(name, "answer", note)
        .with("generation", 3)
        .with_bytes("key", &run(0x60, 32))
        .with_bytes("confirmation", &run(0x80, CONFIRM))
}

fn records() -> Vec<Vector> {
    let (sealed, key) = (run(2, HYBRID_CIPHERTEXT), run(1, HYBRID_KEY));
    let unknown = record(
        "generation-unknown",
        "unknown",
        "a generation that is not known",
    );
    vec![
        made(offer("generation-offer", "without X-Wing")),
        made(offer("generation-offer-hybrid", "with X-Wing").with_bytes("hybrid", &key)),
        made(answer("generation-answer", "without X-Wing")),
        made(answer("generation-answer-hybrid", "with X-Wing").with_bytes("hybrid", &sealed)),
        made(unknown.with_bytes("confirmation", &run(0x90, 12))),
    ]
}

fn refused() -> Vec<Vector> {
    let offer = made(offer("", "")).body;
    let bad = |name: &str, expect: &str, note: &str, bytes: Vec<u8>| {
        let name = format!("generation-refused-{name}");
        Vector::new(&name, "generation", expect, note, &bytes)
    };
    let changed = |at: usize, value: u8| {
        let mut bytes = offer.clone();
        bytes[at] = value;
        bytes
    };
    let kind = "bad value of kind of a generation record";
    let flags = "bad value of generation flags";
    let unknown = made(record("", "unknown", "").with_bytes("confirmation", &[0; 12])).body;
    let first = [&offer[..19], &[0; 4], &offer[23..]].concat();
    let longer = [&offer[..], &[0]].concat();
    vec![
        bad("version", "unknown version 2", "version 2", changed(0, 2)),
        bad("kind", kind, "an unknown kind", changed(1, 4)),
        bad("flags", flags, "an unknown flag", changed(2, 2)),
        bad(
            "flags-unknown",
            flags,
            "hybrid where nothing is exchanged",
            [&unknown[..2], &[1], &unknown[3..]].concat(),
        ),
        bad("first", "bad value of generation", "generation 0", first),
        bad("cut", "truncated", "hybrid without its key", changed(2, 1)),
        bad("trailing", "trailing bytes", "a byte too many", longer),
    ]
}

fn exchange(name: &str, kind: &str, note: &str, generations: u8) -> Vector {
    let mut vector = session(name, kind, note, 0);
    for number in 0..generations {
        vector = vector
            .with_bytes("offer-secret", &run(0xd0 + number, 32))
            .with_bytes("answer-secret", &run(0xe0 + number, 32));
    }
    vector
}

fn exchanges() -> Vec<Vector> {
    let answer = |name: &str, note: &str, generations: u8| {
        made(exchange(name, "generation-answer", note, generations))
    };
    let preamble = |name: &str, note: &str, further: u32| {
        let vector = exchange(name, "generation-preamble", note, 1);
        made(vector.with("further-epochs", further))
    };
    let epoch = |name: &str, generations: u8, further: u32| {
        let note = "label, hint, and the stored keys of a message: secret, context, epoch bits, hint, label";
        let vector = exchange(name, "generation-epoch", note, generations);
        let vector = vector.with("further-epochs", further);
        made(vector.with_bytes("message", &run(0x33, 32)))
    };
    let low = exchange(
        "generation-refused-low-order",
        "generation-answer",
        "no answer to an offer of a key of zeros",
        0,
    )
    .expecting("a public key is of low order");
    let offer = Exchange::Offer(Offer {
        session: sending(&low).1.id(),
        generation: 1,
        key: [0; 32],
        hybrid: None,
    });
    let low = low.with_bytes("offer", &offer.encode());
    vec![
        answer("generation-1", "the answer to the first offer", 1),
        answer("generation-2", "the answer to the second one", 2),
        preamble(
            "preamble-generation-1",
            "in the epoch in which it begins",
            0,
        ),
        preamble("preamble-generation-1-later", "nine epochs later", 9),
        epoch("epoch-generation-1", 1, 0),
        epoch("epoch-generation-2", 2, 5),
        low,
    ]
}

fn fields(vector: &Vector) -> Exchange {
    let session = vector.array("session");
    let hybrid = vector.find("hybrid").map(|_| vector.bytes("hybrid"));
    match vector.get("kind") {
        "offer" => Exchange::Offer(Offer {
            session,
            generation: vector.number("generation"),
            key: vector.array("key"),
            hybrid,
        }),
        "answer" => Exchange::Answer(Answer {
            session,
            generation: vector.number("generation"),
            key: vector.array("key"),
            confirm: vector.array("confirmation"),
            hybrid,
        }),
        _ => Exchange::Unknown {
            session,
            confirm: vector.array("confirmation"),
        },
    }
}

pub fn encode(vector: &Vector) -> Vec<u8> {
    fields(vector).encode()
}

pub fn decode(vector: &Vector) -> bool {
    let read = Exchange::decode(&vector.body);
    if vector.refused(read.as_ref()) {
        return false;
    }
    assert_eq!(read.unwrap(), fields(vector), "{}", vector.name);
    true
}

/// Both ends of a session.
struct Ends {
    sender: Identity,
    recipient: Identity,
    sending: SendSession,
    receiving: RecvSession,
}

impl Ends {
    /// Before any exchange.
    fn of(vector: &Vector) -> Self {
        let (sender, sending) = sending(vector);
        let recipient = identity(vector, "recipient-key-file");
        let card = Card::from_text(vector.get("sender-card")).unwrap();
        let frame = sending.preamble(&sender);
        let receiving = RecvSession::accept(&recipient, &frame, |_| Some(&card)).unwrap();
        Self {
            sender,
            recipient,
            sending,
            receiving,
        }
    }

    /// After all that the vector states. Gives the last answer, too.
    fn after(vector: &Vector) -> (Self, Vec<u8>) {
        let mut ends = Self::of(vector);
        let card = Card::from_text(vector.get("recipient-card")).unwrap();
        let secrets = |field| vector.values(field).into_iter().map(super::file::unhex);
        let mut last = Vec::new();
        for (offered, answered) in secrets("offer-secret").zip(secrets("answer-secret")) {
            ends.announce();
            ends.sending.make_offer(false, &mut Stated(offered));
            let offer = ends.sending.offer().unwrap();
            let mut random = Stated(answered);
            ends.receiving
                .answer(&ends.recipient, &offer, &mut random)
                .unwrap();
            last = ends.receiving.answered().unwrap().to_vec();
            let Ok(Exchange::Answer(answer)) = Exchange::decode(&last) else {
                panic!("{}: no answer", vector.name)
            };
            ends.sending
                .take_answer(&ends.sender, &card, &answer)
                .unwrap();
            assert!(ends.sending.go_on());
        }
        (ends, last)
    }

    /// The recipient hears of the present generation, unless that is the first, which it knows.
    fn announce(&mut self) {
        if self.sending.generation() > 0 {
            let frame = self.sending.preamble(&self.sender);
            let announced = Announcement::open(&self.recipient, &frame).unwrap();
            self.receiving = self.receiving.resume(&announced).unwrap();
        }
    }

    fn further(mut self, vector: &Vector) -> Self {
        let epochs: u32 = vector.number("further-epochs");
        (0..epochs).for_each(|_| self.sending.advance());
        self
    }
}

pub fn encode_answer(vector: &Vector) -> Vec<u8> {
    Ends::after(vector).1
}

/// Only an offer that no recipient answers stands in a vector.
pub fn decode_answer(vector: &Vector) -> bool {
    if vector.find("offer").is_none() {
        return true;
    }
    let mut ends = Ends::of(vector);
    let Ok(Exchange::Offer(offer)) = Exchange::decode(&vector.bytes("offer")) else {
        panic!("{}: no offer", vector.name)
    };
    let mut random = Stated(run(0, 32));
    !vector.refused(ends.receiving.answer(&ends.recipient, &offer, &mut random))
}

pub fn encode_preamble(vector: &Vector) -> Vec<u8> {
    let ends = Ends::after(vector).0.further(vector);
    ends.sending.preamble(&ends.sender)
}

pub fn decode_preamble(vector: &Vector) -> bool {
    let ends = Ends::after(vector).0.further(vector);
    let announced = Announcement::open(&ends.recipient, &vector.body).unwrap();
    let resumed = ends.receiving.resume(&announced).unwrap();
    let reached = (resumed.generation(), resumed.epoch_number());
    let sent = (ends.sending.generation(), ends.sending.epoch_number());
    assert_eq!(reached, sent, "{}", vector.name);
    true
}

pub fn encode_epoch(vector: &Vector) -> Vec<u8> {
    let ends = Ends::after(vector).0.further(vector);
    derived(&ends.sending.epoch(), vector.array("message"))
}

/// The recipient, who has heard of the generation as it began, finds the same by the lower bits of the epoch.
pub fn decode_epoch(vector: &Vector) -> bool {
    let mut ends = Ends::after(vector).0;
    ends.announce();
    let ends = ends.further(vector);
    let bits = (ends.sending.epoch_number() & 31) as u8;
    let epoch = ends.receiving.epoch(bits).unwrap();
    let found = hex(&derived(&epoch, vector.array("message")));
    assert_eq!(found, hex(&vector.body), "{}", vector.name);
    true
}

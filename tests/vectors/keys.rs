//! Vectors of what depends on keys.

use super::file::{Vector, hex};
use ostrakon::engine::id::{MessageId, PersonId};
use ostrakon::security::announcement::Announcement;
use ostrakon::security::card::Card;
use ostrakon::security::identity::{Identity, safety_number};
use ostrakon::security::invitation::Ticket;
use ostrakon::security::kdf::Key;
use ostrakon::security::mailbox;
use ostrakon::security::root::Root;
use ostrakon::security::seal::MessageKeys;
use ostrakon::security::session::{Epoch, RecvSession, SendSession, SessionError};
use ostrakon::wire::fragment::{Kind, Place, View};
use rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;

/// Gives bytes that stand in a vector in place of random ones.
pub struct Stated(pub Vec<u8>);

impl TryRng for Stated {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        assert!(
            out.len() <= self.0.len(),
            "more random bytes are used than the vector states"
        );
        out.copy_from_slice(&self.0[..out.len()]);
        self.0.drain(..out.len());
        Ok(())
    }
}

impl TryCryptoRng for Stated {}

fn message_keys(vector: &Vector) -> MessageKeys {
    let bits = vector.number("epoch-bits");
    let secret = Key::new(vector.array("secret"));
    MessageKeys::new(
        secret,
        vector.array("context"),
        bits,
        vector.array("hint"),
        vector.array("label"),
    )
}

fn kind(vector: &Vector) -> Kind {
    match vector.get("kind") {
        "narrow" => Kind::Narrow,
        "wide" => Kind::Wide,
        "short" => Kind::Short,
        other => panic!("{}: kind {other}", vector.name),
    }
}

fn place(vector: &Vector) -> Place {
    Place {
        part: vector.number("part"),
        block: vector.number("block"),
        symbol: vector.number("symbol"),
        slice: vector.number("slice"),
    }
}

pub fn encode_fragment(vector: &Vector) -> Vec<u8> {
    message_keys(vector)
        .seal(kind(vector), &place(vector), &vector.bytes("plain"))
        .to_vec()
}

pub fn decode_fragment(vector: &Vector) -> bool {
    let view = match View::parse(&vector.body) {
        Ok(view) => view,
        Err(why) => return !vector.refused(Err::<(), _>(why)),
    };
    let opened = message_keys(vector).open(&view);
    if vector.refused(opened.as_ref()) {
        return false;
    }
    let (at, plain) = opened.unwrap();
    assert_eq!(
        (view.kind, view.label),
        (kind(vector), vector.array("label")),
        "{}",
        vector.name
    );
    assert_eq!(
        (at, hex(&plain)),
        (place(vector), vector.get("plain").to_owned()),
        "{}",
        vector.name
    );
    true
}

pub fn identity(vector: &Vector, field: &str) -> Identity {
    Identity::decode(&vector.bytes(field)).unwrap()
}

pub fn encode_card(vector: &Vector) -> Vec<u8> {
    let relays = vector
        .values("relay")
        .iter()
        .map(|text| (*text).to_owned())
        .collect();
    let (me, name, sequence) = (
        identity(vector, "key-file"),
        vector.get("name"),
        vector.number("sequence"),
    );
    let card = match vector.values("largest").as_slice() {
        [] => me.card(name, sequence, relays),
        _ => {
            let last = me.card(name, sequence - 1, vec![]);
            let largest = Some(vector.number("largest"));
            me.card_after(&last, name, relays, last.body().endpoints.clone(), largest)
        }
    };
    card.bytes().to_vec()
}

/// The root that a person made of this seed has.
pub fn encode_root(vector: &Vector) -> Vec<u8> {
    let mut keys = super::make_keys::key_file(0);
    keys[5..37].copy_from_slice(&vector.bytes("seed"));
    let root = Identity::decode(&keys).unwrap().root().unwrap();
    root.encode().to_vec()
}

pub fn decode_root(vector: &Vector) -> bool {
    let root = Root::decode(&vector.body).unwrap();
    assert_eq!(u64::from(root.number()), vector.number::<u64>("number"));
    true
}

pub fn decode_card(vector: &Vector) -> bool {
    let read = Card::decode(&vector.body);
    if vector.refused(read.as_ref()) {
        return false;
    }
    let card = read.unwrap();
    assert_eq!(card.to_text(), vector.get("text"), "{}", vector.name);
    assert_eq!(
        Card::from_text(vector.get("text")).unwrap(),
        card,
        "{}",
        vector.name
    );
    assert_eq!(
        card.person().to_string(),
        vector.get("person"),
        "{}",
        vector.name
    );
    let body = card.body();
    assert_eq!(body.name, vector.get("name"), "{}", vector.name);
    assert_eq!(
        body.sequence,
        vector.number::<u64>("sequence"),
        "{}",
        vector.name
    );
    assert_eq!(body.relays, vector.values("relay"), "{}", vector.name);
    true
}

pub fn sending(vector: &Vector) -> (Identity, SendSession) {
    let me = identity(vector, "sender-key-file");
    let card = Card::from_text(vector.get("recipient-card")).unwrap();
    let mut random = Stated(vector.bytes("ephemeral-secret"));
    let ticket = ticket(vector);
    let mut session = SendSession::open_by(&me, &card, ticket.as_ref(), &mut random).unwrap();
    (0..vector.number::<u32>("epoch")).for_each(|_| session.advance());
    (me, session)
}

/// The invitation of the recipient that a vector states, if any.
fn ticket(vector: &Vector) -> Option<Ticket> {
    let stated = !vector.values("invitation").is_empty();
    stated.then(|| Ticket {
        id: vector.array("invitation"),
        secret: Key::new(vector.array("invitation-secret")),
    })
}

fn receiving(vector: &Vector, frame: &[u8]) -> Result<RecvSession, SessionError> {
    let me = identity(vector, "recipient-key-file");
    let card = Card::from_text(vector.get("sender-card")).unwrap();
    let announced = Announcement::open(&me, frame)?;
    if announced.sender() != card.person() || !announced.is_of(&card) {
        return Err(SessionError::Stranger);
    }
    let ticket = ticket(vector).filter(|ticket| announced.invitation() == Some(ticket.id));
    announced.accept(&me, ticket.as_ref().map(|ticket| &ticket.secret))
}

pub fn encode_preamble(vector: &Vector) -> Vec<u8> {
    let (me, session) = sending(vector);
    assert_eq!(
        hex(&session.id()),
        vector.get("session-id"),
        "{}",
        vector.name
    );
    session.preamble(&me)
}

pub fn decode_preamble(vector: &Vector) -> bool {
    let read = receiving(vector, &vector.body);
    if vector.refused(read.as_ref()) {
        return false;
    }
    let session = read.unwrap();
    assert_eq!(
        hex(&session.id()),
        vector.get("session-id"),
        "{}",
        vector.name
    );
    assert_eq!(
        session.epoch_number(),
        vector.number::<u32>("epoch"),
        "{}",
        vector.name
    );
    true
}

/// Label, hint and stored message keys, one after another.
pub fn derived(epoch: &Epoch, message: [u8; 32]) -> Vec<u8> {
    let label = epoch.label(MessageId(message));
    [
        &label[..],
        &epoch.hint(label),
        &epoch.message(label).store(),
    ]
    .concat()
}

pub fn encode_epoch(vector: &Vector) -> Vec<u8> {
    derived(&sending(vector).1.epoch(), vector.array("message"))
}

/// The recipient, who has the preamble of epoch 0 alone, finds the same by the lower bits of the epoch.
pub fn decode_epoch(vector: &Vector) -> bool {
    let session = receiving(vector, &vector.bytes("preamble")).unwrap();
    let epoch = session
        .epoch((vector.number::<u32>("epoch") & 31) as u8)
        .unwrap();
    assert_eq!(
        hex(&derived(&epoch, vector.array("message"))),
        hex(&vector.body),
        "{}",
        vector.name
    );
    true
}

pub fn encode_tag(vector: &Vector) -> Vec<u8> {
    mailbox::tag(&vector.array("mailbox-key"), vector.number("index")).to_vec()
}

pub fn encode_safety_number(vector: &Vector) -> Vec<u8> {
    let (a, b) = (PersonId(vector.array("a")), PersonId(vector.array("b")));
    assert_eq!(safety_number(a, b), safety_number(b, a), "{}", vector.name);
    assert_eq!(safety_number(a, b), vector.get("number"), "{}", vector.name);
    safety_number(a, b).into_bytes()
}

//! What attackers have: frames that they recorded, and, if they are contacts, a session of their own to misuse.

pub use crate::world::seeds;
use crate::world::{MS, SECOND, Spec, World};
use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use ostrakon::engine::geometry::Blocks;
use ostrakon::engine::id::{MessageId, PersonId};
use ostrakon::engine::io::{Input, LinkId};
use ostrakon::engine::message::{Content, Draft, DraftPart, LinkPolicy, Priority};
use ostrakon::engine::occupancy::Occupancy;
use ostrakon::security::card::{Card, MEDIA_TYPE};
use ostrakon::security::identity::Identity;
use ostrakon::security::kdf::Key;
use ostrakon::security::seal::MessageKeys;
use ostrakon::security::session::{RecvSession, SendSession};
use ostrakon::wire::fragment::{Kind, Label, ManifestChunk, Place, View};
use ostrakon::wire::manifest::{Lifetime, Manifest};
use ostrakon::wire::preamble;
use std::collections::BTreeMap;
use x25519_dalek::StaticSecret;

/// Sender, recipient, and a contact of both who attacks. His engine stays idle: what he sends, tests make by hand.
pub const NAMES: [&str; 3] = ["a", "b", "m"];
pub const A: usize = 0;
pub const B: usize = 1;
pub const M: usize = 2;

/// Gives a node a frame, as its first link would.
pub fn give(world: &mut World, node: usize, frame: &[u8]) {
    give_by(world, node, 0, frame);
}

pub fn give_by(world: &mut World, node: usize, link: u32, frame: &[u8]) {
    let input = Input::Received {
        link: LinkId(link),
        frame: Bytes::copy_from_slice(frame),
        custody: None,
    };
    world.input(node, input);
}

/// Lets time go by.
pub fn pass(world: &mut World, time: u64) {
    let end = world.now + time;
    world.run_until(end, |_| false);
    world.now = world.now.max(end);
}

/// How often a node has dropped something for this reason.
pub fn dropped(world: &World, node: usize, why: &str) -> u64 {
    world.status(node).dropped.get(why).copied().unwrap_or(0)
}

/// All that frames from outside could have changed of a node, but for the quarantine, which holds what is unexplained.
pub fn state(world: &World, node: usize) -> (Vec<String>, Occupancy) {
    let occupancy = Occupancy {
        quarantine_bytes: 0,
        ..occupancy(world, node)
    };
    let inbound = world.status(node).inbound;
    let inbound = inbound.iter().map(|message| format!("{message:?}"));
    (inbound.collect(), occupancy)
}

pub fn occupancy(world: &World, node: usize) -> Occupancy {
    world.nodes[node].engine.as_ref().unwrap().occupancy()
}

/// Sends messages of these parts from A to B over a link that swallows everything. Gives their ids, and what left.
pub fn recorded(
    world: &mut World,
    messages: &[&[(&str, Vec<u8>, Priority)]],
) -> (Vec<MessageId>, Vec<Bytes>) {
    let link = world.link(A, B, &Spec::default());
    world.set_link_silently(link, false);
    world.nodes[A].keep_sent = true;
    let ids = messages.iter().map(|parts| world.send(A, B, parts));
    let ids = ids.collect();
    pass(world, SECOND);
    (ids, std::mem::take(&mut world.nodes[A].sent))
}

/// The manifests that a node finds among frames as their recipient, with their ids.
pub fn manifests(world: &World, node: usize, from: usize, frames: &[Bytes]) -> Vec<Manifest> {
    let me = world.identity(node);
    let card = world.identity(from).card("from", 1, vec![]);
    let opened = frames.iter().filter(|frame| is_preamble(frame));
    let mut opened = opened.filter_map(|f| RecvSession::accept(&me, f, |_| Some(&card)).ok());
    let session = opened.next().unwrap();
    let mut chunks: BTreeMap<Label, BTreeMap<u16, Bytes>> = BTreeMap::new();
    for view in frames.iter().filter_map(|frame| View::parse(frame).ok()) {
        let epoch = session.epoch(view.epoch_bits).unwrap();
        let opened = epoch.message(view.label).open(&view);
        if let Ok((place, plain)) = opened
            && place.part == 0
        {
            let of_label = chunks.entry(view.label).or_default();
            match view.kind {
                Kind::Short => of_label.insert(0, plain),
                _ => of_label.insert(place.symbol, plain.slice(2..)),
            };
        }
    }
    let whole = chunks.into_values().filter_map(|chunks| {
        let bytes: Vec<u8> = chunks.into_values().flatten().collect();
        Manifest::decode(&bytes).ok()
    });
    whole.collect()
}

/// Whether a frame announces a session.
pub fn is_preamble(frame: &[u8]) -> bool {
    frame.starts_with(&preamble::MARK)
}

/// A contact who seals what he likes.
pub struct Peer {
    pub me: Identity,
    pub session: SendSession,
    to: PersonId,
}

impl Peer {
    /// Node `from` as a peer of node `to`, who has heard of the session.
    pub fn announced(world: &mut World, from: usize, to: usize) -> Self {
        let peer = Self::new(world, from, to);
        give(world, to, &peer.session.preamble(&peer.me));
        pass(world, 20 * MS);
        peer
    }

    pub fn new(world: &mut World, from: usize, to: usize) -> Self {
        let me = world.identity(from);
        let card = world.identity(to).card("to", 1, vec![]);
        let session = SendSession::open(&me, &card, &mut world.rng).unwrap();
        Self {
            me,
            session,
            to: card.person(),
        }
    }

    /// Who has opened this session with that person.
    pub fn of(me: Identity, session: SendSession, to: PersonId) -> Self {
        Self { me, session, to }
    }

    pub fn id(&self, manifest: &Manifest) -> MessageId {
        manifest.message_id(self.me.person(), self.to)
    }

    pub fn keys(&self, manifest: &Manifest) -> MessageKeys {
        let epoch = self.session.epoch();
        epoch.message(epoch.label(self.id(manifest)))
    }

    /// A whole message in one frame.
    pub fn short(&self, manifest: &Manifest) -> Bytes {
        let keys = self.keys(manifest);
        keys.seal(Kind::Short, &Place::SHORT, &manifest.encode())
    }

    /// The bytes of a manifest as source chunks, under whatever keys.
    pub fn chunks(&self, keys: &MessageKeys, manifest: &[u8]) -> Vec<Bytes> {
        let chunks = manifest.chunks(ManifestChunk::SIZE).enumerate();
        let sealed = chunks.map(|(index, bytes)| {
            let place = Place {
                symbol: index as u16,
                ..Place::SHORT
            };
            let plain = [&(manifest.len() as u16).to_be_bytes()[..], bytes].concat();
            keys.seal(Kind::Narrow, &place, &plain)
        });
        sealed.collect()
    }

    /// A control record.
    pub fn control(&self, salt: u8, media_type: &str, content: &[u8]) -> Bytes {
        self.short(&single(salt, media_type, content))
    }
}

/// Sends a card as nodes do.
pub fn send_card(world: &mut World, from: usize, to: usize, card: &Card) {
    let part = DraftPart {
        id: 1,
        media_type: MEDIA_TYPE.into(),
        name: "contact card".into(),
        priority: Priority::Urgent,
        lifetime: Lifetime(0),
        policy: LinkPolicy::default(),
        content: Content::Inline(Bytes::copy_from_slice(card.bytes())),
    };
    let draft = Draft {
        request: 7,
        to: [world.person(to)].into(),
        salt: world.bytes(8).try_into().unwrap(),
        content_key: Key::new([0; 32]),
        created: None,
        blocks: Blocks::Usual,
        parts: vec![part],
    };
    world.input(from, Input::Send(Box::new(draft)));
}

pub fn own_card(world: &World, node: usize) -> Card {
    world.identity(node).card(NAMES[node], 1, vec![])
}

/// Gives B what a peer announces.
pub fn announce(world: &mut World, peer: &Peer) {
    give(world, B, &peer.session.preamble(&peer.me));
    pass(world, 25 * MS);
}

/// Gives B a card and a text in the session of a peer. Whether the text came out.
pub fn speak(world: &mut World, peer: &Peer, card: &Card, salt: u8) -> bool {
    let (card, text) = (
        single(salt, MEDIA_TYPE, card.bytes()),
        text(salt, "let me in"),
    );
    for manifest in [&card, &text] {
        give(world, B, &peer.short(manifest));
        pass(world, SECOND);
    }
    world.delivered(B, peer.id(&text))
}

/// A manifest of one inline part.
pub fn single(salt: u8, media_type: &str, content: &[u8]) -> Manifest {
    let content = Bytes::copy_from_slice(content);
    Manifest::single([salt; 8], None, Lifetime(0), media_type, content)
}

/// A text in a short frame.
pub fn text(salt: u8, content: &str) -> Manifest {
    single(salt, "text/plain", content.as_bytes())
}

/// The secret keys of a person, as one has them who got hold of the key file.
pub struct Stolen {
    pub root: SigningKey,
    pub inbox: StaticSecret,
    pub endpoint: StaticSecret,
}

impl Stolen {
    pub fn from(identity: &Identity) -> Self {
        let bytes = identity.encode();
        let secret = |at: usize| <[u8; 32]>::try_from(&bytes[at..at + 32]).unwrap();
        Self {
            root: SigningKey::from_bytes(&secret(5)),
            inbox: StaticSecret::from(secret(37)),
            endpoint: StaticSecret::from(secret(145)),
        }
    }

    /// Signs whatever stands for the body of a card.
    pub fn sign(&self, cbor: &[u8]) -> Vec<u8> {
        let mut bytes = [b"OC\x01", cbor].concat();
        let signature = self.root.sign(&bytes);
        bytes.extend_from_slice(&signature.to_bytes());
        bytes
    }
}

//! Whoever would rather have an older generation of a session, or a weaker exchange than was offered.

use crate::harness::*;
use crate::shared;
use crate::world::{MS, SECOND, Spec, World};
use bytes::Bytes;
use ed25519_dalek::Signer;
use ostrakon::engine::id::to_base32;
use ostrakon::engine::message::Priority;
use ostrakon::security::card::{Card, CardError};
use ostrakon::security::session::RecvSession;
use ostrakon::wire::generation::{Answer, Exchange, HYBRID_CIPHERTEXT, Offer, session_ack};
use ostrakon::wire::manifest::{Body, GENERATION, SESSION_ACK};
use std::time::Duration;

/// A generation lasts two seconds.
fn hasty(seed: u64) -> World {
    let mut world = World::new(seed, &NAMES);
    world.limits.generation_every = Duration::from_secs(2);
    for node in [A, B, M] {
        world.kill(node, true);
        world.start(node);
    }
    world
}

/// What a node finds about generations among frames as their recipient.
fn exchanges(world: &World, node: usize, from: usize, frames: &[Bytes]) -> Vec<Exchange> {
    let found = manifests(world, node, from, frames);
    let parts = found.iter().flat_map(|manifest| &manifest.parts);
    let records = parts.filter(|part| part.media_type == GENERATION);
    let read = records.map(|part| match &part.body {
        Body::Inline(bytes) => Exchange::decode(bytes).unwrap(),
        Body::Coded { .. } => panic!("a control record in symbols"),
    });
    read.collect()
}

fn generations(world: &World, node: usize) -> u32 {
    world.nodes[node].engine.as_ref().unwrap().generations()
}

/// Guards that a session which has gone on to fresh keys is not brought back: who has stolen all of an older generation
/// neither moves its window nor has anything taken in.
#[test]
fn attack_15_an_older_generation_brought_back() {
    seeds(0..4, |seed| {
        let mut world = hasty(seed);
        world.link(B, M, &Spec::default());
        world.nodes[B].keep_sent = true;
        let mut peer = Peer::announced(&mut world, M, B);
        let mut stolen = peer.session.clone();
        peer.session.make_offer(false, &mut world.rng);
        let offer = Exchange::Offer(peer.session.offer().unwrap());
        give(&mut world, B, &peer.control(1, GENERATION, &offer.encode()));
        pass(&mut world, SECOND);
        let sent = exchanges(&world, M, B, &world.nodes[B].sent);
        let [Exchange::Answer(answer)] = &sent[..] else {
            panic!("{sent:?}")
        };
        let card = world.identity(B).card("b", 1, vec![]);
        peer.session.take_answer(&peer.me, &card, answer).unwrap();
        assert!(peer.session.go_on());
        give(&mut world, B, &peer.session.preamble(&peer.me));
        give(&mut world, B, &peer.short(&text(2, "with fresh keys")));
        pass(&mut world, SECOND);
        assert_eq!(world.nodes[B].inbox.len(), 2);

        (0..2 + seed).for_each(|_| stolen.advance());
        let thief = std::mem::replace(&mut peer.session, stolen);
        give(&mut world, B, &peer.session.preamble(&peer.me));
        give(&mut world, B, &peer.short(&text(3, "with stolen keys")));
        pass(&mut world, SECOND);
        assert_eq!(world.nodes[B].inbox.len(), 2, "an older generation is back");
        assert_eq!(
            dropped(&world, B, "preamble of a generation that is not known"),
            1
        );
        peer.session = thief;
        give(
            &mut world,
            B,
            &peer.short(&text(4, "with fresh keys again")),
        );
        pass(&mut world, SECOND);
        assert_eq!(world.nodes[B].inbox.len(), 4);
    });
}

/// An offer of A to M, whose engine hears of nothing, and M as a peer of A and as the recipient of the offer.
fn offered(world: &mut World) -> (Peer, RecvSession, Offer) {
    let link = world.link(A, M, &Spec::default());
    world.set_link_silently(link, false);
    world.nodes[A].keep_sent = true;
    world.send(A, M, &[("", b"text".to_vec(), Priority::Urgent)]);
    pass(world, SECOND);
    let card = world.identity(A).card("a", 1, vec![]);
    let frames = world.nodes[A].sent.iter();
    let preamble = frames.clone().find(|frame| is_preamble(frame)).unwrap();
    let me = world.identity(M);
    let session = RecvSession::accept(&me, preamble, |_| Some(&card)).unwrap();
    let peer = Peer::announced(world, M, A);
    let ack = session_ack(session.id(), 0);
    give(world, A, &peer.control(1, SESSION_ACK, &ack));
    pass(world, 3 * SECOND);
    let sent = exchanges(world, M, A, &world.nodes[A].sent);
    let Some(Exchange::Offer(offer)) = sent.first() else {
        panic!("no offer: {sent:?}")
    };
    (peer, session, offer.clone())
}

fn answer(world: &mut World, session: &RecvSession, offer: &Offer) -> Answer {
    let me = world.identity(M);
    let mut session = session.clone();
    session.answer(&me, offer, &mut world.rng).unwrap();
    match Exchange::decode(session.answered().unwrap()) {
        Ok(Exchange::Answer(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

/// Guards that an exchange ends with what was offered or not at all: an answer of other keys, of another generation, or
/// without its hybrid part is refused by name, and the session goes on with the true one.
#[test]
fn attack_15_an_answer_to_something_else() {
    seeds(0..2, |seed| {
        let mut world = hasty(seed);
        let (peer, session, offer) = offered(&mut world);
        assert_eq!(offer.hybrid.is_some(), cfg!(feature = "hybrid"));
        let genuine = answer(&mut world, &session, &offer);
        let mut bad = Vec::new();
        let unconfirmed = "answer that does not confirm its generation";
        let mut confirm = genuine.confirm;
        confirm[15] ^= 1;
        bad.push((
            unconfirmed,
            Answer {
                confirm,
                ..genuine.clone()
            },
        ));
        let mut key = genuine.key;
        key[0] ^= 1;
        bad.push((
            unconfirmed,
            Answer {
                key,
                ..genuine.clone()
            },
        ));
        let due = "record of a generation that is not due";
        bad.push((
            due,
            Answer {
                generation: 2,
                ..genuine.clone()
            },
        ));
        let downgrade = "answer that is not hybrid as its offer is";
        let hybrid = match &genuine.hybrid {
            Some(_) => None,
            None => Some(vec![0; HYBRID_CIPHERTEXT]),
        };
        bad.push((
            downgrade,
            Answer {
                hybrid,
                ..genuine.clone()
            },
        ));
        if offer.hybrid.is_some() {
            let plain = Offer {
                hybrid: None,
                ..offer.clone()
            };
            bad.push((downgrade, answer(&mut world, &session, &plain)));
        }
        for (salt, (why, answer)) in (10..).zip(bad) {
            let before = dropped(&world, A, why);
            let record = Exchange::Answer(answer).encode();
            give(&mut world, A, &peer.control(salt, GENERATION, &record));
            pass(&mut world, 200 * MS);
            assert_eq!(generations(&world, A), 0, "instead of: {why}");
            assert_eq!(dropped(&world, A, why), before + 1);
        }
        let record = Exchange::Answer(genuine).encode();
        give(&mut world, A, &peer.control(2, GENERATION, &record));
        pass(&mut world, 200 * MS);
        assert_eq!(generations(&world, A), 1);
    });
}

/// Guards that a message to several is signed by an endpoint of its sender, and that nothing stands for that: not zeros or ones,
/// not the signature of somebody else, and not none at all.
#[test]
fn attack_15_a_message_to_several_without_a_signature() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let peer = Peer::announced(&mut world, A, B);
        let to = [world.person(B), world.person(M)];
        let honest = shared::to_several(&peer.me, &to, [9; 32]);
        let before = state(&world, B);
        let wrong = "message to several with a wrong signature";
        let foreign = shared::to_several(&world.identity(M), &to, [9; 32]);
        let foreign = foreign.shared.as_ref().unwrap().signature;
        for (count, signature) in (1..).zip([[0; 64], [0xff; 64], foreign]) {
            let mut unsigned = honest.clone();
            unsigned.shared.as_mut().unwrap().signature = signature;
            shared::announce(&mut world, B, &peer, &unsigned);
            assert!(state(&world, B) == before, "{count}: it was taken");
            assert_eq!(dropped(&world, B, wrong), count);
        }
        let keys = peer.keys(&honest);
        let bytes = honest.encode();
        let whole = honest.shared.as_ref().unwrap().signature;
        let at = bytes.windows(64).position(|part| part == whole).unwrap();
        let cut = [&bytes[..at], &bytes[at + 64..]].concat();
        for chunk in peer.chunks(&keys, &cut) {
            give(&mut world, B, &chunk);
        }
        pass(&mut world, 20 * MS);
        assert!(state(&world, B) == before, "it was taken without");
        assert_eq!(dropped(&world, B, "malformed manifest"), 1);
        shared::announce(&mut world, B, &peer, &honest);
        assert!(state(&world, B) != before, "the genuine one was refused");
    });
}

/// Guards that a card is signed, and under its own version: one whose signature is zeros, missing or of other words, and one of
/// an older version, is refused by name, however it comes.
#[test]
fn attack_15_a_card_without_a_signature() {
    seeds(0..1, |seed| {
        let world = World::new(seed, &NAMES);
        let card = world.identity(B).card("b", 1, vec![]);
        let (signed, signature) = card.bytes().split_at(card.bytes().len() - 64);
        let stolen = Stolen::from(&world.identity(B));
        // The owner has signed these words, but not as a card of this version.
        let older = [b"OC\x00", &signed[3..]].concat();
        let of_older = stolen.root.sign(&older).to_bytes();
        let cases = [
            ([signed, &[0; 64]].concat(), CardError::Signature),
            ([signed, &of_older].concat(), CardError::Signature),
            ([&older[..], &of_older].concat(), CardError::Version(0)),
            ([&older[..], signature].concat(), CardError::Version(0)),
        ];
        for (bytes, why) in &cases {
            assert_eq!(Card::decode(bytes).as_ref(), Err(why));
            let text = format!("ostrakon-card:{}", to_base32(bytes));
            assert_eq!(Card::from_text(&text).as_ref(), Err(why));
        }
        assert!(Card::decode(signed).is_err(), "without a signature");
        assert_eq!(Card::decode(card.bytes()).as_ref(), Ok(&card));
    });
}

//! Announcements of sessions, by those who have no right to them or ask for too much.

use crate::harness::*;
use crate::world::{MS, SECOND, World};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use ostrakon::engine::io::{Event, Input, SendError};
use ostrakon::engine::message::Priority;
use ostrakon::security::card::{Body, Card};
use ostrakon::security::kdf::{expand, extract, hash, prf};
use ostrakon::security::session::{AHEAD, EPOCH_MAX, SUITE};
use ostrakon::wire::preamble;
use x25519_dalek::{PublicKey, StaticSecret};

/// The points of Curve25519 and of its twist whose order divides 8, one byte string each.
fn low_order() -> Vec<[u8; 32]> {
    let small = |first: u8| {
        let mut point = [0; 32];
        point[0] = first;
        point
    };
    // p - 1, p, p + 1 with p = 2^255 - 19.
    let large = |first: u8| {
        let mut point = [0xff; 32];
        (point[0], point[31]) = (first, 0x7f);
        point
    };
    let eight = [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ];
    let eight = eight.map(|hex| {
        let byte = |at: usize| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap();
        std::array::from_fn(byte)
    });
    let mut points = vec![small(0), small(1), large(0xec), large(0xed), large(0xee)];
    points.extend(eight);
    points
}

/// Guards that keys which make every agreement come out the same are refused by name, from the air and from a card.
#[test]
fn attack_10_zero_and_low_order_keys() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let peer = Peer::new(&mut world, M, B);
        for (index, point) in low_order().iter().enumerate() {
            let mut frame = peer.session.preamble(&peer.me);
            frame[2..34].copy_from_slice(point);
            give(&mut world, B, &frame);
            let counted = dropped(&world, B, "preamble with a low-order key");
            assert_eq!(counted, index as u64 + 1);

            for inbox in [true, false] {
                let stolen = Stolen::from(&world.identity(B));
                let mut body: Body = world.identity(B).card("b", 9, vec![]).body().clone();
                if inbox {
                    body.inbox = *point;
                } else {
                    // Senders use the last one.
                    body.prekeys[1].key = *point;
                }
                let bytes = stolen.sign(&minicbor::to_vec(&body).unwrap());
                let card = Card::decode(&bytes).unwrap();
                world.input(A, Input::Card(Box::new(card)));
                world.nodes[A].events.clear();
                world.send(A, B, &[("", b"text".to_vec(), Priority::Urgent)]);
                let refused = |event: &Event| matches!(event, Event::Refused { why, .. } if *why == SendError::UnusableCard);
                assert!(world.nodes[A].events.iter().any(refused));
            }
        }
        assert_eq!(occupancy(&world, B).sessions, 0);
    });
}

/// Guards that the window of epochs goes only where an authentic frame has named an epoch within reach.
#[test]
fn attack_14_epoch_jump_beyond_the_window_or_forged() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let mut peer = Peer::announced(&mut world, M, B);
        let first = peer.short(&text(0, "in epoch 0"));
        for bits in 0..32 {
            let mut forged = first.to_vec();
            forged[0] = forged[0] & !31 | bits;
            *forged.last_mut().unwrap() ^= 1;
            give(&mut world, B, &forged);
        }
        let near = peer.session.clone();
        (0..=AHEAD).for_each(|_| peer.session.advance());
        give(&mut world, B, &peer.short(&text(1, "one epoch too far")));
        (AHEAD..=EPOCH_MAX).for_each(|_| peer.session.advance());
        give(&mut world, B, &peer.session.preamble(&peer.me));
        assert_eq!(dropped(&world, B, "preamble of an epoch too far ahead"), 1);
        pass(&mut world, SECOND);
        assert!(world.nodes[B].inbox.is_empty(), "opened beyond the window");

        give(&mut world, B, &first);
        pass(&mut world, SECOND);
        assert_eq!(world.nodes[B].inbox.len(), 2, "the window has moved");
        peer.session = near;
        (0..AHEAD).for_each(|_| peer.session.advance());
        give(&mut world, B, &peer.short(&text(2, "as far as it goes")));
        pass(&mut world, SECOND);
        assert_eq!(world.nodes[B].inbox.len(), 4);
    });
}

/// What the sender's share of the key agreement is taken to be.
type Share = [u8; 32];

/// An announcement to B in the name of A with whatever share for `DH(a_s, B_p)`, all else as it has to be.
fn announcement(world: &mut World, share: impl FnOnce(&StaticSecret) -> Share) -> Vec<u8> {
    announcement_under(world, SUITE, share)
}

/// The same with the keys of a suite.
fn announcement_under(
    world: &mut World,
    suite: &[u8],
    share: impl FnOnce(&StaticSecret) -> Share,
) -> Vec<u8> {
    let (a, b) = (
        world.identity(A).card("a", 1, vec![]),
        world.identity(B).card("b", 1, vec![]),
    );
    let (a, b) = (a.body(), b.body());
    let seed: [u8; 32] = world.bytes(32).try_into().unwrap();
    let secret = StaticSecret::from(seed);
    let ephemeral = PublicKey::from(&secret).to_bytes();
    let agree = |key: [u8; 32]| secret.diffie_hellman(&PublicKey::from(key)).to_bytes();
    let (inbox, fresh) = (agree(b.inbox), agree(b.prekeys[0].key));
    // Who has B's inbox key has this one as well.
    let stolen = Stolen::from(&world.identity(B)).inbox;
    let fixed = stolen.diffie_hellman(&PublicKey::from(a.endpoints[0].key));
    let prekey = b.prekeys[0].id.to_be_bytes();
    let bound: [&[u8]; 7] = [
        suite,
        &a.root,
        &b.root,
        &a.endpoints[0].key,
        &b.inbox,
        &prekey,
        &ephemeral,
    ];
    let root = extract(
        &hash("session", &bound),
        &[&share(&secret), &inbox, &fresh, fixed.as_bytes()],
    );
    let outer = extract(&hash("preamble", &[&ephemeral, &b.inbox]), &[&inbox]);
    let outer = expand(&outer, "preamble", 0);
    let body = preamble::Body {
        sender_static: a.endpoints[0].key,
        sender_root: a.root,
        prekey: b.prekeys[0].id,
        generation: 0,
        epoch: 0,
        invitation: None,
    };
    let mut sealed = body.encode();
    let confirm = prf(&expand(&root, "confirm", 0), "preamble", &[&sealed]);
    let confirm: [u8; 12] = confirm.bytes()[..12].try_into().unwrap();
    let tag = ChaCha20Poly1305::new(outer.bytes().into()).encrypt_inout_detached(
        &confirm.into(),
        &ephemeral,
        sealed.as_mut_slice().into(),
    );
    let tag = tag.unwrap();
    [&preamble::MARK[..], &ephemeral, &confirm, &sealed, &tag].concat()
}

/// Guards that who has B's inbox key, and all cards, speaks to B as nobody else: without A's secret, or that of the
/// prekey, no announcement in A's name holds.
#[test]
fn attack_24_key_compromise_impersonation() {
    seeds(0..2, |seed| {
        let mut world = World::new(seed, &NAMES);
        let b = world.identity(B).card("b", 1, vec![]).body().clone();
        let a = world.identity(A).card("a", 1, vec![]).body().clone();
        let (inbox, own) = (
            Stolen::from(&world.identity(B)).inbox,
            Stolen::from(&world.identity(M)).endpoint,
        );
        let agree = |secret: &StaticSecret, key: [u8; 32]| {
            secret.diffie_hellman(&PublicKey::from(key)).to_bytes()
        };
        let prekey = b.prekeys[0].key;
        let forged = [
            announcement(&mut world, |_| [0; 32]),
            announcement(&mut world, |_| agree(&inbox, a.endpoints[0].key)),
            announcement(&mut world, |_| agree(&inbox, prekey)),
            announcement(&mut world, |_| agree(&own, prekey)),
            announcement(&mut world, |e| agree(e, prekey)),
            announcement(&mut world, |e| agree(e, a.endpoints[0].key)),
        ];
        for frame in &forged {
            give(&mut world, B, frame);
            pass(&mut world, 25 * MS);
            assert_eq!(occupancy(&world, B).sessions, 0, "a forged session");
        }
        assert_eq!(dropped(&world, B, "preamble that does not open"), 6);
        // The same with A's own secret holds, so the forgeries lack that and nothing else.
        let secret = Stolen::from(&world.identity(A)).endpoint;
        let genuine = announcement(&mut world, |_| agree(&secret, prekey));
        give(&mut world, B, &genuine);
        assert_eq!(occupancy(&world, B).sessions, 1);
    });
}

/// Guards that a session has the keys of one suite: what A announces under another one, an older or a longer, or under none,
/// opens nothing, though all else is as it has to be.
#[test]
fn attack_15_a_session_under_another_suite() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let prekey = world.identity(B).card("b", 1, vec![]).body().prekeys[0].key;
        let secret = Stolen::from(&world.identity(A)).endpoint;
        let share = |_: &StaticSecret| secret.diffie_hellman(&PublicKey::from(prekey)).to_bytes();
        let others: [&[u8]; 4] = [
            b"",
            b"ostrakon v1 X25519 HKDF-SHA256 BLAKE3 ChaCha20Poly1305",
            b"ostrakon v2 X25519 HKDF-SHA256 BLAKE3",
            b"ostrakon v2 X25519 X-Wing HKDF-SHA256 BLAKE3 ChaCha20Poly1305",
        ];
        for suite in others {
            let frame = announcement_under(&mut world, suite, share);
            give(&mut world, B, &frame);
            pass(&mut world, 25 * MS);
            let name = String::from_utf8_lossy(suite);
            assert_eq!(occupancy(&world, B).sessions, 0, "a session under `{name}`");
        }
        assert_eq!(dropped(&world, B, "preamble that does not open"), 4);
        let genuine = announcement(&mut world, share);
        give(&mut world, B, &genuine);
        assert_eq!(occupancy(&world, B).sessions, 1);
    });
}

/// Guards that a session is not announced by frames of another version: a genuine one under any other number is counted and
/// opens nothing, and still holds as it was.
#[test]
fn attack_15_a_preamble_of_another_version() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let peer = Peer::new(&mut world, M, B);
        let genuine = peer.session.preamble(&peer.me);
        for version in (0..=255).filter(|version| *version != genuine[1]) {
            let mut frame = genuine.clone();
            frame[1] = version;
            give(&mut world, B, &frame);
            pass(&mut world, 25 * MS);
            assert_eq!(occupancy(&world, B).sessions, 0, "version {version}");
        }
        // One of them would be of a session by an invitation, and one a piece of a frame.
        assert_eq!(dropped(&world, B, "unknown extended kind"), 253);
        give(&mut world, B, &genuine);
        assert_eq!(occupancy(&world, B).sessions, 1);
    });
}

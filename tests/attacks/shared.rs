//! Messages to several: what one recipient can do to another, and what one gets who is none.

use crate::harness::*;
use crate::manifests::coded;
use crate::world::{MS, SECOND, Spec, World};
use ostrakon::engine::id::PersonId;
use ostrakon::engine::io::Event;
use ostrakon::engine::message::Priority;
use ostrakon::security::identity::Identity;
use ostrakon::security::kdf::Key;
use ostrakon::security::seal::MessageKeys;
use ostrakon::security::shared::{content_keys, sign, unsigned};
use ostrakon::wire::fragment::{Kind, Place};
use ostrakon::wire::manifest::{Body, Manifest};

/// A manifest of one coded part that this identity sends to these.
pub fn to_several(from: &Identity, to: &[PersonId], digest: [u8; 32]) -> Manifest {
    let mut manifest = coded(1, 1344, digest);
    let recipients = to.iter().copied().collect();
    manifest.shared = Some(unsigned(recipients, Some(&Key::new([7; 32]))));
    signed(from, manifest)
}

fn signed(from: &Identity, mut manifest: Manifest) -> Manifest {
    let id = manifest.message_id(from.person(), from.person());
    if let Some(shared) = &mut manifest.shared {
        shared.signature = sign(from, id);
    }
    manifest
}

/// Gives a node a manifest from a peer, under its own label.
pub fn announce(world: &mut World, to: usize, peer: &Peer, manifest: &Manifest) {
    for chunk in peer.chunks(&peer.keys(manifest), &manifest.encode()) {
        give(world, to, &chunk);
    }
    pass(world, 20 * MS);
}

/// What M, to whom a message of A goes as well, seals for B: symbols of nothing.
fn made_up(keys: &MessageKeys, manifest: &Manifest) -> Vec<bytes::Bytes> {
    let Body::Coded { len, coding, .. } = manifest.parts[0].body else {
        panic!("a part inline");
    };
    let symbol = u64::from(coding.slice_len) * u64::from(coding.slices);
    let symbols = (0..len.div_ceil(symbol)).map(|symbol_number| {
        let place = Place {
            part: 1,
            symbol: symbol_number as u16,
            ..Place::SHORT
        };
        keys.seal(Kind::Narrow, &place, &vec![0xee; symbol as usize])
    });
    symbols.collect()
}

/// Guards that a recipient who makes symbols up cannot keep the message from the others: what was spoiled is thrown away, and
/// the sender seals it to each victim alone. However long he goes on, the true file comes out.
#[test]
fn attack_20_pollution_by_a_co_recipient() {
    seeds(0..3, |seed| {
        let mut world = World::new(seed, &NAMES);
        let file = world.bytes(3_000 + 20_000 * seed as usize);
        let link = world.link(A, B, &Spec::default());
        world.set_link_silently(link, false);
        world.nodes[A].keep_sent = true;
        let id = world.send_to(A, &[B, M], &[("map", file.clone(), Priority::Normal)]);
        pass(&mut world, SECOND);
        let frames = std::mem::take(&mut world.nodes[A].sent);
        // M reads its manifest, as it may, and has the key.
        let manifest = manifests(&world, M, A, &frames).remove(0);
        let shared = manifest.shared.as_ref().unwrap();
        let keys = content_keys(&shared.content.as_ref().unwrap().key, id);
        let lies = made_up(&keys, &manifest);
        // B gets its own manifest, and then symbols of M before those of A.
        let label = keys.label();
        for frame in frames.iter().filter(|frame| frame[1..7] != label) {
            give(&mut world, B, frame);
        }
        assert_eq!(world.status(B).inbound.len(), 1);
        lies.iter().for_each(|frame| give(&mut world, B, frame));
        pass(&mut world, SECOND);
        let spoiled = Event::Spoiled {
            message: id,
            part: 1,
        };
        assert!(world.nodes[B].events.contains(&spoiled));
        world.set_link_silently(link, true);
        // What was decided outlasts a power cut.
        if seed > 0 {
            world.kill(B, true);
            world.start(B);
        }
        for _ in 0..60 {
            lies.iter().for_each(|frame| give(&mut world, B, frame));
            pass(&mut world, SECOND);
        }
        assert!(world.content(B, id, 1) == Some(file));
        assert!(world.delivered(B, id));
        assert!(world.confirmed_by(A, id, B), "A was not told");
        let spoiled = world.nodes[B].events.iter().filter(|e| **e == spoiled);
        assert_eq!(spoiled.count(), 1);
        assert!(dropped(&world, B, "symbol for several that is not needed here") > 0);
    });
}

/// Guards that all recipients hold the one content key that was committed to: a ChaCha20-Poly1305 frame can be made to open
/// under two, and would say something else to each.
#[test]
fn attack_21_one_ciphertext_for_two_keys() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let to_b = Peer::announced(&mut world, M, B);
        let to_a = Peer::announced(&mut world, M, A);
        let file = world.bytes(1344);
        let to = [world.person(A), world.person(B)];
        let honest = to_several(&to_b.me, &to, *blake3::hash(&file).as_bytes());
        let mut other = honest.clone();
        let shared = other.shared.as_mut().unwrap();
        shared.content.as_mut().unwrap().key = Key::new([8; 32]);
        let id = to_b.id(&honest);
        assert_eq!(id, to_a.id(&other), "one message, signed once");
        let before = state(&world, A);
        announce(&mut world, A, &to_a, &other);
        assert!(state(&world, A) == before, "another key was taken");
        let why = "content key that is not the committed one";
        assert_eq!(dropped(&world, A, why), 1);
        // The committed one is taken by both, and one frame serves them.
        announce(&mut world, A, &to_a, &honest);
        announce(&mut world, B, &to_b, &honest);
        let place = Place {
            part: 1,
            ..Place::SHORT
        };
        let frame = content_keys(&Key::new([7; 32]), id).seal(Kind::Narrow, &place, &file);
        for node in [A, B] {
            give(&mut world, node, &frame);
            pass(&mut world, SECOND);
            assert!(world.content(node, id, 1).as_ref() == Some(&file));
        }
    });
}

/// Guards that a message to several says truly who has sent it and who else gets it: a list without its reader, a list with
/// one more or one less, a manifest of A in the name of M, and one that is signed by somebody else in a session of A are refused.
#[test]
fn attack_23_envelopes_swapped_or_list_spliced() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &["a", "b", "m", "d"]);
        let from_a = Peer::announced(&mut world, A, B);
        let from_m = Peer::announced(&mut world, M, B);
        let file = world.bytes(1344);
        let digest = *blake3::hash(&file).as_bytes();
        let person = |node| world.person(node);
        let (b, m, d) = (person(B), person(M), person(3));
        let honest = to_several(&from_a.me, &[b, m], digest);
        let with_list = |to: &[PersonId]| {
            let mut spliced = honest.clone();
            spliced.shared.as_mut().unwrap().recipients = to.iter().copied().collect();
            spliced
        };
        let wrong = "message to several with a wrong signature";
        let cases = [
            (&from_a, with_list(&[b, m, d]), wrong),
            (&from_a, with_list(&[b, d]), wrong),
            (&from_m, honest.clone(), wrong),
            (&from_a, signed(&from_m.me, honest.clone()), wrong),
            (
                &from_a,
                to_several(&from_a.me, &[m, d], digest),
                "message to several without us",
            ),
        ];
        let before = state(&world, B);
        for (index, (peer, manifest, why)) in cases.iter().enumerate() {
            let count = dropped(&world, B, why);
            announce(&mut world, B, peer, manifest);
            assert!(state(&world, B) == before, "case {index} was taken");
            assert_eq!(dropped(&world, B, why), count + 1, "case {index}");
        }
        announce(&mut world, B, &from_a, &honest);
        assert!(state(&world, B) != before, "the genuine one was refused");
    });
}

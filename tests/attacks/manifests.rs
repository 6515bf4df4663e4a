//! Manifests that lie: a contact seals them, so they are authentic.

use crate::harness::*;
use crate::world::{MS, SECOND, Spec, World};
use ostrakon::engine::geometry::Coding;
use ostrakon::engine::io::Table;
use ostrakon::engine::message::Priority;
use ostrakon::wire::fragment::{Kind, Place};
use ostrakon::wire::manifest::{Body, Lifetime, Manifest, PartEntry};

/// A manifest of one coded part of this length.
pub fn coded(salt: u8, len: u64, digest: [u8; 32]) -> Manifest {
    let part = PartEntry {
        id: 1,
        priority: Priority::Normal.code(),
        lifetime: Lifetime(0),
        media_type: "application/octet-stream".into(),
        name: "map".into(),
        body: Body::Coded {
            len,
            digest,
            coding: Coding::choose(len),
        },
    };
    Manifest {
        salt: [salt; 8],
        created: None,
        parts: vec![part],
        shared: None,
    }
}

/// Gives B a manifest that M seals under the label of `named`.
fn announce(world: &mut World, peer: &Peer, named: &Manifest, bytes: &[u8]) {
    for chunk in peer.chunks(&peer.keys(named), bytes) {
        give(world, B, &chunk);
    }
}

/// The symbol of a part of one symbol.
fn symbol(world: &mut World, peer: &Peer, manifest: &Manifest, content: &[u8]) {
    let place = Place {
        part: 1,
        ..Place::SHORT
    };
    let frame = peer.keys(manifest).seal(Kind::Narrow, &place, content);
    give(world, B, &frame);
}

/// Guards that the coding of a part is fixed with its message: a manifest with other parameters is none of that message,
/// neither before the true one nor after it.
#[test]
fn attack_16_coding_parameters_changed_under_one_id() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.link(M, B, &Spec::default());
        let peer = Peer::announced(&mut world, M, B);
        let file = world.bytes(192 * 7);
        let manifest = coded(1, file.len() as u64, *blake3::hash(&file).as_bytes());
        let mut changed = manifest.clone();
        let Body::Coded { coding, .. } = &mut changed.parts[0].body else {
            panic!("a part inline");
        };
        (coding.slice_len, coding.slices) = (336, 4);
        let before = state(&world, B);
        announce(&mut world, &peer, &manifest, &changed.encode());
        assert!(state(&world, B) == before, "taken before the true one");
        assert_eq!(dropped(&world, B, "manifest under another label"), 1);
        announce(&mut world, &peer, &manifest, &manifest.encode());
        let before = state(&world, B);
        assert_eq!(before.0.len(), 1);
        announce(&mut world, &peer, &manifest, &changed.encode());
        assert!(state(&world, B) == before, "taken after the true one");
        symbol(&mut world, &peer, &manifest, &file);
        pass(&mut world, SECOND);
        assert!(world.content(B, peer.id(&manifest), 1) == Some(file));
    });
}

/// Rows of B, but for that of its own lives: it has one a day.
fn rows(world: &World) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let mut rows = world.nodes[B].disk.restored().rows;
    rows.retain(|(_, key, _)| key != b"i");
    rows
}

/// Guards that nothing is made for what a manifest claims beyond the limits: no file, no row, no message.
#[test]
fn attack_17_absurd_sizes_in_a_manifest() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.limits.part_bytes = 1_000_000;
        world.limits.message_bytes = 1_500_000;
        world.kill(B, false);
        world.start(B);
        let peer = Peer::announced(&mut world, M, B);
        pass(&mut world, SECOND);
        let (before, rows) = (state(&world, B), rows(&world));
        let mut absurd: Vec<Manifest> = [1_000_001, 5_000_000, 1 << 41, (1 << 62) - 1]
            .iter()
            .map(|len| coded(1, *len, [1; 32]))
            .collect();
        let mut many = coded(2, 900_000, [1; 32]);
        let second = PartEntry {
            id: 2,
            ..many.parts[0].clone()
        };
        many.parts.push(second);
        absurd.push(many);
        for (slice_len, slices, block_symbols, repair) in [
            (0, 7, 64, 64),
            (192, 0, 64, 64),
            (192, 9, 64, 64),
            (192, 7, 0, 64),
            (192, 7, u16::MAX, u16::MAX),
            (u16::MAX, 8, 4096, 4096),
        ] {
            let mut manifest = coded(3, 900_000, [1; 32]);
            let Body::Coded { coding, .. } = &mut manifest.parts[0].body else {
                panic!("a part inline");
            };
            *coding = Coding {
                scheme: coding.scheme,
                slice_len,
                slices,
                block_symbols,
                repair,
            };
            absurd.push(manifest);
        }
        for (index, manifest) in absurd.iter().enumerate() {
            announce(&mut world, &peer, manifest, &manifest.encode());
            pass(&mut world, SECOND);
            assert!(state(&world, B) == before, "claim {index} was taken");
            assert!(self::rows(&world) == rows);
        }
        assert_eq!(dropped(&world, B, "manifest claims too much"), 3);
        assert_eq!(dropped(&world, B, "malformed manifest"), 8);
    });
}

/// Guards that a manifest ends where it says, and that its lengths are those of its bytes.
#[test]
fn attack_18_lying_length_or_trailing_data() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.link(M, B, &Spec::default());
        let peer = Peer::announced(&mut world, M, B);
        pass(&mut world, SECOND);
        let before = state(&world, B);
        let honest = coded(1, 1344, [1; 32]);
        let text = text(2, "water at the bridge");
        for manifest in [&honest, &text] {
            let bytes = manifest.encode();
            let mut longer = bytes.clone();
            longer.push(0);
            announce(&mut world, &peer, manifest, &longer);
            announce(&mut world, &peer, manifest, &bytes[..bytes.len() - 1]);
            assert!(state(&world, B) == before);
        }
        for claimed in [0, 18, 20, 0xffff] {
            let mut bytes = text.encode();
            let at = bytes.len() - 19 - 2;
            bytes[at..at + 2].copy_from_slice(&u16::to_be_bytes(claimed));
            let keys = peer.keys(&text);
            give(
                &mut world,
                B,
                &keys.seal(Kind::Short, &Place::SHORT, &bytes),
            );
            assert!(state(&world, B) == before, "length {claimed} was taken");
        }
    });
}

/// Guards that nobody can take the id of somebody else's message: the same bytes from another sender are another message,
/// and both come out.
#[test]
fn attack_37_forced_id_collision() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let (m, a) = (
            Peer::announced(&mut world, M, B),
            Peer::announced(&mut world, A, B),
        );
        let text = text(1, "water at the bridge");
        for peer in [&m, &a] {
            give(&mut world, B, &peer.short(&text));
            pass(&mut world, 200 * MS);
            assert!(world.delivered(B, peer.id(&text)));
        }
        assert_eq!(world.nodes[B].inbox.len(), 4, "two texts of one part");
    });
}

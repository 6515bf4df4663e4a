//! Fragments changed, moved, cut, or made up of pieces that do not fit.

use crate::harness::*;
use crate::manifests::coded;
use crate::world::{MS, SECOND, Spec, World};
use bytes::Bytes;
use ostrakon::engine::message::Priority;
use ostrakon::wire::fragment::{Kind, Place, View};

/// Where in a fragment its hint ends and the masked place begins.
const PLACE: usize = 9;

fn kind(frame: &[u8]) -> Option<Kind> {
    View::parse(frame).ok().map(|view| view.kind)
}

/// Guards that a frame with any one bit other than it was sealed changes nothing, be it an announcement, a manifest, a
/// text or a piece of a file, and that the frame as it was is taken afterwards.
#[test]
fn attack_01_any_bit_flipped() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let small = world.bytes(3_000);
        let (_, file) = recorded(&mut world, &[&[("map", small, Priority::Normal)]]);
        let text = Peer::new(&mut world, M, B);
        let announced = Bytes::from(text.session.preamble(&text.me));
        let text = text.short(&crate::harness::text(1, "water at the bridge"));
        let preamble = file.iter().find(|f| is_preamble(f)).unwrap().clone();
        let mut fragments = file.into_iter().filter(|f| !is_preamble(f));
        let frames = [announced, text, preamble]
            .into_iter()
            .chain(fragments.by_ref().take(2));
        for (index, frame) in frames.enumerate() {
            pass(&mut world, SECOND);
            let before = state(&world, B);
            for bit in 0..frame.len() * 8 {
                let mut bad = frame.to_vec();
                bad[bit / 8] ^= 1 << (bit % 8);
                give(&mut world, B, &bad);
                if is_preamble(&frame) {
                    // No more are examined than so many a second.
                    pass(&mut world, 25 * MS);
                }
                assert!(
                    state(&world, B) == before,
                    "bit {bit} of frame {index} did something"
                );
            }
            give(&mut world, B, &frame);
            assert!(
                state(&world, B) != before,
                "frame {index} itself did nothing"
            );
        }
    });
}

/// Guards that a fragment is worth something only where it was sealed for: not in another message, part, symbol, kind or
/// epoch, nor with another person, nor, sealed by a contact, in the kind that its part does not use.
#[test]
fn attack_02_a_fragment_moved() {
    seeds(0..2, |seed| {
        let mut world = World::new(seed, &NAMES);
        let files = [world.bytes(3_000), world.bytes(3_000)];
        let parts = files.clone().map(|file| ("map", file, Priority::Normal));
        let (ids, frames) = recorded(&mut world, &[&parts, &parts]);
        let mut labels: Vec<&[u8]> = frames
            .iter()
            .filter(|f| !is_preamble(f))
            .map(|f| &f[1..PLACE])
            .collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), 2);
        let is_symbol = |f: &&Bytes| f.len() > 222;
        for frame in frames.iter().filter(|f| !is_symbol(f)) {
            give(&mut world, B, frame);
        }
        pass(&mut world, SECOND);
        let before = state(&world, B);
        assert_eq!(before.0.len(), 2, "both are known");
        for frame in frames.iter().filter(is_symbol) {
            let mut moved = frame.to_vec();
            let other = labels.iter().find(|label| frame[1..PLACE] != ***label);
            moved[1..PLACE].copy_from_slice(other.unwrap());
            give(&mut world, B, &moved);
            for first in (0..=u8::MAX).filter(|first| *first != frame[0]) {
                let mut moved = frame.to_vec();
                moved[0] = first;
                give(&mut world, B, &moved);
            }
            // The mask lets who knows a place write another one.
            for (at, change) in [(0, 3), (1, 1), (2, 8), (2, 1)] {
                let mut moved = frame.to_vec();
                moved[PLACE + at] ^= change;
                give(&mut world, B, &moved);
            }
            give(&mut world, M, frame);
        }
        assert!(state(&world, B) == before);
        assert!(state(&world, M).0.is_empty());
        let peer = Peer::announced(&mut world, M, B);
        wrong_kind(&mut world, &peer);
        for frame in &frames {
            give(&mut world, B, frame);
        }
        pass(&mut world, SECOND);
        for id in ids {
            assert!(world.delivered(B, id));
            for (part, file) in files.iter().enumerate() {
                assert!(world.content(B, id, part as u8 + 1).as_ref() == Some(file));
            }
        }
    });
}

/// A contact seals narrow fragments for a part of several blocks, where they would all be of the first one.
fn wrong_kind(world: &mut World, peer: &Peer) {
    let large = coded(7, 3_000_000, [7; 32]);
    let keys = peer.keys(&large);
    for chunk in peer.chunks(&keys, &large.encode()) {
        give(world, B, &chunk);
    }
    let before = state(world, B);
    let place = Place {
        part: 1,
        ..Place::SHORT
    };
    let narrow = keys.seal(Kind::Narrow, &place, &[1; 192]);
    assert_eq!(kind(&narrow), Some(Kind::Narrow));
    give(world, B, &narrow);
    assert!(state(world, B) == before, "a narrow fragment was taken");
    assert_eq!(dropped(world, B, "fragment out of range"), 1);
    let wide = keys.seal(Kind::Wide, &place, &[1; 192]);
    give(world, B, &wide);
    assert!(state(world, B) != before, "a wide fragment was not taken");
}

/// Guards that a fragment cut or made longer does nothing, and that a contact's runs of slices are taken only if they are
/// whole slices within a symbol.
#[test]
fn attack_03_truncated_extended_or_another_run() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let file = world.bytes(3_000);
        let (_, frames) = recorded(&mut world, &[&[("map", file, Priority::Normal)]]);
        for frame in frames.iter().take(6) {
            let before = state(&world, B);
            for len in 0..frame.len() {
                give(&mut world, B, &frame[..len]);
            }
            for longer in 1..40 {
                give(&mut world, B, &[&frame[..], &vec![0; longer]].concat());
                give(&mut world, B, &[&frame[..], &frame[..longer]].concat());
            }
            pass(&mut world, SECOND);
            assert!(state(&world, B) == before);
            give(&mut world, B, frame);
        }
        assert_eq!(state(&world, B).0.len(), 1, "the frames themselves count");
        let peer = Peer::announced(&mut world, M, B);
        let part = coded(7, 3_000_000, [7; 32]);
        let keys = peer.keys(&part);
        for chunk in peer.chunks(&keys, &part.encode()) {
            give(&mut world, B, &chunk);
        }
        let before = state(&world, B);
        for (slice, len) in [
            (0, 0),
            (0, 1),
            (0, 191),
            (0, 193),
            (3, 192 * 2 + 64),
            (0, 192 * 8),
            (6, 192 * 2),
            (7, 192),
        ] {
            let place = Place {
                part: 1,
                slice,
                ..Place::SHORT
            };
            give(&mut world, B, &keys.seal(Kind::Wide, &place, &vec![1; len]));
            assert!(
                state(&world, B) == before,
                "{len} bytes from slice {slice} were taken"
            );
        }
        assert_eq!(dropped(&world, B, "fragment out of range"), 8);
    });
}

/// Guards that slices of one place with other bytes never come out as a file: a contact who seals two versions of a part
/// is refused by its digest.
#[test]
fn attack_19_overlapping_symbols_with_other_bytes() {
    seeds(0..2, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.link(M, B, &Spec::default());
        let peer = Peer::announced(&mut world, M, B);
        let file = world.bytes(192 * 7);
        let part = coded(7, file.len() as u64, *blake3::hash(&file).as_bytes());
        let keys = peer.keys(&part);
        for chunk in peer.chunks(&keys, &part.encode()) {
            give(&mut world, B, &chunk);
        }
        let mut other = file.clone();
        other[192 * 3] ^= 1;
        other[192 * 4] ^= 1;
        let runs = [(&other, 0, 5), (&file, 0, 3), (&other, 4, 7), (&file, 5, 7)];
        for (bytes, from, to) in runs {
            let place = Place {
                part: 1,
                slice: from as u8,
                ..Place::SHORT
            };
            let run = &bytes[192 * from..192 * to];
            give(&mut world, B, &keys.seal(Kind::Narrow, &place, run));
        }
        pass(&mut world, 2 * SECOND);
        let id = peer.id(&part);
        let refused = ostrakon::engine::io::Event::DigestMismatch {
            message: id,
            part: 1,
        };
        assert!(world.nodes[B].events.contains(&refused));
        assert!(world.content(B, id, 1).is_none() && world.nodes[B].inbox.is_empty());
    });
}

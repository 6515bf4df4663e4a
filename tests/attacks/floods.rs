//! Garbage in any amount: what it costs is bounded, and what is genuine still gets through.

use crate::harness::*;
use crate::world::{SECOND, Spec, World};
use ostrakon::engine::message::Priority;
use ostrakon::security::session::AHEAD;
use rand_core::Rng;

/// Frames of random bytes that look like fragments.
fn garbage(world: &mut World, len: usize) -> Vec<u8> {
    let mut frame = vec![0; len];
    world.rng.fill_bytes(&mut frame);
    frame[0] = [0x20, 0x40, 0x60][usize::from(frame[0]) % 3] | (frame[0] & 31);
    frame
}

/// Guards that garbage behind a label and hint that are genuine, of an epoch to come, begins nothing and keeps nothing back:
/// neither the message that they belong to nor one of an epoch that is soon to go.
#[test]
fn attack_06_garbage_with_a_valid_hint() {
    seeds(0..2, |seed| {
        let mut world = World::new(seed, &NAMES);
        let mut peer = Peer::announced(&mut world, M, B);
        let (early, late) = (text(1, "water at the bridge"), text(2, "and at the tower"));
        let old = (peer.id(&early), peer.short(&early));
        (0..AHEAD).for_each(|_| peer.session.advance());
        let genuine = peer.short(&late);
        pass(&mut world, SECOND);
        let before = state(&world, B);
        for len in 30..530 {
            for kind in [0x20, 0x40, 0x60] {
                let mut frame = garbage(&mut world, len);
                frame[..9].copy_from_slice(&genuine[..9]);
                frame[0] = kind | (genuine[0] & 31);
                give(&mut world, B, &frame);
            }
        }
        assert!(state(&world, B) == before);
        assert_eq!(dropped(&world, B, "fragment of an unknown session"), 1500);
        for (id, frame) in [old, (peer.id(&late), genuine)] {
            give(&mut world, B, &frame);
            pass(&mut world, SECOND);
            assert!(world.delivered(B, id));
        }
    });
}

/// Guards that fragments of labels that nobody knows fill a quarantine of fixed size and nothing else.
#[test]
fn attack_07_random_ids() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let peer = Peer::announced(&mut world, M, B);
        let most = world.limits.quarantine_bytes;
        let rows = world.nodes[B].disk.restored().rows.len();
        for _ in 0..20_000 {
            let len = 28 + world.below(1300) as usize;
            let frame = garbage(&mut world, len);
            let link = world.below(4) as u32;
            give_by(&mut world, B, link, &frame);
        }
        let now = occupancy(&world, B);
        assert!(now.quarantine_bytes <= most, "{now:?}");
        assert_eq!((now.inbox_messages, now.sessions), (0, 1));
        assert_eq!(world.nodes[B].disk.restored().rows.len(), rows);
        drop(peer);
    });
}

/// Guards that no flood of labels that nobody knows has more hints compared than a link may ask for, and that another link
/// is not held up by it, nor this one for longer than a second.
#[test]
fn attack_07_a_flood_of_random_ids() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        // A full quarantine is attack 8.
        world.limits.quarantine_bytes = 64 << 20;
        world.kill(B, false);
        world.start(B);
        let sessions = world.limits.sessions_per_endpoint;
        let peers: Vec<Peer> = (0..sessions)
            .map(|_| Peer::announced(&mut world, M, B))
            .collect();
        let most = u64::from(world.limits.hints_per_second) / sessions as u64;
        pass(&mut world, SECOND);
        for _ in 0..2 * most {
            let frame = garbage(&mut world, 30);
            give_by(&mut world, B, 7, &frame);
        }
        assert_eq!(dropped(&world, B, "fragment of an unknown session"), most);
        let refused = dropped(&world, B, "too many fragments of unknown messages");
        assert_eq!(refused, most);
        let (same, other) = (text(1, "water at the bridge"), text(2, "and at the tower"));
        give_by(&mut world, B, 7, &peers[0].short(&same));
        give_by(&mut world, B, 8, &peers[0].short(&other));
        pass(&mut world, SECOND);
        assert!(!world.delivered(B, peers[0].id(&same)));
        assert!(world.delivered(B, peers[0].id(&other)));
        give_by(&mut world, B, 7, &peers[0].short(&same));
        pass(&mut world, SECOND);
        assert!(world.delivered(B, peers[0].id(&same)));
    });
}

/// Guards that a quarantine that others have filled stands in nobody's way: what it has lost comes anew, and a session
/// that is known needs none.
#[test]
fn attack_08_the_quarantine_flooded() {
    seeds(0..2, |seed| {
        let mut world = World::new(seed, &NAMES);
        let file = world.bytes(200_000);
        let (ids, early) = recorded(&mut world, &[&[("map", file.clone(), Priority::Normal)]]);
        for frame in early.iter().filter(|f| !is_preamble(f)) {
            give(&mut world, B, frame);
        }
        let flood = |world: &mut World| {
            for index in 0..2_000 {
                // The last ones leave no gap.
                let frame = garbage(world, if index < 1_800 { 1300 } else { 28 });
                give(world, B, &frame);
            }
        };
        flood(&mut world);
        assert!(state(&world, B).0.is_empty());
        world.set_link_silently(0, true);
        let end = world.now + 600 * SECOND;
        assert!(world.run_until(end, |w| w.confirmed(A, ids[0])));
        assert!(world.content(B, ids[0], 1) == Some(file));
        flood(&mut world);
        let id = world.send(A, B, &[("", b"water".to_vec(), Priority::Urgent)]);
        let end = world.now + 600 * SECOND;
        assert!(world.run_until(end, |w| w.confirmed(A, id)));
    });
}

/// Guards that forged announcements cost a bounded number of key agreements, whatever their number, and that a genuine one
/// by another link is examined at once.
#[test]
fn attack_09_a_flood_of_preambles() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.link(M, B, &Spec::default());
        let peer = Peer::new(&mut world, M, B);
        let genuine = peer.session.preamble(&peer.me);
        let per_second = u64::from(world.limits.preambles_per_second);
        for second in 1..=3 {
            for _ in 0..5_000 {
                let mut forged = genuine.clone();
                world.rng.fill_bytes(&mut forged[2..34]);
                give_by(&mut world, B, 7, &forged);
            }
            pass(&mut world, SECOND);
            let examined = dropped(&world, B, "preamble that does not open");
            let most = per_second * (second + 1);
            assert!(examined <= most, "{examined} examined in {second} s");
            let refused = dropped(&world, B, "too many preambles");
            assert_eq!(examined + refused, 5_000 * second);
        }
        assert_eq!(occupancy(&world, B).sessions, 0);
        give_by(&mut world, B, 8, &genuine);
        assert_eq!(occupancy(&world, B).sessions, 1);
    });
}

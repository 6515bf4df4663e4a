//! Homes from one image: whoever goes on from an older state of a disk, or from a copy of it, is found out.

use crate::harness::*;
use crate::world::{SECOND, Spec, World};
use ostrakon::engine::io::Event;
use ostrakon::engine::message::Priority;
use ostrakon::wire::incarnation::{Incarnation, Note};
use ostrakon::wire::manifest::INCARNATION;
use std::collections::BTreeSet;
use std::time::Duration;

const DAY: u64 = 24 * 3600 * SECOND;

/// A text each way, and time for what has to be told beside.
fn talk(world: &mut World, one: usize, other: usize) {
    for (from, to) in [(one, other), (other, one)] {
        let id = world.send(from, to, &[("", b"here I am".to_vec(), Priority::Urgent)]);
        pass(world, 20 * SECOND);
        assert!(world.confirmed(from, id), "{from} to {to}");
    }
}

fn restart(world: &mut World, node: usize) {
    world.kill(node, true);
    world.start(node);
}

/// The keys that sessions of a node were announced with.
fn announced(world: &World, node: usize) -> BTreeSet<Vec<u8>> {
    let sent = world.nodes[node].sent.iter();
    let preambles = sent.filter(|frame| is_preamble(frame));
    preambles.map(|frame| frame[2..34].to_vec()).collect()
}

/// Guards that an image of a disk that is put back later, or a disk that is lost, is noticed at both ends, and that the
/// restored home leaves the sessions that its later self may have gone on with.
#[test]
fn attack_12_a_restored_home_is_found_out() {
    seeds(0..4, |seed| {
        let mut world = World::new(seed, &NAMES);
        world.link(A, B, &Spec::default());
        world.nodes[A].keep_sent = true;
        talk(&mut world, A, B);
        let backup = match seed % 2 {
            0 => world.nodes[A].disk.clone(),
            _ => Default::default(),
        };
        for _ in 0..=seed {
            restart(&mut world, A);
            talk(&mut world, A, B);
        }
        assert!(!world.status(A).went_back && world.status(B).peers_went_back.is_empty());
        let before = announced(&world, A);
        world.kill(A, true);
        world.nodes[A].disk = backup;
        world.start(A);
        talk(&mut world, A, B);
        assert!(world.status(A).went_back, "its owner is warned");
        let warned = world.status(B).peers_went_back;
        assert_eq!(warned, [world.person(A)], "and who talks to him");
        talk(&mut world, A, B);
        let after = announced(&world, A);
        assert!(after.difference(&before).next().is_some(), "a new session");
        let told = Event::HomeWentBack {
            by: world.person(B),
        };
        let times = world.nodes[A].events.iter().filter(|event| **event == told);
        assert_eq!(times.count(), 1);
    });
}

/// Guards that two devices from one image, both in use, are found out by whom they talk to and by one of them within a day,
/// and by the other in the next.
#[test]
fn attack_12_two_devices_from_one_image() {
    seeds(0..4, |seed| {
        let mut world = World::new(seed, &NAMES);
        // Fresh keys, which the two would have against each other, would find them out as well.
        world.limits.generation_every = Duration::from_nanos(30 * DAY);
        [A, B]
            .into_iter()
            .for_each(|node| restart(&mut world, node));
        world.link(A, B, &Spec::default());
        talk(&mut world, A, B);
        world.kill(M, true);
        world.nodes[M].keys = world.nodes[A].keys.clone();
        world.nodes[M].disk = world.nodes[A].disk.clone();
        world.start(M);
        world.link(M, B, &Spec::default());
        for _ in 0..5 {
            for node in [A, M] {
                let id = world.send(node, B, &[("", b"it is me".to_vec(), Priority::Urgent)]);
                pass(&mut world, DAY / 4);
                assert!(world.delivered(B, id));
            }
        }
        assert_eq!(world.status(B).peers_went_back, [world.person(A)]);
        assert!(world.status(A).went_back && world.status(M).went_back);
    });
}

/// Guards that a contact who lies about what he has heard costs a warning and a new session once an hour, and no more.
#[test]
fn attack_12_a_liar_is_heard_once_an_hour() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let peer = Peer::announced(&mut world, M, A);
        for n in 0..=255 {
            let life = Incarnation {
                number: 100 + u32::from(n),
                mark: [n; 8],
            };
            let lie = Note {
                wants_answer: true,
                went_back: true,
                own: life,
                seen: Some(life),
                to: None,
            };
            give(&mut world, A, &peer.control(n, INCARNATION, &lie.encode()));
            pass(&mut world, SECOND);
        }
        let count = |told: fn(&Event) -> bool| {
            let events = world.nodes[A].events.iter();
            events.filter(|event| told(event)).count()
        };
        assert_eq!(count(|e| matches!(e, Event::HomeWentBack { .. })), 1);
        assert_eq!(count(|e| matches!(e, Event::PeerWentBack { .. })), 1);
    });
}

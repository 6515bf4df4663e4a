//! Several endpoints of one person, all in use at the same time.

use crate::harness::*;
use crate::nonces::Oracle;
use crate::world::{MS, SECOND, Spec, World};
use ostrakon::engine::id::MessageId;
use ostrakon::engine::message::Priority;
use std::time::Duration;

/// A contact, and a person with two endpoints.
const PEOPLE: [&str; 3] = ["a", "b", "b again"];
const B2: usize = 2;

fn world(seed: u64) -> World {
    let mut world = World::new(seed, &PEOPLE);
    world.enrol(B2, B);
    world
}

/// What the applications of both endpoints have of a message, part by part, and that each has it once.
fn assert_delivered(world: &World, node: usize, id: MessageId, parts: &[Vec<u8>]) {
    assert!(world.delivered(node, id), "{node} has {id:?}");
    for (part, content) in (1..).zip(parts) {
        assert!(world.content(node, id, part).as_ref() == Some(content));
    }
}

/// Sends to a person with two endpoints, over a line that both hear and links of their own, which are cut now and then. With
/// an oracle, which hears the sender, everybody's power is as well.
fn receive_at_once(seed: u64, mut oracle: Option<Oracle>) {
    let mut world = world(seed);
    let mut hear = |world: &mut World| {
        if let Some(oracle) = &mut oracle {
            oracle.hear_of(world, A);
        }
        oracle.is_some()
    };
    hear(&mut world);
    let spec = |direct| Spec {
        rate: 2_000_000,
        loss: 0.05,
        direct,
        ..Spec::default()
    };
    let line = world.link(A, B, &spec(false));
    world.join(line, B2);
    let own = [B, B2].map(|node| world.link(A, node, &spec(true)));
    let mut messages = Vec::new();
    for round in 0..6 {
        let parts = [world.bytes(100), world.bytes(200_000)];
        messages.push((send(&mut world, A, B, &parts), parts));
        let wait = 100 * MS + world.below(SECOND);
        pass(&mut world, wait);
        let node = round % 3;
        world.set_link(own[round % 2], false);
        let kills = hear(&mut world);
        if kills {
            world.kill(node, true);
        }
        pass(&mut world, SECOND);
        if kills {
            world.start(node);
        }
        world.set_link(own[round % 2], true);
    }
    let end = world.now + 300 * SECOND;
    let all = |w: &World| {
        let both = |(id, _): &(MessageId, _)| w.delivered(B, *id) && w.delivered(B2, *id);
        messages.iter().all(both)
    };
    assert!(world.run_until(end, all));
    hear(&mut world);
    for (id, parts) in &messages {
        assert!(world.confirmed(A, *id));
        for node in [B, B2] {
            assert_delivered(&world, node, *id, parts);
        }
    }
    let before = [B, B2].map(|node| world.nodes[node].inbox_writes);
    pass(&mut world, 300 * SECOND);
    let after = [B, B2].map(|node| world.nodes[node].inbox_writes);
    assert_eq!(before, after, "nothing comes a second time");
    assert!(world.status(A).outbound.is_empty());
    let told = [A, B, B2].map(|node| world.status(node).peers_went_back.len());
    assert_eq!(told, [0; 3], "two endpoints are no clones of each other");
}

/// Has both endpoints send the same words to a contact. With an oracle, which hears both, everybody's power is cut now and
/// then.
fn send_at_once(seed: u64, mut oracle: Option<Oracle>) {
    let mut world = world(seed);
    let mut hear = |world: &mut World, nodes: &[usize]| {
        for node in nodes {
            if let Some(oracle) = &mut oracle {
                oracle.hear_of(world, *node);
            }
        }
        oracle.is_some()
    };
    hear(&mut world, &[B, B2]);
    let spec = Spec {
        loss: 0.05,
        ..Spec::default()
    };
    let line = world.link(A, B, &spec);
    world.join(line, B2);
    let mut messages = Vec::new();
    for round in 0..6 {
        let parts = [world.bytes(100), world.bytes(60_000)];
        for node in [B, B2] {
            messages.push((node, send(&mut world, node, A, &parts), parts.clone()));
        }
        let wait = 100 * MS + world.below(SECOND);
        pass(&mut world, wait);
        let node = [B, A, B2][round % 3];
        let kills = hear(&mut world, &[B, B2]);
        if kills {
            world.kill(node, true);
        }
        pass(&mut world, SECOND);
        if kills {
            world.start(node);
            let started = [node];
            hear(&mut world, if node == A { &[] } else { &started });
        }
    }
    let end = world.now + 300 * SECOND;
    let all = |w: &World| messages.iter().all(|(node, id, _)| w.confirmed(*node, *id));
    assert!(world.run_until(end, all));
    hear(&mut world, &[B, B2]);
    for (_, id, parts) in &messages {
        assert_delivered(&world, A, *id, parts);
    }
    let before = world.nodes[A].inbox_writes;
    pass(&mut world, 300 * SECOND);
    assert_eq!(before, world.nodes[A].inbox_writes);
}

fn send(world: &mut World, from: usize, to: usize, parts: &[Vec<u8>; 2]) -> MessageId {
    let text = ("", parts[0].clone(), Priority::Urgent);
    let file = ("map", parts[1].clone(), Priority::Normal);
    world.send(from, to, &[text, file])
}

/// Guards that both endpoints get everything that is sent to the person, each once, and that neither is taken for a clone.
#[test]
fn attack_35_two_endpoints_receive_at_once() {
    seeds(0..4, |seed| receive_at_once(seed, None));
}

/// Guards that both endpoints may send at once, the same words even, and that the other side gets all of it once.
#[test]
fn attack_35_two_endpoints_send_at_once() {
    seeds(0..4, |seed| send_at_once(seed, None));
}

/// Guards the same through power cuts on all sides, and that no nonce of one or the other endpoint, or of who sends to both,
/// meets two contents.
#[test]
fn two_endpoints_at_once_through_power_cuts_use_no_nonce_for_two_contents() {
    seeds(0..4, |seed| {
        receive_at_once(seed, Some(Oracle::default()));
        send_at_once(seed, Some(Oracle::default()));
    });
}

/// Guards that an endpoint that was away gets what the other one has had for long, over a link of its own.
#[test]
fn attack_35_an_endpoint_that_was_away() {
    seeds(0..3, |seed| {
        let mut world = world(seed);
        let direct = || Spec {
            direct: true,
            rtt: Duration::from_millis(60),
            ..Spec::default()
        };
        world.link(A, B, &direct());
        let second = world.link(A, B2, &direct());
        pass(&mut world, SECOND);
        world.set_link(second, false);
        let file = world.bytes(300_000);
        let id = world.send(A, B, &[("map", file.clone(), Priority::Normal)]);
        pass(&mut world, 60 * SECOND);
        assert!(world.confirmed(A, id) && !world.delivered(B2, id));
        assert!(world.status(A).outbound.is_empty(), "it is a delivered one");
        for node in [A, B2] {
            world.kill(node, true);
            world.start(node);
        }
        world.set_link(second, true);
        let end = world.now + 60 * SECOND;
        assert!(world.run_until(end, |w| w.delivered(B2, id)));
        assert_delivered(&world, B2, id, &[file]);
        let told = world.nodes[A].events.iter();
        let whole = told.filter(|event| {
            matches!(
                event,
                ostrakon::engine::io::Event::Confirmed { part: 0, .. }
            )
        });
        assert!(whole.count() <= 1, "it is told once");
    });
}

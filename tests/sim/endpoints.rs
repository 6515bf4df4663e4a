//! A person with two endpoints: what one copy serves, and what an endpoint costs that is away.

use crate::world::{SECOND, Spec, World, seeds};
use ostrakon::engine::io::{Event, Input};
use ostrakon::engine::message::Priority;
use std::time::Duration;

const NAMES: [&str; 3] = ["a", "b", "b again"];

fn world(seed: u64) -> World {
    let mut world = World::new(seed, &NAMES);
    world.enrol(2, 1);
    world
}

fn offered(world: &mut World, link: usize) -> u64 {
    world.link_stats(link)[0].unwrap().offered_bytes
}

/// Guards that on a line which both endpoints hear one copy serves both, from the very first message on.
#[test]
fn one_copy_serves_both_endpoints_on_a_line() {
    seeds(0..3, |seed| {
        let mut world = world(seed);
        let spec = Spec {
            rate: 1_000_000,
            rtt: Duration::from_millis(40),
            loss: 0.03,
            ..Spec::default()
        };
        let line = world.link(0, 1, &spec);
        world.join(line, 2);
        let file = world.bytes(1_500_000);
        let id = world.send(0, 1, &[("map", file.clone(), Priority::Normal)]);
        let both = |w: &World| w.delivered(1, id) && w.delivered(2, id);
        assert!(world.run_until(world.now + 300 * SECOND, both));
        world.run_until(world.now + 10 * SECOND, |_| false);
        for node in [1, 2] {
            assert!(world.content(node, id, 1).unwrap() == file);
        }
        let told = world.nodes[0].events.iter();
        let told = told.filter(|event| matches!(event, Event::Confirmed { part: 0, .. }));
        assert_eq!(told.count(), 1, "one person has it");
        let offered = offered(&mut world, line) as f64;
        println!("seed {seed}: offered {:.2} of the file", offered / 1.5e6);
        assert!(offered < 1.35 * 1.5e6, "offered {offered}");
    });
}

/// Guards that an endpoint which is never there costs a thin line next to nothing, before it was ever heard and after.
#[test]
fn an_endpoint_that_is_away_costs_a_line_little() {
    seeds(0..2, |seed| {
        let mut world = world(seed);
        let spec = Spec {
            rate: 9_600,
            rtt: Duration::from_millis(200),
            mtu: 222,
            ..Spec::default()
        };
        let line = world.link(0, 1, &spec);
        let file = world.bytes(20_000);
        let id = world.send(0, 1, &[("map", file.clone(), Priority::Normal)]);
        assert!(world.run_until(world.now + 600 * SECOND, |w| w.confirmed(0, id)));
        let at_receipt = offered(&mut world, line);
        assert!(at_receipt < 30_000, "{at_receipt}");
        world.run_until(world.now + 24 * 3600 * SECOND, |_| false);
        let more = offered(&mut world, line) - at_receipt;
        println!("seed {seed}: {at_receipt} bytes to the receipt, {more} in the day after");
        assert!(more < 12_000, "{more}");
    });
}

/// Guards that what is called off is called off for both endpoints, and told once.
#[test]
fn a_message_is_called_off_at_both_endpoints() {
    seeds(0..1, |seed| {
        let mut world = world(seed);
        let spec = || Spec {
            direct: true,
            ..Spec::default()
        };
        world.link(0, 1, &spec());
        world.link(0, 2, &spec());
        let file = world.bytes(4_000_000);
        let id = world.send(0, 1, &[("map", file, Priority::Normal)]);
        world.run_until(world.now + SECOND, |_| false);
        assert_eq!(world.status(0).outbound.len(), 1);
        world.input(0, Input::Cancel(id));
        let expired = Event::Expired {
            message: id,
            person: world.person(1),
        };
        let told = world.nodes[0].events.iter().filter(|e| **e == expired);
        assert_eq!(told.count(), 1);
        world.run_until(world.now + 10 * SECOND, |_| false);
        for node in [1, 2] {
            assert!(world.status(node).inbound.is_empty(), "{node} still waits");
        }
        let occupancy = world.nodes[0].engine.as_ref().unwrap().occupancy();
        assert_eq!(occupancy.outbox_messages, 0);
    });
}

//! One message to several: one set of symbols, one id, and a state for each recipient.

use crate::world::{SECOND, Spec, World, seeds};
use ostrakon::engine::io::{Event, FileId, FileKind, Input};
use ostrakon::engine::message::Priority;
use ostrakon::wire::fragment::{Kind, View};
use std::collections::BTreeMap;
use std::time::Duration;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const TO: [usize; 3] = [1, 2, 3];

/// Links from the sender to each of the others.
fn star(world: &mut World, loss: f64) -> [usize; 3] {
    let spec = || Spec {
        loss,
        direct: true,
        ..Spec::default()
    };
    TO.map(|to| world.link(0, to, &spec()))
}

fn all_confirmed(world: &World, id: ostrakon::engine::id::MessageId) -> bool {
    TO.iter().all(|to| world.confirmed_by(0, id, *to))
}

/// Guards that every recipient gets text and file under one id, that symbols are the same bytes for all, and that the
/// snapshot goes with the last receipt.
#[test]
fn three_recipients_get_one_message_and_the_same_symbols() {
    seeds(0..3, |seed| {
        let mut world = World::new(seed, &NAMES);
        star(&mut world, 0.05);
        world.nodes[0].keep_sent = true;
        let file = world.bytes(400_000);
        let parts = [
            ("note", b"water at the bridge".to_vec(), Priority::Urgent),
            ("map", file.clone(), Priority::Normal),
        ];
        let start = world.now;
        let id = world.send_to(0, &TO, &parts);
        assert_eq!(world.status(0).outbound.len(), 3);
        assert!(world.run_until(start + 60 * SECOND, |w| all_confirmed(w, id)));
        for to in TO {
            assert_eq!(world.content(to, id, 1).unwrap(), b"water at the bridge");
            assert!(world.content(to, id, 2).unwrap() == file);
        }
        let mut copies: BTreeMap<&[u8], u32> = BTreeMap::new();
        let sent = &world.nodes[0].sent;
        let symbols = sent.iter().filter(|f| {
            let kind = View::parse(f).map(|view| view.kind);
            f.len() > 600 && kind == Ok(Kind::Wide) || kind == Ok(Kind::Narrow) && f.len() > 600
        });
        symbols.for_each(|frame| *copies.entry(frame).or_default() += 1);
        let thrice = copies.values().filter(|count| **count >= 3).count();
        // 298 symbols are enough; of what was sent beyond that each link has its own.
        assert!(thrice > 250, "{thrice} symbols went to all");
        let snapshot = FileId {
            kind: FileKind::Outgoing,
            message: id,
            part: 2,
        };
        world.run_until(world.now + SECOND, |_| false);
        assert!(world.nodes[0].disk.file(&snapshot).is_none());
        assert!(world.status(0).outbound.is_empty());
    });
}

/// Guards that the file is kept for a recipient who is away, and that he gets it, through a power cut of the sender.
#[test]
fn who_is_away_gets_it_later_although_the_others_have_confirmed() {
    seeds(0..3, |seed| {
        let mut world = World::new(seed, &NAMES);
        let links = star(&mut world, 0.02);
        world.set_link(links[2], false);
        let file = world.bytes(150_000);
        let id = world.send_to(0, &TO, &[("map", file.clone(), Priority::Normal)]);
        let there = |w: &World| w.confirmed_by(0, id, 1) && w.confirmed_by(0, id, 2);
        assert!(world.run_until(world.now + 60 * SECOND, there));
        assert_eq!(world.status(0).outbound.len(), 1);
        world.run_until(world.now + SECOND, |_| false);
        world.kill(0, true);
        world.run_until(world.now + SECOND, |_| false);
        world.start(0);
        assert_eq!(world.status(0).outbound.len(), 1);
        world.set_link(links[2], true);
        let end = world.now + 60 * SECOND;
        assert!(world.run_until(end, |w| w.confirmed_by(0, id, 3)));
        assert!(world.content(3, id, 1).unwrap() == file);
    });
}

/// Guards that power cuts on both sides in the middle lose nothing, and that everything comes out once.
#[test]
fn power_cuts_in_the_middle_cost_nothing_but_time() {
    seeds(0..4, |seed| {
        let mut world = World::new(seed, &NAMES);
        star(&mut world, 0.1);
        let file = world.bytes(900_000);
        let id = world.send_to(0, &TO, &[("map", file.clone(), Priority::Normal)]);
        for node in [0, 1, 0, 2] {
            let wait = 100_000_000 + world.below(SECOND / 2);
            world.run_until(world.now + wait, |_| false);
            world.kill(node, true);
            world.run_until(world.now + SECOND, |_| false);
            world.start(node);
        }
        let there = |w: &World| TO.iter().all(|to| w.delivered(*to, id));
        assert!(world.run_until(world.now + 120 * SECOND, there));
        for to in TO {
            assert!(world.content(to, id, 1).unwrap() == file);
        }
        world.run_until(world.now + 120 * SECOND, |w| {
            w.status(0).outbound.is_empty()
        });
        assert!(world.status(0).outbound.is_empty());
    });
}

/// Guards that on a line which all hear a symbol leaves once and serves all of them.
#[test]
fn one_copy_serves_all_who_hear_the_line() {
    seeds(0..3, |seed| {
        let mut world = World::new(seed, &NAMES);
        let spec = Spec {
            rate: 1_000_000,
            rtt: Duration::from_millis(40),
            loss: 0.03,
            ..Spec::default()
        };
        let line = world.link(0, 1, &spec);
        world.join(line, 2);
        world.join(line, 3);
        // More than is kept of what no manifest explains.
        let file = world.bytes(2_500_000);
        let id = world.send_to(0, &TO, &[("map", file.clone(), Priority::Normal)]);
        assert!(world.run_until(world.now + 300 * SECOND, |w| all_confirmed(w, id)));
        for to in TO {
            assert!(world.content(to, id, 1).unwrap() == file);
        }
        let offered = world.link_stats(line)[0].unwrap().offered_bytes as f64;
        println!("seed {seed}: offered {:.2} of the file", offered / 2.5e6);
        assert!(offered < 1.4 * 2.5e6, "offered {offered}");
    });
}

/// Guards that what is called off is called off for all, and that a message goes to everybody named or to nobody.
#[test]
fn a_message_is_called_off_for_all_and_refused_for_all() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        star(&mut world, 0.0);
        let file = world.bytes(4_000_000);
        let id = world.send_to(0, &TO, &[("map", file, Priority::Normal)]);
        world.run_until(world.now + SECOND, |_| false);
        world.input(0, Input::Cancel(id));
        world.run_until(world.now + 10 * SECOND, |_| false);
        for to in TO {
            assert!(world.status(to).inbound.is_empty(), "{to} still waits");
            let person = world.person(to);
            let expired = Event::Expired {
                message: id,
                person,
            };
            assert!(world.nodes[0].events.contains(&expired));
        }
        let outbox = world.nodes[0].engine.as_ref().unwrap().occupancy();
        assert_eq!(outbox.outbox_messages, 0);
        // One of them is a stranger: the sender himself.
        world.send_to(0, &[0, 1], &[("", b"to all".to_vec(), Priority::Urgent)]);
        world.run_until(world.now + SECOND, |_| false);
        let refused = |e: &&Event| matches!(e, Event::Refused { .. });
        assert_eq!(world.nodes[0].events.iter().filter(refused).count(), 1);
        assert!(world.status(1).inbound.is_empty() && world.status(0).outbound.is_empty());
    });
}

//! Sessions get fresh keys while both ways are open, and nobody is cut off by it.
//!
//! Every test says its seed when it fails; run it again with `OSTRAKON_SEED=N cargo test --test generations NAME`.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, reason = "the world is shared with other tests")]

#[path = "sim/store.rs"]
mod store;
#[path = "sim/thief.rs"]
mod thief;
#[path = "sim/world.rs"]
mod world;

use ostrakon::engine::id::MessageId;
use ostrakon::engine::io::{Batch, Record, Token};
use ostrakon::engine::message::Priority;
use std::time::Duration;
use world::{MS, SECOND, Spec, World, seeds};

const A: usize = 0;
const B: usize = 1;
/// How long a generation lasts here.
const EVERY: Duration = Duration::from_secs(5);

fn world(seed: u64, loss: f64) -> World {
    let mut world = World::new(seed, &["a", "b"]);
    world.limits.generation_every = EVERY;
    for node in [A, B] {
        restart(&mut world, node);
    }
    let spec = Spec {
        loss,
        ..Spec::default()
    };
    world.link(A, B, &spec);
    world
}

fn restart(world: &mut World, node: usize) {
    world.kill(node, true);
    world.start(node);
}

/// Lets time go by.
fn pass(world: &mut World, time: u64) {
    let end = world.now + time;
    world.at(end, |_| {});
    world.run_until(end, |_| false);
}

fn text(world: &mut World, from: usize) -> MessageId {
    let bytes = world.bytes(40);
    world.send(from, 1 - from, &[("", bytes, Priority::Normal)])
}

/// A text each way, confirmed within this time.
fn talk(world: &mut World, within: u64) {
    let [there, back] = [A, B].map(|from| text(world, from));
    let until = world.now + within;
    let confirmed = world.run_until(until, |w| w.confirmed(A, there) && w.confirmed(B, back));
    assert!(
        confirmed,
        "{} {}",
        world.confirmed(A, there),
        world.confirmed(B, back)
    );
}

/// Key exchanges in the sessions of a node.
fn generations(world: &World, node: usize) -> u32 {
    let engine = world.nodes[node].engine.as_ref().unwrap();
    engine.generations()
}

/// Guards that generations follow each other while a session is used, through losses and restarts, that everything comes,
/// and that who has nothing to say stays silent.
#[test]
fn generations_follow_each_other_while_a_session_is_used() {
    seeds(0..4, |seed| {
        let mut world = world(seed, [0.0, 0.3][(seed % 2) as usize]);
        for turn in 0..30 {
            talk(&mut world, 60 * SECOND);
            pass(&mut world, 2 * SECOND);
            if turn == 15 {
                restart(&mut world, (seed / 2) as usize);
            }
        }
        for node in [A, B] {
            let number = generations(&world, node);
            assert!(number >= 4, "{number} of {node}");
        }
        pass(&mut world, 3600 * SECOND);
        let before = (generations(&world, A), generations(&world, B), world.frames);
        pass(&mut world, 3600 * SECOND);
        let after = (generations(&world, A), generations(&world, B), world.frames);
        assert_eq!(after, before);
    });
}

/// Guards that a link which carries only small frames gets fresh keys as well, if without X-Wing, and that a link which
/// carries nothing back gets none.
#[test]
fn thin_links_have_generations_and_one_way_links_have_none() {
    seeds(0..2, |seed| {
        let mut world = World::new(seed, &["a", "b"]);
        world.limits.generation_every = EVERY;
        [A, B]
            .into_iter()
            .for_each(|node| restart(&mut world, node));
        let spec = Spec {
            mtu: 222,
            rate: 9_600,
            oneway: seed == 1,
            ..Spec::default()
        };
        world.link(A, B, &spec);
        for _ in 0..10 {
            let id = text(&mut world, A);
            let until = world.now + 60 * SECOND;
            assert!(world.run_until(until, |w| w.delivered(B, id)));
            pass(&mut world, 3 * SECOND);
        }
        let number = generations(&world, A);
        assert_eq!(number > 0, seed == 0, "{number}");
    });
}

/// Guards that a crash of either end at whatever moment of an exchange strands nobody: what is sent afterwards comes, and
/// further generations begin.
#[test]
fn a_crash_at_any_moment_of_an_exchange_strands_nobody() {
    for at in 0..40 {
        for node in [A, B] {
            let mut world = world(at, 0.0);
            talk(&mut world, 10 * SECOND);
            pass(&mut world, 4500 * MS);
            // The exchange lies somewhere within the next second.
            pass(&mut world, at * 25 * MS);
            restart(&mut world, node);
            talk(&mut world, 20 * SECOND);
            let before = generations(&world, A);
            for _ in 0..4 {
                talk(&mut world, 20 * SECOND);
                pass(&mut world, 4 * SECOND);
            }
            assert!(generations(&world, A) > before, "{at} {node}");
        }
    }
}

/// Guards that an older disk at either end, whose session is of a generation before, costs a new session and no message.
#[test]
fn an_older_disk_at_either_end_costs_a_new_session() {
    seeds(0..4, |seed| {
        let node = (seed % 2) as usize;
        let mut world = world(seed, 0.0);
        talk(&mut world, 10 * SECOND);
        let image = match seed {
            0 | 1 => world.nodes[node].disk.clone(),
            _ => Default::default(),
        };
        for _ in 0..=seed {
            pass(&mut world, 7 * SECOND);
            talk(&mut world, 10 * SECOND);
        }
        assert!(generations(&world, A) > 0 && generations(&world, B) > 0);
        world.kill(node, true);
        world.nodes[node].disk = image;
        world.start(node);
        for _ in 0..3 {
            talk(&mut world, 120 * SECOND);
        }
        // Epochs of before are opened still, so a sender may notice with his next one only.
        pass(&mut world, 25 * 3600 * SECOND);
        talk(&mut world, 120 * SECOND);
        let before = (generations(&world, A), generations(&world, B));
        for _ in 0..4 {
            pass(&mut world, 7 * SECOND);
            talk(&mut world, 60 * SECOND);
        }
        let after = (generations(&world, A), generations(&world, B));
        assert!(
            after.0 > before.0 && after.1 > before.1,
            "{before:?} {after:?}"
        );
    });
}

/// Guards that a disk which knows neither of the two sessions any more, since it is older than all epochs that the other
/// end keeps, is not cut off for ever.
#[test]
fn a_disk_older_than_all_kept_epochs_is_not_cut_off() {
    seeds(0..2, |seed| {
        let mut world = world(seed, 0.0);
        talk(&mut world, 10 * SECOND);
        let node = seed as usize;
        let image = world.nodes[node].disk.clone();
        for _ in 0..20 {
            pass(&mut world, 6 * SECOND);
            talk(&mut world, 10 * SECOND);
        }
        assert!(generations(&world, A) > 14 && generations(&world, B) > 14);
        world.kill(node, true);
        world.nodes[node].disk = image;
        world.start(node);
        talk(&mut world, 3600 * SECOND);
        talk(&mut world, 60 * SECOND);
    });
}

/// Guards what generations are for: who has copied everything of a recipient, keys and sessions, and only listens from
/// then on, reads what comes in the present generation and nothing of the next.
#[test]
fn who_has_copied_a_home_and_listens_is_shut_out_by_the_next_generation() {
    seeds(0..3, |seed| {
        let mut world = world(seed, 0.0);
        world.nodes[A].keep_sent = true;
        talk(&mut world, 10 * SECOND);
        let keys = world.nodes[B].keys.clone();
        let rows = world.session_rows(B);
        talk(&mut world, 10 * SECOND);
        assert!(world.opens(&keys, A, rows.clone(), &world.nodes[A].sent));
        let before = generations(&world, A);
        pass(&mut world, 7 * SECOND);
        assert!(generations(&world, A) > before);
        // He has heard all of the exchange, too.
        world.nodes[A].sent.clear();
        for _ in 0..5 {
            talk(&mut world, 10 * SECOND);
            pass(&mut world, 3 * SECOND);
        }
        assert!(!world.opens(&keys, A, rows.clone(), &world.nodes[A].sent));
        let now = world.session_rows(B);
        assert!(world.opens(&keys, A, now, &world.nodes[A].sent));
    });
}

/// Where the row of a session ended before there were generations.
fn cut(key: &[u8], value: &[u8]) -> usize {
    const SENT: usize = 1 + 4 + 4 + 8 + 16 + 72 + 32 + 4 + 32 + 32;
    const TAKEN: usize = 16 + 32 + 32 + 72;
    match key[0] {
        b's' => SENT,
        b'r' => {
            let kept = value[TAKEN..].chunks(36);
            TAKEN + 36 * kept.take_while(|kept| !kept.starts_with(&[255; 4])).count()
        }
        _ => value.len(),
    }
}

/// Guards that rows of homes of before are read: their sessions go on, in their first generation.
#[test]
fn rows_of_homes_of_before_go_on_without_generations() {
    seeds(0..2, |seed| {
        let mut world = world(seed, 0.0);
        talk(&mut world, 10 * SECOND);
        for node in [A, B] {
            world.kill(node, true);
            let rows = world.session_rows(node).into_iter();
            let records = rows.map(|(table, key, value)| Record::Put {
                table,
                value: value[..cut(&key, &value)].to_vec(),
                key,
            });
            let batch = Batch {
                token: Token(0),
                records: records.collect(),
                durable: true,
            };
            world.nodes[node].disk.apply(&batch).unwrap();
        }
        [A, B].into_iter().for_each(|node| world.start(node));
        for _ in 0..5 {
            talk(&mut world, 20 * SECOND);
            pass(&mut world, 4 * SECOND);
        }
        assert_eq!([A, B].map(|node| generations(&world, node)), [0, 0]);
    });
}

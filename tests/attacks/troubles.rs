//! Relays, clocks and disks that are worth nothing.

use crate::harness::*;
use crate::world::{MS, SECOND, Spec, World};
use bytes::Bytes;
use ostrakon::engine::id::MessageId;
use ostrakon::engine::io::{Event, Input};
use ostrakon::engine::message::Priority;
use ostrakon::wire::manifest::Lifetime;
use std::time::Duration;

/// A sends B a text and a file.
fn send_note_and_map(world: &mut World) -> (MessageId, Vec<u8>) {
    let file = world.bytes(20_000);
    let parts = [
        ("note", b"water".to_vec(), Priority::Urgent),
        ("map", file.clone(), Priority::Normal),
    ];
    (world.send(A, B, &parts), file)
}

/// Passes on as a hostile relay does: drops some, keeps some, gives some twice, changed or out of order, and for a while
/// only every third.
fn mistreat(world: &mut World, pool: &mut Vec<Bytes>, to: usize, round: u64) {
    for _ in 0..pool.len().min(40) {
        let pick = world.below(pool.len() as u64) as usize;
        match world.below(8) {
            0 => drop(pool.swap_remove(pick)),
            1 => {}
            2 => {
                let frame = pool[pick].clone();
                give(world, to, &frame);
            }
            3 => {
                let mut changed = pool[pick].to_vec();
                let at = world.below(changed.len() as u64) as usize;
                changed[at] ^= 1 << world.below(8);
                give(world, to, &changed);
            }
            _ => {
                let frame = pool.swap_remove(pick);
                if round % 500 < 400 || frame.last().is_some_and(|last| last % 3 == 0) {
                    give(world, to, &frame);
                }
            }
        }
        if pool.is_empty() {
            return;
        }
    }
}

/// Guards that a relay can cost time and nothing else: whatever it does with the frames, everything comes out once and with
/// the right bytes.
#[test]
fn attack_30_a_relay_that_drops_delays_reorders_duplicates_corrupts_or_picks() {
    seeds(0..3, |seed| {
        let mut world = World::new(seed, &NAMES);
        let link = world.link(A, B, &Spec::default());
        world.set_link_silently(link, false);
        (world.nodes[A].keep_sent, world.nodes[B].keep_sent) = (true, true);
        let file = world.bytes(300_000);
        let parts = [
            ("note", b"water at the bridge".to_vec(), Priority::Urgent),
            ("map", file.clone(), Priority::Normal),
        ];
        let id = world.send(A, B, &parts);
        let (mut out, mut back) = (Vec::new(), Vec::new());
        for round in 0..60_000 {
            pass(&mut world, 20 * MS);
            out.append(&mut world.nodes[A].sent);
            back.append(&mut world.nodes[B].sent);
            mistreat(&mut world, &mut out, B, round);
            mistreat(&mut world, &mut back, A, round);
            if world.confirmed(A, id) {
                break;
            }
        }
        assert!(world.confirmed(A, id), "{:?}", world.status(B));
        assert_eq!(world.nodes[B].inbox_writes, 3, "once each");
        assert_eq!(world.content(B, id, 1).unwrap(), parts[0].1);
        assert!(world.content(B, id, 2) == Some(file));
    });
}

/// Guards that no clock matters: none, or one that is ten years off on either side, changes nothing of what arrives and
/// what is kept.
#[test]
fn attack_33_clock_ten_years_off_or_absent() {
    seeds(0..1, |seed| {
        let (today, decade) = (1_900_000_000, 315_576_000);
        let clocks = [
            None,
            Some(today),
            Some(today - decade),
            Some(today + decade),
        ];
        for sender in clocks {
            for recipient in clocks {
                let mut world = World::new(seed, &NAMES);
                world.lifetime = Lifetime::at_least(Some(Duration::from_secs(3600)));
                world.created = sender.map(|clock| clock as u32);
                for (node, clock) in [(A, sender), (B, recipient)] {
                    if let Some(clock) = clock {
                        world.input(node, Input::Calendar(clock));
                    }
                }
                world.link(A, B, &Spec::default());
                let (id, file) = send_note_and_map(&mut world);
                let end = world.now + 30 * SECOND;
                let all = world.run_until(end, |w| w.confirmed(A, id));
                assert!(all, "clocks {sender:?} and {recipient:?}");
                assert!(world.content(B, id, 2) == Some(file));
            }
        }
    });
}

/// Guards that what was confirmed or delivered is there after a power cut at any write, also when the disk was full
/// between.
#[test]
fn attack_34_disk_full_or_power_cut_at_every_write() {
    seeds(0..2, |seed| {
        for who in [A, B] {
            for write in 1.. {
                let mut world = World::new(seed, &NAMES);
                world.link(A, B, &Spec::default());
                let (id, file) = send_note_and_map(&mut world);
                let full_from = world.now + 100 * MS * (write % 5);
                world.at(full_from, move |w| w.nodes[who].disk.full = write % 2 == 0);
                world.at(full_from + 150 * MS, move |w| {
                    w.nodes[who].disk.full = false
                });
                let (mut writes, mut before) = (0, 0);
                let end = world.now + 3 * SECOND;
                let cut = world.run_until(end, |w| {
                    let now = w.nodes[who].store_free;
                    writes += u64::from(std::mem::replace(&mut before, now) != now);
                    writes == write
                });
                if !cut {
                    assert!(write > 3, "no more writes than {write}");
                    break;
                }
                world.kill(who, true);
                pass(&mut world, SECOND);
                world.nodes[who].disk.full = false;
                world.start(who);
                let end = world.now + 120 * SECOND;
                let all = world.run_until(end, |w| w.confirmed(A, id));
                let mut events = world.nodes[A].events.iter();
                let accepted = events.any(|e| matches!(e, Event::Accepted { .. }));
                assert!(all || !accepted, "cut at write {write} of node {who}");
                if all {
                    let there = world.content(B, id, 2) == Some(file);
                    assert!(there, "cut at write {write} of node {who}");
                }
            }
        }
    });
}

//! Small messages in a hurry: copies that leave beforehand.

use super::world::{MS, SECOND, Spec, World, seeds};
use ostrakon::engine::message::Priority;
use std::cell::Cell;
use std::time::Duration;

const TEXTS: usize = 50;

/// Sends texts over such links, one after another. How many frames each took until it was confirmed, and which came later
/// than one way takes.
fn send(seed: u64, links: &[Spec], way: u64) -> (Vec<usize>, usize) {
    let mut world = World::new(seed, &["a", "b"]);
    links.iter().for_each(|spec| {
        world.link(0, 1, spec);
    });
    world.nodes[0].keep_sent = true;
    let (mut frames, mut late) = (Vec::new(), 0);
    // With the first one they get to know each other.
    for n in 0..=TEXTS {
        world.nodes[0].sent.clear();
        let start = world.now;
        let id = world.send(0, 1, &[("", vec![n as u8; 100], Priority::Urgent)]);
        let until = start + 600 * SECOND;
        assert!(world.run_until(until, |w| w.confirmed(0, id)));
        if n > 0 {
            frames.push(world.nodes[0].sent.len());
            late += usize::from(world.nodes[1].delivered_at[&(id, 1)] > start + way);
        }
        world.run_until(world.now + 5 * SECOND, |_| false);
    }
    (frames, late)
}

fn wide() -> Spec {
    Spec {
        rate: 20_000_000,
        rtt: Duration::from_millis(600),
        loss: 0.2,
        assume_loss_ppm: 200_000,
        direct: true,
        warm: true,
        ..Spec::default()
    }
}

/// Guards that a text needs a second round in about one of a hundred cases where two links lose a fifth each, and that it
/// takes three frames for that and hardly ever more.
#[test]
fn copies_leave_beforehand_where_links_lose() {
    let sums = Cell::new((0, 0, 0));
    seeds(0..20, |seed| {
        let (each, missed) = send(seed, &[wide(), wide()], 400 * MS);
        assert!(each.iter().all(|frames| *frames >= 2), "{each:?}");
        let (all, late, frames) = sums.get();
        let sum: usize = each.iter().sum();
        sums.set((all + each.len(), late + missed, frames + sum));
    });
    let (all, late, frames) = sums.get();
    println!("{late} of {all} late, {frames} frames");
    assert!(late * 100 <= all * 2, "{late} of {all} late");
    assert!(frames * 10 <= all * 34, "{frames} frames for {all} texts");
}

/// Guards that a thin link carries one copy, whatever it loses, and so does one that is not known to lose anything.
#[test]
fn a_copy_that_costs_much_or_nothing_asks_for_does_not_leave() {
    let thin = Spec {
        rate: 1_200,
        mtu: 222,
        loss: 0.0,
        ..wide()
    };
    let sound = Spec {
        loss: 0.0,
        assume_loss_ppm: 0,
        ..wide()
    };
    for spec in [thin, sound] {
        let (frames, _) = send(1, &[spec], 400 * MS);
        assert!(frames.iter().all(|frames| *frames == 1), "{frames:?}");
    }
}

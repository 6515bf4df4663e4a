//! Two ends over a line that loses packets, without a world around them.

use super::link::{Link, Setup};
use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SECOND: Nanos = 1_000_000_000;
const FRAME: usize = 1400;

/// What one end has sent by the other's account after a minute, and what it had to offer for that, in bytes; over a line
/// of 10 Mbit/s and 600 ms that loses so many packets of a hundred, both ways, and doubles one in fifty.
fn minute(loss: u32, seed: u64) -> (BTreeSet<u64>, u64) {
    let setup = Setup {
        rtt: Duration::from_millis(600),
        window: 750_000,
        overhead: 28,
        mtu: FRAME,
    };
    let mut ends = [Link::new(&setup, 1, 0), Link::new(&setup, 2, 0)];
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut flying: BTreeMap<(Nanos, u64), (usize, Bytes)> = BTreeMap::new();
    let (mut free, mut packets, mut offered, mut next) = ([0; 2], 0, 0, 0u64);
    let mut received = BTreeSet::new();
    let mut now = 0;
    while now < 60 * SECOND {
        for _ in 0..ends[0].room() {
            let mut frame = next.to_be_bytes().to_vec();
            frame.resize(FRAME, 0);
            next += 1;
            ends[0].send(frame.into());
        }
        for from in 0..2 {
            while let Some(packet) = ends[from].transmit(now) {
                let bytes = packet.len() as u64 + 28;
                offered += if from == 0 { bytes } else { 0 };
                free[from] = now.max(free[from]) + bytes * 800;
                // Half a second of queue, then it drops.
                if free[from] > now + SECOND / 2 || chance.next_u32() % 100 < loss {
                    continue;
                }
                let copies = 1 + u64::from(chance.next_u32().is_multiple_of(50));
                for _ in 0..copies {
                    packets += 1;
                    let at = free[from] + 300_000_000;
                    flying.insert((at, packets), (1 - from, packet.clone()));
                }
            }
        }
        let dues = ends.iter().filter_map(Link::due).map(|at| at.max(now + 1));
        let arrivals = flying.keys().map(|(at, _)| *at);
        now = dues.chain(arrivals).min().unwrap_or(60 * SECOND).max(now);
        while let Some(entry) = flying.first_entry().filter(|entry| entry.key().0 <= now) {
            let (to, packet) = entry.remove();
            if let Some(frame) = ends[to].receive(now, &packet) {
                let number = u64::from_be_bytes(frame[..8].try_into().unwrap());
                assert!(
                    received.insert(number),
                    "seed {seed}: frame {number} came twice"
                );
            }
        }
    }
    (received, offered)
}

/// Guards that a paced link fills a lossy path without flooding it, hands nothing over twice, and that a seed is a run.
#[test]
fn a_lossy_satellite_is_filled_and_not_flooded() {
    for (loss, seed) in [(0, 1), (1, 2), (10, 3), (20, 4)] {
        let (received, offered) = minute(loss, seed);
        let possible = 60.0 * 1_250_000.0 * f64::from(100 - loss) / 100.0;
        let used = received.len() as f64 * FRAME as f64 / possible;
        let flood = offered as f64 / (60.0 * 1_250_000.0);
        println!("loss {loss} %: used {used:.3}, offered {flood:.3} of what the line carries");
        assert!(used > 0.9, "loss {loss} %, seed {seed}: used {used}");
        assert!(flood < 1.1, "loss {loss} %, seed {seed}: offered {flood}");
        assert_eq!(minute(loss, seed), (received, offered));
    }
}

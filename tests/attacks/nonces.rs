//! No nonce for two contents, whatever becomes of a sender's disk and of its randomness; and nothing on the air that links
//! messages.

use crate::harness::*;
use crate::store::Disk;
use crate::world::{SECOND, Spec, World};
use ostrakon::engine::message::Priority;
use ostrakon::wire::fragment::View;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::BTreeMap;

/// Knows every nonce that was ever used, whichever process of A it was.
#[derive(Default)]
pub struct Oracle(BTreeMap<[u8; 16], [u8; 16]>);

impl Oracle {
    /// Listens to what A has sealed since the last time; the first time to what it will seal.
    fn hear(&mut self, world: &mut World) {
        self.hear_of(world, A);
    }

    /// The same of any node.
    pub fn hear_of(&mut self, world: &mut World, node: usize) {
        let engine = world.nodes[node].engine.as_mut().unwrap();
        for mark in engine.take_seal_marks() {
            let known = self.0.insert(mark.nonce, mark.content);
            assert!(
                known.is_none_or(|content| content == mark.content),
                "a nonce for two contents"
            );
        }
    }

    /// A's process ends, its disk is as it was at some time, and it starts again.
    fn restart(&mut self, world: &mut World, disk: Disk) {
        self.hear(world);
        world.kill(A, true);
        world.nodes[A].disk = disk;
        world.start(A);
        self.hear(world);
    }
}

/// Guards that a sender who was set back to an old state of its disk, and goes on with other messages, uses no nonce for
/// two contents.
#[test]
fn attack_11_sender_restored_from_backup() {
    seeds(0..3, |seed| {
        let mut world = World::new(seed, &NAMES);
        let mut oracle = Oracle::default();
        oracle.hear(&mut world);
        world.link(A, B, &Spec::default());
        let mut ids = Vec::new();
        let mut send = |world: &mut World, oracle: &mut Oracle, texts: usize| {
            for _ in 0..texts {
                let words = world.bytes(40);
                let text = ("", words, Priority::Urgent);
                let file = ("map", world.bytes(5_000), Priority::Normal);
                ids.push(world.send(A, B, std::slice::from_ref(&text)));
                ids.push(world.send(A, B, &[text, file]));
                pass(world, SECOND);
                oracle.hear(world);
            }
        };
        send(&mut world, &mut oracle, 5);
        let backup = world.nodes[A].disk.clone();
        for _ in 0..4 {
            send(&mut world, &mut oracle, 5);
            oracle.restart(&mut world, backup.clone());
        }
        send(&mut world, &mut oracle, 5);
        pass(&mut world, 20 * SECOND);
        oracle.hear(&mut world);
        assert!(ids.iter().all(|id| world.delivered(B, *id)));
        assert!(oracle.0.len() > ids.len(), "{} seals", oracle.0.len());
    });
}

/// Guards that a sender whose random generator gives the same bytes for ever, at every start and for every salt, still
/// uses no nonce for two contents, also after the loss of its disk, and that all its messages come through.
#[test]
fn attack_13_a_random_generator_stuck_on_a_constant() {
    seeds(0..2, |seed| {
        let mut world = World::new(seed, &NAMES);
        let stuck = ChaCha20Rng::seed_from_u64(seed ^ 0xdead);
        let mut oracle = Oracle::default();
        world.rng = stuck.clone();
        world.link(A, B, &Spec::default());
        let mut texts = 0;
        for start in 0..4 {
            world.rng = stuck.clone();
            let disk = if start == 2 {
                Disk::default()
            } else {
                world.nodes[A].disk.clone()
            };
            oracle.restart(&mut world, disk);
            for _ in 0..5 {
                world.rng = stuck.clone();
                let words = vec![b'w'; 20 + texts];
                world.send(A, B, &[("", words, Priority::Urgent)]);
                texts += 1;
                pass(&mut world, 2 * SECOND);
                oracle.hear(&mut world);
            }
        }
        pass(&mut world, 20 * SECOND);
        assert_eq!(world.nodes[B].inbox.len(), 2 * texts, "one part each");
        assert!(oracle.0.len() >= texts, "{} seals", oracle.0.len());
    });
}

/// Guards that within fragments no three bytes repeat from message to message more often than by chance, though all say
/// the same.
#[test]
fn attack_38_static_bytes_across_messages_on_the_air() {
    seeds(0..1, |seed| {
        let mut world = World::new(seed, &NAMES);
        let thin = Spec {
            rate: 9_600,
            mtu: 222,
            ..Spec::default()
        };
        world.link(A, B, &thin);
        world.nodes[A].keep_sent = true;
        for _ in 0..200 {
            world.send(A, B, &[("", vec![b'w'; 60], Priority::Urgent)]);
            pass(&mut world, 2 * SECOND);
        }
        let mut messages: BTreeMap<[u8; 6], Vec<u8>> = BTreeMap::new();
        let sent = world.nodes[A].sent.iter().filter(|f| !is_preamble(f));
        for frame in sent {
            let label = View::parse(frame).unwrap().label;
            messages.entry(label).or_insert_with(|| frame.to_vec());
        }
        assert!(messages.len() >= 200, "{} messages", messages.len());
        let mut seen: BTreeMap<&[u8], u64> = BTreeMap::new();
        let (mut all, mut within) = (0u64, 0u64);
        for frame in messages.values() {
            for three in frame.windows(3) {
                *seen.entry(three).or_default() += 1;
            }
            let count = frame.len() as u64 - 2;
            (all, within) = (all + count, within + count * count);
        }
        let repeats: u64 = seen.values().map(|n| n * (n - 1) / 2).sum();
        let expected = ((all * all - within) / 2) as f64 / f64::from(1 << 24);
        let most = expected + 6.0 * expected.sqrt() + 6.0;
        println!("seed {seed}: {repeats} repeats, {expected:.1} by chance");
        assert!((repeats as f64) < most, "{repeats} of {most:.1}");
    });
}

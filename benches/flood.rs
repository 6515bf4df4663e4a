//! What it costs a recipient to look at frames that lead nowhere, and what a flood of them takes from a transfer.
//!
//! The recipient knows 200 people, each with a session. A frame of a message that nothing is known of has its hint compared
//! with those of all sessions; one with a label that is known has only its tag tried.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/memory.rs"]
mod memory;
#[path = "support/pair.rs"]
mod pair;
#[path = "support/stopwatch.rs"]
mod stopwatch;

use bytes::Bytes;
use memory::Memory;
use ostrakon::engine::io::{Input, LinkId, Output, Restored, Time};
use ostrakon::engine::limits::Limits;
use ostrakon::engine::{Config, Engine};
use ostrakon::security::identity::Identity;
use ostrakon::security::session::SendSession;
use ostrakon::wire::fragment::{Kind, ManifestChunk, Place};
use ostrakon::wire::manifest::{Lifetime, Manifest};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::time::Duration;
use stopwatch::{Stopwatch, machine, median};

const SESSIONS: usize = 200;
const ROUNDS: usize = 9;
/// Frames in a round: fewer than a link may have looked at in the second that each has.
const FRAMES: usize = 1_000;
/// Bytes of a frame.
const LEN: usize = 200;
const PART: usize = 64 << 20;
/// For how many seconds memory is watched: the last power of two of them is the last that is shown.
const MEMORY_SECONDS: u32 = 32;
/// Frames of garbage a second.
const FLOOD: f64 = 100_000.0;

fn main() {
    println!("frames that lead nowhere on {}", machine());
    println!(
        "a recipient with {SESSIONS} sessions, frames of {LEN} bytes, processor time, median of {ROUNDS} rounds\n"
    );
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let mut victim = Victim::new(&mut rng);
    println!("| frame | us |\n| --- | ---: |");
    for (what, frames) in victim.attacks(&mut rng) {
        println!("| {what} | {:.2} |", victim.cost(&frames));
    }
    flood(&mut rng);
    memory(&mut victim, &mut rng);
}

/// What a flood of messages that nothing is known of leaves in memory, every frame another message.
fn memory(victim: &mut Victim, rng: &mut ChaCha20Rng) {
    println!("\nmemory after seconds of {FLOOD} frames of garbage");
    println!("| s | resident, MB |\n| ---: | ---: |");
    for second in 1..=MEMORY_SECONDS {
        for _ in 0..100 {
            victim.now = victim.now.after(Duration::from_millis(10));
            (0..FLOOD as u64 / 100).for_each(|_| victim.input(received(0, &garbage(rng))));
        }
        if second.is_power_of_two() {
            println!("| {second} | {} |", resident());
        }
    }
}

/// Memory of this process as Linux tells it, in MB.
fn resident() -> String {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<f64>().ok());
    pages.map_or("?".into(), |pages| format!("{:.1}", pages * 4096.0 / 1e6))
}

/// A part, alone and with a flood on another link beside it.
fn flood(rng: &mut ChaCha20Rng) {
    let mut part = vec![0; PART];
    rng.fill_bytes(&mut part);
    let garbage: Vec<Bytes> = (0..4096).map(|_| garbage(rng)).collect();
    let [_, recipient] = pair::people();
    let known = |rng: &mut ChaCha20Rng| announcements(&recipient, rng).0;
    let mut rates: [Vec<f64>; 2] = Default::default();
    let mut sent = 0;
    for _ in 0..3 {
        let alone = pair::transfer(&part, known(rng), |_| Vec::new());
        sent = 0;
        let beside = pair::transfer(&part, known(rng), |elapsed| {
            let due = (elapsed.as_secs_f64() * FLOOD) as usize - sent;
            let frames = (sent..sent + due).map(|n| received(1, &garbage[n % garbage.len()]));
            sent += due;
            frames.collect()
        });
        for (rates, run) in rates.iter_mut().zip([alone, beside]) {
            rates.push(PART as f64 / run.took.as_secs_f64() / 1e6);
        }
    }
    let [alone, beside] = rates.map(median);
    println!(
        "\na part of {} MiB, sender and recipient in one thread, median of 3 rounds, processor time",
        PART >> 20
    );
    println!("| | MB/s | ratio |\n| --- | ---: | ---: |");
    println!("| alone | {alone:.0} | 1.00 |");
    println!(
        "| beside {FLOOD} frames of garbage a second ({sent} in the last round) | {beside:.0} | {:.2} |",
        beside / alone
    );
}

fn received(link: u32, frame: &Bytes) -> Input {
    Input::Received {
        link: LinkId(link),
        frame: frame.clone(),
        custody: None,
    }
}

/// Random bytes that look like a fragment.
fn garbage(rng: &mut ChaCha20Rng) -> Bytes {
    let mut frame = vec![0; LEN];
    rng.fill_bytes(&mut frame);
    frame[0] = 0x40 | (frame[0] & 31);
    frame.into()
}

/// What makes somebody know [`SESSIONS`] people and their sessions, and the last of these sessions.
fn announcements(to: &Identity, rng: &mut ChaCha20Rng) -> (Vec<Input>, SendSession) {
    let card = to.card("to", 1, vec![]);
    let mut inputs = Vec::new();
    let mut last = None;
    for index in 0..SESSIONS {
        let from = Identity::generate(rng);
        let session = SendSession::open(&from, &card, rng).unwrap();
        let preamble = Bytes::from(session.preamble(&from));
        inputs.push(Input::Card(Box::new(from.card("from", 1, vec![]))));
        // A link may have a few examined in a second.
        inputs.push(received(100 + index as u32 / 20, &preamble));
        last = Some(session);
    }
    (inputs, last.unwrap())
}

struct Victim {
    engine: Engine,
    memory: Memory,
    now: Time,
    session: SendSession,
}

impl Victim {
    fn new(rng: &mut ChaCha20Rng) -> Self {
        let identity = Identity::generate(rng);
        let (inputs, session) = announcements(&identity, rng);
        let config = Config {
            identity,
            limits: Limits::default(),
            seed: [1; 32],
            restored: Restored::default(),
        };
        let engine = Engine::new(config, Time(0)).unwrap();
        let (memory, now) = (Memory::default(), Time(1));
        let mut victim = Self {
            engine,
            memory,
            now,
            session,
        };
        inputs.into_iter().for_each(|input| victim.input(input));
        assert!(
            victim.engine.status(victim.now).dropped.is_empty(),
            "a session is missing"
        );
        victim
    }

    fn input(&mut self, input: Input) {
        self.engine.handle_input(self.now, input);
        loop {
            match self.engine.poll_output() {
                Output::Timeout(..) => break,
                Output::Persist(batch) => {
                    let token = batch.token;
                    self.memory.apply(&batch);
                    self.engine.handle_input(self.now, Input::Persisted(token));
                }
                _ => {}
            }
        }
    }

    /// Frames of each kind, none of which opens.
    fn attacks(&mut self, rng: &mut ChaCha20Rng) -> [(&'static str, Vec<Bytes>); 3] {
        let (known, unknown) = (self.genuine(1), self.genuine(2));
        self.input(received(0, &known));
        let mut behind = |head: &[u8]| {
            let mut frame = garbage(rng).to_vec();
            frame[..head.len()].copy_from_slice(head);
            Bytes::from(frame)
        };
        let mut many = |head: &[u8]| (0..FRAMES).map(|_| behind(head)).collect();
        [
            ("of no session", many(&[])),
            (
                "of a message not known, its tag is wrong",
                many(&unknown[..9]),
            ),
            (
                "of a message under way, its tag is wrong",
                many(&known[..9]),
            ),
        ]
    }

    /// The first of two chunks of a manifest.
    fn genuine(&self, salt: u8) -> Bytes {
        let content = Bytes::from(vec![b'x'; 2 * ManifestChunk::SIZE]);
        let manifest =
            Manifest::single([salt; 8], None, Lifetime(0), "text/plain", content).encode();
        let epoch = self.session.epoch();
        let keys = epoch.message(epoch.label(ostrakon::engine::id::MessageId([salt; 32])));
        let plain = [
            &(manifest.len() as u16).to_be_bytes()[..],
            &manifest[..ManifestChunk::SIZE],
        ];
        keys.seal(Kind::Narrow, &Place::SHORT, &plain.concat())
    }

    /// Microseconds a frame.
    fn cost(&mut self, frames: &[Bytes]) -> f64 {
        let rounds = (0..ROUNDS).map(|_| {
            self.now = self.now.after(Duration::from_secs(1));
            let watch = Stopwatch::start();
            for frame in frames {
                self.input(received(0, frame));
            }
            watch.elapsed().as_secs_f64() * 1e6 / frames.len() as f64
        });
        median(rounds.collect())
    }
}

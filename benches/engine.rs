//! Two engines back to back in one thread: what the protocol itself costs, beside the kernels that it cannot do without.
//!
//! A part is sent by one engine and received by another. There is no network and no disk; frames and batches change
//! hands in memory. Every byte has to be sealed, opened and hashed, so the rate cannot exceed the harmonic bound of those
//! three: `1 / (1/seal + 1/open + 1/hash)`. What is missing to it is the engine's own work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/measure.rs"]
mod measure;
#[path = "support/memory.rs"]
mod memory;

use measure::{Candidate, Stopwatch, clock, machine, median, rates};
use memory::Memory;
use ostrakon::engine::io::{
    Event, FileId, FileKind, Input, Job, LinkId, LinkProfile, Output, Reach, Restored, Time,
};
use ostrakon::engine::limits::Limits;
use ostrakon::engine::message::{Content, Draft, DraftPart, LinkPolicy, Priority};
use ostrakon::engine::{Config, Engine};
use ostrakon::security::identity::Identity;
use ostrakon::security::kdf::Key;
use ostrakon::security::seal::MessageKeys;
use ostrakon::wire::fragment::{Kind, Place, View};
use ostrakon::wire::manifest::Lifetime;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const PART: usize = 64 << 20;
const ROUNDS: usize = 3;
/// Bytes of a whole symbol.
const SYMBOL: usize = 1344;
/// Frames that may be under way on the link.
const WINDOW: usize = 256;
/// A run that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    println!("engine on {}", machine());
    let mut part = vec![0; PART];
    ChaCha20Rng::seed_from_u64(1).fill_bytes(&mut part);
    let mut measured: [Vec<f64>; 4] = Default::default();
    let mut last = Run::default();
    for _ in 0..ROUNDS {
        let kernels = rates(&mut kernels(), 5, Duration::from_millis(60));
        last = transfer(&part);
        let engine = PART as f64 / last.took.as_secs_f64() / 1e6;
        for (all, rate) in measured.iter_mut().zip(kernels.into_iter().chain([engine])) {
            all.push(rate);
        }
    }
    let [seal, open, hash, engine] = measured.map(median);
    let bound = 1.0 / (1.0 / seal + 1.0 / open + 1.0 / hash);
    println!(
        "a part of {} MiB, both engines in one thread, median of {ROUNDS} rounds, {}\n",
        PART >> 20,
        clock()
    );
    println!("| | MB/s | of the bound |");
    println!("| --- | ---: | ---: |");
    println!("| seal, {SYMBOL} bytes | {seal:.0} | |");
    println!("| open, {SYMBOL} bytes | {open:.0} | |");
    println!("| hash (BLAKE3, one thread) | {hash:.0} | |");
    println!("| harmonic bound | {bound:.0} | 1.00 |");
    println!("| send and receive | {engine:.0} | {:.2} |", engine / bound);
    let share = |part: Duration| 100.0 * part.as_secs_f64() / last.took.as_secs_f64();
    println!(
        "\nof the last round: {} frames there, {} back, {} durable batches",
        last.frames[0], last.frames[1], last.durable
    );
    println!(
        "coding jobs {:.0} %, store in memory {:.0} % of the time",
        share(last.coding),
        share(last.store)
    );
}

fn kernels() -> [Candidate<'static>; 3] {
    let keys = MessageKeys::new(Key::new([1; 32]), [2; 32], 5, [7, 8], [1, 2, 3, 4, 5, 6]);
    let again = keys.clone();
    let plain = vec![0x5a; SYMBOL];
    let place = |symbol: u16| Place {
        part: 1,
        block: 3,
        symbol: symbol & 0x1fff,
        slice: 0,
    };
    let frame = keys.seal(Kind::Wide, &place(7), &plain);
    let (block, mut symbol) = (vec![0x5a; 1024 * SYMBOL], 0u16);
    [
        Candidate::new(SYMBOL, move || {
            symbol = symbol.wrapping_add(1);
            keys.seal(Kind::Wide, &place(symbol), &plain)
        }),
        Candidate::new(SYMBOL, move || {
            again.open(&View::parse(&frame).unwrap()).unwrap()
        }),
        Candidate::new(block.len(), move || blake3::hash(&block)),
    ]
}

/// What a transfer took.
#[derive(Default)]
struct Run {
    took: Duration,
    coding: Duration,
    store: Duration,
    frames: [u64; 2],
    durable: u64,
}

struct Side {
    engine: Engine,
    memory: Memory,
    inputs: VecDeque<Input>,
    timeout: Option<Time>,
    confirmed: bool,
}

impl Side {
    fn new(identity: Identity, seed: u8) -> Self {
        let config = Config {
            identity,
            limits: Limits::default(),
            seed: [seed; 32],
            restored: Restored::default(),
        };
        let engine = Engine::new(config, Time(0)).unwrap();
        let inputs = VecDeque::new();
        Self {
            engine,
            memory: Memory::default(),
            inputs,
            timeout: None,
            confirmed: false,
        }
    }
}

fn transfer(part: &[u8]) -> Run {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let people = [Identity::generate(&mut rng), Identity::generate(&mut rng)];
    let cards = [
        people[0].card("a", 1, vec![]),
        people[1].card("b", 1, vec![]),
    ];
    let draft = draft(part, people[1].person());
    let message = draft
        .message_id(people[0].person(), &Limits::default())
        .unwrap();
    let [a, b] = people;
    let mut sides = [Side::new(a, 1), Side::new(b, 2)];
    let file = |kind| FileId {
        kind,
        message,
        part: 1,
    };
    sides[0].memory.put(file(FileKind::Outgoing), part.to_vec());
    for (side, card) in sides.iter_mut().zip(cards.into_iter().rev()) {
        side.inputs.push_back(Input::Card(Box::new(card)));
        side.inputs.push_back(Input::LinkUp {
            link: LinkId(0),
            profile: profile(),
        });
        side.inputs.push_back(Input::LinkReady {
            link: LinkId(0),
            frames: WINDOW,
        });
    }
    sides[0].inputs.push_back(Input::Send(Box::new(draft)));
    let (start, watch) = (Instant::now(), Stopwatch::start());
    let mut run = Run::default();
    while !sides[0].confirmed {
        assert!(
            start.elapsed() < PATIENCE,
            "not delivered within {PATIENCE:?}"
        );
        let busy = (0..2)
            .filter(|&at| turn(&mut sides, at, start, &mut run))
            .count();
        if busy == 0 {
            wake(&mut sides, start);
        }
    }
    run.took = watch.elapsed();
    run.durable = sides.iter().map(|side| side.memory.durable).sum();
    let arrived = sides[1]
        .memory
        .get(&file(FileKind::Incoming))
        .map(Vec::as_slice);
    assert!(arrived == Some(part), "other bytes arrived");
    run
}

/// Gives one side all that waits for it. False if there was nothing.
fn turn(sides: &mut [Side; 2], at: usize, start: Instant, run: &mut Run) -> bool {
    let mut busy = false;
    for _ in 0..sides[at].inputs.len() {
        let Some(input) = sides[at].inputs.pop_front() else {
            break;
        };
        busy = true;
        sides[at].engine.handle_input(now(start), input);
        loop {
            match sides[at].engine.poll_output() {
                Output::Timeout(timeout, _) => break sides[at].timeout = timeout,
                output => answer(sides, at, output, run),
            }
        }
    }
    busy
}

fn answer(sides: &mut [Side; 2], at: usize, output: Output, run: &mut Run) {
    match output {
        Output::Transmit { link, frame, .. } => {
            run.frames[at] += 1;
            sides[1 - at].inputs.push_back(Input::Received {
                link,
                frame,
                custody: None,
            });
            sides[at]
                .inputs
                .push_back(Input::LinkReady { link, frames: 1 });
        }
        Output::Persist(batch) => {
            let (token, begun) = (batch.token, Stopwatch::start());
            sides[at].memory.apply(batch);
            sides[at].inputs.push_back(Input::Persisted(token));
            run.store += begun.elapsed();
        }
        Output::Fetch {
            token,
            file,
            offset,
            len,
        } => {
            let begun = Stopwatch::start();
            let bytes = sides[at].memory.read(&file, offset, len);
            sides[at].inputs.push_back(Input::Fetched(token, bytes));
            run.store += begun.elapsed();
        }
        Output::Compute { token, job } => {
            let (codes, begun) = (matches!(job, Job::Code(_)), Stopwatch::start());
            sides[at]
                .inputs
                .push_back(Input::Computed(token, job.run()));
            if codes {
                run.coding += begun.elapsed();
            }
        }
        Output::Deliver(d) => sides[at].inputs.push_back(Input::DeliverAck {
            message: d.message,
            part: d.part,
        }),
        Output::Event(Event::Confirmed { part: 0, .. }) => sides[at].confirmed = true,
        _ => {}
    }
}

/// Waits for the next timer, and lets it ring.
fn wake(sides: &mut [Side; 2], start: Instant) {
    let next = sides
        .iter()
        .filter_map(|side| side.timeout)
        .min()
        .expect("both engines wait for nothing");
    std::thread::sleep(next.since(now(start)));
    for side in sides
        .iter_mut()
        .filter(|side| side.timeout.is_some_and(|at| at <= next))
    {
        side.inputs.push_back(Input::Timeout);
    }
}

fn now(start: Instant) -> Time {
    Time(start.elapsed().as_nanos() as u64 + 1)
}

fn draft(part: &[u8], to: ostrakon::engine::id::PersonId) -> Draft {
    let digest = *blake3::hash(part).as_bytes();
    let part = DraftPart {
        id: 1,
        media_type: "application/octet-stream".into(),
        name: "map".into(),
        priority: Priority::Normal,
        lifetime: Lifetime(0),
        policy: LinkPolicy::default(),
        content: Content::Snapshot {
            len: part.len() as u64,
            digest,
        },
    };
    Draft {
        request: 1,
        to: [to].into(),
        salt: [3; 8],
        content_key: Key::new([0; 32]),
        created: None,
        parts: vec![part],
    }
}

/// A link that is as fast as both engines: it says itself when it has room.
fn profile() -> LinkProfile {
    LinkProfile {
        mtu: SYMBOL + 30,
        rate_bps: None,
        rtt: None,
        can_send: true,
        can_receive: true,
        enveloped: false,
        courier: false,
        reach: Reach::Anyone,
        cost: 0,
        loss_ppm: 0,
    }
}

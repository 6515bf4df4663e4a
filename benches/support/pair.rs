//! Two engines back to back in one thread, without a network or a disk: frames and batches change hands in memory.

use super::memory::Memory;
use super::stopwatch::Stopwatch;
use bytes::Bytes;
use ostrakon::engine::geometry::Blocks;
use ostrakon::engine::io::{
    Event, FileId, FileKind, Input, Job, LinkId, LinkProfile, Output, Reach, Restored, Time,
};
use ostrakon::engine::limits::Limits;
use ostrakon::engine::message::{Content, Draft, DraftPart, LinkPolicy, Priority};
use ostrakon::engine::{Config, Engine};
use ostrakon::security::identity::Identity;
use ostrakon::security::kdf::Key;
use ostrakon::wire::manifest::Lifetime;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes of a whole symbol.
pub const SYMBOL: usize = 1344;
/// Frames that may be under way on the link.
const WINDOW: usize = 256;
/// A run that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a transfer took.
#[derive(Default)]
pub struct Run {
    pub took: Duration,
    pub coding: Duration,
    pub store: Duration,
    pub frames: [u64; 2],
    pub durable: u64,
}

struct Side {
    engine: Engine,
    memory: Memory,
    inputs: VecDeque<Input>,
    timeout: Option<Time>,
    /// All is confirmed, or all is sent where nobody confirms.
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

/// Sender and recipient.
pub fn people() -> [Identity; 2] {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    [Identity::generate(&mut rng), Identity::generate(&mut rng)]
}

/// Sends a part. The recipient is given `before` first, and then whatever `beside` makes of the processor time so far.
pub fn transfer(
    part: &[u8],
    before: Vec<Input>,
    mut beside: impl FnMut(Duration) -> Vec<Input>,
) -> Run {
    let people = people();
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
    let source = Bytes::copy_from_slice(part);
    sides[0].memory.put(file(FileKind::Outgoing), source);
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
    sides[1].inputs.extend(before);
    let (start, watch) = (Instant::now(), Stopwatch::start());
    let mut run = Run::default();
    while !sides[0].confirmed {
        assert!(
            start.elapsed() < PATIENCE,
            "not delivered within {PATIENCE:?}"
        );
        sides[1].inputs.extend(beside(watch.elapsed()));
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

/// Sends a part on a link that brings nothing back, until all is sent that the loss asks for: processor time and frames.
#[allow(dead_code, reason = "one of the benches does not ask for it")]
pub fn send_blind(part: &[u8], loss_ppm: u32) -> (Duration, u64) {
    let [a, b] = people();
    let (draft, card) = (draft(part, b.person()), b.card("b", 1, vec![]));
    let message = draft.message_id(a.person(), &Limits::default()).unwrap();
    let mut sides = [Side::new(a, 1), Side::new(b, 2)];
    let file = FileId {
        kind: FileKind::Outgoing,
        message,
        part: 1,
    };
    sides[0].memory.put(file, Bytes::copy_from_slice(part));
    let blind = LinkProfile {
        can_receive: false,
        loss_ppm,
        ..profile()
    };
    let inputs = [
        Input::Card(Box::new(card)),
        Input::LinkUp {
            link: LinkId(0),
            profile: blind,
        },
        Input::LinkReady {
            link: LinkId(0),
            frames: WINDOW,
        },
        Input::Send(Box::new(draft)),
    ];
    sides[0].inputs.extend(inputs);
    let (start, watch) = (Instant::now(), Stopwatch::start());
    let mut run = Run::default();
    while !sides[0].confirmed {
        assert!(start.elapsed() < PATIENCE, "not sent within {PATIENCE:?}");
        if !turn(&mut sides, 0, start, &mut run) {
            wake(&mut sides, start);
        }
        // Nobody is there.
        sides[1].inputs.clear();
    }
    (watch.elapsed(), run.frames[0])
}

/// Gives one side all that waits for it, together. False if there was nothing.
fn turn(sides: &mut [Side; 2], at: usize, start: Instant, run: &mut Run) -> bool {
    if sides[at].inputs.is_empty() {
        return false;
    }
    let time = now(start);
    for input in std::mem::take(&mut sides[at].inputs) {
        sides[at].engine.handle_input(time, input);
    }
    let before = run.frames[at];
    loop {
        match sides[at].engine.poll_output() {
            Output::Timeout(timeout, _) => break sides[at].timeout = timeout,
            output => answer(sides, at, output, run),
        }
    }
    let frames = (run.frames[at] - before) as usize;
    if frames > 0 {
        // A link has room again for all that it has carried.
        sides[at].inputs.push_back(Input::LinkReady {
            link: LinkId(0),
            frames,
        });
    }
    true
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
        }
        Output::Persist(batch) => {
            let (token, begun) = (batch.token, Stopwatch::start());
            sides[at].memory.apply(&batch);
            sides[at].inputs.push_back(Input::Persisted(token));
            run.store += begun.elapsed();
        }
        Output::Fetch {
            token,
            file,
            offset,
            len,
            ..
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
        Output::Event(Event::Confirmed { part: 0, .. } | Event::OneWayDone { .. }) => {
            sides[at].confirmed = true;
        }
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
        blocks: Blocks::Usual,
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

//! A host for one engine, on virtual time: a sparse disk in memory that answers at once, and two fixed people.

use bytes::Bytes;
use ostrakon::engine::geometry::{BLOCK_BYTES_MAX, Blocks};
use ostrakon::engine::io::{
    Batch, Event, FileId, FileKind, Input, LinkId, LinkProfile, Output, Reach, Record,
    Restored, StoreError, Table, Time,
};
use ostrakon::engine::limits::Limits;
use ostrakon::engine::message::{Content, Draft, DraftPart, LinkPolicy, Priority};
use ostrakon::engine::{Config, Engine};
use ostrakon::security::card::Card;
use ostrakon::security::identity::Identity;
use ostrakon::security::kdf::Key;
use ostrakon::wire::manifest::Lifetime;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// More outputs than this for one input are a fault.
const OUTPUTS: usize = 200_000;
/// More wake-ups than this at one moment are a fault.
const SPINS: usize = 64;

/// The keys of person `n`, always the same.
pub fn identity(n: u64) -> Identity {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(1000 + n))
}

/// The card of person `n`.
pub fn card(n: u64) -> Card {
    identity(n).card(if n == 0 { "a" } else { "b" }, 1, vec![])
}

/// Writes of a file, by offset.
#[derive(Default)]
struct Sparse {
    len: u64,
    pieces: BTreeMap<u64, Bytes>,
}

impl Sparse {
    fn read(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        let end = offset
            .checked_add(len as u64)
            .filter(|&end| end <= self.len)?;
        let mut out = vec![0; len];
        let from = self
            .pieces
            .range(..=offset)
            .next_back()
            .map_or(offset, |(&at, _)| at);
        for (&at, piece) in self.pieces.range(from..end) {
            let (start, stop) = (at.max(offset), (at + piece.len() as u64).min(end));
            if start < stop {
                let piece = &piece[(start - at) as usize..(stop - at) as usize];
                out[(start - offset) as usize..(stop - offset) as usize].copy_from_slice(piece);
            }
        }
        Some(out)
    }
}

/// One engine and what it needs.
pub struct Host {
    who: u64,
    engine: Engine,
    now: u64,
    timeout: Option<Time>,
    inputs: VecDeque<Input>,
    /// What it sent.
    pub sent: Vec<Bytes>,
    /// What it said.
    pub events: Vec<Event>,
    /// Every write and read fails while this is set.
    pub disk_fails: bool,
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    journal: Vec<Vec<u8>>,
    files: BTreeMap<FileId, Sparse>,
}

impl Host {
    pub fn new(who: u64) -> Self {
        let now = 1_000_000_000;
        let mut host = Self {
            who,
            engine: start(who, Restored::default(), now),
            now,
            timeout: None,
            inputs: VecDeque::new(),
            sent: Vec::new(),
            events: Vec::new(),
            disk_fails: false,
            rows: BTreeMap::new(),
            journal: Vec::new(),
            files: BTreeMap::new(),
        };
        host.input(Input::Card(Box::new(card(1 - who))));
        host
    }

    /// The process ends at once and starts again from its disk.
    pub fn restart(&mut self) {
        let rows = self
            .rows
            .iter()
            .map(|((table, key), value)| (*table, key.clone(), value.clone()));
        let restored = Restored {
            rows: rows.collect(),
            journal: self.journal.clone(),
        };
        self.engine = start(self.who, restored, self.now);
        self.timeout = None;
        self.inputs.clear();
        self.input(Input::Card(Box::new(card(1 - self.who))));
        self.link(LinkId(0), true, 64);
    }

    pub fn link(&mut self, link: LinkId, up: bool, frames: usize) {
        if !up {
            return self.input(Input::LinkDown { link });
        }
        let profile = LinkProfile {
            mtu: if link.0 == 1 { 222 } else { 1414 },
            rate_bps: None,
            rtt: None,
            can_send: true,
            can_receive: true,
            enveloped: link.0 == 2,
            courier: false,
            reach: Reach::Anyone,
            cost: 0,
            loss_ppm: 0,
        };
        self.input(Input::LinkUp { link, profile });
        self.input(Input::LinkReady { link, frames });
    }

    pub fn receive(&mut self, link: u32, frame: Bytes) {
        self.input(Input::Received {
            link: LinkId(link),
            frame,
            custody: None,
        });
    }

    /// Lets time pass; the engine is woken whenever it asked for it.
    pub fn wait(&mut self, ms: u16) {
        let end = self.now + u64::from(ms) * 1_000_000;
        let mut spins = 0;
        let mut wakes = 0;
        while let Some(at) = self.timeout.filter(|at| at.0 <= end) {
            spins = if at.0 <= self.now { spins + 1 } else { 0 };
            assert!(
                spins < SPINS,
                "the engine spins: {:?}",
                self.engine.poll_output()
            );
            self.now = self.now.max(at.0);
            self.input(Input::Timeout);
            wakes += 1;
            if wakes > 2000 {
                break;
            }
        }
        self.now = self.now.max(end);
    }

    pub fn input(&mut self, input: Input) {
        self.inputs.push_back(input);
        let mut outputs = 0;
        while let Some(input) = self.inputs.pop_front() {
            self.engine.handle_input(Time(self.now), input);
            loop {
                outputs += 1;
                assert!(
                    outputs < OUTPUTS,
                    "one input makes more than {OUTPUTS} outputs"
                );
                match self.engine.poll_output() {
                    Output::Timeout(at, _) => {
                        self.timeout = at;
                        break;
                    }
                    output => self.output(output),
                }
            }
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Transmit { frame, link, .. } => {
                assert!(frame.len() <= if link.0 == 1 { 222 } else { 1414 });
                self.sent.push(frame);
            }
            Output::Persist(batch) => {
                let answer = self.apply(&batch);
                self.inputs.push_back(answer);
            }
            Output::Fetch {
                token,
                file,
                offset,
                len,
                ..
            } => {
                assert!(
                    len as u64 <= 2 * BLOCK_BYTES_MAX,
                    "{len} bytes of {file:?} at once"
                );
                let found = self
                    .files
                    .get(&file)
                    .filter(|_| !self.disk_fails)
                    .and_then(|f| f.read(offset, len));
                let answer = found
                    .map(Bytes::from)
                    .ok_or_else(|| StoreError::Io("fuzz".into()));
                self.inputs.push_back(Input::Fetched(token, answer));
            }
            Output::Compute { token, job } => {
                self.inputs.push_back(Input::Computed(token, job.run()))
            }
            Output::Deliver(d) => {
                assert!(self.engine.part_info(d.message, d.part).is_some() || d.part == 0);
                self.inputs.push_back(Input::DeliverAck {
                    message: d.message,
                    part: d.part,
                });
            }
            Output::Event(event) => self.events.push(event),
            Output::Release { .. } | Output::Purge { .. } | Output::Timeout(..) => {}
        }
    }

    fn apply(&mut self, batch: &Batch) -> Input {
        if self.disk_fails {
            return Input::PersistFailed(batch.token, StoreError::Full("fuzz".into()));
        }
        for record in batch.records.clone() {
            match record {
                Record::Put { table, key, value } => drop(self.rows.insert((table, key), value)),
                Record::Delete { table, key } => drop(self.rows.remove(&(table, key))),
                Record::Create { file, len } => self.files.entry(file).or_default().len = len,
                Record::Write {
                    file,
                    offset,
                    bytes,
                } => {
                    if let Some(content) = self.files.get_mut(&file) {
                        assert!(
                            offset + bytes.len() as u64 <= content.len,
                            "a write past the end of {file:?}"
                        );
                        content.pieces.insert(offset, bytes);
                    }
                }
                Record::Remove { file } => drop(self.files.remove(&file)),
                Record::Vacate { file, offset, len } => {
                    if let Some(content) = self.files.get_mut(&file) {
                        content.pieces.retain(|at, _| !(offset..offset + len).contains(at));
                    }
                }
                Record::Journal(note) => self.journal.push(note),
            }
        }
        if batch.durable {
            self.journal.clear();
        }
        Input::Persisted(batch.token)
    }

    /// Queues a message of these parts for the other person.
    pub fn send(&mut self, salt: u8, parts: &[Vec<u8>]) {
        let drafts = parts.iter().enumerate().map(|(i, bytes)| DraftPart {
            id: i as u8 + 1,
            media_type: "application/octet-stream".into(),
            name: String::new(),
            priority: if i == 0 {
                Priority::Urgent
            } else {
                Priority::Bulk
            },
            lifetime: Lifetime(0),
            policy: LinkPolicy::default(),
            content: if bytes.len() <= 256 {
                Content::Inline(bytes.clone().into())
            } else {
                Content::Snapshot {
                    len: bytes.len() as u64,
                    digest: *blake3::hash(bytes).as_bytes(),
                }
            },
        });
        let to = identity(1 - self.who).person();
        let draft = Draft {
            request: 1,
            to: [to].into(),
            salt: [salt; 8],
            content_key: Key::new([0; 32]),
            created: None,
            blocks: Blocks::Usual,
            parts: drafts.collect(),
        };
        let Ok(message) = draft.message_id(identity(self.who).person(), &Limits::default()) else {
            return;
        };
        for (i, bytes) in parts
            .iter()
            .enumerate()
            .filter(|(_, bytes)| bytes.len() > 256)
        {
            let file = FileId {
                kind: FileKind::Outgoing,
                message,
                part: i as u8 + 1,
            };
            let pieces = [(0, bytes.clone().into())].into();
            self.files.insert(
                file,
                Sparse {
                    len: bytes.len() as u64,
                    pieces,
                },
            );
        }
        self.input(Input::Send(Box::new(draft)));
    }
}

fn start(who: u64, restored: Restored, now: u64) -> Engine {
    let config = Config {
        identity: identity(who),
        limits: Limits::default(),
        seed: [who as u8; 32],
        restored,
    };
    match Engine::new(config, Time(now)) {
        Ok(engine) => engine,
        Err(why) => panic!("what was stored does not read: {why}"),
    }
}

/// The frames of two engines that send each other texts and a file, all that passed in both directions.
pub fn record_a_conversation() -> Vec<Bytes> {
    let mut hosts = [Host::new(0), Host::new(1)];
    for host in &mut hosts {
        host.link(LinkId(0), true, 8);
        host.link(LinkId(1), true, 4);
    }
    hosts[0].send(
        1,
        &[
            b"water at the bridge".to_vec(),
            (0..150_000u32).map(|i| (i % 251) as u8).collect(),
        ],
    );
    hosts[1].send(2, &[vec![b'x'; 3000], vec![b'y'; 200]]);
    let mut frames = Vec::new();
    for round in 0..600 {
        for from in 0..2 {
            let sent = std::mem::take(&mut hosts[from].sent);
            for frame in sent {
                // Some are lost, so that repair symbols and partial reports are among them too.
                if round % 7 != 3 {
                    hosts[1 - from].receive(0, frame.clone());
                }
                frames.push(frame);
            }
            hosts[from].input(Input::LinkReady {
                link: LinkId(0),
                frames: 8,
            });
            hosts[from].wait(Duration::from_millis(20).as_millis() as u16);
        }
    }
    let confirmed = |host: &Host| {
        host.events
            .iter()
            .any(|e| matches!(e, Event::Confirmed { part: 0, .. }))
    };
    assert!(
        hosts.iter().all(confirmed),
        "the recorded conversation did not end well"
    );
    frames
}

//! A relay for tests, with a store in memory behind it; everything else of it is the real thing.
#![allow(dead_code, reason = "each test program uses its own half of this")]

use bytes::Bytes;
use ostrakon_transports::keys::{LinkKey, LinkSecret};
use ostrakon_transports::quic::{EndpointOptions, QuicEndpoint};
use ostrakon_transports::relay::{
    Cursor, Fetched, GrantAnswer, Guest, HeldFrame, MailboxStore, MailboxTag, Place, Reader,
    RelayCounters, RelayLimits, RelayServer, Sorted, Sorter, StoreFuture, Subscription, Verdict,
    Watchers,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub const PATIENCE: Duration = Duration::from_secs(60);
/// The frames that the store keeps under one tag; further ones meet a full mailbox.
pub const QUOTA: usize = 3000;

/// The last number given, and all frames with their places.
type Held = (u64, Vec<HeldFrame>);

#[derive(Default)]
pub struct MemoryStore {
    frames: Mutex<Held>,
    watchers: Watchers,
}

impl MemoryStore {
    fn store(&self, frames: Vec<(MailboxTag, Bytes)>) -> Vec<Verdict> {
        let tags: Vec<MailboxTag> = frames.iter().map(|(tag, _)| *tag).collect();
        let mut held = self.frames.lock().unwrap();
        let mut verdicts = Vec::new();
        for (tag, frame) in frames {
            if held.1.iter().filter(|f| f.place.tag == tag).count() >= QUOTA {
                verdicts.push(Verdict::MailboxFull);
                continue;
            }
            held.0 += 1;
            let number = held.0;
            let class = class_of(&frame);
            let place = Place { tag, class, number };
            held.1.push(HeldFrame { place, frame });
            verdicts.push(Verdict::Stored);
        }
        drop(held);
        self.watchers.announce(tags);
        verdicts
    }
}

/// A client of the tests' relay. A grant is the holder's key and a tag, and nobody signs it; who has to show one, and
/// how fast frames may come, the test says.
struct TestGuest {
    store: Arc<MemoryStore>,
    rules: Rules,
    key: LinkKey,
    sorter: Sorter,
    granted: Vec<MailboxTag>,
    paced: usize,
}

/// What the relay asks of its clients.
#[derive(Clone, Copy, Default)]
pub struct Rules {
    /// Frames need a grant.
    pub granted_only: bool,
    /// After so many frames of a connection each further one has to wait, once.
    pub wait_after: Option<usize>,
}

/// The wait of a frame that came too early.
pub const WAIT: Duration = Duration::from_millis(50);

impl Guest for TestGuest {
    fn show(&mut self, grant: &[u8]) -> GrantAnswer {
        match grant.split_first_chunk::<32>() {
            Some((holder, _)) if *holder != self.key.0 => GrantAnswer::Holder,
            Some((_, tag)) if tag.len() == 8 => {
                self.granted.push(tag.try_into().unwrap());
                GrantAnswer::Taken
            }
            _ => GrantAnswer::Unusable,
        }
    }

    fn pace(&mut self, _frame: &[u8]) -> Option<Duration> {
        self.paced += 1;
        let after = self.rules.wait_after?;
        (self.paced > after && (self.paced - after) % 2 == 1).then_some(WAIT)
    }

    fn sort(&mut self, frame: &[u8]) -> Sorted {
        (self.sorter)(frame)
    }

    fn store(&mut self, frames: Vec<(MailboxTag, Bytes)>) -> StoreFuture<'_, Vec<Verdict>> {
        Box::pin(async move {
            let granted = |tag: &MailboxTag| !self.rules.granted_only || self.granted.contains(tag);
            let mut verdicts = Vec::new();
            for (tag, frame) in frames {
                match granted(&tag) {
                    true => verdicts.extend(self.store.store(vec![(tag, frame)])),
                    false => verdicts.push(Verdict::NotGranted),
                }
            }
            Ok(verdicts)
        })
    }
}

impl MailboxStore for MemoryStore {
    fn open(&self, _reader: Reader) -> StoreFuture<'_, ()> {
        Box::pin(async move { Ok(()) })
    }

    fn fetch(
        &self,
        _reader: Reader,
        tags: Arc<[MailboxTag]>,
        after: Cursor,
        max_bytes: usize,
    ) -> StoreFuture<'_, Fetched> {
        Box::pin(async move {
            let held = self.frames.lock().unwrap();
            let mut room = max_bytes;
            let beyond = |f: &&HeldFrame| Cursor::pass(&mut after.clone(), &f.place);
            let mut mine: Vec<&HeldFrame> = held
                .1
                .iter()
                .filter(|f| tags.contains(&f.place.tag))
                .filter(beyond)
                .collect();
            mine.sort_by_key(|f| (f.place.class, f.place.number));
            let mut out: Vec<HeldFrame> = Vec::new();
            for held in mine {
                if held.frame.len() > room && !out.is_empty() {
                    break;
                }
                room = room.saturating_sub(held.frame.len());
                out.push(held.clone());
            }
            Ok(Fetched {
                frames: out,
                upto: after,
            })
        })
    }

    fn release(&self, _reader: Reader, places: Vec<Place>) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let mut held = self.frames.lock().unwrap();
            let before = held.1.len();
            held.1.retain(|f| !places.contains(&f.place));
            Ok((before - held.1.len()) as u64)
        })
    }

    fn first_number(&self) -> u64 {
        1000
    }

    fn subscribe(&self, tags: &[MailboxTag]) -> Subscription {
        self.watchers.subscribe(tags)
    }
}

/// A carrier envelope for tests: magic byte, tag, then whatever.
pub fn enveloped(tag: MailboxTag, payload: &[u8]) -> Bytes {
    [&[0x45], &tag[..], payload].concat().into()
}

/// The same for a frame of class 0, before the others in class 1.
pub fn urgent(tag: MailboxTag, payload: &[u8]) -> Bytes {
    [&[0x46], &tag[..], payload].concat().into()
}

fn class_of(frame: &[u8]) -> u8 {
    u8::from(frame.first() != Some(&0x46))
}

/// Joins what begins with 0x47 to what comes next.
fn sorter() -> Sorter {
    let mut first: Option<Vec<u8>> = None;
    Box::new(move |frame| {
        if let [0x47, part @ ..] = frame {
            first = Some(part.to_vec());
            return Sorted::Piece;
        }
        let whole = [first.take().unwrap_or_default(), frame.to_vec()].concat();
        match whole.first_chunk::<9>() {
            Some([0x45 | 0x46, tag @ ..]) => Sorted::Frame(*tag, whole.into()),
            _ => Sorted::Unaddressed,
        }
    })
}

pub struct Relay {
    pub endpoint: QuicEndpoint,
    pub server: RelayServer,
    pub store: Arc<MemoryStore>,
    pub stop: oneshot::Sender<()>,
    pub running: JoinHandle<()>,
}

impl Relay {
    pub fn start(limits: RelayLimits) -> Self {
        Self::with(limits, Rules::default())
    }

    pub fn with(limits: RelayLimits, rules: Rules) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let secret = LinkSecret::from_seed([100; 32]);
        let endpoint = QuicEndpoint::bind(any, &secret, EndpointOptions::default()).unwrap();
        let store = Arc::new(MemoryStore::default());
        let filled = store.clone();
        let guest_of = move |key| -> Box<dyn Guest> {
            Box::new(TestGuest {
                store: filled.clone(),
                rules,
                key,
                sorter: sorter(),
                granted: Vec::new(),
                paced: 0,
            })
        };
        let server = RelayServer::new(store.clone(), Arc::new(guest_of), limits);
        let (stop, stopped) = oneshot::channel::<()>();
        let (runner, at) = (server.clone(), endpoint.clone());
        let running = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            runner.run(&at, shutdown).await.unwrap();
        });
        Self {
            endpoint,
            server,
            store,
            stop,
            running,
        }
    }

    pub fn held(&self) -> usize {
        self.store.frames.lock().unwrap().1.len()
    }

    pub async fn counted(&self, mut done: impl FnMut(RelayCounters) -> bool) {
        let reached = timeout(PATIENCE, async {
            while !done(self.server.counters()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(reached.await.is_ok(), "{:?}", self.server.counters());
    }
}

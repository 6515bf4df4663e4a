//! A relay for tests, with a store in memory behind it; everything else of it is the real thing.
#![allow(dead_code, reason = "each test program uses its own half of this")]

use bytes::Bytes;
use ostrakon_transports::keys::LinkSecret;
use ostrakon_transports::quic::{EndpointOptions, QuicEndpoint};
use ostrakon_transports::relay::{
    HeldFrame, MailboxStore, MailboxTag, RelayCounters, RelayLimits, RelayServer, StoreFuture,
    Subscription, Verdict, Watchers,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub const PATIENCE: Duration = Duration::from_secs(60);
/// The frames that the store keeps under one tag; further ones meet a full mailbox.
pub const QUOTA: usize = 3000;

/// The last number given, and all frames with theirs.
type Held = (u64, Vec<(u64, MailboxTag, Bytes)>);

#[derive(Default)]
pub struct MemoryStore {
    frames: Mutex<Held>,
    watchers: Watchers,
}

impl MailboxStore for MemoryStore {
    fn store(&self, frames: Vec<(MailboxTag, Bytes)>) -> StoreFuture<'_, Vec<Verdict>> {
        Box::pin(async move {
            let tags: Vec<MailboxTag> = frames.iter().map(|(tag, _)| *tag).collect();
            let mut held = self.frames.lock().unwrap();
            let mut verdicts = Vec::new();
            for (tag, frame) in frames {
                if held.1.iter().filter(|f| f.1 == tag).count() >= QUOTA {
                    verdicts.push(Verdict::MailboxFull);
                    continue;
                }
                held.0 += 1;
                let number = held.0;
                held.1.push((number, tag, frame));
                verdicts.push(Verdict::Stored);
            }
            drop(held);
            self.watchers.announce(tags);
            Ok(verdicts)
        })
    }

    fn fetch(
        &self,
        tags: Arc<[MailboxTag]>,
        after: u64,
        max_bytes: usize,
    ) -> StoreFuture<'_, Vec<HeldFrame>> {
        Box::pin(async move {
            let held = self.frames.lock().unwrap();
            let mut room = max_bytes;
            let mine = held.1.iter().filter(|f| f.0 > after && tags.contains(&f.1));
            let mut out: Vec<HeldFrame> = Vec::new();
            for (number, _, frame) in mine {
                if frame.len() > room && !out.is_empty() {
                    break;
                }
                room = room.saturating_sub(frame.len());
                out.push((*number, frame.clone()));
            }
            Ok(out)
        })
    }

    fn delete(&self, tags: Arc<[MailboxTag]>, upto: u64) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let mut held = self.frames.lock().unwrap();
            let before = held.1.len();
            held.1.retain(|f| f.0 > upto || !tags.contains(&f.1));
            Ok((before - held.1.len()) as u64)
        })
    }

    fn subscribe(&self, tags: &[MailboxTag]) -> Subscription {
        self.watchers.subscribe(tags)
    }
}

/// A carrier envelope for tests: magic byte, tag, then whatever.
pub fn enveloped(tag: MailboxTag, payload: &[u8]) -> Bytes {
    [&[0x45], &tag[..], payload].concat().into()
}

fn tag_of(frame: &[u8]) -> Option<MailboxTag> {
    match frame.first_chunk::<9>()? {
        [0x45, tag @ ..] => Some(*tag),
        _ => None,
    }
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
        let any = "127.0.0.1:0".parse().unwrap();
        let secret = LinkSecret::from_seed([100; 32]);
        let endpoint = QuicEndpoint::bind(any, &secret, EndpointOptions::default()).unwrap();
        let store = Arc::new(MemoryStore::default());
        let server = RelayServer::new(store.clone(), Arc::new(tag_of), limits);
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

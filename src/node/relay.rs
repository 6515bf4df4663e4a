//! The relay: keeps frames for others, by mailbox tag, until they are fetched or too old. It has a key of its
//! own and holds none of anybody else.

use super::error::{NodeError, blocking};
use super::home::{HomeError, random32, write_new};
use crate::engine::id::to_base32;
use crate::engine::io::StoreError;
use crate::store::mailbox::{self, MailboxLimits};
use crate::wire::envelope::Envelope;
use bytes::Bytes;
use ostrakon_transports::keys::LinkSecret;
use ostrakon_transports::quic::{EndpointOptions, QuicEndpoint};
use ostrakon_transports::relay::{
    HeldFrame, MailboxStore, MailboxTag, RelayCounters, RelayLimits, RelayServer, StoreFuture,
    StoreRefusal, Subscription, Verdict, Watchers,
};
use serde::Serialize;
use std::fs;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// How often old frames are looked for.
const EXPIRE: Duration = Duration::from_secs(60);

/// Bounds of a relay.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of what it keeps.
    pub mailbox: MailboxLimits,
    /// Of what its clients may do.
    pub clients: RelayLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mailbox: MailboxLimits {
                max_bytes: 4 << 30,
                max_frames_per_tag: 1 << 20,
                max_bytes_per_tag: 1 << 30,
                max_age: Duration::from_secs(14 * 24 * 3600),
            },
            clients: RelayLimits::default(),
        }
    }
}

/// What a relay counted since it started, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Connections taken.
    pub connections: u64,
    /// Connections turned away for their number.
    pub turned_away: u64,
    /// Connections closed for what they sent.
    pub garbage: u64,
    /// Frames that became durable.
    pub stored: u64,
    /// Frames refused.
    pub refused: u64,
    /// Frames handed over to owners, repeated ones included.
    pub handed_over: u64,
    /// Frames deleted after release.
    pub deleted: u64,
    /// Frames deleted for their age.
    pub expired: u64,
    /// Frames held now.
    pub held_frames: u64,
    /// What those count for, in bytes.
    pub held_bytes: u64,
}

/// A relay that serves.
pub struct Relay {
    server: RelayServer,
    endpoint: QuicEndpoint,
    store: Arc<Mailboxes>,
    address: SocketAddr,
    key: [u8; 32],
}

impl Relay {
    /// Opens the relay in `dir`, or makes one there with a new key, and binds `listen`.
    ///
    /// # Errors
    /// [`NodeError`]: the directory is in use or damaged, or the address is taken.
    pub async fn open(dir: &Path, listen: SocketAddr, limits: Limits) -> Result<Self, NodeError> {
        let dir = dir.to_owned();
        let clients = limits.clients.clone();
        let (secret, store) = blocking(move || {
            let store = mailbox::MailboxStore::open(&prepare(&dir)?, limits.mailbox)?;
            // Under the lock of the store, so that two relays never make two keys.
            Ok((key(&dir)?, store))
        })
        .await?;
        let endpoint = QuicEndpoint::bind(listen, &secret, EndpointOptions::default())?;
        let address = endpoint.local_addr().map_err(|source| NodeError::System {
            what: "its UDP address",
            source,
        })?;
        let store = Arc::new(Mailboxes {
            store: Arc::new(store),
            watchers: Watchers::default(),
            expired: std::sync::atomic::AtomicU64::new(0),
        });
        let tag_of = Arc::new(|frame: &[u8]| Some(Envelope::unwrap(frame).ok()?.0.tag));
        Ok(Self {
            server: RelayServer::new(store.clone(), tag_of, clients),
            key: endpoint.key().0,
            endpoint,
            store,
            address,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address for links to it. `host` stands in for a wildcard address, which nobody can dial.
    pub fn uri(&self, host: Option<&str>) -> String {
        let at = match host {
            Some(host) => format!("{host}:{}", self.address.port()),
            None => self.address.to_string(),
        };
        format!("relay://{at}?key={}", to_base32(&self.key))
    }

    /// What it counted.
    pub fn counters(&self) -> Counters {
        let RelayCounters {
            connections,
            turned_away,
            garbage,
            stored,
            refused,
            handed_over,
            deleted,
        } = self.server.counters();
        let totals = self.store.store.totals().unwrap_or_default();
        Counters {
            connections,
            turned_away,
            garbage,
            stored,
            refused,
            handed_over,
            deleted,
            expired: self
                .store
                .expired
                .load(std::sync::atomic::Ordering::Relaxed),
            held_frames: totals.frames,
            held_bytes: totals.bytes,
        }
    }

    /// Serves until `shutdown` is ready. Gives the counters to `report` every `every`, if that is set, and at
    /// the end.
    ///
    /// # Errors
    /// [`NodeError`] if the endpoint serves already.
    pub async fn run(
        &self,
        shutdown: impl Future<Output = ()>,
        every: Option<Duration>,
        mut report: impl FnMut(Counters),
    ) -> Result<(), NodeError> {
        let serve = self.server.run(&self.endpoint, shutdown);
        tokio::pin!(serve);
        let mut expire = tokio::time::interval(EXPIRE);
        let mut tell =
            tokio::time::interval(every.unwrap_or(EXPIRE).max(Duration::from_millis(100)));
        let served = loop {
            tokio::select! {
                served = &mut serve => break served,
                _ = expire.tick() => self.store.expire().await,
                _ = tell.tick(), if every.is_some() => report(self.counters()),
            }
        };
        if every.is_some() {
            report(self.counters());
        }
        self.endpoint.shutdown().await;
        Ok(served?)
    }
}

/// The body of the `relay` subcommand: opens the relay in `dir`, gives its address to `ready`, serves until
/// `shutdown` is ready, and gives its counters to `report` every `every`, if that is set.
///
/// # Errors
/// As [`Relay::open`].
pub async fn run_relay(
    dir: &Path,
    listen: SocketAddr,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(&Relay),
    every: Option<Duration>,
    report: impl FnMut(Counters),
) -> Result<(), NodeError> {
    let relay = Relay::open(dir, listen, limits).await?;
    ready(&relay);
    relay.run(shutdown, every, report).await
}

fn prepare(dir: &Path) -> Result<std::path::PathBuf, NodeError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(NodeError::file("make", dir))?;
    Ok(dir.join("mailboxes"))
}

/// The link key of the relay, made at its first start.
fn key(dir: &Path) -> Result<LinkSecret, NodeError> {
    let path = dir.join("relay-key");
    match fs::metadata(&path) {
        Ok(meta) if meta.mode() & 0o077 != 0 => {
            let mode = meta.mode() & 0o777;
            return Err(HomeError::Exposed { path, mode }.into());
        }
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let seed = random32().map_err(NodeError::file("make", &path))?;
            write_new(&path, &seed[..])?;
        }
        Err(e) => return Err(NodeError::file("read", path)(e)),
    }
    let bytes = Zeroizing::new(fs::read(&path).map_err(NodeError::file("read", &path))?);
    match <[u8; 32]>::try_from(bytes.as_slice()) {
        Ok(seed) => Ok(LinkSecret::from_seed(seed)),
        Err(_) => {
            let reason = "a key has 32 bytes".into();
            Err(HomeError::Damaged { path, reason }.into())
        }
    }
}

/// The store as the server wants it: off its threads, with watchers.
struct Mailboxes {
    store: Arc<mailbox::MailboxStore>,
    watchers: Watchers,
    expired: std::sync::atomic::AtomicU64,
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

async fn at_store<T: Send + 'static>(
    store: Arc<mailbox::MailboxStore>,
    work: impl FnOnce(&mailbox::MailboxStore) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreRefusal> {
    match tokio::task::spawn_blocking(move || work(&store)).await {
        Ok(done) => done.map_err(|error| StoreRefusal::Failed(error.to_string())),
        Err(_) => Err(StoreRefusal::Failed("the relay stops".into())),
    }
}

impl Mailboxes {
    async fn expire(&self) {
        match at_store(self.store.clone(), |store| store.expire(now_s())).await {
            Ok(count) => {
                let order = std::sync::atomic::Ordering::Relaxed;
                self.expired.fetch_add(count, order);
            }
            Err(error) => tracing::warn!(%error, "cannot delete old frames"),
        }
    }
}

impl MailboxStore for Mailboxes {
    fn store(&self, frames: Vec<(MailboxTag, Bytes)>) -> StoreFuture<'_, Vec<Verdict>> {
        Box::pin(async move {
            let tags: Vec<MailboxTag> = frames.iter().map(|(tag, _)| *tag).collect();
            let (verdicts, frames): (Vec<_>, Vec<_>) = frames
                .into_iter()
                .map(|(tag, frame)| match take_hop(&frame) {
                    Some(frame) => (None, Some((tag, frame))),
                    None => (Some(Verdict::BadEnvelope), None),
                })
                .unzip();
            let frames: Vec<_> = frames.into_iter().flatten().collect();
            let stored = at_store(self.store.clone(), move |store| {
                store.store(now_s(), &frames)
            })
            .await?;
            self.watchers.announce(tags);
            let mut stored = stored.into_iter().map(verdict);
            let refused = |given: Option<Verdict>| given.or_else(|| stored.next());
            Ok(verdicts.into_iter().filter_map(refused).collect())
        })
    }

    fn fetch(
        &self,
        tags: Arc<[MailboxTag]>,
        after: u64,
        max_bytes: usize,
    ) -> StoreFuture<'_, Vec<HeldFrame>> {
        Box::pin(async move {
            let work = move |store: &mailbox::MailboxStore| store.fetch(&tags, after, max_bytes);
            let found = at_store(self.store.clone(), work).await?;
            let now = now_s();
            Ok(found
                .into_iter()
                .map(|held| (held.number, grow_older(held.frame, now, held.since_s)))
                .collect())
        })
    }

    fn delete(&self, tags: Arc<[MailboxTag]>, upto: u64) -> StoreFuture<'_, u64> {
        Box::pin(at_store(self.store.clone(), move |store| {
            store.delete(&tags, upto)
        }))
    }

    fn subscribe(&self, tags: &[MailboxTag]) -> Subscription {
        self.watchers.subscribe(tags)
    }
}

/// A frame with one hop less in its envelope, or nothing if it may make no further one.
fn take_hop(frame: &[u8]) -> Option<Bytes> {
    let (envelope, inner) = Envelope::unwrap(frame).ok()?;
    let hops = envelope.hops.checked_sub(1)?;
    Some(Envelope { hops, ..envelope }.wrap(inner).into())
}

/// A frame that was held since then, with that time added to its age (RFC 9171, section 4.4.2). A clock that was
/// set back adds nothing.
fn grow_older(frame: Bytes, now_s: u64, since_s: u64) -> Bytes {
    let held = u32::try_from(now_s.saturating_sub(since_s)).unwrap_or(u32::MAX);
    match Envelope::unwrap(&frame) {
        Ok((envelope, inner)) => {
            let age = envelope.age.saturating_add(held);
            Envelope { age, ..envelope }.wrap(inner).into()
        }
        Err(_) => frame,
    }
}

fn verdict(verdict: mailbox::Verdict) -> Verdict {
    match verdict {
        mailbox::Verdict::Stored(_) | mailbox::Verdict::Duplicate => Verdict::Stored,
        // A full relay and a full mailbox are one to the sender: neither takes more now.
        mailbox::Verdict::Full | mailbox::Verdict::TagFull => Verdict::MailboxFull,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards the two things that a relay changes in an envelope, and that it changes nothing else.
    #[test]
    fn a_relay_takes_a_hop_and_adds_the_time_it_held_a_frame() {
        let sent = Envelope {
            tag: *b"mailbox!",
            age: 7,
            hops: 2,
            priority: 1,
        };
        let kept = take_hop(&sent.wrap(b"sealed")).unwrap();
        let given = grow_older(kept.clone(), 1100, 1000);
        let expected = Envelope {
            age: 107,
            hops: 1,
            ..sent
        };
        assert_eq!(
            Envelope::unwrap(&given).unwrap(),
            (expected, &b"sealed"[..])
        );
        assert_eq!(grow_older(kept.clone(), 900, 1000), kept);
        let last = Envelope { hops: 0, ..sent }.wrap(b"sealed");
        assert!(take_hop(&last).is_none());
    }
}

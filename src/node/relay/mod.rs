//! The relay: keeps frames for others, by mailbox tag, until they are fetched, passed on, or too old. It has a key of
//! its own and holds none of anybody else.
//!
//! ```text
//!   clients --> server --+                 +--> server --> owners that fetch
//!                        v                 |
//!                     [mailboxes: durable, the urgent first]
//!                        ^                 |
//!   folders --> folder --+                 +--> hop ----> the next relay, which takes custody
//!                                          +--> folder -> whoever carries it
//! ```
//!
//! The operator says which mailboxes lie behind which link: [`api`].

pub mod api;
mod book;
mod desk;
mod folder;
mod grants;
mod guest;
mod hop;
mod lane;
mod links;
mod mailboxes;
mod rates;

use super::api::RateControl;
use super::control::{Answers, Socket};
use super::error::{NodeError, blocking};
use super::home::{HomeError, is_home, random32};
use super::keyfile::KeyFile;
use super::runtime::endpoint_options;
use crate::engine::id::to_base32;
use crate::security::lockbox::Passphrase;
use crate::store::mailbox::MailboxLimits;
use desk::Desk;
use guest::Guest;
use mailboxes::Mailboxes;
use ostrakon_transports::keys::LinkSecret;
use ostrakon_transports::quic::{EndpointError, QuicEndpoint};
use ostrakon_transports::relay::{self, RelayCounters, RelayLimits, RelayServer};
use rates::Rates;
use serde::{Deserialize, Serialize};
use std::fs;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

pub use desk::ask;
pub use rates::{RateLimits, Slowed};

/// How often old frames are looked for.
const EXPIRE: Duration = Duration::from_secs(60);
/// How old the counters are that an operator is shown, at most.
const LOOK: Duration = Duration::from_millis(500);

/// Bounds of a relay.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of what it keeps.
    pub mailbox: MailboxLimits,
    /// Of what its clients may do.
    pub clients: RelayLimits,
    /// Of how fast they bring frames.
    pub rates: RateLimits,
    /// Store nothing for which no grant pays.
    pub grants_required: bool,
    /// How much connections of clients may have under way.
    pub control: RateControl,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mailbox: MailboxLimits {
                max_bytes: 4 << 30,
                max_frames_per_tag: 1 << 20,
                max_bytes_per_tag: 1 << 30,
                max_age: Duration::from_secs(14 * 24 * 3600),
                max_seen: 1 << 18,
            },
            clients: RelayLimits::default(),
            rates: RateLimits::default(),
            grants_required: false,
            control: RateControl::Own,
        }
    }
}

/// What a relay counted since it started, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Frames that others hold now: passed on over links.
    pub forwarded: u64,
    /// Frames held now.
    pub held_frames: u64,
    /// What those count for, in bytes.
    pub held_bytes: u64,
}

/// A relay that serves.
pub struct Relay {
    server: RelayServer,
    rates: Arc<Rates>,
    endpoint: QuicEndpoint,
    desk: Desk,
    socket: PathBuf,
    address: SocketAddr,
    key: [u8; 32],
}

impl Relay {
    /// Opens the relay in `dir`, or makes one there with a new key, and binds `listen`.
    ///
    /// # Errors
    /// [`NodeError`]: the directory is in use, damaged or the home of a node, its key is lost, or the address is
    /// taken. If there was no relay before, there is none after an error.
    pub async fn open(dir: &Path, listen: SocketAddr, limits: Limits) -> Result<Self, NodeError> {
        Self::open_with(dir, listen, limits, None).await
    }

    /// The same for a key under a passphrase. A new key is kept under it, too; one without stays without.
    ///
    /// # Errors
    /// As [`Relay::open`], and if the passphrase is missing or wrong.
    pub async fn open_with(
        dir: &Path,
        listen: SocketAddr,
        limits: Limits,
        passphrase: Option<Passphrase>,
    ) -> Result<Self, NodeError> {
        let home = dir.to_owned();
        let (secret, desk) = blocking(move || {
            refuse_node(&home)?;
            if !is_relay(&home) {
                // Nothing is made for an address that nobody can have.
                try_bind(listen)?;
            }
            let desk = Desk::open(&home, limits.mailbox)?;
            // Under the lock of the store, so that two relays never make two keys.
            let seed = key(&home, desk.mailboxes(), passphrase.as_ref())?;
            desk.grants().know_key(&seed);
            Ok((LinkSecret::from_seed(*seed), desk))
        })
        .await?;
        let endpoint = QuicEndpoint::bind(listen, &secret, endpoint_options(limits.control))?;
        let address = endpoint.local_addr().map_err(|source| NodeError::System {
            what: "its UDP address",
            source,
        })?;
        desk.controls(limits.control);
        desk.grants().require(limits.grants_required);
        let rates = Arc::new(Rates::new(limits.rates));
        let guest_of = {
            let (mailboxes, grants) = (desk.mailboxes().clone(), desk.grants().clone());
            let rates = rates.clone();
            move |key| -> Box<dyn relay::Guest> {
                let (mailboxes, grants) = (mailboxes.clone(), grants.clone());
                Box::new(Guest::new(mailboxes, grants, rates.clone(), key))
            }
        };
        let mailboxes = desk.mailboxes().clone();
        Ok(Self {
            server: RelayServer::new(mailboxes, Arc::new(guest_of), limits.clients),
            rates,
            key: endpoint.key().0,
            socket: socket(dir),
            endpoint,
            desk,
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
        let totals = self.desk.mailboxes().totals();
        let expired = self.desk.mailboxes().dropped().get("too old").copied();
        Counters {
            connections,
            turned_away,
            garbage,
            stored,
            refused,
            handed_over,
            deleted,
            expired: expired.unwrap_or_default(),
            forwarded: self.desk.mailboxes().forwarded(),
            held_frames: totals.frames,
            held_bytes: totals.bytes,
        }
    }

    /// Answers what an operator asks.
    pub async fn ask(&self, request: api::Request) -> api::Response {
        self.desk.answer(request).await
    }

    /// Serves until `shutdown` is ready. Gives the counters to `report` every `every`, if that is set, and at
    /// the end.
    ///
    /// # Errors
    /// [`NodeError`] if the endpoint serves already, or the store does nothing any more before the next start.
    pub async fn run(
        &self,
        shutdown: impl Future<Output = ()>,
        every: Option<Duration>,
        mut report: impl FnMut(Counters),
    ) -> Result<(), NodeError> {
        let socket = Socket::bind(self.socket.clone())?;
        // Who asks at once is told that it runs.
        self.desk.counted(self.counters(), self.rates.slowed());
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let control = tokio::spawn(socket.serve(self.desk.clone(), stopped));
        self.desk.links().start(&self.endpoint, self.desk.book());
        let serve = self.server.run(&self.endpoint, shutdown);
        tokio::pin!(serve);
        let mut expire = tokio::time::interval(EXPIRE);
        let mut tell =
            tokio::time::interval(every.unwrap_or(EXPIRE).max(Duration::from_millis(100)));
        let mut look = tokio::time::interval(LOOK);
        let served = loop {
            if let Some(why) = self.desk.mailboxes().lost() {
                tracing::error!(error = %why, "the relay stops: its mailboxes cannot be used");
                break Err(why.into());
            }
            tokio::select! {
                served = &mut serve => break served.map_err(NodeError::from),
                _ = expire.tick() => self.desk.mailboxes().expire().await,
                _ = look.tick() => self.desk.counted(self.counters(), self.rates.slowed()),
                _ = tell.tick(), if every.is_some() => report(self.counters()),
            }
        };
        if every.is_some() {
            report(self.counters());
        }
        self.desk.links().stop();
        let _ = stop.send(true);
        let _ = control.await;
        self.endpoint.shutdown().await;
        served
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

/// The control socket of the relay in `dir`.
fn socket(dir: &Path) -> PathBuf {
    dir.join("control.sock")
}

/// Where the mailboxes of the relay in `dir` are.
fn mailboxes(dir: &Path) -> PathBuf {
    dir.join("mailboxes")
}

/// Whether a directory holds a relay.
pub fn is_relay(dir: &Path) -> bool {
    mailboxes(dir).exists()
}

/// Refuses the home of a node: its control socket and that of a relay have one name.
fn refuse_node(dir: &Path) -> Result<(), HomeError> {
    match is_home(dir) {
        true => Err(HomeError::OfNode(dir.to_owned())),
        false => Ok(()),
    }
}

/// Finds out whether an address can be had.
fn try_bind(address: SocketAddr) -> Result<(), EndpointError> {
    match UdpSocket::bind(address) {
        Ok(_) => Ok(()),
        Err(source) => Err(EndpointError::Socket { address, source }),
    }
}

/// Makes the directory, and says where the mailboxes in it are.
fn prepare(dir: &Path) -> Result<PathBuf, NodeError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(NodeError::file("make", dir))?;
    Ok(mailboxes(dir))
}

/// The seed of the link key of the relay, made at its first start and never again. Blocks on the disk.
fn key(
    dir: &Path,
    store: &Mailboxes,
    passphrase: Option<&Passphrase>,
) -> Result<Zeroizing<[u8; 32]>, NodeError> {
    let path = key_path(dir);
    let mut file = match KeyFile::read(&path) {
        Err(HomeError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            if store.had_key()? {
                let mailboxes = mailboxes(dir);
                return Err(HomeError::KeyLost {
                    key: path,
                    mailboxes,
                }
                .into());
            }
            let seed = random32().map_err(NodeError::file("make", &path))?;
            KeyFile::create(&path, &seed[..], passphrase)?
        }
        read => read?,
    };
    if let Some(passphrase) = passphrase {
        file.unlock(passphrase)?;
    }
    let seed = seed(&file, path)?;
    store.note_key()?;
    Ok(seed)
}

/// The seed in a key file that is not locked.
fn seed(file: &KeyFile, path: PathBuf) -> Result<Zeroizing<[u8; 32]>, NodeError> {
    match <[u8; 32]>::try_from(file.secret()?) {
        Ok(seed) => Ok(Zeroizing::new(seed)),
        Err(_) => {
            let reason = "a key has 32 bytes".into();
            Err(HomeError::Damaged { path, reason }.into())
        }
    }
}

/// The seed of the link key that the relay in `dir` has. Blocks on the disk.
fn known_key(
    dir: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<Zeroizing<[u8; 32]>, NodeError> {
    let path = key_path(dir);
    let mut file = KeyFile::read(&path)?;
    if let Some(passphrase) = passphrase {
        file.unlock(passphrase)?;
    }
    seed(&file, path)
}

fn key_path(dir: &Path) -> PathBuf {
    dir.join("relay-key")
}

/// Whether the key of the relay in `dir` has a passphrase.
///
/// # Errors
/// [`NodeError`] if there is no relay, or its key is lost or damaged.
pub fn has_passphrase(dir: &Path) -> Result<bool, NodeError> {
    if !is_relay(dir) {
        return Err(HomeError::NoRelay(dir.to_owned()).into());
    }
    Ok(KeyFile::read(&key_path(dir))?.has_passphrase())
}

/// Keeps the key of the relay in `dir` under the passphrase `new` from now on, or under none. `old` opens it if it has
/// one. Blocks.
///
/// # Errors
/// [`NodeError`]: the relay runs, its key is lost or damaged, or `old` is missing or wrong.
pub fn keep_under(
    dir: &Path,
    old: Option<&Passphrase>,
    new: Option<&Passphrase>,
) -> Result<(), NodeError> {
    let _lock = crate::store::hold(&mailboxes(dir))?;
    let mut file = KeyFile::read(&key_path(dir))?;
    if let Some(old) = old {
        file.unlock(old)?;
    }
    Ok(file.keep_under(new)?)
}

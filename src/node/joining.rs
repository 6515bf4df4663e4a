//! A home in the making that is to be another device of a person.
//!
//! ```text
//! DIR/joining        the keys of the device, until it has joined: see [`crate::security::enrolment`]
//! ```
//!
//! It becomes a whole home in one step, when `DIR/version` is written; what was cut off before begins anew.

use super::cards::Contacts;
use super::error::{NodeError, blocking};
use super::home::{Home, HomeError, io_at, is_whole, random32, seeded_rng, sync_dir};
use super::keyfile::{KeyFile, beside};
use super::runtime::bind_any;
use crate::security::enrolment::{Bundle, Code, EnrolmentError, MAX_SEALED, Newcomer};
use crate::security::identity::Identity;
use crate::security::kdf::Key;
use crate::security::lockbox::Passphrase;
use crate::store::Store;
use ostrakon_transports::keys::{LinkKey, LinkSecret};
use ostrakon_transports::quic::{EndpointOptions, PeerSpec, QuicEndpoint, QuicSettings};
use std::fs::{self, DirBuilder};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const KEYS: &str = "joining";
/// What a step that was cut off has left.
const LEFT: [&str; 4] = ["keys", "name", "store", "version"];

/// Such a home.
pub struct Joining {
    dir: PathBuf,
    keys: Newcomer,
    /// The directory, locked: nobody else makes a home there meanwhile.
    _lock: fs::File,
}

impl std::fmt::Debug for Joining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Joining({})", self.dir.display())
    }
}

impl Joining {
    /// Begins in `dir`, which must be missing or empty, or goes on with what was begun there.
    ///
    /// # Errors
    /// [`HomeError`]: there is a home or something else, or another passphrase is needed.
    pub fn begin(dir: &Path, passphrase: Option<&Passphrase>) -> Result<Self, HomeError> {
        if is_whole(dir)? {
            return Err(HomeError::Exists(dir.to_owned()));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io_at(dir))?;
        let lock = locked(dir)?;
        let path = dir.join(KEYS);
        let new = beside(&path);
        let known = |name: &PathBuf| {
            let name = dir.join(name);
            name == path || name == new || LEFT.iter().any(|left| name == dir.join(left))
        };
        let mut foreign = false;
        for entry in fs::read_dir(dir).map_err(io_at(dir))? {
            foreign |= !known(&entry.map_err(io_at(dir))?.file_name().into());
        }
        if foreign || (!path.exists() && dir.join("keys").exists()) {
            return Err(HomeError::Occupied(dir.to_owned()));
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(dir, mode).map_err(io_at(dir))?;
        if path.exists() {
            return Self::go_on(dir, passphrase, lock);
        }
        let keys = Newcomer::generate(&mut seeded_rng().map_err(io_at(dir))?);
        KeyFile::create(&path, &keys.encode(), passphrase)?;
        let dir = dir.to_owned();
        let _lock = lock;
        Ok(Self { dir, keys, _lock })
    }

    /// Whether the keys of what was begun in `dir` need a passphrase; `None` if nothing was begun.
    ///
    /// # Errors
    /// [`HomeError`] if they cannot be read.
    pub fn is_locked(dir: &Path) -> Result<Option<bool>, HomeError> {
        let path = dir.join(KEYS);
        match path.exists() {
            true => Ok(Some(KeyFile::read(&path)?.is_locked())),
            false => Ok(None),
        }
    }

    fn go_on(
        dir: &Path,
        passphrase: Option<&Passphrase>,
        lock: fs::File,
    ) -> Result<Self, HomeError> {
        let path = dir.join(KEYS);
        let mut file = KeyFile::read(&path)?;
        if let Some(passphrase) = passphrase.filter(|_| file.is_locked()) {
            file.unlock(passphrase)?;
        }
        let keys = Newcomer::decode(file.secret()?).map_err(|error| HomeError::Damaged {
            path,
            reason: error.to_string(),
        })?;
        let dir = dir.to_owned();
        let _lock = lock;
        Ok(Self { dir, keys, _lock })
    }

    /// What another device has to be given, with the addresses at which this one listens.
    pub fn code(&self, addresses: Vec<String>) -> Code {
        self.keys.code(addresses)
    }

    /// The seed of the key that this device proves on QUIC links.
    pub fn link_seed(&self) -> &Key {
        self.keys.link_seed()
    }

    /// Takes in what another device has sealed for this one. The keys are kept under the passphrase, if there is one. Blocks.
    ///
    /// # Errors
    /// [`NodeError`]; then nothing has changed, and it can be tried again.
    pub fn finish(
        &self,
        sealed: &[u8],
        passphrase: Option<&Passphrase>,
    ) -> Result<Home, NodeError> {
        let (identity, bundle) = self.keys.open(&self.code(Vec::new()), sealed)?;
        // A home is made once, whoever has seen the code.
        if is_whole(&self.dir)? {
            return Err(HomeError::Exists(self.dir.clone()).into());
        }
        for left in LEFT.map(|name| self.dir.join(name)) {
            match left.is_dir() {
                true => fs::remove_dir_all(&left).map_err(io_at(&left))?,
                false if left.exists() => fs::remove_file(&left).map_err(io_at(&left))?,
                false => {}
            }
        }
        self.fill(&identity, &bundle)?;
        let keys = KeyFile::create(&self.dir.join("keys"), &identity.encode(), passphrase)?;
        let home = Home::complete(&self.dir, &bundle.name, keys)?;
        let begun = self.dir.join(KEYS);
        fs::remove_file(&begun).map_err(io_at(&begun))?;
        sync_dir(&self.dir)?;
        Ok(home)
    }

    fn fill(&self, identity: &Identity, bundle: &Bundle) -> Result<(), NodeError> {
        let (store, _) = Store::open(&self.dir.join("store"), identity.row_key())?;
        let contacts = Contacts::load(store.handle().meta(), identity.person())?;
        contacts.take_over(bundle)
    }
}

/// Locks a directory for as long as the result lives.
fn locked(dir: &Path) -> Result<fs::File, HomeError> {
    let lock = fs::File::open(dir).map_err(io_at(dir))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(HomeError::Joining(dir.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(io_at(dir)(error)),
    }
}

/// Waits at an address for what another device has for this one, and tells `shown` where that is as soon as it listens.
/// What is for somebody else is refused.
///
/// # Errors
/// [`NodeError`] if the address is taken, or the disk fails.
pub async fn wait(
    joining: Joining,
    at: SocketAddr,
    passphrase: Option<Passphrase>,
    shown: impl FnOnce(&Code),
) -> Result<Home, NodeError> {
    if at.ip().is_unspecified() {
        return Err(NodeError::Usage(
            "the other device has to know where this one is; give an address of this device".into(),
        ));
    }
    let secret = LinkSecret::from_seed(*joining.link_seed().bytes());
    let endpoint = QuicEndpoint::bind(at, &secret, EndpointOptions::default())?;
    let mut handovers = endpoint.accept_handovers(MAX_SEALED)?;
    let local = endpoint.local_addr().map_err(|source| NodeError::System {
        what: "its UDP address",
        source,
    })?;
    shown(&joining.code(vec![local.to_string()]));
    let joining = Arc::new(joining);
    loop {
        let Some(handover) = handovers.next().await else {
            return Err(NodeError::Stopped);
        };
        let (joining, bytes) = (joining.clone(), handover.bytes.clone());
        let kept = passphrase.clone();
        match blocking(move || joining.finish(&bytes, kept.as_ref())).await {
            Ok(home) => {
                handover.taken().await;
                endpoint.shutdown().await;
                return Ok(home);
            }
            Err(NodeError::Enrolment(error)) => tracing::warn!(%error, "refused"),
            Err(error) => return Err(error),
        }
    }
}

/// Gives a new device what was sealed for it, at the addresses that its code names, one after the other.
///
/// # Errors
/// [`NodeError::Handover`] if it was reached at none.
pub async fn hand_over(code: &Code, sealed: &[u8]) -> Result<(), NodeError> {
    let secret = random32().map_err(NodeError::random)?;
    // Who dials proves nothing here: what is sealed does.
    let endpoint = bind_any(
        0,
        &LinkSecret::from_seed(*secret),
        EndpointOptions::default(),
    )?;
    let mut reason = "its code names no address".to_owned();
    for address in &code.addresses {
        let peer = PeerSpec {
            address: address.clone(),
            key: LinkKey(code.endpoint.link),
            others: Vec::new(),
            number: 0,
            settings: QuicSettings::default(),
        };
        match endpoint.hand_over(&peer, sealed).await {
            Ok(()) => {
                // Otherwise the other side waits until it gives us up.
                endpoint.shutdown().await;
                return Ok(());
            }
            Err(error) => reason = format!("{address}: {error}"),
        }
    }
    Err(NodeError::Handover(reason))
}

/// Reads what `ostrakon device add` has written.
///
/// # Errors
/// [`NodeError`] if it cannot be read or is too large.
pub fn read_sealed(path: &Path) -> Result<Vec<u8>, NodeError> {
    let most = MAX_SEALED as u64 + 1;
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(NodeError::file("read", path))?;
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(NodeError::file("read", path))?;
    match bytes.len() as u64 == most {
        true => Err(EnrolmentError::Form.into()),
        false => Ok(bytes),
    }
}

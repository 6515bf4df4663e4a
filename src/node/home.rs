//! The home of a node: a directory that only its owner may read.
//!
//! ```text
//! DIR/version        "ostrakon home 2"
//! DIR/keys           the secret keys: see [`crate::security::identity`]; with a passphrase in a
//!                    [`crate::security::lockbox`]
//! DIR/name           what the owner wants to be called, for the contact card
//! DIR/store/         see [`crate::store`]
//! DIR/control.sock   while a node runs
//! ```

use super::error::NodeError;
use super::keyfile::{KeyFile, beside, write_new};
use crate::engine::id::PersonId;
use crate::security::card::{MAX_NAME, is_name};
use crate::security::identity::Identity;
use crate::security::lockbox::{LockError, Passphrase};
use crate::wire::read::Malformed;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const VERSION: &str = "ostrakon home 2";
/// None of the other files is larger than this, in bytes.
const MAX_FILE: u64 = 4096;

/// Why a home could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// There is one already.
    #[error(
        "{} holds a home already; choose another directory, or go on with this one",
        .0.display()
    )]
    Exists(PathBuf),
    /// Another process makes one.
    #[error(
        "another process waits in {} for what a device of yours gives; stop that one first",
        .0.display()
    )]
    Joining(PathBuf),
    /// There are other things, and no home.
    #[error(
        "{} is not empty and holds no whole home; choose another directory, or restore what is missing from a copy",
        .0.display()
    )]
    Occupied(PathBuf),
    /// There is none.
    #[error("there is no home in {}; make one with `ostrakon init`, or name the right directory", .0.display())]
    Missing(PathBuf),
    /// There is no relay.
    #[error(
        "there is no relay in {}; start one with `ostrakon relay`, or name the right directory with --home",
        .0.display()
    )]
    NoRelay(PathBuf),
    /// A relay is to use the home of a node.
    #[error(
        "{} is the home of a node, and a relay needs one of its own; name another directory with --home",
        .0.display()
    )]
    OfNode(PathBuf),
    /// The mailboxes of a relay are there, its key is not.
    #[error(
        "{} is missing, without which links and cards do not find this relay; put it back from a copy, or remove {} and what it holds to begin anew",
        key.display(),
        mailboxes.display()
    )]
    KeyLost {
        /// The key file.
        key: PathBuf,
        /// Where the mailboxes are.
        mailboxes: PathBuf,
    },
    /// Of another version.
    #[error(
        "{} was made by another version of ostrakon ({found}); use that version, or a new home",
        dir.display()
    )]
    Version {
        /// The home.
        dir: PathBuf,
        /// What it says of itself.
        found: String,
    },
    /// Others may read the keys.
    #[error(
        "{} can be read by others (mode {mode:o}); run `chmod 600` on it, and make new keys if others use this machine (a file system without owners, as on many sticks, is mounted with umask=077)",
        path.display()
    )]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file is no key file.
    #[error("{} is damaged ({reason}); restore it from a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The keys are locked, and nobody gave the passphrase.
    #[error(
        "{} is locked with a passphrase; give the file that holds it with --passphrase-file or in OSTRAKON_PASSPHRASE_FILE, or run this at a terminal to be asked",
        .0.display()
    )]
    Locked(PathBuf),
    /// A key file with a passphrase was not opened or written.
    #[error("{}: {source}", path.display())]
    Lock {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: LockError,
    },
    /// A name that no contact card takes.
    #[error(
        "a name has 1 to {MAX_NAME} bytes, all of them visible, and does not begin with `ostrakon:`; choose another one"
    )]
    Name,
    /// Anything else.
    #[error(
        "{}: {source}; see that the directory is there, may be written and has room",
        path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

pub(super) fn io_at(path: &Path) -> impl FnOnce(io::Error) -> HomeError + '_ {
    move |source| HomeError::Io {
        path: path.to_owned(),
        source,
    }
}

/// An existing home. Its keys may be locked: then it tells its name and place, and nothing else before
/// [`Home::unlock`].
#[derive(Clone)]
pub struct Home {
    dir: PathBuf,
    name: String,
    keys: KeyFile,
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Home({})", self.dir.display())
    }
}

impl Home {
    /// Makes a home with new keys in `dir`, which must be missing or empty, or hold what this has left when it was
    /// cut off; keys that are whole are kept then. The keys are not locked.
    ///
    /// # Errors
    /// [`HomeError`]; an existing home is never touched.
    pub fn create(dir: &Path, name: &str) -> Result<Self, HomeError> {
        Self::create_under(dir, name, None)
    }

    /// The same with keys under a passphrase, if there is one. They are never on the disk without it, unless they
    /// were there before.
    ///
    /// # Errors
    /// As [`Home::create`], and if keys that were there have another passphrase.
    pub fn create_under(
        dir: &Path,
        name: &str,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, HomeError> {
        let new = || -> Result<Identity, HomeError> {
            let mut rng = seeded_rng().map_err(io_at(dir))?;
            Ok(Identity::generate(&mut rng))
        };
        Self::create_by(dir, name, passphrase, None, new)
    }

    /// The same with keys that `new` makes. Whole keys that were left by who was cut off have to be of `person`, if that is
    /// somebody.
    pub(super) fn create_by<E: From<HomeError>>(
        dir: &Path,
        name: &str,
        passphrase: Option<&Passphrase>,
        person: Option<PersonId>,
        new: impl FnOnce() -> Result<Identity, E>,
    ) -> Result<Self, E> {
        if !is_name(name) {
            return Err(HomeError::Name.into());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io_at(dir))?;
        let left = clear(dir)?;
        // The directory may have been there before, with other permissions.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(dir, mode).map_err(io_at(dir))?;
        let keys = match left {
            None => KeyFile::create(&dir.join("keys"), &new()?.encode(), passphrase)?,
            Some(mut keys) => {
                match passphrase {
                    Some(words) if keys.is_locked() => keys.unlock(words)?,
                    Some(words) => keys.keep_under(Some(words))?,
                    None => {}
                }
                // Nothing is finished that could not be used.
                let found = Identity::decode(keys.secret()?)
                    .map(|keys| keys.person())
                    .ok();
                if person.is_some_and(|person| found != Some(person)) {
                    return Err(HomeError::Occupied(dir.to_owned()).into());
                }
                keys
            }
        };
        Ok(Self::complete(dir, name, keys)?)
    }

    /// The last step: what is there becomes a home.
    pub(super) fn complete(dir: &Path, name: &str, keys: KeyFile) -> Result<Self, HomeError> {
        if !is_name(name) {
            return Err(HomeError::Name);
        }
        let name = name.trim().to_owned();
        write_new(&dir.join("name"), name.as_bytes())?;
        // Last: a home without it is none, so a crash half way leaves nothing that looks whole.
        write_new(&dir.join("version"), VERSION.as_bytes())?;
        sync_dir(dir)?;
        let dir = dir.to_owned();
        let home = Self { dir, name, keys };
        home.identity()?;
        Ok(home)
    }

    /// Opens a home. Nothing is locked by it: that is the store's part.
    ///
    /// # Errors
    /// [`HomeError`]: missing, of another version, readable by others, or damaged. That keys are locked is none.
    pub fn open(dir: &Path) -> Result<Self, HomeError> {
        let path = dir.join("version");
        let version = match read_small(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
            Err(HomeError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(HomeError::Missing(dir.to_owned()));
            }
            Err(other) => return Err(other),
        };
        if is_begun(&version) {
            return Err(HomeError::Missing(dir.to_owned()));
        }
        if version != VERSION {
            let found = version
                .chars()
                .filter(|c| !c.is_control())
                .take(40)
                .collect();
            let dir = dir.to_owned();
            return Err(HomeError::Version { dir, found });
        }
        // Left by who was killed in the last step of joining: keys that are in the home by now.
        let left = dir.join("joining");
        if left.exists() {
            fs::remove_file(&left).map_err(io_at(&left))?;
        }
        let name = String::from_utf8_lossy(&read_small(&dir.join("name"))?)
            .trim()
            .to_owned();
        let home = Self {
            dir: dir.to_owned(),
            name,
            keys: KeyFile::read(&dir.join("keys"))?,
        };
        if !home.is_locked() {
            home.identity()?;
        }
        Ok(home)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What its owner wants to be called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its keys need a passphrase that [`Home::unlock`] was not given yet.
    pub fn is_locked(&self) -> bool {
        self.keys.is_locked()
    }

    /// Whether its keys have a passphrase.
    pub fn has_passphrase(&self) -> bool {
        self.keys.has_passphrase()
    }

    /// Opens its keys if they are locked. Takes a good part of a second, and 64 MiB of memory for that time.
    ///
    /// # Errors
    /// [`HomeError::Lock`] if the passphrase is wrong.
    pub fn unlock(&mut self, passphrase: &Passphrase) -> Result<(), HomeError> {
        self.keys.unlock(passphrase)?;
        self.identity().map(|_| ())
    }

    /// Its keys.
    ///
    /// # Errors
    /// [`HomeError::Locked`], [`HomeError::Damaged`] if they do not read.
    pub fn identity(&self) -> Result<Identity, HomeError> {
        Identity::decode(self.keys.secret()?).map_err(|error| HomeError::Damaged {
            path: self.dir.join("keys"),
            reason: error.to_string(),
        })
    }

    /// Keeps its keys under this passphrase from now on, or under none.
    ///
    /// # Errors
    /// [`NodeError`]: it is locked, or in use by a node or a command, which would go on with the old passphrase.
    pub fn keep_under(&mut self, passphrase: Option<&Passphrase>) -> Result<(), NodeError> {
        let _lock = crate::store::hold(&self.store_dir())?;
        self.refresh()?;
        Ok(self.keys.keep_under(passphrase)?)
    }

    /// Writes its keys anew, in one step and under the same passphrase as before, which nobody is asked for. The
    /// caller holds the lock of the store.
    ///
    /// # Errors
    /// [`HomeError::Locked`], [`HomeError::Io`]; then the keys of before are on the disk.
    pub fn save(&mut self, identity: &Identity) -> Result<(), HomeError> {
        self.keys.save(&identity.encode())
    }

    /// Reads its keys once more. Whoever had the lock of the store before may have written them.
    pub(super) fn refresh(&mut self) -> Result<(), HomeError> {
        self.keys.refresh()?;
        self.identity().map(|_| ())
    }

    pub(super) fn store_dir(&self) -> PathBuf {
        self.dir.join("store")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("control.sock")
    }
}

/// Whether a directory holds the home of a node, whole or not.
pub(super) fn is_home(dir: &Path) -> bool {
    ["version", "keys"]
        .iter()
        .any(|name| dir.join(name).exists())
}

/// Removes what a cut off [`Home::create`] has left, but for keys that are whole, which it returns.
fn clear(dir: &Path) -> Result<Option<KeyFile>, HomeError> {
    let mut left = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_at(dir))? {
        left.push(entry.map_err(io_at(dir))?.file_name());
    }
    let is_left = |name: &str| left.iter().any(|left| left == name);
    if is_left("version") {
        let begun = read_small(&dir.join("version"))?;
        if !is_begun(&String::from_utf8_lossy(&begun)) {
            return Err(HomeError::Exists(dir.to_owned()));
        }
    }
    let path = dir.join("keys");
    let new = beside(&path);
    let files = [dir.join("name"), dir.join("version"), new, path.clone()];
    if !left.iter().all(|left| files.contains(&dir.join(left))) {
        return Err(HomeError::Occupied(dir.to_owned()));
    }
    let keys = match is_left("keys") {
        true => whole(&path)?,
        false => None,
    };
    for file in files.iter().filter(|file| file.exists()) {
        if keys.is_none() || *file != path {
            fs::remove_file(file).map_err(io_at(file))?;
        }
    }
    Ok(keys)
}

/// Whether there is a home that was made to its end.
pub(super) fn is_whole(dir: &Path) -> Result<bool, HomeError> {
    let path = dir.join("version");
    match path.exists() {
        true => Ok(!is_begun(&String::from_utf8_lossy(&read_small(&path)?))),
        false => Ok(false),
    }
}

/// Whether the version of a home was only begun to be written.
fn is_begun(version: &str) -> bool {
    VERSION.starts_with(version) && version != VERSION
}

/// A key file that is one, rather than the beginning of one. What a passphrase locks is whole when it gets its name.
fn whole(path: &Path) -> Result<Option<KeyFile>, HomeError> {
    let keys = KeyFile::read(path)?;
    if keys.is_locked() {
        return Ok(Some(keys));
    }
    match Identity::decode(keys.secret()?) {
        Ok(_) => Ok(Some(keys)),
        Err(Malformed::Truncated) => Ok(None),
        Err(error) => Err(HomeError::Damaged {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}

fn read_small(path: &Path) -> Result<Vec<u8>, HomeError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
        .map_err(io_at(path))?;
    Ok(bytes)
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), HomeError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io_at(dir))
}

/// A generator seeded by the operating system.
pub(super) fn seeded_rng() -> io::Result<rand_chacha::ChaCha20Rng> {
    use rand_core::SeedableRng;
    Ok(rand_chacha::ChaCha20Rng::from_seed(*random32()?))
}

/// Thirty-two bytes of the operating system's randomness.
pub(super) fn random32() -> io::Result<Zeroizing<[u8; 32]>> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut seed[..]).map_err(io::Error::other)?;
    Ok(seed)
}

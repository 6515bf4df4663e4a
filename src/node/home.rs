//! The home of a node: a directory that only its owner may read.
//!
//! ```text
//! DIR/version        "ostrakon home 1"
//! DIR/keys           the secret keys: see [`crate::security::identity`]
//! DIR/name           what the owner wants to be called, for the contact card
//! DIR/store/         see [`crate::store`]
//! DIR/control.sock   while a node runs
//! ```

use crate::security::card::{MAX_NAME, is_name};
use crate::security::identity::Identity;
use crate::wire::read::Malformed;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const VERSION: &str = "ostrakon home 1";
/// No file here is larger, in bytes.
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
        "{} can be read by others (mode {mode:o}); run `chmod 600` on it, and make new keys if others use this machine",
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
    /// A name that no contact card takes.
    #[error(
        "a name has 1 to {MAX_NAME} bytes, all of them visible, and does not begin with `ostrakon:`; choose another one"
    )]
    Name,
    /// Anything else.
    #[error(
        "{}: {source}; see that the directory is there and may be written",
        path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> HomeError + '_ {
    move |source| HomeError::Io {
        path: path.to_owned(),
        source,
    }
}

/// An existing home.
pub struct Home {
    dir: PathBuf,
    name: String,
    keys: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Home({})", self.dir.display())
    }
}

impl Home {
    /// Makes a home with new keys in `dir`, which must be missing or empty, or hold what this has left when it was
    /// cut off; keys that are whole are kept then.
    ///
    /// # Errors
    /// [`HomeError`]; an existing home is never touched.
    pub fn create(dir: &Path, name: &str) -> Result<Self, HomeError> {
        if !is_name(name) {
            return Err(HomeError::Name);
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io_at(dir))?;
        let has_keys = clear(dir)?;
        // The directory may have been there before, with other permissions.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(dir, mode).map_err(io_at(dir))?;
        if !has_keys {
            let mut rng = seeded_rng().map_err(io_at(dir))?;
            write_new(&dir.join("keys"), &Identity::generate(&mut rng).encode())?;
        }
        write_new(&dir.join("name"), name.as_bytes())?;
        // Last: a home without it is none, so a crash half way leaves nothing that looks whole.
        write_new(&dir.join("version"), VERSION.as_bytes())?;
        File::open(dir)
            .and_then(|d| d.sync_all())
            .map_err(io_at(dir))?;
        Self::open(dir)
    }

    /// Opens a home. Nothing is locked by it: that is the store's part.
    ///
    /// # Errors
    /// [`HomeError`]: missing, of another version, readable by others, or damaged.
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
        let name = String::from_utf8_lossy(&read_small(&dir.join("name"))?)
            .trim()
            .to_owned();
        let home = Self {
            dir: dir.to_owned(),
            name,
            keys: read_keys(&dir.join("keys"))?,
        };
        home.identity()?;
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

    /// Its keys.
    ///
    /// # Errors
    /// [`HomeError::Damaged`] if they do not read.
    pub fn identity(&self) -> Result<Identity, HomeError> {
        Identity::decode(&self.keys).map_err(|error| HomeError::Damaged {
            path: self.dir.join("keys"),
            reason: error.to_string(),
        })
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

/// Removes what a cut off [`Home::create`] has left, but for keys that are whole; says whether there are any.
fn clear(dir: &Path) -> Result<bool, HomeError> {
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
    let files = ["keys", "name", "version"];
    if !left
        .iter()
        .all(|left| files.iter().any(|name| left == name))
    {
        return Err(HomeError::Occupied(dir.to_owned()));
    }
    for name in files.into_iter().filter(|name| is_left(name)) {
        let path = dir.join(name);
        if name == "keys" && is_whole(&path)? {
            continue;
        }
        fs::remove_file(&path).map_err(io_at(&path))?;
    }
    Ok(dir.join("keys").exists())
}

/// Whether the version of a home was only begun to be written.
fn is_begun(version: &str) -> bool {
    VERSION.starts_with(version) && version != VERSION
}

/// Whether a key file is one, rather than the beginning of one.
fn is_whole(path: &Path) -> Result<bool, HomeError> {
    match Identity::decode(&read_keys(path)?) {
        Ok(_) => Ok(true),
        Err(Malformed::Truncated) => Ok(false),
        Err(error) => Err(HomeError::Damaged {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}

fn read_keys(path: &Path) -> Result<Zeroizing<Vec<u8>>, HomeError> {
    let mode = fs::metadata(path).map_err(io_at(path))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(HomeError::Exposed { path, mode });
    }
    read_small(path)
}

fn read_small(path: &Path) -> Result<Zeroizing<Vec<u8>>, HomeError> {
    // The room is reserved at once, so that no copy of a secret stays behind in a smaller one.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
        .map_err(io_at(path))?;
    Ok(bytes)
}

pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(io_at(path))
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

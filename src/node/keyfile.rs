//! A file of secret keys that only its owner may read: in the clear, or in a [lockbox](crate::security::lockbox).
//!
//! It is written anew in one step: beside itself, synced, renamed, its directory synced. Whenever the machine stops,
//! the old content is there or the new one, whole.

use super::home::{HomeError, io_at, random32, seeded_rng, sync_dir};
use crate::engine::id::to_base32;
use crate::security::lockbox::{self, Cost, Lock, LockError, Passphrase};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// No key file is larger, in bytes.
const MAX_FILE: u64 = 1 << 16;

/// A key file that was read.
#[derive(Clone)]
pub(super) struct KeyFile {
    path: PathBuf,
    place: Place,
    state: State,
}

/// Among what a key file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a home, where [`beside`] is ours.
    Home,
    /// Anywhere, among files of which none is ours.
    Elsewhere,
}

#[derive(Clone)]
enum State {
    /// Nobody gave the passphrase yet.
    Locked,
    Open {
        secret: Zeroizing<Vec<u8>>,
        /// Under which it is kept, unless in the clear.
        lock: Option<Lock>,
    },
}

impl KeyFile {
    /// Reads one of a home.
    ///
    /// # Errors
    /// [`HomeError`]: missing, readable by others, or a damaged lockbox.
    pub(super) fn read(path: &Path) -> Result<Self, HomeError> {
        Self::read_at(path, Place::Home)
    }

    /// Reads one that lies among files of others.
    ///
    /// # Errors
    /// As [`KeyFile::read`].
    pub(super) fn read_elsewhere(path: &Path) -> Result<Self, HomeError> {
        Self::read_at(path, Place::Elsewhere)
    }

    fn read_at(path: &Path, place: Place) -> Result<Self, HomeError> {
        let bytes = read(path)?;
        let state = match lockbox::is_lockbox(&bytes) {
            true => {
                lockbox::check(&bytes).map_err(locked_at(path))?;
                State::Locked
            }
            false => State::Open {
                secret: bytes,
                lock: None,
            },
        };
        let path = path.to_owned();
        Ok(Self { path, place, state })
    }

    /// Makes one with this content, in place of what is there.
    pub(super) fn create(
        path: &Path,
        secret: &[u8],
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, HomeError> {
        Self::create_at(path, Place::Home, secret, passphrase)
    }

    /// The same among files of others.
    pub(super) fn create_elsewhere(
        path: &Path,
        secret: &[u8],
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, HomeError> {
        Self::create_at(path, Place::Elsewhere, secret, passphrase)
    }

    fn create_at(
        path: &Path,
        place: Place,
        secret: &[u8],
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, HomeError> {
        let mut file = Self {
            path: path.to_owned(),
            place,
            state: State::Open {
                secret: Zeroizing::new(secret.to_vec()),
                lock: None,
            },
        };
        file.keep_under(passphrase)?;
        Ok(file)
    }

    /// Whether its content is out of reach until [`KeyFile::unlock`].
    pub(super) fn is_locked(&self) -> bool {
        matches!(self.state, State::Locked)
    }

    /// Whether it is kept under a passphrase on the disk.
    pub(super) fn has_passphrase(&self) -> bool {
        !matches!(self.state, State::Open { lock: None, .. })
    }

    /// Opens it if it is locked. Takes a good part of a second, and much memory.
    pub(super) fn unlock(&mut self, passphrase: &Passphrase) -> Result<(), HomeError> {
        if self.is_locked() {
            let (lock, secret) =
                Lock::pick(passphrase, &read(&self.path)?).map_err(locked_at(&self.path))?;
            let lock = Some(lock);
            self.state = State::Open { secret, lock };
        }
        Ok(())
    }

    /// Reads it once more, under the key that is known: another process may have written it since.
    pub(super) fn refresh(&mut self) -> Result<(), HomeError> {
        let State::Open { secret, lock } = &mut self.state else {
            return Err(HomeError::Locked(self.path.clone()));
        };
        let bytes = read(&self.path)?;
        match lock {
            _ if !lockbox::is_lockbox(&bytes) => (*secret, *lock) = (bytes, None),
            Some(lock) => *secret = lock.open(&bytes).map_err(locked_at(&self.path))?,
            None => return Err(HomeError::Locked(self.path.clone())),
        }
        Ok(())
    }

    /// Its content.
    pub(super) fn secret(&self) -> Result<&[u8], HomeError> {
        match &self.state {
            State::Open { secret, .. } => Ok(secret),
            State::Locked => Err(HomeError::Locked(self.path.clone())),
        }
    }

    /// Writes other content, under the same passphrase as before.
    pub(super) fn save(&mut self, content: &[u8]) -> Result<(), HomeError> {
        let State::Open { secret, lock } = &mut self.state else {
            return Err(HomeError::Locked(self.path.clone()));
        };
        match lock {
            Some(lock) => {
                let mut rng = seeded_rng().map_err(io_at(&self.path))?;
                replace(&self.path, self.place, &lock.seal(content, &mut rng))?;
            }
            None => replace(&self.path, self.place, content)?,
        }
        *secret = Zeroizing::new(content.to_vec());
        Ok(())
    }

    /// Writes the same content under another passphrase, or in the clear.
    pub(super) fn keep_under(&mut self, passphrase: Option<&Passphrase>) -> Result<(), HomeError> {
        let content = Zeroizing::new(self.secret()?.to_vec());
        let mut rng = seeded_rng().map_err(io_at(&self.path))?;
        let new = passphrase.map(|words| Lock::new(words, Cost::default(), &mut rng));
        let new = new.transpose().map_err(locked_at(&self.path))?;
        if let State::Open { lock, .. } = &mut self.state {
            *lock = new;
        }
        self.save(&content)
    }
}

fn locked_at(path: &Path) -> impl FnOnce(LockError) -> HomeError + '_ {
    move |source| HomeError::Lock {
        path: path.to_owned(),
        source,
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, HomeError> {
    let meta = fs::metadata(path).map_err(io_at(path))?;
    if !meta.is_file() {
        let reason = "it is no file".to_owned();
        let path = path.to_owned();
        return Err(HomeError::Damaged { path, reason });
    }
    let mode = meta.mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(HomeError::Exposed { path, mode });
    }
    // The room is reserved at once, so that no copy of a secret stays behind in a smaller one.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
        .map_err(io_at(path))?;
    Ok(bytes)
}

/// Where the new content of a key file stands until it is whole.
pub(super) fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn replace(path: &Path, place: Place, bytes: &[u8]) -> Result<(), HomeError> {
    let new = match place {
        Place::Home => beside(path),
        Place::Elsewhere => unused(path)?,
    };
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_at(&new)(error)),
        _ => {}
    }
    let written = write_new(&new, bytes);
    let renamed = written.and_then(|()| fs::rename(&new, path).map_err(io_at(path)));
    if renamed.is_err() {
        // What is in it is secret.
        let _ = fs::remove_file(&new);
    }
    renamed?;
    sync_dir(path.parent().unwrap_or(Path::new("/")))
}

/// A name in the same directory that no file of others has.
fn unused(path: &Path) -> Result<PathBuf, HomeError> {
    let random = random32().map_err(io_at(path))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", to_base32(&random[..10])));
    Ok(path.with_file_name(name))
}

/// Writes a file that only its owner may read, and syncs it.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn words(text: &str) -> Passphrase {
        Passphrase::from_line(text.as_bytes()).unwrap()
    }

    /// Content is saved again under the passphrase without asking for it, and never stands on the disk as it is.
    #[test]
    fn an_unlocked_key_file_is_written_anew_under_the_same_passphrase() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let mut file = KeyFile::create(&path, b"first secret", Some(&words("open"))).unwrap();
        let mut other = KeyFile::read(&path).unwrap();
        assert!(matches!(other.secret(), Err(HomeError::Locked(_))));
        other.unlock(&words("open")).unwrap();
        assert_eq!(other.secret().unwrap(), b"first secret");
        let before = fs::read(&path).unwrap();
        file.save(b"second secret").unwrap();
        let after = fs::read(&path).unwrap();
        assert_ne!(before[30..54], after[30..54], "a nonce was used twice");
        assert!(!after.windows(6).any(|bytes| bytes == b"secret"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        other.refresh().unwrap();
        assert_eq!(other.secret().unwrap(), b"second secret");
        file.keep_under(None).unwrap();
        other.refresh().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second secret");
        file.keep_under(Some(&words("else"))).unwrap();
        assert!(matches!(other.refresh(), Err(HomeError::Locked(_))));
    }

    /// Whoever is killed before the new file has taken the place of the old one leaves the old one, and what he leaves
    /// beside it is in nobody's way.
    #[test]
    fn a_half_written_file_beside_it_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let mut file = KeyFile::create(&path, b"old", None).unwrap();
        write_new(&beside(&path), b"ne").unwrap();
        file.refresh().unwrap();
        assert_eq!(file.secret().unwrap(), b"old");
        file.save(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!beside(&path).exists());
    }

    /// Guards that a key file outside of a home costs nobody a file that happens to be called like a copy of it.
    #[test]
    fn files_of_others_beside_it_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.key");
        let others = ["root.new", "root.key.new"].map(|name| dir.path().join(name));
        others
            .iter()
            .for_each(|path| fs::write(path, b"thesis").unwrap());
        let mut file = KeyFile::create_elsewhere(&path, b"old", None).unwrap();
        file.save(b"new").unwrap();
        for other in &others {
            assert_eq!(fs::read(other).unwrap(), b"thesis");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}

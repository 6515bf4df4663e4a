//! What is known of a network on disk: who carries it, and which namespaces are its own.
//!
//! Each network has a folder under `/run/netsim`. Its carrier holds a lock there for as long as it lives; the kernel lets
//! go of it whatever ends the carrier. So a folder that can be locked is a remnant, and what its record names is removed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ip::{IpError, ip};
use super::names::{HostName, NetworkName};
use super::space;

/// Where the folders of all networks are.
const NETWORKS: &str = "/run/netsim";

const LOCK: &str = "lock";
const RECORD: &str = "record";
const CONTROL: &str = "control";
const LOG: &str = "log";

/// How often a folder is looked at that somebody holds for a moment only, and how long between.
const TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// What a carrier notes of the network it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The process that carries it.
    pub pid: u32,
    /// Its hosts.
    pub hosts: Vec<HostRecord>,
}

/// A host, and how to tell its namespace from any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// The host.
    pub name: String,
    /// The name of its namespace.
    pub namespace: String,
    /// The inode of its namespace.
    pub inode: u64,
    /// The host's addresses, in the order of its devices: IPv4, then IPv6 where the device has one.
    pub addresses: Vec<String>,
}

/// Something is wrong with a network's folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The network is up.
    #[error("{0} is up already: choose another name, or end it by `netsim down {0}`")]
    InUse(NetworkName),
    /// There is no such network.
    #[error(
        "there is no network {0}: see `netsim list`, or start it by `netsim up {0} --profile …`"
    )]
    Unknown(NetworkName),
    /// The process that carried the network is gone; what it left has been removed.
    #[error(
        "whatever carried {0} was killed; what it left has been removed: start it again by `netsim up`"
    )]
    Killed(NetworkName),
    /// The network is up but its record is not there (yet).
    #[error("{0} is just starting or ending: try again in a moment")]
    Unready(NetworkName),
    /// A file could not be read or written.
    #[error("{path:?}: {source}; see that the folder is writable and has room")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A record that makes no sense.
    #[error(
        "{path:?} is not a record of netsim ({source}): remove the namespaces it was for by `ip netns del`, then its folder"
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A namespace could not be removed.
    #[error(transparent)]
    Ip(#[from] IpError),
}

/// A network as found on disk.
#[derive(Debug)]
pub enum Found {
    /// Its carrier lives.
    Up(Record),
    /// Its carrier was gone, and what it left has been removed now.
    Swept,
}

/// A network's folder, owned by this process.
#[derive(Debug)]
pub(super) struct Claim {
    folder: PathBuf,
    _lock: File,
    /// Whether there was a record of a network whose carrier is dead.
    swept: bool,
}

impl Claim {
    /// Takes a network's folder, making it if need be. What a dead carrier left is removed.
    pub(super) fn take(name: &NetworkName) -> Result<Self, StateError> {
        let folder = folder(name);
        let path = folder.join(LOCK);
        let mut tries = 0;
        loop {
            let opened = fs::create_dir_all(&folder).and_then(|()| {
                OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(&path)
            });
            let lock = match opened {
                Ok(lock) => lock,
                // Its owner removed the folder between the two calls.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(at(&path)(error)),
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    // It starts, ends or is being swept, and will be one thing or the other in a moment.
                    if tries < TRIES && !is_carried(&folder)? {
                        tries += 1;
                        thread::sleep(BETWEEN_TRIES);
                        continue;
                    }
                    return Err(StateError::InUse(name.clone()));
                }
                Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
            }
            // A lock on a file that its last owner has removed is worth nothing.
            if same_file(&lock, &path) {
                let swept = folder.join(RECORD).exists();
                let claim = Self {
                    folder,
                    _lock: lock,
                    swept,
                };
                claim.sweep()?;
                return Ok(claim);
            }
        }
    }

    /// Notes what the network consists of, whole or not at all.
    pub(super) fn write(&self, record: &Record) -> Result<(), StateError> {
        let path = self.folder.join(RECORD);
        let draft = self.folder.join("record.new");
        let written = serde_json::to_vec(record)
            .map_err(io::Error::from)
            .and_then(|bytes| {
                let mut file = File::create(&draft)?;
                file.write_all(&bytes)?;
                fs::rename(&draft, &path)
            });
        written.map_err(at(&path))
    }

    /// The file that the carrier's messages go to.
    pub(super) fn create_log(&self) -> Result<File, StateError> {
        let path = self.folder.join(LOG);
        File::create(&path).map_err(at(&path))
    }

    /// Removes the network's namespaces and files, and lets go of it.
    pub(super) fn release(self) -> Result<(), StateError> {
        self.sweep()?;
        fs::remove_dir_all(&self.folder).map_err(at(&self.folder))?;
        // It stays if there are other networks.
        let _removed = fs::remove_dir(NETWORKS);
        Ok(())
    }

    /// Removes everything but the lock.
    fn sweep(&self) -> Result<(), StateError> {
        let path = self.folder.join(RECORD);
        if let Some(record) = read(&path)? {
            for host in &record.hosts {
                space::remove(&host.namespace, host.inode)?;
            }
        }
        for file in [CONTROL, LOG, "record.new", RECORD] {
            let path = self.folder.join(file);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(&path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Looks for a network, and removes what a dead carrier left of it.
///
/// # Errors
///
/// [`StateError::Unknown`] without such a network; [`StateError::Unready`] while it starts or ends; what the system says.
pub fn find(name: &NetworkName) -> Result<Found, StateError> {
    if !folder(name).exists() {
        return Err(StateError::Unknown(name.clone()));
    }
    match Claim::take(name) {
        Ok(claim) => {
            let swept = claim.swept;
            claim.release()?;
            // Without a record it ended as it should while it was looked for.
            swept
                .then_some(Found::Swept)
                .ok_or_else(|| StateError::Unknown(name.clone()))
        }
        Err(StateError::InUse(_)) => {
            let record = read(&folder(name).join(RECORD))?;
            record
                .map(Found::Up)
                .ok_or_else(|| StateError::Unready(name.clone()))
        }
        Err(error) => Err(error),
    }
}

/// Looks for a network that is up.
///
/// # Errors
///
/// As [`find`]; [`StateError::Killed`] if there were only remnants, which have been removed.
pub fn find_up(name: &NetworkName) -> Result<Record, StateError> {
    match find(name)? {
        Found::Up(record) => Ok(record),
        Found::Swept => Err(StateError::Killed(name.clone())),
    }
}

/// The names of all networks that have a folder, in order.
///
/// # Errors
///
/// What the system says of the folder of folders.
pub fn names() -> Result<Vec<NetworkName>, StateError> {
    let networks = Path::new(NETWORKS);
    let entries = match fs::read_dir(networks) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(networks)(error)),
    };
    let mut names: Vec<NetworkName> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    names.sort();
    Ok(names)
}

impl HostRecord {
    /// The processes that run on the host, as `ip netns pids` tells.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn processes(&self) -> Result<Vec<u32>, IpError> {
        let printed = ip(&["netns", "pids", &self.namespace])?;
        let words = printed.split_whitespace();
        Ok(words.filter_map(|word| word.parse().ok()).collect())
    }
}

impl Record {
    /// The host of that name.
    #[must_use]
    pub fn host(&self, name: &HostName) -> Option<&HostRecord> {
        self.hosts.iter().find(|host| host.name == name.as_str())
    }
}

/// The socket on which a network's carrier takes orders.
pub(super) fn control_path(name: &NetworkName) -> PathBuf {
    folder(name).join(CONTROL)
}

/// The file that the carrier's messages go to.
pub fn log_path(name: &NetworkName) -> PathBuf {
    folder(name).join(LOG)
}

fn folder(name: &NetworkName) -> PathBuf {
    Path::new(NETWORKS).join(name.as_str())
}

fn read(path: &Path) -> Result<Option<Record>, StateError> {
    match fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| StateError::Record {
                    path: path.to_owned(),
                    source,
                })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// Whether the process that the record names lives.
fn is_carried(folder: &Path) -> Result<bool, StateError> {
    let record = read(&folder.join(RECORD))?;
    Ok(record.is_some_and(|record| lives(record.pid)))
}

/// Whether a process lives; one that was killed and waits for its end to be noticed (state Z in `proc_pid_stat(5)`, after
/// the name in brackets) does not.
pub(super) fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        let state = stat.rsplit(')').next().unwrap_or_default();
        !state.trim_start().starts_with('Z')
    })
}

fn same_file(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(named)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    (held.dev(), held.ino()) == (named.dev(), named.ino())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { path, source }
}

//! Network namespaces: made without a name, then named, and removed only if they are the ones that were made.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};

use super::device::Device;
use super::ip::{IpError, ip};

/// Where `ip netns` keeps the names.
const NAMES: &str = "/run/netns";
/// What `statfs` says of a file that is a namespace (`NSFS_MAGIC` in `linux/magic.h`).
const NAMESPACE_FILES: u64 = 0x6e73_6673;

/// Kernel settings of a new namespace: no packets that no program sent, and any source address may come by any device.
const SETTINGS: [(&str, &str); 4] = [
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/addr_gen_mode", "1"),
];

/// A device to be made.
#[derive(Debug, Clone)]
pub(super) struct DeviceSpec {
    pub(super) name: String,
    pub(super) mtu: u16,
}

/// A namespace that has no name yet. It vanishes with its devices and this value unless it is given one.
pub(super) struct Space {
    /// The inode that tells this namespace from any other.
    pub(super) inode: u64,
    /// Its devices, in the order asked for.
    pub(super) devices: Vec<Device>,
    /// The thread that lives in it, which `ip netns attach` asks for.
    thread: i32,
    /// Dropped, it lets the thread end.
    _hold: mpsc::Sender<()>,
}

/// A namespace or its devices could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// The kernel refused a namespace.
    #[error("cannot make a network namespace: {0}; run as root, on a kernel with CONFIG_NET_NS")]
    Unshare(nix::Error),
    /// The namespace could not be examined.
    #[error("cannot read {path:?}: {source}; see whether /proc is mounted")]
    Inspect {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A TUN device could not be made.
    #[error(
        "cannot make the TUN device {name}: {source}; see whether /dev/net/tun exists (`modprobe tun`)"
    )]
    Device {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is a namespace of that name that is not ours.
    #[error(
        "there is a network namespace {0} already: choose another name, or remove it by `ip netns del {0}` if nobody needs it"
    )]
    Taken(String),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; see the limits on processes (`ulimit -u`)")]
    Thread(io::Error),
    /// `ip` failed.
    #[error(transparent)]
    Ip(#[from] IpError),
}

impl Space {
    /// Makes a namespace with these devices, all of them down.
    pub(super) fn create(devices: Vec<DeviceSpec>) -> Result<Self, SpaceError> {
        let (tell, told) = mpsc::channel();
        let (hold, held) = mpsc::channel::<()>();
        thread::Builder::new()
            .name("space".to_owned())
            .spawn(move || {
                let made = found(&devices);
                // Whoever asked may be gone; then nobody needs the namespace.
                let _asked = tell.send(made);
                let _ended = held.recv();
            })
            .map_err(SpaceError::Thread)?;
        let made = told
            .recv()
            .unwrap_or_else(|_| Err(SpaceError::Thread(io::ErrorKind::Other.into())))?;
        Ok(Self {
            inode: made.inode,
            devices: made.devices,
            thread: made.thread,
            _hold: hold,
        })
    }

    /// Gives the namespace its name, by which `ip netns exec` finds it.
    pub(super) fn attach(&self, name: &str) -> Result<(), SpaceError> {
        ip(&["netns", "attach", name, &self.thread.to_string()])?;
        Ok(())
    }
}

/// Whether a name is taken, by a namespace or by a file in its place.
pub(super) fn is_taken(name: &str) -> bool {
    fs::symlink_metadata(path(name)).is_ok()
}

/// Removes a name if it leads to the namespace with this inode, or to none (after a restart of the machine). Returns
/// whether nothing of ours is left: a name that leads to another namespace is left alone.
pub(super) fn remove(name: &str, inode: u64) -> Result<(), IpError> {
    let path = path(name);
    let Ok(found) = fs::metadata(&path) else {
        return Ok(());
    };
    if is_namespace(&path) && found.ino() != inode {
        return Ok(());
    }
    ip(&["netns", "del", name]).map(|_printed| ())
}

/// The file of a name.
pub(super) fn path(name: &str) -> PathBuf {
    Path::new(NAMES).join(name)
}

fn is_namespace(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type as u64 == NAMESPACE_FILES)
}

struct Founded {
    inode: u64,
    devices: Vec<Device>,
    thread: i32,
}

/// Puts the calling thread into a new namespace, and makes devices there.
fn found(devices: &[DeviceSpec]) -> Result<Founded, SpaceError> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(SpaceError::Unshare)?;
    let own = PathBuf::from("/proc/thread-self/ns/net");
    let inode = match fs::metadata(&own) {
        Ok(found) => found.ino(),
        Err(source) => return Err(SpaceError::Inspect { path: own, source }),
    };
    for (setting, value) in SETTINGS {
        // A kernel without IPv6 lacks some of them, and needs them as little.
        let _set = fs::write(Path::new("/proc/sys/net").join(setting), value);
    }
    let devices = devices
        .iter()
        .map(|device| {
            Device::create(&device.name, device.mtu).map_err(|source| SpaceError::Device {
                name: device.name.clone(),
                source,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Founded {
        inode,
        devices,
        thread: rustix::thread::gettid().as_raw_nonzero().get(),
    })
}

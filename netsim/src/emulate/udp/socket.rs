//! The emulator's sockets, and what the kernel says of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::net::UdpSocket;

use super::SocketCounters;
use crate::emulate::lock;

/// Bytes asked for in each socket's buffers; the kernel may grant less.
#[cfg(target_os = "linux")]
const BUFFER: usize = 8 << 20;

/// The counts behind [`SocketCounters`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    send_errors: AtomicU64,
    receive_errors: AtomicU64,
    evicted: AtomicU64,
    watched: Mutex<Watched>,
}

/// Which sockets the kernel is asked about.
#[derive(Debug, Default)]
struct Watched {
    inodes: Vec<u64>,
    /// Drops of sockets that are closed by now.
    closed: u64,
}

impl Counters {
    pub(super) fn send_error(&self) {
        self.send_errors.fetch_add(1, Relaxed);
    }

    pub(super) fn receive_error(&self) {
        self.receive_errors.fetch_add(1, Relaxed);
    }

    /// Counts an eviction and keeps the kernel's count of the socket that is about to close.
    pub(super) fn evict(&self, socket: &UdpSocket) {
        self.evicted.fetch_add(1, Relaxed);
        let Some(inode) = inode(socket) else { return };
        let mut watched = lock(&self.watched);
        watched.closed += kernel_drops(&[inode]).unwrap_or(0);
        watched.inodes.retain(|watched| *watched != inode);
    }

    pub(super) fn snapshot(&self) -> SocketCounters {
        let watched = lock(&self.watched);
        SocketCounters {
            kernel_drops: kernel_drops(&watched.inodes).map(|open| open + watched.closed),
            send_errors: self.send_errors.load(Relaxed),
            receive_errors: self.receive_errors.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
        }
    }
}

/// A socket with large buffers, whose drops are watched; connected to `peer` if there is one.
pub(super) fn open(
    addr: SocketAddr,
    peer: Option<SocketAddr>,
    counters: &Counters,
) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(addr)?;
    if let Some(peer) = peer {
        socket.connect(peer)?;
    }
    socket.set_nonblocking(true)?;
    enlarge(&socket);
    let socket = UdpSocket::from_std(socket)?;
    if let Some(inode) = inode(&socket) {
        lock(&counters.watched).inodes.push(inode);
    }
    Ok(socket)
}

/// Asks for large buffers; less is no error, it shows as drops.
#[cfg(target_os = "linux")]
fn enlarge(socket: &std::net::UdpSocket) {
    use rustix::net::sockopt;
    // Root may pass the system's limit; for others the kernel grants what it allows.
    if sockopt::set_socket_recv_buffer_size_force(socket, BUFFER).is_err() {
        let _granted_less = sockopt::set_socket_recv_buffer_size(socket, BUFFER);
    }
    let _granted_less = sockopt::set_socket_send_buffer_size(socket, BUFFER);
}

#[cfg(not(target_os = "linux"))]
fn enlarge(_socket: &std::net::UdpSocket) {}

#[cfg(target_os = "linux")]
fn inode(socket: &UdpSocket) -> Option<u64> {
    rustix::fs::fstat(socket).ok().map(|stat| stat.st_ino)
}

#[cfg(not(target_os = "linux"))]
fn inode(_socket: &UdpSocket) -> Option<u64> {
    None
}

/// The sum of the last column (drops) of `/proc/net/udp` and `udp6` over the sockets with these inodes, see proc_net(5);
/// `None` if none of them is listed.
fn kernel_drops(inodes: &[u64]) -> Option<u64> {
    let mut sum = None;
    for table in ["/proc/self/net/udp", "/proc/self/net/udp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let mut columns = line.split_ascii_whitespace();
            let inode = columns.nth(9).and_then(|column| column.parse().ok());
            let drops = columns.last().and_then(|column| column.parse::<u64>().ok());
            if let (Some(inode), Some(drops)) = (inode, drops)
                && inodes.contains(&inode)
            {
                *sum.get_or_insert(0) += drops;
            }
        }
    }
    sum
}

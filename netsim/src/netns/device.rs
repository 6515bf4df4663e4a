//! A TUN device: IP packets that programs send come out of it, and what is written to it reaches programs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use tun_rs::{DeviceBuilder, SyncDevice};

/// Packets that the kernel keeps for us while we are held up: a third of a second of 300 Mbit/s in packets of 1200 bytes.
const KERNEL_QUEUE: u32 = 10_000;

/// A TUN device without offloads: the kernel cuts what programs send into packets of at most the device's MTU.
///
/// It vanishes with its last descriptor, so with this process at the latest.
pub(super) struct Device {
    tun: SyncDevice,
}

impl Device {
    /// Makes a device in the network namespace of the calling thread. It is still down.
    pub(super) fn create(name: &str, mtu: u16) -> io::Result<Self> {
        let tun = DeviceBuilder::new()
            .name(name)
            .mtu(mtu)
            .tx_queue_len(KERNEL_QUEUE)
            .enable(false)
            .build_sync()?;
        tun.set_nonblocking(true)?;
        Ok(Self { tun })
    }

    /// Reads the next packet that a program sent; none if nothing waits.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.tun.recv(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands a packet to the kernel, which takes it up to the receiving program's socket before this returns.
    pub(super) fn write(&self, packet: &[u8]) -> io::Result<()> {
        self.tun.send(packet).map(|_len| ())
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tun.as_fd()
    }
}

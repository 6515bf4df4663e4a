//! A pseudo-terminal that a program opens as a serial port.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::net::unix::pipe;

#[derive(Debug)]
pub(super) struct Port {
    path: PathBuf,
    /// Tokio's reader for pipes, which reads from any file descriptor that can be polled.
    master: pipe::Receiver,
    /// Held open, or the master would report an error whenever no program has the port open.
    _slave: OwnedFd,
}

impl Port {
    /// A new pseudo-terminal in raw mode: no echo, no line editing, eight bits, nothing translated.
    pub(super) fn open() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?.into_bytes();
        let path = PathBuf::from(OsString::from_vec(name));
        let slave = rustix::fs::open(
            &path,
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let mut attributes = tcgetattr(&slave)?;
        attributes.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &attributes)?;
        fcntl_setfl(&master, OFlags::NONBLOCK)?;
        Ok(Self {
            path,
            master: pipe::Receiver::from_owned_fd_unchecked(master)?,
            _slave: slave,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what a program has written, at least one byte.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.master.readable().await?;
            match self.master.try_read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if is_passing(error.kind()) => {}
                result => return result,
            }
        }
    }

    /// Writes for a program to read, as much as fits at once; returns how much that was.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..)
            && !rest.is_empty()
        {
            match rustix::io::write(&self.master, rest).map_err(io::Error::from) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_passing(error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

/// Whether to try again after this.
fn is_passing(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

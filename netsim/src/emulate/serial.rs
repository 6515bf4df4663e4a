//! Two pseudo-terminals joined by a serial line.

mod port;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::clock::Clock;
use super::{Task, back_seed, lock};
use crate::model::{Nanos, SerialLine, SerialSpec, SerialStats, SpecError};
use port::Port;

/// Two serial ports with a line between them: what a program writes to one comes out at the other at the baud rate.
///
/// Programs open [`a_path`](Self::a_path) and [`b_path`](Self::b_path) as they would a serial device, and may close and
/// open them again. Both start in raw mode. Each direction takes at most `buffer_bytes` ahead of the line; the kernel's
/// pseudo-terminal holds some KiB more, then the program that writes blocks. A program that does not read loses what no
/// longer fits its terminal's buffer of a few KiB, as with a UART without flow control, and [`SerialStats::overrun`] counts
/// it.
///
/// The baud rate is the path's: what programs set on their port changes nothing, and `tcdrain` does not wait for the line.
/// A program that claims its port with `TIOCEXCL` keeps it claimed after closing it, because the emulator holds it open.
/// The path ends when it is dropped.
#[derive(Debug)]
pub struct SerialPath {
    a: Arc<Port>,
    b: Arc<Port>,
    forward: Arc<Direction>,
    back: Arc<Direction>,
    tasks: Vec<Task>,
}

/// Why there is no serial path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SerialError {
    /// A line that cannot be.
    #[error("the {direction} line: {source}")]
    Spec {
        /// `forward` or `back`.
        direction: &'static str,
        /// What is wrong with it.
        #[source]
        source: SpecError,
    },
    /// No pseudo-terminal could be had.
    #[error(
        "cannot make a pseudo-terminal ({0}): check that /dev/ptmx and /dev/pts are there and not used up"
    )]
    Pty(#[source] io::Error),
    /// No tokio runtime.
    #[error("there is no tokio runtime here: spawn the path from within one")]
    NoRuntime,
}

impl SerialPath {
    /// Starts a path at `baud` bits a second each way; `forward` is from a to b.
    ///
    /// # Errors
    ///
    /// A spec that cannot be, no pseudo-terminal to be had, or no tokio runtime.
    pub fn spawn(
        baud: u32,
        forward: &SerialSpec,
        back: &SerialSpec,
        seed: u64,
    ) -> Result<Self, SerialError> {
        let runtime =
            tokio::runtime::Handle::try_current().map_err(|_no_runtime| SerialError::NoRuntime)?;
        let clock = Clock::start();
        let make = |direction, spec: &SerialSpec, seed| {
            SerialLine::new(baud, spec, seed)
                .map(|line| Arc::new(Direction::new(line, clock)))
                .map_err(|source| SerialError::Spec { direction, source })
        };
        let forward = make("forward", forward, seed)?;
        let back = make("back", back, back_seed(seed))?;
        let a = Arc::new(Port::open().map_err(SerialError::Pty)?);
        let b = Arc::new(Port::open().map_err(SerialError::Pty)?);
        let tasks = [(&forward, &a, &b), (&back, &b, &a)]
            .into_iter()
            .flat_map(|(direction, from, to)| {
                let (reading, writing) = (Arc::clone(direction), Arc::clone(direction));
                [
                    Task(runtime.spawn(reading.read(Arc::clone(from)))),
                    Task(runtime.spawn(writing.write(Arc::clone(to)))),
                ]
            })
            .collect();
        Ok(Self {
            a,
            b,
            forward,
            back,
            tasks,
        })
    }

    /// The serial device at one end.
    #[must_use]
    pub fn a_path(&self) -> &Path {
        self.a.path()
    }

    /// The serial device at the other end.
    #[must_use]
    pub fn b_path(&self) -> &Path {
        self.b.path()
    }

    /// Cuts the line both ways: what leaves while it is cut goes nowhere.
    pub fn cut(&self) {
        self.forward.set_down(true);
        self.back.set_down(true);
    }

    /// Restores the line both ways.
    pub fn restore(&self) {
        self.forward.set_down(false);
        self.back.set_down(false);
    }

    /// The counts from a to b and from b to a.
    #[must_use]
    pub fn stats(&self) -> (SerialStats, SerialStats) {
        (self.forward.stats(), self.back.stats())
    }

    /// Ends the path and waits until its pseudo-terminals are gone. What is under way is dropped.
    pub async fn shutdown(mut self) {
        for task in self.tasks.drain(..) {
            task.stop().await;
        }
    }
}

#[derive(Debug)]
struct State {
    line: SerialLine,
    overrun: u64,
}

/// One direction: the line, and who waits for it.
#[derive(Debug)]
struct Direction {
    state: Mutex<State>,
    /// When bytes were given to the line.
    filled: Notify,
    /// When bytes have left the line.
    freed: Notify,
    clock: Clock,
}

impl Direction {
    fn new(line: SerialLine, clock: Clock) -> Self {
        Self {
            state: Mutex::new(State { line, overrun: 0 }),
            filled: Notify::new(),
            freed: Notify::new(),
            clock,
        }
    }

    /// Gives the line what the program at `port` writes, as it has room, until the port fails (which takes a fault of the
    /// kernel, as the port is held open at both ends).
    async fn read(self: Arc<Self>, port: Arc<Port>) {
        let mut buffer = Vec::new();
        loop {
            let room = lock(&self.state).line.room();
            if room == 0 {
                self.freed.notified().await;
                continue;
            }
            buffer.resize(room, 0);
            let Ok(len) = port.read(&mut buffer).await else {
                return;
            };
            let bytes = buffer.get(..len).unwrap_or_default();
            // Only this task fills the line, so that the room is still there.
            let mut state = lock(&self.state);
            state.line.offer(self.clock.now(), bytes);
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Hands the program at `port` what comes out of the line, when it does, until the port fails.
    async fn write(self: Arc<Self>, port: Arc<Port>) {
        loop {
            let (bytes, next) = self.take();
            if !bytes.is_empty() {
                let Ok(written) = port.write(&bytes) else {
                    return;
                };
                lock(&self.state).overrun += (bytes.len() - written) as u64;
            }
            match next {
                None => self.filled.notified().await,
                Some(at) => self.clock.sleep_until(at).await,
            }
        }
    }

    /// What has come out by now, and when there will be more.
    fn take(&self) -> (Vec<u8>, Option<Nanos>) {
        let mut state = lock(&self.state);
        let bytes = state.line.take(self.clock.now());
        let next = state.line.next_due();
        drop(state);
        self.freed.notify_one();
        (bytes, next)
    }

    fn set_down(&self, down: bool) {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        state.line.set_down(now, down);
    }

    fn stats(&self) -> SerialStats {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        let overrun = state.overrun;
        SerialStats {
            overrun,
            ..state.line.stats(now)
        }
    }
}

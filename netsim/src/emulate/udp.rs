//! A UDP proxy on loopback with a link in each direction.

mod clients;
mod direction;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::clock::Clock;
use super::{Lateness, Task, back_seed};
use crate::model::{LinkSpec, LinkStats, SpecError};
use clients::Clients;
use direction::Direction;
use socket::Counters;

/// The most bytes that one direction of a path may hold at a time.
const MAX_CAPACITY: u64 = 256 << 20;

/// A UDP proxy: what clients send to [`local_addr`](Self::local_addr) reaches the target through the forward link, and what
/// the target answers reaches the client it answers through the link back.
///
/// Every client address has a socket of its own towards the target, so that the target sees one address for each client.
/// There are at most 64; a 65th client takes the place of the one silent for the longest time. All clients share the two
/// links. The path ends when it is dropped.
#[derive(Debug)]
pub struct UdpPath {
    local_addr: SocketAddr,
    forward: Arc<Direction>,
    back: Arc<Direction>,
    counters: Arc<Counters>,
    reading: Task,
    /// Ends `reading` in order; without it, it ends at once.
    stop: oneshot::Sender<()>,
    delivering: [Task; 2],
}

/// What happened at a path's sockets, outside the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketCounters {
    /// Datagrams that the kernel dropped before the emulator read them, as far as it says; `None` where it does not.
    pub kernel_drops: Option<u64>,
    /// Datagrams that could not be handed on when due, such as to a program that does not listen.
    pub send_errors: u64,
    /// Errors when reading from a socket; a target that does not listen shows here.
    pub receive_errors: u64,
    /// Clients whose place another one took.
    pub evicted: u64,
}

/// Why there is no path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// A link that cannot be.
    #[error("the {direction} link: {source}")]
    Spec {
        /// `forward` or `back`.
        direction: &'static str,
        /// What is wrong with it.
        #[source]
        source: SpecError,
    },
    /// A link that would hold too much memory.
    #[error(
        "a link that holds {0} bytes is more than the emulator's 256 MiB: lower its rate, delay or queue"
    )]
    Capacity(u64),
    /// An address beyond this machine.
    #[error(
        "{0} is not a loopback address: the emulator stands between programs on one machine, give 127.0.0.1 or [::1]"
    )]
    NotLoopback(SocketAddr),
    /// No tokio runtime.
    #[error("there is no tokio runtime here: spawn the path from within one")]
    NoRuntime,
    /// The listening socket could not be had.
    #[error("cannot listen on {addr} ({source}): choose a free port, or port 0 for any")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl UdpPath {
    /// Starts a path from `listen` (port 0 for any free one) to `target`, both on loopback.
    ///
    /// # Errors
    ///
    /// A spec that cannot be, an address beyond this machine, a port that is taken, or no tokio runtime.
    pub fn spawn(
        listen: SocketAddr,
        target: SocketAddr,
        forward: &LinkSpec,
        back: &LinkSpec,
        seed: u64,
    ) -> Result<Self, PathError> {
        for addr in [listen, target] {
            if !addr.ip().is_loopback() {
                return Err(PathError::NotLoopback(addr));
            }
        }
        let runtime =
            tokio::runtime::Handle::try_current().map_err(|_no_runtime| PathError::NoRuntime)?;
        let clock = Clock::start();
        let counters = Arc::new(Counters::default());
        let make = |name, spec: &LinkSpec, seed| {
            if spec.capacity() > MAX_CAPACITY {
                return Err(PathError::Capacity(spec.capacity()));
            }
            Direction::new(spec, seed, clock, Arc::clone(&counters)).map_err(|source| {
                PathError::Spec {
                    direction: name,
                    source,
                }
            })
        };
        let forward = Arc::new(make("forward", forward, seed)?);
        let back = Arc::new(make("back", back, back_seed(seed))?);

        let failed = |source| PathError::Listen {
            addr: listen,
            source,
        };
        let socket = Arc::new(socket::open(listen, None, &counters).map_err(failed)?);
        let local_addr = socket.local_addr().map_err(failed)?;
        let clients = Clients::new(
            Arc::clone(&socket),
            target,
            (Arc::clone(&forward), Arc::clone(&back)),
            Arc::clone(&counters),
        );
        let (stop, stopped) = oneshot::channel();
        let reading = Task(runtime.spawn(clients.run(stopped)));
        let delivering = [
            Task(runtime.spawn(Arc::clone(&forward).deliver())),
            Task(runtime.spawn(Arc::clone(&back).deliver())),
        ];
        Ok(Self {
            local_addr,
            forward,
            back,
            counters,
            reading,
            stop,
            delivering,
        })
    }

    /// Where clients send to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Cuts both directions: what is under way is lost, and what comes is dropped.
    pub fn cut(&self) {
        self.forward.set_down(true);
        self.back.set_down(true);
    }

    /// Restores both directions.
    pub fn restore(&self) {
        self.forward.set_down(false);
        self.back.set_down(false);
    }

    /// Changes the probability of damage, in both directions, for packets that come from now on.
    ///
    /// # Errors
    ///
    /// [`SpecError::Probability`] if `p` is outside 0 to 1.
    pub fn set_corrupt(&self, p: f64) -> Result<(), SpecError> {
        self.forward.set_corrupt(p)?;
        self.back.set_corrupt(p)
    }

    /// The counts of the forward link and of the link back.
    #[must_use]
    pub fn stats(&self) -> (LinkStats, LinkStats) {
        (self.forward.stats(), self.back.stats())
    }

    /// What happened at the sockets, outside the model.
    #[must_use]
    pub fn socket_counters(&self) -> SocketCounters {
        self.counters.snapshot()
    }

    /// How late packets were delivered against the model, both directions together.
    #[must_use]
    pub fn lateness(&self) -> Lateness {
        let mut all = self.forward.lateness();
        all.merge(&self.back.lateness());
        all
    }

    /// Ends the path and waits until its port is free. What is under way is dropped.
    pub async fn shutdown(self) {
        drop(self.stop);
        self.reading.ended().await;
        for task in self.delivering {
            task.stop().await;
        }
    }
}

//! The link model in real time, between programs on this machine.
//!
//! [`UdpPath`] stands between UDP programs on loopback; `SerialPath` (Linux) between two programs that each open a serial
//! port. Both run as tasks of the tokio runtime they are spawned on and end when they are shut down or dropped.
//!
//! # What the emulator adds to the model
//!
//! A packet is offered to the model when the emulator has read it, and delivered when a task wakes at or after the time
//! that the model says: never early, and late by up to about two milliseconds of timer on an idle machine and more on a
//! loaded one. Everything due at a wake-up is delivered at once. [`UdpPath::lateness`] says how late it was in fact. Rates
//! hold all the same, because the model's times do not depend on when the emulator wakes.
//!
//! When the emulator itself was held up, what came meanwhile is offered as one burst, and may find the link's queue full
//! where a spread arrival would not have: on an overloaded machine, read `queue_full` together with the lateness.
//!
//! Counts follow the model's time: a packet counts as delivered from its time of arrival on, even if its delivery is late.
//!
//! # What happens outside the model
//!
//! The kernel drops datagrams if a socket's buffer is full. The emulator asks for 8 MiB for each of its sockets and
//! reports what was dropped there ([`SocketCounters::kernel_drops`], on Linux). What is dropped at the receiving program's
//! own socket shows nowhere here. ECN marks are not carried over.
//!
//! The example `udp_load` prints what a path carries on the machine at hand.

mod clock;
mod lateness;
mod udp;

#[cfg(target_os = "linux")]
mod serial;

#[cfg(all(feature = "cli", target_os = "linux"))]
pub(crate) use clock::Clock;
pub use lateness::Lateness;
#[cfg(target_os = "linux")]
pub use serial::{SerialError, SerialPath};
pub use udp::{PathError, SocketCounters, UdpPath};

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;

/// Locks, whatever became of an earlier holder: every state kept under a lock here is whole between two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A seed for the way back that is not the one of the way forward.
fn back_seed(seed: u64) -> u64 {
    // The increment of SplitMix64: odd, so that no two seeds meet.
    seed.wrapping_add(0x9e37_79b9_7f4a_7c15)
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Task {
    /// Ends the task and waits until it has let go of what it held.
    async fn stop(self) {
        self.0.abort();
        self.ended().await;
    }

    /// Waits until the task has ended.
    async fn ended(mut self) {
        // The only errors are a cancellation that was asked for, and a panic that was printed when it happened.
        let _ended = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

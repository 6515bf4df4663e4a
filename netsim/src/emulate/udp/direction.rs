//! One direction of a path: the link and the datagrams that are on it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::socket::Counters;
use crate::emulate::clock::Clock;
use crate::emulate::{Lateness, lock};
use crate::model::{Link, LinkSpec, LinkStats, Nanos, SpecError};

/// Datagrams handed on between two looks at the clock.
const BATCH: usize = 64;

/// Where a datagram leaves the emulator.
#[derive(Debug, Clone)]
pub(super) struct Exit {
    pub(super) socket: Arc<UdpSocket>,
    /// The receiver, or `None` for the one that the socket is connected to.
    pub(super) to: Option<SocketAddr>,
}

#[derive(Debug, Clone)]
struct Parcel {
    payload: Vec<u8>,
    exit: Exit,
}

#[derive(Debug)]
struct State {
    link: Link<Parcel>,
    lateness: Lateness,
}

#[derive(Debug)]
pub(super) struct Direction {
    state: Mutex<State>,
    changed: Notify,
    clock: Clock,
    counters: Arc<Counters>,
}

impl Direction {
    pub(super) fn new(
        spec: &LinkSpec,
        seed: u64,
        clock: Clock,
        counters: Arc<Counters>,
    ) -> Result<Self, SpecError> {
        Ok(Self {
            state: Mutex::new(State {
                link: Link::new(spec, seed)?,
                lateness: Lateness::default(),
            }),
            changed: Notify::new(),
            clock,
            counters,
        })
    }

    /// Puts a datagram on the link, or drops it as the link says.
    pub(super) fn offer(&self, payload: &[u8], exit: &Exit) {
        let mut state = lock(&self.state);
        let next = state.link.next_at();
        let parcel = Parcel {
            payload: payload.to_vec(),
            exit: exit.clone(),
        };
        // The clock is read under the lock, so that the link's time does not depend on who gets the lock first.
        state.link.offer(self.clock.now(), payload.len(), parcel);
        let sooner = state.link.next_at() != next;
        drop(state);
        if sooner {
            self.changed.notify_one();
        }
    }

    pub(super) fn set_down(&self, down: bool) {
        // What was due before a cut has arrived by the model's count, and is handed on although the emulator is late.
        lock(&self.state).link.set_down(self.clock.now(), down);
        self.changed.notify_one();
    }

    pub(super) fn set_corrupt(&self, p: f64) -> Result<(), SpecError> {
        lock(&self.state).link.set_corrupt(p)
    }

    pub(super) fn stats(&self) -> LinkStats {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        state.link.stats(now)
    }

    pub(super) fn lateness(&self) -> Lateness {
        lock(&self.state).lateness.clone()
    }

    /// Hands on every datagram when it is due, for ever.
    pub(super) async fn deliver(self: Arc<Self>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let next = self.take_due(&mut batch);
            if !batch.is_empty() {
                for parcel in batch.drain(..) {
                    self.hand_on(parcel).await;
                }
                // Sending rarely waits, so nothing else would give the other tasks of this thread their turn.
                tokio::task::yield_now().await;
                continue;
            }
            match next {
                None => self.changed.notified().await,
                Some(at) => tokio::select! {
                    () = self.clock.sleep_until(at) => {}
                    () = self.changed.notified() => {}
                },
            }
        }
    }

    /// Moves what is due into `batch`, up to its size; returns when the one after is due.
    fn take_due(&self, batch: &mut Vec<Parcel>) -> Option<Nanos> {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        while batch.len() < BATCH {
            let Some(arrival) = state.link.poll(now) else {
                return state.link.next_at();
            };
            state.lateness.record(now.saturating_sub(arrival.at));
            let mut parcel = arrival.packet;
            if arrival.damaged {
                state.link.damage(&mut parcel.payload);
            }
            batch.push(parcel);
        }
        state.link.next_at()
    }

    async fn hand_on(&self, parcel: Parcel) {
        let Parcel { payload, exit } = parcel;
        let sent = match exit.to {
            Some(to) => exit.socket.send_to(&payload, to).await,
            None => exit.socket.send(&payload).await,
        };
        if sent.is_err() {
            self.counters.send_error();
        }
    }
}

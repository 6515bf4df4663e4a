//! One direction of a path: the link and the datagrams that are on it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::socket::Counters;
use crate::emulate::clock::Clock;
use crate::emulate::{Lateness, lock};
use crate::model::{Fate, Link, LinkSpec, LinkStats, Nanos, SpecError};

/// Datagrams handed on between two looks at the clock.
const BATCH: usize = 64;

/// Where a datagram leaves the emulator.
#[derive(Debug, Clone)]
pub(super) struct Exit {
    pub(super) socket: Arc<UdpSocket>,
    /// The receiver, or `None` for the one that the socket is connected to.
    pub(super) to: Option<SocketAddr>,
}

#[derive(Debug)]
struct Parcel {
    at: Nanos,
    payload: Vec<u8>,
    exit: Exit,
}

#[derive(Debug)]
struct State {
    link: Link,
    /// In the order of their times; as many as the link holds, which bounds them.
    parcels: VecDeque<Parcel>,
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
                parcels: VecDeque::new(),
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
        // The clock is read under the lock, so that the link's time does not depend on who gets the lock first.
        let fate = state.link.offer(self.clock.now(), payload.len());
        let (Fate::Deliver { at } | Fate::Corrupted { at }) = fate else {
            return;
        };
        let mut payload = payload.to_vec();
        if matches!(fate, Fate::Corrupted { .. }) {
            state.link.damage(&mut payload);
        }
        let was_empty = state.parcels.is_empty();
        state.parcels.push_back(Parcel {
            at,
            payload,
            exit: exit.clone(),
        });
        drop(state);
        if was_empty {
            self.changed.notify_one();
        }
    }

    pub(super) fn set_down(&self, down: bool) {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        state.link.set_down(now, down);
        if down {
            // What was due before the cut has arrived by the model's count, although the emulator is late with it.
            state.parcels.retain(|parcel| parcel.at <= now);
        }
        drop(state);
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
            let at = state.parcels.front()?.at;
            if at > now {
                return Some(at);
            }
            state.lateness.record(now - at);
            batch.extend(state.parcels.pop_front());
        }
        state.parcels.front().map(|parcel| parcel.at)
    }

    async fn hand_on(&self, parcel: Parcel) {
        let Parcel { payload, exit, .. } = parcel;
        let sent = match exit.to {
            Some(to) => exit.socket.send_to(&payload, to).await,
            None => exit.socket.send(&payload).await,
        };
        if sent.is_err() {
            self.counters.send_error();
        }
    }
}

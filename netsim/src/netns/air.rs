//! A shared channel in real time: one thread reads packets from all stations' devices, and writes what each one hears.
//!
//! One thread is enough: what goes over such channels is slow.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::device::Device;
use super::hurry::hurry;
use super::turn::{LARGEST_PACKET, Turn};
use crate::emulate::{Clock, Lateness};
use crate::model::{Channel, StationStats};

/// A channel among devices.
pub(super) struct Air {
    /// In the order of the stations.
    devices: Vec<Arc<Device>>,
    clock: Clock,
    turn: Turn,
    state: Mutex<State>,
}

struct State {
    channel: Channel<Vec<u8>>,
    /// For each station as a receiver.
    hearing: Vec<Hearing>,
}

#[derive(Debug, Clone, Default)]
struct Hearing {
    lateness: Lateness,
    refused: u64,
}

/// What a station has to tell.
#[derive(Debug, Clone)]
pub(super) struct StationCounts {
    pub(super) station: StationStats,
    pub(super) queued_bytes: u64,
    /// Packets that the kernel did not take from us.
    pub(super) refused: u64,
    /// How late this station heard.
    pub(super) lateness: Lateness,
}

impl Air {
    pub(super) fn new(
        channel: Channel<Vec<u8>>,
        devices: Vec<Arc<Device>>,
        clock: Clock,
    ) -> io::Result<Self> {
        let hearing = vec![Hearing::default(); devices.len()];
        Ok(Self {
            devices,
            clock,
            turn: Turn::new()?,
            state: Mutex::new(State { channel, hearing }),
        })
    }

    /// Carries packets until [`Self::end`]. An error is one of a device that is read from.
    pub(super) fn run(&self) -> io::Result<()> {
        hurry();
        let mut buffer = vec![0; LARGEST_PACKET];
        while !self.turn.has_ended() {
            let mut state = self.lock();
            self.hand_on(&mut state);
            let more = self.take_in(&mut state, &mut buffer)?;
            let next = state.channel.next_at();
            drop(state);
            if !more {
                let devices = self.devices.iter().map(|device| &**device);
                self.turn.wait(devices, next, self.clock)?;
            }
        }
        Ok(())
    }

    /// Makes [`Self::run`] return.
    pub(super) fn end(&self) {
        self.turn.end();
    }

    /// Switches all stations off or on.
    pub(super) fn set_down(&self, down: bool) {
        let mut state = self.lock();
        for station in 0..self.devices.len() {
            state.channel.set_down(self.clock.now(), station, down);
        }
        drop(state);
        self.turn.call();
    }

    /// The counts of each station.
    pub(super) fn counts(&self) -> Vec<StationCounts> {
        let mut state = self.lock();
        let now = self.clock.now();
        let State { channel, hearing } = &mut *state;
        let each = hearing
            .iter()
            .enumerate()
            .map(|(station, hearing)| StationCounts {
                station: channel.stats(now, station),
                queued_bytes: channel.queued_bytes(now, station),
                refused: hearing.refused,
                lateness: hearing.lateness.clone(),
            });
        each.collect()
    }

    /// Offers one packet of each station that has any; says whether there may be more.
    fn take_in(&self, state: &mut State, buffer: &mut [u8]) -> io::Result<bool> {
        let mut more = false;
        for (station, device) in self.devices.iter().enumerate() {
            let Some(len) = device.read(buffer)? else {
                continue;
            };
            more = true;
            let packet = buffer.get(..len).unwrap_or_default().to_vec();
            // What becomes of it is in the station's counts.
            let now = self.clock.now();
            let _offered = state.channel.offer(now, station, len, packet);
        }
        Ok(more)
    }

    /// Writes all that was heard by now.
    fn hand_on(&self, state: &mut State) {
        while let Some(heard) = state.channel.poll(self.clock.now()) {
            let mut packet = heard.packet;
            if heard.damaged {
                state.channel.damage(&mut packet);
            }
            let to = (self.devices.get(heard.to), state.hearing.get_mut(heard.to));
            if let (Some(device), Some(hearing)) = to {
                if device.write(&packet).is_err() {
                    hearing.refused += 1;
                }
                let late = self.clock.now().saturating_sub(heard.at);
                hearing.lateness.record(late);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every value under this lock is whole between two statements, whatever became of an earlier holder.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What a host is called for, beside packets and ports, and what it asks for in return.

use crate::model::Nanos;

use super::count::Note;
use super::host::Request;
use super::run::{What, World};
use super::trace::Record;
use super::{Host, HostId};

impl<H: Host> World<H> {
    /// A program starts, if nobody stopped it once more meanwhile.
    pub(super) fn start(&mut self, host: usize, life: u32) {
        let place = &mut self.places[host];
        if place.running || place.life != life {
            return;
        }
        place.running = true;
        if !std::mem::replace(&mut place.powered, true) {
            place.clock.power_on(self.now);
        }
        self.event(&Record::Start(HostId(host as u32)));
        self.with_host(host, |h, now, out| h.start(now, out));
        for port in 0..self.places[host].ports.len() {
            let at = self.places[host].ports[port];
            self.refresh(at.medium as usize);
            self.offer_ready(at.medium as usize, at.station as usize);
        }
    }

    pub(super) fn timer(&mut self, host: usize, at: Nanos) {
        let place = &mut self.places[host];
        if place.wake_queued != Some(at) {
            return;
        }
        place.wake_queued = None;
        let Some(wake) = place.wake else { return };
        if place.clock.world(wake) > self.now {
            self.arm_timer(host);
            return;
        }
        place.wake = None;
        self.event(&Record::Timer(HostId(host as u32)));
        self.with_host(host, |h, now, out| h.timer(now, out));
    }

    /// Makes sure that an event comes when the host wants to wake, or before.
    pub(super) fn arm_timer(&mut self, host: usize) {
        let place = &mut self.places[host];
        let Some(wake) = place.wake else { return };
        let at = place.clock.world(wake).max(self.now);
        if place.wake_queued.is_none_or(|queued| at < queued) {
            place.wake_queued = Some(at);
            self.push(at, What::Timer(host as u32));
        }
    }

    pub(super) fn done(&mut self, host: usize, life: u32, token: u64) {
        if self.places[host].running && self.places[host].life == life {
            self.event(&Record::Done(HostId(host as u32), token));
            self.with_host(host, |h, now, out| h.done(now, token, out));
        }
    }

    pub(super) fn obey(&mut self, host: usize, request: Request) {
        match request {
            Request::Send(port, bytes) => self.send(host, port, bytes),
            Request::WakeAt(wake) => {
                self.places[host].wake = wake;
                self.arm_timer(host);
            }
            Request::After(delay, token) => {
                let place = &self.places[host];
                let local = place.clock.local(self.now).saturating_add(delay);
                let at = place.clock.world(local);
                let (host, life) = (host as u32, place.life);
                self.push(at, What::Done { host, life, token });
            }
            Request::Note(name, text, value) => {
                let host = HostId(host as u32);
                self.trace
                    .add(self.now, &Record::Note(host, name, &text, value));
                let at = self.now;
                self.notes.push(Note {
                    at,
                    host,
                    name,
                    text,
                    value,
                });
            }
        }
    }
}

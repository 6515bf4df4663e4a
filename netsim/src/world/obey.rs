//! What events do: hosts are called, packets travel, ports are told.

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use crate::model::Nanos;

use super::count::Note;
use super::fault::Meddling;
use super::host::Request;
use super::kind::{Free, Got, Parcel};
use super::medium::Notice;
use super::run::{What, World};
use super::trace::Record;
use super::{Host, HostId, LinkId, Port};

/// A packet that a fault holds back.
#[derive(Debug)]
pub(super) struct Late {
    medium: usize,
    station: usize,
    parcel: Parcel,
    damaged: Option<[u8; 32]>,
}

impl Late {
    fn damage(&mut self, change: impl FnOnce(&mut [u8])) {
        let mut bytes = self.parcel.bytes.to_vec();
        change(&mut bytes);
        self.damaged = Some(*blake3::hash(&bytes).as_bytes());
        self.parcel.bytes = bytes.into();
    }
}

/// Changes one byte, if there is one.
fn flip(bytes: &mut [u8], rng: &mut ChaCha8Rng) {
    let draw = rng.next_u64();
    let place = (draw >> 8) % (bytes.len() as u64).max(1);
    if let Some(byte) = bytes.get_mut(place as usize) {
        *byte ^= draw as u8 | 1;
    }
}

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

    /// Takes all that has arrived on a medium.
    pub(super) fn poll(&mut self, medium: usize, at: Nanos) {
        if self.media[medium].poll_at != Some(at) {
            return;
        }
        self.media[medium].poll_at = None;
        while let Some(got) = self.media[medium].kind.poll(self.now) {
            self.arrived(medium, got);
        }
        for station in std::mem::take(&mut self.media[medium].wanting) {
            self.offer_ready(medium, station as usize);
        }
        self.arm_poll(medium);
    }

    /// Makes sure that an event comes when the medium has to be polled, or before.
    pub(super) fn arm_poll(&mut self, index: usize) {
        let medium = &mut self.media[index];
        let Some(at) = medium.kind.next_at() else {
            return;
        };
        let at = at.max(self.now);
        if medium.poll_at.is_none_or(|queued| at < queued) {
            medium.poll_at = Some(at);
            self.push(at, What::Poll(index as u32));
        }
    }

    fn arrived(&mut self, medium: usize, got: Got) {
        let mut late = Late {
            medium,
            station: got.station,
            parcel: got.parcel,
            damaged: None,
        };
        if got.damaged {
            let medium = &mut self.media[medium].kind;
            late.damage(|bytes| medium.damage(got.station, bytes));
        }
        if self.media[medium].hidden_cuts > 0 {
            self.counts.cut_unnoticed += 1;
            self.drop_packet(&late);
        } else if self.media[medium].meddling.is_empty() {
            self.deliver(late);
        } else {
            self.meddle(late);
        }
    }

    fn meddle(&mut self, mut late: Late) {
        let mut delay = 0;
        for i in 0..self.media[late.medium].meddling.len() {
            let active = &self.media[late.medium].meddling[i];
            if !self.media[late.medium].went(active.way, late.station) {
                continue;
            }
            let (what, share) = (active.what, u64::from(active.share_ppm));
            if self.meddling_rng.next_u64() % 1_000_000 >= share {
                continue;
            }
            match what {
                Meddling::Drop => {
                    self.counts.meddled_dropped += 1;
                    self.drop_packet(&late);
                    return;
                }
                Meddling::Delay(by) => delay += by,
                Meddling::Reorder(within) => {
                    delay += self.meddling_rng.next_u64() % within.saturating_add(1).max(1);
                }
                Meddling::Duplicate(after) => {
                    self.counts.meddled_doubled += 1;
                    let copy = Late {
                        parcel: late.parcel.clone(),
                        ..late
                    };
                    self.hold(copy, after);
                }
                Meddling::Corrupt => {
                    self.counts.meddled_corrupted += 1;
                    late.damage(|bytes| flip(bytes, &mut self.meddling_rng));
                }
            }
        }
        if delay == 0 {
            self.deliver(late);
        } else {
            self.counts.meddled_late += 1;
            self.hold(late, delay);
        }
    }

    fn hold(&mut self, late: Late, by: Nanos) {
        let place = self.late.put(late);
        self.counts.peak_late = self.counts.peak_late.max(self.late.len() as u64);
        self.push(self.now.saturating_add(by), What::Late(place));
    }

    pub(super) fn late(&mut self, place: u32) {
        let Some(late) = self.late.take(place) else {
            return;
        };
        if self.media[late.medium].carries() {
            self.deliver(late);
        } else {
            self.counts.cut_unnoticed += 1;
            self.drop_packet(&late);
        }
    }

    fn deliver(&mut self, late: Late) {
        let station = &self.media[late.medium].stations[late.station];
        let (host, port) = (station.host, station.port);
        if !self.is_running(host) {
            self.counts.host_down += 1;
            self.drop_packet(&late);
            return;
        }
        self.counts.arrived += 1;
        self.event(&Record::Arrived {
            host,
            port,
            packet: late.parcel.number,
            damaged: late.damaged,
        });
        let bytes = late.parcel.bytes;
        self.with_host(host.0 as usize, |h, now, out| {
            h.packet(now, port, bytes, out)
        });
    }

    fn drop_packet(&mut self, late: &Late) {
        let host = self.media[late.medium].stations[late.station].host;
        let packet = late.parcel.number;
        self.event(&Record::Dropped { host, packet });
    }

    /// Tells the hosts on a medium what they can notice and have not been told.
    pub(super) fn refresh(&mut self, index: usize) {
        for station in 0..self.media[index].stations.len() {
            let medium = &self.media[index];
            let (host, port) = (medium.stations[station].host, medium.stations[station].port);
            let running = self.is_running(host);
            let up = running
                && medium.is_up(station, self.now)
                && match medium.notice {
                    Notice::Nothing => false,
                    Notice::Line => true,
                    Notice::Peer => medium
                        .peer(station)
                        .is_none_or(|peer| self.is_running(peer)),
                };
            let told = std::mem::replace(&mut self.media[index].stations[station].told_up, up);
            if told == up || !running {
                continue;
            }
            self.event(&Record::Link(host, port, up));
            self.with_host(host.0 as usize, |h, now, out| h.link(now, port, up, out));
            self.offer_ready(index, station);
        }
    }

    /// A contact begins or ends on a medium.
    pub(super) fn contact(&mut self, index: usize) {
        let now = self.now;
        if let Some(change) = self.media[index].kind.next_change(now) {
            self.push(change, What::Contact(index as u32));
        }
        let up = self.media[index].carries() && self.media[index].any_up(now);
        self.event(&Record::Up(LinkId(index as u32), up));
        self.refresh(index);
        for station in 0..self.media[index].stations.len() {
            // Where contacts are not noticed, nobody else says that the transmitter works again.
            let began = self.media[index].note_contact(station, now);
            if began && self.media[index].notice == Notice::Nothing {
                self.offer_ready(index, station);
            }
        }
    }

    /// Lets a transmitter that tells say that it is free, now or when it is.
    pub(super) fn offer_ready(&mut self, index: usize, station: usize) {
        let now = self.now;
        let medium = &mut self.media[index];
        if !medium.tells || !medium.is_up(station, now) {
            return;
        }
        let at = match medium.kind.free_at(station) {
            Free::Never => return,
            Free::Unknown => {
                medium.want(station as u32);
                return;
            }
            Free::At(free) => free.max(now),
        };
        let ready_at = &mut medium.stations[station].ready_at;
        if ready_at.is_none() {
            *ready_at = Some(at);
            let (medium, station) = (index as u32, station as u32);
            self.push(at, What::Ready { medium, station });
        }
    }

    pub(super) fn ready(&mut self, index: usize, station: usize, at: Nanos) {
        let medium = &mut self.media[index];
        if medium.stations[station].ready_at != Some(at) {
            return;
        }
        medium.stations[station].ready_at = None;
        if !medium.is_up(station, at) {
            return;
        }
        match medium.kind.free_at(station) {
            Free::At(free) if free <= at => {}
            // More was given to it meanwhile.
            _ => {
                self.offer_ready(index, station);
                return;
            }
        }
        let (host, port) = (medium.stations[station].host, medium.stations[station].port);
        let told = medium.stations[station].told_up || medium.notice == Notice::Nothing;
        if self.is_running(host) && told {
            self.event(&Record::Ready(host, port));
            self.with_host(host.0 as usize, |h, now, out| h.ready(now, port, out));
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

    fn send(&mut self, host: usize, port: Port, bytes: Bytes) {
        let (packet, len) = (self.counts.packets, bytes.len());
        self.counts.packets += 1;
        let digest = *blake3::hash(&bytes).as_bytes();
        let at = self.places[host].ports.get(port.0 as usize).copied();
        let offered = at.and_then(|at| {
            let parcel = Parcel {
                number: packet,
                bytes,
            };
            let medium = &mut self.media[at.medium as usize];
            medium.offer(self.now, at.station as usize, parcel)
        });
        let host = HostId(host as u32);
        self.trace.add(
            self.now,
            &Record::Sent {
                host,
                port,
                packet,
                len,
                digest,
                offered,
            },
        );
        match at {
            Some(at) if offered.is_some() => {
                self.arm_poll(at.medium as usize);
                self.offer_ready(at.medium as usize, at.station as usize);
            }
            _ => self.counts.no_way += 1,
        }
    }
}

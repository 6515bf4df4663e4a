//! Packets: sent, on their way, meddled with, and come to a host.

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use crate::model::Nanos;

use super::fault::Meddling;
use super::kind::{Got, Parcel};
use super::run::{What, World};
use super::trace::Record;
use super::{Host, HostId, Port};

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
    /// Gives a packet to the transmitter of a port.
    pub(super) fn send(&mut self, host: usize, port: Port, bytes: Bytes) {
        let packet = self.counts.packets;
        self.counts.packets += 1;
        let at = self.places[host].ports.get(port.0 as usize).copied();
        let offered = at.and_then(|at| {
            let parcel = Parcel::new(packet, bytes.clone());
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
                bytes: &bytes,
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
}

//! What ports tell their hosts: that a medium comes up or goes down, that a transmitter is free.

use crate::model::Nanos;

use super::kind::Free;
use super::medium::Notice;
use super::run::{What, World};
use super::trace::Record;
use super::{Host, LinkId};

impl<H: Host> World<H> {
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
}

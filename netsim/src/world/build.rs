//! Putting a world together: hosts, media, faults, actions.

use std::collections::{BTreeSet, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::model::{CourierSpec, Nanos, SpecError};

use super::clock::Clock;
use super::fault::{FaultKind, FaultPlan, LinkId, When};
use super::medium::{Air, Medium, Notice, Pair, Station};
use super::run::{Attachment, Place, What, World};
use super::{Host, HostId, Port};

/// Where calendars begin: 2026-01-01 00:00:00 UTC, in nanoseconds since the beginning of 1970.
const CALENDAR: i64 = 1_767_225_600 * 1_000_000_000;

/// What cannot be part of a world.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// A host that was never added.
    #[error("there is no host {}: add it first, or use an id that this world gave", .0.0)]
    NoHost(HostId),
    /// A medium that was never added.
    #[error("there is no link {}: add it first, or use an id that this world gave", .0.0)]
    NoLink(LinkId),
    /// A host that is twice on a medium.
    #[error("host {} cannot be on a link twice: name different hosts", .0.0)]
    Loop(HostId),
    /// A link that no further hosts can share.
    #[error("link {} is no pair, and only a pair can be shared: name a pair", .0.0)]
    NoPair(LinkId),
    /// A place of a courier without a host.
    #[error("there is no host at place {0} of the courier: give a host for each place")]
    NoPlace(usize),
    /// A share above one million.
    #[error("{0} of a million packets is more than all: give at most 1000000")]
    Share(u32),
    /// A link that cannot be.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// What a stream of randomness is for; each purpose and index draws from a stream of its own.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Host = 1,
    Link = 2,
    Meddling = 3,
}

pub(super) fn stream(seed: u64, purpose: Stream, index: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(((purpose as u64) << 32) | u64::from(index));
    rng
}

impl<H: Host> World<H> {
    /// Adds a host. Its program starts as the next event of the present time.
    pub fn add_host(&mut self, name: impl Into<String>, host: H) -> HostId {
        let index = self.places.len() as u32;
        self.places.push(Place {
            name: name.into(),
            host,
            running: false,
            powered: true,
            life: 0,
            clock: Clock::new(self.now, CALENDAR),
            rng: stream(self.seed, Stream::Host, index),
            ports: Vec::new(),
            wake: None,
            wake_queued: None,
            images: VecDeque::new(),
        });
        self.push(
            self.now,
            What::Start {
                host: index,
                life: 0,
            },
        );
        HostId(index)
    }

    /// Joins two hosts by a pair of links. Each gets a new port for it, the next after those it has.
    ///
    /// # Errors
    ///
    /// Hosts that are not there or the same, or links that cannot be.
    pub fn add_pair(&mut self, a: HostId, b: HostId, pair: &Pair) -> Result<LinkId, WorldError> {
        let ends = self.ends(&[a, b])?;
        let mut rng = self.link_stream();
        let seeds = [rng.next_u64(), rng.next_u64()];
        Ok(self.attach(Medium::pair(pair, &ends, seeds)?))
    }

    /// Has two more hosts share a pair of links: `a` stands at its first end and `b` at its second. Their packets pass the
    /// same queues and transmitters as those of all others on it, and reach nobody but each other. Each gets a new port
    /// for it, the next after those it has.
    ///
    /// # Errors
    ///
    /// Hosts or a link that are not there, a host that is on the link already, or a link that is no pair.
    pub fn share_pair(&mut self, link: LinkId, a: HostId, b: HostId) -> Result<(), WorldError> {
        let ends = self.ends(&[a, b])?;
        let index = link.0 as usize;
        let medium = self.media.get_mut(index).ok_or(WorldError::NoLink(link))?;
        if !medium.is_pair() {
            return Err(WorldError::NoPair(link));
        }
        if let Some(twice) = medium.stations.iter().find(|s| s.host == a || s.host == b) {
            return Err(WorldError::Loop(twice.host));
        }
        let first = medium.stations.len();
        medium.stations.extend(ends.iter().map(Station::new));
        let stations = first..medium.stations.len();
        for station in stations.clone() {
            medium.note_contact(station, self.now);
        }
        stations.for_each(|station| self.plug(index, station));
        self.refresh(index);
        Ok(())
    }

    /// Puts hosts on a shared channel. Each gets a new port for it, the next after those it has.
    ///
    /// # Errors
    ///
    /// Hosts that are not there or named twice, or a channel that cannot be.
    pub fn add_channel(&mut self, hosts: &[HostId], air: &Air) -> Result<LinkId, WorldError> {
        let ends = self.ends(hosts)?;
        let seed = self.link_stream().next_u64();
        Ok(self.attach(Medium::air(air, &ends, seed)?))
    }

    /// Sends a courier round hosts: places of the timetable are numbers in `hosts`. Each gets a new port for it, the
    /// next after those it has.
    ///
    /// # Errors
    ///
    /// Hosts that are not there or named twice, a place that no host is at, or a courier that cannot be.
    pub fn add_courier(
        &mut self,
        hosts: &[HostId],
        spec: &CourierSpec,
        notice: Notice,
    ) -> Result<LinkId, WorldError> {
        let ends = self.ends(hosts)?;
        if spec.places() > hosts.len() {
            return Err(WorldError::NoPlace(spec.places() - 1));
        }
        let seed = self.link_stream().next_u64();
        Ok(self.attach(Medium::courier(spec, notice, &ends, seed)?))
    }

    /// Hosts with the ports they get.
    fn ends(&self, hosts: &[HostId]) -> Result<Vec<(HostId, Port)>, WorldError> {
        let mut ends: Vec<(HostId, Port)> = Vec::with_capacity(hosts.len());
        let mut seen = BTreeSet::new();
        for &host in hosts {
            if !seen.insert(host) {
                return Err(WorldError::Loop(host));
            }
            ends.push((host, self.next_port(host)?));
        }
        Ok(ends)
    }

    fn link_stream(&self) -> ChaCha8Rng {
        stream(self.seed, Stream::Link, self.media.len() as u32)
    }

    fn next_port(&self, host: HostId) -> Result<Port, WorldError> {
        let place = self
            .places
            .get(host.0 as usize)
            .ok_or(WorldError::NoHost(host))?;
        Ok(Port(place.ports.len() as u32))
    }

    fn attach(&mut self, mut medium: Medium) -> LinkId {
        let index = self.media.len();
        let stations = medium.stations.len();
        for station in 0..stations {
            medium.note_contact(station, self.now);
        }
        if let Some(change) = medium.kind.next_change(self.now) {
            self.push(change, What::Contact(index as u32));
        }
        self.media.push(medium);
        for station in 0..stations {
            self.plug(index, station);
        }
        self.refresh(index);
        LinkId(index as u32)
    }

    /// Gives the host of a station its port.
    fn plug(&mut self, medium: usize, station: usize) {
        let host = self.media[medium].stations[station].host;
        if let Some(place) = self.places.get_mut(host.0 as usize) {
            let (medium, station) = (medium as u32, station as u32);
            place.ports.push(Attachment { medium, station });
        }
    }

    /// Adds faults to the run. Times that have passed are taken as now.
    ///
    /// # Errors
    ///
    /// A host or link that is not there, or a share above all; nothing is added then.
    pub fn add_faults(&mut self, plan: &FaultPlan) -> Result<(), WorldError> {
        for fault in &plan.faults {
            self.check_fault(&fault.kind)?;
        }
        for fault in &plan.faults {
            let place = self.faults.len();
            self.faults.push(fault.clone());
            match fault.when {
                When::At(at) => self.push(at, What::Fault(place as u32)),
                When::AfterEvents(n) => self.by_event.entry(n).or_default().push(place),
            }
        }
        Ok(())
    }

    fn check_fault(&self, kind: &FaultKind) -> Result<(), WorldError> {
        let host = |id: &HostId| self.next_port(*id).map(|_| ());
        let link = |id: &LinkId| self.media.get(id.0 as usize).ok_or(WorldError::NoLink(*id));
        match kind {
            FaultKind::Restore { host: id, of, .. } => host(id).and_then(|()| host(of)),
            FaultKind::Stop { host: id, .. }
            | FaultKind::Image { host: id }
            | FaultKind::ClockJump { host: id, .. }
            | FaultKind::ClockDrift { host: id, .. } => host(id),
            FaultKind::Cut { links, .. } => links.iter().try_for_each(|id| link(id).map(|_| ())),
            FaultKind::Meddle {
                link: id,
                share_ppm,
                ..
            } => {
                if *share_ppm > 1_000_000 {
                    return Err(WorldError::Share(*share_ppm));
                }
                link(id).map(|_| ())
            }
        }
    }

    /// Does something to the world at a time, as an event.
    pub fn at(&mut self, at: Nanos, action: impl FnOnce(&mut Self) + 'static) {
        let place = self.actions.put(Box::new(action));
        self.push(at, What::Action(place));
    }
}

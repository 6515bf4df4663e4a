//! What hosts are attached to: as given by whoever builds a world, and with what the world knows of it.

use crate::model::{
    Channel, ChannelSpec, Courier, CourierSpec, Link, LinkSpec, Nanos, Offered, SpecError,
};

use super::fault::{Meddling, Way};
use super::kind::{Kind, Parcel};
use super::{HostId, Port};

/// What the hosts on a medium learn of its state by [`Host::link`](super::Host::link).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Notice {
    /// Nothing: packets arrive or do not.
    Nothing,
    /// Whether the medium carries, as carrier detect, a pass of a satellite or the sight of a courier says. Said at the
    /// start of a host, if it does, and at each change.
    #[default]
    Line,
    /// As [`Line`](Self::Line), and on a pair only while the host at the other end runs, as a session with it would
    /// say.
    Peer,
}

/// A pair of links between two hosts. Contacts are in the links.
#[derive(Debug, Clone)]
pub struct Pair {
    /// From the first host to the second; `None` if nothing goes that way.
    pub forward: Option<LinkSpec>,
    /// From the second host to the first; `None` if nothing goes that way.
    pub back: Option<LinkSpec>,
    /// What its ends learn of it.
    pub notice: Notice,
    /// Whether its transmitters tell when they are free, see [`Host::ready`](super::Host::ready).
    pub tells: bool,
}

impl Pair {
    /// The same link both ways, whose ends notice when it goes up and down and whose transmitters tell nothing.
    #[must_use]
    pub fn symmetric(spec: LinkSpec) -> Self {
        Self {
            forward: Some(spec.clone()),
            back: Some(spec),
            notice: Notice::default(),
            tells: false,
        }
    }

    /// A link from the first host to the second, with no way back.
    #[must_use]
    pub fn one_way(spec: LinkSpec) -> Self {
        Self {
            back: None,
            ..Self::symmetric(spec)
        }
    }

    /// Sets what the ends learn.
    #[must_use]
    pub fn notice(self, notice: Notice) -> Self {
        Self { notice, ..self }
    }

    /// Sets whether transmitters tell when they are free.
    #[must_use]
    pub fn tells(self, tells: bool) -> Self {
        Self { tells, ..self }
    }
}

/// A shared half-duplex channel, whose stations are numbered in the order in which their hosts are given.
#[derive(Debug, Clone)]
pub struct Air {
    /// What it is like.
    pub spec: ChannelSpec,
    /// How loud one station is at another, as [`Channel::set_level`] takes it; where nothing is said all are equally
    /// loud.
    pub levels: Vec<(usize, usize, Option<i16>)>,
    /// What its stations learn of it.
    pub notice: Notice,
    /// Whether its transmitters tell when they are free, see [`Host::ready`](super::Host::ready).
    pub tells: bool,
}

impl Air {
    /// A channel on which all hear each other, and whose transmitters tell when they are free.
    #[must_use]
    pub fn new(spec: ChannelSpec) -> Self {
        Self {
            spec,
            levels: Vec::new(),
            notice: Notice::default(),
            tells: true,
        }
    }
}

/// An end of a medium.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) host: HostId,
    pub(super) port: Port,
    /// Whether there was a contact when that changed last.
    was_up: bool,
    /// Whether the host was told last that it is up.
    pub(super) told_up: bool,
    /// For when the host is to be told that the transmitter is free.
    pub(super) ready_at: Option<Nanos>,
}

impl Station {
    pub(super) fn new(&(host, port): &(HostId, Port)) -> Self {
        Self {
            host,
            port,
            was_up: false,
            told_up: false,
            ready_at: None,
        }
    }
}

/// A kind of meddling in force.
#[derive(Debug)]
pub(super) struct Active {
    /// The fault's place in the plan.
    pub(super) fault: usize,
    pub(super) way: Way,
    pub(super) what: Meddling,
    pub(super) share_ppm: u32,
}

/// A medium with its stations.
#[derive(Debug)]
pub(super) struct Medium {
    pub(super) kind: Kind,
    pub(super) stations: Vec<Station>,
    pub(super) notice: Notice,
    pub(super) tells: bool,
    /// For when the queue has an event that polls this.
    pub(super) poll_at: Option<Nanos>,
    /// Stations that want to be told that they are free, when that shows.
    pub(super) wanting: Vec<u32>,
    /// Cuts in force that take the line down.
    pub(super) cuts: u32,
    /// Cuts in force that no transmitter notices: packets cross and do not arrive.
    pub(super) hidden_cuts: u32,
    pub(super) meddling: Vec<Active>,
    pub(super) peak_queue: u64,
}

impl Medium {
    pub(super) fn pair(
        pair: &Pair,
        ends: &[(HostId, Port)],
        seeds: [u64; 2],
    ) -> Result<Self, SpecError> {
        let link = |spec: &Option<LinkSpec>, seed| {
            let link = spec.as_ref().map(|spec| Link::new(spec, seed));
            link.transpose()
        };
        let ways = Box::new([link(&pair.forward, seeds[0])?, link(&pair.back, seeds[1])?]);
        // An end that only receives goes by the contacts of what it receives.
        let plan = |first: &Option<LinkSpec>, second: &Option<LinkSpec>| {
            let spec = first.as_ref().or(second.as_ref());
            spec.and_then(|spec| spec.contacts.clone())
        };
        let plans = [
            plan(&pair.forward, &pair.back),
            plan(&pair.back, &pair.forward),
        ];
        let kind = Kind::Pair { ways, plans };
        Ok(Self::new(kind, ends, pair.notice, pair.tells))
    }

    pub(super) fn air(air: &Air, ends: &[(HostId, Port)], seed: u64) -> Result<Self, SpecError> {
        let mut channel = Channel::new(&air.spec, ends.len(), seed)?;
        for &(from, to, level_db) in &air.levels {
            channel.set_level(0, from, to, level_db);
        }
        let kind = Kind::Air(Box::new(channel));
        Ok(Self::new(kind, ends, air.notice, air.tells))
    }

    pub(super) fn courier(
        spec: &CourierSpec,
        notice: Notice,
        ends: &[(HostId, Port)],
        seed: u64,
    ) -> Result<Self, SpecError> {
        let courier = Courier::new(spec, seed)?;
        let kind = Kind::Courier(Box::new(courier), spec.clone());
        Ok(Self::new(kind, ends, notice, false))
    }

    fn new(kind: Kind, ends: &[(HostId, Port)], notice: Notice, tells: bool) -> Self {
        Self {
            kind,
            stations: ends.iter().map(Station::new).collect(),
            notice,
            tells,
            poll_at: None,
            wanting: Vec::new(),
            cuts: 0,
            hidden_cuts: 0,
            meddling: Vec::new(),
            peak_queue: 0,
        }
    }

    pub(super) fn offer(&mut self, now: Nanos, station: usize, parcel: Parcel) -> Option<Offered> {
        let offered = self.kind.offer(now, station, parcel)?;
        self.peak_queue = self.peak_queue.max(self.kind.queued(now, station));
        Some(offered)
    }

    /// Lets a station be told that it is free when that shows.
    pub(super) fn want(&mut self, station: u32) {
        if !self.wanting.contains(&station) {
            self.wanting.push(station);
        }
    }

    /// Whether no cut is in force.
    pub(super) fn carries(&self) -> bool {
        self.cuts == 0 && self.hidden_cuts == 0
    }

    /// Takes the line down or up, as cuts say.
    pub(super) fn apply_cuts(&mut self, now: Nanos) {
        self.kind.set_down(now, self.stations.len(), self.cuts > 0);
    }

    /// Whether a station's transmitter carries: neither cut nor outside of a contact.
    pub(super) fn is_up(&self, station: usize, now: Nanos) -> bool {
        self.cuts == 0 && self.kind.in_contact(station, now)
    }

    pub(super) fn any_up(&self, now: Nanos) -> bool {
        (0..self.stations.len()).any(|station| self.is_up(station, now))
    }

    /// Takes down whether a station is in contact; true if that has just begun.
    pub(super) fn note_contact(&mut self, station: usize, now: Nanos) -> bool {
        let up = self.is_up(station, now);
        let was = std::mem::replace(&mut self.stations[station].was_up, up);
        up && !was
    }

    /// The host at the other end of a pair.
    pub(super) fn peer(&self, station: usize) -> Option<HostId> {
        let other = self.stations.get(station ^ 1)?;
        self.is_pair().then_some(other.host)
    }

    /// Whether what arrives at a station went this way. Only pairs have ways.
    pub(super) fn went(&self, way: Way, station: usize) -> bool {
        match way {
            _ if !self.is_pair() => true,
            Way::Both => true,
            Way::Forward => !station.is_multiple_of(2),
            Way::Back => station.is_multiple_of(2),
        }
    }

    pub(super) fn is_pair(&self) -> bool {
        matches!(self.kind, Kind::Pair { .. })
    }
}

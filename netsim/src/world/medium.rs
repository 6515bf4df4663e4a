//! What hosts are attached to, seen by the world: something that takes packets at stations and gives them back at others.

use bytes::Bytes;

use crate::model::{Arrival, ContactPlan, Link, LinkSpec, LinkStats, Nanos, Offered, SpecError};

use super::fault::{Meddling, Way};
use super::{HostId, Port};

/// What the hosts on a medium learn of its state by [`Host::link`](super::Host::link).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Notice {
    /// Nothing: packets arrive or do not.
    Nothing,
    /// Whether the medium carries, as carrier detect or a pass of a satellite says. Said at the start of a host, if it does,
    /// and at each change.
    #[default]
    Line,
    /// As [`Line`](Self::Line), and only while the host at the other end runs, as a session with it would say. On a pair.
    Peer,
}

/// A pair of links between two hosts.
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

/// A packet on its way.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) number: u64,
    pub(super) bytes: Bytes,
}

/// An end of a medium.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) host: HostId,
    pub(super) port: Port,
    /// Whether there was a contact when that changed last.
    pub(super) was_up: bool,
    /// Whether the host was told last that it is up.
    pub(super) told_up: bool,
    /// For when the host is to be told that the transmitter is free.
    pub(super) ready_at: Option<Nanos>,
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
    kind: Kind,
    pub(super) stations: Vec<Station>,
    pub(super) notice: Notice,
    pub(super) tells: bool,
    /// For when the queue has an event that polls this.
    pub(super) poll_at: Option<Nanos>,
    /// Cuts in force that take the line down.
    pub(super) cuts: u32,
    /// Cuts in force that no transmitter notices: packets cross and do not arrive.
    pub(super) hidden_cuts: u32,
    pub(super) meddling: Vec<Active>,
    pub(super) peak_queue: u64,
    /// For each station when it is in contact; `None` is always.
    plans: Vec<Option<ContactPlan>>,
}

#[derive(Debug)]
enum Kind {
    Pair([Option<Link<Parcel>>; 2]),
}

impl Medium {
    pub(super) fn pair(
        pair: &Pair,
        ends: [(HostId, Port); 2],
        seeds: [u64; 2],
    ) -> Result<Self, SpecError> {
        let link = |spec: &Option<LinkSpec>, seed| {
            spec.as_ref().map(|spec| Link::new(spec, seed)).transpose()
        };
        let ways = [link(&pair.forward, seeds[0])?, link(&pair.back, seeds[1])?];
        let plan = |spec: &Option<LinkSpec>| spec.as_ref().map(|spec| spec.contacts.clone());
        let (out, back) = (plan(&pair.forward), plan(&pair.back));
        let plans = [&out, &back].map(|own| own.clone().or(out.clone()).or(back.clone()).flatten());
        Ok(Self {
            plans: plans.into(),
            ..Self::new(Kind::Pair(ways), &ends, pair.notice, pair.tells)
        })
    }

    fn new(kind: Kind, ends: &[(HostId, Port)], notice: Notice, tells: bool) -> Self {
        let station = |&(host, port): &(HostId, Port)| Station {
            host,
            port,
            was_up: false,
            told_up: false,
            ready_at: None,
        };
        Self {
            kind,
            stations: ends.iter().map(station).collect(),
            notice,
            tells,
            poll_at: None,
            cuts: 0,
            hidden_cuts: 0,
            meddling: Vec::new(),
            peak_queue: 0,
            plans: Vec::new(),
        }
    }

    /// Whether it carries anything at present.
    pub(super) fn carries(&self) -> bool {
        self.cuts == 0 && self.hidden_cuts == 0
    }

    /// Whether it has a forward and a back way.
    pub(super) fn has_directions(&self) -> bool {
        matches!(self.kind, Kind::Pair(_))
    }

    /// The other end of a pair.
    pub(super) fn peer(&self, station: usize) -> Option<HostId> {
        match &self.kind {
            Kind::Pair(_) => self.stations.get(1 - station).map(|s| s.host),
        }
    }

    /// Gives a packet to the transmitter of a station. `None` if it has none.
    pub(super) fn offer(&mut self, now: Nanos, station: usize, parcel: Parcel) -> Option<Offered> {
        match &mut self.kind {
            Kind::Pair(ways) => {
                let link = ways.get_mut(station)?.as_mut()?;
                let offered = link.offer(now, parcel.bytes.len(), parcel);
                self.peak_queue = self.peak_queue.max(link.queued_bytes(now));
                Some(offered)
            }
        }
    }

    pub(super) fn next_at(&self) -> Option<Nanos> {
        match &self.kind {
            Kind::Pair(ways) => ways.iter().flatten().filter_map(Link::next_at).min(),
        }
    }

    /// The next packet that has arrived by `now`, and at which station.
    pub(super) fn poll(&mut self, now: Nanos) -> Option<(usize, Arrival<Parcel>)> {
        match &mut self.kind {
            Kind::Pair(ways) => ways.iter_mut().enumerate().find_map(|(way, link)| {
                let arrival = link.as_mut()?.poll(now)?;
                Some((1 - way, arrival))
            }),
        }
    }

    /// When a contact begins or ends next, after `now`.
    pub(super) fn next_change(&self, now: Nanos) -> Option<Nanos> {
        let plans = self.plans.iter().flatten();
        plans.filter_map(|plan| plan.next_change(now)).min()
    }

    /// Whether a station's transmitter carries: neither cut nor outside of a contact. One that only receives goes by the
    /// contacts of what it receives.
    pub(super) fn is_up(&self, station: usize, now: Nanos) -> bool {
        let plan = self.plans.get(station).and_then(Option::as_ref);
        self.cuts == 0 && plan.is_none_or(|plan| plan.at(now).is_some())
    }

    /// Whether any station is in contact.
    pub(super) fn in_contact(&self, now: Nanos) -> bool {
        (0..self.stations.len()).any(|station| self.is_up(station, now))
    }

    /// Takes down whether a station is in contact; true if that has just begun.
    pub(super) fn note_contact(&mut self, station: usize, now: Nanos) -> bool {
        let up = self.is_up(station, now);
        let was = std::mem::replace(&mut self.stations[station].was_up, up);
        up && !was
    }

    /// When the transmitter of a station has nothing left; `None` if it has no transmitter.
    pub(super) fn free_at(&self, station: usize) -> Option<Nanos> {
        match &self.kind {
            Kind::Pair(ways) => Some(ways.get(station)?.as_ref()?.line_free_at()),
        }
    }

    /// Takes the line down or up, as cuts say.
    pub(super) fn apply_cuts(&mut self, now: Nanos) {
        let down = self.cuts > 0;
        match &mut self.kind {
            Kind::Pair(ways) => ways
                .iter_mut()
                .flatten()
                .for_each(|link| link.set_down(now, down)),
        }
    }

    /// Changes some bytes of what arrives at a station.
    pub(super) fn damage(&mut self, station: usize, bytes: &mut [u8]) {
        match &mut self.kind {
            Kind::Pair(ways) => {
                if let Some(link) = ways.get_mut(1 - station).and_then(Option::as_mut) {
                    link.damage(bytes);
                }
            }
        }
    }

    /// Whether what arrives at a station went this way.
    pub(super) fn went(&self, way: Way, station: usize) -> bool {
        match (&self.kind, way) {
            (Kind::Pair(_), Way::Forward) => station == 1,
            (Kind::Pair(_), Way::Back) => station == 0,
            (_, Way::Both) => true,
        }
    }

    /// Counts by station that sends.
    pub(super) fn stats(&mut self, now: Nanos) -> Vec<Option<LinkStats>> {
        match &mut self.kind {
            Kind::Pair(ways) => {
                let stats = |link: &mut Option<Link<_>>| link.as_mut().map(|link| link.stats(now));
                ways.iter_mut().map(stats).collect()
            }
        }
    }
}

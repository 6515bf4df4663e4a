//! The kinds of media there are, all driven the same way: packets are offered at stations and polled out at others.

use bytes::Bytes;

use crate::model::{
    Arrival, Channel, ContactPlan, Courier, CourierSpec, CourierStats, Link, LinkStats, Nanos,
    Offered, StationStats,
};

/// A packet on its way.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) number: u64,
    pub(super) bytes: Bytes,
    /// On a pair, which two hosts it is between: 0 for its own ends, from 1 for those that share it.
    lane: usize,
}

impl Parcel {
    pub(super) fn new(number: u64, bytes: Bytes) -> Self {
        let lane = 0;
        Self {
            number,
            bytes,
            lane,
        }
    }
}

/// A packet at a station.
pub(super) struct Got {
    pub(super) station: usize,
    pub(super) parcel: Parcel,
    pub(super) damaged: bool,
}

/// When a transmitter has nothing left to send.
pub(super) enum Free {
    /// There is no transmitter that could tell.
    Never,
    /// Others decide when; it shows when the medium is polled.
    Unknown,
    At(Nanos),
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Stations `2n` and `2n + 1` are the hosts of lane `n` at the first and the second end.
    Pair {
        /// From each end to the other.
        ways: Box<[Option<Link<Parcel>>; 2]>,
        /// When each end is in contact; `None` is always.
        plans: [Option<ContactPlan>; 2],
    },
    Air(Box<Channel<Parcel>>),
    Courier(Box<Courier<Parcel>>, CourierSpec),
}

impl Kind {
    /// Gives a packet to the transmitter of a station. `None` if it has none.
    pub(super) fn offer(
        &mut self,
        now: Nanos,
        station: usize,
        mut parcel: Parcel,
    ) -> Option<Offered> {
        let len = parcel.bytes.len();
        match self {
            Self::Pair { ways, .. } => {
                parcel.lane = station / 2;
                let link = ways[station % 2].as_mut()?;
                Some(link.offer(now, len, parcel))
            }
            Self::Air(channel) => Some(channel.offer(now, station, len, parcel)),
            Self::Courier(courier, _) => Some(courier.offer(now, station, len, parcel)),
        }
    }

    /// Bytes that wait at a station, or are aboard.
    pub(super) fn queued(&mut self, now: Nanos, station: usize) -> u64 {
        match self {
            Self::Pair { ways, .. } => {
                let link = ways[station % 2].as_mut();
                link.map_or(0, |link| link.queued_bytes(now))
            }
            Self::Air(channel) => channel.queued_bytes(now, station),
            Self::Courier(courier, _) => courier.carried_bytes(now),
        }
    }

    pub(super) fn next_at(&self) -> Option<Nanos> {
        match self {
            Self::Pair { ways, .. } => ways.iter().flatten().filter_map(Link::next_at).min(),
            Self::Air(channel) => channel.next_at(),
            Self::Courier(courier, _) => courier.next_at(),
        }
    }

    /// The next packet that has arrived by `now`.
    pub(super) fn poll(&mut self, now: Nanos) -> Option<Got> {
        let got = |station, arrival: Arrival<Parcel>| Got {
            station,
            parcel: arrival.packet,
            damaged: arrival.damaged,
        };
        match self {
            Self::Pair { ways, .. } => ways.iter_mut().enumerate().find_map(|(way, link)| {
                let arrival = link.as_mut()?.poll(now)?;
                Some(got(arrival.packet.lane * 2 + (1 - way), arrival))
            }),
            Self::Air(channel) => channel.poll(now).map(|heard| Got {
                station: heard.to,
                parcel: heard.packet,
                damaged: heard.damaged,
            }),
            Self::Courier(courier, _) => {
                let set_down = courier.poll(now)?;
                Some(got(set_down.to, set_down.arrival))
            }
        }
    }

    /// When a contact begins or ends next, after `now`.
    pub(super) fn next_change(&self, now: Nanos) -> Option<Nanos> {
        match self {
            Self::Pair { plans, .. } => {
                let plans = plans.iter().flatten();
                plans.filter_map(|plan| plan.next_change(now)).min()
            }
            Self::Air(_) => None,
            Self::Courier(_, spec) => spec.next_change(now),
        }
    }

    /// Whether a station is in contact: with the other end, or with the courier.
    pub(super) fn in_contact(&self, station: usize, now: Nanos) -> bool {
        match self {
            Self::Pair { plans, .. } => {
                let plan = plans[station % 2].as_ref();
                plan.is_none_or(|plan| plan.at(now).is_some())
            }
            Self::Air(_) => true,
            Self::Courier(_, spec) => spec.place_at(now) == Some(station),
        }
    }

    pub(super) fn free_at(&self, station: usize) -> Free {
        match self {
            Self::Pair { ways, .. } => match &ways[station % 2] {
                Some(link) => Free::At(link.line_free_at()),
                None => Free::Never,
            },
            Self::Air(channel) => channel
                .line_free_at(station)
                .map_or(Free::Unknown, Free::At),
            Self::Courier(..) => Free::Never,
        }
    }

    pub(super) fn set_down(&mut self, now: Nanos, stations: usize, down: bool) {
        match self {
            Self::Pair { ways, .. } => {
                ways.iter_mut()
                    .flatten()
                    .for_each(|link| link.set_down(now, down));
            }
            Self::Air(channel) => {
                (0..stations).for_each(|station| channel.set_down(now, station, down));
            }
            Self::Courier(courier, _) => courier.set_down(now, down),
        }
    }

    /// Makes of bytes what arrives at a station if they are damaged.
    pub(super) fn damage(&mut self, station: usize, bytes: &mut [u8]) {
        match self {
            Self::Pair { ways, .. } => {
                if let Some(link) = &mut ways[1 - station % 2] {
                    link.damage(bytes);
                }
            }
            Self::Air(channel) => channel.damage(bytes),
            Self::Courier(..) => {}
        }
    }

    pub(super) fn link_stats(&mut self, now: Nanos) -> [Option<LinkStats>; 2] {
        match self {
            Self::Pair { ways, .. } => ways
                .each_mut()
                .map(|way| way.as_mut().map(|link| link.stats(now))),
            _ => [None; 2],
        }
    }

    pub(super) fn station_stats(&mut self, now: Nanos, station: usize) -> Option<StationStats> {
        match self {
            Self::Air(channel) => Some(channel.stats(now, station)),
            _ => None,
        }
    }

    pub(super) fn courier_stats(&mut self, now: Nanos) -> Option<CourierStats> {
        match self {
            Self::Courier(courier, _) => Some(courier.stats(now)),
            _ => None,
        }
    }
}

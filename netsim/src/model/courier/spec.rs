//! What a courier is like, as given by a user.

use std::time::Duration;

use crate::model::chance::threshold;
use crate::model::spec::{check_delay, check_sizes, nanos};
use crate::model::{Nanos, SpecError};

/// The most places of a courier's round.
const MAX_PLACES: usize = 64;
/// The default capacity: 8 GB.
const DEFAULT_CAPACITY: u64 = 8_000_000_000;

/// A stay of a courier at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stop {
    /// The place, counted from 0.
    pub place: usize,
    /// When the courier arrives, since the origin of time (or since the beginning of a round).
    pub arrive: Duration,
    /// When it leaves; after it arrives.
    pub leave: Duration,
}

impl Stop {
    /// A stay at a place.
    #[must_use]
    pub fn new(place: usize, arrive: Duration, leave: Duration) -> Self {
        Self {
            place,
            arrive,
            leave,
        }
    }
}

/// A courier.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CourierSpec {
    /// Bytes that it carries at a time, `overhead` included.
    pub capacity: u64,
    /// Bits a second, each way, of the connection at a stop; `None` for one that takes no time.
    pub rate_bps: Option<u64>,
    /// Probability that a packet is not there when it is to be set down, each on its own; 0 to 1.
    pub loss: f64,
    /// Largest packet in bytes, `overhead` included.
    pub mtu: usize,
    /// Bytes added to every packet's length.
    pub overhead: usize,
    /// The stops, in order and not overlapping.
    pub stops: Vec<Stop>,
    /// After how long the round begins anew; `None` for a single one.
    pub every: Option<Duration>,
}

impl CourierSpec {
    /// A courier for 8 GB with this timetable, that takes packets of up to 64 KiB in no time and loses none.
    #[must_use]
    pub fn new(stops: Vec<Stop>) -> Self {
        Self {
            capacity: DEFAULT_CAPACITY,
            rate_bps: None,
            loss: 0.0,
            mtu: 1 << 16,
            overhead: 0,
            stops,
            every: None,
        }
    }

    /// Sets the bytes that it carries.
    #[must_use]
    pub fn capacity(self, capacity: u64) -> Self {
        Self { capacity, ..self }
    }

    /// Sets the rate of the connection at a stop, in bits a second.
    #[must_use]
    pub fn rate_bps(self, rate: u64) -> Self {
        Self {
            rate_bps: Some(rate),
            ..self
        }
    }

    /// Sets the probability that a packet is lost.
    #[must_use]
    pub fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// Sets after how long the round begins anew.
    #[must_use]
    pub fn every(self, every: Duration) -> Self {
        Self {
            every: Some(every),
            ..self
        }
    }

    /// How many places there are: one more than the highest number.
    #[must_use]
    pub fn places(&self) -> usize {
        let highest = self.stops.iter().map(|stop| stop.place).max();
        highest.map_or(0, |place| place + 1)
    }

    /// Where the courier is at `now`: from its arrival up to, but without, the time it leaves.
    #[must_use]
    pub fn place_at(&self, now: Nanos) -> Option<usize> {
        let (_, within) = self.round(now);
        let here = |stop: &&Stop| nanos(stop.arrive) <= within && within < nanos(stop.leave);
        self.stops.iter().find(here).map(|stop| stop.place)
    }

    /// When the courier arrives somewhere or leaves next, after `now`.
    #[must_use]
    pub fn next_change(&self, now: Nanos) -> Option<Nanos> {
        let (base, within) = self.round(now);
        let edges = self.stops.iter().flat_map(|stop| [stop.arrive, stop.leave]);
        if let Some(edge) = edges.map(nanos).find(|edge| *edge > within) {
            return base.checked_add(edge);
        }
        let first = nanos(self.stops.first()?.arrive);
        base.checked_add(nanos(self.every?))?.checked_add(first)
    }

    /// When the round at `now` began, and how far `now` is into it.
    fn round(&self, now: Nanos) -> (Nanos, Nanos) {
        let within = match self.every.map(nanos) {
            Some(every) => now % every.max(1),
            None => now,
        };
        (now - within, within)
    }

    /// Checks that such a courier can be.
    ///
    /// # Errors
    ///
    /// The first value that is out of its range, with the range.
    pub fn validate(&self) -> Result<(), SpecError> {
        threshold("loss", self.loss)?;
        check_sizes(self.mtu, self.overhead, self.capacity)?;
        if self.rate_bps == Some(0) {
            return Err(SpecError::ZeroRate);
        }
        if self.places() > MAX_PLACES {
            return Err(SpecError::Places(self.places()));
        }
        let mut free_from = Duration::ZERO;
        for (index, stop) in self.stops.iter().enumerate() {
            if stop.arrive < free_from || stop.leave <= stop.arrive {
                return Err(SpecError::StopOrder { index });
            }
            check_delay(stop.leave)?;
            free_from = stop.leave;
        }
        match self.every {
            _ if self
                .stops
                .iter()
                .all(|stop| stop.place + 1 == self.places()) =>
            {
                Err(SpecError::NoStops)
            }
            Some(every) if every < free_from => Err(SpecError::RoundPeriod(every)),
            _ => Ok(()),
        }
    }
}

//! Storage that travels: a bus with a box, a USB stick in a pocket.
//!
//! A courier goes from place to place on a timetable. While it is at a place, packets may be loaded there, and those that it
//! carries for that place are set down, both at the rate of the connection there and in order. Every packet is for every
//! other place of the round and is set down once at each, at the courier's next visit (whatever does not fit the visit waits
//! for the one after); then its room is free again. Delay-tolerant networking calls this a data mule (Shah et al., *Data
//! MULEs*, Ad Hoc Networks 1, 2003).

mod spec;

use std::collections::VecDeque;

use super::chance::{Chance, Purpose, generator};
use super::pacer::Pacer;
use super::spec::nanos;
use super::{Arrival, Nanos, Offered, SpecError};
pub use spec::{CourierSpec, Stop};

/// Bits a byte on the connection at a stop, in thousandths.
const MILLIBITS: u64 = 8000;

/// Counts of a courier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CourierStats {
    /// Packets offered, whatever became of them.
    pub offered: u64,
    /// Their bytes, without overhead.
    pub offered_bytes: u64,
    /// Packets loaded.
    pub loaded: u64,
    /// Packets dropped because the courier was full or left before they were loaded.
    pub full: u64,
    /// Packets dropped because they were above the MTU.
    pub too_big: u64,
    /// Packets offered while the courier was not there.
    pub absent: u64,
    /// Packets set down, once for each place.
    pub delivered: u64,
    /// Their bytes, without overhead.
    pub delivered_bytes: u64,
    /// Packets that were gone when they were to be set down, once for each place.
    pub lost: u64,
}

/// A packet set down at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDown<P> {
    /// The place where it was loaded.
    pub from: usize,
    /// The place where it was set down.
    pub to: usize,
    /// The packet.
    pub arrival: Arrival<P>,
}

/// A courier. It holds the packets, of a type `P` that the caller chooses.
#[derive(Debug, Clone)]
pub struct Courier<P> {
    spec: CourierSpec,
    loss: Chance,
    /// In the order in which they were loaded.
    aboard: VecDeque<Parcel<P>>,
    /// Bytes with overhead aboard, parcels that are being loaded or set down included.
    carried: u64,
    /// Parcels that wait for each place.
    wanted: Vec<u64>,
    /// Which visits have begun, counted over all rounds.
    next_visit: u64,
    visit: Option<Visit>,
    /// In order of time.
    set_down: VecDeque<SetDown<P>>,
    /// When room becomes free, and how much.
    freed: VecDeque<(Nanos, u64)>,
    down: bool,
    latest: Nanos,
    stats: CourierStats,
}

/// The stay at a place.
#[derive(Debug, Clone)]
struct Visit {
    place: usize,
    leave: Nanos,
    loading: Option<Pacer>,
}

#[derive(Debug, Clone)]
struct Parcel<P> {
    packet: P,
    from: usize,
    len: usize,
    line_bytes: u64,
    /// A bit for each place where it is still to be set down.
    places: u64,
}

impl<P: Clone> Courier<P> {
    /// A courier with nothing aboard.
    ///
    /// # Errors
    ///
    /// As [`CourierSpec::validate`].
    pub fn new(spec: &CourierSpec, seed: u64) -> Result<Self, SpecError> {
        spec.validate()?;
        Ok(Self {
            spec: spec.clone(),
            loss: Chance::new("loss", spec.loss, generator(seed, Purpose::Loss))?,
            aboard: VecDeque::new(),
            carried: 0,
            wanted: vec![0; spec.places()],
            next_visit: 0,
            visit: None,
            set_down: VecDeque::new(),
            freed: VecDeque::new(),
            down: false,
            latest: 0,
            stats: CourierStats::default(),
        })
    }

    /// Offers a packet of `len` bytes (without overhead) at `now` at a place. It is `Down` while the courier is not there.
    pub fn offer(&mut self, now: Nanos, place: usize, len: usize, packet: P) -> Offered {
        let now = self.advance(now);
        self.stats.offered += 1;
        self.stats.offered_bytes += len as u64;
        let line_len = len.saturating_add(self.spec.overhead);
        let line_bytes = line_len.max(1) as u64;
        let visit = self.visit.as_mut();
        let Some(visit) = visit.filter(|visit| visit.place == place && !self.down) else {
            self.stats.absent += 1;
            return Offered::Down;
        };
        if line_len > self.spec.mtu {
            self.stats.too_big += 1;
            return Offered::TooBig;
        }
        let room = self.spec.capacity.saturating_sub(self.carried);
        if line_bytes > room || !visit.load(now, line_bytes) {
            self.stats.full += 1;
            return Offered::QueueFull;
        }
        self.stats.loaded += 1;
        self.carried += line_bytes;
        let mut places = 0;
        for (other, wanted) in self.wanted.iter_mut().enumerate() {
            if other != place && self.spec.stops.iter().any(|stop| stop.place == other) {
                *wanted += 1;
                places |= 1 << other;
            }
        }
        self.aboard.push_back(Parcel {
            packet,
            from: place,
            len,
            line_bytes,
            places,
        });
        Offered::Queued
    }

    /// When [`poll`](Self::poll) should be called next: nothing is set down before. `None` with nothing aboard.
    #[must_use]
    pub fn next_at(&self) -> Option<Nanos> {
        if let Some(first) = self.set_down.front() {
            return Some(first.arrival.at);
        }
        let round = self.spec.stops.len() as u64;
        let mut coming = self.next_visit..self.next_visit.saturating_add(round);
        let visit = coming.find(|visit| {
            let wanted = self
                .stop(*visit)
                .and_then(|stop| self.wanted.get(stop.place));
            wanted.is_some_and(|wanted| *wanted > 0)
        });
        self.times(visit?).map(|(arrive, _)| arrive)
    }

    /// The next packet that was set down by `now`, in order of time.
    pub fn poll(&mut self, now: Nanos) -> Option<SetDown<P>> {
        let now = self.advance(now);
        if self.set_down.front()?.arrival.at > now {
            return None;
        }
        let set_down = self.set_down.pop_front()?;
        self.stats.delivered += 1;
        self.stats.delivered_bytes += set_down.arrival.len as u64;
        Some(set_down)
    }

    /// Where the courier is at `now`, if it can be loaded there.
    pub fn place(&mut self, now: Nanos) -> Option<usize> {
        self.advance(now);
        let visit = self.visit.as_ref().filter(|_| !self.down)?;
        Some(visit.place)
    }

    /// Stops the courier from working or lets it work again: while it is down nothing is loaded, and visits that begin are
    /// missed. What is aboard stays aboard, and a visit that has begun sets down what it came with.
    pub fn set_down(&mut self, now: Nanos, down: bool) {
        self.advance(now);
        self.down = down;
    }

    /// The counts by `now`.
    pub fn stats(&mut self, now: Nanos) -> CourierStats {
        let now = self.advance(now);
        let mut stats = self.stats;
        for set_down in self
            .set_down
            .iter()
            .take_while(|set_down| set_down.arrival.at <= now)
        {
            stats.delivered += 1;
            stats.delivered_bytes += set_down.arrival.len as u64;
        }
        stats
    }

    /// Bytes aboard, with overhead.
    pub fn carried_bytes(&mut self, now: Nanos) -> u64 {
        self.advance(now);
        self.carried
    }

    fn advance(&mut self, now: Nanos) -> Nanos {
        let now = self.latest.max(now);
        self.latest = now;
        if self.aboard.is_empty() {
            self.skip_rounds(now);
        }
        while let Some((arrive, leave)) = self.times(self.next_visit)
            && arrive <= now
        {
            self.free(arrive);
            self.begin(arrive, leave);
        }
        self.free(now);
        if self.visit.as_ref().is_some_and(|visit| visit.leave <= now) {
            self.visit = None;
        }
        now
    }

    /// Whole rounds with nothing aboard change nothing.
    fn skip_rounds(&mut self, now: Nanos) {
        if let Some(every) = self.spec.every {
            let round = now / nanos(every).max(1);
            let first = round.saturating_mul(self.spec.stops.len() as u64);
            self.next_visit = self.next_visit.max(first);
        }
    }

    /// A visit begins: what is for this place is set down, one after another, as far as the time suffices.
    fn begin(&mut self, arrive: Nanos, leave: Nanos) {
        let place = self.stop(self.next_visit).map(|stop| stop.place);
        self.next_visit += 1;
        let Some(place) = place.filter(|_| !self.down) else {
            return;
        };
        let mut unloading = self.spec.rate_bps.map(Pacer::new);
        for parcel in self
            .aboard
            .iter_mut()
            .filter(|p| p.places & (1 << place) != 0)
        {
            let at = match &mut unloading {
                Some(pacer) => pacer.send(arrive, parcel.line_bytes, MILLIBITS),
                None => arrive,
            };
            if at > leave {
                break;
            }
            parcel.places &= !(1 << place);
            if let Some(wanted) = self.wanted.get_mut(place) {
                *wanted -= 1;
            }
            if parcel.places == 0 {
                self.freed.push_back((at, parcel.line_bytes));
            }
            if self.loss.happens() {
                self.stats.lost += 1;
                continue;
            }
            self.set_down.push_back(SetDown {
                from: parcel.from,
                to: place,
                arrival: Arrival {
                    at,
                    packet: parcel.packet.clone(),
                    len: parcel.len,
                    damaged: false,
                    copy: false,
                },
            });
        }
        self.aboard.retain(|parcel| parcel.places != 0);
        self.visit = Some(Visit {
            place,
            leave,
            loading: self.spec.rate_bps.map(Pacer::new),
        });
    }

    /// Makes room where parcels were set down by `now`.
    fn free(&mut self, now: Nanos) {
        while let Some(&(at, bytes)) = self.freed.front()
            && at <= now
        {
            self.freed.pop_front();
            self.carried -= bytes;
        }
    }

    /// The stop of a visit.
    fn stop(&self, visit: u64) -> Option<&Stop> {
        let stops = self.spec.stops.len() as u64;
        let index = visit.checked_rem(stops)?;
        (self.spec.every.is_some() || visit < stops).then_some(())?;
        self.spec.stops.get(index as usize)
    }

    /// When a visit begins and ends.
    fn times(&self, visit: u64) -> Option<(Nanos, Nanos)> {
        let stop = self.stop(visit)?;
        let round = visit.checked_div(self.spec.stops.len() as u64)?;
        let base = match self.spec.every {
            Some(every) => nanos(every).checked_mul(round)?,
            None => 0,
        };
        let arrive = base.checked_add(nanos(stop.arrive))?;
        Some((arrive, base.checked_add(nanos(stop.leave))?))
    }
}

impl Visit {
    /// Loads a packet if that is done before the courier leaves.
    fn load(&mut self, now: Nanos, line_bytes: u64) -> bool {
        let Some(pacer) = &mut self.loading else {
            return true;
        };
        let mut after = pacer.clone();
        let fits = after.send(now, line_bytes, MILLIBITS) <= self.leave;
        if fits {
            *pacer = after;
        }
        fits
    }
}

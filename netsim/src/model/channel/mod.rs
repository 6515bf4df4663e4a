//! A half-duplex channel that stations share: radio.
//!
//! Every frame goes to every station that hears its sender, unless another frame is heard there at the same time (a
//! collision, from which the stronger may be captured) or the station transmits itself. Stations need not all hear each
//! other: two that do not, and are both heard by a third, collide there in spite of carrier sensing (hidden stations).
//!
//! Access is p-persistent CSMA as packet radio does it: a station with a frame waits until it hears nobody, then transmits
//! with probability p, or else waits for a slot and looks again (AX.25 2.2, section 6.4.2, and Chepponis and Karn, *The KISS
//! TNC*, 1987, for TXDELAY, P and SLOTTIME). Or it is pure ALOHA: whoever has a frame sends it, as LoRa nodes do. For
//! Poisson traffic of load G that is received with probability `exp(-2G)` (Abramson, *The ALOHA system*, AFIPS 1970).
//!
//! One frame is sent each time that the transmitter is keyed. Stations do not acknowledge or repeat: that is their owners'
//! business.

mod air;
mod spec;
mod stats;

use std::collections::{BTreeSet, VecDeque};

use rand_chacha::ChaCha8Rng;

use super::burst::LossProcess;
use super::chance::{Chance, Purpose, damage, generator, station_generator};
use super::duty::DutyLog;
use super::queue::{Queue, Waiting};
use super::spec::nanos;
use super::{Nanos, Offered, SpecError};
use air::{Air, Heard};
pub use spec::{Access, Airtime, ChannelSpec};
pub use stats::StationStats;

/// The most stations of a channel.
pub const MAX_STATIONS: usize = 1024;

/// A frame at a station that heard it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reception<P> {
    /// When it was received whole, which may be before the time of the call that hands it out.
    pub at: Nanos,
    /// The station that sent it.
    pub from: usize,
    /// The station that heard it.
    pub to: usize,
    /// What was offered.
    pub packet: P,
    /// Its length in bytes, without overhead.
    pub len: usize,
    /// Whether it was damaged on its way: whoever holds its bytes gives them to [`Channel::damage`].
    pub damaged: bool,
}

/// A shared half-duplex channel. It holds the frames, of a type `P` that the caller chooses; stations are numbered from 0.
///
/// It is driven like a [`Link`](super::Link): offer, then poll at [`next_at`](Self::next_at) or when convenient.
#[derive(Debug, Clone)]
pub struct Channel<P> {
    spec: ChannelSpec,
    stations: Vec<Station<P>>,
    air: Air,
    /// What will happen at which station; each has at most one entry. What ends comes before what begins.
    agenda: BTreeSet<(Nanos, Step, usize)>,
    /// In the order of their times, since the delay is the same for all.
    received: VecDeque<Reception<P>>,
    damage_rng: ChaCha8Rng,
    latest: Nanos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The transmission ends.
    End,
    /// The station looks whether it may transmit.
    Try,
}

#[derive(Debug, Clone)]
struct Station<P> {
    queue: Queue<P>,
    sending: Option<(Nanos, Waiting<P>)>,
    /// Waits until it hears nobody.
    held_off: bool,
    planned: Option<(Nanos, Step)>,
    down: bool,
    persistence: Chance,
    duty: Option<DutyLog>,
    loss: LossProcess,
    corrupt: Chance,
    stats: StationStats,
}

impl<P: Clone> Channel<P> {
    /// A channel on which all stations hear each other equally well.
    ///
    /// # Errors
    ///
    /// As [`ChannelSpec::validate`]; and more than [`MAX_STATIONS`].
    pub fn new(spec: &ChannelSpec, stations: usize, seed: u64) -> Result<Self, SpecError> {
        spec.validate()?;
        if stations > MAX_STATIONS {
            return Err(SpecError::Stations(stations));
        }
        let capture = spec.capture_db.map(i32::from);
        let make = |station| Station::new(spec, station, seed);
        Ok(Self {
            spec: spec.clone(),
            stations: (0..stations).map(make).collect::<Result<_, _>>()?,
            air: Air::new(stations, nanos(spec.tx_delay), capture),
            agenda: BTreeSet::new(),
            received: VecDeque::new(),
            damage_rng: generator(seed, Purpose::Damage),
            latest: 0,
        })
    }

    /// Says how loud `from` is at `to` from `now` on, in decibels over any reference, or that it is not heard there.
    /// Transmissions under way are judged by it at their end.
    pub fn set_level(&mut self, now: Nanos, from: usize, to: usize, level_db: Option<i16>) {
        let now = self.advance(now);
        if from >= self.stations.len() || to >= self.stations.len() {
            return;
        }
        self.air.set_level(from, to, level_db);
        // The carrier that it waits for may be one that it no longer hears.
        let held_off = self.stations.get_mut(to).filter(|state| state.held_off);
        if let Some(state) = held_off {
            state.held_off = false;
            self.plan(to, now, Step::Try);
            self.run(now);
        }
    }

    /// Offers a frame of `len` bytes (without overhead) at `now` to a station's transmitter. A station that is not there is
    /// down.
    pub fn offer(&mut self, now: Nanos, station: usize, len: usize, packet: P) -> Offered {
        let now = self.advance(now);
        let line_len = len.saturating_add(self.spec.overhead);
        let Some(state) = self.stations.get_mut(station) else {
            return Offered::Down;
        };
        state.stats.offered += 1;
        state.stats.offered_bytes += len as u64;
        if state.down {
            state.stats.cut += 1;
            return Offered::Down;
        }
        if line_len > self.spec.mtu {
            state.stats.too_big += 1;
            return Offered::TooBig;
        }
        let line_bytes = line_len.max(1) as u64;
        if !state.queue.has_room(state.held(), line_bytes) {
            state.stats.queue_full += 1;
            return Offered::QueueFull;
        }
        state.queue.push(Waiting {
            since: now,
            packet,
            len,
            line_bytes,
        });
        if state.planned.is_none() && !state.held_off {
            self.plan(station, now, Step::Try);
            self.run(now);
        }
        Offered::Queued
    }

    /// When something happens next: a frame arrives, or a transmitter begins, ends or looks again. `None` at rest.
    #[must_use]
    pub fn next_at(&self) -> Option<Nanos> {
        let step = self.agenda.first().map(|(at, ..)| *at);
        let received = self.received.front().map(|reception| reception.at);
        match (step, received) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The next frame that was received by `now`, in order of time and then of stations.
    pub fn poll(&mut self, now: Nanos) -> Option<Reception<P>> {
        let now = self.advance(now);
        if self.received.front()?.at > now {
            return None;
        }
        self.received.pop_front()
    }

    /// Switches a station off or on. What waits there or is being sent is lost, and it hears nothing.
    pub fn set_down(&mut self, now: Nanos, station: usize, down: bool) {
        let now = self.advance(now);
        let Some(state) = self.stations.get_mut(station) else {
            return;
        };
        state.down = down;
        if !down {
            return;
        }
        state.stats.cut += state.queue.clear() + u64::from(state.sending.is_some());
        state.held_off = false;
        let sending = state.sending.take();
        if let Some((at, step)) = state.planned.take() {
            self.agenda.remove(&(at, step, station));
        }
        if sending.is_some() {
            self.clear(now, station);
        }
        let stats = self.stations.get_mut(station).map(|state| &mut state.stats);
        if let Some(stats) = stats {
            self.received.retain(|reception| {
                let kept = reception.to != station || reception.at <= now;
                if !kept {
                    stats.undo(reception.len, reception.damaged);
                }
                kept
            });
        }
        self.run(now);
    }

    /// Flips bits in one to three adjacent bytes of a frame that arrived damaged; a frame of nothing stays as it is.
    pub fn damage(&mut self, frame: &mut [u8]) {
        damage(frame, &mut self.damage_rng);
    }

    /// The counts of a station by `now`; of nothing for a station that is not there.
    pub fn stats(&mut self, now: Nanos, station: usize) -> StationStats {
        let now = self.advance(now);
        let Some(state) = self.stations.get_mut(station) else {
            return StationStats::default();
        };
        let mut stats = state.stats;
        stats.bad_nanos = state.loss.bad_time(now);
        stats
    }

    /// Bytes, with overhead, that wait at a station or are being sent.
    pub fn queued_bytes(&mut self, now: Nanos, station: usize) -> u64 {
        self.advance(now);
        self.stations.get(station).map_or(0, Station::held)
    }

    /// When a station's transmitter has nothing left to send, if nothing more is offered: what a modem tells its host.
    /// `None` while a frame still waits, since others decide when it may be sent.
    #[must_use]
    pub fn line_free_at(&self, station: usize) -> Option<Nanos> {
        let state = self.stations.get(station)?;
        match &state.sending {
            _ if state.queue.waiting_bytes() > 0 => None,
            Some((ends, _)) => Some(*ends),
            None => Some(self.latest),
        }
    }

    fn advance(&mut self, now: Nanos) -> Nanos {
        let now = self.latest.max(now);
        self.run(now);
        self.latest = now;
        now
    }

    /// Takes every step that is due by `now`.
    fn run(&mut self, now: Nanos) {
        while let Some(&(at, step, station)) = self.agenda.first()
            && at <= now
        {
            self.agenda.pop_first();
            if let Some(state) = self.stations.get_mut(station) {
                state.planned = None;
            }
            match step {
                Step::Try => self.attempt(at, station),
                Step::End => self.end(at, station),
            }
        }
    }

    fn plan(&mut self, station: usize, at: Nanos, step: Step) {
        if let Some(state) = self.stations.get_mut(station) {
            state.planned = Some((at, step));
            self.agenda.insert((at, step, station));
        }
    }

    /// A station with a frame looks whether it may transmit.
    fn attempt(&mut self, now: Nanos, station: usize) {
        let Some(state) = self.stations.get_mut(station) else {
            return;
        };
        let Some(line_bytes) = state.queue.front_bytes() else {
            return;
        };
        let keyed = self.spec.keyed_time(line_bytes as usize);
        let allowed = (state.duty.as_mut()).map_or(now, |duty| duty.earliest(now, keyed));
        if allowed > now {
            return self.plan(station, allowed, Step::Try);
        }
        if let Access::Csma { slot, detect, .. } = self.spec.access {
            if self.air.senses(station, now, nanos(detect)) {
                state.held_off = true;
                return;
            }
            if !state.persistence.happens() {
                return self.plan(station, now.saturating_add(nanos(slot)), Step::Try);
            }
        }
        let Some(frame) = state.queue.pop(now, |_| {}) else {
            return;
        };
        let ends = now.saturating_add(keyed);
        state.stats.send(&frame, keyed);
        state.sending = Some((ends, frame));
        if let Some(duty) = &mut state.duty {
            duty.note(now, ends);
        }
        self.air.begin(station, now, ends);
        self.plan(station, ends, Step::End);
    }

    /// A transmission ends: it is received, and others that waited for it look again.
    fn end(&mut self, now: Nanos, station: usize) {
        let sent = self
            .stations
            .get_mut(station)
            .and_then(|state| state.sending.take());
        if let Some((_, frame)) = sent {
            for to in 0..self.stations.len() {
                self.receive(now, station, to, &frame);
            }
        }
        self.clear(now, station);
        let waits = self
            .stations
            .get(station)
            .is_some_and(|state| state.queue.waiting_bytes() > 0);
        if waits {
            self.plan(station, now, Step::Try);
        }
    }

    /// Chance is drawn for every station in reach, whatever the air did, so that a collision changes nothing for others.
    fn receive(&mut self, now: Nanos, from: usize, to: usize, frame: &Waiting<P>) {
        let heard = self.air.heard(from, to);
        let Some(state) = self
            .stations
            .get_mut(to)
            .filter(|_| heard != Heard::Nothing)
        else {
            return;
        };
        let (lost, damaged) = (state.loss.lost(now), state.corrupt.happens());
        let stats = &mut state.stats;
        match heard {
            _ if state.down => stats.missed_down += 1,
            Heard::Deaf => stats.deaf += 1,
            Heard::Collided => stats.collided += 1,
            _ if lost => stats.lost += 1,
            _ => {
                stats.receive(frame.len, damaged);
                self.received.push_back(Reception {
                    at: now.saturating_add(nanos(self.spec.delay)),
                    from,
                    to,
                    packet: frame.packet.clone(),
                    len: frame.len,
                    damaged,
                });
            }
        }
    }

    /// Takes a carrier off the air. Stations that it held off look again at this moment.
    fn clear(&mut self, now: Nanos, station: usize) {
        self.air.end(station);
        for other in 0..self.stations.len() {
            let hears = self.air.hears(station, other);
            let freed = self
                .stations
                .get_mut(other)
                .filter(|state| hears && state.held_off);
            if let Some(state) = freed {
                state.held_off = false;
                self.plan(other, now, Step::Try);
            }
        }
    }
}

impl<P> Station<P> {
    fn new(spec: &ChannelSpec, station: usize, seed: u64) -> Result<Self, SpecError> {
        let chance =
            |name, p, purpose| Chance::new(name, p, station_generator(seed, purpose, station));
        let persistence = match spec.access {
            Access::Csma { persistence, .. } => persistence,
            Access::Aloha => 1.0,
        };
        Ok(Self {
            queue: Queue::new(spec.queue_limit(), None),
            sending: None,
            held_off: false,
            planned: None,
            down: false,
            persistence: chance("persistence", persistence, Purpose::Persistence)?,
            duty: spec.duty.map(DutyLog::new),
            loss: LossProcess::new(spec.loss, spec.burst.as_ref(), seed, station)?,
            corrupt: chance("corrupt", spec.corrupt, Purpose::Corruption)?,
            stats: StationStats::default(),
        })
    }

    /// Bytes that wait or are being sent.
    fn held(&self) -> u64 {
        let sending = self
            .sending
            .as_ref()
            .map_or(0, |(_, frame)| frame.line_bytes);
        self.queue.waiting_bytes() + sending
    }
}

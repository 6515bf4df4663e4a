//! One direction of a packet link: a drop-tail queue, a line of fixed rate, a delay, and chance.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;

use super::chance::{Chance, Purpose, damage, generator};
use super::flight::{Flight, Flying};
use super::pacer::Pacer;
use super::{LinkSpec, LinkStats, Nanos, SpecError};

/// What a link says to a packet that it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It waits or is on its way. It may still be lost.
    Queued,
    /// It finds no room in the queue and is dropped.
    QueueFull,
    /// It is above the MTU and is dropped.
    TooBig,
    /// The link is cut; it is dropped.
    Down,
}

/// A packet at the far end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival<P> {
    /// When it arrived, which may be before the time of the call that hands it out.
    pub at: Nanos,
    /// What was offered.
    pub packet: P,
    /// Its length in bytes, without overhead.
    pub len: usize,
    /// Whether it was damaged on its way: whoever holds its bytes gives them to [`Link::damage`].
    pub damaged: bool,
    /// Whether it is a second copy that the link made.
    pub copy: bool,
}

/// One direction of a point-to-point packet link. It holds the packets, of a type `P` that the caller chooses.
///
/// Offer packets with [`offer`](Self::offer), then call [`poll`](Self::poll) at [`next_at`](Self::next_at), or whenever
/// convenient: a link that is asked late says the same as one that is asked in time.
///
/// Memory grows with the packets in queue and in flight, which [`LinkSpec::capacity`] bounds in bytes.
#[derive(Debug, Clone)]
pub struct Link<P> {
    delay: Nanos,
    mtu: usize,
    overhead: usize,
    queue_limit: u64,
    pacer: Option<Pacer>,
    loss: Chance,
    corrupt: Chance,
    damage_rng: ChaCha8Rng,
    /// What the transmitter is sending, and when its last bit leaves. Nothing waits unless something is being sent.
    sending: Option<(Nanos, Waiting<P>)>,
    waiting: VecDeque<Waiting<P>>,
    /// Bytes with overhead in `sending` and `waiting`.
    queued: u64,
    flight: Flight<P>,
    departures: u64,
    down: bool,
    latest: Nanos,
    stats: LinkStats,
}

#[derive(Debug, Clone)]
struct Waiting<P> {
    packet: P,
    len: usize,
    /// Bytes with overhead.
    line_bytes: u64,
}

impl<P: Clone> Link<P> {
    /// A link that is up and idle.
    ///
    /// # Errors
    ///
    /// As [`LinkSpec::validate`].
    pub fn new(spec: &LinkSpec, seed: u64) -> Result<Self, SpecError> {
        spec.validate()?;
        Ok(Self {
            delay: spec.delay_nanos(),
            mtu: spec.mtu,
            overhead: spec.overhead,
            queue_limit: spec.queue_limit(),
            pacer: spec.rate_bps.map(Pacer::new),
            loss: Chance::new("loss", spec.loss, seed, Purpose::Loss)?,
            corrupt: Chance::new("corrupt", spec.corrupt, seed, Purpose::Corruption)?,
            damage_rng: generator(seed, Purpose::Damage),
            sending: None,
            waiting: VecDeque::new(),
            queued: 0,
            flight: Flight::new(),
            departures: 0,
            down: false,
            latest: 0,
            stats: LinkStats::default(),
        })
    }

    /// Offers a packet of `len` bytes (without overhead) at `now`.
    pub fn offer(&mut self, now: Nanos, len: usize, packet: P) -> Offered {
        let now = self.advance(now);
        let line_len = len.saturating_add(self.overhead);
        // A packet of nothing without overhead still takes a place, or an endless number of them would fit.
        let line_bytes = line_len.max(1) as u64;
        self.stats.offered += 1;
        self.stats.offered_bytes += len as u64;
        self.stats.offered_line_bytes += line_len as u64;
        if self.down {
            self.stats.cut += 1;
            return Offered::Down;
        }
        if line_len > self.mtu {
            self.stats.too_big += 1;
            return Offered::TooBig;
        }
        if self.held() + line_bytes > self.queue_limit {
            self.stats.queue_full += 1;
            return Offered::QueueFull;
        }
        self.queued += line_bytes;
        let waiting = Waiting {
            packet,
            len,
            line_bytes,
        };
        if self.sending.is_some() {
            self.waiting.push_back(waiting);
        } else {
            self.begin(now, waiting);
            self.advance(now);
        }
        Offered::Queued
    }

    /// When [`poll`](Self::poll) should be called next: nothing arrives before. `None` while nothing is on its way.
    #[must_use]
    pub fn next_at(&self) -> Option<Nanos> {
        let sending = self.sending.as_ref();
        let soonest = sending.map(|(leaves, _)| leaves.saturating_add(self.delay));
        match (self.flight.next_at(), soonest) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The next packet that has arrived by `now`, in order of arrival; `None` when there is none (or no more).
    pub fn poll(&mut self, now: Nanos) -> Option<Arrival<P>> {
        let now = self.advance(now);
        let Flying {
            line_bytes,
            arrival,
            ..
        } = self.flight.pop(now)?;
        self.stats.delivered += 1;
        self.stats.delivered_bytes += arrival.len as u64;
        self.stats.delivered_line_bytes += line_bytes;
        Some(arrival)
    }

    /// Cuts the link or restores it. What waits or has not arrived at a cut is lost, and counted as cut.
    pub fn set_down(&mut self, now: Nanos, down: bool) {
        let now = self.advance(now);
        self.down = down;
        if !down {
            return;
        }
        self.stats.cut += self.waiting.len() as u64 + u64::from(self.sending.is_some());
        self.sending = None;
        self.waiting.clear();
        self.queued = 0;
        let cut = &mut self.stats.cut;
        self.flight.cut(now, |_| *cut += 1);
        if let Some(pacer) = &mut self.pacer {
            pacer.reset(now);
        }
    }

    /// Makes the link one of another kind from `now` on, as at a handover. The packet being sent is sent out as it was
    /// begun; those that wait go at the new rate and delay, which may let them overtake.
    ///
    /// # Errors
    ///
    /// As [`LinkSpec::validate`]; the link then stays as it was.
    pub fn reshape(&mut self, now: Nanos, spec: &LinkSpec) -> Result<(), SpecError> {
        spec.validate()?;
        let now = self.advance(now);
        self.loss.set("loss", spec.loss)?;
        self.corrupt.set("corrupt", spec.corrupt)?;
        self.delay = spec.delay_nanos();
        self.mtu = spec.mtu;
        self.overhead = spec.overhead;
        self.queue_limit = spec.queue_limit();
        self.pacer = spec.rate_bps.map(Pacer::new);
        if let (Some(pacer), Some((leaves, _))) = (&mut self.pacer, &self.sending) {
            pacer.reset(*leaves);
        }
        self.advance(now);
        Ok(())
    }

    /// Changes the probability of damage for packets that leave from now on.
    ///
    /// # Errors
    ///
    /// [`SpecError::Probability`] if `p` is outside 0 to 1.
    pub fn set_corrupt(&mut self, p: f64) -> Result<(), SpecError> {
        self.corrupt.set("corrupt", p)
    }

    /// Flips bits in one to three adjacent bytes of a packet that arrived damaged; a packet of nothing stays as it is.
    pub fn damage(&mut self, packet: &mut [u8]) {
        damage(packet, &mut self.damage_rng);
    }

    /// What became of the packets by `now`. One that has arrived counts as delivered although nobody asked for it yet.
    pub fn stats(&mut self, now: Nanos) -> LinkStats {
        let now = self.advance(now);
        let mut stats = self.stats;
        for flying in self.flight.arrived(now) {
            stats.delivered += 1;
            stats.delivered_bytes += flying.arrival.len as u64;
            stats.delivered_line_bytes += flying.line_bytes;
        }
        stats
    }

    /// Bytes, with overhead, that count against the queue's bound.
    pub fn queued_bytes(&mut self, now: Nanos) -> u64 {
        self.advance(now);
        self.held()
    }

    /// When the transmitter has nothing left to send, if nothing more is offered: what a modem tells its host.
    #[must_use]
    pub fn line_free_at(&self) -> Nanos {
        let waiting: u64 = self.waiting.iter().map(|w| w.line_bytes).sum();
        match (&self.pacer, &self.sending) {
            (Some(pacer), Some(_)) => pacer.clone().send(0, waiting * 8),
            _ => self.latest,
        }
    }

    /// Without a rate nothing ever waits: the queue's bound is one on what is in flight.
    fn held(&self) -> u64 {
        match self.pacer {
            Some(_) => self.queued,
            None => self.queued + self.flight.line_bytes(),
        }
    }

    /// Lets all that has left the line by `now` depart; returns a time that does not run backwards.
    fn advance(&mut self, now: Nanos) -> Nanos {
        self.latest = self.latest.max(now);
        let now = self.latest;
        while let Some((leaves, sent)) = self.sending.take_if(|(leaves, _)| *leaves <= now) {
            self.queued -= sent.line_bytes;
            self.depart(leaves, sent);
            if let Some(next) = self.waiting.pop_front() {
                self.begin(leaves, next);
            }
        }
        now
    }

    fn begin(&mut self, now: Nanos, waiting: Waiting<P>) {
        let leaves = match &mut self.pacer {
            Some(pacer) => pacer.send(now, waiting.line_bytes * 8),
            None => now,
        };
        self.sending = Some((leaves, waiting));
    }

    /// Loss and corruption are drawn for every packet that leaves and for no other.
    fn depart(&mut self, leaves: Nanos, sent: Waiting<P>) {
        self.stats.sent += 1;
        self.stats.sent_line_bytes += sent.line_bytes;
        self.departures += 1;
        let (lost, damaged) = (self.loss.happens(), self.corrupt.happens());
        if lost {
            self.stats.lost += 1;
            self.stats.lost_line_bytes += sent.line_bytes;
            return;
        }
        self.stats.corrupted += u64::from(damaged);
        self.flight.push(Flying {
            seq: self.departures,
            line_bytes: sent.line_bytes,
            arrival: Arrival {
                at: leaves.saturating_add(self.delay),
                packet: sent.packet,
                len: sent.len,
                damaged,
                copy: false,
            },
        });
    }
}

//! One direction of a packet link: a drop-tail queue, a line of fixed rate, a delay, and chance.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;

use super::chance::{Chance, Purpose, damage, generator};
use super::pacer::Pacer;
use super::{LinkSpec, LinkStats, Nanos, SpecError};

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives unharmed at this time, unless the link is cut before: then whoever holds the packet must drop it.
    Deliver {
        /// When it arrives.
        at: Nanos,
    },
    /// It arrives damaged at this time (see [`Link::damage`]), unless the link is cut before.
    Corrupted {
        /// When it arrives.
        at: Nanos,
    },
    /// It takes its time on the line and is lost.
    Lost,
    /// It finds no room in the queue and is dropped.
    QueueFull,
    /// It is above the MTU and is dropped.
    TooBig,
    /// The link is cut; it is dropped.
    Down,
}

/// One direction of a link, first in first out: the times of arrival never decrease from one packet to the next.
///
/// Memory grows with the packets in queue and in flight, which [`LinkSpec::capacity`] bounds in bytes.
#[derive(Debug, Clone)]
pub struct Link {
    delay: Nanos,
    mtu: usize,
    overhead: usize,
    queue_limit: u64,
    pacer: Option<Pacer>,
    loss: Chance,
    corrupt: Chance,
    damage_rng: ChaCha8Rng,
    /// When each packet leaves the queue, and its bytes with overhead.
    queue: VecDeque<(Nanos, u64)>,
    queued: u64,
    /// When each packet that is not lost arrives, and its bytes without overhead.
    in_flight: VecDeque<(Nanos, u64)>,
    down: bool,
    latest: Nanos,
    stats: LinkStats,
}

impl Link {
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
            queue: VecDeque::new(),
            queued: 0,
            in_flight: VecDeque::new(),
            down: false,
            latest: 0,
            stats: LinkStats::default(),
        })
    }

    /// Offers a packet of `len` bytes (without overhead) at `now`, and says what becomes of it.
    ///
    /// Loss and corruption are drawn for every packet that enters the queue and for no other.
    pub fn offer(&mut self, now: Nanos, len: usize) -> Fate {
        let now = self.advance(now);
        let bytes = len as u64;
        self.stats.offered += 1;
        self.stats.offered_bytes += bytes;
        if self.down {
            self.stats.cut += 1;
            return Fate::Down;
        }
        let wire = len.saturating_add(self.overhead);
        if wire > self.mtu {
            self.stats.too_big += 1;
            return Fate::TooBig;
        }
        // A packet of nothing without overhead still takes a place, or an endless number of them would fit.
        let wire = wire.max(1) as u64;
        if self.queued + wire > self.queue_limit {
            self.stats.queue_full += 1;
            return Fate::QueueFull;
        }
        let at = self.enqueue(now, wire);
        self.draw(at, bytes)
    }

    /// Puts a packet into the queue and returns when it arrives.
    fn enqueue(&mut self, now: Nanos, wire: u64) -> Nanos {
        let (leaves, arrives) = match &mut self.pacer {
            Some(pacer) => {
                let sent = pacer.send(now, wire * 8);
                (sent, sent.saturating_add(self.delay))
            }
            // Without a rate nothing ever waits: the queue's bound is one on what is in flight.
            None => {
                let at = now.saturating_add(self.delay);
                (at, at)
            }
        };
        self.queue.push_back((leaves, wire));
        self.queued += wire;
        arrives
    }

    fn draw(&mut self, at: Nanos, bytes: u64) -> Fate {
        let (lost, corrupted) = (self.loss.happens(), self.corrupt.happens());
        if lost {
            self.stats.lost += 1;
            return Fate::Lost;
        }
        self.in_flight.push_back((at, bytes));
        if corrupted {
            self.stats.corrupted += 1;
            return Fate::Corrupted { at };
        }
        Fate::Deliver { at }
    }

    /// Cuts the link or restores it. What waits or is in flight at a cut is lost, and counted as cut.
    pub fn set_down(&mut self, now: Nanos, down: bool) {
        let now = self.advance(now);
        self.down = down;
        if down {
            self.stats.cut += self.in_flight.len() as u64;
            self.in_flight.clear();
            self.queue.clear();
            self.queued = 0;
            if let Some(pacer) = &mut self.pacer {
                pacer.reset(now);
            }
        }
    }

    /// Changes the probability of damage for packets offered from now on.
    ///
    /// # Errors
    ///
    /// [`SpecError::Probability`] if `p` is outside 0 to 1.
    pub fn set_corrupt(&mut self, p: f64) -> Result<(), SpecError> {
        self.corrupt.set("corrupt", p)
    }

    /// Flips bits in one to three adjacent bytes of a packet that is to arrive damaged; a packet of nothing stays as it is.
    pub fn damage(&mut self, packet: &mut [u8]) {
        damage(packet, &mut self.damage_rng);
    }

    /// What became of the packets so far.
    pub fn stats(&mut self, now: Nanos) -> LinkStats {
        self.advance(now);
        self.stats
    }

    /// Bytes, with overhead, that count against the queue's bound.
    pub fn queued_bytes(&mut self, now: Nanos) -> u64 {
        self.advance(now);
        self.queued
    }

    /// Lets go of all that has left the queue or arrived by `now`; returns a time that does not run backwards.
    fn advance(&mut self, now: Nanos) -> Nanos {
        self.latest = self.latest.max(now);
        let now = self.latest;
        while let Some(&(leaves, wire)) = self.queue.front()
            && leaves <= now
        {
            self.queue.pop_front();
            self.queued -= wire;
        }
        while let Some(&(at, bytes)) = self.in_flight.front()
            && at <= now
        {
            self.in_flight.pop_front();
            self.stats.delivered += 1;
            self.stats.delivered_bytes += bytes;
        }
        now
    }
}

//! One direction of a packet link: a queue, a line that takes its time, and the way to the far end.

use super::codel::CoDel;
use super::flight::{Flight, Flying};
use super::line::Line;
use super::queue::{Queue, Waiting};
use super::spec::nanos;
use super::way::{Fate, Way};
use super::{Contact, LinkSpec, LinkStats, Nanos, SpecError};

/// What a link says to a packet that it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It waits or is on its way. It may still be lost.
    Queued,
    /// It finds no room in the queue and is dropped.
    QueueFull,
    /// It is above the MTU and is dropped.
    TooBig,
    /// The link is cut, or there is no contact; it is dropped.
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
    spec: LinkSpec,
    line: Line,
    way: Way,
    /// What the transmitter is sending, and when its last bit leaves. Nothing waits unless something is being sent.
    sending: Option<(Nanos, Waiting<P>)>,
    queue: Queue<P>,
    flight: Flight<P>,
    departures: u64,
    /// The latest departure that has arrived.
    latest_arrived: u64,
    /// The shortest delay that a packet may have.
    least_delay: Nanos,
    down: bool,
    /// Whether there is a contact now, and when that changes.
    contact: bool,
    contact_change: Option<Nanos>,
    latest: Nanos,
    /// Until when the bytes in the queue have been counted over time.
    queue_counted: Nanos,
    stats: LinkStats,
}

impl<P: Clone> Link<P> {
    /// A link that is up and idle.
    ///
    /// # Errors
    ///
    /// As [`LinkSpec::validate`].
    pub fn new(spec: &LinkSpec, seed: u64) -> Result<Self, SpecError> {
        spec.validate()?;
        let mut link = Self {
            spec: spec.clone(),
            line: Line::new(spec, spec.rate_bps),
            way: Way::new(spec, seed)?,
            sending: None,
            queue: Queue::new(spec.queue_limit(), CoDel::of(spec)),
            flight: Flight::new(),
            departures: 0,
            latest_arrived: 0,
            least_delay: spec.least_delay(),
            down: false,
            contact: true,
            contact_change: None,
            latest: 0,
            queue_counted: 0,
            stats: LinkStats::default(),
        };
        link.enter(0);
        Ok(link)
    }

    /// Offers a packet of `len` bytes (without overhead) at `now`.
    pub fn offer(&mut self, now: Nanos, len: usize, packet: P) -> Offered {
        let now = self.advance(now);
        let line_len = len.saturating_add(self.spec.overhead);
        // A packet of nothing without overhead still takes a place, or an endless number of them would fit.
        let line_bytes = line_len.max(1) as u64;
        self.stats.offered += 1;
        self.stats.offered_bytes += len as u64;
        self.stats.offered_line_bytes += line_len as u64;
        if self.down || !self.contact {
            self.stats.cut += 1;
            return Offered::Down;
        }
        if line_len > self.spec.mtu {
            self.stats.too_big += 1;
            return Offered::TooBig;
        }
        if !self.queue.has_room(self.held(), line_bytes) {
            self.stats.queue_full += 1;
            self.stats.queue_dropped_line_bytes += line_bytes;
            return Offered::QueueFull;
        }
        self.count_queue(now);
        self.queue.push(Waiting {
            since: now,
            packet,
            len,
            line_bytes,
        });
        if self.sending.is_none() {
            self.begin(now);
            self.run(now);
        }
        Offered::Queued
    }

    /// When [`poll`](Self::poll) should be called next: nothing arrives before. `None` while nothing is on its way.
    #[must_use]
    pub fn next_at(&self) -> Option<Nanos> {
        let sending = self.sending.as_ref();
        let soonest = sending.map(|(leaves, _)| leaves.saturating_add(self.least_delay));
        match (self.flight.next_at(), soonest) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The next packet that has arrived by `now`, in order of arrival; `None` when there is none (or no more).
    pub fn poll(&mut self, now: Nanos) -> Option<Arrival<P>> {
        let now = self.advance(now);
        let flying = self.flight.pop(now)?;
        if !flying.arrival.copy {
            // RFC 4737, section 3.3: reordered is what was sent before a packet that has arrived.
            self.stats.reordered += u64::from(flying.departure < self.latest_arrived);
            self.latest_arrived = self.latest_arrived.max(flying.departure);
        }
        self.stats.deliver(&flying);
        Some(flying.arrival)
    }

    /// Cuts the link or restores it. What waits or has not arrived at a cut is lost, and counted as cut.
    pub fn set_down(&mut self, now: Nanos, down: bool) {
        let now = self.advance(now);
        self.down = down;
        if down {
            self.silence(now);
            let cut = &mut self.stats.cut;
            self.flight
                .cut(now, |flying| *cut += u64::from(!flying.arrival.copy));
        }
    }

    /// Whether a packet may be offered at `now`: the link is not cut, and there is a contact.
    pub fn is_up(&mut self, now: Nanos) -> bool {
        self.advance(now);
        !self.down && self.contact
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
        self.way.reshape(now, spec)?;
        self.queue.set_limit(spec.queue_limit());
        if self.spec.qdisc != spec.qdisc {
            self.queue.set_codel(CoDel::of(spec));
        }
        self.spec = spec.clone();
        self.least_delay = spec.least_delay();
        self.line = Line::new(spec, spec.rate_bps);
        self.enter(now);
        self.run(now);
        Ok(())
    }

    /// Changes the probability of damage for packets that leave from now on.
    ///
    /// # Errors
    ///
    /// [`SpecError::Probability`] if `p` is outside 0 to 1.
    pub fn set_corrupt(&mut self, p: f64) -> Result<(), SpecError> {
        self.way.set_corrupt(p)?;
        self.spec.corrupt = p;
        Ok(())
    }

    /// Flips bits in one to three adjacent bytes of a packet that arrived damaged; a packet of nothing stays as it is.
    pub fn damage(&mut self, packet: &mut [u8]) {
        self.way.damage(packet);
    }

    /// What became of the packets by `now`. One that has arrived counts as delivered although nobody asked for it yet.
    pub fn stats(&mut self, now: Nanos) -> LinkStats {
        let now = self.advance(now);
        self.count_queue(now);
        let mut stats = self.stats;
        for flying in self.flight.arrived(now) {
            stats.deliver(flying);
        }
        stats.bad_nanos = self.way.bad_time(now);
        stats
    }

    /// Bytes, with overhead, that count against the queue's bound.
    pub fn queued_bytes(&mut self, now: Nanos) -> u64 {
        self.advance(now);
        self.held()
    }

    /// When the transmitter has nothing left to send, if nothing more is offered and nothing is dropped: what a modem tells
    /// its host.
    #[must_use]
    pub fn line_free_at(&self) -> Nanos {
        match &self.sending {
            None => self.latest,
            Some((leaves, _)) if self.queue.waiting_bytes() == 0 => *leaves,
            Some((leaves, _)) => self.line.clone().send(*leaves, self.queue.waiting_bytes()),
        }
    }

    /// Bytes that count against the queue's bound. Without a rate nothing ever waits: the bound is one on what is in flight.
    fn held(&self) -> u64 {
        let in_flight = if self.line.is_instant() {
            self.flight.line_bytes()
        } else {
            0
        };
        self.unsent() + in_flight
    }

    /// Bytes that wait or are being sent.
    fn unsent(&self) -> u64 {
        let sending = self.sending.as_ref().map_or(0, |(_, sent)| sent.line_bytes);
        self.queue.waiting_bytes() + sending
    }

    /// Counts what waits or is being sent up to `now`: before it changes, and before anybody reads the count.
    fn count_queue(&mut self, now: Nanos) {
        let since = now.saturating_sub(self.queue_counted);
        self.stats.queue_byte_nanos += u128::from(self.unsent()) * u128::from(since);
        self.queue_counted = self.queue_counted.max(now);
    }

    /// Brings the link to `now`; returns a time that does not run backwards.
    fn advance(&mut self, now: Nanos) -> Nanos {
        let now = self.latest.max(now);
        while let Some(change) = self.contact_change.filter(|change| *change <= now) {
            if self.sending.is_none() {
                // Contacts in which nothing was sent change nothing.
                self.enter(now);
                break;
            }
            self.run(change);
            self.latest = change;
            self.enter(change);
        }
        self.latest = now;
        self.run(now);
        now
    }

    /// Lets all that has left the line by `now` depart.
    fn run(&mut self, now: Nanos) {
        let due = |link: &Self| link.sending.as_ref().map(|(leaves, _)| *leaves);
        while let Some(leaves) = due(self).filter(|leaves| *leaves <= now) {
            self.count_queue(leaves);
            if let Some((_, sent)) = self.sending.take() {
                self.depart(leaves, sent);
            }
            self.begin(leaves);
        }
    }

    /// Gives the transmitter the next packet.
    fn begin(&mut self, now: Nanos) {
        let stats = &mut self.stats;
        let dropped = |bytes| {
            stats.aqm += 1;
            stats.queue_dropped_line_bytes += bytes;
        };
        if let Some(next) = self.queue.pop(now, dropped) {
            let leaves = self.line.send(now, next.line_bytes);
            self.sending = Some((leaves, next));
        }
    }

    fn depart(&mut self, leaves: Nanos, sent: Waiting<P>) {
        self.stats.sent += 1;
        self.stats.sent_line_bytes += sent.line_bytes;
        self.departures += 1;
        let Fate::Arrives { at, damaged, twice } = self.way.draw(leaves) else {
            self.stats.lost += 1;
            self.stats.lost_line_bytes += sent.line_bytes;
            return;
        };
        self.stats.corrupted += u64::from(damaged);
        let flying = Flying {
            departure: self.departures,
            line_bytes: sent.line_bytes,
            arrival: Arrival {
                at,
                packet: sent.packet,
                len: sent.len,
                damaged,
                copy: false,
            },
        };
        if twice {
            let mut copy = flying.clone();
            copy.arrival.copy = true;
            self.flight.push(flying);
            self.flight.push(copy);
        } else {
            self.flight.push(flying);
        }
    }

    /// Takes up the contact of this moment, or notices that there is none.
    fn enter(&mut self, now: Nanos) {
        let Some(plan) = &self.spec.contacts else {
            (self.contact, self.contact_change) = (true, None);
            self.take_up(None);
            return;
        };
        let contact = plan.at(now).cloned();
        self.contact_change = plan.next_change(now);
        self.contact = contact.is_some();
        match contact {
            Some(contact) => self.take_up(Some(&contact)),
            None => self.silence(now),
        }
    }

    fn take_up(&mut self, contact: Option<&Contact>) {
        let rate = contact.and_then(|contact| contact.rate_bps);
        let delay = contact.and_then(|contact| contact.delay);
        self.way.set_delay(nanos(delay.unwrap_or(self.spec.delay)));
        self.line.set_rate(&self.spec, rate.or(self.spec.rate_bps));
    }

    /// Ends what the transmitter does: what waits and what is being sent is lost.
    fn silence(&mut self, now: Nanos) {
        self.count_queue(now);
        self.stats.cut += self.queue.clear() + u64::from(self.sending.take().is_some());
        self.line.reset(now);
    }
}

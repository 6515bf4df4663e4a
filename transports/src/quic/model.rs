//! How much may be in flight on a path: a model of its rate that does not take random loss for congestion. Pure: time is
//! an argument. `controller.rs` plugs it into the library.
//!
//! ```text
//! plan   = gain × (what leaves in a second, lost or not) × (round trip without queue + wait for an acknowledgement)
//! window = 5/4 × plan
//! ```
//!
//! The plan is what leaves in a round trip, evenly (`pace.rs`). The window has room to spare, or each gap between packets
//! would come back a round trip later for want of acknowledgements. Until the rate is known the window is the plan, and
//! leaves in four fifths of a round trip.
//!
//! An acknowledgement waits for a second packet or 25 ms (RFC 9000, sections 13.2.2 and 18.2), whichever is sooner.
//! Without that time the window of a slow short path would shrink from round to round.
//!
//! The library's BBR overruns satellite paths by a factor of two or three, because it takes the rate between two
//! neighbouring acknowledgements for that of the path; and CUBIC (RFC 9438) carries a fiftieth of such a path at
//! one lost packet in a hundred. This model measures the rate over whole round trips. Loss only says how much more
//! has to be under way for the same delivery.
//!
//! A queue is what even the fastest of some packets in a row has waited for beyond the least round trip (`trips.rs`). So
//! jitter is none: it delays most packets and not all, and counts as length of the path. The longer the queue, the smaller
//! the gain (`steady.rs`). A text that comes in between waits for what is in the queue.
//!
//! What the sender loses by its own flood must not count as loss of the path, or the flood would go on for ever; and delay
//! that is always there must not count as a queue, or the rate would shrink for ever. Both are found out by *draining*:
//! after a start that has searched, and when there is loss together with some queueing, or a queue that does not go away,
//! the gain is less for one round, by the loss and the queue, a quarter at most. If less than half of the loss is left then,
//! only that counts. What is left of the delay is the path's. A round that had no queue and lost as much as others shows the
//! same for nothing. On a short path a full queue may be shorter than what timers tell: there all loss is the queue's until a
//! drain has shown the path's own.
//!
//! Where more than two fifths are lost, a drain has to tell whose loss it is, queue or not, and is deeper. Of a flood as much arrives
//! then as before, of a path that loses by chance as much less as has left. Until it has shown a flood, the loss is made up for: a
//! rate that fell for it would fall for ever.
//!
//! The rate is found by a train of packets (`train.rs`), remembered, or searched for by doubling, in this order of
//! preference. What is *believed* for such a reason (`belief.rs`) counts for some rounds, or until a queue says that it was too
//! much. Growth without a queue says that it was too little.
//!
//! It is made for links that are one's own. Beside others `sharing.rs` is fair.

use super::belief::Belief;
use super::rounds::{LOSS_MAX, Round, Rounds};
use super::steady::Steady;
use super::train::{Told, Train};
use super::trips::{Seen, Trips};
use std::time::Duration;

/// Rounds without growth by a quarter that end the search.
const FLAT: u8 = 3;
/// Loss from which on a queue is suspected to be the reason.
const LOSS_SUSPECT: f64 = 0.01;
/// After so many rounds what a drain has shown is not believed any more: the path may have changed.
const BELIEVED: usize = 64;
/// Bytes that should have been lost, if nothing but chance is to say that they were not.
const ENOUGH: f64 = 3.0 * PACKET as f64;
/// Rounds after which there may be the first drain, and from one to the next where the queue is in doubt.
const FIRST_DRAIN: usize = 24;
const NEXT_DRAIN: usize = 8;
/// Rounds after which a drain has shown what it can.
const SHOWN: usize = 2;
/// Rounds in a row with a queue after which it may be none.
const STUBBORN: usize = 4;
/// Loss from which on a drain has to show whether it is a flood's, with a queue or without; and how much leaves in it, of what left
/// before and of what arrived.
const HEAVY: f64 = 0.4;
const DEEP: (f64, f64) = (0.6, 2.0);
/// Of a flood as much arrives in such a drain as before, so the share of what arrives grows by two thirds or more. It is one if the
/// share grows by this and what chance may add, in standard deviations.
const FLOOD: (f64, f64) = (1.2, 1.5);
/// Where it was none, what arrives may fall to this share of it before the next such drain.
const SLACK: f64 = 0.75;
/// How much less leaves in a drain, at least and at most.
const DRAINED: (f64, f64) = (0.05, 0.25);
/// Growth beyond chance.
const GROWTH: f64 = 1.05;
/// What is a packet's own of the bytes that a line counts: it has headers of IP and UDP beside.
const OWN: f64 = 1472.0 / 1500.0;
/// Bytes of a packet.
pub(super) const PACKET: u64 = 1472;
/// The least window in bytes: ten packets.
pub(super) const FLOOR: u64 = 10 * PACKET;
/// The largest window that follows from a train.
const TRAIN_MAX: f64 = 128.0 * FLOOR as f64;
/// A remembered rate is right if a train tells one that differs by less than this share.
const SAME: f64 = 0.2;
/// How long an acknowledgement may be kept back.
const ACK_DELAY: f64 = 0.025;
/// Timers are not more exact than this, so a shorter wait is no queue.
const GRANULARITY: f64 = 0.002;
/// Hosts that have other work may be this late with a packet, however short the path between them is.
const SHORTEST: f64 = 0.005;
/// Of a path that is shorter than this, in seconds, a full queue may not show.
const HIDDEN: f64 = 0.02;
/// So much of the pace is nearly all of it: timers are not exact.
const USED: f64 = 0.7;
/// How much of a queue, as a share of the path, there seems to be for a share of bytes that a hidden queue has lost.
const PER_LOSS: f64 = 8.0;

/// An acknowledged packet.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    /// Its bytes.
    pub bytes: u64,
    /// When it left, from any origin.
    pub sent: Duration,
    /// When its acknowledgement came, from the same.
    pub now: Duration,
    /// The smoothed round trip.
    pub srtt: Duration,
    /// The least.
    pub least: Duration,
}

/// The model of one path.
#[derive(Clone, Debug)]
pub struct RateModel {
    initial: u64,
    /// Bytes that are to leave in so many seconds.
    plan: u64,
    trip: f64,
    rounds: Rounds,
    /// None while nothing is under way.
    round_start: Option<Duration>,
    /// Little was under way when the round began.
    idle: bool,
    /// Since when nothing was.
    empty: Option<Duration>,
    /// At how many bytes a second packets were to leave in the last two rounds, if that was known.
    paced: [Option<f64>; 2],
    acked: u64,
    lost: u64,
    srtt: Duration,
    least: Duration,
    /// The round trips of this round, and what the last one has shown.
    trips: Trips,
    seen: Seen,
    /// Rounds without growth; the search is over from [`FLAT`] on.
    flat: u8,
    train: Train,
    /// A train has told its rate.
    boarded: bool,
    /// It was more than was known, and the line may carry more than it told.
    more: bool,
    believed: Belief,
    /// The last round has grown, without a queue.
    grows: bool,
    /// Rounds in a row with a queue.
    queued: usize,
    steady: Steady,
    /// The round trip in seconds that a drain has left.
    stubborn: f64,
    /// Rounds since the last drain, and the loss before it.
    since_drain: usize,
    loss_before: f64,
    /// The loss that a drain has left, where it has left little.
    own_loss: Option<f64>,
    /// Loss up to which it is known whose it is.
    explained: f64,
}

impl RateModel {
    /// Nothing is known but how much may be in flight at first: more than ten packets if the rate of the line is remembered.
    pub fn new(initial: u64) -> Self {
        let initial = ((initial as f64 * OWN) as u64).max(initial.min(FLOOR));
        Self {
            initial,
            plan: initial,
            trip: 0.0,
            rounds: Rounds::default(),
            round_start: None,
            idle: true,
            empty: None,
            paced: [None; 2],
            acked: 0,
            lost: 0,
            srtt: Duration::ZERO,
            least: Duration::MAX,
            trips: Trips::default(),
            seen: Seen::default(),
            flat: 0,
            train: Train::default(),
            boarded: false,
            more: false,
            believed: Belief::default(),
            grows: false,
            queued: 0,
            steady: Steady::new(initial > FLOOR),
            stubborn: 0.0,
            since_drain: BELIEVED - FIRST_DRAIN,
            loss_before: 0.0,
            own_loss: None,
            explained: HEAVY,
        }
    }

    /// Bytes that may be in flight.
    pub fn window(&self) -> u64 {
        self.plan + self.pace().map_or(0, |_| self.plan / 4)
    }

    /// Bytes a second at which packets are to leave, once that is known.
    pub fn pace(&self) -> Option<f64> {
        let known = self.flat >= FLAT || self.is_remembered();
        (known && self.trip > 0.0).then(|| self.plan as f64 / self.trip)
    }

    /// Bytes that may be in flight at first.
    pub fn initial(&self) -> u64 {
        self.initial
    }

    /// The least round trip; of none measured one that is too long for anything.
    pub fn round_trip(&self) -> Duration {
        self.least
    }

    /// A packet was acknowledged.
    pub fn on_ack(&mut self, acked: Acked) {
        // On a short path all may be there before the next packet's turn comes. That ends no round.
        let empty = self.empty.take();
        let empty = empty.map(|since| acked.sent.saturating_sub(since));
        if empty.is_some_and(|empty| empty.as_secs_f64() > SHORTEST) {
            self.round_start = None;
        }
        self.acked += acked.bytes;
        // Not the least of all that was told: with the first acknowledgement the library tells what it assumed.
        (self.srtt, self.least) = (acked.srtt, acked.least);
        let trip = acked.now.saturating_sub(acked.sent);
        if self.trip == 0.0 {
            self.trip = trip.as_secs_f64();
        }
        self.trips.add(acked.now, trip, acked.least);
        if self.takes_trains() {
            self.train.on_ack(acked.sent, acked.bytes);
        }
    }

    /// All acknowledgements of one packet were told of. `limited`: there was less to send than was allowed. `in_flight`:
    /// bytes that are still under way. `largest`: the largest number of a packet that was acknowledged, now or before.
    pub fn on_end_acks(&mut self, now: Duration, limited: bool, in_flight: u64, largest: u64) {
        if self.takes_trains() {
            self.train.on_end_acks(now, largest);
            self.board_train();
        }
        let little = |share: f64| limited && (in_flight as f64) < self.full() * share;
        let (limited, idle) = (little(7.0 / 8.0), little(0.5));
        let round = self.srtt.max(Duration::from_millis(20));
        match self.round_start {
            // What came first of a burst says nothing of the time before it.
            None => self.begin_round(now, idle),
            Some(start) if self.acked > 0 && now.saturating_sub(start) >= round => {
                let took = now.saturating_sub(start);
                // What is acknowledged in a round left in the one before.
                self.end_round(took.as_secs_f64(), limited || self.idle);
                self.begin_round(now, idle);
            }
            Some(_) => {}
        }
        if in_flight == 0 {
            self.empty = Some(now);
        }
    }

    /// What is under way of whoever keeps to the plan. What the trip is believed to be may be more than it is by now.
    fn full(&self) -> f64 {
        let plan = self.plan as f64;
        let paced = |pace: f64| (pace * self.least.as_secs_f64()).min(plan);
        self.pace().map_or(plan, paced)
    }

    /// Bytes were lost. `persistent`: nothing came through for long, and now something has. The path may be another one now, but
    /// is more likely the same again, so what it carried is believed.
    pub fn on_loss(&mut self, bytes: u64, persistent: bool) {
        self.lost += bytes;
        if persistent {
            let line = self.rate() / (1.0 - self.loss());
            self.believed = Belief::new(line.max(self.believed.line()));
            self.rounds.clear();
            (self.since_drain, self.own_loss) = (SHOWN, None);
            (self.round_start, self.acked, self.lost) = (None, 0, 0);
        }
    }

    /// The rate of the line was known before anything was measured.
    fn is_remembered(&self) -> bool {
        self.initial > FLOOR
    }

    /// Nothing was measured yet that tells more than a train.
    fn takes_trains(&self) -> bool {
        self.flat < FLAT || self.believed.is_some()
    }

    /// A train has come through: its rate is that of the line, or is less where the line has waited for it; then the search goes
    /// on from there. What is believed already is nearly right or wrong, but not by any factor, and only the first train may
    /// tell that it is too much: later ones may be held up.
    fn board_train(&mut self) {
        let Some(Told { low, high, sure }) = self.train.rate(self.least) else {
            return;
        };
        let trip = self.least.as_secs_f64().max(1e-6);
        let (low, high) = (low * trip, high * trip);
        let initial = self.is_remembered().then_some(self.initial as f64);
        let believed = self.believed.is_some().then(|| self.believed.line() * trip);
        let first = !std::mem::replace(&mut self.boarded, true);
        let (told, more) = match believed.or(initial) {
            None => (low, false),
            Some(known) if low > known * (1.0 + SAME) => (low.min(known * 4.0), !sure),
            Some(known) if first && high < known * (1.0 - SAME) => (high.max(known / 4.0), false),
            Some(_) => return,
        };
        let told = told.min(TRAIN_MAX.max(self.initial as f64));
        self.plan = (told as u64).max(if sure { FLOOR } else { self.plan });
        self.believed = Belief::new(told / trip);
        self.rounds.clear();
        if sure {
            // No more is asked for than the line carries, so what the next rounds show is its length, as after a drain.
            (self.flat, self.since_drain) = (FLAT, 0);
            self.steady = Steady::new(false);
        } else if more {
            (self.more, self.steady) = (true, Steady::new(false));
        }
    }

    /// Bytes a second that the path carries, as far as is known.
    fn rate(&self) -> f64 {
        self.rounds.rate(self.believed.line() * (1.0 - self.loss()))
    }

    /// Bytes a second that leave where the path carries what it can, lost or not.
    fn line(&self) -> f64 {
        let measured = match self.own_loss {
            Some(_) => return self.rate() / (1.0 - self.loss()),
            None if self.steady.is_idle() => self.rounds.line_of_one(),
            None => self.rounds.line(),
        };
        measured.max(self.believed.line())
    }

    /// The share of bytes that was lost in the last rounds, or that is the path's own doing.
    fn loss(&self) -> f64 {
        self.own_loss.unwrap_or(self.rounds.loss()).min(LOSS_MAX)
    }

    /// So much is lost that a drain has to show whose it is.
    fn is_heavy(&self) -> bool {
        let known = self.since_drain < BELIEVED;
        let explained = if known { self.explained } else { HEAVY };
        let after = self.since_drain >= NEXT_DRAIN && !self.hides_queues();
        after && self.rounds.loss() > explained
    }

    /// Whether the drain is for what is lost and not for a queue.
    fn is_deep(&self) -> bool {
        self.loss_before > HEAVY && !self.hides_queues()
    }

    /// Whether the round of a drain shows that the loss before it came from a flood: then as much arrives as before, and a larger
    /// share of what leaves.
    fn shows_flood(&self, round: &Round) -> bool {
        let packets = |bytes: u64| bytes as f64 / PACKET as f64;
        let expected = packets(round.acked + round.lost) * (1.0 - self.loss_before);
        let chance = (expected * self.loss_before).sqrt();
        packets(round.acked) > expected * FLOOD.0 + chance * FLOOD.1
    }

    /// The least round trip in seconds, with a queue that is not ours.
    fn length(&self) -> f64 {
        self.least.as_secs_f64().max(self.stubborn).max(1e-6)
    }

    /// The same, but no shorter than hosts may be late.
    fn span(&self) -> f64 {
        self.length().max(SHORTEST)
    }

    /// A queue that overflows shows by what it loses and by nothing else.
    fn hides_queues(&self) -> bool {
        self.length() < HIDDEN
    }

    /// How long everything has waited in the last round, as a share of the path. Where delays are known to vary, even the
    /// fastest of a few may be late.
    fn queue(&self) -> f64 {
        let varies = self.stubborn > self.least.as_secs_f64() + 2.0 * GRANULARITY;
        let late = if varies { self.seen.late } else { 0.0 };
        // The least round trip may be that of a short packet, which takes less time on the line than a full one.
        let packet = PACKET as f64 / self.line().max(1.0);
        let own = packet.min(self.length() / 8.0).max(GRANULARITY);
        let waited = self.seen.fastest - late - self.span() - own;
        waited.max(0.0) / self.span() + self.overflow() * PER_LOSS
    }

    /// The share of bytes that a hidden queue seems to have lost in the last round.
    fn overflow(&self) -> f64 {
        let last = self.rounds.last().filter(|_| self.hides_queues());
        let beyond = last.zip(self.own_loss).map(|(last, own)| last.loss() - own);
        beyond.filter(|share| *share > LOSS_SUSPECT).unwrap_or(0.0)
    }

    /// There is loss, and enough of a queue that it may come from there; or a queue that may be none.
    fn is_suspect(&self) -> bool {
        let (waits, after) = match self.hides_queues() {
            true => (true, 2 * NEXT_DRAIN),
            false => (self.queue() > 0.0, BELIEVED),
        };
        let lossy = self.loss() > LOSS_SUSPECT && waits && self.since_drain >= after;
        let late = self.queued >= STUBBORN && self.since_drain >= NEXT_DRAIN;
        late || lossy
    }

    /// As much has left as the pace allows. On a short path what is under way does not show that.
    fn has_used(&self, round: &Round) -> bool {
        let left = |pace: f64| round.left() > pace * USED;
        self.hides_queues() && self.pace().is_some_and(left)
    }

    /// Bytes a second that can have left of what is acknowledged in this round.
    fn most(&self) -> f64 {
        let [before, present] = self.paced;
        let paces = before.zip(present);
        paces.map_or(f64::INFINITY, |(a, b)| a.max(b) * GROWTH)
    }

    fn begin_round(&mut self, now: Duration, idle: bool) {
        (self.round_start, self.idle) = (Some(now), idle);
        self.paced = [self.paced[1], self.pace()];
        (self.acked, self.lost, self.trips) = (0, 0, Trips::default());
    }

    fn end_round(&mut self, took: f64, limited: bool) {
        let round = Round {
            took,
            acked: self.acked,
            lost: self.lost,
            most: self.most(),
        };
        if self.is_remembered() && self.flat < FLAT {
            self.believed = Belief::new(self.initial as f64 / self.length());
            self.flat = FLAT;
        }
        let best = self.rate();
        let limited = limited && !self.has_used(&round);
        // A round in which there was little to send says nothing but that so much is possible.
        if limited && round.rate() < best {
            return;
        }
        self.seen = self.trips.seen();
        self.rounds.push(round);
        let (queue, length) = (self.queue(), self.length());
        self.believed.doubt(&round, queue, length);
        let searching = self.flat < FLAT;
        let grown = !self.believed.is_some() && round.rate() > best * GROWTH;
        let more = std::mem::take(&mut self.more);
        self.grows = !searching && (grown || more) && self.queue() < 0.05;
        // Where there was little to send, that it was not more says nothing of the path, and a queue is that of others.
        self.flat = match (searching, self.queue() > 0.25) {
            (true, _) if round.rate() > best * 1.25 => 0,
            (true, true) if !limited => FLAT,
            (true, false) if !limited => self.flat + 1,
            _ => self.flat,
        };
        let drain = self.drains(searching && self.flat >= FLAT);
        self.set_window(drain);
    }

    /// Whether the next round is to show what is lost without a queue. Two rounds later it has.
    fn drains(&mut self, started: bool) -> bool {
        self.since_drain += 1;
        if self.since_drain == SHOWN
            && let Some(round) = self.rounds.last()
        {
            let bytes = (round.acked + round.lost) as f64;
            let left = round.loss();
            let heavy = self.loss_before > HEAVY;
            // Of few packets, all may come by chance.
            let own = match heavy {
                true => self.shows_flood(round),
                false => {
                    bytes * self.loss_before >= ENOUGH
                        && left < self.loss_before / 2.0 - LOSS_SUSPECT / 2.0
                }
            };
            self.own_loss = (own || self.hides_queues()).then_some(left);
            if own && self.is_deep() {
                // What has left in the flood would pass for what the line carries.
                self.rounds.forget_all_but_last();
            }
            self.explained = match heavy && !own {
                true => 1.0 - (1.0 - self.loss_before) * SLACK,
                false => HEAVY,
            };
            self.stubborn = self.seen.fastest;
        }
        self.queued = if self.queue() > 0.1 {
            self.queued + 1
        } else {
            0
        };
        if self.since_drain == BELIEVED {
            self.own_loss = None;
        }
        let usual = self.rounds.loss().max(self.explained) <= HEAVY;
        if self.since_drain > SHOWN && self.own_loss.is_none() && usual && self.is_lost_anyway() {
            self.since_drain = SHOWN + 1;
        }
        let drain = started || self.is_suspect() || self.is_heavy();
        if drain {
            self.loss_before = self.loss();
            if self.own_loss.is_some() && self.is_deep() {
                self.rounds.forget_all_but_last();
            }
            (self.since_drain, self.own_loss) = (0, None);
        }
        // A round of a short path begins with what left in the one before, and losses are told of later than what has arrived.
        drain || ((self.hides_queues() || self.is_deep()) && self.since_drain < SHOWN)
    }

    /// Whether the last round had no queue and has lost as much as others.
    fn is_lost_anyway(&self) -> bool {
        let mean = self.loss();
        let enough = |round: &&Round| (round.acked + round.lost) as f64 * mean >= ENOUGH;
        let last = self.rounds.last().filter(enough);
        last.is_some_and(|round| self.queue() == 0.0 && round.loss() >= mean / 2.0)
            && !self.hides_queues()
    }

    fn set_window(&mut self, drain: bool) {
        // What a hidden queue has lost would pass for what the line carries, and its drain would be none.
        let line = match drain && self.hides_queues() {
            true => self.rate(),
            false => self.line(),
        };
        // Before the gain learns of the queue: the round that shows the first one shows by itself what the line carries.
        let line = self.steady.follow(line);
        let searching = self.flat < FLAT;
        let gain = match (drain, searching, self.grows) {
            (true, ..) if self.is_deep() => DEEP.0.min((1.0 - self.loss_before) * DEEP.1),
            (true, ..) => 1.0 - (self.loss() + 2.0 * self.queue()).clamp(DRAINED.0, DRAINED.1),
            (false, true, _) => 2.0,
            (false, false, true) => 1.5,
            (false, false, false) => self.steady.gain(self.queue(), self.length()),
        };
        let wait = (2.0 * PACKET as f64 / self.rate().max(1.0)).min(ACK_DELAY);
        let (fastest, late) = (self.seen.fastest, self.seen.late);
        self.trip = self.length().max(fastest.min(SHORTEST)) + late.min(self.span()) + wait;
        self.plan = ((gain * line * self.trip) as u64).max(FLOOR);
        if searching {
            self.plan = self.plan.max(self.initial);
        }
    }
}

#[cfg(test)]
mod tests;

//! What is under way, how much may be, and when the next packet may leave: RFC 9002 with the field's rate model.

use super::packet::Packet;
use bytes::Bytes;
use ostrakon_netsim::model::Nanos;
use ostrakon_transports::quic::parts::{Acked, RateModel, SILENT_AFTER, allowance, growth};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A packet is lost once one that is so many numbers above it has arrived (RFC 9002, section 6.1.1).
const PACKET_THRESHOLD: u32 = 3;
/// The finest time that counts (RFC 9002, section 6.1.2).
const GRANULARITY: Duration = Duration::from_millis(1);
/// How long the other end may keep an acknowledgement back.
const ACK_DELAY: Duration = Duration::from_millis(25);
/// Probe timeouts without any acknowledgement after which the path may be another (RFC 9002, section 7.6.1).
const PERSISTENT: u32 = 3;
/// The wait for an answer doubles after so many probes in a row, up to so long, or the first one if that is longer: a field's end
/// asks once in a round trip while it hears nothing, and in the end dials anew.
const PATIENT: u32 = 4;
const LONGEST: Duration = Duration::from_secs(2);
/// The pacer hands out so much at once: packets, or the time that they take (as the field's library).
const BURST_PACKETS: (u64, u64) = (10, 256);
const BURST_TIME: Duration = Duration::from_millis(2);
/// Bytes of a full packet.
const PACKET: u64 = 1452;

/// A packet under way.
#[derive(Clone, Copy, Debug)]
struct Flying {
    at: Nanos,
    bytes: u64,
}

/// The sending half of an end.
#[derive(Debug)]
pub struct Sender {
    series: u16,
    next: u32,
    waiting: VecDeque<Bytes>,
    flying: BTreeMap<u32, Flying>,
    in_flight: u64,
    largest_acked: Option<u32>,
    model: RateModel,
    srtt: Duration,
    variation: Duration,
    least: Duration,
    latest: Duration,
    measured: bool,
    /// Probes in a row that nothing has answered.
    probes: u32,
    /// When the last packet left, and when the last acknowledgement came.
    sent_at: Nanos,
    heard_at: Nanos,
    /// Bytes that the pacer allows, and when it was last looked at.
    tokens: u64,
    tokens_at: Nanos,
    /// There was less to send than was allowed.
    limited: bool,
    /// Bytes that each packet takes beside its own.
    overhead: u64,
}

impl Sender {
    /// Nothing is known but a first guess of the round trip, and what may be in flight at first.
    pub fn new(series: u16, now: Nanos, rtt: Duration, window: u64, overhead: u64) -> Self {
        Self {
            series,
            next: 0,
            waiting: VecDeque::new(),
            flying: BTreeMap::new(),
            in_flight: 0,
            largest_acked: None,
            model: RateModel::new(window),
            srtt: rtt,
            variation: rtt / 2,
            least: rtt,
            latest: rtt,
            measured: false,
            probes: 0,
            sent_at: now,
            heard_at: now,
            tokens: BURST_PACKETS.0 * PACKET,
            tokens_at: now,
            limited: true,
            overhead,
        }
    }

    /// Takes a frame.
    pub fn push(&mut self, frame: Bytes) {
        self.waiting.push_back(frame);
    }

    /// Bytes that wait to leave.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(Bytes::len).sum()
    }

    /// Bytes of frames of that size that may wait.
    pub fn allowance(&self, frame: usize) -> usize {
        allowance(self.model.window(), self.srtt, frame)
    }

    /// The next packet that may leave now.
    pub fn transmit(&mut self, now: Nanos) -> Option<Packet> {
        self.lose_late(now);
        let probe = self.probe_at().is_some_and(|at| at <= now);
        if probe {
            self.probes += 1;
            if self.probes == PERSISTENT {
                self.model.on_loss(0, true);
            }
            return Some(self.leave(now, Bytes::new()));
        }
        let Some(frame) = self.waiting.front() else {
            self.limited = self.in_flight < self.model.window();
            return None;
        };
        let bytes = self.size(frame);
        if self.in_flight + bytes > self.window(now) {
            self.limited = false;
            return None;
        }
        self.refill(now);
        if self.tokens < bytes {
            return None;
        }
        self.tokens -= bytes;
        let frame = self.waiting.pop_front()?;
        Some(self.leave(now, frame))
    }

    /// Bytes that may be in flight: the model's, and what else a silence allows, as in the field.
    fn window(&self, now: Nanos) -> u64 {
        let silence = self.expected_at().map_or(0, |at| now.saturating_sub(at));
        let window = self.model.window();
        window + growth(window, Duration::from_nanos(silence), self.least)
    }

    /// From when on it is a silence that nothing was heard.
    fn expected_at(&self) -> Option<Nanos> {
        let (_, oldest) = self.flying.first_key_value()?;
        let answered = oldest.at + nanos(self.least);
        Some(self.heard_at.max(answered) + nanos(SILENT_AFTER))
    }

    /// When a silence has made room for so many bytes, if one can.
    fn room_at(&self, bytes: u64) -> Option<Nanos> {
        let window = self.model.window().max(1);
        let lacking = (self.in_flight + bytes).saturating_sub(window);
        if lacking == 0 {
            return Some(0);
        }
        let wait = u128::from(lacking) * self.least.as_nanos() / u128::from(window) + 1;
        let at = self.expected_at()? + Nanos::try_from(wait).ok()?;
        (lacking <= window / 2).then_some(at)
    }

    fn size(&self, frame: &Bytes) -> u64 {
        frame.len() as u64 + super::packet::HEADER as u64 + self.overhead
    }

    fn leave(&mut self, now: Nanos, frame: Bytes) -> Packet {
        let (number, bytes) = (self.next, self.size(&frame));
        self.next += 1;
        self.flying.insert(number, Flying { at: now, bytes });
        self.in_flight += bytes;
        self.sent_at = now;
        Packet::Data {
            series: self.series,
            number,
            frame,
        }
    }

    fn refill(&mut self, now: Nanos) {
        let elapsed = Duration::from_nanos(now.saturating_sub(self.tokens_at));
        let earned = per_trip(self.spread(), elapsed, self.srtt);
        if earned > 0 {
            self.tokens = (self.tokens + earned).min(self.burst());
            self.tokens_at = now;
        }
    }

    /// Bytes that are to leave in a round trip: as evenly as the model says, else a quarter more than may be under way.
    fn spread(&self) -> u64 {
        let paced = self.model.pace().map(|rate| rate * self.srtt.as_secs_f64());
        paced.map_or(self.model.window() / 4 * 5, |bytes| bytes as u64)
    }

    fn burst(&self) -> u64 {
        let (least, most) = (BURST_PACKETS.0 * PACKET, BURST_PACKETS.1 * PACKET);
        per_trip(self.spread(), BURST_TIME, self.srtt).clamp(least, most)
    }

    /// An acknowledgement came.
    pub fn on_ack(&mut self, now: Nanos, series: u16, delay_us: u32, ranges: &[(u32, u32)]) {
        if series != self.series {
            return;
        }
        let mut newest = None;
        let mut acked = Vec::new();
        for (first, last) in ranges {
            let numbers = self.flying.range(first..=last).map(|(number, _)| *number);
            for number in numbers.collect::<Vec<_>>() {
                newest = newest.max(Some(number));
                acked.extend(self.flying.remove(&number).map(|flying| (number, flying)));
            }
        }
        let Some(newest) = newest else {
            return;
        };
        self.heard_at = now;
        self.largest_acked = self.largest_acked.max(Some(newest));
        if let Some((_, flying)) = acked.iter().find(|(number, _)| *number == newest) {
            let trip = Duration::from_nanos(now.saturating_sub(flying.at));
            self.on_rtt(trip, Duration::from_micros(u64::from(delay_us)));
        }
        self.probes = 0;
        for (_, flying) in acked {
            self.in_flight -= flying.bytes;
            self.model.on_ack(Acked {
                bytes: flying.bytes,
                sent: Duration::from_nanos(flying.at),
                now: Duration::from_nanos(now),
                srtt: self.srtt,
                least: self.least,
            });
        }
        let largest = self.largest_acked.map_or(0, u64::from);
        let since_origin = Duration::from_nanos(now);
        self.model
            .on_end_acks(since_origin, self.limited, self.in_flight, largest);
        self.lose_late(now);
    }

    /// RFC 9002, section 5.
    fn on_rtt(&mut self, trip: Duration, delay: Duration) {
        self.latest = trip;
        if !self.measured {
            self.measured = true;
            (self.srtt, self.variation, self.least) = (trip, trip / 2, trip);
            return;
        }
        self.least = self.least.min(trip);
        let adjusted = match trip.checked_sub(delay.min(ACK_DELAY)) {
            Some(adjusted) if adjusted >= self.least => adjusted,
            _ => trip,
        };
        self.variation = (self.variation * 3 + self.srtt.abs_diff(adjusted)) / 4;
        self.srtt = (self.srtt * 7 + adjusted) / 8;
    }

    /// RFC 9002, section 6.1.
    fn lose_late(&mut self, now: Nanos) {
        let Some(largest) = self.largest_acked else {
            return;
        };
        let threshold = nanos(self.loss_time());
        let is_lost = |number: u32, flying: &Flying| {
            number + PACKET_THRESHOLD <= largest
                || (number < largest && flying.at + threshold <= now)
        };
        let lost: Vec<u32> = (self.flying.range(..largest))
            .filter(|(number, flying)| is_lost(**number, flying))
            .map(|(number, _)| *number)
            .collect();
        let mut bytes = 0;
        for number in lost {
            bytes += self.flying.remove(&number).map_or(0, |f| f.bytes);
        }
        if bytes > 0 {
            self.in_flight -= bytes;
            self.model.on_loss(bytes, false);
        }
    }

    fn loss_time(&self) -> Duration {
        (self.srtt.max(self.latest) * 9 / 8).max(GRANULARITY)
    }

    /// When the next packet counts as lost for its age.
    fn loss_at(&self) -> Option<Nanos> {
        let (_, first) = self.flying.range(..self.largest_acked?).next()?;
        Some(first.at + nanos(self.loss_time()))
    }

    /// When the other end is asked for a sign (RFC 9002, section 6.2).
    fn probe_at(&self) -> Option<Nanos> {
        if self.flying.is_empty() {
            return None;
        }
        let wait = self.srtt + (self.variation * 4).max(GRANULARITY) + ACK_DELAY;
        let longer = wait.saturating_mul(1 << (self.probes / PATIENT).min(16));
        let wait = longer.min(wait.max(LONGEST));
        Some(self.sent_at.saturating_add(nanos(wait)))
    }

    /// When [`Sender::transmit`] has to be called if nothing comes before.
    pub fn due(&self) -> Option<Nanos> {
        let paced = self.waiting.front().and_then(|frame| {
            let bytes = self.size(frame);
            let room_at = self.room_at(bytes)?;
            let lacking = bytes.saturating_sub(self.tokens);
            let spread = self.spread().max(1);
            let wait = u128::from(lacking) * self.srtt.as_nanos() / u128::from(spread);
            let wait = Nanos::try_from(wait).unwrap_or(Nanos::MAX / 2);
            Some(self.tokens_at.saturating_add(wait).max(room_at))
        });
        let all = [paced, self.loss_at(), self.probe_at()];
        all.into_iter().flatten().min()
    }
}

/// Of so many bytes in a round trip, those of a time.
fn per_trip(bytes: u64, time: Duration, trip: Duration) -> u64 {
    let share = u128::from(bytes) * time.as_nanos() / trip.as_nanos().max(1);
    u64::try_from(share).unwrap_or(u64::MAX)
}

fn nanos(time: Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX / 2)
}

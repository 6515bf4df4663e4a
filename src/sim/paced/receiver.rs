//! What has arrived of a series, and when that is acknowledged.

use super::packet::{Packet, RANGES};
use ostrakon_netsim::model::Nanos;

/// How long an acknowledgement may be kept back (RFC 9000, section 18.2).
const MAX_DELAY: Nanos = 25_000_000;
/// Packets after which one is due at once, in order or not, as the field's links ask for.
const EVERY: u32 = 2;

/// The receiving half of an end.
#[derive(Debug, Default)]
pub struct Receiver {
    series: Option<u16>,
    /// First and last numbers of what has arrived, the largest first.
    ranges: Vec<(u32, u32)>,
    /// When the packet with the largest number came.
    largest_at: Nanos,
    /// Packets that nothing was said of.
    unacknowledged: u32,
    /// When an acknowledgement is due.
    due: Option<Nanos>,
}

impl Receiver {
    /// A packet came. Whether it is new.
    pub fn take(&mut self, now: Nanos, series: u16, number: u32) -> bool {
        if self.series != Some(series) {
            *self = Self {
                series: Some(series),
                ..Self::default()
            };
        }
        let before = self.ranges.first().map(|(_, last)| *last);
        if before.is_none_or(|last| number > last) {
            self.largest_at = now;
        }
        self.unacknowledged += 1;
        let soon = self.unacknowledged >= EVERY;
        let at = if soon { now } else { now + MAX_DELAY };
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
        self.note(number)
    }

    /// Adds a number to the ranges. Whether it was not in them. What lies before all of them counts as known.
    fn note(&mut self, number: u32) -> bool {
        let place = self.ranges.iter().position(|(first, _)| number >= *first);
        let place = match place {
            Some(place) if number <= self.ranges[place].1 => return false,
            Some(place) => place,
            None if self.ranges.len() == RANGES => return false,
            None => self.ranges.len(),
        };
        self.ranges.insert(place, (number, number));
        let joins = |upper: &(u32, u32), lower: &(u32, u32)| upper.0 == lower.1.saturating_add(1);
        if place + 1 < self.ranges.len() && joins(&self.ranges[place], &self.ranges[place + 1]) {
            self.ranges[place].0 = self.ranges.remove(place + 1).0;
        }
        if place > 0 && joins(&self.ranges[place - 1], &self.ranges[place]) {
            self.ranges[place - 1].0 = self.ranges.remove(place).0;
        }
        self.ranges.truncate(RANGES);
        true
    }

    /// The acknowledgement that is due.
    pub fn acknowledge(&mut self, now: Nanos) -> Option<Packet> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        (self.due, self.unacknowledged) = (None, 0);
        let delay_us = (now - self.largest_at) / 1000;
        Some(Packet::Ack {
            series: self.series?,
            delay_us: u32::try_from(delay_us).unwrap_or(u32::MAX),
            ranges: self.ranges.clone(),
        })
    }

    /// When one is due.
    pub fn due(&self) -> Option<Nanos> {
        self.due
    }
}

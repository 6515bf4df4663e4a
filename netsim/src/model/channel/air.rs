//! Who hears whom, who transmits, and what each transmission is up against.

use crate::model::Nanos;

/// The level of a station that is not heard, and of no interference.
const SILENCE: i32 = i32::MIN;
/// Interference that nothing is heard through: the receiver's own transmitter.
const DEAF: i32 = i32::MAX;

/// How a frame reached a station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The station is out of reach.
    Nothing,
    Clean,
    /// Another frame overlapped it.
    Collided,
    /// The station was transmitting itself.
    Deaf,
}

#[derive(Debug, Clone, Copy)]
struct Keyed {
    station: usize,
    since: Nanos,
    until: Nanos,
}

/// The air between `stations`. Levels are in decibels over an arbitrary reference.
#[derive(Debug, Clone)]
pub(crate) struct Air {
    stations: usize,
    tx_delay: Nanos,
    capture_db: Option<i32>,
    /// At `from * stations + to`: how loud `from` is at `to`.
    levels: Vec<i32>,
    /// At the same place: the strongest interference at `to` with the present transmission of `from`.
    noise: Vec<i32>,
    keyed: Vec<Keyed>,
}

impl Air {
    /// Everybody hears everybody equally well.
    pub(crate) fn new(stations: usize, tx_delay: Nanos, capture_db: Option<i32>) -> Self {
        Self {
            stations,
            tx_delay,
            capture_db,
            levels: vec![0; stations * stations],
            noise: vec![SILENCE; stations * stations],
            keyed: Vec::new(),
        }
    }

    pub(crate) fn set_level(&mut self, from: usize, to: usize, level_db: Option<i16>) {
        if let Some(level) = self.levels.get_mut(from * self.stations + to) {
            *level = level_db.map_or(SILENCE, i32::from);
        }
    }

    pub(crate) fn hears(&self, from: usize, to: usize) -> bool {
        from != to && self.level(from, to) != SILENCE
    }

    /// Whether `station` hears a carrier at `now` that has lasted for `detect`. One that begins this very moment is not
    /// heard: two stations that decide at the same time collide.
    pub(crate) fn senses(&self, station: usize, now: Nanos, detect: Nanos) -> bool {
        self.keyed.iter().any(|keyed| {
            let noticed = keyed.since < now && keyed.since.saturating_add(detect) <= now;
            noticed && self.hears(keyed.station, station)
        })
    }

    /// Keys a transmitter: from now on it disturbs others, and is disturbed.
    pub(crate) fn begin(&mut self, station: usize, now: Nanos, until: Nanos) {
        let data_from = now.saturating_add(self.tx_delay);
        for to in 0..self.stations {
            self.set_noise(station, to, SILENCE);
        }
        for index in 0..self.keyed.len() {
            let other = self.keyed[index];
            // The other is keyed now, and no earlier than its delay before its own bits: they overlap.
            self.disturb(other.station, station);
            // Only its end may come before the first bit of this one.
            if other.until > data_from {
                self.disturb(station, other.station);
            }
        }
        self.keyed.push(Keyed {
            station,
            since: now,
            until,
        });
    }

    /// Unkeys a transmitter.
    pub(crate) fn end(&mut self, station: usize) {
        self.keyed.retain(|keyed| keyed.station != station);
    }

    /// How `to` heard the transmission of `from` that ends.
    pub(crate) fn heard(&self, from: usize, to: usize) -> Heard {
        if !self.hears(from, to) {
            return Heard::Nothing;
        }
        let noise = self.noise.get(from * self.stations + to).copied();
        match noise.unwrap_or(SILENCE) {
            SILENCE => Heard::Clean,
            DEAF => Heard::Deaf,
            noise => match self.capture_db {
                Some(margin) if self.level(from, to) - noise >= margin => Heard::Clean,
                _ => Heard::Collided,
            },
        }
    }

    /// Lets `other` disturb what `station` sends, wherever it is heard, and at its own receiver.
    fn disturb(&mut self, station: usize, other: usize) {
        for to in 0..self.stations {
            let level = if to == other {
                DEAF
            } else {
                self.level(other, to)
            };
            let noise = self.noise.get(station * self.stations + to).copied();
            self.set_noise(station, to, noise.unwrap_or(SILENCE).max(level));
        }
    }

    fn level(&self, from: usize, to: usize) -> i32 {
        let level = self.levels.get(from * self.stations + to);
        level.copied().unwrap_or(SILENCE)
    }

    fn set_noise(&mut self, from: usize, to: usize, level: i32) {
        if let Some(noise) = self.noise.get_mut(from * self.stations + to) {
            *noise = level;
        }
    }
}

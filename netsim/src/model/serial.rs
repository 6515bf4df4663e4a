//! One direction of a serial line: bytes one after another at the baud rate.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;

use super::chance::{Chance, Purpose, damage, generator};
use super::pacer::Pacer;
use super::{Nanos, SpecError};

/// What one direction of a serial line is like, beside its rate.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SerialSpec {
    /// Probability that a byte arrives with other bits than it was sent with; 0 to 1.
    pub byte_error: f64,
    /// Bits that a byte takes on the line; 10 for 8N1. From 1 to 32.
    pub bits_per_byte: u8,
    /// Bytes that the transmitter holds; it takes no more from the program until some have left. Zero counts as one.
    pub buffer_bytes: usize,
}

impl Default for SerialSpec {
    fn default() -> Self {
        Self {
            byte_error: 0.0,
            bits_per_byte: 10,
            buffer_bytes: 4096,
        }
    }
}

impl SerialSpec {
    /// 8N1 without errors, with a buffer of 4096 bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the probability that a byte is damaged.
    #[must_use]
    pub fn byte_error(self, byte_error: f64) -> Self {
        Self { byte_error, ..self }
    }

    /// Sets the bits that a byte takes.
    #[must_use]
    pub fn bits_per_byte(self, bits_per_byte: u8) -> Self {
        Self {
            bits_per_byte,
            ..self
        }
    }

    /// Sets the bytes that the transmitter holds.
    #[must_use]
    pub fn buffer_bytes(self, buffer_bytes: usize) -> Self {
        Self {
            buffer_bytes,
            ..self
        }
    }
}

/// Counts of one direction of a serial line, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SerialStats {
    /// Bytes taken from the program that writes.
    pub offered: u64,
    /// Bytes that have come out at the other end, damaged ones included.
    pub delivered: u64,
    /// Bytes that left while the line was cut.
    pub cut: u64,
    /// Bytes damaged; they count as delivered as well.
    pub corrupted: u64,
    /// Bytes that came out but found the receiving program's buffer full, as in a UART overrun; part of `delivered`.
    /// The model never counts these; the emulator does.
    pub overrun: u64,
}

/// One direction of a serial line. A transmitter does not notice a cut: bytes leave at their time and go nowhere.
#[derive(Debug, Clone)]
pub struct SerialLine {
    pacer: Pacer,
    millibits: u64,
    limit: usize,
    errors: Chance,
    damage_rng: ChaCha8Rng,
    /// When each byte has left, and the byte.
    pending: VecDeque<(Nanos, u8)>,
    /// Bytes that have come out and were not taken yet.
    arrived: Vec<u8>,
    down: bool,
    stats: SerialStats,
}

impl SerialLine {
    /// A line that is up and idle, at `baud` bits a second.
    ///
    /// # Errors
    ///
    /// A rate of zero, a probability outside 0 to 1, or an impossible number of bits a byte.
    pub fn new(baud: u32, spec: &SerialSpec, seed: u64) -> Result<Self, SpecError> {
        if baud == 0 {
            return Err(SpecError::ZeroRate);
        }
        if !(1..=32).contains(&spec.bits_per_byte) {
            return Err(SpecError::BitsPerByte(spec.bits_per_byte));
        }
        Ok(Self {
            pacer: Pacer::new(u64::from(baud)),
            millibits: u64::from(spec.bits_per_byte) * 1000,
            limit: spec.buffer_bytes.max(1),
            errors: Chance::new(
                "byte_error",
                spec.byte_error,
                generator(seed, Purpose::Corruption),
            )?,
            damage_rng: generator(seed, Purpose::Damage),
            pending: VecDeque::new(),
            arrived: Vec::new(),
            down: false,
            stats: SerialStats::default(),
        })
    }

    /// How many bytes [`offer`](Self::offer) would take now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limit
            .saturating_sub(self.pending.len() + self.arrived.len())
    }

    /// Gives the transmitter `bytes`; returns how many of them it took, which is at most [`room`](Self::room).
    pub fn offer(&mut self, now: Nanos, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        for byte in bytes.iter().take(taken) {
            let at = self.pacer.send(now, 1, self.millibits);
            self.pending.push_back((at, *byte));
        }
        self.stats.offered += taken as u64;
        taken
    }

    /// When the next byte leaves, if there is one.
    #[must_use]
    pub fn next_due(&self) -> Option<Nanos> {
        self.pending.front().map(|(at, _)| *at)
    }

    /// Takes the bytes that have come out by `now`, in order.
    pub fn take(&mut self, now: Nanos) -> Vec<u8> {
        self.advance(now);
        std::mem::take(&mut self.arrived)
    }

    /// Cuts the line or restores it.
    pub fn set_down(&mut self, now: Nanos, down: bool) {
        self.advance(now);
        self.down = down;
    }

    /// The counts so far.
    pub fn stats(&mut self, now: Nanos) -> SerialStats {
        self.advance(now);
        self.stats
    }

    fn advance(&mut self, now: Nanos) {
        while let Some(&(at, byte)) = self.pending.front()
            && at <= now
        {
            self.pending.pop_front();
            // Drawn for every byte, so that a cut does not change which later bytes are damaged.
            let error = self.errors.happens();
            if self.down {
                self.stats.cut += 1;
                continue;
            }
            let mut byte = [byte];
            if error {
                damage(&mut byte, &mut self.damage_rng);
                self.stats.corrupted += 1;
            }
            self.arrived.extend_from_slice(&byte);
            self.stats.delivered += 1;
        }
    }
}

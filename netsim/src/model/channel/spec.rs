//! What a shared channel is like, as given by a user.

use std::time::Duration;

use crate::model::burst::Burst;
use crate::model::duty::Duty;
use crate::model::lora::LoRa;
use crate::model::spec::{MIN_DEFAULT_QUEUE, check_delay, check_sizes, nanos};
use crate::model::{Nanos, SpecError};

/// A half-duplex channel that its stations share.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChannelSpec {
    /// How long a frame is on the air.
    pub airtime: Airtime,
    /// Propagation delay between any two stations; at most 30 days. It delays arrivals, not the sensing of a carrier.
    pub delay: Duration,
    /// From keying the transmitter to the first bit that a receiver can use (TXDELAY of KISS).
    pub tx_delay: Duration,
    /// When a station with a frame may transmit.
    pub access: Access,
    /// How many decibels a frame must be stronger than any that overlaps it to survive; `None` if nothing survives.
    pub capture_db: Option<u8>,
    /// The share of time that each station may transmit.
    pub duty: Option<Duty>,
    /// Probability that a station misses a frame without a collision, each on its own; 0 to 1. With bursts: in the good
    /// state.
    pub loss: f64,
    /// Bad times, for each station on its own.
    pub burst: Option<Burst>,
    /// Probability that a frame arrives damaged, for each station on its own; 0 to 1.
    pub corrupt: f64,
    /// Largest frame in bytes, `overhead` included.
    pub mtu: usize,
    /// Bytes (overhead included) that may wait at a station or be under transmission; `None` for 30,000 and at least one
    /// MTU.
    pub queue_bytes: Option<usize>,
    /// Bytes added to every frame's length.
    pub overhead: usize,
}

/// How long a frame is on the air.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Airtime {
    /// Its bits at a fixed rate.
    Rate {
        /// Bits a second; not zero.
        rate_bps: u64,
        /// Bits that each byte takes; from 1 to 32. 8 and a fraction for HDLC with its stuffed bits.
        bits_per_byte: f64,
    },
    /// By LoRa's formula.
    LoRa(LoRa),
}

/// When a station with a frame may transmit.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Access {
    /// At once (pure ALOHA).
    Aloha,
    /// When it hears nobody, and then with a probability (p-persistent CSMA; KISS calls the values SLOTTIME and P).
    Csma {
        /// How long to wait after the draw was against transmitting.
        slot: Duration,
        /// Probability to transmit when the channel is clear; above 0 and at most 1. KISS: (P + 1) / 256.
        persistence: f64,
        /// How long a carrier must have lasted to be noticed.
        detect: Duration,
    },
}

impl ChannelSpec {
    /// A channel of a fixed rate on which everybody transmits at once and nothing else goes wrong; frames of at most 256
    /// bytes.
    #[must_use]
    pub fn rate_bps(rate_bps: u64) -> Self {
        Self::new(Airtime::Rate {
            rate_bps,
            bits_per_byte: 8.0,
        })
    }

    /// A LoRa channel on which a frame survives others that are 6 dB weaker (Bor et al., *Do LoRa low-power wide-area
    /// networks scale?*, MSWiM 2016, section 3), with frames of at most 255 bytes.
    #[must_use]
    pub fn lora(lora: LoRa) -> Self {
        Self {
            capture_db: Some(6),
            mtu: lora.max_payload(),
            ..Self::new(Airtime::LoRa(lora))
        }
    }

    fn new(airtime: Airtime) -> Self {
        Self {
            airtime,
            delay: Duration::ZERO,
            tx_delay: Duration::ZERO,
            access: Access::Aloha,
            capture_db: None,
            duty: None,
            loss: 0.0,
            burst: None,
            corrupt: 0.0,
            mtu: 256,
            queue_bytes: None,
            overhead: 0,
        }
    }

    /// The bound of a station's queue in bytes, given or by default.
    #[must_use]
    pub fn queue_limit(&self) -> u64 {
        match self.queue_bytes {
            Some(bytes) => bytes as u64,
            None => MIN_DEFAULT_QUEUE.max(self.mtu as u64),
        }
    }

    /// How long a frame of `line_bytes` (with overhead) is on the air, without the delay of the transmitter.
    #[must_use]
    pub fn frame_time(&self, line_bytes: usize) -> Nanos {
        match self.airtime {
            Airtime::LoRa(lora) => lora.airtime(line_bytes),
            Airtime::Rate {
                rate_bps,
                bits_per_byte,
            } => {
                let millibits = (bits_per_byte * 1000.0 + 0.5) as u128;
                let work = line_bytes as u128 * millibits * 1_000_000;
                Nanos::try_from(work.div_ceil(u128::from(rate_bps.max(1)))).unwrap_or(Nanos::MAX)
            }
        }
    }

    /// Checks that such a channel can be.
    ///
    /// # Errors
    ///
    /// The first value that is out of its range, with the range.
    pub fn validate(&self) -> Result<(), SpecError> {
        for (name, value) in [("loss", self.loss), ("corrupt", self.corrupt)] {
            crate::model::chance::threshold(name, value)?;
        }
        if let Some(burst) = &self.burst {
            burst.validate()?;
        }
        for delay in [self.delay, self.tx_delay] {
            check_delay(delay)?;
        }
        check_sizes(self.mtu, self.overhead, self.queue_limit())?;
        match self.airtime {
            Airtime::LoRa(lora) => {
                lora.validate()?;
                if self.mtu > lora.max_payload() {
                    return Err(SpecError::LoRaMtu(self.mtu));
                }
            }
            Airtime::Rate { rate_bps: 0, .. } => return Err(SpecError::ZeroRate),
            Airtime::Rate { bits_per_byte, .. } if !(1.0..=32.0).contains(&bits_per_byte) => {
                return Err(SpecError::LineBits(bits_per_byte));
            }
            Airtime::Rate { .. } => {}
        }
        if let Access::Csma {
            slot, persistence, ..
        } = self.access
        {
            if !(persistence > 0.0 && persistence <= 1.0) {
                return Err(SpecError::Persistence(persistence));
            }
            if slot.is_zero() && persistence < 1.0 {
                return Err(SpecError::Slot);
            }
            check_delay(slot)?;
        }
        match self.duty {
            Some(duty) => duty.validate(self.keyed_time(self.mtu)),
            None => Ok(()),
        }
    }

    /// How long the transmitter is keyed for a frame of `line_bytes`.
    pub(crate) fn keyed_time(&self, line_bytes: usize) -> Nanos {
        nanos(self.tx_delay).saturating_add(self.frame_time(line_bytes))
    }
}

//! Random draws: a probability as an integer threshold, and one generator for each purpose.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::{Nanos, SpecError};

/// What a generator is for. Each purpose draws from a ChaCha stream of its own under the same seed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Loss = 0,
    Corruption = 1,
    Damage = 2,
    Burst = 3,
    Jitter = 4,
    Reorder = 5,
    Duplicate = 6,
    Persistence = 7,
}

/// Purposes that there may be at most; the streams of a medium's stations lie this far apart.
const PURPOSES: u64 = 16;

/// Powers of two, as constants so that no platform's way of computing them plays a part.
const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;
const TWO_POW_53: f64 = 9_007_199_254_740_992.0;

/// The generator for `purpose` under `seed`.
pub(crate) fn generator(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    station_generator(seed, purpose, 0)
}

/// The generator for `purpose` of one station under `seed`.
pub(crate) fn station_generator(seed: u64, purpose: Purpose, station: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose as u64 + PURPOSES * station as u64);
    rng
}

/// An event of fixed probability, drawn independently each time.
#[derive(Debug, Clone)]
pub(crate) struct Chance {
    /// The event happens if a uniform 64-bit number is below this: 0 is never, 2^64 always.
    threshold: u128,
    rng: ChaCha8Rng,
}

impl Chance {
    pub(crate) fn new(name: &'static str, p: f64, rng: ChaCha8Rng) -> Result<Self, SpecError> {
        Ok(Self {
            threshold: threshold(name, p)?,
            rng,
        })
    }

    /// Changes the probability; the generator goes on where it is.
    pub(crate) fn set(&mut self, name: &'static str, p: f64) -> Result<(), SpecError> {
        self.threshold = threshold(name, p)?;
        Ok(())
    }

    /// Draws once; always takes exactly one number from the generator.
    pub(crate) fn happens(&mut self) -> bool {
        happens(self.threshold, &mut self.rng)
    }
}

/// Draws once against a threshold of [`threshold`].
pub(crate) fn happens(threshold: u128, rng: &mut ChaCha8Rng) -> bool {
    u128::from(rng.next_u64()) < threshold
}

/// `p · 2^64`, exact for 0 and 1.
pub(crate) fn threshold(name: &'static str, p: f64) -> Result<u128, SpecError> {
    if !(0.0..=1.0).contains(&p) {
        return Err(SpecError::Probability { name, value: p });
    }
    // Scaling by a power of two is exact, and the product lies between 0 and 2^64.
    Ok((p * TWO_POW_64) as u128)
}

/// A whole number of nanoseconds from 0 to `most`, each as likely.
pub(crate) fn uniform(most: Nanos, rng: &mut ChaCha8Rng) -> Nanos {
    let choices = u128::from(most) + 1;
    // The product is below 2^64 · (most + 1), so the quotient is at most `most`.
    ((u128::from(rng.next_u64()) * choices) >> 64) as Nanos
}

/// A time from the exponential distribution with this mean, by inversion; at least 1 ns.
pub(crate) fn exponential(mean: Nanos, rng: &mut ChaCha8Rng) -> Nanos {
    // 53 bits make a number above 0 and up to 1, which a double holds exactly.
    let uniform = ((rng.next_u64() >> 11) + 1) as f64 / TWO_POW_53;
    ((-libm::log(uniform) * mean as f64) as Nanos).max(1)
}

/// Flips bits in one to three bytes of `bytes`, so that at least one byte differs. Does nothing to an empty slice.
pub(crate) fn damage(bytes: &mut [u8], rng: &mut ChaCha8Rng) {
    let draw = rng.next_u64();
    let start = (draw >> 32) as usize % bytes.len().max(1);
    let run = 1 + (draw & 0xff) as usize % 3;
    // Every mask has its lowest bit set and is therefore never zero.
    let mask = ((draw >> 8) as u8) | 1;
    for byte in bytes.iter_mut().skip(start).take(run) {
        *byte ^= mask;
    }
}

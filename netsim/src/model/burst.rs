//! Loss that comes in bursts: the two-state channel of Gilbert and Elliott.
//!
//! A channel is good or bad, and each state has its own probability that a packet is lost (Gilbert, *Capacity of a
//! burst-noise channel*, Bell System Technical Journal 39, 1960; Elliott, *Estimates of error rates for codes on
//! burst-noise channels*, the same 42, 1963).
//!
//! The original changes state from one symbol to the next. For packets that is wrong in one respect: while nobody sends,
//! such a channel stands still, so that a lone retry meets the very burst that it waited out. [`BurstClock::Time`] changes
//! state in continuous time instead, whether anything is sent or not: the time spent in a state is exponential with that
//! state's mean, which is the continuous-time Markov chain with the same two states. [`BurstClock::Packets`] is the
//! original, for comparison with what others have measured with it.
//!
//! For a channel clocked by time, with means `G` and `B`: the share of time that is bad is `B / (G + B)`, a packet is lost
//! with probability `(loss · G + loss_bad · B) / (G + B)`, and the correlation of the state over a time `t` is
//! `exp(-t (1/G + 1/B))`.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::chance::{Purpose, exponential, happens, station_generator, threshold};
use super::spec::nanos;
use super::{Nanos, SpecError};

/// The shortest mean time in a state.
const MIN_MEAN: Duration = Duration::from_micros(10);
/// The longest mean time in a state: 30 days.
const MAX_MEAN: Duration = Duration::from_secs(30 * 86_400);
/// After so many mean cycles of silence the state is drawn afresh: what it was before no longer matters.
const MEMORY_CYCLES: u64 = 1 << 20;

/// Bad times of a link, in which packets are lost with another probability than in good ones.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Burst {
    /// When the state changes.
    pub clock: BurstClock,
    /// Probability that a packet is lost while the state is bad; 0 to 1. In the good state it is the link's `loss`.
    pub loss_bad: f64,
}

/// When a channel goes from good to bad and back.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum BurstClock {
    /// By time, whether packets are sent or not. Means from 10 µs to 30 days.
    Time {
        /// Mean time that a good state lasts.
        mean_good: Duration,
        /// Mean time that a bad state lasts.
        mean_bad: Duration,
    },
    /// By packets: the state may change before each. Probabilities from 0 to 1.
    Packets {
        /// Probability to go from good to bad.
        good_to_bad: f64,
        /// Probability to go from bad to good.
        bad_to_good: f64,
    },
}

impl Burst {
    /// Bursts in which everything is lost, by the mean times that good and bad states last.
    #[must_use]
    pub fn timed(mean_good: Duration, mean_bad: Duration) -> Self {
        Self {
            clock: BurstClock::Time {
                mean_good,
                mean_bad,
            },
            loss_bad: 1.0,
        }
    }

    /// Bursts in which everything is lost, by the share of time that is bad and the mean time that a bad state lasts.
    ///
    /// # Errors
    ///
    /// A share that is not above 0 and below 1.
    pub fn share(bad: f64, mean_bad: Duration) -> Result<Self, SpecError> {
        if !(bad > 0.0 && bad < 1.0) {
            return Err(SpecError::BadShare(bad));
        }
        let good = nanos(mean_bad) as f64 * (1.0 - bad) / bad;
        Ok(Self::timed(Duration::from_nanos(good as Nanos), mean_bad))
    }

    /// Bursts clocked by packets, in which everything is lost.
    #[must_use]
    pub fn per_packet(good_to_bad: f64, bad_to_good: f64) -> Self {
        Self {
            clock: BurstClock::Packets {
                good_to_bad,
                bad_to_good,
            },
            loss_bad: 1.0,
        }
    }

    /// Sets the probability that a packet is lost while the state is bad.
    #[must_use]
    pub fn loss_bad(self, loss_bad: f64) -> Self {
        Self { loss_bad, ..self }
    }

    /// The share of time (or of packets) that is bad.
    #[must_use]
    pub fn bad_share(&self) -> f64 {
        let (to_bad, to_good) = match self.clock {
            BurstClock::Time {
                mean_good,
                mean_bad,
            } => (nanos(mean_bad) as f64, nanos(mean_good) as f64),
            BurstClock::Packets {
                good_to_bad,
                bad_to_good,
            } => (good_to_bad, bad_to_good),
        };
        if to_bad + to_good > 0.0 {
            to_bad / (to_bad + to_good)
        } else {
            0.0
        }
    }

    pub(crate) fn validate(&self) -> Result<(), SpecError> {
        threshold("the loss in a bad state", self.loss_bad)?;
        match self.clock {
            BurstClock::Time {
                mean_good,
                mean_bad,
            } => {
                for mean in [mean_good, mean_bad] {
                    if !(MIN_MEAN..=MAX_MEAN).contains(&mean) {
                        return Err(SpecError::BurstMean(mean));
                    }
                }
            }
            BurstClock::Packets {
                good_to_bad,
                bad_to_good,
            } => {
                threshold("good_to_bad", good_to_bad)?;
                threshold("bad_to_good", bad_to_good)?;
            }
        }
        Ok(())
    }
}

/// Whether packets are lost, one after another.
#[derive(Debug, Clone)]
pub(crate) struct LossProcess {
    /// Thresholds of the loss in the good and in the bad state.
    loss: [u128; 2],
    rng: ChaCha8Rng,
    burst: Option<Burst>,
    state: State,
    state_rng: ChaCha8Rng,
}

#[derive(Debug, Clone)]
enum State {
    Good,
    Timed(Timed),
    Counted { leave: [u128; 2], bad: bool },
}

impl LossProcess {
    /// `station` tells apart the processes of one medium.
    pub(crate) fn new(
        loss: f64,
        burst: Option<&Burst>,
        seed: u64,
        station: usize,
    ) -> Result<Self, SpecError> {
        let mut process = Self {
            loss: [0; 2],
            rng: station_generator(seed, Purpose::Loss, station),
            burst: None,
            state: State::Good,
            state_rng: station_generator(seed, Purpose::Burst, station),
        };
        process.set(0, loss, burst)?;
        Ok(process)
    }

    /// Changes the probabilities from `now` on; the generators go on where they are, and so do bursts that stay the same.
    pub(crate) fn set(
        &mut self,
        now: Nanos,
        loss: f64,
        burst: Option<&Burst>,
    ) -> Result<(), SpecError> {
        let loss_good = threshold("loss", loss)?;
        let loss_bad = match burst {
            Some(burst) => threshold("loss_bad", burst.loss_bad)?,
            None => loss_good,
        };
        if self.burst.as_ref() != burst {
            self.state = match burst {
                Some(burst) => self.begin(now, burst)?,
                None => State::Good,
            };
            self.burst = burst.cloned();
        }
        self.loss = [loss_good, loss_bad];
        Ok(())
    }

    /// A state drawn by its share, so that there is no beginning that differs from the rest.
    fn begin(&mut self, now: Nanos, burst: &Burst) -> Result<State, SpecError> {
        burst.validate()?;
        let bad_before = self.bad_time(now);
        let share = threshold("bad", burst.bad_share())?;
        let bad = happens(share, &mut self.state_rng);
        Ok(match burst.clock {
            BurstClock::Time {
                mean_good,
                mean_bad,
            } => {
                let means = [nanos(mean_good), nanos(mean_bad)];
                // Exponential times have no memory: what is left of a state is distributed like the whole.
                let lasts = exponential(means[usize::from(bad)], &mut self.state_rng);
                State::Timed(Timed {
                    means,
                    share,
                    bad,
                    since: now,
                    until: now.saturating_add(lasts),
                    bad_before,
                })
            }
            BurstClock::Packets {
                good_to_bad,
                bad_to_good,
            } => State::Counted {
                leave: [
                    threshold("good_to_bad", good_to_bad)?,
                    threshold("bad_to_good", bad_to_good)?,
                ],
                bad,
            },
        })
    }

    /// Draws for one packet at `at`; times never run backwards. Takes one number from the loss generator.
    pub(crate) fn lost(&mut self, at: Nanos) -> bool {
        let bad = match &mut self.state {
            State::Good => false,
            State::Timed(timed) => timed.is_bad(at, &mut self.state_rng),
            State::Counted { leave, bad } => {
                *bad ^= happens(leave[usize::from(*bad)], &mut self.state_rng);
                *bad
            }
        };
        happens(self.loss[usize::from(bad)], &mut self.rng)
    }

    /// How long the state has been bad, up to `now`. Zero for a channel that is not clocked by time.
    pub(crate) fn bad_time(&mut self, now: Nanos) -> Nanos {
        match &mut self.state {
            State::Timed(timed) => {
                let bad = timed.is_bad(now, &mut self.state_rng);
                timed.bad_before
                    + if bad {
                        now.saturating_sub(timed.since)
                    } else {
                        0
                    }
            }
            _ => 0,
        }
    }
}

/// A state that lasts from `since` until `until`.
#[derive(Debug, Clone)]
struct Timed {
    /// Mean times that a good and a bad state last.
    means: [Nanos; 2],
    /// Threshold of the share of time that is bad.
    share: u128,
    bad: bool,
    since: Nanos,
    until: Nanos,
    /// The time of all bad states before this one.
    bad_before: Nanos,
}

impl Timed {
    fn is_bad(&mut self, now: Nanos, rng: &mut ChaCha8Rng) -> bool {
        // At the end of time there is no later end of a state.
        let now = now.min(Nanos::MAX - 1);
        while self.until <= now {
            if self.bad {
                self.bad_before += self.until - self.since;
            }
            self.since = self.until;
            self.bad = !self.bad;
            let gap = now - self.since;
            if gap / MEMORY_CYCLES > self.means[0] + self.means[1] {
                self.skip(now, gap, rng);
            }
            let lasts = exponential(self.means[usize::from(self.bad)], rng);
            self.until = self.since.saturating_add(lasts).max(self.since + 1);
        }
        self.bad
    }

    /// Passes over a gap too long to walk through, which was bad for its share.
    fn skip(&mut self, now: Nanos, gap: Nanos, rng: &mut ChaCha8Rng) {
        self.bad_before += ((u128::from(gap) * self.share) >> 64) as Nanos;
        self.bad = happens(self.share, rng);
        self.since = now;
    }
}

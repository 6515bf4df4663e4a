//! What happens to a packet between the transmitter and the far end: delay, jitter, loss, damage, copies.

use rand_chacha::ChaCha8Rng;

use super::burst::LossProcess;
use super::chance::{Chance, Purpose, damage, generator, uniform};
use super::spec::nanos;
use super::{LinkSpec, Nanos, SpecError};

/// The way from one end of a link to the other. Each impairment draws from a stream of its own, and always one number for
/// a packet (jitter: none while it is off), so that none changes what another does.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    delay: Nanos,
    jitter: Nanos,
    in_order: bool,
    jitter_rng: ChaCha8Rng,
    /// When the last packet that was not held back arrives.
    last_at: Nanos,
    loss: LossProcess,
    corrupt: Chance,
    reorder: Chance,
    reorder_by: Nanos,
    duplicate: Chance,
    damage_rng: ChaCha8Rng,
}

/// What becomes of a packet that has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Arrives {
        at: Nanos,
        damaged: bool,
        twice: bool,
    },
}

impl Way {
    /// The way of a checked spec.
    pub(crate) fn new(spec: &LinkSpec, seed: u64) -> Result<Self, SpecError> {
        let chance = |name, p, purpose| Chance::new(name, p, generator(seed, purpose));
        Ok(Self {
            delay: nanos(spec.delay),
            jitter: nanos(spec.jitter),
            in_order: spec.in_order,
            jitter_rng: generator(seed, Purpose::Jitter),
            last_at: 0,
            loss: LossProcess::new(spec.loss, spec.burst.as_ref(), seed, 0)?,
            corrupt: chance("corrupt", spec.corrupt, Purpose::Corruption)?,
            reorder: chance("reorder", spec.reorder, Purpose::Reorder)?,
            reorder_by: nanos(spec.reorder_by),
            duplicate: chance("duplicate", spec.duplicate, Purpose::Duplicate)?,
            damage_rng: generator(seed, Purpose::Damage),
        })
    }

    /// Changes the way for packets that leave from `now` on; the generators go on where they are.
    pub(crate) fn reshape(&mut self, now: Nanos, spec: &LinkSpec) -> Result<(), SpecError> {
        self.loss.set(now, spec.loss, spec.burst.as_ref())?;
        self.corrupt.set("corrupt", spec.corrupt)?;
        self.reorder.set("reorder", spec.reorder)?;
        self.duplicate.set("duplicate", spec.duplicate)?;
        self.delay = nanos(spec.delay);
        self.jitter = nanos(spec.jitter);
        self.in_order = spec.in_order;
        self.reorder_by = nanos(spec.reorder_by);
        Ok(())
    }

    pub(crate) fn set_delay(&mut self, delay: Nanos) {
        self.delay = delay;
    }

    pub(crate) fn set_corrupt(&mut self, p: f64) -> Result<(), SpecError> {
        self.corrupt.set("corrupt", p)
    }

    pub(crate) fn damage(&mut self, bytes: &mut [u8]) {
        damage(bytes, &mut self.damage_rng);
    }

    pub(crate) fn bad_time(&mut self, now: Nanos) -> Nanos {
        self.loss.bad_time(now)
    }

    /// Draws what becomes of a packet whose last bit leaves at `leaves`. Those times never run backwards.
    pub(crate) fn draw(&mut self, leaves: Nanos) -> Fate {
        let lost = self.loss.lost(leaves);
        let damaged = self.corrupt.happens();
        let held_back = self.reorder.happens();
        let twice = self.duplicate.happens();
        let late = match self.jitter {
            0 => 0,
            most => uniform(most, &mut self.jitter_rng),
        };
        if lost {
            return Fate::Lost;
        }
        let mut at = leaves.saturating_add(self.delay).saturating_add(late);
        if held_back {
            at = at.saturating_add(self.reorder_by);
        } else if self.jitter > 0 && self.in_order {
            at = at.max(self.last_at);
            self.last_at = at;
        }
        Fate::Arrives { at, damaged, twice }
    }
}

//! Machines that go back to older disks again and again, drawn from a seed.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::model::Nanos;

use super::super::HostId;
use super::{FaultKind, FaultPlan};

/// Which hosts go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollbacks {
    /// They are drawn from this seed; `None` is that of the run.
    pub seed: Option<u64>,
    /// The hosts.
    pub hosts: Vec<HostId>,
    /// Each may get an image of any of them, not only its own.
    pub shared: bool,
}

impl Rollbacks {
    /// What happens over `span` nanoseconds under a seed. The same arguments give the same plan.
    ///
    /// Of each host 2 to 4 images are taken, and 1 to 3 times it gets one for a disk: one of the last three, or now and then
    /// a new disk. All that begins in the first 3/4 of the span, and nobody is off for more than 1/16 of it.
    #[must_use]
    pub fn plan(&self, seed: u64, span: Nanos) -> FaultPlan {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The bias of the remainder does not matter here.
        let mut below = |bound: u64| rng.next_u64() % bound.max(1);
        let mut plan = FaultPlan::new();
        for &host in &self.hosts {
            for _ in 0..2 + below(3) {
                plan = plan.at(below(span / 4 * 3), FaultKind::Image { host });
            }
            for _ in 0..1 + below(3) {
                let at = span / 16 + below(span / 16 * 11);
                let other = self.hosts.get(below(self.hosts.len() as u64) as usize);
                let of = other.copied().filter(|_| self.shared).unwrap_or(host);
                let (ago, off) = (below(3) as u32, 1 + below(span / 16));
                plan = plan.at(at, FaultKind::Restore { host, of, ago, off });
            }
        }
        plan
    }
}

//! A random mix of faults, drawn from a seed.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::model::Nanos;

use super::super::{HostId, Stop};
use super::{FaultKind, FaultPlan, LinkId, Meddling, Way};

/// How many faults a random plan has, at least and at most.
pub const RANDOM_FAULTS: (usize, usize) = (3, 12);
/// The farthest that a calendar jumps in a random plan, either way: 30 days, in nanoseconds.
pub const MAX_CLOCK_JUMP: i64 = 30 * 86_400 * 1_000_000_000;
/// The longest that a host is off or a link is cut in a random plan, as a share of its span: one in this many.
pub const MAX_OUTAGE: u64 = 8;

const MILLISECOND: Nanos = 1_000_000;

impl FaultPlan {
    /// A random mix of faults for `hosts` hosts and `links` links over `span` nanoseconds. The same arguments give the
    /// same plan.
    ///
    /// It has 3 to 12 faults ([`RANDOM_FAULTS`]). They begin in the first half of the span and have ended by 5/8 of it,
    /// so that there is time to recover: no host stays off and no link stays cut for more than 1/8 of it
    /// ([`MAX_OUTAGE`]); packets are meddled with for as long at most, at most 30 of 100 of them, by delays of at most
    /// 2 s and at most 1/16 of the span. Calendars jump by at most 30 days ([`MAX_CLOCK_JUMP`]), and clocks drift by at
    /// most 200 parts per million, which a drift to 0 at 5/8 of the span ends. Without hosts, or without links, the
    /// faults of the other kind remain; without either the plan is empty.
    #[must_use]
    pub fn random(seed: u64, hosts: u32, links: u32, span: Nanos) -> Self {
        let mut draw = Draw {
            rng: ChaCha8Rng::seed_from_u64(seed),
            hosts,
            links,
            span,
        };
        let mut plan = Self::new();
        if hosts == 0 && links == 0 {
            return plan;
        }
        let (least, most) = RANDOM_FAULTS;
        let count = least as u64 + draw.below((most - least + 1) as u64);
        for _ in 0..count {
            let at = draw.below(span / 2);
            let kind = draw.fault();
            if let FaultKind::ClockDrift { host, .. } = kind {
                plan = plan.at(span / 8 * 5, FaultKind::ClockDrift { host, ppb: 0 });
            }
            plan = plan.at(at, kind);
        }
        plan
    }
}

struct Draw {
    rng: ChaCha8Rng,
    hosts: u32,
    links: u32,
    span: Nanos,
}

impl Draw {
    /// A number below `bound`, or 0. The bias of the remainder does not matter here.
    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound.max(1)
    }

    fn fault(&mut self) -> FaultKind {
        let of_host = self.links == 0 || (self.hosts > 0 && self.below(2) == 0);
        if of_host {
            self.host_fault()
        } else {
            self.link_fault()
        }
    }

    fn host_fault(&mut self) -> FaultKind {
        let host = HostId(self.below(self.hosts.into()) as u32);
        match self.below(8) {
            0 => FaultKind::ClockJump {
                host,
                by: self.below(2 * MAX_CLOCK_JUMP as u64) as i64 - MAX_CLOCK_JUMP,
            },
            1 => FaultKind::ClockDrift {
                host,
                ppb: self.below(400_001) as i32 - 200_000,
            },
            n => FaultKind::Stop {
                host,
                how: if n % 2 == 0 {
                    Stop::Crash
                } else {
                    Stop::PowerCut
                },
                off: Some(self.outage()),
            },
        }
    }

    fn link_fault(&mut self) -> FaultKind {
        if self.below(2) == 0 {
            let count = 1 + self.below(self.links.into());
            let mut links: Vec<LinkId> = (0..count).map(|_| self.link()).collect();
            links.sort_unstable();
            links.dedup();
            return FaultKind::Cut {
                links,
                lasts: Some(self.outage()),
                noticed: self.below(2) == 0,
            };
        }
        let longest = (self.span / 16).min(2000 * MILLISECOND);
        let delay = 1 + self.below(longest);
        let what = match self.below(5) {
            0 => Meddling::Drop,
            1 => Meddling::Delay(delay),
            2 => Meddling::Reorder(delay),
            3 => Meddling::Duplicate(delay),
            _ => Meddling::Corrupt,
        };
        FaultKind::Meddle {
            link: self.link(),
            way: [Way::Forward, Way::Back, Way::Both][self.below(3) as usize],
            what,
            share_ppm: 10_000 + self.below(290_001) as u32,
            lasts: Some(self.outage()),
        }
    }

    fn link(&mut self) -> LinkId {
        LinkId(self.below(self.links.into()) as u32)
    }

    fn outage(&mut self) -> Nanos {
        1 + self.below(self.span / MAX_OUTAGE)
    }
}

//! What goes wrong and when, as plain data: written by hand, read from a scenario, or drawn from a seed.

mod random;
mod rollbacks;

use crate::model::Nanos;

use super::{HostId, Stop};

pub use random::{MAX_CLOCK_JUMP, MAX_OUTAGE, RANDOM_FAULTS};
pub use rollbacks::Rollbacks;

/// A medium of a world, numbered in the order in which media were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// When a fault begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At a time of the world.
    At(Nanos),
    /// When the world has taken this many events, before the next one. A run without faults tells how many there are,
    /// so that a test can put a fault behind every single one.
    AfterEvents(u64),
}

/// Which of a pair's directions. On channels and couriers each means both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the first end to the second.
    Forward,
    /// From the second end to the first.
    Back,
    /// Both.
    Both,
}

/// What a fault does to packets that have crossed a link, as a relay that lies or a driver that is broken would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meddling {
    /// The packet is gone.
    Drop,
    /// The packet comes this many nanoseconds later.
    Delay(Nanos),
    /// The packet comes up to this many nanoseconds later, drawn evenly for each one.
    Reorder(Nanos),
    /// The packet comes, and once more this many nanoseconds later.
    Duplicate(Nanos),
    /// Some of its bytes change.
    Corrupt,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// A host stops, and starts again after `off` nanoseconds of true time (at least 1); `None` is never. Without
    /// effect on a host that is stopped already.
    Stop {
        /// Who.
        host: HostId,
        /// How.
        how: Stop,
        /// How long it is off.
        off: Option<Nanos>,
    },
    /// An image of the disk of a host is taken, as a backup does while the machine runs. The last
    /// [`MAX_IMAGES`](super::MAX_IMAGES) of each host are kept.
    Image {
        /// Whose.
        host: HostId,
    },
    /// A host loses power, and starts again on an image instead of its own disk. Without effect on a host that is stopped
    /// already.
    Restore {
        /// Who.
        host: HostId,
        /// Whose image: its own as from a backup, or another's, which makes it a clone.
        of: HostId,
        /// Which of them: the newest, or so many before it. If there is none, the disk is new.
        ago: u32,
        /// How many nanoseconds of true time it is off, at least 1.
        off: Nanos,
    },
    /// The calendar of a host jumps by so many nanoseconds.
    ClockJump {
        /// Whose.
        host: HostId,
        /// Forward, or back if negative.
        by: i64,
    },
    /// Both clocks of a host run fast (or slow, if negative) by so many parts per billion from now on; at most
    /// [`MAX_DRIFT_PPB`](super::MAX_DRIFT_PPB) either way.
    ClockDrift {
        /// Whose.
        host: HostId,
        /// Parts per billion.
        ppb: i32,
    },
    /// Links are cut for a time; what waits or is under way on them is lost. Cuts of one link may overlap: it is up
    /// when the last one is over.
    Cut {
        /// Which; all that cross a border make a partition.
        links: Vec<LinkId>,
        /// For how long; `None` is for good.
        lasts: Option<Nanos>,
        /// Whether ports that notice are told. If not, packets just do not arrive.
        noticed: bool,
    },
    /// Packets that have crossed a link are meddled with.
    Meddle {
        /// On which link.
        link: LinkId,
        /// In which direction.
        way: Way,
        /// How.
        what: Meddling,
        /// How many of a million packets, each drawn on its own.
        share_ppm: u32,
        /// For how long; `None` is for good.
        lasts: Option<Nanos>,
    },
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub when: When,
    /// What it is.
    pub kind: FaultKind,
}

/// What goes wrong in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// In any order.
    pub faults: Vec<Fault>,
}

impl FaultPlan {
    /// Nothing goes wrong.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault at a time of the world.
    #[must_use]
    pub fn at(self, at: Nanos, kind: FaultKind) -> Self {
        self.with(When::At(at), kind)
    }

    /// Adds a fault behind the `n`-th event of the world.
    #[must_use]
    pub fn after_events(self, n: u64, kind: FaultKind) -> Self {
        self.with(When::AfterEvents(n), kind)
    }

    fn with(mut self, when: When, kind: FaultKind) -> Self {
        self.faults.push(Fault { when, kind });
        self
    }
}

//! What must hold of an engine at every moment: its clock does not run backwards, and it keeps to its bounds.

use crate::engine::Engine;
use crate::engine::limits::Limits;
use crate::engine::occupancy::Occupancy;
use ostrakon_netsim::model::Nanos;

/// How many inputs pass from one look at how full an engine is to the next.
const LOOK: u32 = 64;
/// Blocks that an engine may hold whatever their size: the one that is sent and the one that comes next.
const BLOCKS: usize = 2;

/// Watches the engine of one process.
#[derive(Debug, Default)]
pub struct Gauge {
    latest: Nanos,
    inputs: u32,
    /// It was told once that something is above its bound.
    told: bool,
}

impl Gauge {
    /// Before an input: tells if its time is before that of an earlier one.
    pub fn time(&mut self, now: Nanos) -> Option<String> {
        let latest = std::mem::replace(&mut self.latest, now);
        (now < latest).then(|| format!("the clock of an engine ran back by {} ns", latest - now))
    }

    /// After an input: tells what is above its bound, looking now and then, once in the life of a process.
    pub fn look(&mut self, engine: &Engine, limits: &Limits) -> Option<String> {
        self.inputs = (self.inputs + 1) % LOOK;
        if self.inputs != 0 || self.told {
            return None;
        }
        let over = over(&engine.occupancy(), limits);
        self.told = over.is_some();
        over
    }
}

/// The first thing that is above its bound.
fn over(held: &Occupancy, limits: &Limits) -> Option<String> {
    let blocks = match held.blocks {
        0..=BLOCKS => 0,
        _ => held.block_bytes,
    };
    let all = [
        (
            "messages in the outbox",
            held.outbox_messages,
            limits.outbox_messages,
        ),
        (
            "messages arriving",
            held.inbox_messages,
            limits.inbox_messages,
        ),
        (
            "incomplete manifests",
            held.manifests,
            limits.inbox_messages,
        ),
        (
            "bytes before their manifest",
            held.early_bytes,
            limits.early_bytes,
        ),
        (
            "bytes in quarantine",
            held.quarantine_bytes,
            limits.quarantine_bytes,
        ),
        ("bytes of source blocks", blocks, limits.block_cache_bytes),
        (
            "fragments under way on a link",
            held.outstanding,
            limits.outstanding,
        ),
        ("sessions of others", held.sessions, limits.sessions),
        ("messages in the ledger", held.ledger, limits.ledger),
    ];
    let mut over = all.into_iter().filter(|(_, held, most)| held > most);
    over.next()
        .map(|(what, held, most)| format!("{held} {what}, where {most} are the bound"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards that each bound is looked at: at it nothing is said, one above it is named.
    #[test]
    fn each_bound_is_told_of_when_it_is_passed() {
        let limits = Limits {
            outbox_messages: 1,
            inbox_messages: 2,
            early_bytes: 3,
            quarantine_bytes: 4,
            block_cache_bytes: 5,
            outstanding: 6,
            sessions: 7,
            ledger: 8,
            ..Limits::default()
        };
        let full = Occupancy {
            outbox_messages: 1,
            inbox_messages: 2,
            manifests: 2,
            early_bytes: 3,
            quarantine_bytes: 4,
            blocks: 3,
            block_bytes: 5,
            outstanding: 6,
            sessions: 7,
            ledger: 8,
        };
        assert_eq!(over(&full, &limits), None);
        type Pass = (&'static str, fn(&mut Occupancy));
        let passes: [Pass; 9] = [
            ("outbox", |o| o.outbox_messages += 1),
            ("arriving", |o| o.inbox_messages += 1),
            ("manifests", |o| o.manifests += 1),
            ("before their", |o| o.early_bytes += 1),
            ("quarantine", |o| o.quarantine_bytes += 1),
            ("blocks", |o| o.block_bytes += 1),
            ("under way", |o| o.outstanding += 1),
            ("sessions", |o| o.sessions += 1),
            ("ledger", |o| o.ledger += 1),
        ];
        for (what, pass) in passes {
            let mut held = full;
            pass(&mut held);
            let told = over(&held, &limits).unwrap_or_default();
            assert!(told.contains(what), "{what}: {told}");
        }
    }

    /// Guards the engine's contract on time: standing still is allowed, going back is told of.
    #[test]
    fn a_clock_that_runs_back_is_told_of() {
        let mut gauge = Gauge::default();
        assert_eq!([5, 5, 6].map(|now| gauge.time(now)), [None, None, None]);
        assert!(gauge.time(4).is_some_and(|told| told.contains("2 ns")));
    }
}

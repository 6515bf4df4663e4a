//! A recipient that lacks what it has reported: its disk went back to an older image, or lost something.
//!
//! Reports only add, since they arrive in any order, and an old one must not have everything sent again. So who has reported
//! all and then lost some of it would wait for ever. A message of which everything was reported is therefore believed less
//! after a while: if reports still say that something is lacking, it is sent again.

use super::Engine;
use super::outgoing::Outgoing;
use crate::wire::report::{Held, Part, Report};
use std::time::Duration;

/// How long reports have to say so: much longer than one is under way beside others, or a part is checked.
const PATIENCE: Duration = Duration::from_secs(60);

impl Engine {
    /// Before a report is taken over: parts that it has shown to be lacking begin anew.
    pub(super) fn doubt(&mut self, seq: u64, report: &Report) {
        let Some(message) = self.outbox.get_mut(&seq) else {
            return;
        };
        let lacking = match message.is_all_reported() {
            true => message.lacking(report),
            false => Vec::new(),
        };
        if lacking.is_empty() {
            message.doubted = None;
            return;
        }
        let since = *message.doubted.get_or_insert(self.now);
        if self.now.since(since) < PATIENCE {
            return;
        }
        message.doubted = None;
        for part in lacking {
            if let Some(priority) = message.start_over(part) {
                self.schedule.insert((priority.code(), seq, part));
            }
        }
        self.writer.durable(message.record(self.now));
        self.forget_sent(seq);
    }
}

impl Outgoing {
    /// Everything was reported, and yet the message is not over.
    fn is_all_reported(&self) -> bool {
        let mut parts = self.parts.values();
        parts.all(|part| part.complete || part.pool.is_all_reported())
    }

    /// The parts of which a report says that not all is there.
    fn lacking(&self, report: &Report) -> Vec<u8> {
        let lacks = |number: &u8, blocks: u32| {
            let told = report.parts.iter().find(|(part, _)| part == number);
            // A report without a word on a part, though there was room for all, says that nothing of it is held.
            told.map_or(!report.header.partial, |(_, held)| !is_full(held, blocks))
        };
        let parts = self.parts.iter();
        let lacking = parts.filter(|(number, part)| lacks(number, part.pool.geometry().blocks()));
        lacking.map(|(number, _)| *number).collect()
    }
}

fn is_full(held: &Part, blocks: u32) -> bool {
    let Part::Blocks { solved, listed, .. } = held else {
        return true;
    };
    let listed = listed.iter().filter(|block| block.held == Held::Solved);
    solved.saturating_add(listed.count() as u32) >= blocks
}

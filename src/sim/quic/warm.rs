//! Two ends that have known each other for a while.

use super::clock::Clock;
use super::link::Link;
use ostrakon_netsim::model::Nanos;
use std::collections::BTreeMap;
use std::time::Duration;

/// For how long two ends meet before the scenario begins, at least.
const LEAST: Duration = Duration::from_secs(60);
/// And in round trips: enough for a handshake, the hello and the search for the path MTU.
const ROUND_TRIPS: u32 = 30;

/// How two ends meet.
#[derive(Clone, Copy, Debug)]
pub struct Meeting {
    /// Propagation delays from the first to the second, and back.
    pub delays: [Duration; 2],
    /// Bytes of the largest packet that passes.
    pub mtu: usize,
}

impl Meeting {
    /// How long before the scenario it begins.
    pub fn lead(&self) -> Nanos {
        let trip = self.delays[0] + self.delays[1];
        nanos(LEAST.max(trip.saturating_mul(ROUND_TRIPS)))
    }

    /// Lets two ends that were made at 0 of `clock` meet over a line without loss, for the lead. What they have to tell
    /// of it waits until they are polled. In the end nothing is under way, unless the round trip is so long that
    /// something always is.
    pub fn hold(&self, ends: &mut [&mut Link; 2], clock: Clock) {
        let lead = self.lead();
        // To which end a packet goes, by when it is there and by its number.
        let mut flying = BTreeMap::new();
        let (mut now, mut number) = (0, 0u64);
        loop {
            let mut due = Vec::new();
            for (from, end) in ends.iter_mut().enumerate() {
                for packet in end.advance(clock.at(now)) {
                    if packet.len() <= self.mtu {
                        number += 1;
                        let there = now + nanos(self.delays[from]);
                        flying.insert((there, number), (1 - from, packet));
                    }
                }
                due.extend(end.due().map(|at| clock.fires(at, now)));
            }
            if flying.is_empty() && now >= lead - lead / 5 {
                return;
            }
            due.extend(flying.keys().next().map(|(at, _)| *at));
            now = match due.into_iter().min() {
                Some(next) if next < lead => next.max(now),
                _ => return,
            };
            while let Some(next) = flying.first_entry()
                && next.key().0 <= now
            {
                let (to, packet) = next.remove();
                ends[to].receive(clock.at(now), &packet);
            }
        }
    }
}

fn nanos(time: Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX / 2)
}

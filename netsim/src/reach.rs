//! When something can have arrived at the earliest, over contacts that are known beforehand.
//!
//! Nodes are numbers from 0. A [`Hop`] is one direction of a link with the windows in which it is up; relays, couriers
//! and plain links are all hops. [`earliest_arrivals`] is Dijkstra's algorithm on the time-expanded contact graph, as
//! in Jain, Fall and Patra, "Routing in a delay tolerant network" (SIGCOMM 2004), and CCSDS 734.3-B-1: the
//! cost of a hop depends on when one gets to it, and waiting is allowed. [`delivery_bound`] says what no protocol can
//! beat.
//!
//! All is integer arithmetic in nanoseconds and bits. Losses and headers are the caller's to allow for, in rates or in
//! bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::Nanos;

/// A time in which a hop is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// When it begins.
    pub from: Nanos,
    /// When it ends: the last bit has left by then. `None` is never.
    pub until: Option<Nanos>,
    /// Bits a second; `None` is a line that takes no time.
    pub rate_bps: Option<u64>,
    /// From leaving to arriving, in nanoseconds.
    pub delay: Nanos,
    /// Bytes that it takes at most, as the storage of a courier; `None` is any number.
    pub capacity: Option<u64>,
}

impl Window {
    /// Up for ever.
    #[must_use]
    pub fn always(rate_bps: Option<u64>, delay: Nanos) -> Self {
        Self {
            from: 0,
            until: None,
            rate_bps,
            delay,
            capacity: None,
        }
    }

    /// A ride of a courier: what is handed over by `leaves` is there when it `arrives`, up to `capacity` bytes.
    #[must_use]
    pub fn ride(leaves: Nanos, arrives: Nanos, capacity: Option<u64>) -> Self {
        Self {
            from: leaves,
            until: Some(leaves.saturating_add(1)),
            rate_bps: None,
            delay: arrives.saturating_sub(leaves),
            capacity,
        }
    }
}

/// One direction of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The node that sends.
    pub from: usize,
    /// The node that receives.
    pub to: usize,
    /// When it is up, in any order.
    pub windows: Vec<Window>,
}

/// When `bytes` bytes that are at node `from` at `start` can be at each of `nodes` nodes, if every node passes on only
/// what it has completely, all hops from one node to another together. `None` is never. For a single packet this is the
/// earliest arrival there can be.
///
/// A message may leave in pieces, over several windows. Hops that name nodes from `nodes` on are left out.
#[must_use]
pub fn earliest_arrivals(
    nodes: usize,
    hops: &[Hop],
    from: usize,
    start: Nanos,
    bytes: u64,
) -> Vec<Option<Nanos>> {
    let mut arrivals = vec![None; nodes];
    let mut settled = vec![false; nodes];
    let mut heap = BinaryHeap::new();
    if let Some(first) = arrivals.get_mut(from) {
        *first = Some(start);
        heap.push(Reverse((start, from)));
    }
    let pooled = pool(nodes, hops);
    while let Some(Reverse((at, node))) = heap.pop() {
        if std::mem::replace(&mut settled[node], true) {
            continue;
        }
        for (to, windows) in pooled[node].iter() {
            let ready = windows.iter().map(|window| (at, *window));
            let Some(then) = through(ready, bytes) else {
                continue;
            };
            if arrivals[*to].is_none_or(|known| then < known) {
                arrivals[*to] = Some(then);
                heap.push(Reverse((then, *to)));
            }
        }
    }
    arrivals
}

/// A time before which no protocol can have brought `bytes` bytes from node `from` at `start` to node `to`; `None` if
/// they never fit. All hops work at once, and nodes pass on each bit when it comes.
///
/// It is the later of two times: when the hops out of `from` can have carried all, and when the hops into `to` can
/// have, if each began when the first bit can be at its other end. Over direct links alone it is exact.
#[must_use]
pub fn delivery_bound(
    nodes: usize,
    hops: &[Hop],
    from: usize,
    to: usize,
    start: Nanos,
    bytes: u64,
) -> Option<Nanos> {
    if from == to {
        return Some(start);
    }
    let first_bit = earliest_arrivals(nodes, hops, from, start, 0);
    let into = hops.iter().filter(|hop| hop.to == to && hop.from != to);
    let into = into.filter_map(|hop| Some((*first_bit.get(hop.from)?.as_ref()?, hop)));
    let into = into.flat_map(|(ready, hop)| hop.windows.iter().map(move |w| (ready, *w)));
    let out = hops.iter().filter(|hop| hop.from == from && hop.to != from);
    let out = out.flat_map(|hop| {
        hop.windows
            .iter()
            .map(|w| (start, Window { delay: 0, ..*w }))
    });
    Some(through(into, bytes)?.max(through(out, bytes)?))
}

/// For each node its neighbours, with the windows of all hops to each.
fn pool(nodes: usize, hops: &[Hop]) -> Vec<Vec<(usize, Vec<Window>)>> {
    let mut pooled: Vec<Vec<(usize, Vec<Window>)>> = vec![Vec::new(); nodes];
    for hop in hops.iter().filter(|hop| hop.to < nodes) {
        let Some(neighbours) = pooled.get_mut(hop.from) else {
            continue;
        };
        match neighbours.iter_mut().find(|(to, _)| *to == hop.to) {
            Some((_, windows)) => windows.extend(&hop.windows),
            None => neighbours.push((hop.to, hop.windows.clone())),
        }
    }
    pooled
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// When `bytes` have come through windows, each used from a time on: the least T at which the rates, each times how long
/// it has been up before T less its delay, add up to them. Of nothing, the first bit has to come through.
fn through(windows: impl Iterator<Item = (Nanos, Window)>, bytes: u64) -> Option<Nanos> {
    let mut changes: Vec<Change> = windows
        .flat_map(|(ready, w)| changes(ready, &w))
        .flatten()
        .collect();
    changes.sort_unstable_by_key(|change| change.at);
    // In bits times nanoseconds a second, so that nothing is rounded.
    let need = u128::from(bytes) * 8 * NANOS_PER_SECOND;
    let (mut have, mut rate, mut now) = (0u128, 0u128, 0);
    for change in changes {
        let gained = rate.saturating_mul(u128::from(change.at - now));
        // What has come by now is below the need, or this would have returned.
        if rate > 0 && have.saturating_add(gained) >= need {
            return Some(now + round_up(need - have, rate));
        }
        have = have.saturating_add(gained);
        now = change.at;
        rate = rate + change.faster - change.slower;
        have = have.saturating_add(change.jump);
        if have >= need && (change.jump > 0 || rate > 0) {
            return Some(now);
        }
    }
    (rate > 0).then(|| now.saturating_add(round_up(need - have, rate)))
}

/// What changes for the receiver at a moment.
struct Change {
    at: Nanos,
    /// Bits a second more, and less.
    faster: u128,
    slower: u128,
    /// Comes at once, in bits times nanoseconds a second.
    jump: u128,
}

fn changes(ready: Nanos, window: &Window) -> [Option<Change>; 2] {
    let begins = window.from.max(ready);
    let mut until = window.until.unwrap_or(Nanos::MAX);
    if begins >= until {
        return [None, None];
    }
    let change = |at: Nanos, faster, slower, jump| {
        let at = at.saturating_add(window.delay);
        Some(Change {
            at,
            faster,
            slower,
            jump,
        })
    };
    let capacity = window
        .capacity
        .map(|bytes| u128::from(bytes) * 8 * NANOS_PER_SECOND);
    let Some(rate) = window.rate_bps.map(u128::from) else {
        // More than any message has.
        let jump = capacity.unwrap_or(u128::from(u64::MAX) * 8 * NANOS_PER_SECOND);
        return [change(begins, 0, 0, jump), None];
    };
    if rate == 0 {
        return [None, None];
    }
    if let Some(capacity) = capacity {
        until = until.min(begins.saturating_add(round_up(capacity, rate)));
    }
    let end = if until == Nanos::MAX {
        None
    } else {
        change(until, 0, rate, 0)
    };
    [change(begins, rate, 0, 0), end]
}

fn round_up(work: u128, rate: u128) -> Nanos {
    Nanos::try_from(work.div_ceil(rate)).unwrap_or(Nanos::MAX)
}

//! Earliest arrivals over contact plans, against exhaustive search and closed formulas.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ostrakon_netsim::model::Nanos;
use ostrakon_netsim::reach::{Hop, Window, delivery_bound, earliest_arrivals};
use proptest::prelude::*;

const SECOND: Nanos = 1_000_000_000;

fn hop(from: usize, to: usize, windows: &[Window]) -> Hop {
    Hop {
        from,
        to,
        windows: windows.to_vec(),
    }
}

fn window(from: u64, until: u64, rate_bps: u64, delay: u64) -> Window {
    Window {
        from: from * SECOND,
        until: Some(until * SECOND),
        rate_bps: Some(rate_bps),
        delay: delay * SECOND,
        capacity: None,
    }
}

/// Every path without a circle, every window of each hop: the earliest arrival of a packet that takes no time.
fn by_search(
    hops: &[Hop],
    at: usize,
    now: Nanos,
    seen: &mut Vec<usize>,
    best: &mut [Option<Nanos>],
) {
    if best[at].is_none_or(|known| now < known) {
        best[at] = Some(now);
    }
    seen.push(at);
    for hop in hops.iter().filter(|hop| hop.from == at) {
        for w in hop
            .windows
            .iter()
            .filter(|w| w.until.unwrap() > now.max(w.from))
        {
            if !seen.contains(&hop.to) {
                by_search(hops, hop.to, now.max(w.from) + w.delay, seen, best);
            }
        }
    }
    seen.pop();
}

fn plans() -> impl Strategy<Value = Vec<Hop>> {
    let window = (0u64..60, 1u64..20, 1u64..9, 0u64..15)
        .prop_map(|(from, long, rate, delay)| window(from, from + long, rate * 1000, delay));
    let windows = prop::collection::vec(window, 1..4);
    let hop = (0usize..5, 0usize..5, windows).prop_map(|(a, b, windows)| hop(a, b, &windows));
    prop::collection::vec(hop, 1..10)
}

proptest! {
    /// Guards the algorithm: waiting for a later window with less delay, circles, and hops in parallel included, it
    /// finds what searching through all possibilities finds.
    #[test]
    fn a_packet_arrives_when_an_exhaustive_search_says(hops in plans(), start in 0u64..40) {
        let start = start * SECOND;
        let mut best = vec![None; 5];
        by_search(&hops, 0, start, &mut Vec::new(), &mut best);
        prop_assert_eq!(earliest_arrivals(5, &hops, 0, start, 0), best);
    }

    /// Guards the bound: it is never after what passing on complete messages achieves, and it grows with the message.
    #[test]
    fn the_bound_is_below_what_can_be_done(hops in plans(), bytes in 1u64..20_000) {
        let arrivals = earliest_arrivals(5, &hops, 0, 0, bytes);
        for (to, arrival) in arrivals.iter().enumerate().skip(1) {
            let bound = delivery_bound(5, &hops, 0, to, 0, bytes);
            if let Some(arrival) = arrival {
                prop_assert!(bound.is_some_and(|bound| bound <= *arrival), "{bound:?} {arrival:?}");
            }
            let less = delivery_bound(5, &hops, 0, to, 0, bytes - 1);
            prop_assert!(bound.is_none() || less.is_some_and(|less| less <= bound.unwrap()));
        }
    }
}

/// Guards the formula for links in parallel: `Σ C_i · (T - delay_i) = M`, to the nanosecond.
#[test]
fn parallel_links_bring_the_sum_of_their_rates() {
    let hops = [
        hop(0, 1, &[Window::always(Some(10_000_000), 300_000_000)]),
        hop(0, 1, &[Window::always(Some(2_000_000), 40_000_000)]),
    ];
    // 3 MB: (24 Mbit + 3 Mbit + 0.08 Mbit) / 12 Mbit/s.
    let expected = ((24_000_000u64 + 3_000_000 + 80_000) * SECOND).div_ceil(12_000_000);
    assert_eq!(delivery_bound(2, &hops, 0, 1, 0, 3_000_000), Some(expected));
    // What is over before the slower delay comes by one link alone.
    assert_eq!(delivery_bound(2, &hops, 0, 1, 0, 1000), Some(44_000_000));
}

/// Guards windows: a message goes on in the next one, and is late by what lies between.
#[test]
fn a_message_continues_in_the_next_window() {
    // 1000 bytes a second for 5 seconds of each minute.
    let windows: Vec<Window> = (0..10)
        .map(|n| window(60 * n, 60 * n + 5, 8000, 1))
        .collect();
    let hops = [hop(0, 1, &windows)];
    let at = |bytes| delivery_bound(2, &hops, 0, 1, 0, bytes);
    assert_eq!(at(5000), Some(6 * SECOND));
    assert_eq!(at(5001), Some(61 * SECOND + SECOND / 1000));
    assert_eq!(at(50_000), Some((9 * 60 + 6) * SECOND));
    assert_eq!(at(50_001), None);
    assert_eq!(earliest_arrivals(2, &hops, 1, 0, 0), [None, Some(0)]);
}

/// Guards couriers: whoever misses the bus takes the next, and a bus takes no more than it has room for.
#[test]
fn a_courier_is_caught_or_missed() {
    let rides: Vec<Window> = (0..3)
        .map(|n| {
            Window::ride(
                (3600 * n + 600) * SECOND,
                (3600 * n + 2400) * SECOND,
                Some(1000),
            )
        })
        .collect();
    let hops = [
        hop(0, 1, &rides),
        hop(1, 2, &[Window::always(Some(8000), SECOND)]),
    ];
    let at = |start, bytes| earliest_arrivals(3, &hops, 0, start * SECOND, bytes)[2];
    assert_eq!(at(0, 500), Some((2400 + 1) * SECOND + SECOND / 2));
    assert_eq!(at(600, 0), Some(2401 * SECOND));
    assert_eq!(at(601, 0), Some(6001 * SECOND));
    assert_eq!(at(0, 1001), Some(6001 * SECOND + 1001 * SECOND / 1000));
    assert_eq!(at(0, 3001), None);
}

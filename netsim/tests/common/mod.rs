//! What several tests of the models need.
#![allow(dead_code, clippy::unwrap_used)]

use std::time::Duration;

use ostrakon_netsim::model::{Arrival, Link, LinkSpec, Nanos};

pub const MS: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000_000_000;

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// All that a link hands out until nothing is under way, asked for when it says.
pub fn drain<P: Clone>(link: &mut Link<P>) -> Vec<Arrival<P>> {
    let mut arrivals: Vec<Arrival<P>> = Vec::new();
    while let Some(at) = link.next_at() {
        arrivals.extend(std::iter::from_fn(|| link.poll(at)));
        assert!(
            link.next_at().is_none_or(|next| next > at),
            "a link that does not go on"
        );
    }
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
    arrivals
}

/// A link that was offered `count` packets of 100 bytes, one every `interval`, each the number of its offer.
pub fn offered(spec: &LinkSpec, seed: u64, count: u64, interval: Nanos) -> Link<u64> {
    let mut link = Link::new(spec, seed).unwrap();
    for n in 0..count {
        link.offer(n * interval, 100, n);
    }
    link
}

/// A number that changes with any of these (FNV-1a over their bytes).
pub fn digest(numbers: &[u64]) -> u64 {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

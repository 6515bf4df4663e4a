//! Measuring side by side: candidates take turns, the median of the rounds counts, and what matters is the ratio.

use super::stopwatch::{Stopwatch, median};
use std::hint::black_box;
use std::time::Duration;

/// One thing to measure: the bytes that one call deals with, and the call.
pub struct Candidate<'a> {
    pub bytes: usize,
    pub call: Box<dyn FnMut() + 'a>,
}

impl<'a> Candidate<'a> {
    pub fn new<T>(bytes: usize, mut call: impl FnMut() -> T + 'a) -> Self {
        Self {
            bytes,
            call: Box::new(move || drop(black_box(call()))),
        }
    }
}

/// Megabytes (10^6 bytes) per second of each candidate: the median of `rounds` rounds, in each of which every candidate
/// runs for about `slice`, one after another, so that a slow moment of the machine meets all of them.
pub fn rates(candidates: &mut [Candidate<'_>], rounds: usize, slice: Duration) -> Vec<f64> {
    let calls: Vec<u32> = candidates.iter_mut().map(|c| calibrate(c, slice)).collect();
    let mut all = vec![Vec::with_capacity(rounds); candidates.len()];
    for _ in 0..rounds {
        for ((candidate, &calls), rates) in candidates.iter_mut().zip(&calls).zip(&mut all) {
            let took = time(candidate, calls);
            rates.push(f64::from(calls) * candidate.bytes as f64 / took.as_secs_f64() / 1e6);
        }
    }
    all.into_iter().map(median).collect()
}

fn time(candidate: &mut Candidate<'_>, calls: u32) -> Duration {
    let start = Stopwatch::start();
    (0..calls).for_each(|_| (candidate.call)());
    start.elapsed()
}

/// How many calls fill a slice of time.
fn calibrate(candidate: &mut Candidate<'_>, slice: Duration) -> u32 {
    let mut calls = 1;
    loop {
        let took = time(candidate, calls);
        if took >= slice / 4 || calls > 1 << 24 {
            let wanted = f64::from(calls) * slice.as_secs_f64() / took.as_secs_f64().max(1e-9);
            return (wanted as u32).max(1);
        }
        calls *= 2;
    }
}

//! Rates that were recorded: when a link could deliver how much.
//!
//! The format is that of Mahimahi (Netravali et al., *Mahimahi: accurate record-and-replay for HTTP*, USENIX ATC 2015;
//! traces of cellular links are published with it): a text file with one whole number a line, a time in milliseconds. Each
//! is an opportunity to deliver 1504 bytes (a packet of 1500 and four of the tunnel's header), and a number that stands on
//! several lines is as many opportunities. Bytes that nobody waits for at that moment are gone. At its end, which is its
//! last time, a trace begins anew.

use std::sync::Arc;

use super::Nanos;

/// Bytes that one opportunity delivers.
const OPPORTUNITY: u64 = 1504;
const NANOS_PER_MS: u64 = 1_000_000;

/// A recorded rate; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Milliseconds in rising order; the last is the period and above zero.
    times: Arc<[u32]>,
}

/// A text that is no trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// No line with a time.
    #[error("the trace is empty: give one time in milliseconds a line")]
    Empty,
    /// A line that is no whole number of milliseconds.
    #[error("line {line}: {text:?} is no time: give a whole number of milliseconds below 2^32")]
    NotATime {
        /// The line, counted from 1.
        line: usize,
        /// What stands there, shortened.
        text: String,
    },
    /// A time that is before the one above it.
    #[error("line {line}: {time} ms comes after {before} ms: sort the trace by time")]
    Unsorted {
        /// The line, counted from 1.
        line: usize,
        /// The time on it.
        time: u32,
        /// The time above it.
        before: u32,
    },
    /// A trace that lasts no time.
    #[error("line {line}: the trace ends at 0 ms and cannot be repeated: give a last time above 0")]
    NoTime {
        /// The last line, counted from 1.
        line: usize,
    },
}

impl Trace {
    /// Reads a trace. Blank lines are passed over.
    ///
    /// # Errors
    ///
    /// The first line that is wrong, with its number.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut times: Vec<u32> = Vec::new();
        let mut last = 0;
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let time: u32 = text.parse().map_err(|_no_number| TraceError::NotATime {
                line,
                text: text.chars().take(40).collect(),
            })?;
            match times.last() {
                Some(&before) if before > time => {
                    return Err(TraceError::Unsorted { line, time, before });
                }
                _ => times.push(time),
            }
            last = line;
        }
        match times.last() {
            None => Err(TraceError::Empty),
            Some(0) => Err(TraceError::NoTime { line: last }),
            Some(_) => Ok(Self {
                times: times.into(),
            }),
        }
    }

    /// The mean rate in bits a second, rounded down and at least 1.
    #[must_use]
    pub fn mean_rate_bps(&self) -> u64 {
        let bits = self.times.len() as u64 * OPPORTUNITY * 8;
        (bits.saturating_mul(1000) / self.period()).max(1)
    }

    /// The period in milliseconds.
    fn period(&self) -> u64 {
        self.times.last().map_or(1, |last| u64::from(*last))
    }
}

/// A transmitter that sends when a trace says so.
#[derive(Debug, Clone)]
pub(crate) struct TraceLine {
    trace: Trace,
    /// The next opportunity: the repetition of the trace, and the place in it.
    cycle: u64,
    index: usize,
    /// When the last opportunity was, and bytes that are left of it.
    last_at: Nanos,
    left: u64,
}

impl TraceLine {
    pub(crate) fn new(trace: Trace) -> Self {
        Self {
            trace,
            cycle: 0,
            index: 0,
            last_at: 0,
            left: 0,
        }
    }

    /// Sends `bytes` that wait since `ready` and returns when the last of them has left.
    pub(crate) fn send(&mut self, ready: Nanos, mut bytes: u64) -> Nanos {
        if ready > self.last_at {
            self.left = 0;
            self.seek(ready);
        }
        while self.left < bytes {
            bytes -= self.left;
            self.last_at = self.take();
            self.left = OPPORTUNITY;
        }
        self.left -= bytes;
        self.last_at
    }

    /// Gives up what is left of the last opportunity.
    pub(crate) fn reset(&mut self) {
        self.left = 0;
    }

    /// Takes the next opportunity and returns its time.
    fn take(&mut self) -> Nanos {
        let ms = self.trace.times.get(self.index).copied().unwrap_or(0);
        let ms = self
            .cycle
            .saturating_mul(self.trace.period())
            .saturating_add(u64::from(ms));
        self.index += 1;
        if self.index >= self.trace.times.len() {
            (self.cycle, self.index) = (self.cycle + 1, 0);
        }
        ms.saturating_mul(NANOS_PER_MS)
    }

    /// Passes over the opportunities before `ready`.
    fn seek(&mut self, ready: Nanos) {
        let (ms, period) = (ready.div_ceil(NANOS_PER_MS), self.trace.period());
        // The moment of repetition belongs to the end of the trace.
        let cycle = ms.saturating_sub(1) / period;
        let within = ms - cycle * period;
        let index = (self.trace.times).partition_point(|time| u64::from(*time) < within);
        // Within a repetition the last time is the period, so that there is an opportunity at or after every moment.
        (self.cycle, self.index) = (self.cycle, self.index).max((cycle, index));
    }
}

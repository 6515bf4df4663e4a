//! What waits for the transmitter of a link.

use std::collections::VecDeque;

use super::Nanos;
use super::codel::CoDel;

/// A packet that waits or is being sent.
#[derive(Debug, Clone)]
pub(crate) struct Waiting<P> {
    pub(crate) since: Nanos,
    pub(crate) packet: P,
    pub(crate) len: usize,
    /// Bytes with overhead.
    pub(crate) line_bytes: u64,
}

/// A queue, first in first out, with a bound in bytes and perhaps a discipline.
#[derive(Debug, Clone)]
pub(crate) struct Queue<P> {
    waiting: VecDeque<Waiting<P>>,
    bytes: u64,
    limit: u64,
    codel: Option<CoDel>,
}

impl<P> Queue<P> {
    pub(crate) fn new(limit: u64, codel: Option<CoDel>) -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            limit,
            codel,
        }
    }

    /// Changes the bound; what waits goes on waiting.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Changes the discipline; what waits goes on waiting.
    pub(crate) fn set_codel(&mut self, codel: Option<CoDel>) {
        self.codel = codel;
    }

    /// Bytes of the packet that is next, with overhead.
    pub(crate) fn front_bytes(&self) -> Option<u64> {
        self.waiting.front().map(|waiting| waiting.line_bytes)
    }

    /// Whether `bytes` more fit beside the `held` that count.
    pub(crate) fn has_room(&self, held: u64, bytes: u64) -> bool {
        held.saturating_add(bytes) <= self.limit
    }

    /// Bytes that wait, with overhead.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn push(&mut self, waiting: Waiting<P>) {
        self.bytes += waiting.line_bytes;
        self.waiting.push_back(waiting);
    }

    /// Takes the next packet to send; `dropped` is told the bytes of each that the discipline drops before it.
    pub(crate) fn pop(&mut self, now: Nanos, mut dropped: impl FnMut(u64)) -> Option<Waiting<P>> {
        while let Some(next) = self.waiting.pop_front() {
            self.bytes -= next.line_bytes;
            let waited = now.saturating_sub(next.since);
            let codel = self.codel.as_mut();
            if !codel.is_some_and(|codel| codel.drops(now, waited, self.bytes)) {
                return Some(next);
            }
            dropped(next.line_bytes);
        }
        if let Some(codel) = &mut self.codel {
            codel.found_empty();
        }
        None
    }

    /// Drops all and returns how many that were.
    pub(crate) fn clear(&mut self) -> u64 {
        let dropped = self.waiting.len() as u64;
        self.waiting.clear();
        self.bytes = 0;
        if let Some(codel) = &mut self.codel {
            codel.found_empty();
        }
        dropped
    }
}

//! The packets between the two ends of a link, in the order in which they will arrive.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use super::{Arrival, Nanos};

/// A packet under way.
#[derive(Debug, Clone)]
pub(crate) struct Flying<P> {
    /// The number of its departure, which decides between packets that arrive at the same time.
    pub(crate) departure: u64,
    /// Bytes with overhead.
    pub(crate) line_bytes: u64,
    pub(crate) arrival: Arrival<P>,
}

impl<P> Flying<P> {
    fn key(&self) -> (Nanos, u64, bool) {
        (self.arrival.at, self.departure, self.arrival.copy)
    }
}

/// All that is under way. Nearly every packet arrives after all those before it and goes to the end of a queue, which costs
/// next to nothing; those that overtake are kept in a heap beside it.
#[derive(Debug, Clone)]
pub(crate) struct Flight<P> {
    in_order: VecDeque<Flying<P>>,
    overtaking: BinaryHeap<Soonest<P>>,
    line_bytes: u64,
}

impl<P> Flight<P> {
    pub(crate) fn new() -> Self {
        Self {
            in_order: VecDeque::new(),
            overtaking: BinaryHeap::new(),
            line_bytes: 0,
        }
    }

    /// Bytes under way, with overhead.
    pub(crate) fn line_bytes(&self) -> u64 {
        self.line_bytes
    }

    pub(crate) fn push(&mut self, flying: Flying<P>) {
        self.line_bytes += flying.line_bytes;
        match self.in_order.back() {
            Some(last) if last.arrival.at > flying.arrival.at => {
                self.overtaking.push(Soonest(flying));
            }
            _ => self.in_order.push_back(flying),
        }
    }

    /// When the next packet arrives.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        let first = self.in_order.front().map(|flying| flying.arrival.at);
        match self.overtaking.peek() {
            None => first,
            Some(Soonest(flying)) => {
                Some(first.map_or(flying.arrival.at, |at| at.min(flying.arrival.at)))
            }
        }
    }

    /// Takes the next packet that has arrived by `now`.
    pub(crate) fn pop(&mut self, now: Nanos) -> Option<Flying<P>> {
        let first = self.in_order.front().map(Flying::key);
        let other = self.overtaking.peek().map(|Soonest(flying)| flying.key());
        let overtakes = other.is_some_and(|other| first.is_none_or(|first| other < first));
        let (at, ..) = if overtakes { other? } else { first? };
        if at > now {
            return None;
        }
        let flying = if overtakes {
            self.overtaking.pop().map(|Soonest(flying)| flying)
        } else {
            self.in_order.pop_front()
        }?;
        self.line_bytes -= flying.line_bytes;
        Some(flying)
    }

    /// Drops what has not arrived by `now`, and gives each of those to `dropped`.
    pub(crate) fn cut(&mut self, now: Nanos, mut dropped: impl FnMut(&Flying<P>)) {
        let mut left = 0;
        let mut keep = |flying: &Flying<P>| {
            let arrived = flying.arrival.at <= now;
            if arrived {
                left += flying.line_bytes;
            } else {
                dropped(flying);
            }
            arrived
        };
        self.in_order.retain(&mut keep);
        self.overtaking.retain(|Soonest(flying)| keep(flying));
        self.line_bytes = left;
    }

    /// What has arrived by `now` and was not taken yet, in no order.
    pub(crate) fn arrived(&self, now: Nanos) -> impl Iterator<Item = &Flying<P>> {
        let heap = self.overtaking.iter().map(|Soonest(flying)| flying);
        self.in_order
            .iter()
            .take_while(move |flying| flying.arrival.at <= now)
            .chain(heap.filter(move |flying| flying.arrival.at <= now))
    }
}

/// Orders a max-heap by the soonest arrival.
#[derive(Debug, Clone)]
struct Soonest<P>(Flying<P>);

impl<P> Ord for Soonest<P> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.key().cmp(&self.0.key())
    }
}

impl<P> PartialOrd for Soonest<P> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> PartialEq for Soonest<P> {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl<P> Eq for Soonest<P> {}

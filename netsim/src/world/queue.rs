//! The queue of events: by time, and among equal times in the order of insertion.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::model::Nanos;

#[derive(Debug)]
struct Entry<T> {
    at: Nanos,
    seq: u64,
    what: T,
}

// The heap gives its greatest first, so the earlier entry is the greater.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

/// Things to come.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    seq: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            seq: 0,
        }
    }

    pub(super) fn push(&mut self, at: Nanos, what: T) {
        self.seq += 1;
        let seq = self.seq;
        self.heap.push(Entry { at, seq, what });
    }

    pub(super) fn next_at(&self) -> Option<Nanos> {
        self.heap.peek().map(|entry| entry.at)
    }

    pub(super) fn pop(&mut self) -> Option<(Nanos, T)> {
        self.heap.pop().map(|entry| (entry.at, entry.what))
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

/// Values in numbered places; a place is used again when it is free. Keeps large things out of the queue.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Shelf<T> {
    pub(super) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn put(&mut self, value: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(value);
            return place;
        }
        self.places.push(Some(value));
        (self.places.len() - 1) as u32
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn take(&mut self, place: u32) -> Option<T> {
        let value = self.places.get_mut(place as usize)?.take()?;
        self.free.push(place);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards repeatability: equal times come out in the order in which they went in, whatever lies between.
    #[test]
    fn ties_keep_the_order_of_insertion() {
        let mut queue = Queue::new();
        for n in 0..1000u64 {
            queue.push(n * 7 % 10, n);
        }
        let mut before = (0, 0);
        while let Some((at, n)) = queue.pop() {
            assert_eq!(at, n * 7 % 10);
            assert!((at, n) >= before, "{n} came too early");
            before = (at, n);
        }
        assert_eq!(queue.len(), 0);
    }
}

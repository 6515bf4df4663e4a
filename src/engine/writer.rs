//! Batches for the store: what waits to be written, what is being written, and what may happen afterwards.
//!
//! Batches are given out in order and count in order: a later one that succeeded counts only once every earlier
//! one has. After a failure all that did not count is given out again, in order, since every batch may be applied
//! twice.

use super::id::MessageId;
use super::io::{Batch, Output, Record, StoreError, Time, Token};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Cheap progress reaches the kernel after this many bytes …
const WINDOW_BYTES: usize = 256 << 10;
/// … or after this long.
const WINDOW: Duration = Duration::from_millis(50);
/// Bytes given to the store but not yet written; beyond this, nothing more is to be taken from links …
const UNDER_WAY_MAX: usize = 2 << 20;
/// … but what came together with the last of it. Beyond that, arriving fragments are dropped.
const TOGETHER: usize = 2 << 20;
/// How long after a failure the store is tried again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Pending {
    batch: Arc<Batch>,
    bytes: usize,
    /// Bytes of room that it takes.
    taken: u64,
    done: bool,
}

impl Pending {
    fn new(batch: Batch) -> Self {
        let records = batch.records.iter();
        Self {
            bytes: records.map(record_bytes).sum(),
            taken: room_of_all(&batch.records),
            batch: Arc::new(batch),
            done: false,
        }
    }
}

/// The writer.
#[derive(Debug, Default)]
pub struct Writer {
    last: u64,
    counted: u64,
    cheap: Vec<Record>,
    cheap_bytes: usize,
    cheap_since: Option<Time>,
    durable: Vec<Record>,
    /// There are files to be made among them.
    creates: bool,
    /// Bytes that those reserve.
    reserved: u64,
    /// Room that cheap writes take of files that have none set aside, in bytes.
    loose: u64,
    /// Bytes that are promised to what has begun.
    promised: u64,
    /// Bytes that the store has room for, as far as it was said.
    room: Option<u64>,
    under_way: VecDeque<Pending>,
    under_way_bytes: usize,
    failing: Option<Time>,
}

impl Writer {
    /// Adds a write in place or a note: cheap progress.
    pub fn cheap(&mut self, now: Time, record: Record) {
        self.cheap_bytes += record_bytes(&record);
        self.loose = self.loose.saturating_add(room_of(&record));
        self.cheap_since.get_or_insert(now);
        self.cheap.push(record);
    }

    /// Adds a change that leaves with the next durable batch.
    pub fn durable(&mut self, record: Record) {
        self.creates |= is_create(&record);
        self.reserved = self.reserved.saturating_add(room_of(&record));
        self.durable.push(record);
    }

    /// The store has room for so many bytes.
    pub fn set_room(&mut self, bytes: u64) {
        self.room = Some(bytes);
    }

    /// So many bytes are promised to repair symbols of a message that has begun.
    pub fn promise(&mut self, bytes: u64) {
        self.promised = self.promised.saturating_add(bytes);
    }

    /// They are not needed any more.
    pub fn take_back(&mut self, bytes: u64) {
        self.promised = self.promised.saturating_sub(bytes);
    }

    /// Whether there is room for so many bytes beside those that wait for theirs. `promised`: it was promised to them.
    pub fn has_room(&self, bytes: u64, promised: bool) -> bool {
        let waiting = self.under_way.iter().map(|p| p.taken);
        let others = if promised { 0 } else { self.promised };
        let waiting = waiting.chain([self.reserved, self.loose, others]);
        let wanted = waiting.fold(bytes, u64::saturating_add);
        self.room.is_none_or(|room| wanted <= room)
    }

    /// Of the files of a message nothing gives its room back that has not left yet: it begins anew.
    pub fn keep_room_of(&mut self, message: MessageId) {
        let gives = |record: &Record| matches!(record, Record::Vacate { file, .. } if file.message == message);
        self.durable.retain(|record| !gives(record));
    }

    /// All that does not count yet, in order.
    pub fn uncounted(&self) -> impl Iterator<Item = &Record> {
        let given = self.under_way.iter().flat_map(|p| &p.batch.records);
        given.chain(&self.cheap).chain(&self.durable)
    }

    /// Of all that does not count yet, only this is kept, and the store is tried again at once.
    pub fn keep_only(&mut self, now: Time, keeps: impl Fn(&Record) -> bool) {
        self.failing = self.failing.map(|_| now);
        for pending in &mut self.under_way {
            if !pending.batch.records.iter().all(&keeps) {
                let mut batch = Batch::clone(&pending.batch);
                batch.records.retain(&keeps);
                *pending = Pending::new(batch);
            }
        }
        self.under_way_bytes = self.under_way.iter().map(|p| p.bytes).sum();
        self.cheap.retain(&keeps);
        self.cheap_bytes = self.cheap.iter().map(record_bytes).sum();
        self.cheap_since = self.cheap_since.filter(|_| !self.cheap.is_empty());
        self.loose = room_of_all(&self.cheap);
        self.durable.retain(&keeps);
        self.creates = self.durable.iter().any(is_create);
        self.reserved = room_of_all(&self.durable);
    }

    /// The token of the batch that whatever is added now will leave in.
    pub fn next_token(&self) -> Token {
        Token(self.last + 1)
    }

    /// Whether this batch and all before it count.
    pub fn counts(&self, token: Token) -> bool {
        token.0 <= self.counted
    }

    /// When cheap progress has to leave.
    pub fn window_end(&self) -> Option<Time> {
        let since = self.cheap_since.filter(|_| !self.creates);
        since.map(|since| since.after(WINDOW))
    }

    /// Whether the window of cheap progress is full or over. It stays open while files wait to be made: what was
    /// written to them would otherwise come to the store before they do.
    pub fn window_closed(&self, now: Time) -> bool {
        !self.creates
            && (self.cheap_bytes >= WINDOW_BYTES || self.window_end().is_some_and(|end| end <= now))
    }

    /// Whether a durable batch is being written.
    pub fn syncing(&self) -> bool {
        self.under_way.iter().any(|p| p.batch.durable)
    }

    /// Whether the store cannot keep up.
    pub fn is_behind(&self) -> bool {
        self.waiting() > UNDER_WAY_MAX
    }

    fn waiting(&self) -> usize {
        self.under_way_bytes + self.cheap_bytes
    }

    /// Whether the store cannot keep up or fails, so that nothing new can be taken in.
    pub fn refuses(&self) -> bool {
        self.failing.is_some() || self.waiting() > UNDER_WAY_MAX + TOGETHER
    }

    /// When the store is tried again after a failure.
    pub fn retry_at(&self) -> Option<Time> {
        self.failing
    }

    /// Gives out what waits; a durable batch takes everything.
    pub fn flush(&mut self, durable: bool) -> Option<(Token, Output)> {
        if self.failing.is_some()
            || (self.cheap.is_empty() && (!durable || self.durable.is_empty()))
        {
            return None;
        }
        let mut records = std::mem::take(&mut self.cheap);
        self.loose = 0;
        if durable {
            (self.creates, self.reserved) = (false, 0);
            // Files are made before they are written.
            let (create, rest): (Vec<_>, Vec<_>) = self.durable.drain(..).partition(is_create);
            records.splice(0..0, create);
            records.extend(rest);
        }
        self.last += 1;
        let token = Token(self.last);
        let pending = Pending::new(Batch {
            token,
            records,
            durable,
        });
        (self.cheap_bytes, self.cheap_since) = (0, None);
        self.under_way_bytes += pending.bytes;
        let output = Output::Persist(pending.batch.clone());
        self.under_way.push_back(pending);
        Some((token, output))
    }

    /// A batch is done. Gives the tokens that count now, in order.
    pub fn persisted(&mut self, token: Token) -> Vec<Token> {
        if let Some(pending) = self.under_way.iter_mut().find(|p| p.batch.token == token) {
            pending.done = true;
        }
        let mut counted = Vec::new();
        while let Some(front) = self.under_way.front().filter(|p| p.done) {
            self.counted = front.batch.token.0;
            self.under_way_bytes -= front.bytes;
            // Until the store says it anew.
            self.room = self.room.map(|room| room.saturating_sub(front.taken));
            counted.push(front.batch.token);
            self.under_way.pop_front();
        }
        counted
    }

    /// A batch failed. Tells whether this begins a time of failing.
    pub fn failed(&mut self, now: Time, why: &StoreError) -> bool {
        let first = self.failing.is_none();
        self.failing = Some(now.after(RETRY));
        if matches!(why, StoreError::Full(_)) {
            // Until the store says it anew, if it ever says so.
            self.room = self.room.map(|_| 0);
        }
        first
    }

    /// Gives out again all that does not count yet. Whether that ends the failing shows in the answers.
    pub fn retry(&mut self, now: Time) -> Vec<Output> {
        if self.failing.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.failing = Some(now.after(RETRY * 30));
        self.under_way.iter_mut().for_each(|p| p.done = false);
        self.under_way
            .iter()
            .map(|p| Output::Persist(p.batch.clone()))
            .collect()
    }

    /// Tells whether the store has recovered: it was failing, and everything counts now.
    pub fn recovered(&mut self) -> bool {
        let recovered = self.failing.is_some() && self.under_way.is_empty();
        if recovered {
            self.failing = None;
        }
        recovered
    }
}

/// Room that a record takes: a file that is made takes what is set aside for it, a write only where nothing was, and as what is
/// missing between such writes takes some, too, twice its bytes.
pub fn room_of(record: &Record) -> u64 {
    match record {
        Record::Create { file, len } if file.kind.is_reserved() => *len,
        Record::Write { file, bytes, .. } if !file.kind.is_reserved() => 2 * bytes.len() as u64,
        _ => 0,
    }
}

fn room_of_all(records: &[Record]) -> u64 {
    records.iter().map(room_of).fold(0, u64::saturating_add)
}

fn is_create(record: &Record) -> bool {
    matches!(record, Record::Create { .. })
}

fn record_bytes(record: &Record) -> usize {
    match record {
        Record::Write { bytes, .. } => bytes.len(),
        Record::Journal(note) => note.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(writer: &mut Writer, n: u8) {
        writer.cheap(Time(0), Record::Journal(vec![n]));
    }

    #[test]
    fn nothing_counts_before_everything_before_it_and_failures_are_given_out_again() {
        let mut writer = Writer::default();
        for n in 0..3 {
            note(&mut writer, n);
            writer.flush(false).unwrap();
        }
        assert!(writer.persisted(Token(2)).is_empty());
        assert!(writer.failed(Time(0), &StoreError::Full(String::new())));
        assert!(writer.persisted(Token(3)).is_empty());
        note(&mut writer, 9);
        assert!(
            writer.flush(false).is_none(),
            "nothing new while the store fails"
        );
        assert!(writer.refuses());
        assert_eq!(writer.retry(Time(0)).len(), 0, "not at once");
        assert_eq!(writer.retry(writer.retry_at().unwrap()).len(), 3);
        assert_eq!(writer.persisted(Token(1)), [Token(1)]);
        assert_eq!(writer.persisted(Token(2)), [Token(2)]);
        assert!(!writer.recovered());
        assert_eq!(writer.persisted(Token(3)), [Token(3)]);
        assert!(writer.recovered());
        assert!(writer.flush(false).is_some());
    }
}

//! A disk in memory, with what a killed process keeps and what a power cut keeps.

use ostrakon::engine::io::{Batch, FileId, Record, Restored, StoreError, Table};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Default)]
struct State {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    files: BTreeMap<FileId, Vec<u8>>,
    journal: Vec<Vec<u8>>,
}

/// The disk of one node.
#[derive(Clone, Default)]
pub struct Disk {
    /// What the kernel has.
    kernel: State,
    /// What the medium has.
    medium: State,
    /// Every write fails while this is set.
    pub full: bool,
    /// Bytes that there is room for in bulk files; no bound unless set.
    pub capacity: Option<u64>,
    /// What was written of files whose room is not set aside when they are made: the pages.
    loose: BTreeSet<(FileId, u64)>,
}

/// What a disk gives at once.
const PAGE: u64 = 4096;

impl Disk {
    pub fn add_file(&mut self, file: FileId, bytes: Vec<u8>) {
        self.kernel.files.insert(file, bytes.clone());
        self.medium.files.insert(file, bytes);
    }

    pub fn file(&self, file: &FileId) -> Option<&Vec<u8>> {
        self.kernel.files.get(file)
    }

    /// Bytes that there is room for still, if that is bounded.
    pub fn room(&self) -> Option<u64> {
        let capacity = self.capacity?;
        let files = self.kernel.files.iter();
        let reserved = files.filter(|(file, _)| file.kind.is_reserved());
        let reserved: u64 = reserved.map(|(_, bytes)| bytes.len() as u64).sum();
        let used = reserved + self.loose.len() as u64 * PAGE;
        Some(capacity.saturating_sub(used))
    }

    /// Takes room for a file that is made, or for what is written to one that has none set aside.
    fn take_room(&mut self, record: &Record) -> Result<(), StoreError> {
        let needed = match record {
            Record::Create { file, len } if file.kind.is_reserved() => {
                u64::from(!self.kernel.files.contains_key(file)) * len
            }
            Record::Write {
                file,
                offset,
                bytes,
            } if !file.kind.is_reserved() => {
                let pages = offset / PAGE..(offset + bytes.len() as u64).div_ceil(PAGE);
                let before = self.loose.len();
                self.loose.extend(pages.map(|page| (*file, page)));
                (self.loose.len() - before) as u64 * PAGE
            }
            _ => 0,
        };
        // What is written is taken already.
        let there = self.room().is_none_or(|room| match record {
            Record::Create { .. } => needed <= room,
            _ => needed == 0 || room > 0,
        });
        there
            .then_some(())
            .ok_or_else(|| StoreError::Full("test".into()))
    }

    /// Whole pages of a range go.
    fn give_room(&mut self, file: FileId, offset: u64, len: u64) {
        let pages = offset.div_ceil(PAGE)..(offset + len) / PAGE;
        self.loose
            .retain(|(of, page)| *of != file || !pages.contains(page));
    }

    pub fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.full {
            return Err(StoreError::Full("test".into()));
        }
        let before = self
            .capacity
            .map(|_| (self.kernel.clone(), self.loose.clone()));
        let applied = self.apply_all(batch);
        if let (Err(_), Some(before)) = (&applied, before) {
            (self.kernel, self.loose) = before;
        }
        applied
    }

    fn apply_all(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for record in &batch.records {
            self.take_room(record)?;
            match record.clone() {
                Record::Put { table, key, value } => {
                    assert!(batch.durable, "a key in a cheap batch");
                    self.kernel.rows.insert((table, key), value);
                }
                Record::Delete { table, key } => {
                    assert!(batch.durable, "a deletion in a cheap batch");
                    self.kernel.rows.remove(&(table, key));
                }
                Record::Create { file, len } => {
                    assert!(batch.durable, "a new file in a cheap batch");
                    self.kernel
                        .files
                        .entry(file)
                        .or_insert_with(|| vec![0; len as usize]);
                }
                Record::Write {
                    file,
                    offset,
                    bytes,
                } => {
                    let missing = || StoreError::Io(format!("no {file:?} to write to"));
                    let content = self.kernel.files.get_mut(&file).ok_or_else(missing)?;
                    let at = offset as usize;
                    content[at..at + bytes.len()].copy_from_slice(&bytes);
                }
                Record::Remove { file } => {
                    assert!(batch.durable, "a removal in a cheap batch");
                    self.kernel.files.remove(&file);
                    self.loose.retain(|(of, _)| *of != file);
                }
                Record::Vacate { file, offset, len } => {
                    assert!(batch.durable, "room given back in a cheap batch");
                    self.give_room(file, offset, len);
                    if let Some(content) = self.kernel.files.get_mut(&file) {
                        // Whoever reads that all the same shall notice.
                        content[offset as usize..][..len as usize].fill(0xa5);
                    }
                }
                Record::Journal(note) => self.kernel.journal.push(note),
            }
        }
        if batch.durable {
            self.kernel.journal.clear();
            self.medium = self.kernel.clone();
        }
        Ok(())
    }

    pub fn read(&self, file: &FileId, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let content = self
            .kernel
            .files
            .get(file)
            .ok_or_else(|| StoreError::Io(format!("no {file:?}")))?;
        let at = offset as usize;
        content
            .get(at..at + len)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| StoreError::Io("short".into()))
    }

    /// The power fails: only what reached the medium stays.
    pub fn power_cut(&mut self) {
        self.kernel = self.medium.clone();
    }

    pub fn restored(&self) -> Restored {
        let rows = self
            .kernel
            .rows
            .iter()
            .map(|((table, key), value)| (*table, key.clone(), value.clone()));
        Restored {
            rows: rows.collect(),
            journal: self.kernel.journal.clone(),
        }
    }
}

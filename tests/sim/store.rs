//! A disk in memory, with what a killed process keeps and what a power cut keeps.

use ostrakon::engine::io::{Batch, FileId, Record, Restored, StoreError, Table};
use std::collections::BTreeMap;

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
}

impl Disk {
    pub fn add_file(&mut self, file: FileId, bytes: Vec<u8>) {
        self.kernel.files.insert(file, bytes.clone());
        self.medium.files.insert(file, bytes);
    }

    pub fn file(&self, file: &FileId) -> Option<&Vec<u8>> {
        self.kernel.files.get(file)
    }

    pub fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.full {
            return Err(StoreError::Full("test".into()));
        }
        for record in &batch.records {
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

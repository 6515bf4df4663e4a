//! What a store does, in memory and without a copy more than needed: what is measured is the engine, not a disk.

use bytes::Bytes;
use ostrakon::engine::io::{Batch, FileId, Record, StoreError};
use std::collections::BTreeMap;

/// The files of one engine. Keys and notes are taken and forgotten, since nothing is restarted here.
#[derive(Default)]
pub struct Memory {
    /// What is sent: whoever reads it gets a view.
    sources: BTreeMap<FileId, Bytes>,
    /// What arrives.
    files: BTreeMap<FileId, Vec<u8>>,
    /// Batches that were durable.
    pub durable: u64,
}

impl Memory {
    pub fn put(&mut self, file: FileId, bytes: Bytes) {
        self.sources.insert(file, bytes);
    }

    pub fn get(&self, file: &FileId) -> Option<&Vec<u8>> {
        self.files.get(file)
    }

    pub fn apply(&mut self, batch: &Batch) {
        self.durable += u64::from(batch.durable);
        for record in &batch.records {
            match record {
                Record::Create { file, len } => {
                    self.files
                        .entry(*file)
                        .or_insert_with(|| vec![0; *len as usize]);
                }
                Record::Write {
                    file,
                    offset,
                    bytes,
                } => {
                    if let Some(content) = self.files.get_mut(file) {
                        content[*offset as usize..][..bytes.len()].copy_from_slice(bytes);
                    }
                }
                // What has arrived is looked at when all is over.
                Record::Remove { .. }
                | Record::Vacate { .. }
                | Record::Put { .. }
                | Record::Delete { .. }
                | Record::Journal(_) => {}
            }
        }
    }

    pub fn read(&self, file: &FileId, offset: u64, len: usize) -> Result<Bytes, StoreError> {
        let range = offset as usize..offset as usize + len;
        if let Some(source) = self.sources.get(file).filter(|s| range.end <= s.len()) {
            return Ok(source.slice(range));
        }
        let content = self.files.get(file).and_then(|bytes| bytes.get(range));
        content
            .map(Bytes::copy_from_slice)
            .ok_or_else(|| StoreError::Io(format!("no {len} bytes in {file:?}")))
    }
}

//! A disk in memory: what a killed process finds again, and what a power cut leaves.
//!
//! Between two durable batches only bytes are written in place and notes are taken, so that is all that a power cut
//! can undo. It keeps every other of those writes, as a disk does that wrote back some pages and others not; notes of
//! an earlier boot never count.

use crate::engine::io::{Batch, FileId, Record, Restored, StoreError, Table};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Bytes of a page of a sparse file.
const PAGE: usize = 16 << 10;

/// A file.
#[derive(Clone, Debug)]
enum File {
    /// A snapshot, which is only read; many disks may share one.
    Snapshot(Bytes),
    /// A file that is written in place. Pages that nothing was written to take no memory.
    Sparse {
        len: u64,
        pages: BTreeMap<u64, Box<[u8]>>,
    },
}

/// The disk of one node.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Bytes of arriving files that there is room for.
    pub capacity: u64,
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    files: BTreeMap<FileId, File>,
    journal: Vec<Vec<u8>>,
    /// What was overwritten since the last durable batch, oldest first.
    undo: Vec<(FileId, u64, Vec<u8>)>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            capacity: u64::MAX,
            rows: BTreeMap::new(),
            files: BTreeMap::new(),
            journal: Vec::new(),
            undo: Vec::new(),
        }
    }
}

impl Disk {
    /// Bytes that can still be set aside or written.
    pub fn room(&self) -> u64 {
        let used: u64 = self.files.iter().map(|(id, file)| file.room(*id)).sum();
        self.capacity.saturating_sub(used)
    }

    /// Puts a snapshot there.
    pub fn add_snapshot(&mut self, file: FileId, bytes: Bytes) {
        self.files.insert(file, File::Snapshot(bytes));
    }

    /// Applies a batch.
    ///
    /// # Errors
    /// [`StoreError`] if the batch asks for what a store refuses.
    pub fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for record in &batch.records {
            self.apply_one(record)?;
        }
        if batch.durable {
            self.undo.clear();
            self.journal.clear();
        }
        Ok(())
    }

    fn apply_one(&mut self, record: &Record) -> Result<(), StoreError> {
        match record {
            Record::Put { table, key, value } => {
                self.rows.insert((*table, key.clone()), value.clone());
            }
            Record::Delete { table, key } => {
                self.rows.remove(&(*table, key.clone()));
            }
            Record::Create { file, len } => {
                let reserves = file.kind.is_reserved() && !self.files.contains_key(file);
                if reserves && *len > self.room() {
                    return Err(StoreError::Full(format!("no room for {file:?}")));
                }
                self.files.entry(*file).or_insert_with(|| File::Sparse {
                    len: *len,
                    pages: BTreeMap::new(),
                });
            }
            Record::Write {
                file,
                offset,
                bytes,
            } => {
                let missing = || StoreError::Io(format!("there is no file {file:?}"));
                let bounded = self.capacity < u64::MAX && !file.kind.is_reserved();
                if bounded && self.room() < bytes.len() as u64 {
                    return Err(StoreError::Full(format!("no room for {file:?}")));
                }
                let content = self.files.get_mut(file).ok_or_else(missing)?;
                let old = content.read(*offset, bytes.len())?;
                content.write(*offset, bytes)?;
                self.undo.push((*file, *offset, old));
            }
            Record::Remove { file } => {
                self.files.remove(file);
            }
            Record::Vacate { file, offset, len } => {
                if let Some(content) = self.files.get_mut(file) {
                    content.vacate(*offset, *len);
                }
            }
            Record::Journal(note) => self.journal.push(note.clone()),
        }
        Ok(())
    }

    /// Reads a range of a file.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such file or it is shorter.
    pub fn read(&self, file: &FileId, offset: u64, len: usize) -> Result<Bytes, StoreError> {
        match self.files.get(file) {
            Some(File::Snapshot(bytes)) => {
                let range = usize::try_from(offset)
                    .ok()
                    .filter(|at| at.checked_add(len).is_some_and(|end| end <= bytes.len()));
                let at = range.ok_or_else(|| short(file))?;
                Ok(bytes.slice(at..at + len))
            }
            Some(content) => content.read(offset, len).map(Bytes::from),
            None => Err(StoreError::Io(format!("there is no file {file:?}"))),
        }
    }

    /// Removes a file at once, as a host does with what its application has taken.
    pub fn remove(&mut self, file: &FileId) {
        self.files.remove(file);
    }

    /// The power fails.
    pub fn power_cut(&mut self) {
        self.journal.clear();
        let undo = std::mem::take(&mut self.undo);
        for (at, (file, offset, old)) in undo.into_iter().enumerate().rev() {
            if at.is_multiple_of(2)
                && let Some(content) = self.files.get_mut(&file)
            {
                // What could be written there can be written there again.
                let _ = content.write(offset, &old);
            }
        }
    }

    /// An image of the disk, as a snapshot of the medium is while the machine runs: what a power cut would leave.
    pub fn image(&self) -> Self {
        let mut image = self.clone();
        image.power_cut();
        image
    }

    /// What a process finds when it starts.
    pub fn restored(&self) -> Restored {
        let row = |((table, key), value): (&(Table, Vec<u8>), &Vec<u8>)| {
            (*table, key.clone(), value.clone())
        };
        Restored {
            rows: self.rows.iter().map(row).collect(),
            journal: self.journal.clone(),
        }
    }
}

impl File {
    /// Bytes of the disk that it takes: what arrives takes all of its room from the beginning on, snapshots take none here.
    fn room(&self, id: FileId) -> u64 {
        match self {
            Self::Snapshot(_) => 0,
            Self::Sparse { len, .. } if id.kind.is_reserved() => *len,
            Self::Sparse { pages, .. } => (pages.len() * PAGE) as u64,
        }
    }

    /// Whole pages of a range go.
    fn vacate(&mut self, offset: u64, len: u64) {
        if let Self::Sparse { pages, .. } = self {
            let page = PAGE as u64;
            let (first, end) = (offset.div_ceil(page), (offset + len) / page);
            pages.retain(|number, _| !(first..end).contains(number));
        }
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let File::Sparse { len: end, pages } = self else {
            return Err(StoreError::Io("a snapshot is not written in place".into()));
        };
        if offset.checked_add(len as u64).is_none_or(|to| to > *end) {
            return Err(StoreError::Io("a read beyond the end of a file".into()));
        }
        let mut out = vec![0; len];
        each_piece(offset, len, |page, at, range| {
            if let Some(bytes) = pages.get(&page)
                && let Some(to) = out.get_mut(range.clone())
                && let Some(from) = bytes.get(at..at + range.len())
            {
                to.copy_from_slice(from);
            }
        });
        Ok(out)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let File::Sparse { len, pages } = self else {
            return Err(StoreError::Io("a snapshot is not written in place".into()));
        };
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|to| to > *len) {
            return Err(StoreError::Io("a write beyond the end of a file".into()));
        }
        each_piece(offset, bytes.len(), |page, at, range| {
            let content = pages
                .entry(page)
                .or_insert_with(|| vec![0; PAGE].into_boxed_slice());
            if let Some(to) = content.get_mut(at..at + range.len())
                && let Some(from) = bytes.get(range)
            {
                to.copy_from_slice(from);
            }
        });
        Ok(())
    }
}

/// Calls `each` with the number of every page that a range touches, where in the page it begins, and which bytes of
/// the range lie there.
fn each_piece(offset: u64, len: usize, mut each: impl FnMut(u64, usize, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < len {
        let place = offset + done as u64;
        let at = (place % PAGE as u64) as usize;
        let take = (PAGE - at).min(len - done);
        each(place / PAGE as u64, at, done..done + take);
        done += take;
    }
}

fn short(file: &FileId) -> StoreError {
    StoreError::Io(format!("{file:?} is shorter than that"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::id::MessageId;
    use crate::engine::io::{FileKind, Token};

    fn batch(durable: bool, records: Vec<Record>) -> Batch {
        Batch {
            token: Token(1),
            records,
            durable,
        }
    }

    /// Guards what the model stands on: a power cut undoes writes since the last durable batch, in the right order, and
    /// nothing before; a killed process loses nothing.
    #[test]
    fn a_power_cut_undoes_what_was_not_durable_and_nothing_else() {
        let file = FileId {
            kind: FileKind::Incoming,
            message: MessageId([1; 32]),
            part: 1,
        };
        let write = |offset: u64, byte: u8, len: usize| Record::Write {
            file,
            offset,
            bytes: vec![byte; len].into(),
        };
        let mut disk = Disk::default();
        let len = 3 * PAGE as u64;
        let first = vec![Record::Create { file, len }, write(10, 1, PAGE)];
        disk.apply(&batch(true, first)).unwrap();
        let note = Record::Journal(vec![7]);
        let later = vec![write(0, 2, 20), write(PAGE as u64, 3, 40), note];
        disk.apply(&batch(false, later)).unwrap();
        assert_eq!(disk.restored().journal.len(), 1);
        assert_eq!(disk.read(&file, 0, 20).unwrap(), vec![2; 20]);
        disk.power_cut();
        assert!(disk.restored().journal.is_empty());
        let mut expected = vec![0; 10];
        expected.extend(vec![1; 10]);
        assert_eq!(disk.read(&file, 0, 20).unwrap(), expected);
        assert_eq!(disk.read(&file, PAGE as u64, 40).unwrap(), vec![3; 40]);
        assert!(disk.read(&file, len - 1, 2).is_err());
    }
}

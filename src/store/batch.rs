//! Applying batches.

use super::db::next;
use super::{GENERATION, Home, KeyTable, REMOVALS, Store, TABLES, counter, files, removals};
use crate::engine::io::{Batch, FileId, Record, StoreError, Table};
use redb::{TableHandle, WriteTransaction};
use std::collections::BTreeSet;

impl Store {
    /// Applies a batch: see [`Batch`] for what has happened once this returns `Ok`. Notes in a durable batch are
    /// dropped, since that batch itself makes them needless. If a file is removed in a batch, nothing else in
    /// that batch is done to it. After a batch that failed, later ones fail as well until it was given again: the keys
    /// of a later one may speak of bytes that were in it.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of the batch counts then, and the same batch may be applied again. A batch that
    /// breaks the rules of [`Record`] is [`StoreError::Io`] with the rule in it.
    pub fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if let Some(why) = &self.lost {
            return Err(why.clone());
        }
        if self.failed.is_some_and(|failed| batch.token > failed) {
            let text = "what came before is not written yet; check the disk";
            return Err(StoreError::Io(text.into()));
        }
        let applied = self.apply_in_order(batch);
        self.failed = match &applied {
            Err(_) => Some(batch.token),
            Ok(()) => self.failed.filter(|failed| *failed > batch.token),
        };
        applied
    }

    fn apply_in_order(&mut self, batch: &Batch) -> Result<(), StoreError> {
        check(batch)?;
        if self.unsure {
            self.settle_commit()?;
        }
        if batch.durable {
            self.durable(batch)
        } else {
            self.cheap(batch)
        }
    }

    fn cheap(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.write(batch, &BTreeSet::new())?;
        let notes = batch.records.iter().filter_map(|record| match record {
            Record::Journal(note) => Some(note.as_slice()),
            _ => None,
        });
        self.journal
            .append(self.generation, &notes.collect::<Vec<_>>())
    }

    fn durable(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let changes = self.home.changes(batch)?;
        let removed: BTreeSet<FileId> = batch.records.iter().filter_map(removes).collect();
        let finished = self.home.unlink_pending()?;
        let mut created = Vec::new();
        let placed = self
            .place(batch, &removed, &mut created)
            .and_then(|()| self.sync(&removed));
        if let Err(e) = placed {
            self.unmake(created);
            return Err(e);
        }
        self.made = created;
        let generation = self.home.db.write(|txn| {
            put_keys(txn, &changes)?;
            let mut table = txn.open_table(REMOVALS)?;
            for file in &finished {
                table.remove(&files::key(*file))?;
            }
            for file in &removed {
                table.insert(&files::key(*file), ())?;
            }
            drop(table);
            next(txn, GENERATION)
        });
        self.generation = generation.inspect_err(|_| self.unsure = true)?;
        self.made.clear();
        self.journal.clear();
        let mut pending = self.home.removals();
        pending.retain(|file| !finished.contains(file));
        for file in removed {
            self.dirty.remove(&file);
            pending.insert(file);
            // What fails here is tried again with the next durable batch.
            let _ = self.home.files.remove(file);
        }
        self.vacate(batch, &pending);
        Ok(())
    }

    /// Room that a batch without effect has reserved is given back.
    fn unmake(&mut self, created: Vec<FileId>) {
        for file in created {
            let _ = self.home.files.remove(file);
            self.dirty.remove(&file);
        }
    }

    /// Gives back the room of ranges, but of files about to go. Where that fails, it is taken until its file goes.
    fn vacate(&self, batch: &Batch, removed: &BTreeSet<FileId>) {
        for record in &batch.records {
            if let Record::Vacate { file, offset, len } = record
                && !removed.contains(file)
            {
                let _ = self.home.files.vacate(*file, *offset, *len);
            }
        }
    }

    /// Creates files and writes to them.
    fn place(
        &mut self,
        batch: &Batch,
        removed: &BTreeSet<FileId>,
        created: &mut Vec<FileId>,
    ) -> Result<(), StoreError> {
        for record in &batch.records {
            if let Record::Create { file, len } = record
                && !removed.contains(file)
            {
                self.names_dirty = true;
                if self.home.files.create(*file, *len)? {
                    created.push(*file);
                }
                // Also if it existed: a batch that was cut off may have made it.
                self.dirty.insert(*file);
            }
        }
        self.write(batch, removed)
    }

    /// Writes to files, but those about to go.
    fn write(&mut self, batch: &Batch, removed: &BTreeSet<FileId>) -> Result<(), StoreError> {
        let writes = batch.records.iter().filter_map(|record| match record {
            Record::Write {
                file,
                offset,
                bytes,
            } if !removed.contains(file) => Some((*file, *offset, &bytes[..])),
            _ => None,
        });
        let writes: Vec<_> = writes.collect();
        self.dirty.extend(writes.iter().map(|(file, ..)| *file));
        self.home.files.write_all(&writes)
    }

    /// Syncs every file written since the last time, but those about to go.
    fn sync(&mut self, removed: &BTreeSet<FileId>) -> Result<(), StoreError> {
        let dirty: Vec<FileId> = self.dirty.difference(removed).copied().collect();
        for file in dirty {
            // A file that cannot be opened, for want of descriptors or the like, has lost nothing yet.
            self.home.files.file(file)?;
            let synced = self.home.files.sync(file);
            self.sync_done(synced)?;
            self.dirty.remove(&file);
        }
        if self.names_dirty {
            let synced = self.home.files.sync_names();
            self.sync_done(synced)?;
            self.names_dirty = false;
        }
        Ok(())
    }

    /// A failed sync is final: see the head of [`crate::store`].
    fn sync_done(&mut self, synced: Result<(), StoreError>) -> Result<(), StoreError> {
        synced.map_err(|error| {
            let text = match error {
                StoreError::Full(text) | StoreError::Io(text) | StoreError::Corrupt(text) => text,
            };
            // Its notes may speak of bytes that are gone.
            self.journal.clear();
            let lost = StoreError::Io(format!("{text}; then restart ostrakon"));
            self.lost = Some(lost.clone());
            lost
        })
    }

    /// Finds out whether a commit that failed took place all the same.
    fn settle_commit(&mut self) -> Result<(), StoreError> {
        let mut pending = self.home.removals();
        let (generation, found) = self
            .home
            .db
            .read(|txn| Ok((counter(txn, GENERATION)?, removals(txn)?)))?;
        *pending = found;
        drop(pending);
        let made = std::mem::take(&mut self.made);
        if generation == self.generation {
            self.unmake(made);
        } else {
            self.generation = generation;
            self.journal.clear();
        }
        self.unsure = false;
        Ok(())
    }
}

impl Home {
    /// What a batch changes in tables, in order.
    fn changes<'a>(&self, batch: &'a Batch) -> Result<Vec<Change<'a>>, StoreError> {
        let mut changes = Vec::new();
        for record in &batch.records {
            let (table, key, value) = match record {
                Record::Put { table, key, value } => (table, key, Some(value)),
                Record::Delete { table, key } => (table, key, None),
                _ => continue,
            };
            let table = definition(*table);
            let seal = |value: &Vec<u8>| self.seal(table.name(), key, value);
            let sealed = value.map(seal).transpose()?;
            changes.push(Change { table, key, sealed });
        }
        Ok(changes)
    }

    /// Removes the files whose removal is written down, durably, and returns them: their rows may go now.
    fn unlink_pending(&self) -> Result<BTreeSet<FileId>, StoreError> {
        let pending = self.removals();
        let gone: BTreeSet<FileId> = pending
            .iter()
            .copied()
            .filter(|file| self.files.remove(*file).is_ok())
            .collect();
        if !gone.is_empty() {
            self.files.sync_names()?;
        }
        Ok(gone)
    }

    /// Removes the files whose removal is written down, and strikes them off.
    pub(super) fn finish_removals(&self) -> Result<(), StoreError> {
        let gone = self.unlink_pending()?;
        if gone.is_empty() {
            return Ok(());
        }
        self.db.write(|txn| {
            let mut table = txn.open_table(REMOVALS)?;
            for file in &gone {
                table.remove(&files::key(*file))?;
            }
            Ok(())
        })?;
        self.removals().retain(|file| !gone.contains(file));
        Ok(())
    }
}

fn removes(record: &Record) -> Option<FileId> {
    match record {
        Record::Remove { file } => Some(*file),
        _ => None,
    }
}

/// Refuses what a batch must not hold, before anything is done.
fn check(batch: &Batch) -> Result<(), StoreError> {
    let bug = |rule: &str| Err(StoreError::Io(format!("{rule}: report this as a bug")));
    let mut removed = BTreeSet::new();
    for record in &batch.records {
        match record {
            Record::Write { .. } | Record::Journal(_) => {}
            _ if !batch.durable => return bug("a cheap batch holds more than writes and notes"),
            Record::Remove { file } => {
                removed.insert(*file);
            }
            Record::Create { file, .. } if removed.contains(file) => {
                return bug("a batch creates a file anew that it removes");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Puts the sealed value of a row, or deletes the row.
struct Change<'a> {
    table: KeyTable,
    key: &'a [u8],
    sealed: Option<Vec<u8>>,
}

fn put_keys(txn: &WriteTransaction, changes: &[Change]) -> Result<(), redb::Error> {
    for change in changes {
        let mut table = txn.open_table(change.table)?;
        match &change.sealed {
            Some(sealed) => table.insert(change.key, sealed.as_slice())?,
            None => table.remove(change.key)?,
        };
    }
    Ok(())
}

pub(super) fn definition(table: Table) -> KeyTable {
    let at = match table {
        Table::Outbox => 0,
        Table::Inbox => 1,
        Table::Session => 2,
        Table::Ledger => 3,
    };
    TABLES[at].1
}

//! Settings of the node: a small durable map, its values sealed.

use super::Home;
use super::sealed::KeyValue;
use crate::engine::io::StoreError;
use redb::{ReadTransaction, ReadableTable, TableDefinition};
use std::sync::Arc;

/// The name of the table.
pub(super) const TABLE: &str = "meta";
const META: TableDefinition<&str, &[u8]> = TableDefinition::new(TABLE);

/// Settings of the node by name. Every change is durable once its call returns.
#[derive(Clone)]
pub struct Meta(pub(super) Arc<Home>);

impl Meta {
    /// Sets a key.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; nothing has changed then.
    pub fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let sealed = self.0.seal(TABLE, key.as_bytes(), value)?;
        self.0.db.write(|txn| {
            txn.open_table(META)?.insert(key, sealed.as_slice())?;
            Ok(())
        })
    }

    /// Sets several keys, all or none.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; nothing has changed then.
    pub fn put_all(&self, rows: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let seal = |(key, value): &(String, Vec<u8>)| self.0.seal(TABLE, key.as_bytes(), value);
        let sealed = rows.iter().map(seal).collect::<Result<Vec<_>, _>>()?;
        self.0.db.write(|txn| {
            let mut table = txn.open_table(META)?;
            for ((key, _), value) in rows.iter().zip(&sealed) {
                table.insert(key.as_str(), value.as_slice())?;
            }
            Ok(())
        })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or the value does not open.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = self
            .0
            .db
            .read(|txn| Ok(txn.open_table(META)?.get(key)?.map(|v| v.value().to_vec())))?;
        let open = |sealed: Vec<u8>| self.0.open_row(TABLE, key.as_bytes(), &sealed);
        sealed.map(open).transpose()
    }

    /// Removes a key; true if there was one.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; nothing has changed then.
    pub fn delete(&self, key: &str) -> Result<bool, StoreError> {
        self.0
            .db
            .write(|txn| Ok(txn.open_table(META)?.remove(key)?.is_some()))
    }

    /// All keys that start with `prefix`, in order, with their values.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or a value does not open.
    pub fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut rows = self.0.db.read(|txn| {
            let mut found = Vec::new();
            for row in txn.open_table(META)?.range(prefix..)? {
                let (key, value) = row?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                found.push((key.value().to_owned(), value.value().to_vec()));
            }
            Ok(found)
        })?;
        for (key, value) in &mut rows {
            *value = self.0.open_row(TABLE, key.as_bytes(), value)?;
        }
        Ok(rows)
    }
}

/// All rows as they are in the database.
pub(super) fn sealed(txn: &ReadTransaction) -> Result<Vec<KeyValue>, redb::Error> {
    let mut rows = Vec::new();
    for row in txn.open_table(META)?.iter()? {
        let (key, value) = row?;
        rows.push((key.value().as_bytes().to_vec(), value.value().to_vec()));
    }
    Ok(rows)
}

/// Makes the table, so that readers find one.
pub(super) fn prepare(txn: &redb::WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(META)?;
    Ok(())
}

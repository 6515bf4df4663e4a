//! Settings of the node: a small durable map.

use super::Home;
use crate::engine::io::StoreError;
use redb::TableDefinition;
use std::sync::Arc;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Settings of the node by name. Every change is durable once its call returns.
#[derive(Clone)]
pub struct Meta(pub(super) Arc<Home>);

impl Meta {
    /// Sets a key.
    ///
    /// # Errors
    /// [`StoreError`] if the disk is full or fails; nothing has changed then.
    pub fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.0.db.write(|txn| {
            txn.open_table(META)?.insert(key, value)?;
            Ok(())
        })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0
            .db
            .read(|txn| Ok(txn.open_table(META)?.get(key)?.map(|v| v.value().to_vec())))
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
    /// [`StoreError`] if the disk fails.
    pub fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.0.db.read(|txn| {
            let mut found = Vec::new();
            for row in txn.open_table(META)?.range(prefix..)? {
                let (key, value) = row?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                found.push((key.value().to_owned(), value.value().to_vec()));
            }
            Ok(found)
        })
    }
}

/// Makes the table, so that readers find one.
pub(super) fn prepare(txn: &redb::WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(META)?;
    Ok(())
}

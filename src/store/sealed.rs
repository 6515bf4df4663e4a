//! Rows of the database under the seal of the home: sealed before the transaction that writes them, opened after the one
//! that reads them.

use super::error::{OpenError, database};
use super::{Home, TABLES, batch, in_open, inbox, meta};
use crate::engine::io::{StoreError, Table};
use crate::security::rows::NONCE;
use redb::{ReadTransaction, ReadableTable, TableHandle};

/// The key and the value of a row.
pub(super) type KeyValue = (Vec<u8>, Vec<u8>);
/// A row of the engine.
pub(super) type Row = (Table, Vec<u8>, Vec<u8>);

impl Home {
    /// Seals a value for its row, under a nonce that the operating system gives.
    pub(super) fn seal(
        &self,
        table: &str,
        key: &[u8],
        value: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| {
            let text = format!("the system gives no random numbers ({error}); restart ostrakon");
            StoreError::Io(text)
        })?;
        Ok(self.key.seal(table, key, value, nonce))
    }

    /// Opens the value of a row.
    pub(super) fn open_row(
        &self,
        table: &str,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        self.key.open(table, key, sealed).map_err(|error| {
            let reason = redb::Error::Corrupted(format!("{error}, in `{table}`"));
            database(self.db.path(), reason)
        })
    }

    /// The rows of the engine, once every row of the home has been seen to open.
    pub(super) fn rows(&self) -> Result<Vec<Row>, OpenError> {
        let read = self.db.read(|txn| {
            let others = [
                (inbox::TABLE, inbox::sealed(txn)?),
                (meta::TABLE, meta::sealed(txn)?),
            ];
            Ok((engine_rows(txn)?, others))
        });
        let (mut rows, others) = read.map_err(in_open(self.db.path()))?;
        for (table, key, value) in &mut rows {
            *value = self.open_at_start(batch::definition(*table).name(), key, value)?;
        }
        for (table, rows) in others {
            for (key, sealed) in rows {
                self.open_at_start(table, &key, &sealed)?;
            }
        }
        Ok(rows)
    }

    fn open_at_start(&self, table: &str, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.key
            .open(table, key, sealed)
            .map_err(|_| OpenError::Row {
                path: self.db.path().to_owned(),
                table: table.to_owned(),
            })
    }
}

fn engine_rows(txn: &ReadTransaction) -> Result<Vec<Row>, redb::Error> {
    let mut rows = Vec::new();
    for (table, definition) in TABLES {
        for row in txn.open_table(definition)?.iter()? {
            let (key, value) = row?;
            rows.push((table, key.value().to_vec(), value.value().to_vec()));
        }
    }
    Ok(rows)
}

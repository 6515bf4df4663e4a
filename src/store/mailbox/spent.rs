//! What grants have cost: kept with the frames that they paid for, so that both are durable or neither.

use crate::security::grant::{Grant, GrantId};
use crate::security::spending::{Amount, Row, charge};
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use std::sync::Arc;

/// The most links of which a relay keeps account that were made from one grant. Who holds one could make any number.
const MAX_ROWS: usize = 256;
/// The most links in all, so that a statement of them can be told.
const MAX_ALL: u64 = 50_000;

/// By the ids of the first link and of the link itself: a row, in CBOR.
const SPENT: TableDefinition<(&GrantId, &GrantId), &[u8]> = TableDefinition::new("spent");

pub(super) fn prepare(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(SPENT)?;
    Ok(())
}

/// Has the first of these grants that has enough left pay for a frame of so many bytes, and all links of it. Nothing if
/// none has.
pub(super) fn pay<'a>(
    txn: &WriteTransaction,
    grants: &'a [Arc<Grant>],
    bytes: usize,
) -> Result<Option<&'a Grant>, redb::Error> {
    let cost = Amount {
        frames: 1,
        bytes: bytes as u64,
    };
    let mut table = txn.open_table(SPENT)?;
    for grant in grants {
        let (mut rows, mut new) = (Vec::new(), 0);
        for row in rows_of(grant) {
            let known = match table.get((&row.root, &row.id))? {
                Some(stored) => Some(read(stored.value())?),
                None => None,
            };
            new += usize::from(known.is_none());
            rows.push(known.unwrap_or(row));
        }
        let before = rows.iter().map(|row| (row.spent, row.granted));
        let Some(after) = charge(before, cost) else {
            continue;
        };
        let root = grant.root();
        let of_root = (&root, &[0; 32])..=(&root, &[u8::MAX; 32]);
        let full = table.len()? + new as u64 > MAX_ALL;
        if new > 0 && (full || table.range(of_root)?.count() + new > MAX_ROWS) {
            continue;
        }
        for (row, spent) in rows.into_iter().zip(after) {
            let row = Row { spent, ..row };
            table.insert((&row.root, &row.id), written(&row).as_slice())?;
        }
        return Ok(Some(grant));
    }
    Ok(None)
}

/// All rows.
pub(super) fn all(txn: &ReadTransaction) -> Result<Vec<Row>, redb::Error> {
    let table = txn.open_table(SPENT)?;
    let rows = table.iter()?.map(|row| read(row?.1.value()));
    rows.collect()
}

/// Forgets what grants of this issuer have cost that were over before its counter had this value.
pub(super) fn forget(
    txn: &WriteTransaction,
    issuer: &[u8; 32],
    counter: u64,
) -> Result<(), redb::Error> {
    let mut table = txn.open_table(SPENT)?;
    let mut unreadable = None;
    table.retain(|_, value| match read(value) {
        Ok(row) => row.issuer != *issuer || row.until >= counter,
        Err(error) => {
            unreadable = Some(error);
            true
        }
    })?;
    unreadable.map_or(Ok(()), Err)
}

/// The links of a grant of which nothing is spent yet.
fn rows_of(grant: &Grant) -> impl Iterator<Item = Row> {
    grant.links().map(|(id, terms)| Row {
        issuer: *grant.issuer(),
        root: grant.root(),
        id: *id,
        holder: terms.holder,
        granted: Amount {
            frames: terms.frames,
            bytes: terms.bytes,
        },
        until: terms.until,
        spent: Amount::default(),
    })
}

fn read(value: &[u8]) -> Result<Row, redb::Error> {
    let damaged = |_| redb::Error::Corrupted("a row of what grants have cost".into());
    minicbor::decode(value).map_err(damaged)
}

fn written(row: &Row) -> Vec<u8> {
    let mut out = Vec::new();
    // Encoding into memory cannot fail.
    let _ = minicbor::encode(row, &mut out);
    out
}

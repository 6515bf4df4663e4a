//! Rows under the seal: what is changed, moved or of another home is refused by name, and nothing is read without the
//! key.

use super::*;
use crate::security::rows::OVERHEAD;

/// As long as a key; no file of a home has it by chance.
const SECRET: &[u8] = b"thirty-two bytes of a chain key.";
const SEALED: [&str; 6] = ["outbox", "inbox", "session", "ledger", "app_entry", "meta"];
const NAMES: [&str; 2] = ["one", "two"];

type Values = [Vec<u8>; 2];

/// A home with two rows in each table.
fn furnished() -> TempDir {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = Store::open(dir.path(), home_key()).unwrap();
    let row = |table, name: &str| Record::Put {
        table,
        key: name.into(),
        value: SECRET.into(),
    };
    let rows = TABLES
        .iter()
        .flat_map(|(table, _)| NAMES.map(|name| row(*table, name)));
    store.apply(&batch(true, rows.collect())).unwrap();
    let handle = store.handle();
    for (n, name) in [1, 2].into_iter().zip(NAMES) {
        handle.inbox().put(message(n), 1, SECRET).unwrap();
        handle.meta().put(name, SECRET).unwrap();
    }
    dir
}

/// Changes the two values of a table behind the back of the store.
fn edit(dir: &Path, table: &str, change: impl FnOnce(&mut Values)) {
    let db = Db::open(&dir.join("state.redb"), FORMAT..=FORMAT, None).unwrap();
    let edited = db.write(|txn| {
        match table {
            "app_entry" => {
                let definition: TableDefinition<&[u8; 33], (u64, &[u8])> =
                    TableDefinition::new(table);
                let mut rows = txn.open_table(definition)?;
                let keys: [[u8; 33]; 2] = [1, 2].map(|n| {
                    let mut key = [n; 33];
                    key[32] = 1;
                    key
                });
                let mut values =
                    keys.map(|key| rows.get(&key).unwrap().unwrap().value().1.to_vec());
                change(&mut values);
                for (number, (key, value)) in (1..).zip(keys.iter().zip(&values)) {
                    rows.insert(key, (number, value.as_slice()))?;
                }
            }
            "meta" => {
                let mut rows = txn.open_table(TableDefinition::<&str, &[u8]>::new(table))?;
                let mut values =
                    NAMES.map(|name| rows.get(name).unwrap().unwrap().value().to_vec());
                change(&mut values);
                for (name, value) in NAMES.iter().zip(&values) {
                    rows.insert(name, value.as_slice())?;
                }
            }
            _ => {
                let mut rows = txn.open_table(TableDefinition::<&[u8], &[u8]>::new(table))?;
                let mut values =
                    NAMES.map(|name| rows.get(name.as_bytes()).unwrap().unwrap().value().to_vec());
                change(&mut values);
                for (name, value) in NAMES.iter().zip(&values) {
                    rows.insert(name.as_bytes(), value.as_slice())?;
                }
            }
        }
        Ok(())
    });
    edited.unwrap();
}

fn refused(dir: &Path, key: RowKey, expected: &str) {
    let error = Store::open(dir, key).err().unwrap();
    let named = matches!(&error, OpenError::Row { table, .. } if table == expected);
    assert!(named, "{expected}: {error}");
    assert!(error.to_string().contains("put back the keys"), "{error}");
}

/// Whoever changes one bit of a value, or cuts it, is noticed at the start and by name. What was changed back is as good
/// as before, so nothing was done to the home meanwhile.
#[test]
fn a_flipped_bit_in_any_row_is_refused_by_name() {
    let dir = furnished();
    let bits = (SECRET.len() + OVERHEAD) * 8;
    for table in SEALED {
        for bit in [0, bits / 2, bits - 1] {
            let flip = |values: &mut Values| values[1][bit / 8] ^= 1 << (bit % 8);
            edit(dir.path(), table, flip);
            refused(dir.path(), home_key(), table);
            edit(dir.path(), table, flip);
        }
        let mut whole = Vec::new();
        edit(dir.path(), table, |values| {
            whole = std::mem::take(&mut values[0]);
        });
        refused(dir.path(), home_key(), table);
        edit(dir.path(), table, |values| values[0] = whole);
    }
    let (_, restored) = Store::open(dir.path(), home_key()).unwrap();
    assert_eq!(restored.rows.len(), 8);
    assert!(restored.rows.iter().all(|(_, _, value)| value == SECRET));
}

/// A value counts in its own row: neither the neighbour's place nor the same key of another table takes it.
#[test]
fn rows_that_were_swapped_are_refused_by_name() {
    let dir = furnished();
    for table in SEALED {
        edit(dir.path(), table, |values| values.swap(0, 1));
        refused(dir.path(), home_key(), table);
        edit(dir.path(), table, |values| values.swap(0, 1));
    }
    let mut foreign = Vec::new();
    edit(dir.path(), "outbox", |values| foreign = values[0].clone());
    edit(dir.path(), "session", |values| values[0] = foreign);
    refused(dir.path(), home_key(), "session");
}

/// The keys of another home open nothing and change nothing. A row that is damaged while the home is open is an error of
/// that one question.
#[test]
fn another_key_opens_nothing_and_a_row_damaged_meanwhile_is_named() {
    let dir = furnished();
    refused(dir.path(), RowKey::new(Key::new([8; 32])), "outbox");
    let (store, restored) = Store::open(dir.path(), home_key()).unwrap();
    assert_eq!(restored.rows.len(), 8);
    let meta = store.handle().meta();
    let raw: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
    let spoilt = store.home.db.write(|txn| {
        txn.open_table(raw)?.insert("one", &[0_u8; 50][..])?;
        Ok(())
    });
    spoilt.unwrap();
    let error = meta.get("one").unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt(text) if text.contains("`meta`")),
        "{error}"
    );
    assert!(matches!(meta.list(""), Err(StoreError::Corrupt(_))));
    assert_eq!(meta.get("two").unwrap().unwrap(), SECRET);
}

/// The bytes of a secret that was stored are in no file of the home, although its key is; stored as they are they would
/// be found.
#[test]
fn no_value_is_on_the_disk_as_it_is() {
    let dir = furnished();
    let holds = |part: &[u8]| {
        let bytes = fs::read(dir.path().join("state.redb")).unwrap();
        bytes.windows(part.len()).any(|window| window == part)
    };
    assert!(!holds(SECRET));
    assert!(!holds(&SECRET[..16]), "half of it");
    assert!(holds(&message(1).0), "keys of rows are in the clear");
    edit(dir.path(), "session", |values| values[0] = SECRET.into());
    assert!(holds(SECRET), "this search would not find it");
}

/// Prints what the seal costs, with the nonce of the operating system.
#[test]
#[ignore = "measures"]
fn what_a_row_costs() {
    const ROWS: u32 = 20_000;
    let dir = TempDir::new().unwrap();
    let (store, _) = Store::open(dir.path(), home_key()).unwrap();
    for len in [64, 256, 2048] {
        let value = vec![5; len];
        let start = std::time::Instant::now();
        let mut sealed = Vec::new();
        for _ in 0..ROWS {
            sealed = store.home.seal("session", b"key", &value).unwrap();
        }
        let sealing = start.elapsed() / ROWS;
        let start = std::time::Instant::now();
        for _ in 0..ROWS {
            let opened = store.home.open_row("session", b"key", &sealed).unwrap();
            assert_eq!(opened.len(), len);
        }
        let opening = start.elapsed() / ROWS;
        println!("{len} bytes: sealed in {sealing:?}, opened in {opening:?}");
    }
}

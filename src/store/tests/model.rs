//! Random batches and restarts, against a model in memory.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Op {
    Apply(Batch),
    /// Open again, in the same boot of the kernel or another.
    Reopen {
        same_boot: bool,
    },
}

#[derive(Clone, Debug, Default)]
struct Model {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    files: BTreeMap<FileId, Vec<u8>>,
    notes: Vec<Vec<u8>>,
}

impl Model {
    /// Drops from a batch what no caller may ask for.
    fn legal(&self, batch: &Batch) -> Batch {
        let mut there: BTreeSet<FileId> = self.files.keys().copied().collect();
        let mut gone = BTreeSet::new();
        let mut records = batch.records.clone();
        records.retain(|record| match record {
            Record::Journal(_) => true,
            Record::Write { file, .. } => there.contains(file),
            _ if !batch.durable => false,
            Record::Create { file, .. } => {
                let legal = !gone.contains(file);
                if legal {
                    there.insert(*file);
                }
                legal
            }
            Record::Remove { file } => {
                there.remove(file);
                gone.insert(*file);
                true
            }
            Record::Put { .. } | Record::Delete { .. } | Record::Vacate { .. } => true,
        });
        Batch {
            records,
            ..batch.clone()
        }
    }

    fn apply(&mut self, batch: &Batch) {
        for record in batch.records.clone() {
            match record {
                Record::Put { table, key, value } => {
                    self.rows.insert((table, key), value);
                }
                Record::Delete { table, key } => {
                    self.rows.remove(&(table, key));
                }
                Record::Create { file, len } => {
                    let content = self.files.entry(file).or_default();
                    content.resize(content.len().max(len as usize), 0);
                }
                Record::Write {
                    file,
                    offset,
                    bytes,
                } => {
                    let content = self.files.get_mut(&file).unwrap();
                    let (from, end) = (offset as usize, offset as usize + bytes.len());
                    // A write of nothing beyond the end makes no file longer.
                    if !bytes.is_empty() {
                        content.resize(content.len().max(end), 0);
                        content[from..end].copy_from_slice(&bytes);
                    }
                }
                Record::Remove { file } => {
                    self.files.remove(&file);
                }
                // Systems may do that or leave it.
                Record::Vacate { .. } => {}
                Record::Journal(note) => self.notes.push(note),
            }
        }
        if batch.durable {
            self.notes.clear();
        }
    }

    fn check(&self, store: &Store, restored: &Restored) {
        let rows: Vec<Row> = self
            .rows
            .iter()
            .map(|((table, key), value)| (*table, key.clone(), value.clone()))
            .collect();
        assert_eq!(restored.rows, rows);
        assert_eq!(restored.journal, self.notes);
        self.check_files(store);
    }

    fn check_files(&self, store: &Store) {
        let names: Vec<FileId> = self.files.keys().copied().collect();
        assert_eq!(store.home.files.list().unwrap(), names);
        for (file, content) in &self.files {
            let found = store.handle().fetch(*file, 0, content.len()).unwrap();
            assert!(found == content, "{file:?} differs");
        }
    }
}

fn any_file() -> impl Strategy<Value = FileId> {
    let kind = prop_oneof![
        Just(FileKind::Outgoing),
        Just(FileKind::Incoming),
        Just(FileKind::Repair)
    ];
    (kind, 0_u8..2, 1_u8..3).prop_map(|(kind, n, part)| FileId {
        kind,
        message: message(n),
        part,
    })
}

fn any_record() -> impl Strategy<Value = Record> {
    let table = prop_oneof![
        Just(Table::Outbox),
        Just(Table::Inbox),
        Just(Table::Session),
        Just(Table::Ledger)
    ];
    let key = (table, prop::collection::vec(0_u8..3, 0..3));
    let value = prop::collection::vec(any::<u8>(), 0..3000);
    prop_oneof![
        3 => (key.clone(), value.clone())
            .prop_map(|((table, key), value)| Record::Put { table, key, value }),
        1 => key.prop_map(|(table, key)| Record::Delete { table, key }),
        3 => (any_file(), 0_u64..9000).prop_map(|(file, len)| Record::Create { file, len }),
        6 => (any_file(), 0_u64..9000, value.clone()).prop_map(|(file, offset, bytes)| {
            let bytes = bytes.into();
            Record::Write { file, offset, bytes }
        }),
        1 => any_file().prop_map(|file| Record::Remove { file }),
        3 => value.prop_map(Record::Journal),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let records = prop::collection::vec(any_record(), 0..12);
    prop_oneof![
        4 => (records, any::<bool>()).prop_map(|(r, durable)| Op::Apply(batch(durable, r))),
        1 => prop::bool::weighted(0.7).prop_map(|same_boot| Op::Reopen { same_boot }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is applied, and however often the home is opened anew, rows, files and notes are those that
    /// the batches say; another boot costs the notes and nothing else.
    #[test]
    fn the_store_does_what_the_model_does(ops in prop::collection::vec(any_op(), 1..25)) {
        let dir = TempDir::new().unwrap();
        let mut boot = [0; 16];
        let mut model = Model::default();
        let (mut store, restored) = Store::open_in_boot(dir.path(), home_key(), Some(boot)).unwrap();
        model.check(&store, &restored);
        for op in ops.into_iter().chain([Op::Reopen { same_boot: true }]) {
            match op {
                Op::Apply(batch) => {
                    let batch = model.legal(&batch);
                    store.apply(&batch).unwrap();
                    model.apply(&batch);
                    model.check_files(&store);
                }
                Op::Reopen { same_boot } => {
                    if !same_boot {
                        boot[0] += 1;
                        model.notes.clear();
                    }
                    drop(store);
                    let opened = Store::open_in_boot(dir.path(), home_key(), Some(boot)).unwrap();
                    model.check(&opened.0, &opened.1);
                    store = opened.0;
                }
            }
        }
    }
}

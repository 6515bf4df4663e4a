//! What the store promises, short of killed processes and full disks (those are in `tests/store_crash.rs`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod content;
mod model;
mod rows;

use super::db::{COUNTERS, Db};
use super::inbox::Put;
use super::sealed::Row;
use super::*;
use crate::engine::id::MessageId;
use crate::engine::io::{Batch, Record, Token};
use crate::security::kdf::Key;
use bytes::Bytes;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

const THIS: Option<BootId> = Some([1; 16]);
const OTHER: Option<BootId> = Some([2; 16]);

fn home_key() -> RowKey {
    RowKey::new(Key::new([7; 32]))
}

fn files_of(home: &Path) -> Files {
    let reserve = Arc::new(Reserve::of(home));
    Files::new(home.join("payload"), home_key().content_key(), reserve)
}

fn message(n: u8) -> MessageId {
    MessageId([n; 32])
}

fn incoming(n: u8) -> FileId {
    FileId {
        kind: FileKind::Incoming,
        message: message(n),
        part: 1,
    }
}

fn batch(durable: bool, records: Vec<Record>) -> Batch {
    Batch {
        token: Token(0),
        records,
        durable,
    }
}

fn put(key: &str, value: &str) -> Record {
    Record::Put {
        table: Table::Outbox,
        key: key.into(),
        value: value.into(),
    }
}

fn write(file: FileId, offset: u64, bytes: &'static str) -> Record {
    Record::Write {
        file,
        offset,
        bytes: Bytes::from_static(bytes.as_bytes()),
    }
}

fn note(text: &str) -> Record {
    Record::Journal(text.into())
}

/// Guards the order that durability stands on: keys of a later batch may speak of bytes of an earlier one, so the later
/// one fails until the earlier one was given again.
#[test]
fn after_a_batch_that_failed_none_counts_before_it_does() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = Store::open(dir.path(), home_key()).unwrap();
    let numbered = |n, durable, records| Batch {
        token: Token(n),
        ..batch(durable, records)
    };
    let missing = incoming(1);
    let first = numbered(1, false, vec![write(missing, 0, "here")]);
    let second = numbered(2, true, vec![put("key", "value")]);
    assert!(store.apply(&first).is_err());
    assert!(store.apply(&second).is_err());
    fs::write(store.home.files.path(missing), b"____").unwrap();
    store.apply(&first).unwrap();
    store.apply(&second).unwrap();
    assert_eq!(store.handle().fetch(missing, 0, 4).unwrap(), "here");
}

/// A batch that found no room for a file is given again without it, and nothing is left of that file.
#[test]
fn after_a_file_that_had_no_room_all_else_is_written() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = Store::open(dir.path(), home_key()).unwrap();
    let make = |n, len| Record::Create {
        file: incoming(n),
        len,
    };
    let most = i64::MAX as u64;
    let fits = vec![make(1, 10), write(incoming(1), 0, "here"), put("a", "1")];
    let both = [&[make(2, most)], &fits[..]].concat();
    assert!(store.apply(&batch(true, both)).is_err());
    for n in 1..3 {
        assert!(!store.handle().payload_path(incoming(n)).exists());
    }
    store.apply(&batch(true, fits)).unwrap();
    store.apply(&batch(true, vec![put("b", "2")])).unwrap();
    assert_eq!(store.handle().fetch(incoming(1), 0, 4).unwrap(), "here");
}

/// A home with a file of four bytes, of which a cheap batch has written, with the notes "a" and "bb".
fn with_notes() -> (TempDir, FileId) {
    let dir = TempDir::new().unwrap();
    let file = incoming(1);
    let (mut store, _) = Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
    let create = Record::Create { file, len: 4 };
    store
        .apply(&batch(true, vec![create, put("k", "v")]))
        .unwrap();
    let cheap = vec![write(file, 1, "xy"), note("a"), note("bb")];
    store.apply(&batch(false, cheap)).unwrap();
    (dir, file)
}

fn notes(dir: &Path, boot: Option<BootId>) -> Vec<Vec<u8>> {
    Store::open_in_boot(dir, home_key(), boot)
        .unwrap()
        .1
        .journal
}

#[test]
fn notes_count_in_the_boot_that_took_them_only() {
    let (dir, file) = with_notes();
    let (store, restored) = Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
    assert_eq!(restored.journal, [b"a".to_vec(), b"bb".to_vec()]);
    assert_eq!(&store.handle().fetch(file, 0, 4).unwrap()[..], b"\0xy\0");
    drop(store);
    assert_eq!(notes(dir.path(), THIS).len(), 2, "they stay until a commit");
    assert!(notes(dir.path(), OTHER).is_empty());
    assert!(notes(dir.path(), THIS).is_empty(), "dropped is dropped");

    let (dir, _) = with_notes();
    assert!(notes(dir.path(), None).is_empty(), "no boot id, no trust");
    let (mut store, _) = Store::open_in_boot(dir.path(), home_key(), None).unwrap();
    store.apply(&batch(false, vec![note("c")])).unwrap();
    drop(store);
    assert!(notes(dir.path(), None).is_empty());
}

#[test]
fn notes_of_an_older_generation_never_count_again() {
    let (dir, _) = with_notes();
    let journal = dir.path().join("journal");
    let old = fs::read(&journal).unwrap();
    let (mut store, _) = Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
    store.apply(&batch(true, vec![put("k", "w")])).unwrap();
    store.apply(&batch(false, vec![note("new")])).unwrap();
    drop(store);
    // As if the process had died between the commit and the emptying, and its successor had gone on.
    let new = fs::read(&journal).unwrap()[32..].to_vec();
    fs::write(&journal, [old.clone(), new].concat()).unwrap();
    assert_eq!(notes(dir.path(), THIS), [b"new".to_vec()]);
    fs::write(&journal, old).unwrap();
    assert!(notes(dir.path(), THIS).is_empty());
}

#[test]
fn a_damaged_journal_gives_a_prefix() {
    let (dir, _) = with_notes();
    let journal = dir.path().join("journal");
    let whole = fs::read(&journal).unwrap();
    let all = [b"a".to_vec(), b"bb".to_vec()];
    for cut in 0..whole.len() {
        fs::write(&journal, &whole[..cut]).unwrap();
        let found = notes(dir.path(), THIS);
        let expected = usize::from(cut >= 32 + 21);
        assert_eq!(found, all[..expected], "cut at {cut}");
        let mut bad = whole.clone();
        bad[cut] ^= 0x10;
        fs::write(&journal, bad).unwrap();
        let found = notes(dir.path(), THIS);
        assert_eq!(found, all[..expected], "flipped at {cut}");
    }
    // What is appended after a torn record is found.
    fs::write(&journal, &whole[..whole.len() - 1]).unwrap();
    let (mut store, _) = Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
    store.apply(&batch(false, vec![note("c")])).unwrap();
    drop(store);
    assert_eq!(notes(dir.path(), THIS), [b"a".to_vec(), b"c".to_vec()]);
}

#[test]
fn a_removal_is_finished_at_the_next_start_and_spares_what_came_after() {
    let (dir, file) = with_notes();
    let (mut store, _) = Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
    let path = store.handle().payload_path(file);
    store
        .apply(&batch(true, vec![Record::Remove { file }]))
        .unwrap();
    assert!(!path.exists());
    drop(store);
    // A power cut can bring back a name whose removal had not reached the disk.
    fs::write(&path, b"back").unwrap();
    let (mut store, _) = Store::open_in_boot(dir.path(), home_key(), OTHER).unwrap();
    assert!(!path.exists());

    let create = Record::Create { file, len: 4 };
    store.apply(&batch(true, vec![create.clone()])).unwrap();
    store
        .apply(&batch(true, vec![Record::Remove { file }]))
        .unwrap();
    let again = vec![create, write(file, 0, "anew")];
    store.apply(&batch(true, again)).unwrap();
    let out = FileId {
        kind: FileKind::Outgoing,
        ..file
    };
    store
        .apply(&batch(true, vec![Record::Remove { file: out }]))
        .unwrap();
    let made = dir.path().join("tmp/s");
    fs::write(&made, b"snapshot").unwrap();
    store.handle().import_outgoing(out, &made).unwrap();
    drop(store);
    let (store, _) = Store::open_in_boot(dir.path(), home_key(), OTHER).unwrap();
    assert_eq!(&store.handle().fetch(file, 0, 4).unwrap()[..], b"anew");
    assert_eq!(&store.handle().fetch(out, 0, 8).unwrap()[..], b"snapshot");
}

#[test]
fn rules_of_a_batch_are_enforced_before_anything_is_done() {
    let (dir, file) = with_notes();
    let (mut store, _) = Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
    let table = Table::Ledger;
    let key = b"k".to_vec();
    let create = Record::Create { file, len: 9 };
    let remove = Record::Remove { file };
    let bad = [
        batch(false, vec![note("x"), put("k", "no")]),
        batch(false, vec![note("x"), Record::Delete { table, key }]),
        batch(false, vec![note("x"), create.clone()]),
        batch(false, vec![note("x"), remove.clone()]),
        batch(true, vec![put("k", "no"), remove, create]),
    ];
    for batch in bad {
        let e = store.apply(&batch).unwrap_err();
        assert!(
            matches!(&e, StoreError::Io(t) if t.contains("report this")),
            "{e}"
        );
    }
    let e = store.apply(&batch(false, vec![write(incoming(9), 0, "x")]));
    assert!(matches!(e, Err(StoreError::Io(_))), "no such file");
    let handle = store.handle();
    let short = handle.fetch(file, 2, 3);
    assert!(matches!(short, Err(StoreError::Corrupt(_))), "{short:?}");
    let far = handle.fetch(file, u64::MAX, usize::MAX);
    assert!(matches!(far, Err(StoreError::Corrupt(_))), "{far:?}");
    let none = handle.fetch(incoming(9), 0, 1);
    assert!(matches!(none, Err(StoreError::Io(_))), "{none:?}");
    drop((store, handle));
    let (_, restored) = Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
    assert_eq!(
        restored.rows,
        [(Table::Outbox, b"k".to_vec(), b"v".to_vec())]
    );
    assert_eq!(restored.journal.len(), 2);
}

#[test]
fn one_process_per_home_and_one_format() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("a/home");
    let (store, _) = Store::open(&home, home_key()).unwrap();
    let text = Store::open(&home, home_key()).err().unwrap().to_string();
    assert!(
        text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
    let handle = store.handle();
    drop(store);
    assert!(matches!(
        Store::open(&home, home_key()),
        Err(OpenError::InUse { .. })
    ));
    drop(handle);

    for (path, mode) in [
        ("", 0o700),
        ("payload", 0o700),
        ("inbox", 0o700),
        ("tmp", 0o700),
        ("state.redb", 0o600),
        ("journal", 0o600),
        ("lock", 0o600),
    ] {
        let found = fs::metadata(home.join(path)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }

    let db = Db::open(&home.join("state.redb"), FORMAT..=FORMAT, None).unwrap();
    db.write(|txn| {
        txn.open_table(COUNTERS)?.insert("format", 7)?;
        Ok(())
    })
    .unwrap();
    drop(db);
    let e = Store::open(&home, home_key()).err().unwrap();
    assert!(
        matches!(
            e,
            OpenError::Version {
                found: 7,
                known: FORMAT,
                ..
            }
        ),
        "{e}"
    );
}

#[test]
fn a_damaged_home_is_refused_by_name_or_intact() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = Store::open(dir.path(), home_key()).unwrap();
    for n in 0..40_u32 {
        let key = format!("key {n}");
        let value = "v".repeat(900);
        store.apply(&batch(true, vec![put(&key, &value)])).unwrap();
    }
    drop(store);
    let state = dir.path().join("state.redb");
    let good = fs::read(&state).unwrap();
    let (store, whole) = Store::open(dir.path(), home_key()).unwrap();
    drop(store);
    let mut refused = 0;
    for n in 0..60 {
        let mut bad = good.clone();
        let at = if n < 20 { n * 16 } else { (n - 20) * 4096 + 70 } % bad.len();
        bad[at] ^= 0xff;
        fs::write(&state, bad).unwrap();
        match Store::open(dir.path(), home_key()) {
            Ok((_, restored)) => assert!(restored == whole, "flipped at {at}"),
            Err(OpenError::Corrupt { path, .. }) => {
                assert_eq!(path, state);
                refused += 1;
            }
            Err(other) => panic!("flipped at {at}: {other}"),
        }
    }
    assert!(refused > 10, "{refused}");
    for bad in [
        &b""[..],
        b"garbage",
        &[0; 9000],
        &good[..100],
        &good[..good.len() / 2],
    ] {
        fs::write(&state, bad).unwrap();
        let e = Store::open(dir.path(), home_key()).err().unwrap();
        assert!(matches!(e, OpenError::Corrupt { .. }), "{e}");
    }
    // Without it nobody would know what was there: what tells that there was one is enough.
    fs::remove_file(&state).unwrap();
    let e = Store::open(dir.path(), home_key()).err().unwrap();
    assert!(matches!(e, OpenError::Corrupt { .. }), "{e}");
    fs::remove_file(dir.path().join("journal")).unwrap();
    fs::write(files_of(dir.path()).path(incoming(1)), b"x").unwrap();
    let e = Store::open(dir.path(), home_key()).err().unwrap();
    assert!(matches!(e, OpenError::Corrupt { .. }), "{e}");
}

/// Guards disks that are nearly full: what is not read any more gives its room back, once that is durable, and nothing beside it
/// changes.
#[cfg(target_os = "linux")]
#[test]
fn a_range_that_is_vacated_gives_its_room_back() {
    use std::os::unix::fs::MetadataExt;
    let dir = TempDir::new().unwrap();
    let (mut store, _) = Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
    let file = FileId {
        kind: FileKind::Repair,
        ..incoming(1)
    };
    let len = 1 << 20;
    let bytes = vec![7; len as usize].into();
    let offset = 0;
    let write = Record::Write {
        file,
        offset,
        bytes,
    };
    let made = vec![Record::Create { file, len }, write];
    store.apply(&batch(true, made)).unwrap();
    let path = files_of(dir.path()).path(file);
    let taken = || fs::metadata(&path).unwrap().blocks() * 512;
    let before = taken();
    let vacate = |len| Record::Vacate {
        file,
        offset: 4096,
        len,
    };
    let refused = store.apply(&batch(false, vec![vacate(len / 2)]));
    assert!(
        matches!(refused, Err(StoreError::Io(_))),
        "only a durable batch"
    );
    store.apply(&batch(true, vec![vacate(len / 2)])).unwrap();
    assert!(taken() + len / 2 <= before, "{} of {before}", taken());
    let handle = store.handle();
    let rest = handle.fetch(file, 4096 + len / 2, 4096).unwrap();
    assert_eq!(
        (handle.fetch(file, 0, 4096).unwrap(), rest),
        (vec![7; 4096].into(), vec![7; 4096].into())
    );
    // Of a file that goes, or is not there, there is nothing to give back.
    let all = vec![vacate(1), Record::Remove { file }];
    store.apply(&batch(true, all)).unwrap();
    store.apply(&batch(true, vec![vacate(1)])).unwrap();
}

#[test]
fn a_delivery_enters_the_inbox_once_whatever_happens() {
    let (dir, file) = with_notes();
    let (mut store, _) = Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
    let inbox = store.handle().inbox();
    let kept = inbox.keep_incoming(message(1), 1).unwrap();
    assert_eq!(inbox.keep_incoming(message(1), 1).unwrap(), kept);
    assert_eq!(inbox.put(message(1), 1, b"one").unwrap(), Put::New(1));
    assert_eq!(inbox.put(message(1), 1, b"other").unwrap(), Put::Known(1));
    assert_eq!(inbox.put(message(1), 0, b"whole").unwrap(), Put::New(2));
    store
        .apply(&batch(true, vec![Record::Remove { file }]))
        .unwrap();
    let orphan = inbox.content_path(message(2), 1);
    fs::write(&orphan, b"kept, but never put").unwrap();
    drop((store, inbox));

    let (store, _) = Store::open_in_boot(dir.path(), home_key(), OTHER).unwrap();
    let inbox = store.handle().inbox();
    assert!(!orphan.exists());
    assert_eq!(fs::read(&kept).unwrap(), b"\0xy\0");
    let numbers = |after, max| -> Vec<u64> {
        inbox
            .list(after, max)
            .unwrap()
            .iter()
            .map(|e| e.number)
            .collect()
    };
    assert_eq!(numbers(0, 9), [1, 2]);
    assert_eq!(numbers(0, 1), [1]);
    assert_eq!(numbers(1, 9), [2]);
    assert_eq!(inbox.get(message(1), 1).unwrap().unwrap().value, b"one");
    assert!(inbox.remove(message(1), 1).unwrap());
    assert!(!inbox.remove(message(1), 1).unwrap());
    assert!(!kept.exists());
    assert_eq!(inbox.put(message(1), 1, b"late").unwrap(), Put::Known(1));
    assert_eq!(inbox.put(message(3), 1, b"next").unwrap(), Put::New(3));
    assert_eq!(numbers(0, 9), [2, 3]);
}

#[test]
fn settings_last_and_are_listed_by_prefix() {
    let dir = TempDir::new().unwrap();
    let meta = Store::open(dir.path(), home_key())
        .unwrap()
        .0
        .handle()
        .meta();
    for key in ["link/a", "link/b", "linkage", "a"] {
        meta.put(key, key.as_bytes()).unwrap();
    }
    assert!(meta.delete("a").unwrap() && !meta.delete("a").unwrap());
    drop(meta);
    let meta = Store::open(dir.path(), home_key())
        .unwrap()
        .0
        .handle()
        .meta();
    let keys = |prefix: &str| -> Vec<String> {
        meta.list(prefix)
            .unwrap()
            .into_iter()
            .map(|(k, _)| k)
            .collect()
    };
    assert_eq!(keys("link/"), ["link/a", "link/b"]);
    assert_eq!(keys(""), ["link/a", "link/b", "linkage"]);
    assert_eq!(meta.get("link/b").unwrap().unwrap(), b"link/b");
    assert_eq!(meta.get("a").unwrap(), None);
}

#[test]
fn the_start_empties_tmp_and_a_sweep_removes_what_nobody_wants() {
    let (dir, file) = with_notes();
    let (mut store, _) = Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
    let half = dir.path().join("tmp/half");
    fs::write(&half, b"x").unwrap();
    for n in 2..60 {
        let made = dir.path().join("tmp/m");
        fs::write(&made, [n]).unwrap();
        let out = FileId {
            kind: FileKind::Outgoing,
            ..incoming(n)
        };
        store.handle().import_outgoing(out, &made).unwrap();
        assert_eq!(store.handle().fetch(out, 0, 1).unwrap()[0], n);
    }
    assert!(store.home.files.held() <= 32, "descriptors are bounded");
    assert_eq!(store.sweep(|f| f == file).unwrap(), 58);
    assert_eq!(store.home.files.list().unwrap(), [file]);
    drop(store);
    Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
    assert!(!half.exists());
}

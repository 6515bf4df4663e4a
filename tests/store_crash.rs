//! The store under a process that is killed at any moment, and on a disk that is full.
#![cfg(feature = "node")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use ostrakon::engine::id::MessageId;
use ostrakon::engine::io::{Batch, FileId, FileKind, Record, Restored, StoreError, Table, Token};
use ostrakon::security::kdf::Key;
use ostrakon::security::rows::RowKey;
use ostrakon::store::Store;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where the child works. Set: this process is the child.
const CHILD: &str = "OSTRAKON_STORE_CRASH_CHILD";
/// Batches of one file.
const EPOCH: u64 = 40;
/// Writes and notes of one batch.
const SLOTS: u64 = 8;
const SYMBOL: u64 = 1344;

fn key() -> RowKey {
    RowKey::new(Key::new([7; 32]))
}

fn epoch_file(n: u64) -> FileId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(n / EPOCH).to_be_bytes());
    FileId {
        kind: FileKind::Incoming,
        message: MessageId(id),
        part: 1,
    }
}

fn slot_offset(n: u64, slot: u64) -> u64 {
    ((n % EPOCH) * SLOTS + slot) * SYMBOL
}

fn symbol(n: u64, slot: u64) -> Vec<u8> {
    let mut out = vec![0; SYMBOL as usize];
    blake3::Hasher::new()
        .update(&n.to_be_bytes())
        .update(&slot.to_be_bytes())
        .finalize_xof()
        .fill(&mut out);
    out
}

fn is_durable(n: u64) -> bool {
    n.is_multiple_of(5)
}

/// The `n`th batch. Every fifth is durable and records `n`; the first of an epoch changes files.
fn nth(n: u64) -> Batch {
    let mut records = Vec::new();
    let file = epoch_file(n);
    if n.is_multiple_of(EPOCH) {
        let len = EPOCH * SLOTS * SYMBOL;
        records.push(Record::Create { file, len });
        if n > 0 {
            let file = epoch_file(n - 1);
            records.push(Record::Remove { file });
        }
    }
    for slot in 0..SLOTS {
        records.push(Record::Write {
            file,
            offset: slot_offset(n, slot),
            bytes: symbol(n, slot).into(),
        });
        if !is_durable(n) {
            let note = [n.to_be_bytes(), slot.to_be_bytes()].concat();
            records.push(Record::Journal(note));
        }
    }
    if is_durable(n) {
        let put = |key: Vec<u8>| Record::Put {
            table: Table::Ledger,
            key,
            value: n.to_be_bytes().to_vec(),
        };
        records.push(put(b"progress".to_vec()));
        records.push(put(n.to_be_bytes().to_vec()));
        if n >= 50 {
            let key = (n - 50).to_be_bytes().to_vec();
            let table = Table::Ledger;
            records.push(Record::Delete { table, key });
        }
    }
    Batch {
        token: Token(n),
        records,
        durable: is_durable(n),
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

/// The last batch that is durable, and the last that is here whole, by its notes; panics if the notes are not
/// those of the batches after the durable one, in order. A process that goes on after a batch of which only a
/// part of the notes survived gives them anew.
fn progress(restored: &Restored) -> (Option<u64>, Option<u64>) {
    let progress = restored.rows.iter().find(|(_, key, _)| key == b"progress");
    let durable = progress.map(|(_, _, value)| number(value));
    let mut whole = durable;
    let mut slot = 0;
    for note in &restored.journal {
        let next = whole.map_or(0, |n| n + 1);
        let found = (number(&note[..8]), number(&note[8..]));
        assert!(
            found == (next, slot) || found == (next, 0),
            "after {whole:?} came the note {found:?}"
        );
        slot = found.1 + 1;
        if slot == SLOTS {
            whole = Some(next);
            slot = 0;
        }
    }
    (durable, whole)
}

/// Not a test of its own: the process that `a_killed_process_loses_nothing_acknowledged` kills.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let (mut store, restored) = Store::open(Path::new(&dir), key()).unwrap();
    // Sealed files, beside those in the clear that other lives have made.
    store.seal_content(std::process::id().is_multiple_of(2));
    let from = progress(&restored).1.map_or(0, |n| n + 1);
    let mut out = std::io::stdout();
    for n in from.. {
        store.apply(&nth(n)).unwrap();
        out.write_all(format!("ack {n}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

/// Runs a child until it has acknowledged about `acks` batches and `grace` more has passed, then kills it.
/// Returns the last batch that it acknowledged.
fn run_child(dir: &Path, acks: u64, grace: Duration) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = None;
    let mut seen = 0;
    while seen < acks {
        let line = lines.next().expect("the child died by itself").unwrap();
        if let Some(n) = ack(&line) {
            last = Some(n);
            seen += 1;
        }
    }
    std::thread::sleep(grace);
    child.kill().unwrap();
    child.wait().unwrap();
    lines
        .map_while(Result::ok)
        .filter_map(|l| ack(&l))
        .last()
        .or(last)
}

fn ack(line: &str) -> Option<u64> {
    line.split_once("ack ")?.1.parse().ok()
}

fn check(dir: &Path, acked: Option<u64>) {
    let (store, restored) = Store::open(dir, key()).unwrap();
    let (durable, whole) = progress(&restored);
    let Some(acked) = acked else {
        return;
    };
    assert!(
        whole >= Some(acked),
        "acknowledged {acked}, found {whole:?}"
    );
    let durable = durable.unwrap();
    assert!(
        durable >= acked - acked % 5,
        "of {acked} only {durable} is durable"
    );
    let keys = restored
        .rows
        .iter()
        .filter(|(_, key, _)| key != b"progress");
    let keys: Vec<u64> = keys.map(|(_, key, _)| number(key)).collect();
    let from = durable.saturating_sub(45);
    let expected: Vec<u64> = (from..=durable).filter(|n| is_durable(*n)).collect();
    assert_eq!(keys, expected);

    let whole = whole.unwrap();
    let handle = store.handle();
    for n in whole - whole % EPOCH..=whole {
        for slot in 0..SLOTS {
            let at = slot_offset(n, slot);
            let found = handle.fetch(epoch_file(n), at, SYMBOL as usize).unwrap();
            assert!(
                found == symbol(n, slot),
                "symbol {slot} of batch {n} is lost"
            );
        }
    }
    for epoch in 0..durable / EPOCH {
        let path = handle.payload_path(epoch_file(epoch * EPOCH));
        assert!(!path.exists(), "the file of epoch {epoch} should be gone");
    }
}

/// If this fails: a batch was acknowledged, the process was killed (the kernel went on), and the next one did not
/// find it; or it found a note of bytes that are not there.
#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let seed = match std::env::var("OSTRAKON_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => u64::from(std::process::id()),
    };
    println!("OSTRAKON_SEED={seed}");
    let mut state = blake3::Hasher::new()
        .update(&seed.to_be_bytes())
        .finalize_xof();
    let mut random = |below: u64| {
        let mut bytes = [0; 8];
        state.fill(&mut bytes);
        u64::from_be_bytes(bytes) % below
    };
    let dir = tempfile::tempdir().unwrap();
    let mut acked = None;
    for round in 0..32 {
        let grace = Duration::from_micros(random(4000));
        acked = run_child(dir.path(), random(45), grace).or(acked);
        // Now and then two in a row die before anybody looks.
        if random(4) > 0 || round == 31 {
            check(dir.path(), acked);
        }
    }
    assert!(acked > Some(100), "got as far as {acked:?}");
}

/// A small file system of its own.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, with a line to say so, where this process may not mount.
    fn mount(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        if done.is_ok_and(|status| status.success()) {
            return Some(Self { dir });
        }
        println!("skipped: mounting a tmpfs is not permitted here");
        None
    }

    /// Fills it up, save for about `left` bytes.
    fn fill(&self, left: u64) {
        let path = self.dir.path().join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let len = file.metadata().unwrap().len();
        file.set_len(len.saturating_sub(left)).unwrap();
    }

    fn free(&self) {
        // Emptied first: a child on its way to another program may hold the file open for a moment.
        let path = self.dir.path().join("ballast");
        std::fs::write(&path, b"").unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.dir.path()).status();
    }
}

fn full_batch(n: u8) -> Batch {
    let file = epoch_file(u64::from(n) * EPOCH);
    let table = Table::Inbox;
    let len = 60_000;
    let bytes = Bytes::from(vec![n; 50_000]);
    Batch {
        token: Token(u64::from(n)),
        records: vec![
            Record::Create { file, len },
            Record::Write {
                file,
                offset: 10_000,
                bytes,
            },
            Record::Put {
                table,
                key: vec![n],
                value: vec![n; 150_000],
            },
        ],
        durable: true,
    }
}

/// If this fails: a full disk cost something that was acknowledged, or the store did not go on once there was
/// room. The room left is varied, so that each step of a batch is the one that fails in some round.
#[test]
fn a_full_disk_loses_nothing_and_is_got_over() {
    let Some(disk) = SmallDisk::mount(64 << 20) else {
        return;
    };
    let home = disk.dir.path().join("home");
    let (mut store, _) = Store::open(&home, key()).unwrap();
    store.apply(&full_batch(0)).unwrap();
    let mut failed = Vec::new();
    let mut cheap_failed = 0;
    let mut notes = Vec::new();
    for n in 1..=48_u8 {
        disk.fill(u64::from(n) * 8192);
        for try_number in 0..3 {
            match store.apply(&full_batch(n)) {
                Ok(()) => {
                    notes.clear();
                    break;
                }
                Err(StoreError::Full(text)) => {
                    assert!(text.contains("free some space"), "{text}");
                    failed.push(text);
                }
                Err(other) => panic!("batch {n}, try {try_number}: {other}"),
            }
        }
        let cheap = Batch {
            // Nothing waits behind it: that later batches would fail has a test of its own.
            token: Token(u64::from(n)),
            records: vec![Record::Journal(vec![n; 9000])],
            durable: false,
        };
        match store.apply(&cheap) {
            Ok(()) => notes.push(vec![n; 9000]),
            Err(StoreError::Full(_)) => cheap_failed += 1,
            Err(other) => panic!("note {n}: {other}"),
        }
        disk.free();
        if n % 4 == 0 {
            // Reopened before the batch is given again: what was acknowledged is there.
            drop(store);
            let (again, restored) = Store::open(&home, key()).unwrap();
            store = again;
            assert_eq!(restored.journal, notes);
        }
        store.apply(&full_batch(n)).unwrap();
        notes.clear();
    }
    let of = |what: &str| failed.iter().filter(|text| text.contains(what)).count();
    let (reserve, commit) = (of("reserve space for"), of("state.redb"));
    println!("full: {reserve} x reserving, {commit} x committing, {cheap_failed} x noting");
    assert!(reserve > 0 && commit > 0 && cheap_failed > 0);
    drop(store);
    let (store, restored) = Store::open(&home, key()).unwrap();
    let keys: Vec<u8> = restored.rows.iter().map(|(_, key, _)| key[0]).collect();
    assert_eq!(keys, (0..=48).collect::<Vec<u8>>());
    for (_, key, value) in &restored.rows {
        let n = key[0];
        assert_eq!(value, &vec![n; 150_000]);
        let file = epoch_file(u64::from(n) * EPOCH);
        let found = store.handle().fetch(file, 10_000, 50_000).unwrap();
        assert!(found == vec![n; 50_000]);
    }
}

//! Another program writes into the file of a store that is open.

use super::*;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// More than the database keeps in memory.
const FRAMES_HELD: u8 = 48;
const FRAME_LEN: usize = 1 << 20;

fn filled(dir: &TempDir) -> (MailboxStore, PathBuf) {
    let limits = MailboxLimits {
        max_bytes: 1 << 30,
        max_frames_per_tag: 1 << 10,
        max_bytes_per_tag: 1 << 30,
        ..LIMITS
    };
    let store = MailboxStore::open(dir.path(), limits).unwrap();
    for n in 0..FRAMES_HELD {
        let stored = put(&store, 1, &[(tag(1), frame(n, FRAME_LEN))]).unwrap();
        assert!(matches!(stored[..], [Verdict::Stored(_)]));
    }
    (store, dir.path().join("mailbox.redb"))
}

/// The store fails by name with whatever it is asked next, and takes nothing more.
fn is_lost(store: &MailboxStore) {
    let why = store.lost();
    assert!(matches!(why, Some(StoreError::Corrupt(_))), "{why:?}");
    let stored = put(store, 2, &[(tag(2), frame(1, 10))]);
    assert_eq!(stored, Err(why.clone().unwrap()));
    assert_eq!(
        store.fetch(&[tag(1)], &Cursor::default(), 10),
        Err(why.unwrap())
    );
}

/// Guards that nothing is taken any more, and so nothing confirmed, once the file was cut, replaced or removed.
#[test]
fn a_file_that_is_not_the_one_that_was_written_takes_nothing_more() {
    let cut = |path: &Path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    };
    let replaced = |path: &Path| {
        let other = path.with_extension("copy");
        fs::copy(path, &other).unwrap();
        fs::rename(other, path).unwrap();
    };
    let removed = |path: &Path| fs::remove_file(path).unwrap();
    let ways: [&dyn Fn(&Path); 3] = [&cut, &replaced, &removed];
    for change in ways {
        let dir = tempfile::tempdir().unwrap();
        let (store, path) = filled(&dir);
        assert_eq!(store.lost(), None);
        change(&path);
        assert!(put(&store, 2, &[(tag(2), frame(1, 10))]).is_err());
        is_lost(&store);
    }
}

/// Guards that pages which another program has written over are an error and neither a panic nor frames that nobody has stored.
#[test]
fn pages_that_were_written_over_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (store, path) = filled(&dir);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let noise = vec![0xee; 1 << 20];
    for at in (0..file.metadata().unwrap().len() >> 20).map(|mib| mib << 20) {
        file.write_all_at(&noise, at).unwrap();
    }
    let stored: Vec<Bytes> = (0..FRAMES_HELD).map(|n| frame(n, FRAME_LEN)).collect();
    let mut after = Cursor::default();
    let failed = loop {
        match store.fetch(&[tag(1)], &after, 1) {
            Ok(found) => {
                let held = found.first().expect("all were read");
                assert!(stored.contains(&held.frame), "{:?}", held.place);
                after.0[usize::from(held.place.class)] = held.place.number;
            }
            Err(error) => break error,
        }
    };
    assert_eq!(store.lost(), Some(failed));
    is_lost(&store);
}

//! Sealed bulk files.

use super::*;
use crate::security::content::HEAD;
use std::io::{Read, Write};

const TEXT: &[u8] = b"the wells in the north are dry, the column leaves on Tuesday";

fn outgoing(n: u8) -> FileId {
    FileId {
        kind: FileKind::Outgoing,
        ..incoming(n)
    }
}

/// A store that seals, with a file that arrives and a snapshot of the same content.
fn sealing(dir: &Path) -> Store {
    let (mut store, _) = Store::open_in_boot(dir, home_key(), THIS).unwrap();
    store.seal_content(true);
    let (file, len) = (incoming(1), TEXT.len() as u64);
    let create = Record::Create { file, len };
    store.apply(&batch(true, vec![create])).unwrap();
    for at in [20, 0, 40] {
        let bytes = Bytes::copy_from_slice(&TEXT[at..(at + 20).min(TEXT.len())]);
        let offset = at as u64;
        let write = Record::Write {
            file,
            offset,
            bytes,
        };
        store.apply(&batch(at == 40, vec![write])).unwrap();
    }
    let mut snapshot = store.handle().snapshot("s").unwrap();
    snapshot.write_all(TEXT).unwrap();
    snapshot.sync().unwrap();
    let mut again = Vec::new();
    snapshot.reader().read_to_end(&mut again).unwrap();
    assert_eq!(again, TEXT);
    let path = snapshot.path().to_owned();
    store.handle().import_outgoing(outgoing(1), &path).unwrap();
    store
}

/// What is sealed reads as it was written, in any piece, after another start, whether new files are sealed then or not; in
/// the inbox too. No file has four bytes of it in a row.
#[test]
fn sealed_files_read_as_they_were_written_and_show_nothing() {
    let dir = TempDir::new().unwrap();
    drop(sealing(dir.path()));
    let (store, _) = Store::open_in_boot(dir.path(), home_key(), OTHER).unwrap();
    for file in [incoming(1), outgoing(1)] {
        for (at, len) in [(0, TEXT.len()), (7, 9), (TEXT.len() - 1, 1)] {
            let found = store.handle().fetch(file, at as u64, len).unwrap();
            assert_eq!(&found[..], &TEXT[at..at + len]);
        }
        let beyond = store.handle().fetch(file, 1, TEXT.len());
        assert!(matches!(beyond, Err(StoreError::Corrupt(_))));
    }
    let kept = store.handle().inbox().keep_incoming(message(1), 1).unwrap();
    let mut content = Vec::new();
    let mut reader = store.handle().inbox().content(message(1), 1).unwrap();
    reader.read_to_end(&mut content).unwrap();
    assert_eq!(content, TEXT);
    let paths = [incoming(1), outgoing(1)].map(|file| store.home.files.path(file));
    for path in paths.iter().chain([&kept]) {
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes.len(), HEAD + TEXT.len());
        let shows = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(!TEXT.windows(4).any(shows), "{}", path.display());
    }
}

/// Files of before stay as they are, those made while nothing is sealed are in the clear, and all are read.
#[test]
fn sealed_and_clear_files_lie_side_by_side() {
    let dir = TempDir::new().unwrap();
    let mut store = sealing(dir.path());
    store.seal_content(false);
    let (file, len) = (incoming(2), 5);
    let records = vec![Record::Create { file, len }, write(file, 0, "plain")];
    store.apply(&batch(true, records)).unwrap();
    store.seal_content(true);
    assert_eq!(store.handle().fetch(file, 0, 5).unwrap(), "plain");
    assert_eq!(fs::read(store.home.files.path(file)).unwrap(), b"plain");
    let sealed = store.handle().fetch(incoming(1), 0, TEXT.len()).unwrap();
    assert_eq!(&sealed[..], TEXT);
}

/// A home of the format before, which knew no sealed files, is taken over; programs of before refuse it then.
#[test]
fn a_home_of_the_format_before_is_taken_over() {
    let dir = TempDir::new().unwrap();
    drop(Store::open(dir.path(), home_key()).unwrap());
    let state = dir.path().join("state.redb");
    let db = Db::open(&state, FORMAT..=FORMAT).unwrap();
    db.write(|txn| {
        txn.open_table(COUNTERS)?.insert("format", FORMAT - 1)?;
        Ok(())
    })
    .unwrap();
    drop(db);
    drop(Store::open(dir.path(), home_key()).unwrap());
    let before = Db::open(&state, FORMAT - 1..=FORMAT - 1).err().unwrap();
    assert!(matches!(before, OpenError::Version { found: FORMAT, .. }));
}

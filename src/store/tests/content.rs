//! Bulk files, sealed and in the clear.

use super::*;
use crate::security::content::HEAD;
use proptest::prelude::*;
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
    let db = Db::open(&state, FORMAT..=FORMAT, None).unwrap();
    db.write(|txn| {
        txn.open_table(COUNTERS)?.insert("format", FORMAT - 1)?;
        Ok(())
    })
    .unwrap();
    drop(db);
    drop(Store::open(dir.path(), home_key()).unwrap());
    let before = Db::open(&state, FORMAT - 1..=FORMAT - 1, None)
        .err()
        .unwrap();
    assert!(matches!(before, OpenError::Version { found: FORMAT, .. }));
}

/// Bytes of which no two pages are the same.
fn noise(len: usize, salt: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&[salt])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// Bytes of the files that the tests below write.
const LARGE: usize = 2_500_000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Guards that what is written past the memory of the system and what is not are one file: symbols that come in runs
    /// of any length at any place, read again in any piece, before and after they are durable and after another start.
    #[test]
    fn runs_of_any_length_at_any_place_read_as_they_were_written(
        sealed: bool,
        runs in proptest::collection::vec((0..LARGE, 1usize..400_000, 1usize..3000, any::<bool>()), 1..8),
        reads in proptest::collection::vec((0..LARGE, 1..LARGE), 6),
    ) {
        let dir = TempDir::new().unwrap();
        let (mut store, _) = Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
        store.seal_content(sealed);
        let (file, mut model) = (incoming(1), vec![0; LARGE]);
        let create = Record::Create { file, len: LARGE as u64 };
        store.apply(&batch(true, vec![create])).unwrap();
        // What nobody has written reads as anything in a sealed file.
        let all = (0, LARGE, 1344, true);
        for (salt, (at, len, piece, durable)) in std::iter::once(all).chain(runs).enumerate() {
            let len = len.min(LARGE - at);
            model[at..at + len].copy_from_slice(&noise(len, salt as u8));
            let pieces = (at..at + len).step_by(piece).map(|from| Record::Write {
                file,
                offset: from as u64,
                bytes: Bytes::copy_from_slice(&model[from..(from + piece).min(at + len)]),
            });
            store.apply(&batch(durable, pieces.collect())).unwrap();
            let found = store.handle().fetch(file, at as u64, len).unwrap();
            prop_assert!(found == model[at..at + len]);
        }
        let check = |store: &Store| {
            for &(at, len) in &reads {
                let len = len.min(LARGE - at);
                let found = store.handle().fetch(file, at as u64, len).unwrap();
                assert!(found == model[at..at + len], "{len} bytes at {at}");
            }
        };
        check(&store);
        drop(store);
        check(&Store::open_in_boot(dir.path(), home_key(), OTHER).unwrap().0);
    }

    /// Guards the same for what is sent, which is written in one go.
    #[test]
    fn a_snapshot_in_chunks_of_any_length_reads_as_it_was_written(
        sealed: bool,
        len in 1..LARGE,
        in_pages: bool,
        chunk in 1usize..1_500_000,
        reads in proptest::collection::vec((0..LARGE, 1..LARGE), 6),
    ) {
        let dir = TempDir::new().unwrap();
        let (store, _) = Store::open_in_boot(dir.path(), home_key(), THIS).unwrap();
        store.seal_content(sealed);
        let (file, content) = (outgoing(1), noise(len, 1));
        let mut snapshot = store.handle().snapshot("s").unwrap();
        let (mut from, mut pages) = (&content[..], Pages::new(chunk));
        while in_pages && !from.is_empty() {
            pages.fill(&mut from).unwrap();
            snapshot.write_all(&pages).unwrap();
        }
        from.chunks(chunk).for_each(|chunk| snapshot.write_all(chunk).unwrap());
        snapshot.sync().unwrap();
        let path = snapshot.path().to_owned();
        store.handle().import_outgoing(file, &path).unwrap();
        for (at, most) in reads.into_iter().chain([(0, len), (len - 1, 1)]) {
            let at = at.min(len - 1);
            let most = most.min(len - at);
            let found = store.handle().fetch(file, at as u64, most).unwrap();
            prop_assert!(found == content[at..at + most]);
        }
        let beyond = store.handle().fetch(file, 0, len + 1);
        prop_assert!(matches!(beyond, Err(StoreError::Corrupt(_))));
    }
}

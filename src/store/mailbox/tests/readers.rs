//! Several readers of one mailbox.

use super::*;
use crate::store::mailbox::readers::{AWAY_S, MOST};

fn reader(n: u8) -> Reader {
    Reader {
        mailbox: [9; 32],
        link: [n; 32],
    }
}

/// Large enough that nothing here is full.
const WIDE: MailboxLimits = MailboxLimits {
    max_frames_per_tag: 100,
    max_bytes_per_tag: 100_000,
    max_bytes: 100_000,
    ..LIMITS
};

fn numbers(store: &MailboxStore, reader: &Reader) -> Vec<u64> {
    let fetched = store.fetch_for(reader, &[tag(1)], &Cursor::default(), 50_000);
    let frames = fetched.unwrap().0.into_iter();
    frames.map(|held| held.place.number).collect()
}

fn release(store: &MailboxStore, now_s: u64, reader: &Reader, upto: u64) -> u64 {
    let places = store.places(&[tag(1)], &Cursor([upto; CLASSES])).unwrap();
    store.release(now_s, reader, &places).unwrap()
}

/// Guards that a frame goes when all readers have released it, is handed to none twice, and that one who stays away for a month
/// holds nothing back; also through a restart.
#[test]
fn each_reader_gets_everything_once() {
    let dir = TempDir::new().unwrap();
    let store = MailboxStore::open(dir.path(), WIDE).unwrap();
    let (one, two) = (reader(1), reader(2));
    store.note_reader(1000, &one).unwrap();
    put(&store, 1000, &[(tag(1), frame(0, 10))]).unwrap();
    assert_eq!(release(&store, 1000, &one, 1), 1, "nobody else is known");
    store.note_reader(1001, &two).unwrap();
    let frames = [1, 2, 3].map(|n| (tag(1), frame(n, 10)));
    put(&store, 1001, &frames).unwrap();
    assert_eq!(release(&store, 1002, &one, 3), 0);
    drop(store);
    let store = MailboxStore::open(dir.path(), WIDE).unwrap();
    assert_eq!(
        (numbers(&store, &one), numbers(&store, &two)),
        (vec![4], vec![2, 3, 4])
    );
    let (none, upto) = store
        .fetch_for(&one, &[tag(1)], &Cursor([0, 0, 0, 4]), 50_000)
        .unwrap();
    assert_eq!((none.len(), upto), (0, Cursor([0, 2, 3, 4])));
    assert_eq!(release(&store, 1003, &two, 4), 2);
    assert_eq!(numbers(&store, &one), [4]);
    let later = 1003 + AWAY_S;
    store.note_reader(later, &one).unwrap();
    assert_eq!(release(&store, later, &one, 4), 1, "the other one is away");
    assert_eq!(store.totals().unwrap(), Totals::default());
}

/// Guards that what waits for readers who are away gives way to what comes, and no other frames do; and that a preamble comes
/// anew to who has released it.
#[test]
fn who_is_away_fills_no_mailbox() {
    let dir = TempDir::new().unwrap();
    let store = MailboxStore::open(dir.path(), LIMITS).unwrap();
    let (one, two) = (reader(1), reader(2));
    for reader in [&one, &two] {
        store.note_reader(1000, reader).unwrap();
    }
    let six = (1..7).map(|n| (tag(1), frame(n, 10)));
    put(&store, 1000, &six.collect::<Vec<_>>()).unwrap();
    let more = [(tag(1), frame(7, 10))];
    assert_eq!(put(&store, 1000, &more).unwrap(), [Verdict::TagFull]);
    assert_eq!(release(&store, 1000, &one, 2), 0);
    assert_eq!(put(&store, 1000, &more).unwrap(), [Verdict::Stored(7)]);
    assert_eq!(numbers(&store, &two).len(), 6);
    assert_eq!(release(&store, 1000, &one, 7), 0);
    let envelope = Envelope {
        tag: tag(1),
        age: 0,
        hops: 9,
        priority: 0,
    };
    let announced = envelope.wrap(&[&preamble::MARK[..], &[5; 136]].concat());
    let announced = [(tag(1), Bytes::from(announced))];
    let verdicts = put(&store, 1000, &announced).unwrap();
    assert_eq!(verdicts, [Verdict::Stored(8)]);
    assert_eq!(put(&store, 1000, &announced).unwrap(), [Verdict::Duplicate]);
    release(&store, 1000, &one, 8);
    assert_eq!(put(&store, 1000, &announced).unwrap(), [Verdict::Stored(9)]);
    assert_eq!(numbers(&store, &one), [9]);
}

/// Guards that readers are bounded, and that the one who was away for longest gives way.
#[test]
fn readers_of_a_mailbox_are_bounded() {
    let dir = TempDir::new().unwrap();
    let store = MailboxStore::open(dir.path(), WIDE).unwrap();
    for n in 0..=MOST as u8 {
        store.note_reader(1000 + u64::from(n), &reader(n)).unwrap();
    }
    put(&store, 2000, &[(tag(1), frame(1, 10))]).unwrap();
    let gone: u64 = (1..=MOST as u8)
        .map(|n| release(&store, 2000, &reader(n), 1))
        .sum();
    assert_eq!(gone, 1, "the first one is not waited for");
}

//! What a relay's mailboxes promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::wire::envelope::Envelope;
use crate::wire::preamble;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tempfile::TempDir;

mod damage;
mod grants;
mod readers;

const LIMITS: MailboxLimits = MailboxLimits {
    max_bytes: 5000,
    max_frames_per_tag: 6,
    max_bytes_per_tag: 2000,
    max_age: Duration::from_secs(100),
    max_seen: 5,
};

fn tag(n: u8) -> Tag {
    [n; 8]
}

/// Stores frames for which nobody has to pay.
fn put(
    store: &MailboxStore,
    now_s: u64,
    frames: &[(Tag, Bytes)],
) -> Result<Vec<Verdict>, StoreError> {
    let free = frames.iter().map(|(tag, frame)| Brought {
        tag: *tag,
        frame: frame.clone(),
        grants: None,
    });
    store.store(now_s, &free.collect::<Vec<_>>())
}

/// A frame of class `n % 4`, or one without an envelope.
fn frame(n: u8, len: usize) -> Bytes {
    let inner = vec![n; len];
    let envelope = Envelope {
        tag: [0; 8],
        age: 0,
        hops: 9,
        priority: n % 4,
    };
    match len {
        0 => Bytes::new(),
        _ => envelope.wrap(&inner).into(),
    }
}

fn class(frame: &Bytes) -> u8 {
    Envelope::unwrap(frame).map_or(3, |(envelope, _)| envelope.priority)
}

#[derive(Clone, Debug)]
enum Op {
    Store(Vec<(u8, u8, usize)>),
    Fetch(Vec<u8>, [u64; 4], usize),
    Delete(Vec<u8>, [u64; 4]),
    PassOn(Vec<u8>, [u64; 4]),
    Expire,
    Wait(u64),
    Reopen,
}

fn any_op() -> impl Strategy<Value = Op> {
    let tags = prop::collection::vec(0_u8..4, 0..3);
    let cursor = prop::array::uniform4(0_u64..40);
    let frame = (
        0_u8..4,
        any::<u8>(),
        prop_oneof![Just(0_usize), 1_usize..700],
    );
    prop_oneof![
        6 => prop::collection::vec(frame, 0..5).prop_map(Op::Store),
        3 => (tags.clone(), cursor.clone(), 0_usize..2000).prop_map(|(t, a, m)| Op::Fetch(t, a, m)),
        1 => (tags.clone(), cursor.clone()).prop_map(|(t, upto)| Op::Delete(t, upto)),
        2 => (tags, cursor).prop_map(|(t, upto)| Op::PassOn(t, upto)),
        1 => Just(Op::Expire),
        2 => prop_oneof![1_u64..60, Just(seen::REPEAT_S)].prop_map(Op::Wait),
        1 => Just(Op::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    /// By class and number: tag, second, frame.
    held: BTreeMap<(u8, u64), (Tag, u64, Bytes)>,
    last: u64,
    /// What was passed on and when, the oldest first.
    seen: Vec<(Bytes, u64)>,
}

impl Model {
    fn totals(&self, only: Option<Tag>) -> Totals {
        let held = self.held.values();
        held.filter(|(tag, ..)| only.is_none_or(|t| t == *tag))
            .fold(Totals::default(), |sum, (_, _, f)| {
                sum.plus(Totals::of(f.len()))
            })
    }

    fn store(&mut self, now: u64, tag: Tag, frame: &Bytes) -> Verdict {
        if self.held.values().any(|(t, _, f)| *t == tag && f == frame) {
            return Verdict::Duplicate;
        }
        let recent = |(f, at): &(Bytes, u64)| f == frame && now - at < seen::REPEAT_S;
        if self.seen.iter().any(recent) {
            return Verdict::Seen;
        }
        let cost = Totals::of(frame.len());
        if self.totals(None).plus(cost).bytes > LIMITS.max_bytes {
            return Verdict::Full;
        }
        let of_tag = self.totals(Some(tag)).plus(cost);
        if of_tag.frames > LIMITS.max_frames_per_tag || of_tag.bytes > LIMITS.max_bytes_per_tag {
            return Verdict::TagFull;
        }
        self.last += 1;
        let place = (class(frame), self.last);
        self.held.insert(place, (tag, now, frame.clone()));
        Verdict::Stored(self.last)
    }

    fn fetch(&self, tags: &[Tag], after: [u64; 4], max: usize) -> Vec<StoredFrame> {
        let mut out: Vec<StoredFrame> = Vec::new();
        let mut sum = 0;
        for (&(class, number), (tag, since_s, frame)) in &self.held {
            if number <= after[usize::from(class)] || !tags.contains(tag) {
                continue;
            }
            sum += frame.len();
            if sum > max && !out.is_empty() {
                break;
            }
            let tag = *tag;
            out.push(StoredFrame {
                place: Place { tag, class, number },
                since_s: *since_s,
                frame: frame.clone(),
            });
        }
        out
    }

    fn pass_on(&mut self, now: u64, places: &[Place]) -> u64 {
        let mut gone = 0;
        for place in places {
            let Some((_, _, frame)) = self.held.remove(&(place.class, place.number)) else {
                continue;
            };
            gone += 1;
            self.seen.retain(|(f, _)| *f != frame);
            self.seen.push((frame, now));
            if self.seen.len() as u64 > LIMITS.max_seen {
                self.seen.remove(0);
            }
        }
        gone
    }

    fn expire(&mut self, now: u64) -> u64 {
        let before = self.held.len();
        self.held.retain(|_, (_, second, _)| *second + 100 >= now);
        (before - self.held.len()) as u64
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Verdicts, order, limits, deletion, totals and what is remembered of frames that were passed on are those of
    /// a plain list, also after a restart.
    #[test]
    fn mailboxes_do_what_the_model_does(ops in prop::collection::vec(any_op(), 1..40)) {
        let dir = TempDir::new().unwrap();
        let mut store = MailboxStore::open(dir.path(), LIMITS).unwrap();
        let mut model = Model::default();
        let mut now = 1000;
        for op in ops {
            match op {
                Op::Store(frames) => {
                    let frames: Vec<(Tag, Bytes)> =
                        frames.iter().map(|(t, n, len)| (tag(*t), frame(*n, *len))).collect();
                    let expected: Vec<Verdict> =
                        frames.iter().map(|(t, f)| model.store(now, *t, f)).collect();
                    prop_assert_eq!(put(&store, now, &frames).unwrap(), expected);
                }
                Op::Fetch(tags, after, max) => {
                    let tags: Vec<Tag> = tags.into_iter().map(tag).collect();
                    let found = store.fetch(&tags, &Cursor(after), max).unwrap();
                    prop_assert_eq!(found, model.fetch(&tags, after, max));
                }
                Op::Delete(tags, upto) => {
                    let tags: Vec<Tag> = tags.into_iter().map(tag).collect();
                    let places = store.places(&tags, &Cursor(upto)).unwrap();
                    let before = model.held.len();
                    model.held.retain(|(class, number), (t, _, _)| {
                        *number > upto[usize::from(*class)] || !tags.contains(t)
                    });
                    let gone = (before - model.held.len()) as u64;
                    prop_assert_eq!(store.delete(&places).unwrap(), gone);
                }
                Op::PassOn(tags, upto) => {
                    let tags: Vec<Tag> = tags.into_iter().map(tag).collect();
                    let places = store.places(&tags, &Cursor(upto)).unwrap();
                    let gone = model.pass_on(now, &places);
                    prop_assert_eq!(store.pass_on(now, &places).unwrap(), gone);
                    prop_assert_eq!(store.pass_on(now, &places).unwrap(), 0);
                }
                Op::Expire => {
                    prop_assert_eq!(store.expire(now).unwrap(), model.expire(now));
                }
                Op::Wait(seconds) => now += seconds,
                Op::Reopen => {
                    drop(store);
                    store = MailboxStore::open(dir.path(), LIMITS).unwrap();
                }
            }
            prop_assert_eq!(store.totals().unwrap(), model.totals(None));
        }
    }
}

/// A frame sent again is older than the first copy, and still the same frame.
#[test]
fn copies_that_differ_in_the_envelope_only_are_kept_once() {
    let dir = TempDir::new().unwrap();
    let store = MailboxStore::open(dir.path(), LIMITS).unwrap();
    let copy = |age, inner: &[u8]| {
        let envelope = Envelope {
            tag: tag(1),
            age,
            hops: 3,
            priority: 0,
        };
        (tag(1), Bytes::from(envelope.wrap(inner)))
    };
    let frames = [copy(0, b"one"), copy(9, b"one"), copy(9, b"two")];
    let verdicts = put(&store, 1000, &frames).unwrap();
    assert_eq!(
        verdicts,
        [Verdict::Stored(1), Verdict::Duplicate, Verdict::Stored(2)]
    );
}

/// A frame that was passed on is dropped when it comes back by a longer way, for a day; sent anew by its sender it
/// gets through after ten minutes, for it may have been lost further on.
#[test]
fn a_copy_by_a_longer_way_is_dropped_and_one_sent_anew_is_not() {
    let dir = TempDir::new().unwrap();
    let store = MailboxStore::open(dir.path(), LIMITS).unwrap();
    let copy = |hops| {
        let envelope = Envelope {
            tag: tag(1),
            age: 0,
            hops,
            priority: 2,
        };
        [(tag(1), Bytes::from(envelope.wrap(b"sealed")))]
    };
    let all = Cursor([u64::MAX; CLASSES]);
    let comes = |now, hops| put(&store, now, &copy(hops)).unwrap()[0];
    assert_eq!(comes(1000, 9), Verdict::Stored(1));
    let places = store.places(&[tag(1)], &all).unwrap();
    assert_eq!(store.pass_on(2000, &places).unwrap(), 1);
    let passed = 2000 + seen::REPEAT_S;
    assert_eq!(comes(passed - 1, 9), Verdict::Seen);
    assert_eq!(comes(passed, 8), Verdict::Seen);
    assert_eq!(comes(2000 + seen::DETOUR_S - 1, 8), Verdict::Seen);
    assert_eq!(comes(passed, 9), Verdict::Stored(2));
}

/// A preamble gets through each time its sender repeats it, for what comes behind it is of no use without one; a second
/// one that would wait beside the first does not, and a fragment is known. So also in a store that once remembered it.
#[test]
fn a_preamble_that_was_passed_on_is_taken_again_and_a_fragment_is_not() {
    let dir = TempDir::new().unwrap();
    let store = MailboxStore::open(dir.path(), LIMITS).unwrap();
    let envelope = Envelope {
        tag: tag(1),
        age: 0,
        hops: 9,
        priority: 0,
    };
    let preamble = envelope.wrap(&[&preamble::MARK[..], &[7; 60]].concat());
    let fragment = envelope.wrap(&[0x40; 60]);
    let frames = [preamble, fragment].map(|frame| (tag(1), Bytes::from(frame)));
    let all = Cursor([u64::MAX; CLASSES]);
    let pass_on = |now| {
        let places = store.places(&[tag(1)], &all).unwrap();
        store.pass_on(now, &places).unwrap()
    };
    let stored = [Verdict::Stored(1), Verdict::Stored(2)];
    assert_eq!(put(&store, 1000, &frames).unwrap(), stored);
    assert_eq!(pass_on(1000), 2);
    for number in 3..6 {
        let again = [Verdict::Stored(number), Verdict::Seen];
        assert_eq!(put(&store, 1001, &frames).unwrap(), again);
        let copies = [Verdict::Duplicate, Verdict::Seen];
        assert_eq!(put(&store, 1001, &frames).unwrap(), copies);
        assert_eq!(pass_on(1001), 1);
    }
    let remember = |txn: &WriteTransaction| {
        let carried = rows::Carried {
            repeats: false,
            ..rows::Carried::of(&frames[0].1)
        };
        seen::remember(txn, 1001, &carried, 5)
    };
    store.db.write(remember).unwrap();
    assert_eq!(
        put(&store, 1002, &frames[..1]).unwrap()[0],
        Verdict::Stored(6)
    );
}

/// An operator sees that the disk is full until something was written again, and not only until something was read.
#[test]
fn a_store_that_failed_says_so_until_it_writes_again() {
    let dir = TempDir::new().unwrap();
    let store = MailboxStore::open(dir.path(), LIMITS).unwrap();
    let full = || redb::Error::Io(std::io::ErrorKind::StorageFull.into());
    assert!(store.change(|_, _| Err::<(), _>(full())).is_err());
    store.tags().unwrap();
    assert!(matches!(store.trouble(), Some(StoreError::Full(_))));
    put(&store, 1000, &[(tag(1), frame(1, 10))]).unwrap();
    assert_eq!(store.trouble(), None);
}

/// Numbers for handing over are new after each restart, whatever was handed over before.
#[test]
fn each_run_of_a_relay_has_numbers_of_its_own() {
    let dir = TempDir::new().unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let store = MailboxStore::open(dir.path(), LIMITS).unwrap();
        let first = store.first_number().unwrap();
        assert!(first >= last + (1 << RUN_BITS));
        last = first;
    }
}

#[test]
fn a_clock_set_back_keeps_no_frame_for_ever() {
    let dir = TempDir::new().unwrap();
    let store = MailboxStore::open(dir.path(), LIMITS).unwrap();
    put(&store, 9_000_000, &[(tag(1), frame(1, 10))]).unwrap();
    assert_eq!(store.expire(1000).unwrap(), 0);
    assert_eq!(store.expire(1100).unwrap(), 0);
    assert_eq!(store.expire(1101).unwrap(), 1);
    assert_eq!(store.totals().unwrap(), Totals::default());
}

#[test]
fn mailboxes_have_one_process_and_one_format() {
    let dir = TempDir::new().unwrap();
    let store = MailboxStore::open(dir.path(), LIMITS).unwrap();
    let second = MailboxStore::open(dir.path(), LIMITS).err().unwrap();
    assert!(matches!(second, OpenError::InUse { .. }), "{second}");
    let set = |txn: &WriteTransaction| {
        txn.open_table(super::super::db::COUNTERS)?
            .insert("format", 1)?;
        Ok(())
    };
    store.db.write(set).unwrap();
    drop(store);
    let other = MailboxStore::open(dir.path(), LIMITS).err().unwrap();
    assert!(
        matches!(other, OpenError::Version { found: 1, .. }),
        "{other}"
    );
}

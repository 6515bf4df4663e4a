//! What a relay's mailboxes promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::wire::envelope::Envelope;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tempfile::TempDir;

const LIMITS: MailboxLimits = MailboxLimits {
    max_bytes: 5000,
    max_frames_per_tag: 6,
    max_bytes_per_tag: 2000,
    max_age: Duration::from_secs(100),
};

fn tag(n: u8) -> Tag {
    [n; 8]
}

fn frame(n: u8, len: usize) -> Bytes {
    vec![n; len].into()
}

#[derive(Clone, Debug)]
enum Op {
    Store(Vec<(u8, u8, usize)>),
    Fetch(Vec<u8>, u64, usize),
    Delete(Vec<u8>, u64),
    Expire,
    Wait(u64),
    Reopen,
}

fn any_op() -> impl Strategy<Value = Op> {
    let tags = prop::collection::vec(0_u8..4, 0..3);
    let frame = (
        0_u8..4,
        any::<u8>(),
        prop_oneof![Just(0_usize), 1_usize..700],
    );
    prop_oneof![
        6 => prop::collection::vec(frame, 0..5).prop_map(Op::Store),
        3 => (tags.clone(), 0_u64..40, 0_usize..2000).prop_map(|(t, a, m)| Op::Fetch(t, a, m)),
        2 => (tags, 0_u64..40).prop_map(|(t, upto)| Op::Delete(t, upto)),
        1 => Just(Op::Expire),
        2 => (1_u64..60).prop_map(Op::Wait),
        1 => Just(Op::Reopen),
    ]
}

/// By number: tag, second, frame.
#[derive(Default)]
struct Model {
    held: BTreeMap<u64, (Tag, u64, Bytes)>,
    last: u64,
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
        let cost = Totals::of(frame.len());
        if self.totals(None).plus(cost).bytes > LIMITS.max_bytes {
            return Verdict::Full;
        }
        let of_tag = self.totals(Some(tag)).plus(cost);
        if of_tag.frames > LIMITS.max_frames_per_tag || of_tag.bytes > LIMITS.max_bytes_per_tag {
            return Verdict::TagFull;
        }
        self.last += 1;
        self.held.insert(self.last, (tag, now, frame.clone()));
        Verdict::Stored(self.last)
    }

    fn fetch(&self, tags: &[Tag], after: u64, max: usize) -> Vec<StoredFrame> {
        let mut out: Vec<StoredFrame> = Vec::new();
        let mut sum = 0;
        for (number, (tag, since_s, frame)) in &self.held {
            if *number <= after || !tags.contains(tag) {
                continue;
            }
            sum += frame.len();
            if sum > max && !out.is_empty() {
                break;
            }
            out.push(StoredFrame {
                number: *number,
                tag: *tag,
                since_s: *since_s,
                frame: frame.clone(),
            });
        }
        out
    }

    fn drop_where(&mut self, gone: impl Fn(u64, &Tag, u64) -> bool) -> u64 {
        let before = self.held.len();
        self.held
            .retain(|number, (tag, second, _)| !gone(*number, tag, *second));
        (before - self.held.len()) as u64
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Verdicts, order, limits, deletion and totals are those of a plain list, also after a restart.
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
                    prop_assert_eq!(store.store(now, &frames).unwrap(), expected);
                }
                Op::Fetch(tags, after, max) => {
                    let tags: Vec<Tag> = tags.into_iter().map(tag).collect();
                    let found = store.fetch(&tags, after, max).unwrap();
                    prop_assert_eq!(found, model.fetch(&tags, after, max));
                }
                Op::Delete(tags, upto) => {
                    let tags: Vec<Tag> = tags.into_iter().map(tag).collect();
                    let gone = model.drop_where(|n, t, _| n <= upto && tags.contains(t));
                    prop_assert_eq!(store.delete(&tags, upto).unwrap(), gone);
                }
                Op::Expire => {
                    let gone = model.drop_where(|_, _, s| s + 100 < now);
                    prop_assert_eq!(store.expire(now).unwrap(), gone);
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
    let verdicts = store.store(1000, &frames).unwrap();
    assert_eq!(
        verdicts,
        [Verdict::Stored(1), Verdict::Duplicate, Verdict::Stored(2)]
    );
}

#[test]
fn a_clock_set_back_keeps_no_frame_for_ever() {
    let dir = TempDir::new().unwrap();
    let store = MailboxStore::open(dir.path(), LIMITS).unwrap();
    store.store(9_000_000, &[(tag(1), frame(1, 10))]).unwrap();
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
            .insert("format", 2)?;
        Ok(())
    };
    store.db.write(set).unwrap();
    drop(store);
    let other = MailboxStore::open(dir.path(), LIMITS).err().unwrap();
    assert!(
        matches!(other, OpenError::Version { found: 2, .. }),
        "{other}"
    );
}

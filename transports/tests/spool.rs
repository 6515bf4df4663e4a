//! The spool transport on real folders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use ostrakon_transports::spool::batch::{BatchHeader, BatchReader, BatchWriter, Item};
use ostrakon_transports::spool::{ImportSummary, SPOOL_MTU, SpoolLink, SpoolSpec, export, import};
use ostrakon_transports::{
    Direction, LinkCounters, LinkEvent, LinkHandle, LinkId, LinkOrder, LinkProfile,
};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);
const A: [u8; 8] = [0xA; 8];
const B: [u8; 8] = [0xB; 8];

/// A link and its owner, who sends only on credit.
struct Owner {
    handle: LinkHandle,
    events: mpsc::Receiver<(LinkId, LinkEvent)>,
    credit: usize,
    received: Vec<Bytes>,
}

impl Owner {
    fn spawn(spec: SpoolSpec) -> Self {
        let (tell, events) = mpsc::channel(16);
        let handle = SpoolLink::spawn(LinkId(1), spec, tell);
        Self {
            handle,
            events,
            credit: 0,
            received: Vec::new(),
        }
    }

    async fn event(&mut self) -> LinkEvent {
        let event = timeout(PATIENCE, self.events.recv())
            .await
            .expect("an event in time");
        event.expect("the link to live").1
    }

    async fn up(&mut self) -> LinkProfile {
        match self.event().await {
            LinkEvent::Up(profile) => profile,
            other => panic!("{other:?} instead of Up"),
        }
    }

    async fn down(&mut self) -> String {
        loop {
            match self.event().await {
                LinkEvent::Down(reason) => {
                    self.credit = 0;
                    return reason;
                }
                LinkEvent::Ready(_) => {}
                other => panic!("{other:?} instead of Down"),
            }
        }
    }

    async fn step(&mut self) {
        match self.event().await {
            LinkEvent::Ready(n) => {
                self.credit += n;
                assert!(self.credit <= 64, "more credit than documented");
            }
            LinkEvent::Received {
                frame,
                custody: None,
            } => self.received.push(frame),
            other => panic!("unexpected {other:?}"),
        }
    }

    async fn send(&mut self, frame: Bytes, tag: u64) {
        while self.credit == 0 {
            self.step().await;
        }
        self.credit -= 1;
        self.handle
            .orders
            .send(LinkOrder::Transmit { frame, tag })
            .await
            .unwrap();
    }

    async fn receive(&mut self, count: usize) {
        while self.received.len() < count {
            self.step().await;
        }
    }

    /// Waits for a count, and takes events meanwhile.
    async fn until(&mut self, condition: impl Fn(&LinkCounters) -> bool) -> LinkCounters {
        let mut counters = self.handle.counters.clone();
        loop {
            tokio::select! {
                counted = timeout(PATIENCE, counters.wait_for(&condition)) => return *counted.expect("counts in time").unwrap(),
                () = self.step() => {}
            }
        }
    }

    async fn purge(&self, tag: u64) {
        self.handle
            .orders
            .send(LinkOrder::Purge(tag))
            .await
            .unwrap();
    }
}

fn spec(dir: &Path, origin: [u8; 8]) -> SpoolSpec {
    let short = Duration::from_millis(20);
    SpoolSpec {
        batch_delay: short,
        poll_interval: short,
        ..SpoolSpec::new(dir, origin)
    }
}

fn frames(salt: u8, count: usize) -> Vec<Bytes> {
    let frame = |n: usize| -> Bytes {
        let head = (n as u32).to_be_bytes();
        head.into_iter()
            .chain(std::iter::repeat_n(salt, n * 31 % 1300))
            .collect()
    };
    (0..count).map(frame).collect()
}

/// A whole batch file as its bytes.
fn batch(origin: [u8; 8], frames: &[Bytes]) -> Vec<u8> {
    let mut writer = BatchWriter::new(Vec::new(), &BatchHeader { origin, tag: 1 }).unwrap();
    frames.iter().for_each(|f| writer.push(f).unwrap());
    writer.finish().unwrap()
}

fn name(origin: [u8; 8], random: u64) -> String {
    format!(
        "{:016x}-{:016x}-{random:016x}.ostk",
        u64::from_be_bytes(origin),
        1
    )
}

fn names(dir: &Path) -> BTreeSet<String> {
    let name = |e: fs::DirEntry| e.file_name().into_string().unwrap();
    fs::read_dir(dir)
        .unwrap()
        .map(|e| name(e.unwrap()))
        .collect()
}

fn tags(dir: &Path) -> BTreeSet<u64> {
    let tag = |n: &String| u64::from_str_radix(n.split('-').nth(1).unwrap(), 16).unwrap();
    names(dir).iter().map(tag).collect()
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

/// Two nodes on one folder get each other's frames, all of them, each once, and never their own.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_exchange_frames() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (
        Owner::spawn(spec(dir.path(), A)),
        Owner::spawn(spec(dir.path(), B)),
    );
    let profile = a.up().await;
    assert_eq!(
        (profile.mtu, profile.store_and_forward, profile.rate_bps),
        (SPOOL_MTU, true, None)
    );
    b.up().await;
    let (from_a, from_b) = (frames(1, 1500), frames(2, 1500));
    let run = async |owner: &mut Owner, out: &[Bytes], want: &[Bytes]| {
        for (n, frame) in out.iter().enumerate() {
            owner.send(frame.clone(), n as u64 % 3).await;
        }
        owner.receive(want.len()).await;
        owner.received.sort();
        assert_eq!(owner.received, want);
        owner.until(|c| c.sent_frames == out.len() as u64).await
    };
    let (counted, _) = tokio::join!(run(&mut a, &from_a, &from_b), run(&mut b, &from_b, &from_a));
    assert_eq!(
        (
            counted.dropped_frames,
            counted.garbage,
            counted.received_frames
        ),
        (0, 0, 1500)
    );
    assert_eq!(tags(dir.path()), BTreeSet::from([0, 1, 2]));
}

/// A batch is delivered once, however often the folder is looked through; import by hand reads it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let sent = frames(1, 2000);
    let summary = export(dir.path(), A, 1, sent.clone()).unwrap();
    assert_eq!((summary.frames, summary.oversized), (2000, 0));
    assert!(summary.batches >= 2, "{summary:?}");
    let mut b = Owner::spawn(spec(dir.path(), B));
    b.up().await;
    b.receive(2000).await;
    // The later batch comes when the earlier ones have been looked at again.
    export(dir.path(), A, 2, [Bytes::from_static(b"later")]).unwrap();
    b.receive(2001).await;
    assert_eq!(b.received.last().unwrap(), "later");
    b.received.pop();
    b.received.sort();
    assert_eq!(b.received, sent);

    let mut by_hand = Vec::new();
    let found = import(dir.path(), Some(B), |frame| by_hand.push(frame)).unwrap();
    let batches = summary.batches + 1;
    assert_eq!(
        found,
        ImportSummary {
            batches,
            frames: 2001,
            damaged: 0,
            foreign: 0
        }
    );
    assert_eq!(
        import(dir.path(), Some(A), |_| panic!("our own")).unwrap(),
        ImportSummary::default()
    );
}

/// A file that is still being copied gives what it has, and the rest, once only, when it is there.
#[tokio::test(flavor = "multi_thread")]
async fn half_copied_file() {
    let dir = tempfile::tempdir().unwrap();
    let sent = frames(1, 40);
    let whole = batch(A, &sent);
    let path = dir.path().join(name(A, 5));
    let mut b = Owner::spawn(spec(dir.path(), B));
    b.up().await;
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let half = {
        let mut reader = BatchReader::new(&whole[..whole.len() / 2]);
        std::iter::from_fn(|| match reader.read().unwrap() {
            Item::Frame(frame) => Some(frame),
            _ => None,
        })
        .count()
    };
    assert!((5..35).contains(&half));
    b.receive(half).await;
    assert_eq!(b.received, sent[..half]);
    let mut copy = fs::OpenOptions::new().append(true).open(&path).unwrap();
    copy.write_all(&whole[whole.len() / 2..]).unwrap();
    b.receive(40).await;
    assert_eq!(b.received, sent);
    assert_eq!(b.handle.counters.borrow().garbage, 0);
}

/// One flipped bit costs one record, and is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_costs_one_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut sent = frames(1, 40);
    let mut bytes = batch(A, &sent);
    // The length of the tenth record.
    let at = 28 + sent[..9].iter().map(|f| f.len() + 6).sum::<usize>();
    bytes[at] ^= 2;
    fs::write(dir.path().join(name(A, 5)), bytes).unwrap();
    let mut b = Owner::spawn(spec(dir.path(), B));
    b.up().await;
    b.receive(39).await;
    sent.remove(9);
    assert_eq!(b.received, sent);
    assert_eq!(b.until(|c| c.garbage > 0).await.garbage, 1);
    // Later looks, seen by what they find, deliver nothing of it again.
    for n in 0..3 {
        export(dir.path(), A, n, [Bytes::from_static(b"look")]).unwrap();
        b.receive(sent.len() + 1).await;
        assert_eq!(b.received.pop().unwrap(), "look");
        assert_eq!(b.received, sent);
    }
    assert_eq!(b.handle.counters.borrow().garbage, 1);
}

/// What is no batch of ours or others is counted once and left as it is: other files, links, pipes, folders,
/// files too large, later versions, and names that do not fit the header.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: String| dir.path().join(name);
    fs::write(at("holiday.jpg".into()), "a picture").unwrap();
    fs::create_dir(at(name(A, 1))).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at(name(A, 2))).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, at(name(A, 3)), 0o600.into()).unwrap();
    let large = fs::File::create(at(name(A, 4))).unwrap();
    large.set_len(65 << 20).unwrap();
    let mut later = batch(A, &frames(1, 3));
    later[4] = 2;
    let check = crc32fast::hash(&later[..24]).to_be_bytes();
    later[24..28].copy_from_slice(&check);
    fs::write(at(name(A, 5)), later).unwrap();
    fs::write(at(name(A, 6)), batch(B, &frames(1, 3))).unwrap();
    fs::write(at(format!(".{}.tmp", name(A, 7))), batch(A, &frames(1, 3))).unwrap();
    let before = names(dir.path());
    let mut c = Owner::spawn(spec(dir.path(), [0xC; 8]));
    c.up().await;
    c.until(|c| c.garbage == 7).await;
    // A good batch still comes through, after the others were looked at again.
    for n in 0..3 {
        export(dir.path(), A, n, [Bytes::from_static(b"good")]).unwrap();
        c.receive(n as usize + 1).await;
    }
    assert_eq!(c.handle.counters.borrow().garbage, 7);
    assert!(c.received.iter().all(|f| f == "good"));
    assert!(names(dir.path()).is_superset(&before));
}

/// A purge deletes all batches of its tag that are ours, also those from before a restart, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn purge_deletes_its_tag() {
    let dir = tempfile::tempdir().unwrap();
    let mut a = Owner::spawn(spec(dir.path(), A));
    a.up().await;
    for tag in [1, 2, 3] {
        a.send(Bytes::from_static(b"frame"), tag).await;
    }
    a.until(|c| c.sent_frames == 3).await;
    a.purge(1).await;
    a.purge(99).await;
    eventually("purge", || tags(dir.path()) == BTreeSet::from([2, 3])).await;
    drop(a);
    export(dir.path(), B, 2, [Bytes::from_static(b"of another")]).unwrap();
    let a = Owner::spawn(spec(dir.path(), A));
    a.purge(2).await;
    eventually("purge after restart", || names(dir.path()).len() == 2).await;
    assert_eq!(tags(dir.path()), BTreeSet::from([2, 3]));
    let left = import(dir.path(), Some(A), |frame| assert_eq!(frame, "of another")).unwrap();
    assert_eq!(left.frames, 1);
}

/// A missing folder is Down with a reason, said once; the link comes up whenever the folder does.
#[tokio::test(flavor = "multi_thread")]
async fn folder_removed_and_back() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("stick");
    let mut a = Owner::spawn(spec(&dir, A));
    for turn in 0..3 {
        let reason = a.down().await;
        assert!(
            reason.contains("stick") && reason.contains("plug"),
            "{reason}"
        );
        fs::create_dir(&dir).unwrap();
        a.up().await;
        a.send(Bytes::from_static(b"frame"), turn).await;
        a.until(|c| c.sent_frames == turn + 1).await;
        let mut count = 0;
        import(&dir, None, |_| count += 1).unwrap();
        assert_eq!(count, 1);
        fs::remove_dir_all(&dir).unwrap();
    }
    a.down().await;
    let frame = Bytes::from_static(b"lost");
    a.handle
        .orders
        .send(LinkOrder::Transmit { frame, tag: 0 })
        .await
        .unwrap();
    a.until(|c| c.dropped_frames == 1).await;
}

/// A folder that can be read but not written is Down with the reason, the frames count as dropped, and others'
/// batches still arrive; when it can be written again, sending goes on.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn unwritable_folder() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, good) = (parent.path().join("stick"), parent.path().join("good"));
    fs::create_dir(&good).unwrap();
    // Nobody, not even root, makes files there.
    std::os::unix::fs::symlink("/sys/kernel", &dir).unwrap();
    let mut a = Owner::spawn(spec(&dir, A));
    assert_eq!(a.up().await.direction, Direction::Both);
    a.send(Bytes::from_static(b"lost"), 1).await;
    let reason = a.down().await;
    assert!(
        reason.contains("cannot write") && reason.contains("stick"),
        "{reason}"
    );
    assert_eq!(a.handle.counters.borrow().dropped_frames, 1);
    assert_eq!(a.up().await.direction, Direction::ReceiveOnly);
    export(&good, B, 1, [Bytes::from_static(b"from b")]).unwrap();
    std::os::unix::fs::symlink(&good, parent.path().join("new")).unwrap();
    fs::rename(parent.path().join("new"), &dir).unwrap();
    let mut both = false;
    while !both || a.received.is_empty() || a.credit == 0 {
        match a.event().await {
            LinkEvent::Changed(profile) => both = profile.direction == Direction::Both,
            LinkEvent::Received { frame, .. } => a.received.push(frame),
            LinkEvent::Ready(n) if both => a.credit += n,
            other => panic!("unexpected {other:?}"),
        }
    }
    a.send(Bytes::from_static(b"arrives"), 1).await;
    a.until(|c| c.sent_frames == 1).await;
    let mut found = Vec::new();
    import(&good, Some(B), |frame| found.push(frame)).unwrap();
    assert_eq!(found, ["arrives"]);
}

/// At its quota a spool gives no more credit, whatever the frames' size and tags; a purge gives it again.
#[tokio::test(flavor = "multi_thread")]
async fn quota_ends_the_credit() {
    let dir = tempfile::tempdir().unwrap();
    let max_bytes = 10 * 4096;
    let mut a = Owner::spawn(SpoolSpec {
        max_bytes,
        ..spec(dir.path(), A)
    });
    a.up().await;
    for tag in 0..10 {
        a.send(Bytes::from(vec![1; SPOOL_MTU]), tag).await;
    }
    a.until(|c| c.sent_frames == 10).await;
    assert_eq!(a.credit, 0);
    // Nothing more comes over several looks: those are seen by what they find.
    for n in 0..5 {
        export(dir.path(), B, n, [Bytes::from_static(b"look")]).unwrap();
        a.receive(n as usize + 1).await;
        assert_eq!(a.credit, 0);
    }
    a.purge(4).await;
    a.send(Bytes::from_static(b"again"), 11).await;
    assert_eq!(a.until(|c| c.sent_frames == 11).await.dropped_frames, 0);
}

/// However the process is killed, a file with the final name is whole; leavings have a temporary name and
/// are removed by their origin only, when they are old.
#[tokio::test(flavor = "multi_thread")]
async fn final_names_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let old = std::time::SystemTime::now() - Duration::from_secs(3600);
    let leave = |origin, random, age: Option<std::time::SystemTime>| {
        let name = format!(".{}.tmp", name(origin, random));
        let file = fs::File::create(dir.path().join(&name)).unwrap();
        age.into_iter()
            .for_each(|at| file.set_modified(at).unwrap());
        name
    };
    let (stale, fresh) = (leave(A, 1, Some(old)), leave(A, 2, None));
    let others = leave(B, 3, Some(old));
    let mut a = Owner::spawn(spec(dir.path(), A));
    a.up().await;
    let watched = dir.path().to_owned();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        let mut looks = 0;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            for name in names(&watched).into_iter().filter(|n| n.ends_with(".ostk")) {
                let mut reader = BatchReader::new(fs::File::open(watched.join(name)).unwrap());
                let last = loop {
                    match reader.read().unwrap() {
                        Item::Frame(_) => {}
                        last => break last,
                    }
                };
                assert_eq!(last, Item::End);
                looks += 1;
            }
        }
        looks
    });
    for (n, frame) in frames(1, 600).into_iter().enumerate() {
        a.send(frame, n as u64 / 100).await;
    }
    a.until(|c| c.sent_frames == 600).await;
    stop.send(()).unwrap();
    assert!(watcher.join().unwrap() > 0);
    let left = names(dir.path());
    assert!(!left.contains(&stale) && left.contains(&fresh) && left.contains(&others));
}

/// Frames handed over just before the handle is dropped are written, and the task ends.
#[tokio::test(flavor = "multi_thread")]
async fn last_frames_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let long = Duration::from_secs(3600);
    let mut a = Owner::spawn(SpoolSpec {
        batch_delay: long,
        ..spec(dir.path(), A)
    });
    a.up().await;
    for (n, frame) in frames(1, 100).into_iter().enumerate() {
        a.send(frame, n as u64 % 2).await;
    }
    let Owner {
        handle, mut events, ..
    } = a;
    drop(handle);
    timeout(PATIENCE, async { while events.recv().await.is_some() {} })
        .await
        .unwrap();
    let found = import(dir.path(), None, |_| {}).unwrap();
    assert_eq!((found.batches, found.frames), (2, 100));
}

/// One-way folders: no credit where only reading, nothing delivered where only writing.
#[tokio::test(flavor = "multi_thread")]
async fn one_way() {
    let dir = tempfile::tempdir().unwrap();
    let one_way = |origin, direction| SpoolSpec {
        direction,
        ..spec(dir.path(), origin)
    };
    let mut a = Owner::spawn(one_way(A, Direction::SendOnly));
    let mut b = Owner::spawn(one_way(B, Direction::ReceiveOnly));
    a.up().await;
    b.up().await;
    export(dir.path(), [0xC; 8], 0, [Bytes::from_static(b"of a third")]).unwrap();
    for n in 0..5 {
        a.send(frames(1, 5)[n].clone(), n as u64).await;
        a.until(|c| c.sent_frames == n as u64 + 1).await;
    }
    b.receive(6).await;
    assert_eq!((a.received.len(), b.credit), (0, 0));
    b.handle
        .orders
        .send(LinkOrder::Transmit {
            frame: Bytes::new(),
            tag: 0,
        })
        .await
        .unwrap();
    b.until(|c| c.dropped_frames == 1).await;
}

//! The serial transport on real pseudo-terminals: the link opens one end, the test is the line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use ostrakon_transports::serial::framing::{Deframer, PayloadKind, enframe, line_size};
use ostrakon_transports::serial::{SerialLink, SerialSpec};
use ostrakon_transports::{
    Direction, LinkEvent, LinkHandle, LinkId, LinkOrder, LinkProfile, MIN_MTU,
};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// The line's end of a pseudo-terminal. The other end is held open too, as a cable stays plugged in.
struct Line {
    master: AsyncFd<File>,
    path: PathBuf,
    _other_end: OwnedFd,
}

impl Line {
    fn new() -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let other_end = rustix::fs::open(&path, flags, Mode::empty()).unwrap();
        rustix::fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK).unwrap();
        // `register` is unsafe for types that may change their descriptor. A file does not.
        #[allow(deprecated)]
        let master = AsyncFd::new(File::from(master)).unwrap();
        Self {
            master,
            path,
            _other_end: other_end,
        }
    }

    async fn read(&self, buffer: &mut [u8]) -> usize {
        let read = self
            .master
            .async_io(Interest::READABLE, |mut f| f.read(buffer))
            .await;
        read.unwrap()
    }

    async fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = self
                .master
                .async_io(Interest::WRITABLE, |mut f| f.write(bytes))
                .await
                .unwrap();
            bytes = &bytes[n..];
        }
    }
}

/// A cable between two lines that tells of the bytes it carries.
fn connect(from: Arc<Line>, to: Arc<Line>) -> mpsc::UnboundedReceiver<Vec<u8>> {
    let (tell, carried) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let n = from.read(&mut buffer).await;
            to.write(&buffer[..n]).await;
            let _ = tell.send(buffer[..n].to_vec());
        }
    });
    carried
}

/// A link and its owner, who sends only on credit.
struct Owner {
    handle: LinkHandle,
    events: mpsc::Receiver<(LinkId, LinkEvent)>,
    credit: usize,
    received: Vec<Bytes>,
}

impl Owner {
    fn spawn(spec: SerialSpec) -> Self {
        let (tell, events) = mpsc::channel(16);
        let handle = SerialLink::spawn(LinkId(1), spec, tell);
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
        loop {
            match self.event().await {
                LinkEvent::Up(profile) => return profile,
                LinkEvent::Down(_) => {}
                other => panic!("{other:?} before Up"),
            }
        }
    }

    async fn step(&mut self) {
        match self.event().await {
            LinkEvent::Ready(n) => {
                self.credit += n;
                assert!(self.credit <= 1, "more credit than one frame");
            }
            LinkEvent::Received {
                frame,
                custody: None,
            } => self.received.push(frame),
            other => panic!("unexpected {other:?}"),
        }
    }

    async fn send(&mut self, frame: Bytes) {
        while self.credit == 0 {
            self.step().await;
        }
        self.credit -= 1;
        self.handle
            .orders
            .send(LinkOrder::Transmit { frame, tag: 0 })
            .await
            .unwrap();
    }

    async fn receive(&mut self, count: usize) {
        while self.received.len() < count {
            self.step().await;
        }
    }

    async fn exchange(mut self, out: Vec<Bytes>, expected: usize) -> Self {
        for frame in out {
            self.send(frame).await;
        }
        self.receive(expected).await;
        self
    }
}

fn spec(path: &Path) -> SerialSpec {
    SerialSpec::new(path, 921_600)
}

fn frame(n: usize, size: usize) -> Bytes {
    (0..size).map(|i| (n * 7 + i * (n % 3)) as u8).collect()
}

fn frames(salt: usize, largest: usize) -> Vec<Bytes> {
    (0..60)
        .map(|n| frame(n + salt, largest - (n * 13) % largest))
        .collect()
}

async fn both_ways(mtu: usize) -> (Vec<u8>, LinkProfile) {
    let (a, b) = (Arc::new(Line::new()), Arc::new(Line::new()));
    let with_mtu = |line: &Line| SerialSpec {
        mtu,
        ..spec(&line.path)
    };
    let (mut left, mut right) = (Owner::spawn(with_mtu(&a)), Owner::spawn(with_mtu(&b)));
    let profile = left.up().await;
    right.up().await;
    let mut carried = connect(a.clone(), b.clone());
    let _back = connect(b, a);
    let (from_left, from_right) = (frames(1, profile.mtu), frames(1000, profile.mtu));
    let (left, right) = tokio::join!(
        left.exchange(from_left.clone(), from_right.len()),
        right.exchange(from_right.clone(), from_left.len()),
    );
    assert_eq!(left.received, from_right);
    assert_eq!(right.received, from_left);
    let counted = *right.handle.counters.borrow();
    assert_eq!(counted.received_frames, 60);
    assert_eq!((counted.garbage, counted.dropped_frames), (0, 0));
    assert_eq!(
        counted.received_bytes,
        from_left.iter().map(|f| f.len() as u64).sum::<u64>()
    );
    let mut line = Vec::new();
    while let Ok(bytes) = carried.try_recv() {
        line.extend(bytes);
    }
    (line, profile)
}

/// Frames of every size cross both ways at once, in order, each exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn frames_cross_both_ways() {
    let (_, profile) = both_ways(222).await;
    assert_eq!((profile.mtu, profile.rate_bps), (222, Some(737_280)));
    let (_, profile) = both_ways(1000).await;
    assert_eq!(profile.mtu, 1000);
}

/// With physical frames of 64 bytes, frames of 222 bytes still cross, and none on the line is larger.
#[tokio::test(flavor = "multi_thread")]
async fn small_physical_frames() {
    let (line, profile) = both_ways(64).await;
    assert_eq!(profile.mtu, MIN_MTU);
    let stretches: Vec<_> = line.split(|&b| b == 0).filter(|s| !s.is_empty()).collect();
    assert!(
        stretches.len() > 120,
        "only {} frames on the line",
        stretches.len()
    );
    assert!(stretches.iter().all(|s| s.len() + 2 <= line_size(64)));
}

/// Noise and a frame cut in the middle cost no other frame and let nothing wrong through.
#[tokio::test(flavor = "multi_thread")]
async fn noise_and_cuts() {
    let line = Line::new();
    let mut owner = Owner::spawn(spec(&line.path));
    owner.up().await;
    let lines: Vec<_> = (0..40)
        .map(|n| enframe(PayloadKind::Frame, &frame(n, 50 + n)))
        .collect();
    let mut want = Vec::new();
    for (n, whole) in lines.iter().enumerate() {
        match n % 4 {
            // Noise with control characters that a cooked terminal would act on.
            0 => line.write(b"\x03\x04\x11\x13\r\n\x1a\x7f\xffnoise").await,
            1 => line.write(&whole[..whole.len() / 2]).await,
            _ => {
                line.write(whole).await;
                want.push(frame(n, 50 + n));
            }
        }
    }
    owner.receive(want.len()).await;
    assert_eq!(owner.received, want);
    let mut counters = owner.handle.counters.clone();
    timeout(PATIENCE, counters.wait_for(|c| c.garbage >= 10))
        .await
        .unwrap()
        .unwrap();
}

/// When the far end goes away the link says so, and opens the device again when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn reopens() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("line");
    let mut owner = Owner::spawn(spec(&path));
    let LinkEvent::Down(reason) = owner.event().await else {
        panic!("expected Down")
    };
    assert!(reason.contains("cannot open"), "{reason}");
    for turn in 0..3 {
        let line = Line::new();
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink(&line.path, &path).unwrap();
        owner.up().await;
        owner.credit = 0;
        owner.send(frame(turn, 100)).await;
        let (mut deframer, mut buffer, mut got) = (Deframer::new(2048), [0; 512], Vec::new());
        while got.is_empty() {
            let n = timeout(PATIENCE, line.read(&mut buffer)).await.unwrap();
            got = deframer.push(&buffer[..n]);
        }
        assert_eq!(got[0].payload, frame(turn, 100));
        drop(line);
        loop {
            match owner.event().await {
                LinkEvent::Ready(_) => {}
                LinkEvent::Down(_) => break,
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    let sent = owner
        .handle
        .orders
        .send(LinkOrder::Transmit {
            frame: frame(9, 9),
            tag: 0,
        })
        .await;
    sent.unwrap();
    let mut counters = owner.handle.counters.clone();
    timeout(PATIENCE, counters.wait_for(|c| c.dropped_frames == 1))
        .await
        .unwrap()
        .unwrap();
}

/// A pseudo-terminal takes bytes at any speed; the link still sends no faster than its line.
#[tokio::test(flavor = "multi_thread")]
async fn pace_holds() {
    let line = Arc::new(Line::new());
    let start = Instant::now();
    let mut owner = Owner::spawn(SerialSpec {
        rate_bps: Some(16_000),
        ..spec(&line.path)
    });
    owner.up().await;
    let reader = line.clone();
    let read = tokio::spawn(async move {
        let (mut total, mut buffer) = (0, [0; 4096]);
        while total < 4000 {
            total += reader.read(&mut buffer).await;
            let carried = start.elapsed().as_secs_f64() * 2000.0;
            let ahead = (line_size(222) + 40) as f64;
            assert!(
                total as f64 <= carried + ahead + 1.0,
                "{total} bytes, {carried} carried"
            );
        }
    });
    for n in 0..18 {
        owner.send(frame(n, 222)).await;
    }
    timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!(owner.handle.counters.borrow().dropped_frames, 0);
}

/// Frames that are too large, or sent without credit, are counted; the link goes on.
#[tokio::test(flavor = "multi_thread")]
async fn drops_are_counted() {
    let line = Line::new();
    let mut owner = Owner::spawn(spec(&line.path));
    owner.up().await;
    owner.send(frame(1, 223)).await;
    owner.send(frame(2, 222)).await;
    let mut counters = owner.handle.counters.clone();
    let counted = timeout(PATIENCE, counters.wait_for(|c| c.sent_frames == 1)).await;
    assert_eq!(counted.unwrap().unwrap().dropped_frames, 1);
}

/// A one-way line gives no credit where it cannot send, and hears nothing where it cannot receive.
#[tokio::test(flavor = "multi_thread")]
async fn one_way() {
    let (a, b) = (Arc::new(Line::new()), Arc::new(Line::new()));
    let one_way = |line: &Line, direction| SerialSpec {
        direction,
        ..spec(&line.path)
    };
    let mut sender = Owner::spawn(one_way(&a, Direction::SendOnly));
    let mut listener = Owner::spawn(one_way(&b, Direction::ReceiveOnly));
    assert_eq!(sender.up().await.direction, Direction::SendOnly);
    assert_eq!(listener.up().await.direction, Direction::ReceiveOnly);
    a.write(&enframe(PayloadKind::Frame, b"unheard")).await;
    let _carried = connect(a, b);
    listener
        .handle
        .orders
        .send(LinkOrder::Transmit {
            frame: frame(0, 9),
            tag: 0,
        })
        .await
        .unwrap();
    for n in 0..5 {
        sender.send(frame(n, 30)).await;
    }
    listener.receive(5).await;
    assert_eq!(listener.credit, 0);
    let counted = *listener.handle.counters.borrow();
    assert_eq!((counted.dropped_frames, counted.sent_frames), (1, 0));
    assert_eq!(sender.handle.counters.borrow().received_frames, 0);
}

/// Dropping the handle ends the task, with a device and without.
#[tokio::test(flavor = "multi_thread")]
async fn ends_with_its_handle() {
    let line = Line::new();
    for path in [line.path.as_path(), Path::new("/nonexistent/line")] {
        let Owner {
            handle, mut events, ..
        } = Owner::spawn(spec(path));
        timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
        drop(handle);
        timeout(PATIENCE, async { while events.recv().await.is_some() {} })
            .await
            .unwrap();
    }
}

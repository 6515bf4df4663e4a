//! The serial path between real file descriptors. Times are bounded from below only.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ostrakon_netsim::emulate::{SerialError, SerialPath};
use ostrakon_netsim::model::SerialSpec;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

fn open(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap()
}

fn clean(baud: u32) -> SerialPath {
    SerialPath::spawn(baud, &SerialSpec::new(), &SerialSpec::new(), 42).unwrap()
}

/// Every byte value, in an order that shows a shift or a swap.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 256) as u8).collect()
}

/// Writes on a thread, as a program would that blocks.
fn write(path: &Path, bytes: Vec<u8>) -> tokio::task::JoinHandle<()> {
    let mut port = open(path);
    tokio::task::spawn_blocking(move || port.write_all(&bytes).unwrap())
}

/// Reads `len` bytes on a thread.
async fn read(path: &Path, len: usize) -> Vec<u8> {
    let path: PathBuf = path.into();
    let reader = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; len];
        open(&path).read_exact(&mut bytes).unwrap();
        bytes
    });
    timeout(PATIENCE, reader)
        .await
        .expect("the bytes arrive")
        .unwrap()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "still waiting: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Guards pace and transparency: a thousand bytes of every value take at least their time at the baud rate, both ways at
/// once, and come out as they went in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_cross_unchanged_at_the_baud_rate() {
    let path = clean(19_200);
    let start = Instant::now();
    let (there, back) = (pattern(1000), pattern(900));
    let writers = [
        write(path.a_path(), there.clone()),
        write(path.b_path(), back.clone()),
    ];
    let (at_b, at_a) = tokio::join!(read(path.b_path(), 1000), read(path.a_path(), 900));
    let least = Duration::from_nanos(1000 * 10 * 1_000_000_000 / 19_200);
    assert!(
        start.elapsed() >= least,
        "{:?} < {least:?}",
        start.elapsed()
    );
    assert_eq!((at_b, at_a), (there, back));
    for writer in writers {
        writer.await.unwrap();
    }
    let (forward, back) = path.stats();
    assert_eq!((forward.offered, forward.delivered), (1000, 1000));
    assert_eq!((back.offered, back.delivered), (900, 900));
}

/// Guards the pace of reading: a program that writes far more than line and kernel hold is made to wait, and no byte is lost
/// for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_writer_is_held_back() {
    const LEN: usize = 40_000;
    // Slow enough that this reader, stalled for half a second, still loses nothing.
    let path = clean(200_000);
    let writer = write(path.a_path(), pattern(LEN));
    let (mut port, mut got) = (tokio::fs::File::from_std(open(path.b_path())), Vec::new());
    while got.len() < LEN {
        let mut buffer = [0; 4096];
        let read = tokio::io::AsyncReadExt::read(&mut port, &mut buffer);
        let len = timeout(PATIENCE, read)
            .await
            .expect("bytes arrive")
            .unwrap();
        got.extend_from_slice(&buffer[..len]);
        let stats = path.stats().0;
        assert!(stats.offered - stats.delivered <= 4096, "{stats:?}");
    }
    writer.await.unwrap();
    let stats = path.stats().0;
    assert_eq!((got.len() as u64, stats.overrun), (stats.delivered, 0));
    assert_eq!(got, pattern(LEN));
}

/// Guards the cut, and ports that are closed and opened again: what is sent during a cut is gone, what is sent after it
/// arrives through freshly opened ports, on the same paths.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_restore_and_reopen() {
    let path = clean(115_200);
    write(path.a_path(), b"before".to_vec()).await.unwrap();
    assert_eq!(read(path.b_path(), 6).await, b"before");
    path.cut();
    write(path.a_path(), b"during".to_vec()).await.unwrap();
    until("the bytes leave", || path.stats().0.cut == 6).await;
    path.restore();
    for round in 0..5u8 {
        write(path.a_path(), vec![round; 30]).await.unwrap();
        assert_eq!(read(path.b_path(), 30).await, [round; 30]);
        write(path.b_path(), vec![round; 30]).await.unwrap();
        assert_eq!(read(path.a_path(), 30).await, [round; 30]);
    }
    let stats = path.stats().0;
    assert_eq!((stats.offered, stats.delivered, stats.cut), (162, 156, 6));
}

/// Guards errors and overruns: the bytes that differ are those counted, and a program that does not read loses what its
/// terminal cannot hold, counted, while the line goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_and_overrun_are_counted() {
    let noisy = SerialSpec::new().byte_error(0.2);
    let path = SerialPath::spawn(4_000_000, &noisy, &SerialSpec::new(), 9).unwrap();
    let sent = pattern(3000);
    let writer = write(path.a_path(), sent.clone());
    let got = read(path.b_path(), 3000).await;
    writer.await.unwrap();
    let changed = sent.iter().zip(&got).filter(|(a, b)| a != b).count() as u64;
    assert_eq!(changed, path.stats().0.corrupted);
    // Three standard deviations: 3 · sqrt(3000 · 0.2 · 0.8) = 65.7.
    assert!(changed.abs_diff(600) <= 65, "{changed}");

    let writer = write(path.b_path(), pattern(60_000));
    until("the line carries all", || {
        path.stats().1.delivered == 60_000
    })
    .await;
    writer.await.unwrap();
    let mut overrun = 0;
    until("the overrun is counted", || {
        let before = overrun;
        overrun = path.stats().1.overrun;
        overrun > 0 && before == overrun
    })
    .await;
    let held = read(path.a_path(), 4000).await;
    assert_eq!(held, pattern(4000));
}

/// Guards the end and the checks: the devices of a path that is shut down are gone; an impossible line is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_and_refusals() {
    let path = clean(9600);
    let mut port = open(path.a_path());
    let device = path.b_path().to_path_buf();
    path.shutdown().await;
    assert!(!device.exists());
    assert_eq!(port.read(&mut [0; 8]).unwrap(), 0, "the port is hung up");
    let spec = SerialSpec::new();
    let refused = SerialPath::spawn(0, &spec, &spec, 1);
    assert!(matches!(
        refused,
        Err(SerialError::Spec {
            direction: "forward",
            ..
        })
    ));
    let refused = SerialPath::spawn(9600, &spec, &spec.clone().bits_per_byte(0), 1);
    assert!(matches!(
        refused,
        Err(SerialError::Spec {
            direction: "back",
            ..
        })
    ));
}

//! The serial line against closed formulas. Nothing here depends on a clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ostrakon_netsim::model::{SerialLine, SerialSpec};

/// Guards pace, order and bound: byte n comes out at floor(n · 10 · 10⁹ / baud) and not a nanosecond before, and the
/// transmitter takes no more than its buffer.
#[test]
fn bytes_come_out_at_the_baud_rate() {
    let mut line = SerialLine::new(115_200, &SerialSpec::new().buffer_bytes(100), 1).unwrap();
    let sent: Vec<u8> = (0..200).collect();
    assert_eq!(line.offer(0, &sent), 100);
    assert_eq!(line.room(), 0);
    let mut out = Vec::new();
    for n in 1..=100u64 {
        let at = n * 10_000_000_000 / 115_200;
        assert_eq!(line.next_due(), Some(at));
        out.extend(line.take(at - 1));
        assert_eq!(out.len() as u64, n - 1);
        out.extend(line.take(at));
    }
    assert_eq!(out, sent[..100]);
    assert_eq!(line.room(), 100);
}

/// Guards errors and cuts: within three standard deviations every byte error is a changed byte, bytes that leave while the
/// line is cut are gone, and all others come through.
#[test]
fn errors_and_cuts_are_counted() {
    let spec = SerialSpec::new().byte_error(0.1).buffer_bytes(10_000);
    let mut line = SerialLine::new(1_000_000, &spec, 5).unwrap();
    line.offer(0, &[0x55; 10_000]);
    // Ten microseconds a byte: 2000 bytes pass, 1000 are cut, the rest passes.
    let mut out = line.take(20_000_000);
    line.set_down(20_000_000, true);
    line.set_down(30_000_000, false);
    assert_eq!(line.stats(30_000_000).cut, 1000);
    out.extend(line.take(u64::MAX));
    let changed = out.iter().filter(|byte| **byte != 0x55).count();
    let stats = line.stats(u64::MAX);
    assert_eq!((out.len(), stats.delivered, stats.cut), (9000, 9000, 1000));
    assert_eq!(changed as u64, stats.corrupted);
    // sigma = sqrt(9000 · 0.1 · 0.9) = 28.5
    assert!(changed.abs_diff(900) <= 85, "{changed}");
}

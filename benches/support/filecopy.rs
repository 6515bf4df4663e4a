//! A file copied to another and synced, by reading and writing: what nothing that keeps a file can do without.

use super::stopwatch::Stopwatch;
use std::fs::{File, remove_file};
use std::io::{Read, Write};
use std::path::Path;

/// Bytes at once.
const CHUNK: usize = 256 << 10;

/// MB/s in processor time of a copy from `from` to `to`, which is removed.
pub fn rate(from: &Path, to: &Path) -> f64 {
    let (mut source, mut chunk) = (File::open(from).unwrap(), vec![0; CHUNK]);
    let (watch, mut bytes) = (Stopwatch::start(), 0);
    let mut copy = File::create(to).unwrap();
    loop {
        let read = source.read(&mut chunk).unwrap();
        if read == 0 {
            break;
        }
        copy.write_all(&chunk[..read]).unwrap();
        bytes += read;
    }
    copy.sync_all().unwrap();
    let took = watch.elapsed();
    remove_file(to).unwrap();
    bytes as f64 / took.as_secs_f64() / 1e6
}

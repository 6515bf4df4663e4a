//! A file from one node to another over loopback: what the whole program costs, in processor time, time and memory, beside
//! a bare pump of datagrams of the same library and, if it is installed, sendme (iroh).
//!
//! They take turns; the medians count. No program that brings a file this way can be cheaper than the pump, sealing,
//! opening, hashing at both ends and a copy at each, one after another: that is the bound, measured in the same run. Twice:
//! with copies from memory to memory, and with what a copy of the file takes, which is read, written and synced.
//!
//! `cargo bench --bench loopback -- --size 1GiB --rounds 5`. The folder for files is `OSTRAKON_BENCH_DIR`, else the system's
//! for temporary ones; it has to hold three times the size.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/filecopy.rs"]
mod filecopy;
#[path = "support/kernels.rs"]
mod kernels;
#[path = "support/measure.rs"]
mod measure;
#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/process.rs"]
mod process;
#[path = "support/pump.rs"]
mod pump;
#[path = "support/sendme.rs"]
mod sendme;
#[path = "support/stopwatch.rs"]
mod stopwatch;

use kernels::{Kernels, together};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stopwatch::{machine, median};

/// What is measured unless something else is asked for.
const SIZE: u64 = 256 << 20;
const ROUNDS: usize = 3;

/// One line of the table, of every round.
#[derive(Default)]
struct Line {
    wall: Vec<f64>,
    cpu: Vec<f64>,
    peak_mib: [Vec<f64>; 2],
}

impl Line {
    fn add(&mut self, bytes: u64, wall: Duration, cpu: Duration) {
        self.wall.push(bytes as f64 / wall.as_secs_f64() / 1e6);
        self.cpu.push(bytes as f64 / cpu.as_secs_f64() / 1e6);
    }

    fn print(self, who: &str) -> (f64, f64) {
        let (wall, cpu) = (median(self.wall), median(self.cpu));
        let peak = self.peak_mib.map(|all| match all.is_empty() {
            true => String::new(),
            false => format!("{:.0}", all.into_iter().fold(0.0, f64::max)),
        });
        println!(
            "| {who} | {wall:.0} | {cpu:.0} | {} | {} |",
            peak[0], peak[1]
        );
        (wall, cpu)
    }
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    if pump::play(&args) {
        return;
    }
    let size = option(&args, "--size").map_or(SIZE, |text| bytes(&text));
    let rounds = option(&args, "--rounds").map_or(ROUNDS, |text| text.parse().unwrap());
    let place =
        std::env::var_os("OSTRAKON_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::Builder::new()
        .prefix("ostrakon-loopback-")
        .tempdir_in(place)
        .unwrap();
    let file = dir.path().join("file");
    fill(&file, size);
    println!("loopback on {}", machine());
    println!(
        "{} MiB, median of {rounds} rounds; the most memory of any\n",
        size >> 20
    );
    let [mut bare, mut ours, mut others] = <[Line; 3]>::default();
    let (mut copies, mut accepted) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let (wall, cpu) = pump::run(size);
        bare.add(size, wall, cpu);
        let homes = dir.path().join(round.to_string());
        std::fs::create_dir(&homes).unwrap();
        let taken = nodes::run(&homes, &file);
        ours.add(size, taken.wall, taken.cpu);
        accepted.push(size as f64 / taken.accepted.as_secs_f64() / 1e6);
        for (all, peak) in ours.peak_mib.iter_mut().zip(taken.peak_mib) {
            all.push(peak);
        }
        if let Some((wall, cpu)) = sendme::run(&homes, &file) {
            others.add(size, wall, cpu);
        }
        copies.push(filecopy::rate(&file, &homes.join("copy")));
        std::fs::remove_dir_all(&homes).unwrap();
    }
    print([bare, ours, others], median(copies), median(accepted));
}

fn print([bare, ours, others]: [Line; 3], file_copy: f64, accepted: f64) {
    println!("| | MB/s | MB per second of processor | peak MiB, sender | recipient |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let (pump, pump_cpu) = bare.print("bare pump");
    let (wall, cpu) = ours.print("ostrakon");
    let other = (!others.wall.is_empty()).then(|| others.print("sendme"));
    let k = Kernels::measure();
    println!(
        "\nkernels, MB/s in processor time: seal {:.0}, open {:.0}, hash {:.0}, copy {:.0}; copy of the file {file_copy:.0}",
        k.seal, k.open, k.hash, k.copy
    );
    for (what, copy) in [
        ("two copies in memory", k.copy),
        ("two copies of the file", file_copy),
    ] {
        let bound = together(&[pump_cpu, k.seal, k.open, k.hash, k.hash, copy, copy]);
        println!(
            "bound of pump, seal, open, two hashes, {what}: {bound:.0} MB per second of processor; ostrakon has {:.2} of it",
            cpu / bound
        );
    }
    println!(
        "ostrakon: {:.2} of the pump's rate; {accepted:.0} MB/s and {:.2} from when the node had taken the file",
        wall / pump,
        accepted / pump
    );
    match other {
        Some((sendme, _)) => println!("{:.2} times the rate of sendme", wall / sendme),
        None => println!("sendme is not installed (`cargo install sendme`): no comparison with it"),
    }
}

fn option(args: &[String], name: &str) -> Option<String> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1).cloned()
}

/// `1GiB`, `100MiB`.
fn bytes(text: &str) -> u64 {
    let units = [("GiB", 30), ("MiB", 20)];
    let unit = units
        .iter()
        .find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, bits)));
    let (number, bits) = unit.expect("a size like 1GiB or 100MiB");
    number.parse::<u64>().expect("a whole number") << bits
}

/// Chance, the same in each run.
fn fill(path: &Path, size: u64) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut file = std::fs::File::create(path).unwrap();
    let mut chunk = vec![0; 1 << 20];
    for _ in 0..size >> 20 {
        rng.fill_bytes(&mut chunk);
        file.write_all(&chunk).unwrap();
    }
    file.sync_all().unwrap();
}

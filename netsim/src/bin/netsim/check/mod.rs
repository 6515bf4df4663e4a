//! `netsim check`: the emulator measures itself with traffic of its own, and says whether it keeps its bounds here.

mod measure;
mod traffic;

use std::fs;
use std::time::Duration;

use ostrakon_netsim::netns::LatenessReport;
use serde::Serialize;

use super::failure::{Failure, say};
use measure::{Link, flow, loss, rate, round_trip};

/// A value that was measured, and whether it is as it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    /// What was measured, on what link.
    pub(super) what: String,
    pub(super) unit: &'static str,
    pub(super) expected: f64,
    /// How far it may be from what is expected.
    pub(super) tolerance: f64,
    pub(super) measured: f64,
    pub(super) passed: bool,
    /// How late the emulator was during the measurement; the later direction.
    pub(super) lateness: LatenessReport,
}

impl Row {
    pub(super) fn new(
        what: String,
        unit: &'static str,
        expected: f64,
        tolerance: f64,
        measured: f64,
        lateness: LatenessReport,
    ) -> Self {
        Self {
            what,
            unit,
            expected,
            tolerance,
            measured,
            // Not a number is not passed.
            passed: (measured - expected).abs() <= tolerance,
            lateness,
        }
    }
}

#[derive(Debug, Serialize)]
struct Findings {
    passed: bool,
    quick: bool,
    processors: usize,
    /// Processes that wanted to run in the last minute before the check (`/proc/loadavg`).
    load_before: Option<f64>,
    load_after: Option<f64>,
    /// Processor time that the machine's host kept from it during the check, in per cent; no fault of the emulator's.
    stolen_percent: Option<f64>,
    rows: Vec<Row>,
}

/// Measures everything and prints it. A value out of its bounds is a failure.
pub(super) fn check(quick: bool, json: bool) -> Result<(), Failure> {
    let (load_before, times_before) = (load(), ProcessorTimes::now());
    if !json {
        let processors = processors();
        let load = load_before.map_or("unknown".to_owned(), |load| format!("{load:.2}"));
        say(format_args!(
            "{processors} processors, load {load} before the check"
        ))?;
        say(format_args!("{HEADER}"))?;
    }
    let mut rows = Vec::new();
    for measurement in measurements(quick) {
        for row in measurement()? {
            if !json {
                print(&row)?;
            }
            rows.push(row);
        }
    }
    let findings = Findings {
        passed: rows.iter().all(|row| row.passed),
        quick,
        processors: processors(),
        load_before,
        load_after: load(),
        stolen_percent: times_before.and_then(|before| before.stolen_since()),
        rows,
    };
    if json {
        say(format_args!("{}", serde_json::to_string_pretty(&findings)?))?;
    } else {
        print_end(&findings)?;
    }
    let missed = findings.rows.iter().filter(|row| !row.passed).count();
    if missed > 0 {
        return Err(Failure::new(format!(
            "{missed} values out of bounds: run it again while the machine is quiet; what is missed then, this machine cannot do"
        )));
    }
    Ok(())
}

type Measurement = Box<dyn Fn() -> Result<Vec<Row>, Failure>>;

/// All measurements; a quick check makes them shorter, with the same bounds.
fn measurements(quick: bool) -> Vec<Measurement> {
    let seconds = move |long, short| Duration::from_secs(if quick { short } else { long });
    let mut all: Vec<Measurement> = Vec::new();
    for (delay_ms, rate) in [(0, 1_000_000_000), (10, 100_000_000), (300, 10_000_000)] {
        let link = Link::new(rate).delay(Duration::from_millis(delay_ms));
        let lasting = seconds(20, 4);
        all.push(Box::new(move || round_trip(&link, lasting)));
    }
    for rate_bps in [100_000, 1_000_000, 10_000_000, 100_000_000, 300_000_000] {
        let link = Link::new(rate_bps).delay(Duration::from_millis(50));
        let lasting = seconds(20, 4);
        all.push(Box::new(move || rate(&link, lasting)));
    }
    for share in [0.001, 0.01, 0.1, 0.3] {
        let link = Link::new(1_000_000_000).loss(share);
        all.push(Box::new(move || loss(&link)));
    }
    let link = Link::new(1_000_000_000).delay(Duration::from_millis(20));
    let lasting = seconds(60, 10);
    all.push(Box::new(move || flow(&link, lasting)));
    all
}

const HEADER: &str = "\
what                                            expected    tolerance     measured unit     result   late: median / 99 % / worst (us)";

fn print(row: &Row) -> Result<(), Failure> {
    let result = if row.passed { "pass" } else { "MISS" };
    let late = &row.lateness;
    say(format_args!(
        "{:<44} {:>11.3} {:>12.3} {:>12.3} {:<8} {:<8} {:.0} / {:.0} / {:.0}",
        row.what,
        row.expected,
        row.tolerance,
        row.measured,
        row.unit,
        result,
        late.median_us,
        late.p99_us,
        late.worst_us
    ))
}

fn print_end(findings: &Findings) -> Result<(), Failure> {
    let load = findings.load_after.unwrap_or_default();
    let stolen = findings.stolen_percent.unwrap_or_default();
    say(format_args!(
        "late: how late the emulator was against its own model"
    ))?;
    say(format_args!(
        "load {load:.2} after the check; {stolen:.1} % of the processors' time went to the machine's host"
    ))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// What the processors did since the machine started, in ticks (`proc_stat(5)`).
#[derive(Debug, Clone, Copy)]
struct ProcessorTimes {
    all: u64,
    stolen: u64,
}

impl ProcessorTimes {
    fn now() -> Option<Self> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        let mut ticks = text.lines().next()?.split_whitespace().skip(1);
        // user, nice, system, idle, iowait, irq, softirq, steal; guests' time is in user already.
        let first: Vec<u64> = ticks
            .by_ref()
            .take(8)
            .filter_map(|t| t.parse().ok())
            .collect();
        Some(Self {
            all: first.iter().sum(),
            stolen: *first.get(7)?,
        })
    }

    fn stolen_since(self) -> Option<f64> {
        let now = Self::now()?;
        let all = now.all.checked_sub(self.all).filter(|&all| all > 0)?;
        Some(100.0 * now.stolen.saturating_sub(self.stolen) as f64 / all as f64)
    }
}

//! Processor time, and the machine that it was measured on.
//!
//! Time is processor time of this thread where the kernel tells it, so that other work on the machine counts less.

use std::time::{Duration, Instant};

/// Since when work is measured.
pub struct Stopwatch {
    wall: Instant,
    cpu: Option<Duration>,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self {
            cpu: cpu_time(),
            wall: Instant::now(),
        }
    }

    /// Processor time since the start, or time on the clock where that cannot be told.
    pub fn elapsed(&self) -> Duration {
        let cpu = self
            .cpu
            .zip(cpu_time())
            .map(|(start, now)| now.saturating_sub(start));
        cpu.unwrap_or_else(|| self.wall.elapsed())
    }
}

/// Processor time of this thread.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// The clock by which rates are measured, for the head of a table.
pub fn clock() -> &'static str {
    if cpu_time().is_some() {
        "processor time"
    } else {
        "wall-clock time"
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The machine, for the head of a table.
pub fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, {cores} cores, {}",
        model.map_or("unknown processor", |(_, name)| name),
        std::env::consts::OS
    )
}

//! What a process has taken so far, as the kernel tells it (proc(5)).

use std::time::Duration;

/// The kernel counts processor time in ticks of a hundredth of a second.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of all threads of a process, in user and in kernel mode.
pub fn cpu(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name of the program stands in brackets and may hold anything.
    let (_, rest) = text.rsplit_once(") ").unwrap();
    let ticks = |field: usize| rest.split(' ').nth(field).unwrap().parse::<u32>().unwrap();
    TICK * (ticks(11) + ticks(12))
}

/// The most memory that a process ever had resident, in MiB.
pub fn peak_mib(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<f64>().unwrap() / 1024.0
}

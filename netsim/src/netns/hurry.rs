//! How the emulator gets its turn before the programs it emulates for.

use std::fs;
use std::num::NonZeroU64;
use std::process::{Command, Stdio};

/// `nice` of a thread that is not real-time.
const NICE: i32 = -20;

/// Asks for exact timers, and that the calling thread run whenever it can: real-time scheduling by `chrt` (util-linux),
/// and for where that is refused, the highest ordinary priority.
///
/// What is refused shows in the lateness, so nothing is returned.
pub fn hurry() {
    let _set = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let _set = rustix::process::setpriority_process(None, NICE);
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let _ran = Command::new("chrt")
        .args(["--fifo", "--pid", "1", &thread])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Asks that this process's session be served before others: the kernel weighs whole sessions first, and threads only
/// against others of their session (`sched(7)`, "The autogroup feature").
pub(super) fn hurry_session() {
    let _set = fs::write("/proc/self/autogroup", NICE.to_string());
}

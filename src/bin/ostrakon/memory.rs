//! Keeps what stands in memory from the disk and from others, and the memory that a long run takes as small as that of a short one.

use rustix::process::{Resource, Rlimit, setrlimit};

/// No core dumps, and no other process of this user may look into this one.
pub fn keep_private() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "a crash may write secret keys into a core dump");
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "other programs of yours can read the memory of this one");
        }
    }
}

/// Heaps are few and give back what they do not need. The allocator of the GNU C library gives each thread a heap of its own, and
/// what one has let go of another does not use: 10 GiB took a recipient a fifth more than 100 MiB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_small(busy_threads: usize) {
    const WHOLE_PAGES_FROM: libc::c_int = 128 << 10;
    const KEPT: libc::c_int = 1 << 20;
    let heaps = libc::c_int::try_from(busy_threads.max(2)).unwrap_or(libc::c_int::MAX);
    let settings = [
        (libc::M_ARENA_MAX, heaps),
        (libc::M_MMAP_THRESHOLD, WHOLE_PAGES_FROM),
        (libc::M_TRIM_THRESHOLD, KEPT),
    ];
    for (name, value) in settings {
        // SAFETY: mallopt(3) takes two numbers, locks what it changes and touches no memory of ours.
        #[allow(unsafe_code)]
        let _refused = unsafe { libc::mallopt(name, value) } == 0;
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_small(_busy_threads: usize) {}

//! Keeps what stands in memory from the disk and from others.

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

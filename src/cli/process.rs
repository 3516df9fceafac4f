//! What the operating system may do to this process: write its memory to a file, or end it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Turns core dumps off, because the memory holds passwords and tokens, and makes a write beyond the
/// limit on file sizes (`ulimit -f`) an error instead of the end of the process. The returned flag is set
/// by such a write.
pub(super) fn protect() -> Arc<AtomicBool> {
    let file_limit = Arc::new(AtomicBool::new(false));
    // Each of these can only fail on a system that lacks it.
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, file_limit.clone());
    }
    // A core that is piped to a program ignores the limit. This also keeps other programs of the same user
    // from reading the memory.
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    file_limit
}

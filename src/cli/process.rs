//! What the operating system does to this process and its files: their permissions, core dumps, signals.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Makes new files and folders private, and turns core dumps off, because the memory holds passwords and
/// tokens. A write beyond the limit on file sizes (`ulimit -f`) becomes an error instead of the end of the
/// process; it sets the returned flag.
pub(super) fn protect() -> Arc<AtomicBool> {
    let file_limit = Arc::new(AtomicBool::new(false));
    // Each of these can only fail on a system that lacks it.
    #[cfg(unix)]
    {
        use rustix::fs::Mode;
        use rustix::process::{Resource, Rlimit, setrlimit, umask};
        umask(Mode::RWXG | Mode::RWXO);
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

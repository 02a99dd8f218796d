//! How many files may be open at once: each connection takes one, and so does every file of the
//! log of events, which has one for each 64 MiB.

/// Files that are opened after the start and are no connection: connections that are turned away,
/// further files of the log, read models and their rebuilds.
const OTHERS: u64 = 1_536;

/// Raises the soft limit of this process to the hard one. The soft one is small for the sake of
/// programs that use `select`.
pub fn allow() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Where that is refused, what there is has to do.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// So many connections at most as there is room for beside what is open already.
pub fn connections(wanted: usize) -> usize {
    let Some(most) = most() else { return wanted };
    let free = most.saturating_sub(already().unwrap_or(0));
    if free >= wanted as u64 + OTHERS {
        return wanted;
    }
    let allowed = usize::try_from(free.saturating_sub(OTHERS).max(free / 2)).unwrap_or(1);
    let allowed = allowed.clamp(1, wanted);
    if allowed < wanted {
        tracing::warn!(
            wanted,
            allowed,
            files = most,
            "the system lets this process open so few files that it takes fewer connections: raise \
             the hard limit (ulimit -Hn, or LimitNOFILE of its service)"
        );
    }
    allowed
}

/// The most that may be open; none if that is not bounded, or unknown.
#[cfg(unix)]
pub fn most() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// The most that may be open; none if that is not bounded, or unknown.
#[cfg(not(unix))]
pub fn most() -> Option<u64> {
    None
}

/// How many are open, where the system says so.
pub fn already() -> Option<u64> {
    std::fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as u64)
}

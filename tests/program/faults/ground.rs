//! What the suite asks of a store: servers on it, what can happen to it, and its events.

use std::{path::Path, process::Command};

use futures_util::future::BoxFuture;
use hakken_tests::sim::Chance;

use super::super::crash::witness::Events;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A server is killed.
    ServerKilled,
    /// A server stands still for a while, and then goes on as if nothing had been.
    ServerFrozen,
    /// A server is killed while its store is in another fault, and starts when that is over.
    ServerKilledMeanwhile,
    /// The store's own server is killed, and starts again.
    StoreKilled,
    /// The store's own server refuses everything, as one does that is starting.
    NotReady,
    /// The store's own server ends all sessions.
    SessionsEnded,
    /// Every connection to the store is cut.
    ConnectionsCut,
    /// Every connection is closed towards the servers, and not towards the store.
    HalfClosed,
    /// Nobody can connect to the store.
    Unreachable,
    /// What is sent arrives when it is over.
    Silence,
    /// What is asked is done, and no answer arrives.
    AnswersLost,
    /// Each piece takes its time.
    SlowNetwork,
    /// Each sync takes its time.
    SlowDisk,
    /// Files do not grow any more.
    FullDisk,
    /// The store may only be read.
    ReadOnly,
    /// There are no connections left.
    NoConnectionsLeft,
}

/// Who is there when a fault begins.
pub struct Servers<'a> {
    /// The processes.
    pub pids: &'a [u32],
    /// The one that the fault is to meet, where it meets one.
    pub victim: usize,
}

/// A store, the servers on it, and its faults.
pub trait Ground: Send {
    /// For people.
    fn name(&self) -> &'static str;

    /// So many servers share it.
    fn servers(&self) -> usize;

    /// What can happen to it. What happens to servers alone need not be said.
    fn faults(&self) -> &'static [Fault];

    /// May a server end by itself under this fault? What a write came to may be unknown for good.
    fn ends_servers(&self, fault: Fault) -> bool;

    /// How one of the servers is started. Their data are below the folder.
    fn command(&self, root: &Path, number: usize) -> Command;

    /// The events, by a way of one's own that no fault meets.
    fn events(&self, root: &Path) -> Events;

    /// Lets a fault begin. Whether it could: some need the store to be large enough first.
    fn begin<'a>(
        &'a mut self,
        fault: Fault,
        servers: Servers<'a>,
        chance: &'a mut Chance,
    ) -> BoxFuture<'a, bool>;

    /// Lets every fault end.
    fn heal<'a>(&'a mut self, servers: Servers<'a>) -> BoxFuture<'a, ()>;
}

/// Lets files of these processes grow no further than to so many bytes, or as they like.
#[cfg(target_os = "linux")]
pub fn limit_files(pids: impl IntoIterator<Item = u32>, bytes: Option<u64>) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    for pid in pids {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
        // A process may have ended in this moment.
        let _ = prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None });
    }
}

/// Elsewhere a limit is its process's own.
#[cfg(not(target_os = "linux"))]
pub fn limit_files(_: impl IntoIterator<Item = u32>, _: Option<u64>) {}

//! The rows that a projection served before the last swap. They are kept for a while, in case
//! those that took their place turn out to be worse, and removed by themselves then.

use std::{sync::Arc, time::Duration};

use hakken_domain::{envelope::Position, time::Timestamp};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{BuildKind, Control, Shared, Slot, lock};
use crate::rows::BuildId;

/// How long former rows are kept. They take as much room as those that are served.
pub const FORMER_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How long after a failure, or while somebody needs them, it is tried again to remove them.
const LATER: Duration = Duration::from_secs(60);

/// Rows that were served, of which a projection keeps the newest alone.
#[derive(Debug, Clone)]
pub(super) struct Former {
    /// Queries that began before the swap hold a clone.
    pub(super) build: Arc<BuildId>,
    /// Events up to here count in them.
    pub(super) position: Position,
    /// When others took their place.
    pub(super) since: Timestamp,
}

/// Rows that were served before the last swap, as they are told.
#[derive(Debug, Clone, PartialEq)]
pub struct FormerBuild {
    /// Events up to here count in them.
    pub position: Position,
    /// When others took their place.
    pub retired_at: Timestamp,
    /// How long ago that was; 0 if the clock says that it is still to come.
    pub age: Duration,
    /// When they are removed.
    pub removed_at: Timestamp,
}

/// How long ago that was, as the clock has it.
fn age(since: Timestamp, now: Timestamp) -> Duration {
    let micros = now.as_micros().saturating_sub(since.as_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

impl Former {
    pub(super) fn told(&self, now: Timestamp) -> FormerBuild {
        FormerBuild {
            position: self.position,
            retired_at: self.since,
            age: age(self.since, now),
            removed_at: self.since.plus_seconds(FORMER_KEPT.as_secs()),
        }
    }
}

/// Removes former rows when their time has come, until the engine closes.
pub(super) async fn keep(shared: Arc<Shared>, slot: Arc<Slot>) {
    let mut control = slot.control.subscribe();
    let mut former = slot.former.subscribe();
    let mut at_least = Duration::ZERO;
    loop {
        let since = former.borrow_and_update().as_ref().map(|former| former.since);
        let due = async {
            match since {
                None => std::future::pending().await,
                Some(since) => {
                    let left = FORMER_KEPT.saturating_sub(age(since, shared.clock.now()));
                    tokio::time::sleep(left.max(at_least)).await;
                }
            }
        };
        tokio::select! {
            biased;
            () = closing(&mut control) => return,
            // An error cannot be: the sender lives in the slot, as long as this task.
            _ = former.changed() => continue,
            () = due => {}
        }
        // The clock may have been turned while this slept.
        let is_due = since.is_some_and(|since| age(since, shared.clock.now()) >= FORMER_KEPT);
        at_least = LATER;
        if is_due && !is_swapped_back(&slot) {
            remove(&shared, &slot).await;
        }
    }
}

async fn closing(control: &mut watch::Receiver<Control>) {
    // An error means that nobody is left who could go on.
    let _ = control.wait_for(|control| control.closing).await;
}

/// Whether the former rows are being made ready to be served again.
fn is_swapped_back(slot: &Slot) -> bool {
    lock(&slot.build).running_kind() == Some(BuildKind::SwapBack)
}

/// Removes the former rows of a projection now; says whether there were any.
pub(super) async fn remove(shared: &Shared, slot: &Slot) -> bool {
    let Some(former) = slot.former.send_replace(None) else { return false };
    info!(projection = slot.projection.name, "the former rows are removed");
    remove_when_unread(shared, former.build).await;
    true
}

/// Takes rows away when the last query that reads them has ended. What cannot be removed now is
/// removed at the next start.
pub(super) async fn remove_when_unread(shared: &Shared, build: Arc<BuildId>) {
    for _ in 0..1_000 {
        if Arc::strong_count(&build) == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if let Err(error) = shared.rows.remove(*build).await {
        warn!(%error, "the former rows of a read model could not be removed");
    }
}

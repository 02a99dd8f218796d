//! How the projections are doing.

use hakken_domain::{envelope::Position, names::ShowId, time::Timestamp};

use super::{BuildReport, Engine, FormerBuild, Poison, Skip, Slot, lock};
use crate::{feed::FeedError, rows::Checkpoint};

/// What the task of a projection is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// It follows the events.
    Running,
    /// Somebody paused it.
    Paused,
    /// It met an event that it cannot fold, and waits to be resumed or rebuilt.
    Stopped(Poison),
    /// The events or the rows cannot be reached; it tries again by itself.
    Retrying {
        /// What went wrong.
        reason: String,
        /// How many times in a row.
        failures: u32,
    },
}

impl RunState {
    /// In one word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped(_) => "stopped",
            Self::Retrying { .. } => "retrying",
        }
    }
}

/// Why rows are being built beside the served ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildKind {
    /// To replace them.
    Rebuild,
    /// To compare them.
    Verify,
    /// To replace those of one show among them.
    RebuildShow(ShowId),
    /// The rows that were served before catch up, to be served again.
    SwapBack,
}

/// What a build is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildPhase {
    /// It folds events.
    Folding,
    /// It makes the indexes that queries need.
    Indexing,
    /// It compares its rows with the served ones.
    Comparing,
    /// Its rows differ from the served ones: it folds all events a second time, and they are
    /// swapped in only if both times say the same.
    Confirming,
}

/// How far a build has come.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildProgress {
    /// Why it is done.
    pub kind: BuildKind,
    /// What it is doing.
    pub phase: BuildPhase,
    /// Whether somebody paused it.
    pub paused: bool,
    /// Positions that it has behind it.
    pub done: u64,
    /// Positions up to where the served rows are now.
    pub total: u64,
    /// Positions a second, lately; none before there is something to measure.
    pub rate: Option<f64>,
    /// How long the folding will take at this rate; the comparison comes on top.
    pub eta_seconds: Option<f64>,
}

/// How a projection is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: &'static str,
    /// The version of its fold and tables.
    pub version: u32,
    /// The last position that counts in its rows.
    pub checkpoint: Position,
    /// When that event was recorded; none before the first.
    pub checkpoint_recorded_at: Option<Timestamp>,
    /// The newest position there is.
    pub head: Position,
    /// Positions that it is behind.
    pub lag_positions: u64,
    /// How long ago the oldest event was recorded that does not count yet; 0 if all do.
    pub lag_seconds: f64,
    /// What its task is doing.
    pub state: RunState,
    /// What is being built beside it.
    pub build: Option<BuildProgress>,
    /// What became of the last build that ended since this process started.
    pub last_build: Option<BuildReport>,
    /// Why the last build failed, if it did.
    pub last_build_error: Option<String>,
    /// The rows that it served before the last swap, if they are kept.
    pub former: Option<FormerBuild>,
    /// Events that it leaves out, as operators recorded it.
    pub skipped: Vec<Skip>,
    /// Whether the rows of one show can be rebuilt alone.
    pub by_show: bool,
}

impl Engine {
    pub(crate) async fn status(&self) -> Result<Vec<ProjectionStatus>, FeedError> {
        let head = self.shared.feed.head().await?;
        self.shared.read_skips().await?;
        let mut all = Vec::with_capacity(self.shared.slots.len());
        for slot in &self.shared.slots {
            all.push(self.status_of(slot, head).await?);
        }
        Ok(all)
    }

    async fn status_of(&self, slot: &Slot, head: Position) -> Result<ProjectionStatus, FeedError> {
        let Checkpoint { position, event, recorded_at } = slot.checkpoint();
        let lag_positions = head.0.saturating_sub(position.0);
        let mut lag_seconds = 0.0;
        if lag_positions > 0
            && let Some(next) = self.shared.feed.read_all(position, 1).await?.first()
        {
            let micros = self.shared.clock.now().as_micros() - next.recorded_at.as_micros();
            lag_seconds = micros.max(0) as f64 / 1e6;
        }
        let state = lock(&slot.state).clone();
        let skipped = lock(&self.shared.skips).listed(slot.projection.name);
        let now = self.shared.clock.now();
        let former = slot.former.borrow().as_ref().map(|former| former.told(now));
        let build = lock(&slot.build);
        Ok(ProjectionStatus {
            name: slot.projection.name,
            version: slot.projection.version,
            checkpoint: position,
            checkpoint_recorded_at: event.map(|_| recorded_at),
            head: head.max(position),
            lag_positions,
            lag_seconds,
            state,
            build: build.progress(position),
            last_build: build.last_report(),
            last_build_error: build.last_error(),
            former,
            skipped,
            by_show: slot.projection.by_show.is_some(),
        })
    }
}

//! How the engine is doing: read models, their rebuilds, and processes.

use async_graphql::{Enum, SimpleObject};
use hakken_commands::process::ProcessHandle;
use hakken_projections as read;

use hakken_projections::models::seat_availability::AsOf;

use crate::{
    faults::Fault,
    schema::scalars::{DateTime, PositionScalar},
};

/// A read model, made from the events alone and served to queries.
#[derive(Debug, Clone, SimpleObject)]
pub struct Projection {
    /// Its name, unique.
    pub name: String,
    /// The version of its fold and tables. Another version is built again by itself.
    pub version: u32,
    /// What it is doing.
    pub state: ProjectionState,
    /// Why it is not running, if it is not.
    pub reason: Option<String>,
    /// The position of the event that it cannot fold, if it stopped at one.
    pub stopped_at: Option<PositionScalar>,
    /// Events up to here count in what it serves.
    pub position: PositionScalar,
    /// The newest event there is.
    pub head: PositionScalar,
    /// How many positions it is behind.
    pub lag_positions: u64,
    /// How long ago the oldest event was recorded that does not count yet; 0 if all do.
    pub lag_seconds: f64,
    /// What is being built beside what it serves.
    pub build: Option<BuildProgress>,
    /// What the last build found, since the engine was started.
    pub last_build: Option<BuildReport>,
    /// Why the last build failed, if it did.
    pub last_build_error: Option<String>,
}

/// What a read model is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum ProjectionState {
    /// It follows the events.
    Running,
    /// Somebody paused it.
    Paused,
    /// It met an event that it cannot fold, and waits to be resumed or rebuilt.
    Stopped,
    /// The events or its rows cannot be reached; it tries again by itself.
    Retrying,
}

/// Why rows are built beside those that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum BuildKind {
    /// To replace them.
    Rebuild,
    /// To compare them.
    Verify,
}

/// What a build is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum BuildPhase {
    /// It folds events.
    Folding,
    /// It makes the indexes that queries need.
    Indexing,
    /// It compares its rows with those that are served.
    Comparing,
}

/// How far a build is.
#[derive(Debug, Clone, SimpleObject)]
pub struct BuildProgress {
    /// Why it is done.
    pub kind: BuildKind,
    /// What it is doing.
    pub phase: BuildPhase,
    /// Somebody paused it.
    pub paused: bool,
    /// Positions that it has behind it.
    pub done: u64,
    /// Positions up to where the served rows are now.
    pub total: u64,
    /// Positions a second, lately; null before there is something to measure.
    pub per_second: Option<f64>,
    /// How long the folding will take at this rate.
    pub seconds_left: Option<f64>,
}

/// What a build found when it compared its rows with those that were served.
#[derive(Debug, Clone, SimpleObject)]
pub struct BuildReport {
    /// Of which read model.
    pub projection: String,
    /// Why it was done.
    pub kind: BuildKind,
    /// The position at which both were compared.
    pub position: PositionScalar,
    /// What was served was what the events say.
    pub equal: bool,
    /// The first difference, in words.
    pub first_difference: Option<String>,
    /// Table by table.
    pub tables: Vec<TableComparison>,
    /// How long it took, pauses included.
    pub seconds: f64,
    /// How many positions were folded.
    pub folded: u64,
}

/// What the rows of one table say, as served and as folded afresh.
#[derive(Debug, Clone, SimpleObject)]
pub struct TableComparison {
    /// The table.
    pub table: String,
    /// Rows that are served.
    pub served_rows: u64,
    /// Rows that the events give.
    pub rebuilt_rows: u64,
    /// A digest of the served rows, in hexadecimal; it means something only beside the other.
    pub served_digest: String,
    /// A digest of the rows that the events give.
    pub rebuilt_digest: String,
    /// Rows that are missing, too many or different.
    pub differences: u64,
}

/// A process that answers events with commands: the checkout, refunds.
#[derive(Debug, Clone, SimpleObject)]
pub struct Process {
    /// Its name.
    pub name: String,
    /// Every event up to here is answered.
    pub position: PositionScalar,
    /// Events that it has read and not answered yet.
    pub unanswered: usize,
    /// Answers that were tried again, since the engine was started.
    pub retries: u64,
}

impl From<read::BuildKind> for BuildKind {
    fn from(kind: read::BuildKind) -> Self {
        match kind {
            read::BuildKind::Rebuild => Self::Rebuild,
            read::BuildKind::Verify => Self::Verify,
        }
    }
}

impl From<read::ProjectionStatus> for Projection {
    fn from(status: read::ProjectionStatus) -> Self {
        let (state, reason, stopped_at) = match status.state {
            read::RunState::Running => (ProjectionState::Running, None, None),
            read::RunState::Paused => (ProjectionState::Paused, None, None),
            read::RunState::Stopped(poison) => {
                (ProjectionState::Stopped, Some(poison.reason), Some(poison.position))
            }
            read::RunState::Retrying { reason, .. } => {
                (ProjectionState::Retrying, Some(reason), None)
            }
        };
        Self {
            name: status.name.to_owned(),
            version: status.version,
            state,
            reason,
            stopped_at: stopped_at.map(PositionScalar),
            position: PositionScalar(status.checkpoint),
            head: PositionScalar(status.head),
            lag_positions: status.lag_positions,
            lag_seconds: status.lag_seconds,
            build: status.build.map(BuildProgress::from),
            last_build: status.last_build.map(BuildReport::from),
            last_build_error: status.last_build_error,
        }
    }
}

impl From<read::BuildProgress> for BuildProgress {
    fn from(progress: read::BuildProgress) -> Self {
        Self {
            kind: progress.kind.into(),
            phase: match progress.phase {
                read::BuildPhase::Folding => BuildPhase::Folding,
                read::BuildPhase::Indexing => BuildPhase::Indexing,
                read::BuildPhase::Comparing => BuildPhase::Comparing,
            },
            paused: progress.paused,
            done: progress.done,
            total: progress.total,
            per_second: progress.rate,
            seconds_left: progress.eta_seconds,
        }
    }
}

impl From<read::BuildReport> for BuildReport {
    fn from(report: read::BuildReport) -> Self {
        let tables = report.comparison.tables.iter().map(|table| TableComparison {
            table: table.table.to_owned(),
            served_rows: table.served_rows,
            rebuilt_rows: table.rebuilt_rows,
            served_digest: format!("{:016x}", table.served_digest),
            rebuilt_digest: format!("{:016x}", table.rebuilt_digest),
            differences: table.differences,
        });
        Self {
            projection: report.projection.to_owned(),
            kind: report.kind.into(),
            position: PositionScalar(report.position),
            equal: report.equal(),
            tables: tables.collect(),
            first_difference: report.comparison.first_difference,
            seconds: report.seconds,
            folded: report.folded,
        }
    }
}

impl From<&ProcessHandle> for Process {
    fn from(process: &ProcessHandle) -> Self {
        let progress = process.progress();
        Self {
            name: process.name().to_owned(),
            position: PositionScalar(progress.done),
            unanswered: progress.waiting,
            retries: progress.retries,
        }
    }
}

/// The moment of an answer about the past: a position or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, async_graphql::InputObject)]
pub struct AsOfInput {
    /// After the event at this position. Give this or `time`.
    pub position: Option<PositionScalar>,
    /// After everything that was recorded until then. Give this or `position`.
    pub time: Option<DateTime>,
}

impl AsOfInput {
    /// Exactly one of the two.
    pub(crate) fn read(self) -> Result<AsOf, Fault> {
        match (self.position, self.time) {
            (Some(position), None) => Ok(AsOf::Position(position.0)),
            (None, Some(time)) => Ok(AsOf::Time(time.0)),
            _ => Err(Fault::argument("asOf", "give a position or a time, one of them")),
        }
    }
}

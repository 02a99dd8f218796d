//! How the engine is doing: read models, their rebuilds, and processes.

use async_graphql::{ComplexObject, Context, Enum, ID, SimpleObject};
use hakken_commands::process::ProcessHandle;
use hakken_domain::{
    envelope::{Metadata, Position, StoredEvent},
    names::{OrganizerId, ShowId},
};
use hakken_projections as read;

use hakken_projections::models::seat_availability::AsOf;

use crate::{
    auth::Right,
    faults::Fault,
    ids::GlobalId,
    schema::{
        context::{Answer, Asked, answer},
        scalars::{AnyJson, DateTime, PositionScalar},
    },
};

/// A read model, made from the events alone and served to queries.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct Projection {
    /// Its name, unique: `tickets`.
    pub name: String,
    /// The version of its fold and tables. Another version is built again by itself.
    pub version: u32,
    /// What it is doing.
    pub state: ProjectionState,
    /// Why it is not running, if it is not: `its rows cannot be reached`. The whole of it is for
    /// operators alone, since it may name what is anybody's.
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
    /// Why the last build failed, if it did: `the event at position 7 cannot be folded`. For
    /// operators alone.
    pub last_build_error: Option<String>,
    /// Events that it leaves out, as operators recorded it (`skipEvent`), in their order. Who
    /// belongs to an organizer sees which of its own are left out, and why.
    pub skipped: Vec<SkippedEvent>,
    /// How many events it leaves out.
    pub skipped_count: usize,
    /// The rows that it served before the last rebuild, kept for a day: `swapBack` serves them
    /// again.
    pub former: Option<FormerBuild>,
    /// The rows of one show can be rebuilt alone:
    /// `rebuildProjections(input: { names: ["tickets"], show: "show_01J…" })`.
    pub rebuilds_one_show: bool,
}

impl Projection {
    /// Takes out what is not for somebody of this organizer: words that may be about others, and
    /// the events of others that are left out.
    pub(crate) async fn keep_to(
        &mut self,
        asked: Asked<'_>,
        organizer: OrganizerId,
    ) -> Result<(), Fault> {
        self.reason = self.reason.take().map(|_| match self.stopped_at {
            Some(PositionScalar(at)) => format!("it cannot fold the event at position {at}"),
            None => "the events or its rows cannot be reached".to_owned(),
        });
        self.last_build_error = None;
        if let Some(build) = &mut self.last_build {
            build.first_difference = None;
        }
        let mut own = Vec::new();
        for skipped in std::mem::take(&mut self.skipped) {
            let event = event_at(asked, skipped.position.0).await?;
            // Its data cannot be folded, and most likely cannot be read; its metadata can.
            let meta = event.and_then(|event| serde_json::from_slice::<Metadata>(&event.meta).ok());
            if meta.is_some_and(|meta| meta.organizer == Some(organizer)) {
                own.push(skipped);
            }
        }
        self.skipped = own;
        Ok(())
    }
}

#[ComplexObject]
impl Projection {
    /// The event at which it stopped, with its bytes as they are stored; null while it has not
    /// stopped at one. Needs the role OPERATOR.
    async fn stopped_event(&self, ctx: &Context<'_>) -> Answer<StoppedEvent> {
        let asked = Asked::of(ctx);
        let (stopped_at, reason) = (self.stopped_at, self.reason.clone());
        answer(async move {
            asked.with(Right::Operate)?;
            let Some(PositionScalar(position)) = stopped_at else { return Ok(None) };
            let event = event_at(asked, position).await?;
            let reason = reason.unwrap_or_default();
            Ok(event.map(|event| StoppedEvent::new(&event, reason)))
        })
        .await
    }
}

/// The event at a position, if there is one.
pub(crate) async fn event_at(
    asked: Asked<'_>,
    position: Position,
) -> Result<Option<std::sync::Arc<StoredEvent>>, Fault> {
    let Some(before) = position.0.checked_sub(1) else { return Ok(None) };
    let read = asked.api.feed.read_all(Position(before), 1).await.map_err(|error| {
        tracing::warn!(%error, "an event cannot be read");
        Fault::ReadsUnavailable
    })?;
    Ok(read.into_iter().next().filter(|event| event.position == position))
}

/// An event that a read model cannot fold, with its bytes as they are stored.
#[derive(Debug, Clone, SimpleObject)]
pub struct StoppedEvent {
    /// Its place among all events.
    pub position: PositionScalar,
    /// Its kind: `ticket-voided`.
    pub kind: String,
    /// The schema version of its data.
    pub schema_version: u16,
    /// Its stream: a kind and a ULID, such as `ticket-01J…`.
    pub stream: String,
    /// Its place in the stream, from 1 without gaps.
    pub version: u64,
    /// When the store took it.
    pub recorded_at: DateTime,
    /// What is wrong with it, in words: `missing field result`.
    pub reason: String,
    /// What is stored, as JSON; null if it is none.
    pub data: Option<AnyJson>,
    /// The same as text, byte for byte where it is UTF-8: `{"reason":"sold twice"}`.
    pub raw: String,
    /// Its metadata as text, who did it with which key: `{"actor":"key:01J…"}`.
    pub raw_metadata: String,
}

impl StoppedEvent {
    fn new(event: &StoredEvent, reason: String) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            position: PositionScalar(event.position),
            kind: event.kind.to_string(),
            schema_version: event.schema,
            stream: event.stream.to_string(),
            version: event.version,
            recorded_at: DateTime(event.recorded_at),
            reason,
            data: serde_json::from_slice(&event.data).ok().map(AnyJson),
            raw: text(&event.data),
            raw_metadata: text(&event.meta),
        }
    }
}

/// An event that a read model leaves out, because an operator said so.
#[derive(Debug, Clone, SimpleObject)]
pub struct SkippedEvent {
    /// The place of the event among all events.
    pub position: PositionScalar,
    /// Its kind: `ticket-voided`.
    pub kind: String,
    /// Why it is left out, in the operator's words: `written by a gate on trial`.
    pub reason: String,
    /// Who decided that: `key:` and the ULID of an API key, or `system:command-line`.
    pub by: String,
    /// When.
    pub at: DateTime,
    /// The position at which the decision itself is recorded.
    pub decided_at: PositionScalar,
}

impl From<read::Skip> for SkippedEvent {
    fn from(skip: read::Skip) -> Self {
        Self {
            position: PositionScalar(skip.position),
            kind: skip.kind,
            reason: skip.reason.to_string(),
            by: skip.by.to_string(),
            at: DateTime(skip.at),
            decided_at: PositionScalar(skip.recorded),
        }
    }
}

/// Rows that were served before others took their place.
#[derive(Debug, Clone, SimpleObject)]
pub struct FormerBuild {
    /// Events up to here count in them.
    pub position: PositionScalar,
    /// When others took their place.
    pub retired_at: DateTime,
    /// How long ago that was.
    pub age_seconds: f64,
    /// When they are removed, if nobody serves them again before.
    pub removed_at: DateTime,
}

impl From<read::FormerBuild> for FormerBuild {
    fn from(former: read::FormerBuild) -> Self {
        Self {
            position: PositionScalar(former.position),
            retired_at: DateTime(former.retired_at),
            age_seconds: former.age.as_secs_f64(),
            removed_at: DateTime(former.removed_at),
        }
    }
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
    /// To replace those of one show among them.
    RebuildShow,
    /// The rows that were served before the last rebuild catch up, to be served again.
    SwapBack,
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
    /// Its rows differ from those that are served: it folds all events a second time, and they are
    /// swapped in only if both times say the same.
    Confirming,
}

/// How far a build is.
#[derive(Debug, Clone, SimpleObject)]
pub struct BuildProgress {
    /// Why it is done.
    pub kind: BuildKind,
    /// The id of the show, if the rows of one show alone are built: `show_01J…`.
    pub show_id: Option<ID>,
    /// What it is doing.
    pub phase: BuildPhase,
    /// Somebody paused it; a rebuild is still paused after a restart.
    pub paused: bool,
    /// Positions that it has behind it.
    pub done: u64,
    /// Positions up to where the served rows are now.
    pub total: u64,
    /// Positions a second, lately; null before there is something to measure.
    pub per_second: Option<f64>,
    /// How long the folding will take at this rate; null while nobody can say: when it is paused,
    /// stands still, or does something else than folding.
    pub seconds_left: Option<f64>,
}

/// What a build found when it compared its rows with those that were served.
#[derive(Debug, Clone, SimpleObject)]
pub struct BuildReport {
    /// Of which read model: `tickets`.
    pub projection: String,
    /// Why it was done.
    pub kind: BuildKind,
    /// The id of the show, if the rows of one show alone were built: `show_01J…`.
    pub show_id: Option<ID>,
    /// The position at which both were compared.
    pub position: PositionScalar,
    /// What was served was what the events say.
    pub equal: bool,
    /// The first difference, in words: `order 01J… is missing`. For operators alone.
    pub first_difference: Option<String>,
    /// Table by table.
    pub tables: Vec<TableComparison>,
    /// How long it took, pauses included.
    pub seconds: f64,
    /// How many positions were folded.
    pub folded: u64,
    /// The positions of events that were left out, as operators recorded it.
    pub skipped: Vec<PositionScalar>,
}

/// What the rows of one table say, as served and as folded afresh.
#[derive(Debug, Clone, SimpleObject)]
pub struct TableComparison {
    /// The table: `refunds`.
    pub table: String,
    /// Rows that are served.
    pub served_rows: u64,
    /// Rows that the events give.
    pub rebuilt_rows: u64,
    /// A digest of the served rows, in hexadecimal, `9c56cc51b374c3ba`; it means something only
    /// beside the other.
    pub served_digest: String,
    /// A digest of the rows that the events give: `9c56cc51b374c3ba`.
    pub rebuilt_digest: String,
    /// Rows that are missing, too many or different.
    pub differences: u64,
}

/// A process that answers events with commands: the checkout, refunds.
#[derive(Debug, Clone, SimpleObject)]
pub struct Process {
    /// Its name: `checkout`.
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
            read::BuildKind::RebuildShow(_) => Self::RebuildShow,
            read::BuildKind::SwapBack => Self::SwapBack,
        }
    }
}

/// The show of which rows are built, if it is one alone.
fn show_of(kind: read::BuildKind) -> Option<ID> {
    let show: Option<ShowId> = match kind {
        read::BuildKind::RebuildShow(show) => Some(show),
        read::BuildKind::Rebuild | read::BuildKind::Verify | read::BuildKind::SwapBack => None,
    };
    show.map(GlobalId::global)
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
            skipped_count: status.skipped.len(),
            skipped: status.skipped.into_iter().map(SkippedEvent::from).collect(),
            former: status.former.map(FormerBuild::from),
            rebuilds_one_show: status.by_show,
        }
    }
}

impl From<read::BuildProgress> for BuildProgress {
    fn from(progress: read::BuildProgress) -> Self {
        Self {
            kind: progress.kind.into(),
            show_id: show_of(progress.kind),
            phase: match progress.phase {
                read::BuildPhase::Folding => BuildPhase::Folding,
                read::BuildPhase::Indexing => BuildPhase::Indexing,
                read::BuildPhase::Comparing => BuildPhase::Comparing,
                read::BuildPhase::Confirming => BuildPhase::Confirming,
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
            show_id: show_of(report.kind),
            position: PositionScalar(report.position),
            equal: report.equal(),
            skipped: report.skipped.iter().copied().map(PositionScalar).collect(),
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

//! Builds a projection anew beside the served rows: to replace them, or only to compare them.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamKind},
    guard::Guard,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Duration, Instant},
};
use tracing::{info, warn};

use super::{
    BuildKind, BuildPhase, BuildProgress, Comparison, Engine, MAX_BATCH, Shared, UnknownProjection,
    compare,
    folding::{BREATH, Folding},
    lock, poison_reason,
    progress::Meter,
    runner,
};
use crate::{
    feed::{EventFeed, FeedError},
    rows::{Build, BuildId, Checkpoint, Purpose, RowError},
};

/// Positions behind the served rows from which a build catches up while those stand still.
const CLOSE: u64 = 1_000;

/// What a build found.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildReport {
    /// Of which projection.
    pub projection: &'static str,
    /// Why it was done.
    pub kind: BuildKind,
    /// The position at which both were compared.
    pub position: Position,
    /// What they said.
    pub comparison: Comparison,
    /// How long it took this process, pauses included.
    pub seconds: f64,
    /// Positions that this process folded.
    pub folded: u64,
}

impl BuildReport {
    /// Whether what was served was what the events say.
    pub fn equal(&self) -> bool {
        self.comparison.equal()
    }
}

/// Why a build came to nothing. What is served stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// No projection has this name.
    #[error(transparent)]
    Unknown(#[from] UnknownProjection),
    /// Another build of this projection is under way.
    #[error("{0} is being built already")]
    UnderWay(&'static str),
    /// It met an event that it cannot fold.
    #[error("it cannot fold the event at position {position}: {reason}")]
    Poisoned {
        /// Where.
        position: Position,
        /// What is wrong.
        reason: String,
    },
    /// The events or the rows could not be reached. A rebuild goes on where it was when it is
    /// asked for again.
    #[error("{0}")]
    Interrupted(String),
    /// The engine closes. A rebuild goes on where it was when the engine starts again.
    #[error("the engine closes")]
    Closing,
}

impl From<RowError> for BuildError {
    fn from(error: RowError) -> Self {
        Self::Interrupted(error.to_string())
    }
}

impl From<FeedError> for BuildError {
    fn from(error: FeedError) -> Self {
        Self::Interrupted(error.to_string())
    }
}

/// The build of a projection that is under way, and what became of the last one.
#[derive(Debug, Default)]
pub(super) struct Slot {
    running: Option<Running>,
    last: Option<Result<BuildReport, BuildError>>,
}

#[derive(Debug)]
struct Running {
    kind: BuildKind,
    phase: BuildPhase,
    paused: watch::Sender<bool>,
    done: u64,
    meter: Meter,
    outcome: watch::Receiver<Option<Result<BuildReport, BuildError>>>,
}

impl Slot {
    /// How far the build is, on its way to where the served rows are.
    pub(super) fn progress(&self, served: Position) -> Option<BuildProgress> {
        let running = self.running.as_ref()?;
        let paused = *running.paused.borrow();
        let rate = if paused { None } else { running.meter.rate() };
        let total = served.0.max(running.done);
        Some(BuildProgress {
            kind: running.kind,
            phase: running.phase,
            paused,
            done: running.done,
            total,
            rate,
            eta_seconds: rate.map(|rate| (total - running.done) as f64 / rate),
        })
    }

    /// The engine closes: whoever waits for a person must see that.
    pub(super) fn end_pause(&self) {
        if let Some(running) = &self.running {
            running.paused.send_replace(false);
        }
    }

    pub(super) fn last_report(&self) -> Option<BuildReport> {
        self.last.as_ref()?.as_ref().ok().cloned()
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last.as_ref()?.as_ref().err().map(ToString::to_string)
    }
}

type Outcome = watch::Receiver<Option<Result<BuildReport, BuildError>>>;

impl Engine {
    /// Starts a build; says how to hear of its end. If one of the same kind is under way, it is
    /// that one.
    pub(super) fn start_build(&self, slot: &Arc<super::Slot>, kind: BuildKind) -> Outcome {
        let (sender, outcome) = watch::channel(None);
        {
            let mut build = lock(&slot.build);
            if let Some(running) = &build.running {
                if running.kind == kind {
                    return running.outcome.clone();
                }
                let name = slot.projection.name;
                sender.send_replace(Some(Err(BuildError::UnderWay(name))));
                return outcome;
            }
            build.running = Some(Running {
                kind,
                phase: BuildPhase::Folding,
                paused: watch::Sender::new(false),
                done: 0,
                meter: Meter::default(),
                outcome: outcome.clone(),
            });
        }
        let (shared, slot) = (self.shared.clone(), slot.clone());
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let name = slot.projection.name;
            let run = AssertUnwindSafe(BuildTask::new(&shared, &slot, kind).run()).catch_unwind();
            let bug = |_| Err(BuildError::Interrupted("a bug: the build panicked".to_owned()));
            let result = run.await.unwrap_or_else(bug);
            match &result {
                Ok(report) => info!(
                    projection = name,
                    kind = ?kind,
                    equal = report.equal(),
                    position = %report.position,
                    seconds = report.seconds,
                    difference = report.comparison.first_difference,
                    "a build has ended"
                ),
                Err(error) => warn!(projection = name, kind = ?kind, %error, "a build has ended"),
            }
            let mut build = lock(&slot.build);
            build.running = None;
            build.last = Some(result.clone());
            drop(build);
            sender.send_replace(Some(result));
        });
        outcome
    }

    /// Starts a build.
    pub(crate) fn begin(&self, name: &str, kind: BuildKind) -> Result<(), UnknownProjection> {
        self.start_build(&self.slot(name)?.clone(), kind);
        Ok(())
    }

    /// Builds, and waits for the end.
    pub(crate) async fn build(
        &self,
        name: &str,
        kind: BuildKind,
    ) -> Result<BuildReport, BuildError> {
        let mut outcome = self.start_build(&self.slot(name)?.clone(), kind);
        let ended = outcome.wait_for(Option::is_some).await;
        ended.ok().and_then(|result| result.clone()).unwrap_or(Err(BuildError::Closing))
    }

    /// Halts or goes on with the build under way; says whether there is one.
    pub(crate) fn pause_build(&self, name: &str, paused: bool) -> Result<bool, UnknownProjection> {
        let slot = self.slot(name)?;
        let mut build = lock(&slot.build);
        Ok(match &mut build.running {
            Some(running) => {
                running.meter.forget();
                running.paused.send_replace(paused && !slot.control.borrow().closing);
                true
            }
            None => false,
        })
    }
}

struct BuildTask<'a> {
    shared: &'a Shared,
    slot: &'a super::Slot,
    kind: BuildKind,
    started: Instant,
    folded: u64,
}

impl<'a> BuildTask<'a> {
    fn new(shared: &'a Shared, slot: &'a super::Slot, kind: BuildKind) -> Self {
        Self { shared, slot, kind, started: Instant::now(), folded: 0 }
    }

    async fn run(mut self) -> Result<BuildReport, BuildError> {
        let (build, checkpoint) = self.find_or_create().await?;
        let mut folding = Folding::new(self.slot.projection, build, checkpoint);
        let result = self.build(&mut folding).await;
        let kept = match &result {
            Ok(_) | Err(BuildError::Interrupted(_) | BuildError::Closing) => {
                self.kind == BuildKind::Rebuild
            }
            Err(_) => false,
        };
        if !kept && let Err(error) = self.shared.rows.remove(build).await {
            warn!(%error, "the rows of a build could not be removed");
        }
        result
    }

    async fn find_or_create(&self) -> Result<(BuildId, Checkpoint), BuildError> {
        let projection = self.slot.projection;
        let rows = &self.shared.rows;
        let purpose = match self.kind {
            BuildKind::Rebuild => Purpose::Rebuild,
            BuildKind::Verify => Purpose::Scratch,
        };
        if self.kind == BuildKind::Rebuild {
            let begun = |build: &Build| {
                build.projection == projection.name
                    && build.version == projection.version
                    && build.purpose == purpose
                    && build.checkpoint.position <= self.slot.checkpoint().position
            };
            if let Some(build) = rows.builds().await?.into_iter().find(begun) {
                return Ok((build.id, build.checkpoint));
            }
        }
        let (name, version) = (projection.name, projection.version);
        let build = rows.create(name, version, purpose, projection.tables).await?;
        Ok((build, Checkpoint::START))
    }

    async fn build(&mut self, folding: &mut Folding) -> Result<BuildReport, BuildError> {
        self.catch_up(folding, CLOSE).await?;
        if self.kind == BuildKind::Rebuild {
            self.phase(BuildPhase::Indexing);
            self.shared.rows.index(folding.build, self.slot.projection.tables).await?;
            self.phase(BuildPhase::Folding);
            self.catch_up(folding, CLOSE).await?;
        }
        // From here on the served rows stand still; queries go on.
        let gate = self.slot.gate.lock().await;
        let served = *self.slot.served();
        let recalled = runner::recall(self.shared, self.slot, served).await;
        recalled.map_err(BuildError::Interrupted)?;
        if Guard::RebuildBehind.stands() {
            self.catch_up(folding, 0).await?;
        }
        self.phase(BuildPhase::Comparing);
        let served = self.slot.served();
        let (rows, tables) = (self.shared.rows.as_ref(), self.slot.projection.tables);
        let comparison = compare::compare(rows, tables, *served, folding.build).await?;
        let report = BuildReport {
            projection: self.slot.projection.name,
            kind: self.kind,
            position: folding.checkpoint.position,
            comparison,
            seconds: self.started.elapsed().as_secs_f64(),
            folded: self.folded,
        };
        if self.kind == BuildKind::Rebuild {
            drop(served);
            rows.serve(folding.build).await?;
            let former = self.slot.replace(folding.build, folding.checkpoint);
            drop(gate);
            // Wakes the runner, so that it goes on with the new build, stopped or not.
            self.slot.control.send_modify(|control| control.tries += 1);
            self.remove_when_unread(former).await;
        }
        Ok(report)
    }

    /// Folds until the build is at most `distance` positions behind the served rows.
    async fn catch_up(&mut self, folding: &mut Folding, distance: u64) -> Result<(), BuildError> {
        let feed = &self.shared.feed;
        let streams = self.slot.projection.streams;
        let mut ahead: Option<JoinSet<Result<Vec<Arc<StoredEvent>>, FeedError>>> = None;
        loop {
            if distance > 0 {
                // While the gate is shut nobody may wait for a person.
                self.obey().await?;
            }
            let target = self.slot.checkpoint().position;
            let at = folding.checkpoint.position;
            self.record(at);
            if target.0.saturating_sub(at.0) <= distance {
                return Ok(());
            }
            let read = match &mut ahead {
                Some(task) => task.join_next().await.and_then(Result::ok),
                None => None,
            };
            let mut events = match read {
                Some(read) => read?,
                None => read_decoded(feed.clone(), at, streams).await?,
            };
            ahead = None;
            let found = events.len();
            events.truncate(events.partition_point(|event| event.position <= target));
            let Some(last) = events.last() else {
                return Err(BuildError::Interrupted(format!(
                    "there are no events after position {at}, but the served rows have some"
                )));
            };
            if events.len() == found {
                // The next events are read and decoded while these are folded.
                let mut task = JoinSet::new();
                task.spawn(read_decoded(feed.clone(), last.position, streams));
                ahead = Some(task);
            }
            let folded = folding.process(self.shared.rows.as_ref(), events).await?;
            self.folded += folding.checkpoint.position.0 - at.0;
            if let Some(poison) = folded.poison {
                let reason = poison_reason(&poison);
                return Err(BuildError::Poisoned { position: poison.position, reason });
            }
        }
    }

    /// Waits while somebody wants a pause; ends when the engine closes.
    async fn obey(&self) -> Result<(), BuildError> {
        let paused = lock(&self.slot.build).running.as_ref().map(|run| run.paused.subscribe());
        if let Some(mut paused) = paused {
            // Who closes the engine ends the pause. An error means that nobody can any more.
            let _ = paused.wait_for(|paused| !paused).await;
        }
        let closing = self.slot.control.borrow().closing;
        if closing { Err(BuildError::Closing) } else { Ok(()) }
    }

    fn record(&self, at: Position) {
        if let Some(running) = &mut lock(&self.slot.build).running {
            running.done = at.0;
            running.meter.record(Instant::now(), at.0);
        }
    }

    fn phase(&self, phase: BuildPhase) {
        if let Some(running) = &mut lock(&self.slot.build).running {
            running.phase = phase;
        }
    }

    /// Takes the former rows away when the last query that reads them has ended. What cannot be
    /// removed now is removed at the next start.
    async fn remove_when_unread(&self, former: Arc<BuildId>) {
        for _ in 0..1_000 {
            if Arc::strong_count(&former) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if let Err(error) = self.shared.rows.remove(*former).await {
            warn!(%error, "the former rows of a read model could not be removed");
        }
    }
}

/// Reads a batch and decodes what the projection will want.
async fn read_decoded(
    feed: Arc<dyn EventFeed>,
    after: Position,
    streams: &'static [StreamKind],
) -> Result<Vec<Arc<StoredEvent>>, FeedError> {
    let events = feed.read_all(after, MAX_BATCH).await?;
    for chunk in events.chunks(BREATH) {
        for event in chunk.iter().filter(|event| streams.contains(&event.stream.kind)) {
            // A failure is kept in the event, and met again when it is folded.
            let _ = event.decoded();
        }
        tokio::task::yield_now().await;
    }
    Ok(events)
}

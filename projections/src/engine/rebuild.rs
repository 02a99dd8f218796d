//! Builds of a projection beside its served rows: to replace them, to replace those of one show,
//! to serve former ones again, or only to compare them. Who may begin, halt and end one.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use hakken_domain::envelope::Position;
use tokio::{sync::watch, time::Instant};
use tracing::{info, warn};

use super::{
    BuildKind, BuildPhase, BuildProgress, Comparison, Engine, UnknownProjection, build::BuildTask,
    former, lock, progress::Meter,
};
use crate::{feed::FeedError, rows::RowError};

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
    /// How much of it passed until the rows were there with their indexes, caught up.
    pub folding_seconds: f64,
    /// Positions that this process folded; of one show's own stream, events.
    pub folded: u64,
    /// Positions of events that were left out, as operators recorded it.
    pub skipped: Vec<Position>,
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
    /// Its rows cannot be told apart by shows.
    #[error(
        "the rows of one show of {projection} cannot be rebuilt alone, since some are of several shows at once: rebuild all of it; one show can be rebuilt of {can}"
    )]
    NotByShow {
        /// Which projection.
        projection: &'static str,
        /// Those of which one show can be rebuilt.
        can: String,
    },
    /// There are no former rows.
    #[error(
        "{0} keeps no rows that were served before: they are kept for a day after a rebuild. `hakken projections` lists them"
    )]
    NoFormer(&'static str),
    /// It met an event that it cannot fold.
    #[error("it cannot fold the event at position {position}: {reason}")]
    Poisoned {
        /// Where.
        position: Position,
        /// What is wrong.
        reason: String,
    },
    /// Its rows differ from the served ones, and from those of a second fold of the same events.
    #[error(
        "the events were folded twice, and not with the same outcome, so nothing was replaced: {difference}. Rebuild once more; if that is said again, the disk or memory of this machine may be at fault"
    )]
    Unconfirmed {
        /// The first difference, in words.
        difference: String,
    },
    /// Somebody ended it.
    #[error("somebody ended it")]
    Cancelled,
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

/// What people want of a build.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish {
    pub(super) paused: bool,
    pub(super) cancelled: bool,
    /// The engine closes: whoever waits for a person must see that.
    pub(super) closing: bool,
}

type Outcome = watch::Receiver<Option<Result<BuildReport, BuildError>>>;

/// The build of a projection that is under way, and what became of the last one.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) running: Option<Running>,
    last: Option<Result<BuildReport, BuildError>>,
}

#[derive(Debug)]
pub(super) struct Running {
    kind: BuildKind,
    pub(super) phase: BuildPhase,
    pub(super) wish: watch::Sender<Wish>,
    pub(super) done: u64,
    pub(super) meter: Meter,
    outcome: Outcome,
}

impl Slot {
    /// How far the build is, on its way to where the served rows are.
    pub(super) fn progress(&self, served: Position) -> Option<BuildProgress> {
        let running = self.running.as_ref()?;
        let paused = running.wish.borrow().paused;
        let is_folding = matches!(running.phase, BuildPhase::Folding | BuildPhase::Confirming);
        let rate = running.meter.rate(Instant::now()).filter(|_| is_folding && !paused);
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

    /// Why there is a build under way, if there is one.
    pub(super) fn running_kind(&self) -> Option<BuildKind> {
        self.running.as_ref().map(|running| running.kind)
    }

    /// The engine closes: whoever waits for a person must see that.
    pub(super) fn close(&self) {
        if let Some(running) = &self.running {
            running.wish.send_modify(|wish| wish.closing = true);
        }
    }

    pub(super) fn last_report(&self) -> Option<BuildReport> {
        self.last.as_ref()?.as_ref().ok().cloned()
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last.as_ref()?.as_ref().err().map(ToString::to_string)
    }
}

impl Engine {
    /// Starts a build, or halts it before its first event; says how to hear of its end. If one of
    /// the same kind is under way, it is that one.
    pub(super) fn start_build(
        &self,
        slot: &Arc<super::Slot>,
        kind: BuildKind,
        paused: bool,
    ) -> Result<Outcome, BuildError> {
        let name = slot.projection.name;
        let (sender, outcome) = watch::channel(None);
        {
            let mut build = lock(&slot.build);
            if let Some(running) = &build.running {
                let same = running.kind == kind;
                let outcome = running.outcome.clone();
                return if same { Ok(outcome) } else { Err(BuildError::UnderWay(name)) };
            }
            slot.can_build(kind)?;
            build.running = Some(Running {
                kind,
                phase: BuildPhase::Folding,
                wish: watch::Sender::new(Wish { paused, ..Wish::default() }),
                done: 0,
                meter: Meter::default(),
                outcome: outcome.clone(),
            });
        }
        let (shared, slot) = (self.shared.clone(), slot.clone());
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
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
        Ok(outcome)
    }

    /// Starts a build.
    pub(crate) fn begin(&self, name: &str, kind: BuildKind) -> Result<(), BuildError> {
        self.start_build(&self.slot(name)?.clone(), kind, false).map(drop)
    }

    /// Why a build cannot be started now, if it cannot.
    pub(crate) fn may_begin(&self, name: &str, kind: BuildKind) -> Result<(), BuildError> {
        let slot = self.slot(name)?;
        let running = lock(&slot.build).running_kind();
        if running.is_some_and(|running| running != kind) {
            return Err(BuildError::UnderWay(slot.projection.name));
        }
        slot.can_build(kind)
    }

    /// Builds, and waits for the end.
    pub(crate) async fn build(
        &self,
        name: &str,
        kind: BuildKind,
    ) -> Result<BuildReport, BuildError> {
        let mut outcome = self.start_build(&self.slot(name)?.clone(), kind, false)?;
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
                running.wish.send_modify(|wish| wish.paused = paused);
                true
            }
            None => false,
        })
    }

    /// Ends the build under way, and waits until its rows are gone; says whether there was one.
    /// One that is being swapped in at this moment is not ended.
    pub(crate) async fn cancel_build(&self, name: &str) -> Result<bool, UnknownProjection> {
        let slot = self.slot(name)?;
        let outcome = lock(&slot.build).running.as_ref().map(|running| {
            running.wish.send_modify(|wish| wish.cancelled = true);
            running.outcome.clone()
        });
        let Some(mut outcome) = outcome else { return Ok(false) };
        // An error means that the engine is gone, and the build with it.
        let _ = outcome.wait_for(Option::is_some).await;
        Ok(true)
    }

    /// Removes the rows that a projection served before the last swap; says whether there were
    /// any. Not while they are made ready to be served again.
    pub(crate) async fn remove_former(&self, name: &str) -> Result<bool, BuildError> {
        let slot = self.slot(name)?;
        if lock(&slot.build).running_kind() == Some(BuildKind::SwapBack) {
            return Err(BuildError::UnderWay(slot.projection.name));
        }
        Ok(former::remove(&self.shared, slot).await)
    }
}

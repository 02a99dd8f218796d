//! Runs projections: each has a task that folds the feed into its served rows, and may have
//! another that builds it anew beside them.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use hakken_domain::envelope::Position;
use tokio::{sync::watch, task::JoinSet};
use tracing::warn;

use crate::{
    clock::Clock,
    feed::{EventFeed, FeedError},
    projection::Projection,
    rows::{Build, BuildId, Changes, Checkpoint, Filter, Purpose, Query, Row, RowError, RowStore},
    trace::FoldTracer,
};

mod ahead;
mod bulk;
mod compare;
mod folding;
mod pace;
mod progress;
mod rebuild;
mod runner;
mod status;

pub use compare::{Comparison, TableComparison};
pub use folding::Poison;
use folding::{Folding, Sources};
pub(crate) use folding::{fold_all, poison_reason};
pub use rebuild::{BuildError, BuildReport};
pub use status::{BuildKind, BuildPhase, BuildProgress, ProjectionStatus, RunState};

/// Most events of one transaction while a projection follows.
pub(crate) const MAX_BATCH: usize = 10_000;

/// Hears of every change of a projection's served rows, after it was committed and before the
/// next one is.
pub(crate) trait Observer: Send + Sync + 'static {
    /// Rows changed.
    fn committed(&self, changes: &Changes, checkpoint: &Checkpoint);
    /// Another build is served.
    fn replaced(&self);
}

/// The engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The rows cannot be reached.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The events cannot be reached.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// No projection has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no projection {name:?}; there are {known}")]
pub struct UnknownProjection {
    /// What was asked for.
    pub name: String,
    /// What there is.
    pub known: String,
}

/// Why a read model is not where it was waited for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// No projection has this name.
    #[error(transparent)]
    Unknown(#[from] UnknownProjection),
    /// The time is up.
    #[error("{projection} is at position {at} and did not reach {wanted} in time")]
    TimedOut {
        /// Which.
        projection: &'static str,
        /// How far it is.
        at: Position,
        /// How far it should be.
        wanted: Position,
    },
}

/// What the tasks of a projection share.
pub(crate) struct Slot {
    pub(crate) projection: Projection,
    observer: Option<Arc<dyn Observer>>,
    /// Held while the served rows change, and by whoever must see them stand still.
    pub(crate) gate: tokio::sync::Mutex<()>,
    /// Which build is served. Every reader holds a clone of the inner `Arc` while it reads, so
    /// that a retired build is not taken away under it.
    served: RwLock<Arc<BuildId>>,
    checkpoint: watch::Sender<Checkpoint>,
    state: Mutex<RunState>,
    control: watch::Sender<Control>,
    wanted: pace::Wanted,
    build: Mutex<rebuild::Slot>,
}

/// What the runner of a projection should do.
#[derive(Debug, Clone, Copy, Default)]
struct Control {
    paused: bool,
    closing: bool,
    /// Goes up whenever a stopped projection should try again.
    tries: u64,
}

pub(crate) struct Shared {
    pub(crate) feed: Arc<dyn EventFeed>,
    pub(crate) rows: Arc<dyn RowStore>,
    clock: Arc<dyn Clock>,
    slots: Vec<Arc<Slot>>,
    /// Who is told of sampled events, if anybody is.
    tracer: OnceLock<Arc<dyn FoldTracer>>,
}

/// The running projections. Dropping it ends every task where it stands, as a crash would.
pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

/// A build that is served, and stays while this lease is held.
pub(crate) struct Lease {
    rows: Arc<dyn RowStore>,
    build: Arc<BuildId>,
}

impl Lease {
    /// Of rows that no engine serves.
    #[cfg(test)]
    pub(crate) fn over(rows: Arc<dyn RowStore>, build: BuildId) -> Self {
        Self { rows, build: Arc::new(build) }
    }

    pub(crate) async fn query(&self, query: Query) -> Result<Vec<Row>, RowError> {
        self.rows.query(*self.build, query).await
    }

    pub(crate) async fn count(
        &self,
        table: &'static crate::rows::Table,
        filters: Vec<Filter>,
    ) -> Result<u64, RowError> {
        self.rows.count(*self.build, table, filters).await
    }

    pub(crate) async fn load(
        &self,
        table: &'static crate::rows::Table,
        keys: Vec<crate::rows::Key>,
    ) -> Result<Vec<Row>, RowError> {
        self.rows.load(*self.build, table, keys).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Writes a build of a projection.
    fn folding(&self, projection: Projection, build: BuildId, checkpoint: Checkpoint) -> Folding {
        let sources = Sources { rows: self.rows.clone(), feed: self.feed.clone() };
        Folding::new(projection, sources, build, checkpoint)
    }
}

impl Slot {
    fn served(&self) -> Arc<BuildId> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How far the served rows are.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        *self.checkpoint.borrow()
    }

    fn moved(&self, changes: &Changes, checkpoint: Checkpoint) {
        if let Some(observer) = &self.observer {
            observer.committed(changes, &checkpoint);
        }
        self.checkpoint.send_replace(checkpoint);
    }

    /// Serves another build. The gate is held by the caller.
    fn replace(&self, build: BuildId, checkpoint: Checkpoint) -> Arc<BuildId> {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut *served, Arc::new(build));
        drop(served);
        if let Some(observer) = &self.observer {
            observer.replaced();
        }
        self.checkpoint.send_replace(checkpoint);
        former
    }
}

impl Engine {
    /// Finds or makes the build that each projection serves, and starts its task.
    pub(crate) async fn start(
        feed: Arc<dyn EventFeed>,
        rows: Arc<dyn RowStore>,
        clock: Arc<dyn Clock>,
        projections: Vec<(Projection, Option<Arc<dyn Observer>>)>,
    ) -> Result<Self, StartError> {
        let builds = rows.builds().await?;
        for build in &builds {
            if !projections.iter().any(|(p, _)| p.name == build.projection) {
                rows.remove(build.id).await?;
            }
        }
        let mut slots = Vec::with_capacity(projections.len());
        let mut unfinished = Vec::new();
        for (projection, observer) in projections {
            let prepared = prepare(feed.as_ref(), rows.as_ref(), &projection, &builds).await?;
            let slot = Arc::new(Slot {
                projection,
                observer,
                gate: tokio::sync::Mutex::new(()),
                served: RwLock::new(Arc::new(prepared.build)),
                checkpoint: watch::Sender::new(prepared.checkpoint),
                state: Mutex::new(RunState::Running),
                control: watch::Sender::new(Control::default()),
                wanted: pace::Wanted::new(),
                build: Mutex::new(rebuild::Slot::default()),
            });
            if prepared.unfinished {
                unfinished.push(slot.clone());
            }
            slots.push(slot);
        }
        let tracer = OnceLock::new();
        let shared = Arc::new(Shared { feed, rows, clock, slots, tracer });
        let engine = Self { shared, tasks: Mutex::new(JoinSet::new()) };
        for slot in &engine.shared.slots {
            lock(&engine.tasks).spawn(runner::run(engine.shared.clone(), slot.clone()));
        }
        for slot in unfinished {
            engine.start_build(&slot, BuildKind::Rebuild);
        }
        Ok(engine)
    }

    /// From now on, sampled events are told to this. The first who is named stays.
    pub(crate) fn trace(&self, tracer: Arc<dyn FoldTracer>) {
        drop(self.shared.tracer.set(tracer));
    }

    pub(crate) fn slot(&self, name: &str) -> Result<&Arc<Slot>, UnknownProjection> {
        let slots = &self.shared.slots;
        slots.iter().find(|slot| slot.projection.name == name).ok_or_else(|| {
            let known: Vec<_> = slots.iter().map(|slot| slot.projection.name).collect();
            UnknownProjection { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// The served build of a projection of this engine. Another name is a bug.
    pub(crate) fn lease(&self, name: &'static str) -> Lease {
        let slot = self.slot(name).unwrap_or_else(|error| panic!("{error}"));
        Lease { rows: self.shared.rows.clone(), build: slot.served() }
    }

    /// The same, and up to where it surely goes.
    pub(crate) fn lease_at(&self, name: &'static str) -> (Lease, Position) {
        let slot = self.slot(name).unwrap_or_else(|error| panic!("{error}"));
        // In this order: rows never go back.
        let position = slot.checkpoint().position;
        (Lease { rows: self.shared.rows.clone(), build: slot.served() }, position)
    }

    pub(crate) fn checkpoints(
        &self,
        name: &str,
    ) -> Result<watch::Receiver<Checkpoint>, UnknownProjection> {
        Ok(self.slot(name)?.checkpoint.subscribe())
    }

    pub(crate) async fn wait_for(
        &self,
        name: &str,
        position: Position,
        timeout: Duration,
    ) -> Result<(), WaitError> {
        let slot = self.slot(name)?;
        let mut checkpoint = slot.checkpoint.subscribe();
        slot.wanted.want(position);
        let there = checkpoint.wait_for(|checkpoint| checkpoint.position >= position);
        match tokio::time::timeout(timeout, there).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(WaitError::TimedOut {
                projection: slot.projection.name,
                at: slot.checkpoint().position,
                wanted: position,
            }),
        }
    }

    pub(crate) fn pause(&self, name: &str) -> Result<(), UnknownProjection> {
        self.slot(name)?.control.send_modify(|control| control.paused = true);
        Ok(())
    }

    /// Goes on after a pause; a stopped projection tries its event again.
    pub(crate) fn resume(&self, name: &str) -> Result<(), UnknownProjection> {
        self.slot(name)?.control.send_modify(|control| {
            control.paused = false;
            control.tries += 1;
        });
        Ok(())
    }

    /// Ends every task after the batch that it has in hand.
    pub(crate) async fn shutdown(&self) {
        for slot in &self.shared.slots {
            slot.control.send_modify(|control| control.closing = true);
            lock(&slot.build).end_pause();
        }
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        while tasks.join_next().await.is_some() {}
    }
}

struct Prepared {
    build: BuildId,
    checkpoint: Checkpoint,
    unfinished: bool,
}

/// Finds the served build of a projection, or makes one; takes away what nobody needs.
async fn prepare(
    feed: &dyn EventFeed,
    rows: &dyn RowStore,
    projection: &Projection,
    builds: &[Build],
) -> Result<Prepared, StartError> {
    let mine = || builds.iter().filter(|build| build.projection == projection.name);
    let served = mine().find(|build| build.purpose == Purpose::Served);
    let usable = match served {
        Some(build) => usable(feed, projection, build).await?,
        None => false,
    };
    let mut unfinished = false;
    for build in mine() {
        let kept = usable
            && match build.purpose {
                Purpose::Served => true,
                Purpose::Rebuild
                    if !unfinished && self::usable(feed, projection, build).await? =>
                {
                    unfinished = true;
                    true
                }
                Purpose::Rebuild | Purpose::Scratch | Purpose::Retired => false,
            };
        if !kept {
            rows.remove(build.id).await?;
        }
    }
    if let Some(build) = served
        && usable
    {
        return Ok(Prepared { build: build.id, checkpoint: build.checkpoint, unfinished });
    }
    let (name, tables) = (projection.name, projection.tables);
    let build = rows.create(name, projection.version, Purpose::Served, tables).await?;
    rows.index(build, tables).await?;
    Ok(Prepared { build, checkpoint: Checkpoint::START, unfinished: false })
}

/// Whether a build was made by this version of the projection and from these events.
async fn usable(
    feed: &dyn EventFeed,
    projection: &Projection,
    build: &Build,
) -> Result<bool, StartError> {
    let Checkpoint { position, event, .. } = build.checkpoint;
    if build.version != projection.version {
        warn!(
            projection = projection.name,
            found = build.version,
            wanted = projection.version,
            "the rows are of another version: they are built again"
        );
        return Ok(false);
    }
    if position == Position(0) {
        return Ok(true);
    }
    let last = feed.read_all(Position(position.0 - 1), 1).await?;
    let same = last.first().is_some_and(|last| last.position == position && Some(last.id) == event);
    if !same {
        warn!(
            projection = projection.name,
            %position,
            "the rows are not of these events: they are built again"
        );
    }
    Ok(same)
}

#[cfg(test)]
mod tests;

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
mod build;
mod bulk;
mod compare;
mod folding;
mod former;
mod pace;
mod progress;
mod rebuild;
mod runner;
mod show;
pub(crate) mod skips;
mod status;

pub use compare::{Comparison, TableComparison};
pub use folding::Poison;
use folding::{Folding, Sources};
pub(crate) use folding::{fold_all, poison_reason};
pub use former::{FORMER_KEPT, FormerBuild};
pub use rebuild::{BuildError, BuildReport};
pub use skips::Skip;
use skips::Skips;
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
    /// It has stopped before that, at an event that it cannot fold: waiting is of no use.
    #[error("{projection} has stopped at position {at}: it cannot fold the event at {stopped_at}")]
    Stopped {
        /// Which.
        projection: &'static str,
        /// How far it is.
        at: Position,
        /// How far it should be.
        wanted: Position,
        /// The event.
        stopped_at: Position,
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
    /// What it served before the last swap.
    former: watch::Sender<Option<former::Former>>,
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
    /// What operators decided, as far as it was read.
    skips: Mutex<Arc<Skips>>,
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
    fn folding(
        &self,
        projection: Projection,
        build: BuildId,
        checkpoint: Checkpoint,
        skips: &Skips,
    ) -> Folding {
        let (rows, feed) = (self.rows.clone(), self.feed.clone());
        let sources = Sources { rows, feed, skipped: skips.of(projection.name) };
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
                former: watch::Sender::new(prepared.former),
            });
            if let Some(halted) = prepared.unfinished {
                unfinished.push((slot.clone(), halted));
            }
            slots.push(slot);
        }
        let (skips, tracer) = (Mutex::default(), OnceLock::new());
        let shared = Arc::new(Shared { feed, rows, clock, slots, skips, tracer });
        let engine = Self { shared, tasks: Mutex::new(JoinSet::new()) };
        for slot in &engine.shared.slots {
            lock(&engine.tasks).spawn(runner::run(engine.shared.clone(), slot.clone()));
            lock(&engine.tasks).spawn(former::keep(engine.shared.clone(), slot.clone()));
        }
        for (slot, halted) in unfinished {
            // Nothing else can be under way yet.
            let _ = engine.start_build(&slot, BuildKind::Rebuild, halted);
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
        if let Some(stopped) = stopped_before(slot, position) {
            return Err(stopped);
        }
        slot.wanted.want(position);
        let there = checkpoint.wait_for(|checkpoint| checkpoint.position >= position);
        match tokio::time::timeout(timeout, there).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                let (projection, at) = (slot.projection.name, slot.checkpoint().position);
                let late = WaitError::TimedOut { projection, at, wanted: position };
                Err(stopped_before(slot, position).unwrap_or(late))
            }
        }
    }

    pub(crate) fn pause(&self, name: &str) -> Result<(), UnknownProjection> {
        self.slot(name)?.control.send_modify(|control| control.paused = true);
        Ok(())
    }

    /// Goes on after a pause; a stopped projection tries its event again.
    pub(crate) fn resume(&self, name: &str) -> Result<(), UnknownProjection> {
        let slot = self.slot(name)?;
        {
            let mut state = lock(&slot.state);
            if matches!(*state, RunState::Stopped(_)) {
                *state = RunState::Running;
            }
        }
        slot.control.send_modify(|control| {
            control.paused = false;
            control.tries += 1;
        });
        Ok(())
    }

    /// Ends every task after the batch that it has in hand.
    pub(crate) async fn shutdown(&self) {
        for slot in &self.shared.slots {
            slot.control.send_modify(|control| control.closing = true);
            lock(&slot.build).close();
        }
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        while tasks.join_next().await.is_some() {}
    }
}

/// Waiting for it is of no use: it has stopped.
fn stopped_before(slot: &Slot, wanted: Position) -> Option<WaitError> {
    let at = slot.checkpoint().position;
    match &*lock(&slot.state) {
        RunState::Stopped(poison) if at < wanted => Some(WaitError::Stopped {
            projection: slot.projection.name,
            at,
            wanted,
            stopped_at: poison.position,
        }),
        _ => None,
    }
}

struct Prepared {
    build: BuildId,
    checkpoint: Checkpoint,
    /// A rebuild goes on, or is halted.
    unfinished: Option<bool>,
    former: Option<former::Former>,
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
    let (mut unfinished, mut former) = (None, None);
    // The newest ones first: of rebuilds and of former rows one each is kept.
    let mut newest: Vec<&Build> = mine().collect();
    newest.sort_by_key(|build| std::cmp::Reverse((build.since, build.id)));
    for build in newest {
        let may_stay =
            matches!(build.purpose, Purpose::Rebuild | Purpose::Halted | Purpose::Retired);
        let is_good = usable && may_stay && self::usable(feed, projection, build).await?;
        match build.purpose {
            Purpose::Served if usable => {}
            Purpose::Rebuild | Purpose::Halted if is_good && unfinished.is_none() => {
                unfinished = Some(build.purpose == Purpose::Halted);
            }
            Purpose::Retired if is_good && former.is_none() => {
                former = Some(former::Former {
                    build: Arc::new(build.id),
                    position: build.checkpoint.position,
                    since: build.since,
                });
            }
            _ => rows.remove(build.id).await?,
        }
    }
    if let Some(build) = served
        && usable
    {
        let checkpoint = build.checkpoint;
        return Ok(Prepared { build: build.id, checkpoint, unfinished, former });
    }
    let (name, tables) = (projection.name, projection.tables);
    let build = rows.create(name, projection.version, Purpose::Served, tables).await?;
    rows.index(build, tables).await?;
    Ok(Prepared { build, checkpoint: Checkpoint::START, unfinished: None, former: None })
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

//! The way into the read side: the running projections, and every query (in `models/`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hakken_domain::{envelope::Position, names::ShowId};
use tokio::sync::watch;

use crate::{
    clock::Clock,
    engine::{
        BuildError, BuildKind, BuildReport, Engine, Observer, ProjectionStatus, StartError,
        UnknownProjection, WaitError,
    },
    feed::{EventFeed, FeedError},
    models::{
        audit_log::AUDIT_LOG,
        catalogue::CATALOGUE,
        holds::HOLDS,
        issuance_history::ISSUANCE_HISTORY,
        orders::ORDERS,
        sales::SALES,
        scans::SCANS,
        seat_availability::{Boards, SEAT_AVAILABILITY},
        tickets::TICKETS,
    },
    past,
    projection::Projection,
    rows::{Checkpoint, RowStore},
    trace::FoldTracer,
};

/// Every projection.
pub const ALL: &[Projection] = &[
    SEAT_AVAILABILITY,
    HOLDS,
    AUDIT_LOG,
    ISSUANCE_HISTORY,
    ORDERS,
    TICKETS,
    SCANS,
    SALES,
    CATALOGUE,
];

struct Inner {
    engine: Engine,
    boards: Arc<Boards>,
    /// Most events that are read for one answer about the past.
    past_events: AtomicU64,
}

/// The running projections and what one may ask of them. Cheap to clone. When the last clone is
/// dropped every task ends where it stands; [`ReadModels::shutdown`] lets them finish what they
/// have in hand.
#[derive(Clone)]
pub struct ReadModels(Arc<Inner>);

impl ReadModels {
    /// Starts every projection where it was, or anew where its rows are missing, of another
    /// version, or of other events. Rebuilds that had begun go on.
    pub async fn start(
        feed: Arc<dyn EventFeed>,
        rows: Arc<dyn RowStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        Self::start_only(feed, rows, clock, ALL).await
    }

    /// The same for some projections alone, to measure or to mend them. What stands in the row
    /// store of the others is taken away, and a query of theirs is a bug.
    pub async fn start_only(
        feed: Arc<dyn EventFeed>,
        rows: Arc<dyn RowStore>,
        clock: Arc<dyn Clock>,
        projections: &[Projection],
    ) -> Result<Self, StartError> {
        let boards = Arc::new(Boards::default());
        let projections = projections
            .iter()
            .map(|projection| {
                let observer: Option<Arc<dyn Observer>> =
                    if projection.name == SEAT_AVAILABILITY.name {
                        Some(boards.clone())
                    } else {
                        None
                    };
                (*projection, observer)
            })
            .collect();
        let engine = Engine::start(feed, rows, clock, projections).await?;
        let past_events = AtomicU64::new(past::MAX_EVENTS);
        Ok(Self(Arc::new(Inner { engine, boards, past_events })))
    }

    /// From now on, the folds of sampled events are told to this tracer; a second one is not
    /// heard.
    pub fn trace(&self, tracer: Arc<dyn FoldTracer>) {
        self.0.engine.trace(tracer);
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn boards(&self) -> &Boards {
        &self.0.boards
    }

    /// From now on at most so many events are read for one list or sum of the past.
    pub fn bound_past(&self, events: u64) {
        self.0.past_events.store(events, Ordering::Relaxed);
    }

    pub(crate) fn most_past_events(&self) -> u64 {
        self.0.past_events.load(Ordering::Relaxed)
    }

    /// How every projection is doing.
    pub async fn status(&self) -> Result<Vec<ProjectionStatus>, FeedError> {
        self.0.engine.status().await
    }

    /// How far the served rows of a projection are.
    pub fn checkpoint(&self, projection: &str) -> Result<Checkpoint, UnknownProjection> {
        Ok(self.0.engine.slot(projection)?.checkpoint())
    }

    /// Hears whenever the served rows of a projection have come further.
    pub fn checkpoints(
        &self,
        projection: &str,
    ) -> Result<watch::Receiver<Checkpoint>, UnknownProjection> {
        self.0.engine.checkpoints(projection)
    }

    /// Waits until everything up to a position counts in a projection's served rows.
    pub async fn wait_for(
        &self,
        projection: &str,
        position: Position,
        timeout: Duration,
    ) -> Result<(), WaitError> {
        self.0.engine.wait_for(projection, position, timeout).await
    }

    /// Waits until everything up to a position counts in every projection.
    pub async fn wait_for_all(
        &self,
        position: Position,
        timeout: Duration,
    ) -> Result<(), WaitError> {
        let waits = ALL.iter().map(|each| self.wait_for(each.name, position, timeout));
        futures_util::future::try_join_all(waits).await.map(|_| ())
    }

    /// Halts a projection; its rows stay where they are and go on being served. It runs again
    /// after [`ReadModels::resume`] or a restart.
    pub fn pause(&self, projection: &str) -> Result<(), UnknownProjection> {
        self.0.engine.pause(projection)
    }

    /// Goes on after a pause; a projection that stopped at an event tries it again.
    pub fn resume(&self, projection: &str) -> Result<(), UnknownProjection> {
        self.0.engine.resume(projection)
    }

    /// Starts to rebuild projections beside what they serve; [`ReadModels::status`] says how far
    /// they are. One that is being rebuilt already goes on. If one of them cannot be, none is.
    pub fn start_rebuild(&self, projections: &[&str]) -> Result<(), BuildError> {
        self.begin(projections, BuildKind::Rebuild)
    }

    /// Starts to fold the rows of one show afresh, and replaces those that are served where they
    /// differ, in one step. Not for projections with rows that are of several shows at once.
    pub fn start_rebuild_show(&self, projections: &[&str], show: ShowId) -> Result<(), BuildError> {
        self.begin(projections, BuildKind::RebuildShow(show))
    }

    /// Starts to serve the rows again that were served before the last rebuild: they fold what
    /// came since, and take the place of the others in one step. Those are the former ones then.
    pub fn start_swap_back(&self, projections: &[&str]) -> Result<(), BuildError> {
        self.begin(projections, BuildKind::SwapBack)
    }

    fn begin(&self, projections: &[&str], kind: BuildKind) -> Result<(), BuildError> {
        for name in projections {
            self.0.engine.may_begin(name, kind)?;
        }
        for name in projections {
            self.0.engine.begin(name, kind)?;
        }
        Ok(())
    }

    /// Rebuilds a projection, and waits until the new rows are served. The report says whether
    /// the old ones were equal.
    pub async fn rebuild(&self, projection: &str) -> Result<BuildReport, BuildError> {
        self.0.engine.build(projection, BuildKind::Rebuild).await
    }

    /// Rebuilds the rows of one show, and waits until they are served.
    pub async fn rebuild_show(
        &self,
        projection: &str,
        show: ShowId,
    ) -> Result<BuildReport, BuildError> {
        self.0.engine.build(projection, BuildKind::RebuildShow(show)).await
    }

    /// Serves the rows again that were served before the last rebuild, and waits until they are.
    pub async fn swap_back(&self, projection: &str) -> Result<BuildReport, BuildError> {
        self.0.engine.build(projection, BuildKind::SwapBack).await
    }

    /// Does a build of this kind, and waits for its end.
    pub async fn build(
        &self,
        projection: &str,
        kind: BuildKind,
    ) -> Result<BuildReport, BuildError> {
        self.0.engine.build(projection, kind).await
    }

    /// Ends the build of a projection that is under way and takes away what it made; says whether
    /// there was one. One that is being swapped in at this moment is not ended.
    pub async fn cancel_rebuild(&self, projection: &str) -> Result<bool, UnknownProjection> {
        self.0.engine.cancel_build(projection).await
    }

    /// Removes the rows that a projection served before the last rebuild; says whether there were
    /// any. By themselves they are removed after [`crate::FORMER_KEPT`].
    pub async fn remove_former(&self, projection: &str) -> Result<bool, BuildError> {
        self.0.engine.remove_former(projection).await
    }

    /// Folds a projection's events afresh and compares with what is served.
    pub async fn verify(&self, projection: &str) -> Result<BuildReport, BuildError> {
        self.0.engine.build(projection, BuildKind::Verify).await
    }

    /// Halts the build of a projection; says whether there is one. A rebuild is still halted after
    /// a restart.
    pub fn pause_rebuild(&self, projection: &str) -> Result<bool, UnknownProjection> {
        self.0.engine.pause_build(projection, true)
    }

    /// Lets it go on; says whether there is one.
    pub fn resume_rebuild(&self, projection: &str) -> Result<bool, UnknownProjection> {
        self.0.engine.pause_build(projection, false)
    }

    /// Ends every projection after the batch that it has in hand.
    pub async fn shutdown(&self) {
        self.0.engine.shutdown().await;
    }
}

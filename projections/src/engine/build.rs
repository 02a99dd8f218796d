//! One build, from its first event to the swap: beside the served rows, which stand still only
//! while the last few events are folded and both are compared.

use hakken_domain::{envelope::Position, guard::Guard};
use tokio::{
    sync::{MutexGuard, watch},
    time::Instant,
};
use tracing::warn;

use super::{
    BuildError, BuildKind, BuildPhase, BuildReport, Comparison, Shared, Slot,
    bulk::{Bulk, Step},
    compare,
    folding::{Fault, Folding},
    former::{self, Former},
    lock, poison_reason,
    rebuild::Wish,
    runner,
};
use crate::rows::{Build, BuildId, Checkpoint, Purpose};

/// Positions behind the served rows from which a build catches up while those stand still.
const CLOSE: u64 = 1_000;

/// A build under way.
pub(super) struct BuildTask<'a> {
    pub(super) shared: &'a Shared,
    pub(super) slot: &'a Slot,
    kind: BuildKind,
    pub(super) started: Instant,
    pub(super) folded: u64,
    /// Rows of a second fold, to be removed in the end.
    second: Option<BuildId>,
}

/// A build, and what reads ahead for it.
pub(super) struct Work {
    pub(super) folding: Folding,
    bulk: Bulk,
}

impl Work {
    pub(super) fn new(folding: Folding) -> Self {
        let bulk = Bulk::new(folding.projection());
        Self { folding, bulk }
    }
}

/// A build that is where the served rows are, which stand still while this is held.
struct Ready<'a> {
    gate: MutexGuard<'a, ()>,
    build: BuildId,
    checkpoint: Checkpoint,
    comparison: Comparison,
    folding_seconds: f64,
}

impl<'a> BuildTask<'a> {
    pub(super) fn new(shared: &'a Shared, slot: &'a Slot, kind: BuildKind) -> Self {
        Self { shared, slot, kind, started: Instant::now(), folded: 0, second: None }
    }

    pub(super) async fn run(mut self) -> Result<BuildReport, BuildError> {
        if let BuildKind::RebuildShow(show) = self.kind {
            let by = self.slot.projection.by_show.ok_or_else(|| self.slot.not_by_show())?;
            return self.rebuild_show(show, by).await;
        }
        let (build, checkpoint) = self.find_or_create().await?;
        self.record(checkpoint.position);
        let mut wish = self.wishes();
        let ready = tokio::select! {
            biased;
            () = cancelled(&mut wish) => Err(BuildError::Cancelled),
            ready = self.make_ready(build, checkpoint) => ready,
        };
        // From here on nobody can end it.
        let result = match ready {
            Ok(ready) => self.finish(ready).await,
            Err(error) => Err(error),
        };
        if let Some(second) = self.second {
            self.remove(second).await;
        }
        let goes_on = matches!(result, Err(BuildError::Interrupted(_) | BuildError::Closing));
        match self.kind {
            BuildKind::Rebuild if result.is_ok() || goes_on => {}
            BuildKind::SwapBack => {
                if result.is_err() {
                    self.tell_former(build).await;
                }
            }
            BuildKind::Rebuild | BuildKind::Verify | BuildKind::RebuildShow(_) => {
                self.remove(build).await;
            }
        }
        result
    }

    async fn find_or_create(&self) -> Result<(BuildId, Checkpoint), BuildError> {
        let projection = self.slot.projection;
        let rows = &self.shared.rows;
        let former = self.slot.former.borrow().as_ref().map(|former| *former.build);
        let is_wanted = |build: &Build| match self.kind {
            BuildKind::Rebuild => matches!(build.purpose, Purpose::Rebuild | Purpose::Halted),
            BuildKind::SwapBack => Some(build.id) == former,
            BuildKind::Verify | BuildKind::RebuildShow(_) => false,
        };
        let begun = |build: &Build| {
            build.projection == projection.name
                && build.version == projection.version
                && build.checkpoint.position <= self.slot.checkpoint().position
                && is_wanted(build)
        };
        if let Some(build) = rows.builds().await?.into_iter().find(begun) {
            return Ok((build.id, build.checkpoint));
        }
        let (name, version) = (projection.name, projection.version);
        let purpose = match self.kind {
            BuildKind::SwapBack => return Err(BuildError::NoFormer(name)),
            BuildKind::Rebuild => Purpose::Rebuild,
            BuildKind::Verify | BuildKind::RebuildShow(_) => Purpose::Scratch,
        };
        let build = rows.create(name, version, purpose, projection.tables).await?;
        Ok((build, Checkpoint::START))
    }

    /// Folds a build of this projection.
    pub(super) async fn folding(
        &self,
        build: BuildId,
        checkpoint: Checkpoint,
    ) -> Result<Folding, BuildError> {
        let skips = self.shared.read_skips().await?;
        Ok(self.shared.folding(self.slot.projection, build, checkpoint, &skips))
    }

    async fn make_ready(
        &mut self,
        build: BuildId,
        checkpoint: Checkpoint,
    ) -> Result<Ready<'a>, BuildError> {
        let mut work = Work::new(self.folding(build, checkpoint).await?);
        self.halt(build).await?;
        self.catch_up(&mut work, CLOSE).await?;
        if self.kind == BuildKind::Rebuild {
            self.phase(BuildPhase::Indexing);
            self.shared.rows.index(build, self.slot.projection.tables).await?;
            self.phase(BuildPhase::Folding);
            self.catch_up(&mut work, CLOSE).await?;
        }
        self.halt(build).await?;
        let mut gate = self.shut().await?;
        if Guard::RebuildBehind.stands() {
            self.catch_up(&mut work, 0).await?;
        }
        let folding_seconds = self.started.elapsed().as_secs_f64();
        let mut comparison = self.compare(build).await?;
        if self.kind == BuildKind::Rebuild && !comparison.equal() && Guard::FoldedTwice.stands() {
            drop(gate);
            gate = self.confirm(&mut work).await?;
            comparison = self.compare(build).await?;
        }
        let checkpoint = work.folding.checkpoint;
        Ok(Ready { gate, build, checkpoint, comparison, folding_seconds })
    }

    /// From here on the served rows stand still; queries go on.
    pub(super) async fn shut(&self) -> Result<MutexGuard<'a, ()>, BuildError> {
        let gate = self.slot.gate.lock().await;
        let served = *self.slot.served();
        let recalled = runner::recall(self.shared, self.slot, served).await;
        recalled.map_err(BuildError::Interrupted)?;
        Ok(gate)
    }

    /// Compares a build with what is served.
    async fn compare(&self, build: BuildId) -> Result<Comparison, BuildError> {
        self.phase(BuildPhase::Comparing);
        let served = self.slot.served();
        let (rows, tables) = (self.shared.rows.as_ref(), self.slot.projection.tables);
        Ok(compare::compare(rows, tables, *served, build).await?)
    }

    /// What differs from the served rows is wrong, or they are. A build may have gone on from rows
    /// that were damaged since; so all events are folded a second time, and only rows on which
    /// both folds agree may take the place of others.
    async fn confirm(&mut self, work: &mut Work) -> Result<MutexGuard<'a, ()>, BuildError> {
        self.phase(BuildPhase::Confirming);
        if let Some(running) = &mut lock(&self.slot.build).running {
            running.meter.forget();
        }
        let projection = self.slot.projection;
        let (name, version) = (projection.name, projection.version);
        let rows = &self.shared.rows;
        let second = rows.create(name, version, Purpose::Scratch, projection.tables).await?;
        self.second = Some(second);
        let mut again = Work::new(self.folding(second, Checkpoint::START).await?);
        self.catch_up(&mut again, CLOSE).await?;
        let gate = self.shut().await?;
        self.catch_up(work, 0).await?;
        self.catch_up(&mut again, 0).await?;
        let first = work.folding.build;
        let twice = compare::compare(rows.as_ref(), projection.tables, first, second).await?;
        match twice.first_difference {
            None => Ok(gate),
            Some(difference) => Err(BuildError::Unconfirmed { difference }),
        }
    }

    /// Swaps a build that is ready, if that is what it is for.
    async fn finish(&mut self, ready: Ready<'a>) -> Result<BuildReport, BuildError> {
        let Ready { gate, build, checkpoint, comparison, folding_seconds } = ready;
        if matches!(self.kind, BuildKind::Rebuild | BuildKind::SwapBack) {
            let position = self.slot.checkpoint().position;
            let since = self.shared.clock.now();
            self.shared.rows.serve(build, since).await?;
            let build = self.slot.replace(build, checkpoint);
            let former = Former { build, position, since };
            let older = self.slot.former.send_replace(Some(former));
            drop(gate);
            // The runner goes on with the new build, stopped or not.
            self.slot.wake();
            // Swapped back, the older one is what is served now.
            if self.kind == BuildKind::Rebuild
                && let Some(older) = older
            {
                former::remove_when_unread(self.shared, older.build).await;
            }
        }
        Ok(self.report(checkpoint.position, comparison, folding_seconds))
    }

    pub(super) fn report(
        &self,
        position: Position,
        comparison: Comparison,
        folding_seconds: f64,
    ) -> BuildReport {
        let projection = self.slot.projection.name;
        let skipped = lock(&self.shared.skips).listed(projection);
        let skipped = skipped.iter().map(|skip| skip.position).filter(|at| *at <= position);
        BuildReport {
            projection,
            kind: self.kind,
            position,
            comparison,
            seconds: self.started.elapsed().as_secs_f64(),
            folding_seconds,
            folded: self.folded,
            skipped: skipped.collect(),
        }
    }

    /// Folds until the build is at most `distance` positions behind the served rows, and stores
    /// that.
    pub(super) async fn catch_up(
        &mut self,
        work: &mut Work,
        distance: u64,
    ) -> Result<(), BuildError> {
        let Work { folding, bulk } = work;
        let began = folding.checkpoint.position;
        loop {
            if distance > 0 {
                // While the gate is shut nobody may wait for a person.
                self.halt(folding.build).await?;
            }
            let target = self.slot.checkpoint().position;
            if target.0.saturating_sub(folding.folded().0) <= distance {
                break;
            }
            match bulk.step(self.shared, folding, target).await.map_err(interrupted)? {
                Step::Folded => {}
                Step::Full => {
                    folding.begin_commit().await?;
                    bulk.written();
                    self.record(folding.checkpoint.position);
                }
                Step::Reached => break,
                Step::Ended => {
                    return Err(BuildError::Interrupted(format!(
                        "there are no events after position {}, but the served rows have some",
                        folding.folded()
                    )));
                }
            }
        }
        folding.commit().await?;
        bulk.written();
        self.record(folding.checkpoint.position);
        self.folded += folding.checkpoint.position.0 - began.0;
        Ok(())
    }

    /// Waits while somebody wants a pause; ends when the engine closes. That a rebuild is halted
    /// stands with its rows, so that a restart does not let it go on.
    async fn halt(&self, build: BuildId) -> Result<(), BuildError> {
        let mut wish = self.wishes();
        if wish.borrow_and_update().paused {
            self.mark(build, Purpose::Halted).await;
            self.obey_between().await?;
            self.mark(build, Purpose::Rebuild).await;
        }
        self.obey_between().await
    }

    /// The same without a word to the row store.
    pub(super) async fn obey_between(&self) -> Result<(), BuildError> {
        // Who closes the engine is heard, too. An error means that nobody can say anything any
        // more.
        let _ = self.wishes().wait_for(|wish| !wish.paused || wish.closing).await;
        let closing = self.slot.control.borrow().closing;
        if closing { Err(BuildError::Closing) } else { Ok(()) }
    }

    async fn mark(&self, build: BuildId, purpose: Purpose) {
        if self.kind == BuildKind::Rebuild {
            let marked = self.shared.rows.mark(build, purpose, self.shared.clock.now()).await;
            if let Err(error) = marked {
                warn!(%error, "a restart will not know whether this rebuild is halted");
            }
        }
    }

    /// How far former rows came that are not served after all.
    async fn tell_former(&self, build: BuildId) {
        let Ok(builds) = self.shared.rows.builds().await else { return };
        let Some(found) = builds.into_iter().find(|found| found.id == build) else { return };
        self.slot.former.send_if_modified(|former| {
            if let Some(former) = former {
                former.position = found.checkpoint.position;
            }
            false
        });
    }

    /// Takes rows away that nobody reads. What cannot be removed now is removed at the next start.
    pub(super) async fn remove(&self, build: BuildId) {
        if let Err(error) = self.shared.rows.remove(build).await {
            warn!(%error, "the rows of a build could not be removed");
        }
    }

    /// What people want of this build.
    pub(super) fn wishes(&self) -> watch::Receiver<Wish> {
        let build = lock(&self.slot.build);
        match &build.running {
            Some(running) => running.wish.subscribe(),
            None => watch::Sender::new(Wish::default()).subscribe(),
        }
    }

    pub(super) fn record(&self, at: Position) {
        if let Some(running) = &mut lock(&self.slot.build).running {
            running.done = at.0;
            running.meter.record(Instant::now(), at.0);
        }
    }

    pub(super) fn phase(&self, phase: BuildPhase) {
        if let Some(running) = &mut lock(&self.slot.build).running {
            running.phase = phase;
        }
    }
}

/// Waits until somebody wants the build to end.
pub(super) async fn cancelled(wish: &mut watch::Receiver<Wish>) {
    if wish.wait_for(|wish| wish.cancelled).await.is_err() {
        // Nobody is left who could want it.
        std::future::pending::<()>().await;
    }
}

pub(super) fn interrupted(fault: Fault) -> BuildError {
    match fault {
        Fault::Rows(error) => error.into(),
        Fault::Feed(error) => error.into(),
        Fault::Event(poison) => {
            let reason = poison_reason(&poison);
            BuildError::Poisoned { position: poison.position, reason }
        }
    }
}

impl Slot {
    /// One show of it cannot be built alone: what can.
    pub(super) fn not_by_show(&self) -> BuildError {
        let can = crate::ALL.iter().filter(|each| each.by_show.is_some());
        let can: Vec<&str> = can.map(|each| each.name).collect();
        BuildError::NotByShow { projection: self.projection.name, can: can.join(", ") }
    }

    /// Whether there can be such a build of it.
    pub(super) fn can_build(&self, kind: BuildKind) -> Result<(), BuildError> {
        match kind {
            BuildKind::SwapBack if self.former.borrow().is_none() => {
                Err(BuildError::NoFormer(self.projection.name))
            }
            BuildKind::RebuildShow(_) if self.projection.by_show.is_none() => {
                Err(self.not_by_show())
            }
            _ => Ok(()),
        }
    }

    /// Lets the runner look again at what it should do.
    pub(super) fn wake(&self) {
        self.control.send_modify(|control| control.tries += 1);
    }
}

//! The rows of one show, folded afresh from the events that they are made of and put in the place
//! of those that are served: in one transaction, at one position, after both were compared.

use std::{collections::HashSet, sync::Arc};

use hakken_domain::{
    envelope::{StoredEvent, StreamId, Version},
    names::ShowId,
};
use tokio::sync::MutexGuard;

use super::{
    BuildError, BuildPhase, BuildReport, Comparison,
    build::{BuildTask, Work, cancelled, interrupted},
    compare,
    folding::Folding,
};
use crate::{
    projection::{ByShow, ShowEvents},
    rows::{BuildId, Changes, Checkpoint, Purpose},
};

/// Positions behind the served rows from which these catch up while those stand still.
const CLOSE: u64 = 1_000;
/// Events of one read of a stream.
const PAGE: usize = 2_000;

/// Which events bear on the rows of one show.
pub(super) struct OneShow {
    show: ShowId,
    events: ShowEvents,
    streams: HashSet<StreamId>,
}

impl OneShow {
    pub(super) fn new(show: ShowId, events: ShowEvents) -> Self {
        Self { show, events, streams: HashSet::new() }
    }

    /// Asked about every event, in their order.
    pub(super) fn includes(&mut self, event: &StoredEvent) -> bool {
        match self.events {
            ShowEvents::Stream(of) => event.stream == of(self.show),
            ShowEvents::Among(bears) => bears(self.show, event, &mut self.streams),
        }
    }
}

/// The rows of a show, folded and compared with those that are served, which stand still.
struct ReadyShow<'a> {
    gate: MutexGuard<'a, ()>,
    comparison: Comparison,
    changes: Changes,
    folding_seconds: f64,
}

impl<'a> BuildTask<'a> {
    /// Folds the show's rows afresh, compares, and replaces what differs.
    pub(super) async fn rebuild_show(
        mut self,
        show: ShowId,
        by: ByShow,
    ) -> Result<BuildReport, BuildError> {
        let projection = self.slot.projection;
        let (name, version) = (projection.name, projection.version);
        let rows = self.shared.rows.clone();
        let build = rows.create(name, version, Purpose::Scratch, projection.tables).await?;
        let mut wish = self.wishes();
        let ready = tokio::select! {
            biased;
            () = cancelled(&mut wish) => Err(BuildError::Cancelled),
            ready = self.fold_show(build, show, by) => ready,
        };
        // From here on nobody can end it.
        let result = match ready {
            Ok(ready) => self.replace_show(ready).await,
            Err(error) => Err(error),
        };
        self.remove(build).await;
        result
    }

    async fn fold_show(
        &mut self,
        build: BuildId,
        show: ShowId,
        by: ByShow,
    ) -> Result<ReadyShow<'a>, BuildError> {
        let folding = self.folding(build, Checkpoint::START).await?;
        let mut work = Work::new(folding.of_one_show(OneShow::new(show, by.events)));
        let mut read = 0;
        self.follow_show(&mut work, show, by, (&mut read, CLOSE)).await?;
        let gate = self.shut().await?;
        let served = *self.slot.served();
        self.follow_show(&mut work, show, by, (&mut read, 0)).await?;
        let folding_seconds = self.started.elapsed().as_secs_f64();
        self.phase(BuildPhase::Comparing);
        let rows = self.shared.rows.clone();
        let compared = compare::compare_show(&*rows, by.tables, served, build, show).await?;
        let (comparison, changes) = compared;
        Ok(ReadyShow { gate, comparison, changes, folding_seconds })
    }

    /// Puts what was folded in the place of what is served.
    async fn replace_show(&mut self, ready: ReadyShow<'a>) -> Result<BuildReport, BuildError> {
        let ReadyShow { gate, comparison, changes, folding_seconds } = ready;
        let at = self.slot.checkpoint();
        if !comparison.equal() {
            let served = *self.slot.served();
            // All of it or nothing, and at the position at which both were compared.
            let committed = self.shared.rows.commit(served, &changes, at.position, at).await;
            // The same rows under a new lease: whoever remembers some of them asks again. If the
            // answer was lost they may have changed as well.
            self.slot.replace(served, at);
            drop(gate);
            self.slot.wake();
            committed?;
        }
        Ok(self.report(at.position, comparison, folding_seconds))
    }

    /// Folds the show's events up to at most `distance` positions behind the served rows.
    async fn follow_show(
        &mut self,
        work: &mut Work,
        show: ShowId,
        by: ByShow,
        (read, distance): (&mut Version, u64),
    ) -> Result<(), BuildError> {
        match by.events {
            ShowEvents::Stream(of) => {
                self.follow_stream(&mut work.folding, of(show), (read, distance)).await
            }
            ShowEvents::Among(_) => self.catch_up(work, distance).await,
        }
    }

    /// Folds what a stream has beyond what was read of it, up to where the served rows are.
    async fn follow_stream(
        &mut self,
        folding: &mut Folding,
        stream: StreamId,
        (read, distance): (&mut Version, u64),
    ) -> Result<(), BuildError> {
        loop {
            if distance > 0 {
                // While the gate is shut nobody may wait for a person.
                self.obey_between().await?;
            }
            let target = self.slot.checkpoint().position;
            let page = self.shared.feed.read_stream(stream, *read, PAGE).await?;
            let events: Vec<Arc<StoredEvent>> =
                page.into_iter().take_while(|event| event.position <= target).collect();
            let Some(last) = events.last() else { break };
            (*read, self.folded) = (last.version, self.folded + events.len() as u64);
            let position = last.position;
            folding.fold(&events).await.map_err(interrupted)?;
            folding.begin_commit().await?;
            self.record(position);
        }
        folding.commit().await?;
        Ok(())
    }
}

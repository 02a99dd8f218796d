//! One build being folded: batches of events in, rows and checkpoint out, in one transaction.

use std::{
    any::Any,
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId},
    guard::Guard,
    names::EventId,
};
use tokio::task::JoinSet;

use super::show::OneShow;
use crate::{
    feed::{EventFeed, FeedError},
    projection::{self, Fold, Projection},
    rows::{BuildId, Changes, Checkpoint, RowError, RowStore},
};

/// So many events are folded before other tasks get their turn. That is a tenth of a millisecond,
/// about as long as the few tasks of one sale take: the more sales there are, the smaller is the
/// part of the machine that a rebuild takes from them.
pub(super) const BREATH: usize = 100;

/// First events of streams that are read at once.
const ORIGINS_AT_ONCE: usize = 8;

/// An event that a projection cannot fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    /// Its position.
    pub position: Position,
    /// Its id.
    pub event: EventId,
    /// Its kind, as stored.
    pub kind: String,
    /// Its stream.
    pub stream: StreamId,
    /// What is wrong with it, in words.
    pub reason: String,
}

/// What a batch did.
pub(super) struct Folded {
    pub(super) changes: Changes,
    /// The event at which it stopped; what came before it is committed.
    pub(super) poison: Option<Poison>,
}

/// Why folding stopped.
pub(super) enum Fault {
    Rows(RowError),
    Feed(FeedError),
    Event(Poison),
}

impl From<RowError> for Fault {
    fn from(error: RowError) -> Self {
        Self::Rows(error)
    }
}

/// From where a fold gets what it does not remember.
pub(super) struct Sources {
    pub(super) rows: Arc<dyn RowStore>,
    pub(super) feed: Arc<dyn EventFeed>,
    /// Events that the projection leaves out.
    pub(super) skipped: Arc<HashSet<EventId>>,
}

/// The writer of one build. After an error it must be thrown away: what it remembers may not be
/// what is stored.
pub(super) struct Folding {
    projection: Projection,
    sources: Sources,
    pub(super) build: BuildId,
    /// Up to where it is stored.
    pub(super) checkpoint: Checkpoint,
    /// Up to where it is folded.
    folded: Checkpoint,
    /// The commit under way and where it leads. It is ended with this.
    committing: JoinSet<Result<Checkpoint, RowError>>,
    fold: Box<dyn Fold>,
    /// Only what bears on the rows of one show is folded.
    only: Option<OneShow>,
}

impl Folding {
    pub(super) fn new(
        projection: Projection,
        sources: Sources,
        build: BuildId,
        checkpoint: Checkpoint,
    ) -> Self {
        let fold = (projection.fold)();
        let (folded, committing) = (checkpoint, JoinSet::new());
        Self { projection, sources, build, checkpoint, folded, committing, fold, only: None }
    }

    /// The same for one show alone.
    pub(super) fn of_one_show(self, show: OneShow) -> Self {
        Self { only: Some(show), ..self }
    }

    /// Of which projection.
    pub(super) fn projection(&self) -> Projection {
        self.projection
    }

    /// Up to where it is folded, stored or not.
    pub(super) fn folded(&self) -> Position {
        self.folded.position
    }

    /// Rows that are changed and not yet handed to the store.
    pub(super) fn pending(&mut self) -> usize {
        projection::pending(self.fold.as_mut())
    }

    /// Folds events and commits what they did. Events that count already are left out, wherever
    /// in the batch they come again.
    pub(super) async fn process(
        &mut self,
        mut events: Vec<Arc<StoredEvent>>,
    ) -> Result<Folded, Fault> {
        let mut last = self.checkpoint.position;
        events.retain(|event| {
            let new = event.position > last;
            last = last.max(event.position);
            new
        });
        match self.fold(&events).await {
            Ok(()) => Ok(Folded { changes: self.commit().await?, poison: None }),
            Err(Fault::Event(poison)) => {
                // The fold may have taken half of the bad event in: begin anew and stop before
                // it.
                self.forget();
                let good = events.partition_point(|event| event.position < poison.position);
                match self.fold(&events[..good]).await {
                    Ok(()) => Ok(Folded { changes: self.commit().await?, poison: Some(poison) }),
                    Err(Fault::Event(earlier)) => {
                        Ok(Folded { changes: Changes::new(), poison: Some(earlier) })
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Back to what is stored.
    fn forget(&mut self) {
        self.fold = (self.projection.fold)();
        self.folded = self.checkpoint;
    }

    /// Folds events that come after those before. What they did waits for a commit.
    pub(super) async fn fold(&mut self, events: &[Arc<StoredEvent>]) -> Result<(), Fault> {
        let Some(last) = events.last() else { return Ok(()) };
        let (projection, skipped, only) = (&self.projection, &self.sources.skipped, &mut self.only);
        let wanted = events.iter().filter(|event| {
            projection.wants(event)
                && !skipped.contains(&event.id)
                && only.as_mut().is_none_or(|only| only.includes(event))
        });
        let mine: Vec<&Arc<StoredEvent>> = wanted.collect();
        self.load_needed(&mine).await?;
        for chunk in mine.chunks(BREATH) {
            for event in chunk {
                apply(self.fold.as_mut(), event).map_err(Fault::Event)?;
            }
            tokio::task::yield_now().await;
        }
        self.folded = Checkpoint {
            position: last.position,
            event: Some(last.id),
            recorded_at: last.recorded_at,
        };
        Ok(())
    }

    /// Brings what the fold will look at, until nothing is missing.
    async fn load_needed(&mut self, events: &[&Arc<StoredEvent>]) -> Result<(), Fault> {
        loop {
            for chunk in events.chunks(BREATH) {
                for event in chunk {
                    needs(self.fold.as_mut(), event).map_err(Fault::Event)?;
                }
                tokio::task::yield_now().await;
            }
            let mut origins = Vec::new();
            for each in self.fold.origins() {
                origins.append(&mut each.missing());
            }
            let missing = projection::missing(self.fold.as_mut());
            if missing.is_empty() && origins.is_empty() {
                return Ok(());
            }
            if !missing.is_empty() {
                // What is being written may be what is asked for.
                self.settle().await?;
            }
            for (table, keys) in missing {
                let loaded = self.sources.rows.load(self.build, table, keys).await?;
                projection::take_loaded(self.fold.as_mut(), table, loaded)?;
            }
            let feed = &self.sources.feed;
            let mut found = stream::iter(origins)
                .map(|stream| async move { (stream, feed.read_stream(stream, 0, 1).await) })
                .buffer_unordered(ORIGINS_AT_ONCE)
                .map(|(stream, read)| read.map(|events| (stream, events)));
            while let Some((stream, first)) = found.try_next().await.map_err(Fault::Feed)? {
                let first = first.first().and_then(|event| event.decoded().ok());
                for each in self.fold.origins() {
                    each.take(stream, first);
                }
            }
        }
    }

    /// Hands what was folded to the store, which writes it while folding goes on.
    pub(super) async fn begin_commit(&mut self) -> Result<(), RowError> {
        self.settle().await?;
        if self.folded.position == self.checkpoint.position {
            return Ok(());
        }
        let changes = projection::changes(self.fold.as_mut());
        let (rows, build) = (self.sources.rows.clone(), self.build);
        let (expected, checkpoint) = (self.checkpoint.position, self.folded);
        self.committing.spawn(async move {
            rows.commit(build, &changes, expected, checkpoint).await?;
            Ok(checkpoint)
        });
        Ok(())
    }

    /// Waits for the commit under way.
    pub(super) async fn settle(&mut self) -> Result<(), RowError> {
        while let Some(committed) = self.committing.join_next().await {
            let failed = |error| RowError::Unavailable(Box::new(error));
            self.checkpoint = committed.map_err(failed)??;
        }
        Ok(())
    }

    /// Commits what was folded, and says what changed.
    pub(super) async fn commit(&mut self) -> Result<Changes, RowError> {
        self.settle().await?;
        if self.folded.position == self.checkpoint.position {
            return Ok(Changes::new());
        }
        let changes = projection::changes(self.fold.as_mut());
        let (rows, build, before) = (&self.sources.rows, self.build, self.checkpoint);
        if Guard::RowsChanged.is_out() {
            rows.commit(build, &changes, before.position, before).await?;
            rows.commit(build, &Changes::new(), before.position, self.folded).await?;
        } else {
            rows.commit(build, &changes, before.position, self.folded).await?;
        }
        self.checkpoint = self.folded;
        Ok(changes)
    }
}

fn poison(event: &StoredEvent, reason: String) -> Poison {
    let StoredEvent { position, stream, .. } = *event;
    Poison { position, event: event.id, kind: event.kind.to_string(), stream, reason }
}

/// A fold panicked. Its projection stops there: the same event would bring the same panic, and
/// where it stops is what whoever mends it must know.
fn panicked(event: &StoredEvent, panic: &(dyn Any + Send)) -> Poison {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let reason = format!("a bug: the projection panicked: {}", said.unwrap_or("without a word"));
    poison(event, reason)
}

/// After an error the fold must be thrown away.
fn apply(fold: &mut dyn Fold, event: &StoredEvent) -> Result<(), Poison> {
    match catch_unwind(AssertUnwindSafe(|| fold.apply(event))) {
        Ok(applied) => applied.map_err(|error| poison(event, error.to_string())),
        Err(panic) => Err(panicked(event, &*panic)),
    }
}

/// After an error the fold must be thrown away.
fn needs(fold: &mut dyn Fold, event: &StoredEvent) -> Result<(), Poison> {
    catch_unwind(AssertUnwindSafe(|| fold.needs(event))).map_err(|panic| panicked(event, &*panic))
}

/// One line for people.
pub(crate) fn poison_reason(poison: &Poison) -> String {
    format!("{}: {}", poison.kind, poison.reason)
}

/// Folds events that are all there are but for those that are left out, in memory: what was asked
/// for and not put by an earlier event does not exist.
pub(crate) fn fold_all(
    fold: &mut dyn Fold,
    projection: &Projection,
    events: &[Arc<StoredEvent>],
    skipped: &HashSet<EventId>,
) -> Result<(), Poison> {
    for event in events {
        if projection.wants(event) && !skipped.contains(&event.id) {
            needs(fold, event)?;
            while !projection::missing(fold).is_empty() {
                needs(fold, event)?;
            }
            apply(fold, event)?;
        }
    }
    Ok(())
}

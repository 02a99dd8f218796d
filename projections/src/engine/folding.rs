//! One build being folded: batches of events in, rows and checkpoint out, in one transaction.

use std::sync::Arc;

use hakken_domain::{
    envelope::{Decoded, Position, StoredEvent},
    guard::Guard,
};

use crate::{
    projection::{self, Fold, Projection},
    rows::{BuildId, Changes, Checkpoint, RowError, RowStore},
};

/// So many events are folded before other tasks get their turn: a rebuild must not be felt by
/// who buys.
pub(super) const BREATH: usize = 500;

/// An event that a projection cannot fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    /// Its position.
    pub position: Position,
    /// Its kind, as stored.
    pub kind: String,
    /// What is wrong with it, in words.
    pub reason: String,
}

/// What a batch did.
pub(super) struct Folded {
    pub(super) changes: Changes,
    /// The event at which it stopped; what came before it is committed.
    pub(super) poison: Option<Poison>,
}

/// The writer of one build. After an error it must be thrown away: what it remembers may not be
/// what is stored.
pub(super) struct Folding {
    projection: Projection,
    pub(super) build: BuildId,
    pub(super) checkpoint: Checkpoint,
    fold: Box<dyn Fold>,
}

enum Fault {
    Rows(RowError),
    Event(Poison),
}

impl Folding {
    pub(super) fn new(projection: Projection, build: BuildId, checkpoint: Checkpoint) -> Self {
        Self { projection, build, checkpoint, fold: (projection.fold)() }
    }

    /// Folds events and commits what they did. Events that count already are left out, wherever
    /// in the batch they come again.
    pub(super) async fn process(
        &mut self,
        rows: &dyn RowStore,
        mut events: Vec<Arc<StoredEvent>>,
    ) -> Result<Folded, RowError> {
        let mut last = self.checkpoint.position;
        events.retain(|event| {
            let new = event.position > last;
            last = last.max(event.position);
            new
        });
        match self.fold(rows, &events).await {
            Ok(()) => {
                let changes = self.commit(rows, &events).await?;
                Ok(Folded { changes, poison: None })
            }
            Err(Fault::Rows(error)) => Err(error),
            Err(Fault::Event(poison)) => {
                // The fold may have taken half of the bad event in: begin anew and stop before
                // it.
                self.fold = (self.projection.fold)();
                let good = events.partition_point(|event| event.position < poison.position);
                let events = &events[..good];
                match self.fold(rows, events).await {
                    Ok(()) => {
                        let changes = self.commit(rows, events).await?;
                        Ok(Folded { changes, poison: Some(poison) })
                    }
                    Err(Fault::Rows(error)) => Err(error),
                    Err(Fault::Event(earlier)) => {
                        Ok(Folded { changes: Changes::new(), poison: Some(earlier) })
                    }
                }
            }
        }
    }

    async fn fold(
        &mut self,
        rows: &dyn RowStore,
        events: &[Arc<StoredEvent>],
    ) -> Result<(), Fault> {
        let mut mine = Vec::with_capacity(events.len());
        for chunk in events.chunks(BREATH) {
            for event in chunk {
                if self.projection.streams.contains(&event.stream.kind) {
                    mine.push((event, decode(event).map_err(Fault::Event)?));
                }
            }
            tokio::task::yield_now().await;
        }
        loop {
            for (event, decoded) in &mine {
                self.fold.needs(event, decoded);
            }
            let missing = projection::missing(self.fold.as_mut());
            if missing.is_empty() {
                break;
            }
            for (table, keys) in missing {
                let loaded = rows.load(self.build, table, keys).await.map_err(Fault::Rows)?;
                projection::take_loaded(self.fold.as_mut(), table, loaded).map_err(Fault::Rows)?;
            }
        }
        for chunk in mine.chunks(BREATH) {
            for (event, decoded) in chunk {
                self.fold
                    .apply(event, decoded)
                    .map_err(|error| Fault::Event(poison(event, error.to_string())))?;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        rows: &dyn RowStore,
        events: &[Arc<StoredEvent>],
    ) -> Result<Changes, RowError> {
        let Some(last) = events.last() else { return Ok(Changes::new()) };
        let changes = projection::changes(self.fold.as_mut());
        let checkpoint = Checkpoint {
            position: last.position,
            event: Some(last.id),
            recorded_at: last.recorded_at,
        };
        let (build, before) = (self.build, self.checkpoint);
        if Guard::RowsChanged.is_out() {
            rows.commit(build, &changes, before.position, before).await?;
            rows.commit(build, &Changes::new(), before.position, checkpoint).await?;
        } else {
            rows.commit(build, &changes, before.position, checkpoint).await?;
        }
        self.checkpoint = checkpoint;
        Ok(changes)
    }
}

fn poison(event: &StoredEvent, reason: String) -> Poison {
    Poison { position: event.position, kind: event.kind.to_string(), reason }
}

fn decode(event: &StoredEvent) -> Result<&Decoded, Poison> {
    event.decoded().map_err(|error| poison(event, error.to_string()))
}

/// One line for people.
pub(crate) fn poison_reason(poison: &Poison) -> String {
    format!("{}: {}", poison.kind, poison.reason)
}

/// Folds events that are all there are, in memory: what was asked for and not put by an earlier
/// event does not exist.
pub(crate) fn fold_all(
    fold: &mut dyn Fold,
    streams: &[hakken_domain::envelope::StreamKind],
    events: &[Arc<StoredEvent>],
) -> Result<(), Poison> {
    for event in events {
        if streams.contains(&event.stream.kind) {
            let decoded = decode(event)?;
            fold.needs(event, decoded);
            while !projection::missing(fold).is_empty() {
                fold.needs(event, decoded);
            }
            fold.apply(event, decoded).map_err(|error| poison(event, error.to_string()))?;
        }
    }
    Ok(())
}

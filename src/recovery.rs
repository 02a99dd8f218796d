//! What a start finds: how the last process ended, what is recorded, and from where everything
//! goes on. An operator reads it after a crash, and must not have to guess.

use std::sync::Arc;

use anyhow::Result;
use hakken_commands::{process::NAMES, store::SideStore};
use hakken_domain::envelope::{Position, StoredEvent};
use hakken_projections::{ReadModels, feed::EventFeed};

/// What was there before anything was written.
pub struct Recovery {
    /// The newest event's position; 0 if nothing was ever recorded.
    pub head: Position,
    newest: Option<Arc<StoredEvent>>,
    /// Who had the directory last, if they did not close it.
    left_by: Option<String>,
    /// Up to where each process had answered the events.
    processes: Vec<(&'static str, Position)>,
}

impl Recovery {
    /// Looks, before anybody writes. `signature` is what the lock's file holds: whoever closes the
    /// directory well empties it.
    pub async fn look(feed: &dyn EventFeed, side: &dyn SideStore, signature: &str) -> Result<Self> {
        let head = feed.head().await?;
        let before = Position(head.0.saturating_sub(1));
        let newest = feed.read_all(before, 1).await?.pop();
        let mut processes = Vec::with_capacity(NAMES.len());
        for process in NAMES {
            processes.push((process, side.load_checkpoint(process).await?));
        }
        let signature = signature.trim();
        let left_by = (!signature.is_empty()).then(|| signature.to_owned());
        Ok(Self { head, newest, left_by, processes })
    }

    /// Writes it into the log.
    pub async fn tell(&self, read: &ReadModels) -> Result<()> {
        let events = self.head.0;
        if let Some(left_by) = &self.left_by {
            tracing::warn!(
                left_by,
                "the data directory was not closed: its last process was killed, or the machine \
                 went down. All that it had acknowledged is among the events"
            );
        }
        match &self.newest {
            Some(newest) => tracing::info!(
                events,
                closed_well = self.left_by.is_none(),
                newest = &*newest.kind,
                newest_stream = %newest.stream,
                newest_recorded_at = %newest.recorded_at,
                "recovered"
            ),
            None => tracing::info!(events, closed_well = self.left_by.is_none(), "recovered"),
        }
        for (process, position) in &self.processes {
            let behind = events.saturating_sub(position.0);
            tracing::info!(process, position = position.0, behind, "process resumes");
        }
        for status in read.status().await? {
            let (position, behind) = (status.checkpoint.0, status.lag_positions);
            if behind > 0 {
                tracing::info!(read_model = status.name, position, behind, "read model catches up");
            }
        }
        Ok(())
    }
}

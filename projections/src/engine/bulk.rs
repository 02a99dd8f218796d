//! Many events at once: read and decoded ahead, folded, and written while folding goes on. Rows
//! that change again before they are written are written once.

use hakken_domain::envelope::Position;
use tokio::time::{Duration, Instant};

use super::{
    Shared,
    ahead::Ahead,
    folding::{Fault, Folding},
};
use crate::projection::Projection;

/// Changed rows that are written together: they stay in memory until then.
const MOST_ROWS: usize = 20_000;
/// What was folded is written after so long at the latest, so that little is lost to a kill.
const LONGEST: Duration = Duration::from_secs(1);
/// Where no events come for so long, what was folded is written.
const IDLE: Duration = Duration::from_millis(100);

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There are more events.
    Folded,
    /// Enough is folded, or it has waited long enough: it should be written now.
    Full,
    /// Everything up to there is folded.
    Reached,
    /// There are no more events, though there should be.
    Ended,
}

/// Reads ahead for one build.
pub(super) struct Bulk {
    projection: Projection,
    ahead: Option<Ahead>,
    written: Instant,
}

impl Bulk {
    pub(super) fn new(projection: Projection) -> Self {
        Self { projection, ahead: None, written: Instant::now() }
    }

    /// Folds the next events that are at most at `target`.
    pub(super) async fn step(
        &mut self,
        shared: &Shared,
        folding: &mut Folding,
        target: Position,
    ) -> Result<Step, Fault> {
        if folding.folded() >= target {
            return Ok(Step::Reached);
        }
        let after = folding.folded();
        let start = || Ahead::start(shared.feed.clone(), self.projection, after);
        let mut ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => start(),
        };
        let is_dirty = after > folding.checkpoint.position;
        let mut filled = match tokio::time::timeout(IDLE, ahead.fill()).await {
            Ok(filled) => filled.map_err(Fault::Feed)?,
            Err(_) if is_dirty => {
                self.ahead = Some(ahead);
                return Ok(Step::Full);
            }
            Err(_) => ahead.fill().await.map_err(Fault::Feed)?,
        };
        if !filled {
            // A reader ends where the events ended when it got there: there may be more now.
            ahead = start();
            filled = ahead.fill().await.map_err(Fault::Feed)?;
        }
        if !filled {
            return Ok(Step::Ended);
        }
        let events = ahead.take(target);
        self.ahead = Some(ahead);
        if events.is_empty() {
            // The next event is behind the target: positions need not be dense.
            return Ok(Step::Reached);
        }
        folding.fold(&events).await?;
        // What was folded is of no use any more; giving it back is work of its own.
        tokio::spawn(async move { drop(events) });
        let is_full = folding.pending() >= MOST_ROWS || self.written.elapsed() >= LONGEST;
        Ok(if is_full { Step::Full } else { Step::Folded })
    }

    /// What was folded is being written.
    pub(super) fn written(&mut self) {
        self.written = Instant::now();
    }
}

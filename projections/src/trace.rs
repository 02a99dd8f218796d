//! Traces, as the read side tells them: when the events of a sampled request began to count.

use std::{fmt::Debug, sync::Arc};

use hakken_domain::{envelope::Position, envelope::StoredEvent};
use tokio::time::Instant;

/// Is asked about events before they are folded.
pub trait FoldTracer: Debug + Send + Sync + 'static {
    /// Those of the events that sampled requests brought about; none if there are none.
    fn sampled(&self, events: &[Arc<StoredEvent>]) -> Option<Box<dyn Sampled>>;
}

/// Events of sampled requests that are being folded.
pub trait Sampled: Send + 'static {
    /// They count now, or not.
    fn folded(self: Box<Self>, fold: &FoldSpan);
}

/// The fold of a batch, as one transaction.
#[derive(Debug, Clone, Copy)]
pub struct FoldSpan {
    /// Of which projection.
    pub projection: &'static str,
    /// When it was begun.
    pub began: Instant,
    /// When the rows were written.
    pub ended: Instant,
    /// Events in it, sampled or not.
    pub events: usize,
    /// Up to where the projection counts now.
    pub position: Position,
    /// Whether the rows were written.
    pub committed: bool,
}

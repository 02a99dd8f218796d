//! The read side of Hakken: projections fold the recorded events into rows that queries read.
//!
//! [`ReadModels`] is the way in. A new read model is one file in `models/` (tables, fold,
//! queries, tests) and one line in [`read_models::ALL`].

mod cache;
pub mod clock;
mod engine;
pub mod feed;
pub mod models;
mod origins;
pub mod page;
pub mod past;
mod postings;
pub mod projection;
mod read_models;
pub mod rows;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod trace;

pub use cache::{AnyRows, Cache, Log, Record};
pub use engine::{
    BuildError, BuildKind, BuildPhase, BuildProgress, BuildReport, Comparison, FORMER_KEPT,
    FormerBuild, Poison, ProjectionStatus, RunState, Skip, StartError, TableComparison,
    UnknownProjection, WaitError,
};
pub use page::{Edge, MAX_PAGE, Page, PageRequest, QueryError, Slice, Sort};
pub use read_models::{ALL, ReadModels};

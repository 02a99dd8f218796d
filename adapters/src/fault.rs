//! Short ways to say what went wrong in a store.

use hakken_commands::store::{StoreError, StoreErrorKind};

type Cause = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn unavailable(source: impl Into<Cause>) -> StoreError {
    StoreError { kind: StoreErrorKind::Unavailable, source: source.into() }
}

pub(crate) fn fatal(source: impl Into<Cause>) -> StoreError {
    StoreError { kind: StoreErrorKind::Fatal, source: source.into() }
}

pub(crate) fn corrupt(source: impl Into<Cause>) -> StoreError {
    StoreError { kind: StoreErrorKind::Corrupt, source: source.into() }
}

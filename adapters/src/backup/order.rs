//! Whether events follow one another as those of a store do.

use std::collections::HashMap;

use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId, Version},
    time::Timestamp,
};

/// How events fail to go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotNext {
    /// A position is missing, or there twice.
    #[error("position {found} stands where position {expected} should")]
    Position {
        /// The next one.
        expected: Position,
        /// What came.
        found: Position,
    },
    /// A version is missing, or there twice.
    #[error("position {position} is version {found} of {stream}, which should be {expected}")]
    Version {
        /// Where.
        position: Position,
        /// Of which stream.
        stream: StreamId,
        /// The next one.
        expected: Version,
        /// What came.
        found: Version,
    },
    /// Time runs backwards.
    #[error("position {position} was recorded at {found}, before the one before it ({before})")]
    Time {
        /// Where.
        position: Position,
        /// When the event before was recorded.
        before: Timestamp,
        /// What came.
        found: Timestamp,
    },
}

/// Sees that each event goes on where the one before ended.
#[derive(Debug, Clone)]
pub(super) struct Order {
    head: Position,
    newest: Option<Timestamp>,
    /// None where the streams before are not known.
    versions: Option<HashMap<StreamId, Version>>,
}

impl Default for Order {
    /// From the first event on.
    fn default() -> Self {
        Self { head: Position(0), newest: None, versions: Some(HashMap::new()) }
    }
}

impl Order {
    /// Behind an event of which nothing is known but its place and time.
    pub(super) fn behind(head: Position, newest: Option<Timestamp>) -> Self {
        Self { head, newest, versions: None }
    }

    /// The next event.
    pub(super) fn next(&mut self, event: &StoredEvent) -> Result<(), NotNext> {
        let position = event.position;
        let expected = Position(self.head.0 + 1);
        if position != expected {
            return Err(NotNext::Position { expected, found: position });
        }
        if let Some(before) = self.newest.filter(|before| event.recorded_at < *before) {
            return Err(NotNext::Time { position, before, found: event.recorded_at });
        }
        if let Some(versions) = &mut self.versions {
            let version = versions.entry(event.stream).or_default();
            if event.version != *version + 1 {
                let (stream, expected, found) = (event.stream, *version + 1, event.version);
                return Err(NotNext::Version { position, stream, expected, found });
            }
            *version += 1;
        }
        self.head = position;
        self.newest = Some(event.recorded_at);
        Ok(())
    }

    /// How many streams there were, if that is known.
    pub(super) fn streams(&self) -> Option<usize> {
        self.versions.as_ref().map(HashMap::len)
    }

    /// The newest position.
    pub(super) fn head(&self) -> Position {
        self.head
    }
}

//! Streams that are asked about with nearly every request and are written seldom: keys,
//! organizers and shows. What is durable of them lies where callers can look at it without asking
//! the loop, and without waiting for anybody.
//!
//! A stream is taken down before anything that its next event stands behind is decided, thus
//! before anybody hears of that event: who looks sees everything that was answered before.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hakken_domain::{
    State,
    envelope::{StreamId, StreamKind, Version},
    guard::Guard,
    names::OrganizerId,
};
use lru::LruCache;

use super::{CommandError, Question, Tenant, entry::Facts};

/// Most streams; the one that nobody asked about for longest makes room.
const MAX_STREAMS: NonZeroUsize = NonZeroUsize::new(1_024).expect("more than none");

/// What is durable of a stream.
struct Shown {
    state: State,
    version: Version,
    owner: Option<Option<OrganizerId>>,
}

/// What callers can look at.
pub(super) struct Shelf(Mutex<LruCache<StreamId, Arc<Shown>>>);

/// Whether streams of this kind lie here.
fn is_shown(kind: StreamKind) -> bool {
    matches!(kind, StreamKind::Key | StreamKind::Organizer | StreamKind::Show)
}

impl Shelf {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(MAX_STREAMS)))
    }

    fn streams(&self) -> MutexGuard<'_, LruCache<StreamId, Arc<Shown>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the question if the stream lies here; None if the loop must be asked.
    pub(super) fn look(
        &self,
        tenant: Tenant,
        stream: StreamId,
        question: &mut Question,
    ) -> Option<Result<Box<dyn std::any::Any + Send>, CommandError>> {
        if !is_shown(stream.kind) {
            return None;
        }
        let shown = self.streams().get(&stream).cloned()?;
        if let (Tenant::Of(asking), Some(owner)) = (tenant, shown.owner)
            && Guard::NotYours.sees(asking != owner)
        {
            return Some(Err(CommandError::NotYours));
        }
        Some(Ok(question(&shown.state, shown.version)))
    }

    /// Shows a stream of which everything is durable.
    pub(super) fn show(&self, stream: StreamId, facts: &Facts) {
        if is_shown(stream.kind) && facts.version > 0 {
            let (state, version, owner) = (facts.state.clone(), facts.version, facts.owner);
            self.streams().put(stream, Arc::new(Shown { state, version, owner }));
        }
    }

    /// Takes a stream down: it is about to change.
    pub(super) fn take_down(&self, stream: StreamId) {
        if is_shown(stream.kind) {
            self.streams().pop(&stream);
        }
    }

    /// Shows nothing any more: the loop has ended.
    pub(super) fn clear(&self) {
        self.streams().clear();
    }
}

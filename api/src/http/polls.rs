//! Polls of what is free. Many clients ask the same again and again, byte for byte, and mostly
//! nothing has changed: then they all get the same bytes, and nothing is read, carried out or
//! written a second time.
//!
//! An answer is kept only if it says nothing but what one [`Availability`] says, and it is given
//! again only while the read model answers with that very one.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::body::Bytes;
use hakken_domain::{legs::Legs, names::ShowId};
use hakken_projections::models::seat_availability::Availability;
use lru::LruCache;

use super::{delivery::Content, protocol::Media};
use crate::{
    auth::{Caller, Right},
    ports::ApiContext,
};

/// Most answers; the one that was not asked for longest makes room.
const MAX_ANSWERS: NonZeroUsize = NonZeroUsize::new(4_096).expect("more than none");
/// Most bytes of requests, answers and what they say together.
const MAX_BYTES: usize = 32 << 20;

/// A longer request is carried out each time.
const MAX_REQUEST: usize = 8 << 10;

/// What the resolver of a poll tells about its answer.
#[derive(Debug, Clone)]
pub(crate) struct Polled {
    pub(crate) show: ShowId,
    pub(crate) legs: Option<Legs>,
    pub(crate) found: Arc<Availability>,
}

/// Where it tells that.
#[derive(Debug, Default)]
pub(crate) struct PollNote(Mutex<Option<Polled>>);

impl PollNote {
    fn place(&self) -> MutexGuard<'_, Option<Polled>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer says nothing but this.
    pub(crate) fn tell(&self, polled: Polled) {
        *self.place() = Some(polled);
    }

    /// What was told.
    pub(crate) fn take(&self) -> Option<Polled> {
        self.place().take()
    }
}

/// An answer that is kept.
struct Kept {
    polled: Polled,
    media: Media,
    answer: Arc<Content>,
}

impl Kept {
    fn weight(&self, request: &Bytes) -> usize {
        request.len() + self.answer.weight() + self.polled.found.seats.len()
    }
}

/// The answers that are kept, by the bytes of their requests.
pub(crate) struct Polls(Mutex<Answers>);

struct Answers {
    kept: LruCache<Bytes, Arc<Kept>>,
    bytes: usize,
}

impl Polls {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Answers { kept: LruCache::new(MAX_ANSWERS), bytes: 0 }))
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this very request was answered before.
    pub(crate) fn knows(&self, request: &Bytes) -> bool {
        request.len() <= MAX_REQUEST && self.answers().kept.contains(request)
    }

    /// The answer to this very request, if it is still true and this caller may see it.
    pub(crate) async fn answer(
        &self,
        api: &ApiContext,
        caller: &Caller,
        request: &Bytes,
        media: Media,
    ) -> Option<Arc<Content>> {
        caller.may(Right::SeeShows).ok()?;
        let kept = self.answers().kept.get(request).cloned()?;
        if kept.media != media {
            return None;
        }
        let Polled { show, legs, found } = &kept.polled;
        let now = api.write.engine().clock().now();
        let fresh = api.models.availability(caller.organizer, *show, *legs, now).await.ok()??;
        Arc::ptr_eq(&fresh, found).then(|| kept.answer.clone())
    }

    /// Keeps the answer to a request.
    pub(crate) fn keep(&self, request: &Bytes, media: Media, polled: Polled, answer: Arc<Content>) {
        if request.len() > MAX_REQUEST {
            return;
        }
        let kept = Arc::new(Kept { polled, media, answer });
        // The buffer that it was read into may be much larger than the request.
        let request = Bytes::copy_from_slice(request);
        let mut answers = self.answers();
        answers.bytes += kept.weight(&request);
        if let Some((request, former)) = answers.kept.push(request, kept) {
            answers.bytes -= former.weight(&request);
        }
        while answers.bytes > MAX_BYTES {
            let Some((request, oldest)) = answers.kept.pop_lru() else { break };
            answers.bytes -= oldest.weight(&request);
        }
    }
}

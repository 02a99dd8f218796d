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
    fn bytes(&self) -> usize {
        self.answer.weight() + self.polled.found.seats.len()
    }
}

/// The answers that are kept, by the bytes of their requests.
pub(crate) struct Polls(Mutex<Answers<Arc<Kept>>>);

/// What is kept, within its bounds.
struct Answers<T> {
    /// With the bytes that it takes.
    kept: LruCache<Bytes, (T, usize)>,
    bytes: usize,
    max_bytes: usize,
}

impl<T> Answers<T> {
    fn new() -> Self {
        Self::with(MAX_ANSWERS, MAX_BYTES)
    }

    fn with(max_answers: NonZeroUsize, max_bytes: usize) -> Self {
        Self { kept: LruCache::new(max_answers), bytes: 0, max_bytes }
    }

    /// Keeps an answer of so many bytes, in the place of those not asked for longest.
    fn keep(&mut self, request: Bytes, answer: T, bytes: usize) {
        let bytes = request.len() + bytes;
        self.bytes += bytes;
        if let Some((_, (_, former))) = self.kept.push(request, (answer, bytes)) {
            self.bytes -= former;
        }
        while self.bytes > self.max_bytes {
            let Some((_, (_, oldest))) = self.kept.pop_lru() else { break };
            self.bytes -= oldest;
        }
    }
}

impl Polls {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Answers::new()))
    }

    fn answers(&self) -> MutexGuard<'_, Answers<Arc<Kept>>> {
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
        let (kept, _) = self.answers().kept.get(request).cloned()?;
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
        let bytes = kept.bytes();
        self.answers().keep(request, kept, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: usize) -> Bytes {
        Bytes::from(format!("request {number:06}"))
    }

    #[test]
    fn answers_are_bounded_by_their_number() {
        let mut answers = Answers::new();
        (0..10_000).for_each(|number| answers.keep(request(number), (), 100));
        assert_eq!(answers.kept.len(), MAX_ANSWERS.get());
        assert_eq!(answers.bytes, MAX_ANSWERS.get() * 114, "who made room is not counted");
        assert!(answers.kept.contains(&request(9_999)) && !answers.kept.contains(&request(0)));
        // The control: without the bound they are all there.
        let far = NonZeroUsize::new(100_000).expect("more than none");
        let mut boundless = Answers::with(far, MAX_BYTES);
        (0..10_000).for_each(|number| boundless.keep(request(number), (), 100));
        assert_eq!(boundless.kept.len(), 10_000);
    }

    #[test]
    fn answers_are_bounded_by_their_bytes() {
        let mut answers = Answers::new();
        (0..100).for_each(|number| answers.keep(request(number), (), 1 << 20));
        assert_eq!(answers.kept.len(), 31, "of 1 MiB and a little each");
        assert!(answers.bytes <= MAX_BYTES);
        // The control: without the bound they are all there.
        let mut boundless = Answers::with(MAX_ANSWERS, usize::MAX);
        (0..100).for_each(|number| boundless.keep(request(number), (), 1 << 20));
        assert_eq!(boundless.kept.len(), 100);
        assert!(boundless.bytes > MAX_BYTES);
        // The same request again and again takes nothing more.
        (0..100).for_each(|_| answers.keep(request(99), (), 1 << 20));
        assert_eq!(answers.kept.len(), 31);
        // One that alone is too large is not kept, and nothing is counted for it.
        answers.keep(request(1_000), (), MAX_BYTES);
        assert_eq!((answers.kept.len(), answers.bytes), (0, 0));
    }
}

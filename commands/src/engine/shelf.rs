//! Streams that are asked about with nearly every request and are written seldom: keys,
//! organizers and shows. What is durable of them lies where callers can look at it without asking
//! the loop, and without waiting for anybody.
//!
//! A stream is taken down before anything that its next event stands behind is decided, thus
//! before anybody hears of that event: who looks sees everything that was answered before. Where
//! others write the same store nothing lies here: what they write takes nothing down, and a key
//! that was revoked elsewhere would open doors for as long as nobody here writes its stream.

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
use postcard::ser_flavors::Size;

use super::{CommandError, Question, Tenant, entry::Facts};

/// Most streams; the one that nobody asked about for longest makes room.
const MAX_STREAMS: NonZeroUsize = NonZeroUsize::new(1_024).expect("more than none");

/// Most bytes (about) of all of them together.
const MAX_BYTES: usize = 32 << 20;

/// What is durable of a stream.
struct Shown {
    state: State,
    version: Version,
    owner: Option<Option<OrganizerId>>,
    bytes: usize,
}

impl Shown {
    fn of(facts: &Facts) -> Self {
        let (state, version, owner) = (facts.state.clone(), facts.version, facts.owner);
        let encoded = postcard::serialize_with_flavor(&state, Size::default());
        // In memory a state takes about twice what it takes when it is written down.
        let bytes = 512 + 2 * encoded.unwrap_or(MAX_BYTES);
        Self { state, version, owner, bytes }
    }
}

/// What callers can look at.
pub(super) struct Shelf(Mutex<Streams>);

struct Streams {
    shown: LruCache<StreamId, Arc<Shown>>,
    bytes: usize,
    max_bytes: usize,
}

impl Streams {
    fn put(&mut self, stream: StreamId, shown: Shown) {
        self.bytes += shown.bytes;
        if let Some((_, former)) = self.shown.push(stream, Arc::new(shown)) {
            self.bytes -= former.bytes;
        }
        while self.bytes > self.max_bytes {
            let Some((_, oldest)) = self.shown.pop_lru() else { break };
            self.bytes -= oldest.bytes;
        }
    }

    fn pop(&mut self, stream: StreamId) {
        if let Some(former) = self.shown.pop(&stream) {
            self.bytes -= former.bytes;
        }
    }

    fn clear(&mut self) {
        self.shown.clear();
        self.bytes = 0;
    }
}

/// Whether streams of this kind lie here.
fn is_shown(kind: StreamKind) -> bool {
    matches!(kind, StreamKind::Key | StreamKind::Organizer | StreamKind::Show)
}

impl Shelf {
    pub(super) fn new() -> Self {
        Self::with(MAX_STREAMS, MAX_BYTES)
    }

    fn with(max_streams: NonZeroUsize, max_bytes: usize) -> Self {
        Self(Mutex::new(Streams { shown: LruCache::new(max_streams), bytes: 0, max_bytes }))
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
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
        let shown = self.streams().shown.get(&stream).cloned()?;
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
            self.streams().put(stream, Shown::of(facts));
        }
    }

    /// Takes a stream down: it is about to change.
    pub(super) fn take_down(&self, stream: StreamId) {
        if is_shown(stream.kind) && Guard::TakenDown.stands() {
            self.streams().pop(stream);
        }
    }

    /// Shows nothing any more: the loop has ended.
    pub(super) fn clear(&self) {
        self.streams().clear();
    }
}

#[cfg(test)]
mod tests {
    use hakken_domain::{Event, organizer};

    use super::*;

    fn organizer(letters: usize) -> Facts {
        let name = "x".repeat(letters).parse().expect("a name");
        let registered = organizer::OrganizerRegistered { name };
        let mut facts = Facts::empty(StreamKind::Organizer);
        facts.state.evolve(&Event::Organizer(organizer::Event::OrganizerRegistered(registered)));
        facts.version = 1;
        facts
    }

    fn stream(number: u32) -> StreamId {
        OrganizerId::derived("test", &number.to_string()).into()
    }

    fn lies(shelf: &Shelf, stream: StreamId) -> bool {
        let mut question: Question = Box::new(|_, version| Box::new(version));
        shelf.look(Tenant::Any, stream, &mut question).is_some()
    }

    /// How many of so many lie there, when all of them were shown.
    fn there_of(all: u32, shelf: &Shelf, facts: &Facts) -> usize {
        (0..all).for_each(|number| shelf.show(stream(number), facts));
        (0..all).filter(|number| lies(shelf, stream(*number))).count()
    }

    #[test]
    fn what_lies_ready_is_bounded_by_bytes_and_the_oldest_makes_room() {
        let (shelf, facts) = (Shelf::with(MAX_STREAMS, 10_000), organizer(100));
        let most = 10_000 / Shown::of(&facts).bytes;
        assert_eq!(there_of(500, &shelf, &facts), most, "of 500 streams");
        // The control: without the bound they are all there.
        assert_eq!(there_of(500, &Shelf::with(MAX_STREAMS, usize::MAX), &facts), 500);
        assert!(lies(&shelf, stream(499)) && !lies(&shelf, stream(0)));
        // The same stream again and again, and streams that are taken down, take nothing more.
        (0..500).for_each(|_| shelf.show(stream(499), &facts));
        assert!(lies(&shelf, stream(498)));
        (0..500).for_each(|number| shelf.take_down(stream(number)));
        assert_eq!(shelf.streams().bytes, 0);
    }

    #[test]
    fn what_lies_ready_is_bounded_by_number() {
        let (shelf, facts) = (Shelf::new(), organizer(1));
        let all = MAX_STREAMS.get() as u32 + 100;
        assert_eq!(there_of(all, &shelf, &facts), MAX_STREAMS.get());
        // The control: without the bound they are all there.
        let far = NonZeroUsize::new(100_000).expect("more than none");
        let boundless = Shelf::with(far, MAX_BYTES);
        assert_eq!(there_of(all, &boundless, &facts), all as usize);
        let each = Shown::of(&facts).bytes;
        assert_eq!(
            shelf.streams().bytes,
            MAX_STREAMS.get() * each,
            "who made room is not counted any more"
        );
    }
}

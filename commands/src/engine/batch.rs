//! Decisions that are made durable together, and the questions that are answered then.

use std::{any::Any, collections::HashMap, ops::Range, sync::Arc};

use hakken_domain::{
    Rejection,
    envelope::{Position, StoredEvent, StreamId, Version},
};

use super::{Pending, entry::Facts};
use crate::store::{Append, NewEvent};

/// What a question is answered with once the batch is durable.
pub(super) enum Answer {
    /// With the events at these places of the stream's part of the batch.
    Happened(Range<usize>),
    /// With the events that an earlier command with the same key brought about.
    Repeated { first: Version, count: u32 },
    /// It was so already.
    AlreadyHappened,
    /// The rules said no.
    Rejected(Rejection),
    /// The key was used for another request.
    KeyReused,
    /// Nothing is remembered under the key.
    NothingRecalled,
    /// What a question saw.
    Seen(Box<dyn Any + Send>),
}

/// A question and its answer.
pub(super) struct Item {
    pub(super) pending: Box<Pending>,
    pub(super) answer: Answer,
}

impl Item {
    /// What no answer may be: given when something is decided, whether it becomes durable or not.
    pub(super) fn early(self) -> Self {
        let answer = match self.answer {
            Answer::Happened(_) => Answer::AlreadyHappened,
            other => other,
        };
        Self { answer, ..self }
    }
}

/// The events of one stream in a batch.
pub(super) struct Part {
    pub(super) stream: StreamId,
    pub(super) expected: Version,
    pub(super) events: Vec<NewEvent>,
    /// To be kept as a snapshot once the events are durable.
    pub(super) snapshot: Option<Facts>,
}

/// Decisions that are made durable together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) parts: Vec<Part>,
    places: HashMap<StreamId, usize>,
    pub(super) items: Vec<Item>,
    pub(super) events: usize,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.events == 0
    }

    /// Adds events to a stream whose version before them is `expected`. Returns their places in
    /// the stream's part.
    pub(super) fn push(
        &mut self,
        stream: StreamId,
        expected: Version,
        events: impl IntoIterator<Item = NewEvent>,
    ) -> Range<usize> {
        let place = *self.places.entry(stream).or_insert_with(|| {
            self.parts.push(Part { stream, expected, events: Vec::new(), snapshot: None });
            self.parts.len() - 1
        });
        let part = &mut self.parts[place];
        let before = part.events.len();
        part.events.extend(events);
        self.events += part.events.len() - before;
        before..part.events.len()
    }

    /// The part of a stream.
    pub(super) fn place(&self, stream: StreamId) -> Option<usize> {
        self.places.get(&stream).copied()
    }

    /// Takes out everything that concerns a stream: its events are thrown away, its questions
    /// are to be decided again.
    pub(super) fn withdraw(&mut self, stream: StreamId) -> Vec<Box<Pending>> {
        if let Some(place) = self.places.remove(&stream) {
            let part = &mut self.parts[place];
            self.events -= part.events.len();
            part.events.clear();
            part.snapshot = None;
        }
        let (withdrawn, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.items).into_iter().partition(|i| i.pending.stream == stream);
        self.items = kept;
        withdrawn.into_iter().map(|item| item.pending).collect()
    }

    /// Forgets parts whose events were thrown away.
    pub(super) fn compact(&mut self) {
        self.parts.retain(|part| !part.events.is_empty());
        self.places = self.parts.iter().enumerate().map(|(at, p)| (p.stream, at)).collect();
    }

    /// Takes the map from streams to their parts.
    pub(super) fn take_places(&mut self) -> HashMap<StreamId, usize> {
        std::mem::take(&mut self.places)
    }

    /// Tells which events sampled commands bring about.
    pub(super) fn announce(&self) {
        for Item { pending, answer } in &self.items {
            if let (Some(trace), Answer::Happened(range)) = (&pending.trace, answer)
                && let Some(place) = self.place(pending.stream)
            {
                trace.appending(&self.parts[place].events[range.clone()]);
            }
        }
    }

    /// Takes the events out, to be appended.
    pub(super) fn take_events(&mut self) -> Vec<Append> {
        self.parts
            .iter_mut()
            .map(|part| Append {
                stream: part.stream,
                expected: part.expected,
                events: std::mem::take(&mut part.events),
            })
            .collect()
    }
}

/// Where an answer without events of its own stands.
pub(super) fn position_of(stored: &[Arc<StoredEvent>]) -> Position {
    stored.last().map_or(Position::default(), |event| event.position)
}

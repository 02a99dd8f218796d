//! Answering those who asked.

use std::sync::{Arc, atomic::Ordering};

use hakken_domain::envelope::{Position, StoredEvent, StreamId, Version};
use tracing::warn;

use super::{
    super::{
        Ask, CommandError, CommandKind, Outcome, Pending, Receipt,
        batch::{Answer, Item, position_of},
        load,
    },
    Loop,
};

impl Loop {
    /// The position of the newest durable event of a stream in memory.
    pub(super) fn position_of(&self, stream: StreamId) -> Position {
        let facts = self.streams.peek(&stream).and_then(|entry| entry.facts.as_ref());
        facts.map_or(Position::default(), |facts| facts.position)
    }

    /// Answers a question. `events` are what was appended to its stream in its batch, `position`
    /// is that of the stream's newest durable event.
    pub(super) fn answer(&self, item: Item, events: &[Arc<StoredEvent>], position: Position) {
        let Item { mut pending, answer } = item;
        let stream = pending.stream;
        self.count(&mut pending, &answer, events);
        match answer {
            Answer::Happened(range) => {
                self.counters.happened.fetch_add(1, Ordering::Relaxed);
                let events = events[range].to_vec();
                let position = position_of(&events);
                pending.ask.succeed(Receipt { stream, events, position, repeated: false });
            }
            Answer::AlreadyHappened => {
                let events = Vec::new();
                pending.ask.succeed(Receipt { stream, events, position, repeated: false });
            }
            Answer::Rejected(rejection) => {
                self.counters.rejected.fetch_add(1, Ordering::Relaxed);
                pending.ask.fail(CommandError::Rejected(rejection));
            }
            Answer::KeyReused => pending.ask.fail(CommandError::KeyReused),
            Answer::Repeated { first, count } => self.repeat(*pending, first, count),
            Answer::NothingRecalled => match pending.ask {
                Ask::Recall { reply, .. } => drop(reply.send(Ok(None))),
                _ => unreachable!("only a recall finds nothing"),
            },
            Answer::Seen(seen) => match pending.ask {
                Ask::Read { reply, .. } => drop(reply.send(Ok(seen))),
                _ => unreachable!("only a question sees"),
            },
        }
    }

    /// Counts a command that is answered, and notes it if it is sampled.
    fn count(&self, pending: &mut Pending, answer: &Answer, events: &[Arc<StoredEvent>]) {
        let Ask::Execute { command, .. } = &pending.ask else { return };
        let outcome = match answer {
            Answer::Happened(_) => Outcome::Happened,
            Answer::AlreadyHappened => Outcome::AlreadyHappened,
            Answer::Rejected(_) => Outcome::Rejected,
            Answer::KeyReused => Outcome::KeyReused,
            Answer::Repeated { .. } => Outcome::Repeated,
            Answer::NothingRecalled | Answer::Seen(_) => return,
        };
        self.counters.answered.count(CommandKind::of(command), outcome);
        let Some(trace) = &mut pending.trace else { return };
        let positions = match answer {
            Answer::Happened(range) => {
                let (first, last) = (events.get(range.start), events[..range.end].last());
                first.zip(last).map(|(first, last)| (first.position, last.position))
            }
            _ => None,
        };
        trace.answered(outcome, self.batch_span, positions);
    }

    /// Reads what an earlier command with the same key brought about, and answers with it.
    pub(super) fn repeat(&self, pending: Pending, first: Version, count: u32) {
        let ports = self.ports.clone();
        tokio::spawn(async move {
            let Pending { stream, ask, place, .. } = pending;
            match load::read_exactly(&ports, stream, first - 1, count as usize).await {
                Ok(events) => {
                    let position = position_of(&events);
                    ask.succeed(Receipt { stream, events, position, repeated: true });
                }
                Err(error) => {
                    warn!(%stream, %error, "an earlier answer cannot be read");
                    ask.fail(CommandError::Unavailable);
                }
            }
            drop(place);
        });
    }
}

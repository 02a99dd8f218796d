//! The streams of a history, each with the state that the rules decide by, and the open batch.

use std::collections::HashMap;

use anyhow::Result;
use hakken_commands::store::{Append, NewEvent};
use hakken_domain::{
    Command, Context, Event, Outcome, Rejection, State,
    envelope::{Decoded, Fingerprint, Metadata, StreamId, Version},
    names::{ActorRef, CommandKey, EventId, OrganizerId},
    time::Timestamp,
};
use ulid::Ulid;

/// Numbers that look drawn (SplitMix64), the same for the same seed.
pub(super) struct Draw(pub(super) u64);

impl Draw {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `0..count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    /// So many times in a hundred.
    pub(super) fn percent(&mut self, times: usize) -> bool {
        self.below(100) < times
    }

    pub(super) fn ulid(&mut self) -> Ulid {
        Ulid(u128::from(self.next()) << 64 | u128::from(self.next()))
    }
}

/// Who asks.
pub(super) enum Asker {
    /// An API key, with a fresh idempotency key.
    Caller,
    /// A process that answers an event, and with which step: under the key that it would have.
    Process(&'static str, EventId, String),
}

struct Stream {
    state: State,
    version: Version,
}

/// The streams that are still lived in.
pub(super) struct World {
    pub(super) draw: Draw,
    pub(super) now: Timestamp,
    pub(super) organizer: OrganizerId,
    streams: HashMap<StreamId, Stream>,
    batch: Vec<Append>,
    of_stream: HashMap<StreamId, usize>,
    asked: u64,
}

impl World {
    pub(super) fn new(seed: u64, now: Timestamp) -> Self {
        let mut draw = Draw(seed);
        let organizer = OrganizerId(draw.ulid());
        let (streams, of_stream) = (HashMap::new(), HashMap::new());
        Self { draw, now, organizer, streams, batch: Vec::new(), of_stream, asked: 0 }
    }

    /// The events that were decided since the last time.
    pub(super) fn take_batch(&mut self) -> Vec<Append> {
        self.of_stream.clear();
        std::mem::take(&mut self.batch)
    }

    /// What the rules know of a stream.
    pub(super) fn state(&self, stream: StreamId) -> Option<&State> {
        self.streams.get(&stream).map(|stream| &stream.state)
    }

    /// Nothing will happen to it any more.
    pub(super) fn forget(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// Decides as the engine does: what is due first. Says the id of the last event, and what
    /// happened.
    pub(super) fn ask(
        &mut self,
        stream: StreamId,
        command: impl Into<Command>,
        asker: Asker,
    ) -> Result<Result<(EventId, Vec<Event>), Rejection>> {
        self.asked += 1;
        let meta = self.metadata(asker)?;
        let found = self.streams.entry(stream);
        let found =
            found.or_insert_with(|| Stream { state: State::initial(stream.kind), version: 0 });
        let mut happened = Vec::new();
        let sweeper = Metadata {
            actor: ActorRef::new("system:sweeper")?,
            key: None,
            request: None,
            cause: None,
            correlation: None,
            ..meta.clone()
        };
        for event in found.state.due(self.now) {
            found.state.evolve(&event);
            happened.push(Decoded { event, meta: sweeper.clone() });
        }
        let context = Context { now: self.now, actor: meta.actor.clone() };
        let decided = found.state.decide(&command.into(), &context);
        let (mut events, mut rejection) = (Vec::new(), None);
        match decided {
            Ok(Outcome::Happened(facts)) => {
                for event in facts {
                    found.state.evolve(&event);
                    events.push(event.clone());
                    happened.push(Decoded { event, meta: meta.clone() });
                }
            }
            Ok(Outcome::AlreadyHappened) => {}
            Err(refused) => rejection = Some(refused),
        }
        let expected = found.version;
        found.version += happened.len() as u64;
        let last = self.add(stream, expected, happened);
        Ok(match rejection {
            Some(rejection) => Err(rejection),
            None => Ok((last, events)),
        })
    }

    fn metadata(&mut self, asker: Asker) -> Result<Metadata> {
        let number = self.asked;
        let (actor, key, request, cause) = match asker {
            Asker::Caller => {
                // Like the keys of most integrators: a UUID.
                let drawn = (self.draw.next(), self.draw.next());
                let key = format!("{:016x}-{:016x}", drawn.0, drawn.1);
                let request = Fingerprint(self.draw.next());
                (ActorRef::new(&format!("key:{}", number % 3))?, key, request, None)
            }
            Asker::Process(name, cause, step) => {
                let key = format!("{name}:{cause}:{step}");
                let request = Fingerprint::of(key.as_bytes());
                (ActorRef::new(&format!("system:{name}"))?, key, request, Some(cause))
            }
        };
        Ok(Metadata {
            organizer: Some(self.organizer),
            actor,
            request: Some(request),
            key: Some(CommandKey::new(&key)?),
            cause,
            correlation: cause,
        })
    }

    fn add(&mut self, stream: StreamId, expected: Version, happened: Vec<Decoded>) -> EventId {
        let mut last = EventId(Ulid::nil());
        if happened.is_empty() {
            return last;
        }
        let batch = &mut self.batch;
        let at = *self.of_stream.entry(stream).or_insert_with(|| {
            batch.push(Append { stream, expected, events: Vec::new() });
            batch.len() - 1
        });
        let milliseconds = self.now.as_micros().unsigned_abs() / 1_000;
        for decoded in happened {
            last = EventId(Ulid::from_parts(milliseconds, u128::from(self.draw.next())));
            batch[at].events.push(NewEvent::encode(last, decoded));
        }
        last
    }
}

//! The live feed: the newest batches stay in memory, bounded in bytes, so that whoever keeps up
//! never reads the store. Whoever does not is told so and reads the store until they do.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use futures_util::stream;
use hakken_commands::store::{EventStream, StoreError};
use hakken_domain::envelope::{Position, StoredEvent};
use tokio::sync::Notify;

/// Most bytes of events (and of what surrounds them) that stay in memory.
const RING_BYTES: usize = 32 * 1024 * 1024;

/// What an event costs beside its data and metadata, roughly.
const EVENT_OVERHEAD_BYTES: usize = 256;

/// Events read from the store at once for a reader that lags.
const CATCH_UP_EVENTS: usize = 2_000;

type Events = Vec<Arc<StoredEvent>>;

/// Batches in order of position, without a gap between them.
struct Ring {
    batches: VecDeque<(Arc<[Arc<StoredEvent>]>, usize)>,
    bytes: usize,
    /// The position before the oldest batch in the ring.
    before: Position,
}

/// Where durable batches are announced, in order.
pub(crate) struct LiveFeed {
    ring: Mutex<Ring>,
    signal: Arc<Signal>,
    ring_bytes: usize,
}

/// Wakes followers, always in the order in which they began to wait: a simulation that began at
/// the same seed then has the same history.
#[derive(Default)]
struct Signal {
    head: AtomicU64,
    /// Nothing more will come.
    ended: AtomicBool,
    changed: Notify,
}

/// What the ring has for a reader.
enum Newer {
    /// What comes next, one or more events.
    Events(Events),
    /// Nothing yet.
    Nothing,
    /// The ring no longer has what comes next.
    TooLate,
}

impl LiveFeed {
    /// Nothing is announced yet after `head`.
    pub(crate) fn new(head: Position) -> Self {
        Self::with_ring_bytes(head, RING_BYTES)
    }

    pub(crate) fn with_ring_bytes(head: Position, ring_bytes: usize) -> Self {
        let ring = Ring { batches: VecDeque::new(), bytes: 0, before: head };
        let signal = Signal { head: AtomicU64::new(head.0), ..Signal::default() };
        Self { ring: Mutex::new(ring), signal: Arc::new(signal), ring_bytes }
    }

    /// The newest announced position.
    pub(crate) fn head(&self) -> Position {
        Position(self.signal.head.load(Ordering::Acquire))
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces a durable batch. Batches come in order of position.
    pub(crate) fn publish(&self, batch: Arc<[Arc<StoredEvent>]>) {
        let Some(newest) = batch.last().map(|event| event.position) else { return };
        let bytes = batch
            .iter()
            .map(|event| event.data.len() + event.meta.len() + EVENT_OVERHEAD_BYTES)
            .sum();
        let mut dropped = Vec::new();
        {
            let mut ring = self.ring();
            ring.bytes += bytes;
            ring.batches.push_back((batch, bytes));
            while ring.bytes > self.ring_bytes {
                let Some((oldest, bytes)) = ring.batches.pop_front() else { break };
                ring.bytes -= bytes;
                ring.before = oldest.last().map_or(ring.before, |event| event.position);
                dropped.push(oldest);
            }
        }
        self.signal.head.store(newest.0, Ordering::Release);
        self.signal.changed.notify_waiters();
    }

    /// Ends every follower.
    pub(crate) fn end(&self) {
        self.signal.ended.store(true, Ordering::Release);
        self.signal.changed.notify_waiters();
    }

    fn newer(&self, after: Position) -> Newer {
        let ring = self.ring();
        if after < ring.before {
            return Newer::TooLate;
        }
        let from = ring
            .batches
            .partition_point(|(batch, _)| batch.last().is_some_and(|last| last.position <= after));
        let Some((batch, _)) = ring.batches.get(from) else { return Newer::Nothing };
        let batch = Arc::clone(batch);
        drop(ring);
        let skip = batch.partition_point(|event| event.position <= after);
        Newer::Events(batch[skip..].to_vec())
    }
}

/// Everything after `after`: from the feed what it still has, the rest from the store by
/// `read_all`. Ends when the feed does.
pub(crate) fn follow<R, F>(feed: &Arc<LiveFeed>, after: Position, read_all: R) -> EventStream
where
    R: Fn(Position, usize) -> F + Send + 'static,
    F: Future<Output = Result<Events, StoreError>> + Send,
{
    // Only the signal is held while waiting: a feed that a follower kept alive would never end.
    let state = Some((Arc::downgrade(feed), Arc::clone(&feed.signal), after, read_all));
    Box::pin(stream::unfold(state, |state| async move {
        let (feed, signal, after, read_all) = state?;
        loop {
            // Before anything is looked at, so that what comes meanwhile is not slept through.
            let changed = signal.changed.notified();
            if signal.ended.load(Ordering::Acquire) {
                return None;
            }
            let newer = feed.upgrade()?.newer(after);
            let batch = match newer {
                Newer::Events(batch) => Ok(batch),
                Newer::TooLate => read_all(after, CATCH_UP_EVENTS).await,
                Newer::Nothing => Ok(Vec::new()),
            };
            match batch {
                Err(error) => return Some((Err(error), None)),
                Ok(batch) => {
                    if let Some(last) = batch.last() {
                        let after = last.position;
                        drop(changed);
                        return Some((Ok(batch), Some((feed, signal, after, read_all))));
                    }
                }
            }
            changed.await;
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_behind_the_ring_is_told_so() {
        let feed = LiveFeed::with_ring_bytes(Position(0), 1_000);
        for position in 1..=10 {
            feed.publish(vec![event(position)].into());
        }
        assert!(matches!(feed.newer(Position(1)), Newer::TooLate));
        assert!(matches!(feed.newer(Position(10)), Newer::Nothing));
        assert!(matches!(feed.newer(Position(11)), Newer::Nothing));
        let Newer::Events(events) = feed.newer(Position(8)) else { panic!("8 is in the ring") };
        assert_eq!(events[0].position, Position(9));
        assert!(feed.ring().bytes <= 1_000);
    }

    fn event(position: u64) -> Arc<StoredEvent> {
        Arc::new(StoredEvent {
            position: Position(position),
            stream: "order-01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
            version: position,
            id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
            kind: "order-placed".into(),
            schema: 1,
            recorded_at: hakken_domain::time::Timestamp::from_micros(0),
            meta: bytes::Bytes::from_static(b"{}"),
            data: bytes::Bytes::from_static(b"{}"),
            cache: std::sync::OnceLock::new(),
        })
    }
}

//! The end of the log, as this process knows it. $all is read from where the last look ended;
//! each event of ours gets its position, and goes into one live feed in that order.
//!
//! Whoever needs to know the end looks: after an append, behind the head, when a stream has
//! events that have no position yet. Nobody looks twice for one end: who waits for a look that
//! began after they asked is served by it. When nobody asks, a task looks every [`POLL`].

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use eventstore::RecordedEvent;
use hakken_commands::store::StoreError;
use hakken_domain::{
    codec,
    envelope::{Decoded, Position, StoredEvent},
    names::EventId,
    time::Timestamp,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    Shared,
    envelope::{self, Read},
    link::failed,
    marker,
    pages::{PAGE_EVENTS, Place, weight},
};
use crate::{fault::corrupt, live::LiveFeed};

/// How often $all is looked at when nobody asks, while others write.
const POLL: Duration = Duration::from_millis(25);

/// And when nothing has come for a while.
const IDLE_POLL: Duration = Duration::from_millis(100);

/// How long that is.
const IDLE: Duration = Duration::from_secs(5);

/// The last event is read again at each look: a large one more rarely.
const BYTES_A_SECOND: u64 = 8 << 20;

/// How long to wait after a look that failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Written to the file when so much has come, and each second in any case.
const UNWRITTEN: usize = 10_000;

/// An event that this process appends.
enum Own {
    /// What its writer decoded already, until it is seen in $all.
    Awaited(Option<Box<Decoded>>),
    /// As it is in $all.
    Seen(Arc<StoredEvent>),
}

pub(super) struct Tail {
    pub(super) live: Arc<LiveFeed>,
    own: Mutex<HashMap<EventId, Own>>,
    /// How many have asked for a look.
    asked: AtomicU64,
    /// How many of these had asked when the last look began.
    served: tokio::sync::Mutex<u64>,
    /// Bytes of the last event.
    last_weight: AtomicU64,
}

impl Tail {
    pub(super) fn new(head: Position) -> Self {
        Self {
            live: Arc::new(LiveFeed::new(head)),
            own: Mutex::default(),
            asked: AtomicU64::new(0),
            served: tokio::sync::Mutex::new(0),
            last_weight: AtomicU64::new(0),
        }
    }

    fn own(&self) -> MutexGuard<'_, HashMap<EventId, Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for events that are about to be appended.
    pub(super) fn expect(&self, events: impl IntoIterator<Item = (EventId, Option<Decoded>)>) {
        let awaited =
            |(id, decoded): (EventId, Option<Decoded>)| (id, Own::Awaited(decoded.map(Box::new)));
        self.own().extend(events.into_iter().map(awaited));
    }

    /// Those of these events that came, in their order.
    pub(super) fn seen(&self, ids: &[EventId]) -> Vec<Arc<StoredEvent>> {
        let own = self.own();
        let seen = |id| match own.get(id) {
            Some(Own::Seen(event)) => Some(Arc::clone(event)),
            _ => None,
        };
        ids.iter().filter_map(seen).collect()
    }

    /// Waits for them no longer.
    pub(super) fn forget(&self, ids: &[EventId]) {
        let mut own = self.own();
        for id in ids {
            own.remove(id);
        }
    }

    fn decoded(&self, id: EventId) -> Option<Decoded> {
        match self.own().get_mut(&id) {
            Some(Own::Awaited(decoded)) => decoded.take().map(|decoded| *decoded),
            _ => None,
        }
    }
}

/// An event of ours, with its position.
pub(super) fn stored(
    read: Read,
    position: Position,
    recorded_at: Timestamp,
    decoded: Option<Decoded>,
) -> Arc<StoredEvent> {
    Arc::new(StoredEvent {
        position,
        stream: read.stream,
        version: read.version,
        id: read.id,
        kind: match codec::known_kind(&read.kind) {
            Some(known) => known.into(),
            None => read.kind.into(),
        },
        schema: read.schema,
        recorded_at,
        meta: read.meta,
        data: read.data,
        cache: decoded.map(Ok).map(Into::into).unwrap_or_default(),
    })
}

impl Shared {
    /// An event of $all, if it is one of ours.
    pub(super) fn ours(&self, event: RecordedEvent) -> Result<Option<Read>, StoreError> {
        let namespace = &self.link.address().namespace;
        let name = event
            .stream_id
            .strip_prefix(namespace.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
            .filter(|name| *name != marker::NAME)
            .map(str::to_owned);
        match name {
            Some(name) => envelope::read(event, &name).map(Some).map_err(corrupt),
            None => Ok(None),
        }
    }

    /// Reads $all up to its end, as it is now or later.
    pub(super) async fn look(&self) -> Result<(), StoreError> {
        let tail = &self.tail;
        let ticket = tail.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut served = tail.served.lock().await;
        if *served >= ticket {
            return Ok(());
        }
        let serves = tail.asked.load(Ordering::Acquire);
        loop {
            let from = self.index.reached();
            let page = self.link.all(Some(from.place), PAGE_EVENTS).await.map_err(failed)?;
            // An event of others may be gone by now, one of ours never is.
            let is_other = page.events.first().is_none_or(|first| first.id != from.event);
            if from.place == from.own && is_other {
                return Err(corrupt(
                    "the events of EventStoreDB are others than those that were read before: \
                     was an older backup put back? Start again, and positions are counted anew",
                ));
            }
            if let Some(last) = page.events.last() {
                tail.last_weight.store(weight(last) as u64, Ordering::Relaxed);
            }
            self.take(page.events, from.place)?;
            if self.index.unwritten() > UNWRITTEN {
                self.index.flush().await?;
            }
            if page.is_last {
                *served = serves;
                return Ok(());
            }
        }
    }

    /// Gives positions to what comes after a place, and announces it.
    fn take(&self, events: Vec<RecordedEvent>, after: Place) -> Result<(), StoreError> {
        let mut batch = Vec::new();
        let mut failed = None;
        for event in events {
            let (place, id) = (Place::from(event.position), event.id);
            if place <= after {
                continue;
            }
            self.manners.saw(&event);
            match self.ours(event) {
                Ok(Some(read)) => {
                    let at = (place, id);
                    let (position, recorded_at) =
                        self.index.add(read.stream, read.version, at, read.recorded_at);
                    let (id, decoded) = (read.id, self.tail.decoded(read.id));
                    let event = stored(read, position, recorded_at, decoded);
                    if let Some(own) = self.tail.own().get_mut(&id) {
                        *own = Own::Seen(Arc::clone(&event));
                    }
                    batch.push(event);
                }
                Ok(None) => self.index.pass(place),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if !batch.is_empty() {
            self.tail.live.publish(batch.into());
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Starts to look at what others append.
pub(super) fn start(shared: &Arc<Shared>) -> JoinHandle<()> {
    tokio::spawn(watch(Arc::clone(shared)))
}

async fn watch(shared: Arc<Shared>) {
    let mut written = Instant::now();
    let mut came = Instant::now();
    loop {
        let head = shared.tail.live.head();
        let looked = shared.look().await;
        if shared.tail.live.head() > head {
            came = Instant::now();
        }
        if written.elapsed() > Duration::from_secs(1) {
            written = Instant::now();
            if let Err(error) = shared.index.flush().await {
                tracing::warn!(%error, "positions.db cannot be written just now");
            }
        }
        let pause = match looked {
            Ok(()) => {
                let pause = if came.elapsed() < IDLE { POLL } else { IDLE_POLL };
                let weight = shared.tail.last_weight.load(Ordering::Relaxed);
                pause + Duration::from_millis(weight * 1_000 / BYTES_A_SECOND)
            }
            Err(error) => {
                tracing::warn!(%error, "what others append cannot be read just now");
                PAUSE
            }
        };
        sleep(pause).await;
    }
}

//! The end of the log, as this process knows it: what it appends itself is announced from memory,
//! what others append is read. Both go into one live feed, in order of position.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hakken_domain::envelope::{Position, StoredEvent};
use sqlx::postgres::PgListener;
use tokio::{sync::Notify, task::JoinHandle, time::sleep};

use super::{PAGE_EVENTS, Shared};
use crate::live::LiveFeed;

/// Looked for new events this often even when nobody tells of any.
const POLL: Duration = Duration::from_millis(250);

/// How long to wait before a lost connection is made anew.
const PAUSE: Duration = Duration::from_millis(500);

/// Where the append function tells of new events.
const CHANNEL: &str = "hakken_events";

type Batch = Arc<[Arc<StoredEvent>]>;

pub(super) struct Tail {
    pub(super) live: Arc<LiveFeed>,
    /// Own appends, by their first position, behind events of others that are not read yet.
    ahead: Mutex<BTreeMap<u64, Batch>>,
    behind: Notify,
}

impl Tail {
    pub(super) fn new(head: Position) -> Self {
        let live = Arc::new(LiveFeed::new(head));
        Self { live, ahead: Mutex::default(), behind: Notify::new() }
    }

    fn ahead(&self) -> MutexGuard<'_, BTreeMap<u64, Batch>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what this process has appended.
    pub(super) fn announce(&self, batch: &Batch) {
        let Some(first) = batch.first().map(|event| event.position.0) else { return };
        let mut ahead = self.ahead();
        ahead.insert(first, Arc::clone(batch));
        self.join(&mut ahead);
        if !ahead.is_empty() {
            self.behind.notify_one();
        }
    }

    /// Takes what was read behind the head.
    fn take(&self, events: Vec<Arc<StoredEvent>>) {
        let mut ahead = self.ahead();
        self.publish(&events.into());
        self.join(&mut ahead);
    }

    /// Publishes what follows the head without a gap. Under the lock, so that batches are
    /// announced in order.
    fn join(&self, ahead: &mut BTreeMap<u64, Batch>) {
        while let Some(entry) = ahead.first_entry() {
            if *entry.key() > self.live.head().0 + 1 {
                break;
            }
            self.publish(&entry.remove());
        }
    }

    /// Publishes a batch, but what is known already.
    fn publish(&self, batch: &Batch) {
        let head = self.live.head();
        match batch.partition_point(|event| event.position <= head) {
            0 => self.live.publish(Arc::clone(batch)),
            known => self.live.publish(batch[known..].into()),
        }
    }

    /// What to read: everything behind the head, up to what is in memory already.
    fn gap(&self) -> (Position, usize) {
        let ahead = self.ahead();
        let head = self.live.head();
        let until = ahead.first_key_value().map(|(first, _)| first - 1 - head.0);
        (head, until.map_or(PAGE_EVENTS, |gap| gap.min(PAGE_EVENTS as u64) as usize))
    }
}

/// Starts to listen, and to read what others append.
pub(super) fn start(shared: &Arc<Shared>) -> [JoinHandle<()>; 2] {
    let reader = tokio::spawn(read(Arc::clone(shared)));
    let listener = tokio::spawn(listen(Arc::clone(shared)));
    [reader, listener]
}

async fn read(shared: Arc<Shared>) {
    let tail = &shared.tail;
    loop {
        // Whoever tells is believed at once, and nobody is relied on.
        drop(tokio::time::timeout(POLL, tail.behind.notified()).await);
        loop {
            let (after, limit) = tail.gap();
            match shared.database.read_all(after, limit).await {
                Ok(events) if events.is_empty() => break,
                Ok(events) => tail.take(events),
                Err(error) => {
                    tracing::warn!(%error, "what others append cannot be read just now");
                    sleep(PAUSE).await;
                    break;
                }
            }
        }
    }
}

async fn listen(shared: Arc<Shared>) {
    let pool = shared.database.listeners();
    loop {
        if let Err(error) = listen_once(&shared, &pool).await {
            tracing::debug!(%error, "not told of new events just now; they are asked for");
        }
        sleep(PAUSE).await;
    }
}

async fn listen_once(shared: &Shared, pool: &sqlx::PgPool) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        let told = listener.try_recv().await?;
        // Nothing: the connection was lost, and whatever was told meanwhile with it.
        let own = told.is_some_and(|told| Some(told.process_id()) == shared.writer.session());
        if !own {
            shared.tail.behind.notify_one();
        }
    }
}

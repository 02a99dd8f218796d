//! The end of the log, as this process knows it: what it appends itself is announced from memory,
//! what others append is read. Both go into one live feed, in order of position.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use hakken_domain::envelope::{Position, StoredEvent};
use sqlx::postgres::PgListener;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{PAGE_EVENTS, Shared, read::FEW};
use crate::live::LiveFeed;

/// Looked for new events this often even when nobody tells of any.
const POLL: Duration = Duration::from_millis(250);

/// How long to wait before a lost connection is made anew.
const PAUSE: Duration = Duration::from_millis(500);

/// How often this process looks whether others listen, too.
const LOOK: Duration = Duration::from_secs(1);

/// Held by every session that listens. It goes with the session.
const LISTENING: &str = "SELECT pg_backend_pid() FROM pg_advisory_lock_shared(1751215726, 4)";

/// Whether another session than this one holds it in this database.
const OTHERS: &str = "SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 1751215726 AND objid = 4 AND objsubid = 2
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND pid <> $1)";

/// Where the append function tells of new events.
const CHANNEL: &str = "hakken_events";

type Batch = Arc<[Arc<StoredEvent>]>;

pub(super) struct Tail {
    pub(super) live: Arc<LiveFeed>,
    /// Own appends, by their first position, behind events of others that are not read yet.
    ahead: Mutex<BTreeMap<u64, Batch>>,
    behind: Notify,
    /// The server's name for the session that listens; 0 while there is none.
    listener: AtomicI32,
}

impl Tail {
    pub(super) fn new(head: Position) -> Self {
        let live = Arc::new(LiveFeed::new(head));
        let listener = AtomicI32::new(0);
        Self { live, ahead: Mutex::default(), behind: Notify::new(), listener }
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
    fn gap(&self) -> (Position, u64) {
        let ahead = self.ahead();
        let head = self.live.head();
        let until = ahead.first_key_value().map(|(first, _)| first - 1 - head.0);
        (head, until.unwrap_or(u64::MAX))
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
    let mut looked = Instant::now();
    loop {
        // Whoever tells is believed at once, and nobody is relied on.
        drop(tokio::time::timeout(POLL, tail.behind.notified()).await);
        if looked.elapsed() > LOOK {
            look(&shared).await;
            looked = Instant::now();
        }
        // Mostly there is little to read, and that is asked for as a little.
        let mut most = FEW;
        loop {
            let (after, gap) = tail.gap();
            match shared.database.read_all(after, gap.min(most as u64) as usize).await {
                Ok(events) if events.is_empty() => break,
                Ok(events) => {
                    if events.len() == FEW {
                        most = PAGE_EVENTS;
                    }
                    tail.take(events);
                }
                Err(error) => {
                    tracing::warn!(%error, "what others append cannot be read just now");
                    sleep(PAUSE).await;
                    break;
                }
            }
        }
    }
}

/// Tells the writer whether anybody else listens. Whoever began within the last second is not told
/// yet, and asks by itself; where nobody knows, everybody is told.
async fn look(shared: &Shared) {
    let own = shared.tail.listener.load(Ordering::Relaxed);
    let others = shared.database.ask(|connection| {
        sqlx::query_scalar::<_, bool>(OTHERS).bind(own).fetch_one(connection).boxed()
    });
    shared.writer.tell_others(others.await.unwrap_or(true));
}

async fn listen(shared: Arc<Shared>) {
    let pool = shared.database.listeners();
    loop {
        if let Err(error) = listen_once(&shared, &pool).await {
            tracing::debug!(%error, "not told of new events just now; they are asked for");
        }
        shared.tail.listener.store(0, Ordering::Relaxed);
        sleep(PAUSE).await;
    }
}

async fn listen_once(shared: &Shared, pool: &sqlx::PgPool) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    let session = sqlx::query_scalar(LISTENING).fetch_one(&mut listener).await?;
    shared.tail.listener.store(session, Ordering::Relaxed);
    // Nothing: the connection was lost, and whatever was told meanwhile with it.
    while let Some(told) = listener.try_recv().await? {
        if Some(told.process_id()) != shared.writer.session() {
            shared.tail.behind.notify_one();
        }
    }
    shared.tail.behind.notify_one();
    Ok(())
}

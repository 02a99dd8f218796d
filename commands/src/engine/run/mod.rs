//! The loop itself: what it waits for, and what it does then.

mod answer;
mod commit;
mod decide;
mod gather;
mod streams;
mod turns;

use std::{future::Future, pin::Pin, sync::Arc, sync::atomic::Ordering};

use futures_util::{StreamExt, stream::FuturesUnordered};
use hakken_domain::{envelope::StreamId, names::ActorRef};
use lru::LruCache;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tracing::warn;

use gather::Gathering;
use turns::{Taking, Turns};

use super::{
    CommandError, Counters, Health, Limits, Ports, Work, batch::Batch, entry::Entry, load::Loaded,
    shelf::Shelf,
};
use crate::{
    store::{Appended, StoreError},
    trace::{SpanName, Tracer},
};

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A stream that was read, by which reading, and what was found.
type Read = (StreamId, u64, Result<Loaded, StoreError>);

struct Loop {
    ports: Ports,
    limits: Limits,
    shelf: Arc<Shelf>,
    counters: Arc<Counters>,
    tracer: Option<Arc<dyn Tracer>>,
    /// The batch that is being answered, if it is sampled.
    batch_span: Option<SpanName>,
    streams: LruCache<StreamId, Entry>,
    cache_bytes: usize,
    open: Batch,
    /// Whether the open batch waits for those whom the last one answered.
    gathering: Gathering,
    turns: Turns,
    loads: FuturesUnordered<Task<Read>>,
    /// How many there were: each has its number.
    readings: u64,
    /// Snapshots that are being saved.
    saves: JoinSet<()>,
    expiry_actor: ActorRef,
    sole_writer: bool,
    /// Somebody has seen what is not durable yet, and may have asked for more because of it.
    glanced: bool,
    failed: bool,
}

/// A batch that is being made durable.
struct UnderWay {
    batch: Batch,
    began: Instant,
    task: Task<Result<Vec<Appended>, StoreError>>,
}

/// What the loop shares with those who ask it.
pub(super) struct Gear {
    pub(super) shelf: Arc<Shelf>,
    pub(super) counters: Arc<Counters>,
    pub(super) tracer: Option<Arc<dyn Tracer>>,
}

pub(super) async fn run(
    ports: Ports,
    limits: Limits,
    mut inbox: mpsc::UnboundedReceiver<Work>,
    gear: Gear,
    health: watch::Sender<Health>,
) {
    let Gear { shelf, counters, tracer } = gear;
    let sole_writer = ports.store.is_sole_writer();
    let turns = Turns::new(!sole_writer && ports.store.turn(Vec::new()).is_some());
    let mut this = Loop {
        sole_writer,
        ports,
        limits,
        shelf,
        counters,
        tracer,
        batch_span: None,
        streams: LruCache::unbounded(),
        cache_bytes: 0,
        open: Batch::default(),
        gathering: Gathering::default(),
        turns,
        loads: FuturesUnordered::new(),
        readings: 0,
        saves: JoinSet::new(),
        expiry_actor: ActorRef::new("system:expiry").expect("a good name"),
        glanced: false,
        failed: false,
    };
    match this.ports.store.head().await {
        Ok(head) => drop(this.counters.position.fetch_max(head.0, Ordering::AcqRel)),
        Err(error) => warn!(%error, "the store's head cannot be read yet"),
    }
    let mut under_way: Option<UnderWay> = None;
    // In the place of a batch under way: what is decided in a turn is the next one.
    let mut taking: Option<Taking> = None;
    let mut stopping = false;
    let mut drained = Vec::new();
    loop {
        let mut waits_until = None;
        if under_way.is_none() && taking.is_none() && this.turns.are_wanted() {
            taking = this.ask_for_turn();
        }
        let nothing_is_under_way = under_way.is_none() && taking.is_none();
        if nothing_is_under_way && !this.open.is_empty() {
            let may_wait =
                this.limits.gathers && this.open.events < this.limits.batch_events && !stopping;
            waits_until = this.gathering.until(Instant::now()).filter(|_| may_wait);
            if waits_until.is_none() {
                under_way = Some(this.begin(None));
            }
        }
        let writes = under_way.is_some() || taking.is_some();
        if stopping && !writes && this.loads.is_empty() && inbox.is_empty() {
            break;
        }
        let room = this.open.events < this.limits.batch_events;
        tokio::select! {
            biased;
            result = async { under_way.as_mut().expect("guarded").task.as_mut().await },
                if under_way.is_some() =>
            {
                let done = under_way.take().expect("guarded");
                this.finish(done, result);
            }
            result = async { taking.as_mut().expect("guarded").task.as_mut().await },
                if taking.is_some() =>
            {
                let taken = taking.take().expect("guarded");
                under_way = this.turned(taken, result);
            }
            Some((stream, reading, loaded)) = this.loads.next(), if !this.loads.is_empty() => {
                this.loaded(stream, reading, loaded);
            }
            count = inbox.recv_many(&mut drained, 1_024), if room && !stopping => {
                stopping |= count == 0;
                this.gathering.came(count);
                let now = this.ports.clock.now();
                for work in drained.drain(..) {
                    match work {
                        Work::Decide(pending) => this.take(pending, now),
                        Work::Stop => {
                            stopping = true;
                            inbox.close();
                        }
                    }
                }
            }
            () = async { sleep_until(waits_until.expect("guarded")).await },
                if waits_until.is_some() => {}
            // Only reached when nothing above can be waited for: the batch that is full and the
            // one that is not begun yet are the same one, which the next turn begins.
            else => {}
        }
        if stopping {
            while let Ok(work) = inbox.try_recv() {
                if let Work::Decide(pending) = work {
                    this.take(pending, this.ports.clock.now());
                }
            }
        }
        this.forget_old();
        if this.failed {
            break;
        }
    }
    this.shelf.clear();
    while this.saves.join_next().await.is_some() {}
    let end = if this.failed { Health::Failed } else { Health::Stopped };
    // Nobody may be listening.
    let _ = health.send(end);
    drop(this);
    inbox.close();
    while let Some(work) = inbox.recv().await {
        if let Work::Decide(pending) = work {
            pending.ask.fail(CommandError::Unavailable);
        }
    }
}

impl Loop {
    /// Keeps memory within its bound: the streams that were not used for longest go first.
    fn forget_old(&mut self) {
        let mut looked_at = 0;
        while self.cache_bytes > self.limits.cache_bytes && looked_at < 64 {
            looked_at += 1;
            let Some((stream, entry)) = self.streams.pop_lru() else { break };
            if entry.is_idle() && entry.waiting.is_empty() {
                self.cache_bytes = self.cache_bytes.saturating_sub(entry.weight);
            } else {
                self.streams.put(stream, entry);
            }
        }
        self.counters.streams.store(self.streams.len(), Ordering::Relaxed);
    }

    /// The store must not be written any more: everybody who waits is told.
    fn fail(&mut self, mut batch: Batch) {
        self.failed = true;
        let items = std::mem::take(&mut batch.items).into_iter();
        for item in items.chain(std::mem::take(&mut self.open.items)) {
            item.pending.ask.fail(CommandError::Unavailable);
        }
        for (_, entry) in self.streams.iter_mut() {
            for pending in entry.waiting.drain(..) {
                pending.ask.fail(CommandError::Unavailable);
            }
        }
    }
}

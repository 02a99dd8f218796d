//! The loop itself.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, sync::atomic::Ordering};

use futures_util::{StreamExt, stream::FuturesUnordered};
use hakken_domain::{
    Context, Outcome,
    envelope::{Decoded, Metadata, Position, StoredEvent, StreamId, StreamKind, Version},
    guard::Guard,
    names::ActorRef,
    time::Timestamp,
};
use lru::LruCache;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Duration, Instant},
};
use tracing::{debug, error, warn};

use super::{
    Ask, CommandError, Counters, Health, Limits, Pending, Ports, Receipt, Tenant, Work,
    batch::{Answer, Batch, Item, position_of},
    entry::{Entry, Facts},
    load::{self, Loaded},
};
use crate::store::{Appended, NewEvent, StoreError, StoreErrorKind};

/// Most snapshots on their way to the side store; each is a copy of its stream's state.
const MAX_SAVES: usize = 16;

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

struct Loop {
    ports: Ports,
    limits: Limits,
    counters: Arc<Counters>,
    streams: LruCache<StreamId, Entry>,
    cache_bytes: usize,
    open: Batch,
    loads: FuturesUnordered<Task<(StreamId, Result<Loaded, StoreError>)>>,
    /// Snapshots that are being saved.
    saves: JoinSet<()>,
    expiry_actor: ActorRef,
    sole_writer: bool,
    failed: bool,
}

/// What became of a question that was taken up.
enum Taken {
    /// Its answer is noted.
    Noted,
    /// Nothing but the assumption that the stream is empty stands behind its answer: the stream
    /// must be read first.
    Unfounded(Box<Pending>),
    /// No append stands behind its answer, and others may have written the stream since it was
    /// read: what they wrote must be read first.
    Unproven(Box<Pending>),
}

/// A batch that is being made durable.
struct UnderWay {
    batch: Batch,
    began: Instant,
    task: Task<Result<Vec<Appended>, StoreError>>,
}

pub(super) async fn run(
    ports: Ports,
    limits: Limits,
    mut inbox: mpsc::UnboundedReceiver<Work>,
    counters: Arc<Counters>,
    health: watch::Sender<Health>,
) {
    let mut this = Loop {
        sole_writer: ports.store.is_sole_writer(),
        ports,
        limits,
        counters,
        streams: LruCache::unbounded(),
        cache_bytes: 0,
        open: Batch::default(),
        loads: FuturesUnordered::new(),
        saves: JoinSet::new(),
        expiry_actor: ActorRef::new("system:expiry").expect("a good name"),
        failed: false,
    };
    match this.ports.store.head().await {
        Ok(head) => drop(this.counters.position.fetch_max(head.0, Ordering::AcqRel)),
        Err(error) => warn!(%error, "the store's head cannot be read yet"),
    }
    let mut under_way: Option<UnderWay> = None;
    let mut stopping = false;
    let mut drained = Vec::new();
    loop {
        if under_way.is_none() && !this.open.is_empty() {
            under_way = Some(this.begin());
        }
        if stopping && under_way.is_none() && this.loads.is_empty() && inbox.is_empty() {
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
            Some((stream, loaded)) = this.loads.next(), if !this.loads.is_empty() => {
                this.loaded(stream, loaded);
            }
            count = inbox.recv_many(&mut drained, 1_024), if room && !stopping => {
                stopping |= count == 0;
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
    /// Takes a question in: decides it if its stream is in memory, else lets the stream be read.
    fn take(&mut self, pending: Box<Pending>, now: Timestamp) {
        let stream = pending.stream;
        if self.streams.get(&stream).is_none() {
            let entry = if pending.creates && pending.attempts == 0 {
                let entry = Entry::assumed_empty(stream.kind);
                self.cache_bytes += entry.weight;
                entry
            } else {
                return self.reload(stream, vec![pending], Duration::ZERO);
            };
            self.streams.put(stream, entry);
        }
        let entry = self.streams.get_mut(&stream).expect("it was put there");
        let Some(mut facts) = entry.facts.take() else {
            return entry.waiting.push_back(pending);
        };
        let assumed = entry.assumed;
        match self.decide(pending, &mut facts, assumed, now) {
            Taken::Noted => {
                let entry = self.streams.get_mut(&stream).expect("nobody removed it");
                entry.facts = Some(facts);
            }
            Taken::Unfounded(pending) => self.reload(stream, vec![pending], Duration::ZERO),
            Taken::Unproven(pending) => self.read_on(stream, facts, pending),
        }
    }

    /// Reads what others may have written of a stream that is in memory, and decides then.
    fn read_on(&mut self, stream: StreamId, facts: Facts, mut pending: Box<Pending>) {
        let entry = self.streams.get_mut(&stream).expect("it is being decided");
        pending.fresh = true;
        entry.waiting.push_back(pending);
        let known = Loaded { facts, snapshot: entry.snapshot };
        let ports = self.ports.clone();
        self.loads
            .push(Box::pin(async move { (stream, load::read_on(&ports, stream, known).await) }));
    }

    fn begin_load(&mut self, stream: StreamId, delay: Duration) {
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.waiting.iter_mut().for_each(|pending| pending.fresh = true);
        }
        let ports = self.ports.clone();
        self.loads.push(Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            (stream, load::load(&ports, stream).await)
        }));
    }

    /// Decides one question on the facts, which it evolves, and notes its answer, if enough stands
    /// behind it.
    fn decide(
        &mut self,
        mut pending: Box<Pending>,
        facts: &mut Facts,
        assumed: bool,
        now: Timestamp,
    ) -> Taken {
        pending.attempts += 1;
        let stream = pending.stream;
        if let (Tenant::Of(asking), Some(owner)) = (pending.ask.tenant(), facts.owner)
            && Guard::NotYours.sees(asking != owner)
        {
            pending.ask.fail(CommandError::NotYours);
            return Taken::Noted;
        }
        if let Some(answer) = remembered(&pending, facts) {
            self.note(Item { pending, answer });
            return Taken::Noted;
        }
        let answer = match &mut pending.ask {
            Ask::Recall { .. } => Answer::NothingRecalled,
            Ask::Read { question, .. } => Answer::Seen(question(&facts.state, facts.version)),
            Ask::Execute { command, asker, .. } => {
                let due = facts.state.due(now);
                if Guard::HoldLapsed.sees(!due.is_empty()) {
                    let meta = expiry_metadata(facts, &self.expiry_actor);
                    Self::happen(&mut self.open, &self.ports, stream, facts, due, &meta, now);
                }
                let context = Context { now, actor: asker.actor.clone() };
                match facts.state.decide(command, &context) {
                    Err(rejection) => Answer::Rejected(rejection),
                    Ok(Outcome::AlreadyHappened) => Answer::AlreadyHappened,
                    Ok(Outcome::Happened(events)) => {
                        let meta = asker.metadata();
                        Answer::Happened(Self::happen(
                            &mut self.open,
                            &self.ports,
                            stream,
                            facts,
                            events,
                            &meta,
                            now,
                        ))
                    }
                }
            }
        };
        if assumed && facts.version == 0 {
            return Taken::Unfounded(pending);
        }
        let item = Item { pending, answer };
        let entry = self.streams.peek(&stream).expect("being decided");
        if entry.under_way == 0 && self.open.place(stream).is_none() && !self.is_proven(&item) {
            return Taken::Unproven(item.pending);
        }
        self.note(item);
        Taken::Noted
    }

    /// Is the answer good without any append behind it? What a stream remembers of a key never
    /// changes; anything else may be otherwise since another process wrote the stream.
    fn is_proven(&self, item: &Item) -> bool {
        use Answer::{Happened, KeyReused, Repeated};
        self.sole_writer
            || Guard::Unproven.is_out()
            || item.pending.fresh
            || matches!(item.answer, Happened(_) | Repeated { .. } | KeyReused)
    }

    /// Evolves the facts by events and adds them to the open batch.
    fn happen(
        open: &mut Batch,
        ports: &Ports,
        stream: StreamId,
        facts: &mut Facts,
        events: Vec<hakken_domain::Event>,
        meta: &Metadata,
        now: Timestamp,
    ) -> std::ops::Range<usize> {
        let expected = facts.version;
        let decoded = events.into_iter().map(|event| {
            let decoded = Decoded { event, meta: meta.clone() };
            facts.evolve(&decoded);
            // Encoded here, while the batch before is being made durable, and not when it is this
            // batch's turn: then everybody would wait for it.
            NewEvent::encode(ports.ids.event_id(now), decoded)
        });
        open.push(stream, expected, decoded)
    }

    /// Answers now if nothing undurable stands behind the answer, else when the batch behind it
    /// is durable.
    fn note(&mut self, item: Item) {
        let stream = item.pending.stream;
        let entry = self.streams.get_mut(&stream).expect("being decided");
        entry.open = self.open.place(stream).map_or(0, |at| self.open.parts[at].events.len());
        if Guard::NotDurable.is_out() {
            return self.answer(item.early(), &[]);
        }
        if entry.is_dirty() {
            // Also when only the batch under way stands behind it: batches become durable in
            // order, and its own answer is then a moment later, never earlier.
            self.open.items.push(item);
        } else {
            self.answer(item, &[]);
        }
    }

    /// Sends the open batch on its way.
    fn begin(&mut self) -> UnderWay {
        let mut batch = std::mem::take(&mut self.open);
        batch.compact();
        for part in &mut batch.parts {
            let entry = self.streams.get_mut(&part.stream).expect("dirty streams are kept");
            entry.under_way = part.events.len();
            entry.open = 0;
            let facts = entry.facts.as_ref().expect("dirty streams are in memory");
            let since = facts.version - entry.snapshot;
            let every =
                self.limits.snapshot_events.max((entry.weight / self.limits.snapshot_share) as u64);
            let snapshots = matches!(part.stream.kind, StreamKind::Inventory | StreamKind::Gate);
            if snapshots && since >= every {
                part.snapshot = Some(facts.clone());
                entry.snapshot = facts.version;
            }
        }
        let events = batch.take_events();
        let store = self.ports.store.clone();
        let now = self.ports.clock.now();
        let task: Task<_> = if events.is_empty() {
            Box::pin(async { Ok(Vec::new()) })
        } else {
            Box::pin(async move { store.append(events, now).await })
        };
        UnderWay { batch, began: Instant::now(), task }
    }

    /// A batch is durable, or not.
    fn finish(&mut self, done: UnderWay, result: Result<Vec<Appended>, StoreError>) {
        let UnderWay { batch, began, .. } = done;
        match result {
            Ok(appended) => {
                if !batch.parts.is_empty() {
                    let micros = began.elapsed().as_micros() as u64;
                    self.counters.batches.fetch_add(1, Ordering::Relaxed);
                    self.counters.commit_micros.fetch_add(micros, Ordering::Relaxed);
                }
                self.written(batch, appended);
            }
            Err(error) if Guard::StoreFailed.sees(error.kind != StoreErrorKind::Unavailable) => {
                error!(%error, "the write loop stops");
                self.fail(batch);
            }
            Err(error) => {
                warn!(%error, "batch not acknowledged; its streams are read again");
                self.undo(batch);
            }
        }
    }

    fn written(&mut self, mut batch: Batch, appended: Vec<Appended>) {
        assert_eq!(appended.len(), batch.parts.len(), "one answer for each append");
        let parts = std::mem::take(&mut batch.parts);
        let mut stored: Vec<Vec<Arc<StoredEvent>>> = Vec::with_capacity(parts.len());
        let mut conflicts = Vec::new();
        for (part, outcome) in parts.into_iter().zip(appended) {
            match outcome {
                Appended::Written(events) => {
                    self.counters.events.fetch_add(events.len() as u64, Ordering::Relaxed);
                    self.durable(part.stream, position_of(&events));
                    if let Some(snapshot) = part.snapshot {
                        self.keep_snapshot(part.stream, snapshot);
                    }
                    stored.push(events);
                }
                Appended::Conflict { newer } => {
                    self.counters.conflicts.fetch_add(1, Ordering::Relaxed);
                    conflicts.push((part.stream, newer));
                    stored.push(Vec::new());
                }
            }
        }
        let places: std::collections::HashMap<StreamId, usize> = batch.take_places();
        let mut again: Vec<(StreamId, Vec<Box<Pending>>)> =
            conflicts.iter().map(|(stream, _)| (*stream, Vec::new())).collect();
        for item in std::mem::take(&mut batch.items) {
            let stream = item.pending.stream;
            if let Some((_, list)) = again.iter_mut().find(|(s, _)| *s == stream) {
                list.push(item.pending);
                continue;
            }
            match places.get(&stream) {
                Some(at) => self.answer(item, &stored[*at]),
                None if self.is_proven(&item) => self.answer(item, &[]),
                // Only a batch that was under way already when it was asked stands behind it.
                None => self.take(item.pending, self.ports.clock.now()),
            }
        }
        for ((stream, newer), (_, list)) in conflicts.into_iter().zip(again) {
            self.conflict(stream, newer, list);
        }
    }

    fn durable(&mut self, stream: StreamId, position: Position) {
        self.counters.position.fetch_max(position.0, Ordering::AcqRel);
        let entry = self.streams.peek_mut(&stream).expect("dirty streams are kept");
        entry.under_way = 0;
        entry.assumed = false;
        if let Some(facts) = entry.facts.as_mut() {
            facts.position = position;
        }
        let change = entry.weigh();
        self.cache_bytes = self.cache_bytes.saturating_add_signed(change);
    }

    fn keep_snapshot(&mut self, stream: StreamId, facts: Facts) {
        while self.saves.try_join_next().is_some() {}
        if self.saves.len() >= MAX_SAVES {
            debug!(%stream, "no snapshot: those before it are not kept yet");
            return;
        }
        let side = self.ports.side.clone();
        self.saves.spawn(async move {
            let snapshot = load::encode(facts).await;
            if let Err(error) = side.save_snapshot(stream, snapshot).await {
                warn!(%stream, %error, "snapshot not kept; the next start takes longer");
            }
        });
    }

    /// Another process wrote the stream. If it was taken as empty, what the conflict brings is
    /// all there is, else it is read again.
    fn conflict(
        &mut self,
        stream: StreamId,
        newer: Vec<Arc<StoredEvent>>,
        mut again: Vec<Box<Pending>>,
    ) {
        again.extend(self.open.withdraw(stream));
        let entry = self.streams.get_mut(&stream).expect("dirty streams are kept");
        let complete = !newer.is_empty()
            && newer[0].version == 1
            && newer.len() < crate::store::MAX_CONFLICT_EVENTS;
        entry.under_way = 0;
        entry.open = 0;
        if entry.assumed && complete {
            let mut facts = Facts::empty(stream.kind);
            if load::fold(&mut facts, &newer).is_ok() {
                entry.assumed = false;
                entry.facts = Some(facts);
                let now = self.ports.clock.now();
                for pending in again {
                    if let Some(pending) = self.may_try_again(pending, true) {
                        self.take(pending, now);
                    }
                }
                return;
            }
        }
        let again = again.into_iter().filter_map(|p| self.may_try_again(p, true)).collect();
        self.reload(stream, again, Duration::ZERO);
    }

    /// It is not known what of a batch was written: its streams, and what was decided on top of
    /// them, are read and decided again. The keys tell what had happened.
    fn undo(&mut self, mut batch: Batch) {
        let mut streams: Vec<StreamId> = batch.parts.iter().map(|part| part.stream).collect();
        streams.extend(batch.items.iter().map(|item| item.pending.stream));
        streams.sort_unstable();
        streams.dedup();
        for stream in streams {
            let mut again = batch.withdraw(stream);
            if Guard::DecidedOnTop.stands() {
                again.extend(self.open.withdraw(stream));
            }
            let attempt = again.iter().map(|p| p.attempts).max().unwrap_or(1);
            let again: Vec<_> =
                again.into_iter().filter_map(|p| self.may_try_again(p, false)).collect();
            let delay = Duration::from_millis(10 << attempt.min(8));
            self.reload(stream, again, delay);
        }
    }

    /// Answers a question that was decided as often as it may be.
    fn may_try_again(&self, pending: Box<Pending>, conflict: bool) -> Option<Box<Pending>> {
        if pending.attempts < self.limits.attempts {
            return Some(pending);
        }
        let attempts = pending.attempts;
        let error =
            if conflict { CommandError::Contended { attempts } } else { CommandError::Unavailable };
        pending.ask.fail(error);
        None
    }

    /// Forgets a stream and reads it anew; what waits is decided then.
    fn reload(&mut self, stream: StreamId, again: Vec<Box<Pending>>, delay: Duration) {
        let mut waiting: VecDeque<_> = again.into();
        if let Some(old) = self.streams.pop(&stream) {
            self.cache_bytes = self.cache_bytes.saturating_sub(old.weight);
            waiting.extend(old.waiting);
        }
        if waiting.is_empty() {
            return;
        }
        self.streams.put(stream, Entry { waiting, ..Entry::loading() });
        self.begin_load(stream, delay);
    }

    fn loaded(&mut self, stream: StreamId, loaded: Result<Loaded, StoreError>) {
        let Some(entry) = self.streams.get_mut(&stream) else { return };
        let waiting = std::mem::take(&mut entry.waiting);
        match loaded {
            Ok(loaded) => {
                entry.facts = Some(loaded.facts);
                entry.snapshot = loaded.snapshot;
                let change = entry.weigh();
                self.cache_bytes = self.cache_bytes.saturating_add_signed(change);
                let now = self.ports.clock.now();
                for pending in waiting {
                    self.take(pending, now);
                }
            }
            Err(error) => {
                error!(%stream, %error, "stream cannot be read");
                self.streams.pop(&stream);
                for pending in waiting {
                    pending.ask.fail(CommandError::Unavailable);
                }
            }
        }
    }

    /// Answers a question. `events` are what was appended to its stream in its batch.
    fn answer(&self, item: Item, events: &[Arc<StoredEvent>]) {
        let Item { pending, answer } = item;
        let stream = pending.stream;
        let facts = self.streams.peek(&stream).and_then(|entry| entry.facts.as_ref());
        let position = facts.map_or(Position::default(), |facts| facts.position);
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

    /// Reads what an earlier command with the same key brought about, and answers with it.
    fn repeat(&self, pending: Pending, first: Version, count: u32) {
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

/// What the stream remembers of the question's key.
fn remembered(pending: &Pending, facts: &Facts) -> Option<Answer> {
    let known = facts.recall(pending.key_hash?).filter(|_| Guard::KeyKnown.stands())?;
    let (_, request) = pending.ask.asker()?.key.as_ref()?;
    Some(if Guard::KeyReused.sees(known.request != request.0) {
        Answer::KeyReused
    } else {
        Answer::Repeated { first: known.first, count: known.count }
    })
}

/// Nobody asked for what is due by time alone.
fn expiry_metadata(facts: &Facts, actor: &ActorRef) -> Metadata {
    Metadata {
        organizer: facts.owner.flatten(),
        actor: actor.clone(),
        key: None,
        request: None,
        cause: None,
        correlation: None,
    }
}

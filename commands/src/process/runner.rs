//! Runs a process manager: events of one stream one after the other, of different streams side
//! by side, and a checkpoint before the oldest that is not answered yet.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId},
    guard::Guard,
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::Instant,
};
use tracing::{debug, error, info, warn};

use super::{Duty, Ledger};
use crate::{
    store::{EventStore, SideStore, StoreError},
    trace::{Tracer, within},
};

/// Something stood in the way; the event is answered again, from the beginning, a little later.
#[derive(Debug)]
pub struct Retry(pub String);

/// Answers events with commands.
pub trait Process: Send + Sync + 'static {
    /// Of its checkpoint. Never changes.
    fn name(&self) -> &'static str;

    /// Does it answer this event? Its kind alone tells.
    fn concerns(&self, event: &StoredEvent) -> bool;

    /// Tells which of its events later ones prove answered; none: all of them are answered again
    /// where the checkpoint is lost.
    fn ledger(&self) -> Option<Box<dyn Ledger>> {
        None
    }

    /// Answers the event. May be called again for the same event, also after it has succeeded.
    fn react<'a>(&'a self, event: &'a StoredEvent) -> BoxFuture<'a, Result<(), Retry>>;
}

/// Events that may be unanswered at once; no more are read until one is answered.
const QUEUE: usize = 2_000;
const CHECKPOINT_EVERY: Duration = Duration::from_millis(500);
/// How often it is saved where others wait for it: who pays in another process asks for it there.
const SHARED_CHECKPOINT_EVERY: Duration = Duration::from_millis(25);
/// How often who waits here asks how far the process in charge is.
const ASK_EVERY: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Events read at once when a process looks how much of a long history is answered.
const PAGE: usize = 4_096;

/// How far a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Every event up to here is answered.
    pub done: Position,
    /// Events read but not answered.
    pub waiting: usize,
    /// Answers that had to be tried again, since the start.
    pub retries: u64,
}

#[derive(Default)]
struct Shared {
    seen: Position,
    unanswered: BTreeSet<Position>,
    retries: u64,
    waiters: HashMap<Position, Vec<oneshot::Sender<()>>>,
}

impl Shared {
    fn done(&self) -> Position {
        self.unanswered.first().map_or(self.seen, |first| Position(first.0 - 1))
    }

    fn is_done(&self, position: Position) -> bool {
        position <= self.seen && !self.unanswered.contains(&position)
    }

    fn wake_done(&mut self) {
        let done: Vec<Position> =
            self.waiters.keys().copied().filter(|at| self.is_done(*at)).collect();
        for position in done {
            self.wake(position);
        }
    }

    fn wake(&mut self, position: Position) {
        for waiter in self.waiters.remove(&position).unwrap_or_default() {
            // Who waited may have given up.
            let _ = waiter.send(());
        }
    }
}

/// A process manager that runs.
pub struct ProcessHandle {
    name: &'static str,
    shared: Arc<Mutex<Shared>>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ProcessHandle {
    /// Of its checkpoint.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let shared = lock(&self.shared);
        Progress { done: shared.done(), waiting: shared.unanswered.len(), retries: shared.retries }
    }

    /// Waits until the event at this position is answered; false if that takes longer.
    pub async fn wait_for(&self, position: Position, timeout: Duration) -> bool {
        let waiter = {
            let mut shared = lock(&self.shared);
            if shared.is_done(position) {
                return true;
            }
            let (sender, receiver) = oneshot::channel();
            let waiters = shared.waiters.entry(position).or_default();
            // Who gave up is forgotten, so that an event without an answer gathers nobody.
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.push(sender);
            receiver
        };
        matches!(tokio::time::timeout(timeout, waiter).await, Ok(Ok(())))
    }

    /// Takes no further event, lets those under way come to a step's end, saves the checkpoint.
    pub async fn stop(&self) {
        // An error means that the task has ended already.
        let _ = self.stop.send(true);
        let task = lock(&self.task).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            error!(process = self.name, %error, "process did not end well");
        }
    }
}

/// Starts a process where its checkpoint says. While another process of the same store is on
/// duty it answers nothing, and learns from the checkpoint how far that one is. If more than
/// `far_behind` events follow, it first looks what of them is answered already.
pub fn start(
    process: Arc<dyn Process>,
    store: Arc<dyn EventStore>,
    side: Arc<dyn SideStore>,
    duty: Duty,
    far_behind: u64,
) -> ProcessHandle {
    start_traced(process, store, side, duty, far_behind, None)
}

/// The same; the answers to what was sampled are told to the tracer.
pub(crate) fn start_traced(
    process: Arc<dyn Process>,
    store: Arc<dyn EventStore>,
    side: Arc<dyn SideStore>,
    duty: Duty,
    far_behind: u64,
    tracer: Option<Arc<dyn Tracer>>,
) -> ProcessHandle {
    let shared = Arc::new(Mutex::new(Shared::default()));
    let (stop, stopped) = watch::channel(false);
    let name = process.name();
    let runner = Runner {
        process,
        store,
        side,
        duty,
        tracer,
        far_behind,
        known: Known::default(),
        shared: shared.clone(),
        chains: HashMap::new(),
        under_way: FuturesUnordered::new(),
        saved: Position::default(),
    };
    let task = tokio::spawn(runner.run(stopped));
    ProcessHandle { name, shared, stop, task: Mutex::new(Some(task)) }
}

struct Runner {
    process: Arc<dyn Process>,
    store: Arc<dyn EventStore>,
    side: Arc<dyn SideStore>,
    duty: Duty,
    tracer: Option<Arc<dyn Tracer>>,
    far_behind: u64,
    known: Known,
    shared: Arc<Mutex<Shared>>,
    /// Events that wait for the one of the same stream that is being answered.
    chains: HashMap<StreamId, VecDeque<Arc<StoredEvent>>>,
    under_way: FuturesUnordered<BoxFuture<'static, Arc<StoredEvent>>>,
    saved: Position,
}

/// What a look at a long history has told.
#[derive(Default)]
struct Known {
    /// How far it went.
    until: Position,
    /// What of it is to be answered.
    open: HashSet<Position>,
}

impl Known {
    fn is_answered(&self, position: Position) -> bool {
        position <= self.until && !self.open.contains(&position)
    }
}

impl Runner {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let name = self.process.name();
        let mut pause = Pause::default();
        loop {
            if !self.duty.is_on() {
                if self.stand_by(&mut stopped).await {
                    return;
                }
                continue;
            }
            let from = match self.side.load_checkpoint(name).await {
                Ok(position) => position.max(lock(&self.shared).seen),
                Err(error) => {
                    warn!(process = name, %error, "checkpoint cannot be read");
                    if pause.or_stopped(&mut stopped).await {
                        return;
                    }
                    continue;
                }
            };
            {
                let mut shared = lock(&self.shared);
                shared.seen = from;
            }
            let mut duty = self.duty.clone();
            tokio::select! {
                biased;
                () = told(&mut stopped) => break,
                () = duty.until(false) => continue,
                looked = look_back(&*self.process, &*self.store, from, self.far_behind) => {
                    match looked {
                        Ok(known) => self.known = known,
                        Err(error) => {
                            warn!(process = name, %error, "the history cannot be read");
                            if pause.or_stopped(&mut stopped).await {
                                return;
                            }
                            continue;
                        }
                    }
                }
            }
            let ended = self.follow(from, &mut stopped, &mut pause).await;
            if ended || pause.or_stopped(&mut stopped).await {
                break;
            }
        }
        self.save_checkpoint().await;
    }

    /// Answers nothing until it is on duty (false) or told to stop (true). What was being answered
    /// is left as a crash would leave it: whoever is on duty answers it.
    async fn stand_by(&mut self, stopped: &mut watch::Receiver<bool>) -> bool {
        self.under_way.clear();
        self.chains.clear();
        self.saved = Position::default();
        {
            let mut shared = lock(&self.shared);
            shared.unanswered.clear();
            shared.seen = Position::default();
        }
        let mut duty = self.duty.clone();
        loop {
            tokio::select! {
                biased;
                () = told(stopped) => return true,
                () = duty.until(true) => return false,
                () = tokio::time::sleep(ASK_EVERY) => self.ask_how_far().await,
            }
        }
    }

    /// Wakes those who wait for what the process on duty has answered.
    async fn ask_how_far(&mut self) {
        if lock(&self.shared).waiters.is_empty() {
            return;
        }
        match self.side.load_checkpoint(self.process.name()).await {
            Ok(position) => {
                let mut shared = lock(&self.shared);
                shared.seen = position;
                shared.wake_done();
            }
            Err(error) => debug!(process = self.process.name(), %error, "not known how far"),
        }
    }

    /// Follows the events until told to stop (true), the feed fails or another process is on duty
    /// (false).
    async fn follow(
        &mut self,
        from: Position,
        stopped: &mut watch::Receiver<bool>,
        pause: &mut Pause,
    ) -> bool {
        let mut feed = self.store.follow(from);
        let every = if self.duty.is_shared() { SHARED_CHECKPOINT_EVERY } else { CHECKPOINT_EVERY };
        let mut save_at = Instant::now() + every;
        let mut duty = self.duty.clone();
        loop {
            let room = lock(&self.shared).unanswered.len() < QUEUE;
            // In this order: what is rarely ready first, so that nothing waits for ever.
            tokio::select! {
                biased;
                () = told(stopped) => return true,
                () = duty.until(false) => return false,
                () = tokio::time::sleep_until(save_at) => {
                    self.save_checkpoint().await;
                    save_at = Instant::now() + every;
                }
                Some(event) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.answered(&event);
                }
                batch = feed.next(), if room => match batch {
                    Some(Ok(events)) => {
                        pause.reset();
                        self.take(events);
                    }
                    Some(Err(error)) => {
                        warn!(process = self.process.name(), %error, "feed failed");
                        return false;
                    }
                    None => return false,
                },
            }
        }
    }

    fn take(&mut self, events: Vec<Arc<StoredEvent>>) {
        let Some(last) = events.last().map(|event| event.position) else { return };
        let mut begin = Vec::new();
        {
            let mut shared = lock(&self.shared);
            for event in events {
                let concerned = self.process.concerns(&event)
                    && event.position > shared.seen
                    && !self.known.is_answered(event.position)
                    && is_understood(&event);
                if concerned {
                    shared.unanswered.insert(event.position);
                    match self.chains.get_mut(&event.stream) {
                        Some(chain) => chain.push_back(event),
                        None => {
                            self.chains.insert(event.stream, VecDeque::new());
                            begin.push(event);
                        }
                    }
                }
            }
            shared.seen = shared.seen.max(last);
            shared.wake_done();
        }
        for event in begin {
            self.begin(event);
        }
    }

    fn begin(&mut self, event: Arc<StoredEvent>) {
        let process = self.process.clone();
        let shared = self.shared.clone();
        let tracer = self.tracer.as_ref();
        let span = tracer.and_then(|tracer| tracer.answering(process.name(), event.id));
        let name = span.as_ref().map(|span| span.name());
        self.under_way.push(Box::pin(async move {
            let mut pause = Pause::default();
            let mut retries = 0;
            while let Err(Retry(reason)) = within(name, process.react(&event)).await {
                retries += 1;
                lock(&shared).retries += 1;
                let (process, position) = (process.name(), event.position);
                warn!(process, %position, reason, "answer to be tried again");
                pause.wait().await;
            }
            if let Some(span) = span {
                span.end(retries);
            }
            event
        }));
    }

    fn answered(&mut self, event: &Arc<StoredEvent>) {
        {
            let mut shared = lock(&self.shared);
            shared.unanswered.remove(&event.position);
            shared.wake(event.position);
        }
        let chain = self.chains.get_mut(&event.stream).expect("its chain is there");
        match chain.pop_front() {
            Some(next) => self.begin(next),
            None => {
                self.chains.remove(&event.stream);
            }
        }
    }

    async fn save_checkpoint(&mut self) {
        let done = {
            let shared = lock(&self.shared);
            if Guard::Unanswered.is_out() { shared.seen } else { shared.done() }
        };
        if done <= self.saved {
            return;
        }
        match self.side.save_checkpoint(self.process.name(), done).await {
            Ok(()) => {
                debug!(process = self.process.name(), position = %done, "checkpoint");
                self.saved = done;
            }
            Err(error) => warn!(process = self.process.name(), %error, "checkpoint not saved"),
        }
    }
}

/// The projections stop at an event that cannot be read, and show it; no process answers it.
fn is_understood(event: &StoredEvent) -> bool {
    event
        .decoded()
        .inspect_err(|error| error!(position = %event.position, %error, "event not understood"))
        .is_ok()
}

/// Where many events follow, reads them all and tells what of them is answered.
async fn look_back(
    process: &dyn Process,
    store: &dyn EventStore,
    from: Position,
    far_behind: u64,
) -> Result<Known, StoreError> {
    let until = store.head().await?;
    if until.0.saturating_sub(from.0) <= far_behind {
        return Ok(Known::default());
    }
    let Some(mut ledger) = process.ledger() else { return Ok(Known::default()) };
    info!(process = process.name(), %from, %until, "looking what is answered already");
    let mut seen = from;
    while seen < until {
        let events = store.read_all(seen, PAGE).await?;
        let Some(last) = events.last().map(|event| event.position) else { break };
        for event in events.iter().take_while(|event| event.position <= until) {
            ledger.note(event);
        }
        seen = last;
        tokio::task::yield_now().await;
    }
    let open = ledger.open();
    info!(process = process.name(), %until, open = open.len(), "what is open is answered now");
    Ok(Known { until, open })
}

/// Waits longer after each failure.
#[derive(Default)]
struct Pause(Duration);

impl Pause {
    fn reset(&mut self) {
        self.0 = Duration::ZERO;
    }

    async fn wait(&mut self) {
        self.0 = (self.0 * 2).clamp(Duration::from_millis(20), LONGEST_PAUSE);
        tokio::time::sleep(self.0).await;
    }

    /// Waits; true if told to stop meanwhile.
    async fn or_stopped(&mut self, stopped: &mut watch::Receiver<bool>) -> bool {
        tokio::select! {
            biased;
            () = told(stopped) => true,
            () = self.wait() => false,
        }
    }
}

/// Waits until told to stop.
pub(super) async fn told(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could tell: that is a reason to stop, too.
    drop(stop.wait_for(|stop| *stop).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> ProcessHandle {
        let (stop, _) = watch::channel(false);
        let shared = Arc::<Mutex<Shared>>::default();
        ProcessHandle { name: "test", shared, stop, task: Mutex::new(None) }
    }

    #[tokio::test]
    async fn an_event_without_an_answer_gathers_nobody_who_gave_up() {
        let handle = handle();
        let (never, patience) = (Position(7), Duration::ZERO);
        for _ in 0..1_000 {
            assert!(!handle.wait_for(never, patience).await);
        }
        let waiters = lock(&handle.shared).waiters[&never].len();
        assert!(waiters <= 1, "{waiters} of 1,000 who gave up");
        // Who waits still is told.
        let answered = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut shared = lock(&handle.shared);
            shared.seen = never;
            shared.wake(never);
        };
        let waits = handle.wait_for(never, Duration::from_secs(1));
        let (told, ()) = tokio::join!(waits, answered);
        assert!(told);
        assert!(lock(&handle.shared).waiters.is_empty());
    }
}

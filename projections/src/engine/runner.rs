//! The task that keeps a projection's served rows up to date.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use hakken_domain::{envelope::StoredEvent, names::EventId};
use tokio::{sync::watch, time::Instant};
use tracing::{error, info, warn};

use super::{
    Control, MAX_BATCH, RunState, Shared, Slot,
    bulk::{Bulk, Step},
    folding::{Fault, Folding, Poison},
    lock,
    pace::Pace,
    skips::Skips,
};
use crate::{
    rows::{Build, BuildId, Checkpoint},
    trace::{FoldSpan, Sampled},
};

/// Positions behind the newest event from which a projection catches up in bulk.
const FAR_BEHIND: u64 = 20_000;
/// How often a stopped projection asks whether operators let it leave its event out.
const LOOK_FOR_SKIPS: Duration = Duration::from_secs(2);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// Why a drive ended.
enum End {
    /// Somebody wants something: a pause, the end, or another build is served.
    Asked,
    Poisoned(Poison),
    /// The feed or the rows failed.
    Failed(String),
}

impl End {
    fn of(fault: Fault) -> Self {
        match fault {
            Fault::Rows(error) => Self::Failed(error.to_string()),
            Fault::Feed(error) => Self::Failed(error.to_string()),
            Fault::Event(poison) => Self::Poisoned(poison),
        }
    }
}

/// Runs until the engine closes.
pub(super) async fn run(shared: Arc<Shared>, slot: Arc<Slot>) {
    let mut control = slot.control.subscribe();
    let mut failures = 0_u32;
    let mut suspect = None;
    loop {
        let Control { paused, closing, tries } = *control.borrow_and_update();
        if closing {
            return;
        }
        if paused {
            set(&slot, RunState::Paused);
            wait(&mut control, |control| !control.paused).await;
            continue;
        }
        let name = slot.projection.name;
        let before = slot.checkpoint().position;
        let driven = AssertUnwindSafe(drive(&shared, &slot, &mut control)).catch_unwind();
        // A bug in one fold must not end its projection without a word.
        let bug = |_| End::Failed("a bug: the projection panicked".to_owned());
        match driven.await.unwrap_or_else(bug) {
            End::Asked => failures = 0,
            // What is remembered may be behind what is stored, after a commit whose answer was
            // lost: an event is to blame only if it is so again from what is stored.
            End::Poisoned(poison) if suspect != Some(poison.position) => {
                let Poison { position, kind, stream, reason, .. } = poison;
                warn!(projection = name, %position, kind, %stream, reason, "tried once more");
                suspect = Some(position);
                tokio::time::sleep(FIRST_RETRY).await;
            }
            End::Poisoned(poison) => {
                error!(
                    projection = name,
                    position = %poison.position,
                    kind = poison.kind,
                    stream = %poison.stream,
                    reason = poison.reason,
                    "the projection stops at an event that it cannot fold"
                );
                let event = poison.event;
                set(&slot, RunState::Stopped(poison));
                let skipped = skipped(&shared, name, event);
                tokio::select! {
                    biased;
                    () = wait(&mut control, |control| control.tries != tries) => {}
                    () = skipped => {}
                }
                info!(projection = name, "the projection tries again");
            }
            End::Failed(reason) => {
                let progress = slot.checkpoint().position > before;
                failures = if progress { 1 } else { failures.saturating_add(1) };
                let pause = FIRST_RETRY.saturating_mul(1 << failures.min(10)).min(LAST_RETRY);
                warn!(projection = name, reason, ?pause, "the projection is interrupted");
                set(&slot, RunState::Retrying { reason, failures });
                tokio::select! {
                    biased;
                    _ = control.changed() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

fn set(slot: &Slot, state: RunState) {
    *lock(&slot.state) = state;
}

/// Waits for this, or for the end.
async fn wait(control: &mut watch::Receiver<Control>, wanted: impl Fn(&Control) -> bool) {
    // The sender lives in the slot, as long as this task.
    let _ = control.wait_for(|control| control.closing || wanted(control)).await;
}

/// Waits until an event is to be left out. Another process may have recorded that.
async fn skipped(shared: &Shared, projection: &str, event: EventId) {
    loop {
        tokio::time::sleep(LOOK_FOR_SKIPS).await;
        // What cannot be read now is read the next time.
        let skips = shared.read_skips().await;
        if skips.is_ok_and(|skips| skips.of(projection).contains(&event)) {
            return;
        }
    }
}

/// Follows the feed from the served build's checkpoint.
async fn drive(shared: &Shared, slot: &Slot, control: &mut watch::Receiver<Control>) -> End {
    let build = slot.served();
    let gate = slot.gate.lock().await;
    let checkpoint = match recall(shared, slot, *build).await {
        Ok(checkpoint) => checkpoint,
        Err(reason) => return End::Failed(reason),
    };
    drop(gate);
    let skips = match shared.read_skips().await {
        Ok(skips) => skips,
        Err(error) => return End::Failed(error.to_string()),
    };
    let mut folding = shared.folding(slot.projection, *build, checkpoint, &skips);
    let caught_up = catch_up(shared, slot, (&build, &skips), &mut folding, control).await;
    if let Err(end) = caught_up {
        return end;
    }
    let checkpoint = folding.checkpoint;
    let mut stream = shared.feed.follow(checkpoint.position);
    set(slot, RunState::Running);
    let mut pace = Pace::new(&slot.wanted, slot.observer.is_some());
    loop {
        let next = tokio::select! {
            biased;
            _ = control.changed() => return End::Asked,
            next = stream.next() => next,
        };
        let mut events = match next {
            Some(Ok(events)) => events,
            Some(Err(error)) => return End::Failed(error.to_string()),
            None => return End::Failed("the feed ended".to_owned()),
        };
        tokio::select! {
            biased;
            _ = control.changed() => return End::Asked,
            () = pace.turn(folding.checkpoint.position) => {}
        }
        let ended = take_ready(&mut stream, &mut events);
        let _gate = slot.gate.lock().await;
        if !Arc::ptr_eq(&slot.served(), &build) {
            return End::Asked;
        }
        let tracing = Tracing::begin(shared, slot.projection.name, &events);
        let outcome = folding.process(events).await;
        if let Some(tracing) = tracing {
            tracing.end(folding.checkpoint, outcome.is_ok());
        }
        match outcome {
            Ok(folded) => {
                slot.moved(&folded.changes, folding.checkpoint);
                if let Some(poison) = folded.poison {
                    return End::Poisoned(poison);
                }
            }
            Err(fault) => return End::of(fault),
        }
        if let Some(reason) = ended {
            return End::Failed(reason);
        }
    }
}

/// A batch with events of sampled requests.
struct Tracing {
    sampled: Box<dyn Sampled>,
    projection: &'static str,
    began: Instant,
    events: usize,
}

impl Tracing {
    fn begin(
        shared: &Shared,
        projection: &'static str,
        events: &[Arc<StoredEvent>],
    ) -> Option<Self> {
        let sampled = shared.tracer.get()?.sampled(events)?;
        Some(Self { sampled, projection, began: Instant::now(), events: events.len() })
    }

    fn end(self, checkpoint: Checkpoint, committed: bool) {
        let Self { sampled, projection, began, events } = self;
        let (ended, position) = (Instant::now(), checkpoint.position);
        sampled.folded(&FoldSpan { projection, began, ended, events, position, committed });
    }
}

/// Folds in bulk up to near where the events end: what has to be followed then is little. Meets
/// it an event that it cannot fold, the rest is left to who follows event by event and stops
/// right before that one.
async fn catch_up(
    shared: &Shared,
    slot: &Slot,
    (build, skips): (&Arc<BuildId>, &Skips),
    folding: &mut Folding,
    control: &mut watch::Receiver<Control>,
) -> Result<(), End> {
    let head = shared.feed.head().await.map_err(|error| End::Failed(error.to_string()))?;
    if head.0.saturating_sub(folding.checkpoint.position.0) < FAR_BEHIND {
        return Ok(());
    }
    set(slot, RunState::Running);
    let mut bulk = Bulk::new(slot.projection);
    loop {
        let step = tokio::select! {
            biased;
            _ = control.changed() => return Err(End::Asked),
            step = bulk.step(shared, folding, head) => step,
        };
        let (is_over, is_full) = match step {
            Ok(step) => (matches!(step, Step::Reached | Step::Ended), step == Step::Full),
            Err(Fault::Event(_)) => {
                *folding = shared.folding(slot.projection, **build, folding.checkpoint, skips);
                return Ok(());
            }
            Err(fault) => return Err(End::of(fault)),
        };
        if is_over || is_full {
            let _gate = slot.gate.lock().await;
            if !Arc::ptr_eq(&slot.served(), build) {
                return Err(End::Asked);
            }
            let changes = folding.commit().await.map_err(|error| End::of(error.into()))?;
            bulk.written();
            slot.moved(&changes, folding.checkpoint);
        }
        if is_over {
            return Ok(());
        }
    }
}

/// Adds what is ready already, so that one transaction takes it all. Says why the feed ended, if
/// it did.
fn take_ready(
    stream: &mut crate::feed::EventStream,
    events: &mut Vec<Arc<StoredEvent>>,
) -> Option<String> {
    while events.len() < MAX_BATCH {
        match stream.next().now_or_never() {
            None => return None,
            Some(Some(Ok(more))) => events.extend(more),
            Some(Some(Err(error))) => return Some(error.to_string()),
            Some(None) => return Some("the feed ended".to_owned()),
        }
    }
    None
}

/// How far a build is. What is stored counts, not what this process remembers: a commit may have
/// failed after it was written. The gate is held by the caller.
pub(super) async fn recall(
    shared: &Shared,
    slot: &Slot,
    build: BuildId,
) -> Result<Checkpoint, String> {
    let builds = shared.rows.builds().await.map_err(|error| error.to_string())?;
    let found = builds.into_iter().find(|found: &Build| found.id == build);
    let stored = found
        .map(|found| found.checkpoint)
        .ok_or_else(|| format!("build {} is not in the row store any more", build.0))?;
    if stored != slot.checkpoint() && *slot.served() == build {
        if let Some(observer) = &slot.observer {
            observer.replaced();
        }
        slot.checkpoint.send_replace(stored);
    }
    Ok(stored)
}

//! The sweeper: records that a hold's time has passed when nobody asks. It needs no command key:
//! sweeping twice changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;
use hakken_domain::{
    Event,
    envelope::{Position, StoredEvent, StreamId},
    guard::Guard,
    inventory,
    names::{ActorRef, HoldId, OrganizerId},
    time::Timestamp,
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tracing::{error, warn};

use super::{Duty, runner::told};
use crate::{
    engine::{Asker, Engine, Request},
    store::{EventStore, SideStore},
};

/// Of its checkpoint.
pub(super) const NAME: &str = "sweeper";
const EVERY: Duration = Duration::from_secs(1);
const CHECKPOINT_EVERY: u32 = 10;

/// The live holds, as the events tell.
#[derive(Default)]
struct Holds {
    live: HashMap<HoldId, Live>,
    by_end: BTreeSet<(Timestamp, HoldId)>,
    /// Positions at which the live holds began: the checkpoint stays before the first.
    began: BTreeMap<Position, HoldId>,
    seen: Position,
}

struct Live {
    inventory: StreamId,
    organizer: Option<OrganizerId>,
    ends: Timestamp,
    began: Position,
}

impl Holds {
    fn fold(&mut self, event: &StoredEvent) {
        self.seen = event.position;
        let Ok(decoded) = event.decoded() else { return };
        let Event::Inventory(fact) = &decoded.event else { return };
        match fact {
            inventory::Event::SeatsHeld(held) => {
                self.by_end.insert((held.expires_at, held.hold));
                self.began.insert(event.position, held.hold);
                let live = Live {
                    inventory: event.stream,
                    organizer: decoded.meta.organizer,
                    ends: held.expires_at,
                    began: event.position,
                };
                self.live.insert(held.hold, live);
            }
            inventory::Event::HoldExtended(extended) => {
                if let Some(live) = self.live.get_mut(&extended.hold) {
                    self.by_end.remove(&(live.ends, extended.hold));
                    live.ends = extended.expires_at;
                    self.by_end.insert((live.ends, extended.hold));
                }
            }
            inventory::Event::HoldConfirmed(over) | inventory::Event::OrderReseated(over) => {
                self.end(over.hold);
            }
            inventory::Event::HoldReleased(over) | inventory::Event::HoldExpired(over) => {
                self.end(over.hold);
            }
            inventory::Event::SalesOpened(_)
            | inventory::Event::SalesRulesChanged(_)
            | inventory::Event::SalesClosed(_)
            | inventory::Event::SeatsBlocked(_)
            | inventory::Event::SeatsUnblocked(_)
            | inventory::Event::AllotmentSet(_)
            | inventory::Event::PlacesReturned(_) => {}
        }
    }

    fn end(&mut self, hold: HoldId) {
        if let Some(live) = self.live.remove(&hold) {
            self.by_end.remove(&(live.ends, hold));
            self.began.remove(&live.began);
        }
    }

    /// Shows with a hold whose time has passed.
    fn lapsed(&self, now: Timestamp) -> BTreeMap<StreamId, Option<OrganizerId>> {
        self.by_end
            .iter()
            .take_while(|(ends, _)| *ends <= now)
            .filter_map(|(_, hold)| self.live.get(hold))
            .map(|live| (live.inventory, live.organizer))
            .collect()
    }

    /// From here all live holds can be found again.
    fn checkpoint(&self) -> Position {
        let first = self.began.first_key_value().filter(|_| Guard::HoldLive.stands());
        first.map_or(self.seen, |(first, _)| Position(first.0 - 1))
    }
}

/// A sweeper that runs.
pub struct Sweeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sweeper {
    /// Stops it and saves its checkpoint.
    pub async fn stop(self) {
        // An error means that the task has ended already.
        let _ = self.stop.send(true);
        if let Err(error) = self.task.await {
            error!(%error, "the sweeper did not end well");
        }
    }
}

/// Starts sweeping, while on duty.
pub fn start_sweeper(
    engine: Engine,
    store: Arc<dyn EventStore>,
    side: Arc<dyn SideStore>,
    duty: Duty,
) -> Sweeper {
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(run(engine, store, side, duty, stopped));
    Sweeper { stop, task }
}

async fn run(
    engine: Engine,
    store: Arc<dyn EventStore>,
    side: Arc<dyn SideStore>,
    mut duty: Duty,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            biased;
            () = told(&mut stopped) => return,
            () = duty.until(true) => {}
        }
        tokio::select! {
            biased;
            () = sweep_on(&engine, &*store, &*side, &mut stopped) => return,
            () = duty.until(false) => {}
        }
    }
}

/// Sweeps from the checkpoint on until told to stop.
async fn sweep_on(
    engine: &Engine,
    store: &dyn EventStore,
    side: &dyn SideStore,
    stopped: &mut watch::Receiver<bool>,
) {
    let mut holds = Holds::default();
    match side.load_checkpoint(NAME).await {
        Ok(position) => holds.seen = position,
        Err(error) => warn!(%error, "sweeper's checkpoint cannot be read; it reads all events"),
    }
    // Before it knows what became of the holds of a long history, most seem to have lapsed.
    let from_here = store.head().await.unwrap_or_default();
    let mut rounds = 0;
    loop {
        let mut feed = store.follow(holds.seen);
        let mut next = Instant::now() + EVERY;
        loop {
            // In this order: what is rarely ready first, so that nothing waits for ever.
            tokio::select! {
                biased;
                () = told(stopped) => {
                    save(side, &holds).await;
                    return;
                }
                () = tokio::time::sleep_until(next) => {
                    if holds.seen >= from_here {
                        sweep(engine, &holds).await;
                    }
                    rounds += 1;
                    if rounds % CHECKPOINT_EVERY == 0 {
                        save(side, &holds).await;
                    }
                    next = Instant::now() + EVERY;
                }
                batch = feed.next() => match batch {
                    Some(Ok(events)) => events.iter().for_each(|event| holds.fold(event)),
                    Some(Err(error)) => {
                        warn!(%error, "the sweeper's feed failed");
                        break;
                    }
                    None => break,
                },
            }
        }
        tokio::select! {
            biased;
            () = told(stopped) => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn sweep(engine: &Engine, holds: &Holds) {
    for (stream, organizer) in holds.lapsed(engine.clock().now()) {
        let asker = Asker {
            organizer,
            actor: ActorRef::new("system:sweeper").expect("a good name"),
            key: None,
            cause: None,
            correlation: None,
        };
        let command = inventory::Command::Sweep.into();
        let request = Request { stream, command, asker, creates: false };
        if let Err(error) = engine.execute(request).await {
            warn!(%stream, %error, "not swept; the next round tries again");
        }
    }
}

async fn save(side: &dyn SideStore, holds: &Holds) {
    if let Err(error) = side.save_checkpoint(NAME, holds.checkpoint()).await {
        warn!(%error, "sweeper's checkpoint not saved");
    }
}

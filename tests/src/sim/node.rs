//! One process on the store: a write side, and the weather that its store calls meet.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use hakken_adapters::{
    memory::MemoryStore,
    payments::SimulatedGateway,
    system::{ManualClock, SeededIds},
};
use hakken_commands::{
    engine::{Health, Limits, Ports},
    payments::Payments,
    store::{EventStore, SideStore, StoreErrorKind},
};
use hakken_projections::rows::{MemoryRows, RowStore};

use super::{
    chance::Chance,
    coverage::Coverage,
    mortal::{Life, Mortal},
};
use crate::{
    faults::{Fault, FaultyStore},
    faulty_rows::{FaultyRows, RowFault},
    world::{Setup, World},
};

/// How often what goes wrong, of a thousand store calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// Appends that fail before anything is written.
    pub fails: u64,
    /// Appends whose answer is lost.
    pub lost: u64,
    /// Appends that take a while.
    pub slow: u64,
    /// Appends after which the process must not write again.
    pub fatal: u64,
    /// Reads that fail, and turns.
    pub reads: u64,
}

impl Weather {
    /// Nothing goes wrong.
    pub const CALM: Self = Self { fails: 0, lost: 0, slow: 0, fatal: 0, reads: 0 };
    /// Now and then something does.
    pub const ROUGH: Self = Self { fails: 90, lost: 90, slow: 300, fatal: 12, reads: 40 };
    /// Nearly everything does.
    pub const STORM: Self = Self { fails: 250, lost: 250, slow: 200, fatal: 40, reads: 250 };
}

/// What a node's store calls meet.
pub(super) struct Dial {
    chance: Chance,
    pub(super) weather: Weather,
    pub(super) ignore_versions: bool,
    /// The store has said that it must not be written any more.
    fatal: bool,
    /// An append has failed, or its answer was lost.
    unknown: bool,
    /// Appends that were tried nevertheless.
    pub(super) after_fatal: u32,
    pub(super) met: Coverage,
}

impl Dial {
    fn append(&mut self) -> Fault {
        if self.fatal {
            self.after_fatal += 1;
            return Fault::Fail(StoreErrorKind::Fatal);
        }
        let Weather { fails, lost, slow, fatal, .. } = self.weather;
        let drawn = self.chance.between(0, 999);
        // What takes its time lets others decide on top of it.
        let millis = self.chance.between(0, 40);
        let unavailable = StoreErrorKind::Unavailable;
        let (fault, called) = if drawn < fails / 2 {
            (Fault::Fail(unavailable), "fault failed append")
        } else if drawn < fails {
            (Fault::FailSlowly(unavailable, millis), "fault slowly failed append")
        } else if drawn < fails + lost / 2 {
            (Fault::LoseAnswer, "fault lost answer")
        } else if drawn < fails + lost {
            (Fault::LoseAnswerSlowly(millis), "fault slowly lost answer")
        } else if drawn < fails + lost + slow {
            (Fault::Slow(millis), "fault slow append")
        } else if drawn < fails + lost + slow + fatal {
            self.fatal = true;
            (Fault::Fail(StoreErrorKind::Fatal), "fault fatal append")
        } else if self.ignore_versions {
            (Fault::IgnoreVersions, "fault ignored versions")
        } else {
            return Fault::None;
        };
        self.unknown |= !matches!(fault, Fault::Slow(_) | Fault::IgnoreVersions);
        self.met.saw(called);
        fault
    }

    fn slow_read(&mut self) -> u64 {
        if self.chance.between(0, 999) >= self.weather.slow {
            return 0;
        }
        self.met.saw("fault slow read");
        self.chance.between(1, 30)
    }

    fn turn(&mut self) -> bool {
        let fails = self.chance.between(0, 999) < self.weather.reads;
        if fails {
            self.met.saw("fault failed turn");
        }
        fails
    }

    fn read(&mut self) -> bool {
        let fails = self.chance.between(0, 999) < self.weather.reads;
        if fails {
            self.met.saw("fault failed read");
        }
        fails
    }
}

/// What nodes share.
pub(super) struct Ground {
    pub(super) memory: Arc<MemoryStore>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) gateway: Arc<SimulatedGateway>,
    pub(super) payments: Option<Arc<dyn Payments>>,
    pub(super) claims_sole_writer: bool,
}

impl Ground {
    /// What a write loop needs, without any weather.
    pub(super) fn ports(&self) -> Ports {
        Ports {
            store: self.memory.clone(),
            side: self.memory.clone(),
            clock: self.clock.clone(),
            ids: Arc::new(SeededIds::new(0)),
        }
    }
}

/// A process.
pub(super) struct Node {
    pub(super) world: World,
    pub(super) life: Arc<Life>,
    /// At which step it was started.
    pub(super) since: u32,
    /// It takes itself for the only writer of its store.
    is_sole: bool,
    /// Its API, over the read side that was started so many times.
    pub(super) router: Option<(u64, axum::Router)>,
    dial: Arc<Mutex<Dial>>,
}

impl Node {
    /// Starts one. `seed` makes its ids differ from those of every other.
    pub(super) fn start(
        ground: &Ground,
        chance: Chance,
        seed: u64,
        since: u32,
        weather: Weather,
    ) -> Self {
        let life = Arc::<Life>::default();
        let dial = Arc::new(Mutex::new(Dial {
            chance,
            weather,
            ignore_versions: false,
            fatal: false,
            unknown: false,
            after_fatal: 0,
            met: Coverage::default(),
        }));
        let (appends, turns) = (dial.clone(), dial.clone());
        let (reads, slow_reads) = (dial.clone(), dial.clone());
        let store = FaultyStore::new(ground.memory.clone(), move |_| lock(&appends).append())
            .with_turns(move || lock(&turns).turn())
            .with_reads(move || lock(&reads).read())
            .with_slow_reads(move || lock(&slow_reads).slow_read());
        let store = if ground.claims_sole_writer { store.claiming_sole_writer() } else { store };
        let store: Arc<dyn EventStore> = Arc::new(store);
        let side: Arc<dyn SideStore> = ground.memory.clone();
        let payments: Arc<dyn Payments> = match &ground.payments {
            Some(payments) => payments.clone(),
            None => ground.gateway.clone(),
        };
        let world = World::with(Setup {
            store: Some(Arc::new(Mortal::new(store, life.clone()))),
            memory: ground.memory.clone(),
            side: Some(Arc::new(Mortal::new(side, life.clone()))),
            clock: ground.clock.clone(),
            gateway: ground.gateway.clone(),
            payments: Some(Arc::new(Mortal::new(payments, life.clone()))),
            // Small enough that every bound is met.
            limits: Limits {
                waiting: 24,
                batch_events: 24,
                cache_bytes: 60_000,
                attempts: 6,
                snapshot_events: 25,
                snapshot_share: 1_000_000,
                gathers: true,
            },
            seed,
            // And so is the distance from which a process looks back before it answers.
            far_behind: 30,
        });
        Self { world, life, since, is_sole: ground.claims_sole_writer, router: None, dial }
    }

    pub(super) fn dial(&self) -> MutexGuard<'_, Dial> {
        lock(&self.dial)
    }

    /// Is it dead, or must it not write any more?
    pub(super) fn is_over(&self) -> bool {
        self.life.died().is_some() || self.dial().fatal || self.gave_up()
    }

    /// Has its write loop ended because an append failed upon which somebody had built?
    fn gave_up(&self) -> bool {
        let health = *self.world.write.engine().health().borrow();
        self.is_sole && self.dial().unknown && health == Health::Failed
    }

    /// What its store calls met, how many turns it had, and what only a sole writer's callers do.
    pub(super) fn met(&self) -> Coverage {
        let mut met = self.dial().met.clone();
        let counters = self.world.write.engine().counters();
        met.saw_times("turn had", counters.turns.load(Ordering::Relaxed));
        if self.is_sole {
            met.saw_times("sole looks", counters.shelved.load(Ordering::Relaxed));
            met.saw_times("sole glances", counters.glances.load(Ordering::Relaxed));
            met.saw_times("sole gave up", u64::from(self.gave_up()));
            if let Some((point, death)) = self.life.died() {
                met.saw(format!("sole {}", super::act::crash(point, death)));
            }
        }
        met
    }

    /// Has its write loop ended although nothing told it to?
    pub(super) fn is_broken(&self) -> bool {
        !self.is_over() && *self.world.write.engine().health().borrow() != Health::Working
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many of the next commits of the read side fail, or lose their answer.
#[derive(Default)]
pub(super) struct RowsWeather {
    left: Arc<AtomicU32>,
    /// Whether the read side that has the rows is dead.
    is_over: Arc<AtomicBool>,
}

impl RowsWeather {
    pub(super) fn set(&self, commits: u32) {
        self.left.store(commits, Ordering::Relaxed);
    }

    /// Rows whose commits meet it, for another read side. The one before is dead: whatever of it
    /// somebody holds still, such as an API that was wired to it, changes nothing any more.
    pub(super) fn over(&mut self, rows: Arc<MemoryRows>) -> Arc<dyn RowStore> {
        self.is_over.store(true, Ordering::Relaxed);
        self.is_over = Arc::default();
        let left = self.left.clone();
        let rows = FaultyRows::new(rows, move || {
            let before = left.load(Ordering::Relaxed);
            left.store(before.saturating_sub(1), Ordering::Relaxed);
            match before {
                0 => RowFault::None,
                _ if before.is_multiple_of(2) => RowFault::Fail,
                _ => RowFault::LoseAnswer,
            }
        });
        Arc::new(rows.until(&self.is_over))
    }
}

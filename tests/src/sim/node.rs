//! One process on the store: a write side, and the weather that its store calls meet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hakken_adapters::{
    memory::MemoryStore,
    payments::SimulatedGateway,
    system::{ManualClock, SeededIds},
};
use hakken_commands::{
    engine::{Health, Limits, Ports},
    payments::Payments,
    store::StoreErrorKind,
};

use super::{chance::Chance, coverage::Coverage};
use crate::{
    faults::{Fault, FaultyStore},
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
    /// Reads that fail.
    pub reads: u64,
}

impl Weather {
    /// Nothing goes wrong.
    pub const CALM: Self = Self { fails: 0, lost: 0, slow: 0, fatal: 0, reads: 0 };
    /// Now and then something does.
    pub const ROUGH: Self = Self { fails: 60, lost: 60, slow: 300, fatal: 6, reads: 40 };
    /// Nearly everything does.
    pub const STORM: Self = Self { fails: 250, lost: 250, slow: 200, fatal: 20, reads: 250 };
}

/// What a node's store calls meet.
pub(super) struct Dial {
    chance: Chance,
    pub(super) weather: Weather,
    pub(super) ignore_versions: bool,
    dead: bool,
    pub(super) met: Coverage,
}

impl Dial {
    fn append(&mut self) -> Fault {
        if self.dead {
            return Fault::Fail(StoreErrorKind::Fatal);
        }
        let Weather { fails, lost, slow, fatal, .. } = self.weather;
        let drawn = self.chance.between(0, 999);
        let (fault, called) = if drawn < fails {
            (Fault::Fail(StoreErrorKind::Unavailable), "fault failed append")
        } else if drawn < fails + lost {
            (Fault::LoseAnswer, "fault lost answer")
        } else if drawn < fails + lost + slow {
            (Fault::Slow(self.chance.between(1, 40)), "fault slow append")
        } else if drawn < fails + lost + slow + fatal {
            self.dead = true;
            (Fault::Fail(StoreErrorKind::Fatal), "fault fatal append")
        } else if self.ignore_versions {
            (Fault::IgnoreVersions, "fault ignored versions")
        } else {
            return Fault::None;
        };
        self.met.saw(called);
        fault
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
    dial: Arc<Mutex<Dial>>,
}

impl Node {
    /// Starts one. `seed` makes its ids differ from those of every other.
    pub(super) fn start(ground: &Ground, chance: Chance, seed: u64, weather: Weather) -> Self {
        let dial = Arc::new(Mutex::new(Dial {
            chance,
            weather,
            ignore_versions: false,
            dead: false,
            met: Coverage::default(),
        }));
        let (appends, reads) = (dial.clone(), dial.clone());
        let store = FaultyStore::new(ground.memory.clone(), move |_| lock(&appends).append())
            .with_reads(move || lock(&reads).read());
        let store = if ground.claims_sole_writer { store.claiming_sole_writer() } else { store };
        let world = World::with(Setup {
            store: Some(Arc::new(store)),
            memory: ground.memory.clone(),
            side: None,
            clock: ground.clock.clone(),
            gateway: ground.gateway.clone(),
            payments: ground.payments.clone(),
            // Small enough that every bound is met.
            limits: Limits {
                waiting: 24,
                batch_events: 24,
                cache_bytes: 60_000,
                attempts: 6,
                snapshot_events: 25,
                snapshot_share: 1_000_000,
            },
            seed,
        });
        Self { world, dial }
    }

    pub(super) fn dial(&self) -> MutexGuard<'_, Dial> {
        lock(&self.dial)
    }

    /// The process dies: from now on nothing of it reaches the store.
    pub(super) fn kill(&self) {
        self.dial().dead = true;
    }

    /// Must it not write any more?
    pub(super) fn is_over(&self) -> bool {
        self.dial().dead
    }

    /// Has its write loop ended although nothing told it to?
    pub(super) fn is_broken(&self) -> bool {
        !self.is_over() && *self.world.write.engine().health().borrow() != Health::Working
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What the people of the demo were told, and how long each answer took. The recount at the end
//! is made from the events alone and compared with this.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A ticket in somebody's hands.
#[derive(Debug, Clone)]
pub struct Holder {
    /// Global id.
    pub ticket: String,
    /// What opens the gate.
    pub code: String,
    /// Global id of its order.
    pub order: String,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Asking for seats.
    Hold,
    /// Placing an order.
    Order,
    /// Paying it, until its tickets are there.
    Pay,
    /// Showing a code at a gate.
    Scan,
    /// Everything else.
    Other,
}

/// What was told.
#[derive(Debug, Default)]
pub struct Told {
    /// Live tickets.
    pub tickets: Vec<Holder>,
    /// Codes that were replaced.
    pub revoked: Vec<String>,
    /// Codes of cancelled tickets.
    pub void: Vec<String>,
    /// Refusals of sales, by code.
    pub refusals: BTreeMap<String, u64>,
    /// Refusals at the gates, by reason.
    pub scans_refused: BTreeMap<String, u64>,
    /// Things that happened, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// Money in, in yen.
    pub captured_minor: u64,
    /// Money out that was promised, in yen.
    pub refunded_minor: u64,
    /// When each place was sold: number of the seat, place in the order of sales.
    pub sold_seats: Vec<usize>,
    /// What should not have happened.
    pub problems: Vec<String>,
    latencies: BTreeMap<Kind, Vec<u32>>,
}

/// Written by everybody at once.
#[derive(Default)]
pub struct Ledger {
    told: Mutex<Told>,
    sold: AtomicU64,
    holds: AtomicU64,
    scanned: AtomicU64,
}

impl Ledger {
    /// To read or write.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        // Nothing is left half written, so a panic elsewhere does not spoil it.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places that are sold now, as far as buyers were told.
    pub fn sold(&self) -> u64 {
        self.sold.load(Ordering::Relaxed)
    }

    /// More places are sold.
    pub fn sell(&self, places: usize) {
        self.sold.fetch_add(places as u64, Ordering::Relaxed);
    }

    /// Places are free again.
    pub fn return_places(&self, places: usize) {
        self.sold.fetch_sub(places as u64, Ordering::Relaxed);
    }

    /// Holds that were asked for.
    pub fn holds(&self) -> u64 {
        self.holds.load(Ordering::Relaxed)
    }

    /// Codes that were shown.
    pub fn scanned(&self) -> u64 {
        self.scanned.load(Ordering::Relaxed)
    }

    /// Counts something.
    pub fn count(&self, what: &'static str) {
        self.count_many(what, 1);
    }

    /// Counts some things.
    pub fn count_many(&self, what: &'static str, number: u64) {
        *self.told().counts.entry(what).or_default() += number;
    }

    /// A refusal by the rules.
    pub fn refused(&self, code: &str) {
        *self.told().refusals.entry(code.to_owned()).or_default() += 1;
    }

    /// Something that should not have happened.
    pub fn problem(&self, text: impl Into<String>) {
        self.told().problems.push(text.into());
    }

    /// Something was answered.
    pub fn answered(&self, kind: Kind, since: Instant) {
        match kind {
            Kind::Hold => drop(self.holds.fetch_add(1, Ordering::Relaxed)),
            Kind::Scan => drop(self.scanned.fetch_add(1, Ordering::Relaxed)),
            Kind::Order | Kind::Pay | Kind::Other => {}
        }
        let micros = u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.told().latencies.entry(kind).or_default().push(micros);
    }
}

impl Told {
    /// How often it happened.
    pub fn counted(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// How many answers there were, half and 99 of 100 of which took no longer.
    pub fn latency(&self, kind: Kind) -> Latency {
        let mut sorted = self.latencies.get(&kind).cloned().unwrap_or_default();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let last = sorted.len().saturating_sub(1);
            let micros = sorted.get(last * percent / 100).copied().unwrap_or(0);
            Duration::from_micros(u64::from(micros))
        };
        Latency { answers: sorted.len() as u64, p50: at(50), p99: at(99) }
    }
}

/// How long answers took.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// How many there were.
    pub answers: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
}

//! The clock, fresh ids and the engine's secret: the only places where the time is read and
//! numbers are drawn.

mod secret;

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use hakken_commands::clock::{Clock, Ids};
use hakken_domain::{names::EventId, time::Timestamp};
pub use secret::{EngineSecret, SecretError};
use ulid::Ulid;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp::from_micros(micros)
    }
}

impl hakken_projections::clock::Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }
}

/// 32 bytes that nobody can guess, from the operating system.
pub fn random_bytes() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_micros()))
    }

    /// Jumps, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }

    /// Goes forwards.
    pub fn advance_seconds(&self, seconds: u64) {
        let now = Timestamp::from_micros(self.0.load(Ordering::SeqCst));
        self.set(now.plus_seconds(seconds));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl hakken_projections::clock::Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }
}

/// Ids no other process draws: ULIDs of the time, a number drawn once for each process, and a
/// count. Ids of one millisecond therefore sort in the order in which they were drawn.
#[derive(Debug)]
pub struct RandomIds {
    /// The upper 32 of a ULID's 80 random bits: which process.
    process: u32,
    /// The lower 48 bits. Starts at a random place, so that two processes that drew the same
    /// number still differ, and never comes around: 2^48 ids take centuries.
    count: AtomicU64,
    /// Where seeds start.
    seed: u64,
}

const COUNT_BITS: u32 = 48;

impl RandomIds {
    /// Draws the process's own numbers from the operating system. Fails only where that has no
    /// randomness to give.
    pub fn new() -> std::io::Result<Self> {
        static DRAWN: OnceLock<[u8; 16]> = OnceLock::new();
        static GENERATORS: AtomicU64 = AtomicU64::new(0);
        let drawn = match DRAWN.get() {
            Some(drawn) => *drawn,
            None => {
                let mut drawn = [0; 16];
                getrandom::fill(&mut drawn)?;
                *DRAWN.get_or_init(|| drawn)
            }
        };
        let drawn = u128::from_le_bytes(drawn);
        // Further generators of one process get numbers of their own.
        let generator = GENERATORS.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            process: (drawn as u32).wrapping_add(generator as u32),
            count: AtomicU64::new((drawn >> 32) as u64),
            seed: mix((drawn >> 64) as u64 ^ generator),
        })
    }
}

impl Ids for RandomIds {
    fn event_id(&self, now: Timestamp) -> EventId {
        ulid_of(now, self.process, self.count.fetch_add(1, Ordering::Relaxed))
    }

    fn seed(&self) -> u64 {
        mix(self.seed ^ self.count.fetch_add(1, Ordering::Relaxed))
    }
}

/// The same ids in every run, for tests.
#[derive(Debug)]
pub struct SeededIds {
    seed: u64,
    count: AtomicU64,
}

impl SeededIds {
    /// Ids that depend on the seed and on how many were drawn before, and on nothing else.
    pub fn new(seed: u64) -> Self {
        Self { seed, count: AtomicU64::new(0) }
    }
}

impl Ids for SeededIds {
    fn event_id(&self, now: Timestamp) -> EventId {
        ulid_of(now, mix(self.seed) as u32, self.count.fetch_add(1, Ordering::Relaxed))
    }

    fn seed(&self) -> u64 {
        mix(mix(self.seed) ^ self.count.fetch_add(1, Ordering::Relaxed))
    }
}

fn ulid_of(now: Timestamp, process: u32, count: u64) -> EventId {
    let millis = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
    let count = u128::from(count & ((1 << COUNT_BITS) - 1));
    EventId(Ulid::from_parts(millis, u128::from(process) << COUNT_BITS | count))
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_manual_clock_goes_where_it_is_told() {
        let clock = ManualClock::new(Timestamp::from_micros(1_000_000));
        clock.advance_seconds(2);
        assert_eq!(clock.now(), Timestamp::from_micros(3_000_000));
        clock.set(Timestamp::from_micros(5));
        assert_eq!(clock.now(), Timestamp::from_micros(5));
    }

    #[test]
    fn the_system_clock_is_past_the_day_this_was_written() {
        assert!(SystemClock.now() > "2026-01-01T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn ids_differ_within_and_between_generators_and_carry_the_time() {
        let now: Timestamp = "2026-11-21T18:30:00Z".parse().unwrap();
        let generators = [RandomIds::new().unwrap(), RandomIds::new().unwrap()];
        let mut seen = HashSet::new();
        for ids in &generators {
            let mut last = None;
            for _ in 0..10_000 {
                let id = ids.event_id(now);
                assert!(seen.insert(id), "{id} came twice");
                assert_eq!(id.0.timestamp_ms() as i64, now.as_micros() / 1_000);
                assert!(last < Some(id), "{id} sorts before the id drawn before it");
                last = Some(id);
            }
        }
    }

    #[test]
    fn seeded_ids_repeat_and_differ_by_seed() {
        let now = Timestamp::from_micros(0);
        let draw = |seed| {
            let ids = SeededIds::new(seed);
            (ids.event_id(now), ids.seed(), ids.event_id(now))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_ne!(draw(7).0, draw(7).2);
    }
}

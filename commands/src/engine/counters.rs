//! What the loop counts.

use std::{
    array::from_fn,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use super::CommandKind;

/// Counters of the loop since its start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Commands that wait or are under way.
    pub waiting: AtomicUsize,
    /// Commands that brought events about.
    pub happened: AtomicU64,
    /// Commands refused by the rules.
    pub rejected: AtomicU64,
    /// Commands refused because too many waited.
    pub busy: AtomicU64,
    /// Events appended.
    pub events: AtomicU64,
    /// Batches made durable.
    pub batches: AtomicU64,
    /// Batches that the store did not acknowledge.
    pub failed_batches: AtomicU64,
    /// Questions answered by what lies ready, without the loop.
    pub shelved: AtomicU64,
    /// Questions answered with what was not durable yet.
    pub glances: AtomicU64,
    /// Appends that met another version of their stream.
    pub conflicts: AtomicU64,
    /// Turns that were had, where other processes write the same streams.
    pub turns: AtomicU64,
    /// Microseconds spent on making batches durable.
    pub commit_micros: AtomicU64,
    /// The same, by how many batches took how long.
    pub commits: CommitTimes,
    /// Events of each batch, by how many batches had how many.
    pub batch_sizes: BatchSizes,
    /// Commands that were answered, by their kind and what came of them.
    pub answered: Tally,
    /// Streams kept in memory.
    pub streams: AtomicUsize,
    /// The newest position that the loop has made durable.
    pub position: AtomicU64,
}

/// What came of a command that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It brought events about.
    Happened,
    /// It was so already.
    AlreadyHappened,
    /// It was asked before with the same key, and is answered as it was then.
    Repeated,
    /// The rules said no.
    Rejected,
    /// The key was used for another request.
    KeyReused,
}

impl Outcome {
    /// Every outcome, in the order of the declaration.
    pub const ALL: [Self; 5] =
        [Self::Happened, Self::AlreadyHappened, Self::Repeated, Self::Rejected, Self::KeyReused];

    /// As figures and traces name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Happened => "happened",
            Self::AlreadyHappened => "already_happened",
            Self::Repeated => "repeated",
            Self::Rejected => "rejected",
            Self::KeyReused => "key_reused",
        }
    }
}

/// Commands by kind and outcome.
#[derive(Debug)]
pub struct Tally([[AtomicU64; Outcome::ALL.len()]; CommandKind::ALL.len()]);

impl Default for Tally {
    fn default() -> Self {
        Self(from_fn(|_| from_fn(|_| AtomicU64::new(0))))
    }
}

impl Tally {
    pub(super) fn count(&self, kind: CommandKind, outcome: Outcome) {
        self.0[kind as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted, without what never happened.
    pub fn counts(&self) -> impl Iterator<Item = (CommandKind, Outcome, u64)> {
        CommandKind::ALL.into_iter().flat_map(move |kind| {
            let each = Outcome::ALL.into_iter();
            let each = each.map(move |outcome| {
                let count = &self.0[kind as usize][outcome as usize];
                (kind, outcome, count.load(Ordering::Relaxed))
            });
            each.filter(|(.., count)| *count > 0)
        })
    }
}

/// How many figures were at most so large.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: [u64; N],
    /// Of figures up to each bound and above the one before; those above all stand in `above`.
    counts: [AtomicU64; N],
    above: AtomicU64,
    sum: AtomicU64,
}

/// What a histogram had counted at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Each bound, with the figures up to it and above the one before; `u64::MAX` is the last.
    pub buckets: Vec<(u64, u64)>,
    /// All figures together.
    pub sum: u64,
    /// How many there were.
    pub count: u64,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: [u64; N]) -> Self {
        let counts = from_fn(|_| AtomicU64::new(0));
        Self { bounds, counts, above: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    pub(super) fn record(&self, figure: u64) {
        let at = self.bounds.partition_point(|bound| *bound < figure);
        self.counts.get(at).unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(figure, Ordering::Relaxed);
    }

    /// What was counted until now.
    pub fn counted(&self) -> Counted {
        let above = (u64::MAX, self.above.load(Ordering::Relaxed));
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = self.bounds.into_iter().zip(counts).chain([above]).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        Counted { buckets, sum: self.sum.load(Ordering::Relaxed), count }
    }
}

/// Microseconds.
pub type CommitTimes = Histogram<15>;

impl Default for CommitTimes {
    fn default() -> Self {
        Self::new([
            100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
            1_000_000, 2_500_000, 10_000_000,
        ])
    }
}

/// Events.
pub type BatchSizes = Histogram<12>;

impl Default for BatchSizes {
    fn default() -> Self {
        Self::new([1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 4_000])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_counts_in_the_bucket_of_the_first_bound_that_it_does_not_pass() {
        let sizes = BatchSizes::default();
        for figure in [1, 2, 3, 4_000, 4_001] {
            sizes.record(figure);
        }
        let counted = sizes.counted();
        let full: Vec<_> = counted.buckets.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(full, [&(1, 1), &(2, 1), &(5, 1), &(4_000, 1), &(u64::MAX, 1)]);
        assert_eq!((counted.sum, counted.count), (8_007, 5));
    }

    #[test]
    fn commands_are_counted_by_kind_and_outcome() {
        let tally = Tally::default();
        tally.count(CommandKind::HoldSeats, Outcome::Rejected);
        tally.count(CommandKind::HoldSeats, Outcome::Rejected);
        tally.count(CommandKind::RefuseCode, Outcome::Happened);
        let counts: Vec<_> = tally.counts().collect();
        let expected = [
            (CommandKind::HoldSeats, Outcome::Rejected, 2),
            (CommandKind::RefuseCode, Outcome::Happened, 1),
        ];
        assert_eq!(counts, expected);
    }
}

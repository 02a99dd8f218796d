//! How often a projection that keeps up writes its rows. A transaction costs the pages that it
//! touches, however few rows it changes, and what is ordered, paid and issued within a moment
//! changes the same rows again and again; so under load many small batches become one. Nobody is
//! kept waiting: what comes after a pause is written at once, and so is whatever a query waits
//! for.

use std::time::Duration;

use hakken_domain::envelope::Position;
use tokio::{sync::watch, time::Instant};

/// The shortest time between two transactions for which nobody waits.
const PACE: Duration = Duration::from_millis(200);
/// The same where others watch what changes.
const WATCHED: Duration = Duration::from_millis(20);

/// The position that somebody waits for, of those the one that comes last.
pub(super) struct Wanted(watch::Sender<Position>);

impl Wanted {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Position(0)))
    }

    /// Somebody waits for this position.
    pub(super) fn want(&self, position: Position) {
        self.0.send_if_modified(|wanted| {
            let is_later = position > *wanted;
            *wanted = position.max(*wanted);
            is_later
        });
    }
}

/// Spaces the transactions of one projection.
pub(super) struct Pace {
    distance: Duration,
    wanted: watch::Receiver<Position>,
    last: Option<Instant>,
}

impl Pace {
    pub(super) fn new(wanted: &Wanted, is_watched: bool) -> Self {
        let distance = if is_watched { WATCHED } else { PACE };
        Self { distance, wanted: wanted.0.subscribe(), last: None }
    }

    /// Waits until it is time for the next transaction; `reached` is how far the last one came.
    pub(super) async fn turn(&mut self, reached: Position) {
        if let Some(last) = self.last {
            tokio::select! {
                () = tokio::time::sleep_until(last + self.distance) => {}
                // An error means that nobody is left who could wait for anything.
                _ = self.wanted.wait_for(|wanted| *wanted > reached) => {}
            }
        }
        self.last = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn transactions_are_spaced_unless_somebody_waits() {
        let wanted = Wanted::new();
        let mut pace = Pace::new(&wanted, false);
        let begun = Instant::now();
        pace.turn(Position(0)).await;
        assert!(begun.elapsed() < PACE, "the first one is at once");
        pace.turn(Position(5)).await;
        assert!(begun.elapsed() >= PACE, "the next one has its distance");

        wanted.want(Position(9));
        wanted.want(Position(7));
        let begun = Instant::now();
        pace.turn(Position(8)).await;
        assert!(begun.elapsed() < PACE, "somebody waits for what is not there yet");
        pace.turn(Position(9)).await;
        assert!(begun.elapsed() >= PACE, "nobody waits for what is there");
    }
}

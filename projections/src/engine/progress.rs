//! How fast a build is, measured over the last seconds only: a rate over the whole run would
//! promise too much after a pause, and too little after a slow start.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(10);

/// Positions done at moments of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Meter {
    seen: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// So much is done now.
    pub(super) fn record(&mut self, now: Instant, done: u64) {
        while self.seen.len() > 2
            && self.seen.front().is_some_and(|(then, _)| now.duration_since(*then) > WINDOW)
        {
            self.seen.pop_front();
        }
        self.seen.push_back((now, done));
    }

    /// What was seen before says nothing about what comes.
    pub(super) fn forget(&mut self) {
        self.seen.clear();
    }

    /// Positions a second. None before there are two moments to tell it from, and when the last of
    /// them is too long ago to say anything about now.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        let (first, last) = (self.seen.front()?, self.seen.back()?);
        if now.duration_since(last.0) > WINDOW {
            return None;
        }
        let seconds = last.0.duration_since(first.0).as_secs_f64();
        let done = last.1.checked_sub(first.1)?;
        (seconds > 0.0 && done > 0).then(|| done as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let mut meter = Meter::default();
        assert_eq!(meter.rate(start), None);
        for second in 0..=100 {
            let done = if second <= 50 { second } else { 50 + (second - 50) * 100 };
            meter.record(start + Duration::from_secs(second), done);
        }
        let last = start + Duration::from_secs(100);
        assert_eq!(meter.rate(last), Some(100.0));
        assert_eq!(meter.rate(last + WINDOW), Some(100.0));
        let stalled = last + WINDOW + Duration::from_millis(1);
        assert_eq!(meter.rate(stalled), None, "what stands still has no time left to tell");
        meter.forget();
        assert_eq!(meter.rate(last), None);
    }
}

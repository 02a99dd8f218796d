//! Waiting for those who were just answered. Callers that ask again and again fall into halves: one
//! is being made durable while the other waits for it, and each batch is half as large as it could
//! be. A short wait for the half that was just answered brings all of them into one batch. Where
//! they do not come back in time, the wait is not tried again for a while, and longer each time.

use tokio::time::{Duration, Instant};

/// Batches without a wait after the first vain one, and at most.
const FEWEST_WITHOUT: u32 = 8;
const MOST_WITHOUT: u32 = 4_096;
/// A batch that is durable sooner is worth no wait.
const SHORTEST: Duration = Duration::from_micros(100);
/// Nobody waits longer: a disk that was stuck for seconds must not make the next batch wait, too.
const LONGEST: Duration = Duration::from_millis(10);

/// What the last batch says about when to send the next.
#[derive(Default)]
pub(super) struct Gathering {
    wait: Option<Wait>,
    /// Batches that are still sent without a wait.
    without: u32,
    /// How many they were after the last vain wait; 0 if the last wait was not in vain.
    vain: u32,
}

struct Wait {
    /// How many questions are enough.
    wanted: usize,
    came: usize,
    since: Instant,
    patience: Duration,
}

impl Gathering {
    /// So many were answered just now, by a batch that took so long.
    pub(super) fn answered(&mut self, count: usize, took: Duration, now: Instant) {
        self.wait = None;
        if self.without > 0 {
            self.without -= 1;
        } else if count > 0 && took >= SHORTEST {
            // A few may be slow, or may have left.
            let wanted = count - count / 8;
            // Halves would take another batch each: waiting longer than that costs more.
            let patience = (took * 3 / 4).min(LONGEST);
            self.wait = Some(Wait { wanted, came: 0, since: now, patience });
        }
    }

    /// So many asked.
    pub(super) fn came(&mut self, count: usize) {
        if let Some(wait) = &mut self.wait {
            wait.came += count;
        }
    }

    /// Until when the next batch waits, unless enough have come.
    pub(super) fn until(&mut self, now: Instant) -> Option<Instant> {
        let wait = self.wait.as_ref()?;
        let in_time = now - wait.since < wait.patience;
        if in_time && wait.came < wait.wanted {
            return Some(wait.since + wait.patience);
        }
        self.wait = None;
        if in_time {
            self.vain = 0;
        } else {
            self.vain = (self.vain * 2).clamp(FEWEST_WITHOUT, MOST_WITHOUT);
            self.without = self.vain;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(8);

    #[test]
    fn the_next_batch_waits_until_most_of_those_who_were_answered_are_back() {
        let (mut gathering, now) = (Gathering::default(), Instant::now());
        assert_eq!(gathering.until(now), None);
        gathering.answered(16, TOOK, now);
        gathering.came(13);
        assert_eq!(gathering.until(now), Some(now + Duration::from_millis(6)));
        gathering.came(1);
        assert_eq!(gathering.until(now), None);
        gathering.answered(1, TOOK, now);
        assert!(gathering.until(now).is_some());
    }

    #[test]
    fn who_does_not_come_back_is_waited_for_more_and_more_rarely() {
        let (mut gathering, mut now) = (Gathering::default(), Instant::now());
        let (mut between, mut last) = (Vec::new(), 0);
        for batch in 0..20_000 {
            gathering.answered(16, TOOK, now);
            if gathering.until(now).is_some() {
                now += TOOK;
                gathering.came(16);
                assert_eq!(gathering.until(now), None, "it came too late");
                between.push(batch - last);
                last = batch;
            }
        }
        assert_eq!(between, [0, 9, 17, 33, 65, 129, 257, 513, 1_025, 2_049, 4_097, 4_097, 4_097]);
        // And at once where it helps again.
        while gathering.until(now).is_none() {
            gathering.answered(16, TOOK, now);
        }
        gathering.came(16);
        assert_eq!(gathering.until(now), None);
        gathering.answered(16, TOOK, now);
        assert!(gathering.until(now).is_some());
    }

    #[test]
    fn a_store_that_was_stuck_is_not_waited_after_for_long() {
        let (mut gathering, now) = (Gathering::default(), Instant::now());
        gathering.answered(16, Duration::from_secs(20), now);
        assert_eq!(gathering.until(now), Some(now + LONGEST));
    }

    #[test]
    fn a_batch_that_answers_nobody_or_is_quick_is_not_waited_after() {
        let (mut gathering, now) = (Gathering::default(), Instant::now());
        gathering.answered(0, TOOK, now);
        assert_eq!(gathering.until(now), None);
        gathering.answered(16, Duration::from_micros(99), now);
        assert_eq!(gathering.until(now), None);
    }
}

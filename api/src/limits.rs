//! How much each key may ask: points that come back with time, and operations at once. Points are
//! the cost of what is asked (`document/cost.rs`), taken before it is carried out.
//!
//! The bounds are generous: they keep one key from taking everything from the others, and leave
//! whoever sells a hall alone. An operator who wants less sets less.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hakken_domain::names::ApiKeyId;
use lru::LruCache;
use serde::Serialize;
use tokio::time::Instant;

/// Keys that are remembered; who was not heard of for longest is taken to have asked for nothing.
const MAX_KEYS: NonZeroUsize = NonZeroUsize::new(16_384).expect("more than none");

/// How much each key may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyLimits {
    /// Most points that a key can have saved up; 0 for as many as anybody wants.
    pub points: u64,
    /// Points that come back in a second.
    pub points_per_second: u64,
    /// Most operations of a key at once, subscriptions included; 0 for as many as anybody wants.
    pub operations: u64,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self { points: 10_000_000, points_per_second: 1_000_000, operations: 4_096 }
    }
}

/// What a key has left, as `extensions.cost.throttleStatus` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ThrottleStatus {
    maximum_available: u64,
    currently_available: u64,
    restore_rate: u64,
}

/// As `extensions.cost` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cost {
    requested_query_cost: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    actual_query_cost: Option<u64>,
    throttle_status: ThrottleStatus,
}

/// Why a key has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Throttled {
    pub(crate) message: String,
    /// When it may ask again; never, if one operation costs more than there can be.
    pub(crate) retry_after_seconds: Option<u64>,
    pub(crate) cost: Cost,
}

impl Throttled {
    /// As it stands in `errors`.
    pub(crate) fn error(&self) -> serde_json::Value {
        let mut extensions = serde_json::json!({ "code": "THROTTLED", "cost": self.cost });
        if let Some(seconds) = self.retry_after_seconds {
            extensions["retryAfterSeconds"] = seconds.into();
        }
        serde_json::json!({ "message": self.message, "extensions": extensions })
    }
}

/// What one key has used up.
#[derive(Debug, Clone, Copy)]
struct Used {
    /// Points that are there.
    points: f64,
    /// Since the limits began.
    at: Duration,
    operations: u64,
}

/// The limits of all keys.
#[derive(Debug)]
pub(crate) struct Limits {
    each: KeyLimits,
    began: Instant,
    /// Who has no key is one key.
    keys: Mutex<LruCache<Option<ApiKeyId>, Used>>,
}

/// An operation that is under way.
#[derive(Debug)]
pub(crate) struct Pass {
    limits: Arc<Limits>,
    key: Option<ApiKeyId>,
    cost: Cost,
}

impl Pass {
    /// What it costs, now that it is known what it brought.
    pub(crate) fn cost(&self, actual: u64) -> Cost {
        Cost { actual_query_cost: Some(actual), ..self.cost }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(used) = self.limits.keys().get_mut(&self.key) {
            used.operations = used.operations.saturating_sub(1);
        }
    }
}

impl Limits {
    pub(crate) fn new(each: KeyLimits) -> Self {
        Self { each, began: Instant::now(), keys: Mutex::new(LruCache::new(MAX_KEYS)) }
    }

    fn keys(&self) -> MutexGuard<'_, LruCache<Option<ApiKeyId>, Used>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the points of an operation, which ends when the pass is dropped.
    pub(crate) fn enter(
        self: &Arc<Self>,
        key: Option<ApiKeyId>,
        requested: u64,
    ) -> Result<Pass, Throttled> {
        let cost = self.take(key, requested, self.began.elapsed())?;
        Ok(Pass { limits: self.clone(), key, cost })
    }

    /// How many operations of a key are under way.
    pub(crate) fn operations(&self, key: Option<ApiKeyId>) -> u64 {
        self.keys().peek(&key).map_or(0, |used| used.operations)
    }

    fn take(
        &self,
        key: Option<ApiKeyId>,
        requested: u64,
        now: Duration,
    ) -> Result<Cost, Throttled> {
        let KeyLimits { points: most, points_per_second: rate, operations } = self.each;
        let mut keys = self.keys();
        let fresh = || Used { points: most as f64, at: now, operations: 0 };
        let used = keys.get_or_insert_mut(key, fresh);
        let since = now.saturating_sub(used.at).as_secs_f64();
        used.points = (used.points + since * rate as f64).min(most as f64);
        used.at = used.at.max(now);
        let missing = requested as f64 - used.points;
        let full = operations > 0 && used.operations >= operations;
        let poor = most > 0 && missing > 0.0;
        if !full && !poor {
            used.operations += 1;
            used.points = (used.points - requested as f64).max(0.0);
        }
        let throttle_status = ThrottleStatus {
            maximum_available: most,
            currently_available: used.points as u64,
            restore_rate: rate,
        };
        drop(keys);
        let cost =
            Cost { requested_query_cost: requested, actual_query_cost: None, throttle_status };
        if full {
            let message = format!(
                "The key has {operations} operations under way, as many as it may have: wait for \
                 one of them."
            );
            return Err(Throttled { message, retry_after_seconds: Some(1), cost });
        }
        if poor {
            return Err(self.poor(cost, missing));
        }
        Ok(cost)
    }

    fn poor(&self, cost: Cost, missing: f64) -> Throttled {
        let (requested, most) = (cost.requested_query_cost, self.each.points);
        if requested > most || self.each.points_per_second == 0 {
            let message = format!(
                "The operation costs {requested} points, and a key never has more than {most}: \
                 ask for less at once."
            );
            return Throttled { message, retry_after_seconds: None, cost };
        }
        let seconds = (missing / self.each.points_per_second as f64).ceil().max(1.0) as u64;
        let left = cost.throttle_status.currently_available;
        let message = format!(
            "The operation costs {requested} points and the key has {left} left. Nothing changed: \
             try again in {seconds} s, with the same idempotency key."
        );
        Throttled { message, retry_after_seconds: Some(seconds), cost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(points: u64, points_per_second: u64, operations: u64) -> Arc<Limits> {
        Arc::new(Limits::new(KeyLimits { points, points_per_second, operations }))
    }

    fn key(number: u128) -> Option<ApiKeyId> {
        Some(ApiKeyId(number.into()))
    }

    #[test]
    fn points_are_taken_and_come_back_with_time() {
        let limits = limits(100, 10, 0);
        let take = |cost, seconds| limits.take(key(1), cost, Duration::from_secs(seconds));
        let left = |taken: Result<Cost, Throttled>| {
            taken.map(|cost| cost.throttle_status.currently_available)
        };
        assert_eq!(left(take(60, 0)), Ok(40));
        let refused = take(60, 0).unwrap_err();
        assert_eq!(refused.retry_after_seconds, Some(2));
        assert_eq!(refused.cost.throttle_status.currently_available, 40);
        assert_eq!(left(take(60, 2)), Ok(0));
        assert_eq!(left(take(0, 60)), Ok(100), "never more than there can be");
        assert_eq!(left(take(10, 1)), Ok(90), "a clock that goes back gives nothing");
        assert_eq!(left(limits.take(key(2), 100, Duration::ZERO)), Ok(0), "keys are apart");
    }

    #[test]
    fn what_costs_more_than_there_can_be_is_refused_for_good() {
        let refused = limits(100, 10, 0).take(key(1), 101, Duration::ZERO).unwrap_err();
        assert_eq!(refused.retry_after_seconds, None);
        assert!(refused.message.contains("never has more than 100"), "{}", refused.message);
        assert!(limits(0, 0, 0).take(key(1), u64::MAX, Duration::ZERO).is_ok());
    }

    #[test]
    fn operations_at_once_are_bounded_and_end_with_their_pass() {
        let limits = limits(0, 0, 2);
        let first = limits.enter(key(1), 5).unwrap();
        let _second = limits.enter(key(1), 5).unwrap();
        assert_eq!(limits.enter(key(1), 5).unwrap_err().retry_after_seconds, Some(1));
        assert!(limits.enter(key(2), 5).is_ok());
        assert_eq!([1, 2, 3].map(|number| limits.operations(key(number))), [2, 0, 0]);
        drop(first);
        assert!(limits.enter(key(1), 5).is_ok());
    }

    #[test]
    fn as_many_keys_are_remembered_as_have_room() {
        let limits = limits(10, 1, 0);
        for number in 0..20_000 {
            limits.take(key(number), 1, Duration::ZERO).unwrap();
        }
        assert_eq!(limits.keys().len(), MAX_KEYS.get());
    }
}

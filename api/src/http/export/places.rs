//! How many exports run at once: each keeps a core busy as long as its reader is fast.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hakken_domain::names::ApiKeyId;

/// Most exports at once.
const ALL: usize = 16;
/// Most exports of one key at once.
const OF_ONE_KEY: usize = 4;

/// The exports that are under way, by their keys.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Mutex<HashMap<ApiKeyId, usize>>>);

/// The place of one export; it is given back when this is dropped.
pub(super) struct Place {
    places: Places,
    key: ApiKeyId,
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, HashMap<ApiKeyId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for an export of this key, if there is one.
    pub(super) fn take(&self, key: ApiKeyId) -> Option<Place> {
        let mut taken = self.taken();
        let own = taken.get(&key).copied().unwrap_or(0);
        if own >= OF_ONE_KEY || taken.values().sum::<usize>() >= ALL {
            return None;
        }
        taken.insert(key, own + 1);
        Some(Place { places: self.clone(), key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match taken.get_mut(&self.key) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;

    #[test]
    fn places_are_bounded_for_each_key_and_for_all_and_come_back() {
        let places = Places::default();
        let mut held = Vec::new();
        for key in 0..4 {
            for _ in 0..OF_ONE_KEY {
                held.push(places.take(ApiKeyId(Ulid(key))).expect("a place"));
            }
            assert!(places.take(ApiKeyId(Ulid(key))).is_none());
        }
        assert!(places.take(ApiKeyId(Ulid(9))).is_none(), "all are taken");
        held.clear();
        assert!(places.taken().is_empty());
        assert!(places.take(ApiKeyId(Ulid(9))).is_some());
    }
}

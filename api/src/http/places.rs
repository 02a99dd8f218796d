//! So many places for all, and so many of them for one key at most: nobody takes all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hakken_domain::names::ApiKeyId;

/// Places, and who has how many of them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Places {
    all: usize,
    of_one_key: usize,
    taken: Arc<Mutex<HashMap<ApiKeyId, usize>>>,
}

/// Places that somebody has; they are given back when this is dropped.
pub(super) struct Place {
    places: Places,
    key: ApiKeyId,
    count: usize,
}

impl Places {
    pub(super) fn new(all: usize, of_one_key: usize) -> Self {
        Self { all, of_one_key, taken: Arc::default() }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<ApiKeyId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many places for a key, if they are free.
    pub(super) fn take(&self, key: ApiKeyId, count: usize) -> Option<Place> {
        let mut place = Place { places: self.clone(), key, count: 0 };
        place.widen(count).then_some(place)
    }
}

impl Place {
    /// Takes more places to these. False, and all is as it was, if they are not free.
    pub(super) fn widen(&mut self, more: usize) -> bool {
        let mut taken = self.places.taken();
        let own = taken.get(&self.key).copied().unwrap_or(0);
        let free = self.places.all - taken.values().sum::<usize>();
        if more > free || own + more > self.places.of_one_key {
            return false;
        }
        if more > 0 {
            taken.insert(self.key, own + more);
            self.count += more;
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(own) = taken.get_mut(&self.key) {
            *own -= self.count;
            if *own == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;

    fn key(number: u128) -> ApiKeyId {
        ApiKeyId(Ulid(number))
    }

    #[test]
    fn places_are_bounded_for_each_key_and_for_all_and_come_back() {
        let places = Places::new(16, 4);
        let mut held = Vec::new();
        for number in 0..4 {
            for _ in 0..4 {
                held.push(places.take(key(number), 1).expect("a place"));
            }
            assert!(places.take(key(number), 1).is_none());
        }
        assert!(places.take(key(9), 1).is_none(), "all are taken");
        held.clear();
        assert!(places.taken().is_empty());
        assert!(places.take(key(9), 1).is_some());
    }

    #[test]
    fn more_places_are_taken_whole_or_not_at_all() {
        let places = Places::new(10, 6);
        let mut one = places.take(key(1), 4).expect("four places");
        let other = places.take(key(2), 4).expect("four places");
        assert!(!one.widen(3), "two are free");
        assert!(one.widen(0) && one.widen(2));
        assert!(places.take(key(3), 1).is_none());
        drop(other);
        assert!(!one.widen(1), "one key has six at most");
        assert!(places.take(key(3), 4).is_some());
        drop(one);
        assert!(places.take(key(1), 7).is_none());
        assert!(places.taken().is_empty());
    }
}

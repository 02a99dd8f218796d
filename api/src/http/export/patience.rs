//! How long the reader of an export may take nothing. Then its place is given to others; if it
//! reads on before the connection is cut, it is told why nothing more comes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::super::places::Place;

struct Watched {
    /// Given up when the reader is too slow, or gone.
    place: Option<Place>,
    /// Since when what was read waits to be taken; none while more is being read.
    waits: Option<Instant>,
}

/// The place of an export, as long as its reader reads.
pub(super) struct Patience {
    watched: Arc<Mutex<Watched>>,
    watcher: JoinHandle<()>,
}

fn lock(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Patience {
    /// Whoever takes nothing for so long loses the place.
    pub(super) fn new(place: Place, slow: Duration) -> Self {
        let watched = Arc::new(Mutex::new(Watched { place: Some(place), waits: None }));
        let watcher = tokio::spawn(watch(watched.clone(), slow));
        Self { watched, watcher }
    }

    /// The reader wants more. False if it took too long.
    pub(super) fn goes_on(&self) -> bool {
        let mut watched = lock(&self.watched);
        watched.waits = None;
        watched.place.is_some()
    }

    /// What was read goes out now.
    pub(super) fn waits(&self) {
        lock(&self.watched).waits = Some(Instant::now());
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.watcher.abort();
        lock(&self.watched).place = None;
    }
}

async fn watch(watched: Arc<Mutex<Watched>>, slow: Duration) {
    loop {
        let since = lock(&watched).waits.unwrap_or_else(Instant::now);
        sleep_until(since + slow).await;
        let mut watched = lock(&watched);
        if watched.waits.is_some_and(|since| since.elapsed() >= slow) {
            watched.place = None;
            return;
        }
    }
}

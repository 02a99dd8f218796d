//! What only a store on disk must do: keep, refuse, and notice.

mod damage;
mod failing;
mod opening;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use hakken_adapters::{
    data_dir::DataDir,
    embedded::{EmbeddedStore, OpenOptions},
};
use hakken_commands::store::{EventStore, StoreError};
use hakken_domain::envelope::{Position, StoredEvent};
use hakken_tests::stores::{append, at, stream, written};

type Events = Vec<Arc<StoredEvent>>;

/// Files that are soon full, and an index whose runs are written after a few events.
fn small_runs() -> OpenOptions {
    OpenOptions { index_flush_events: 10, segment_bytes: 16_384, ..OpenOptions::default() }
}

async fn open(dir: &Path) -> EmbeddedStore {
    EmbeddedStore::open_with(&DataDir::at(dir), &small_runs()).await.unwrap()
}

/// Appends batches of one to three events to streams from a number on.
async fn fill(store: &EmbeddedStore, streams: std::ops::Range<u64>) -> Events {
    let mut all = Vec::new();
    for n in streams {
        let data = (0..n % 3 + 1).map(|e| format!("event {e} of {n} {}", "x".repeat(150)));
        let answer = store.append(vec![append(stream(n), 0, data)], at(0)).await.unwrap();
        all.extend_from_slice(written(&answer[0]));
    }
    all
}

/// Everything, or the error that reading ran into.
async fn read_everything(store: &EmbeddedStore) -> Result<Events, StoreError> {
    let mut all: Events = Vec::new();
    loop {
        let after = all.last().map_or(Position(0), |event| event.position);
        let page = EventStore::read_all(store, after, 100).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Copies files and directories of a store, as a crash would leave them.
fn copy(from: &Path, to: &Path, names: &[&str]) {
    fs::create_dir_all(to).unwrap();
    for name in names {
        let (from, to) = (from.join(name), to.join(name));
        if from.is_dir() {
            fs::remove_dir_all(&to).ok();
            let files = fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().file_name());
            let files: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
            copy(&from, &to, &files.iter().map(String::as_str).collect::<Vec<_>>());
            continue;
        }
        match fs::copy(from, to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
}

/// The files of events, oldest first.
fn event_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(dir.join("events")).unwrap().map(|entry| entry.unwrap().path()).collect();
    // And not the next one, which is a draft.
    files.retain(|file| file.extension().is_some_and(|extension| extension == "events"));
    files.sort();
    files
}

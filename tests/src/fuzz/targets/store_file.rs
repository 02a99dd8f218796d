//! The files of the embedded store with bytes changed by whatever means. Six bytes of the input
//! are one change: four say where, one what, one with which byte. The first byte chooses the file.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use hakken_adapters::{
    data_dir::DataDir,
    embedded::{EmbeddedStore, OpenError, OpenOptions},
};
use hakken_commands::store::{Append, EventStore, NewEvent, StoreError, StoreErrorKind};
use hakken_domain::{
    codec,
    envelope::{Position, StoredEvent},
};
use tempfile::TempDir;

use crate::fuzz::{Target, Verdict, assert_short, stage::fixture};

pub(in crate::fuzz) const TARGET: Target = Target {
    name: "store_file",
    run: store_file,
    words: &["\u{1}\0\0\0", "\0\u{10}\0\0", "\0\0\u{1}\0", "\u{64}\0\0\0", "SQLite format 3"],
    made: Vec::new,
    mutations: 40,
};

/// Every file of a store that is closed, its log first, but for what keeps others away.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.metadata().is_ok_and(|about| about.len() > 0) {
            found.push(path);
        }
    }
    found.sort();
    found
}

struct Whole {
    folder: TempDir,
    events: Vec<Arc<StoredEvent>>,
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

fn options() -> OpenOptions {
    OpenOptions { index_flush_events: 10, ..OpenOptions::default() }
}

static WHOLE: LazyLock<Whole> = LazyLock::new(|| {
    let events = &fixture().events;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let events = std::thread::scope(|scope| {
        let filled = scope.spawn(|| block_on(fill(folder.path(), events))).join();
        filled.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    Whole { folder, events }
});

async fn fill(folder: &Path, events: &[Arc<StoredEvent>]) -> Vec<Arc<StoredEvent>> {
    let store = EmbeddedStore::open_with(&DataDir::at(folder), &options()).await.expect("it opens");
    for event in events {
        let new = NewEvent {
            id: event.id,
            kind: codec::known_kind(&event.kind).expect("a kind that is known"),
            schema: event.schema,
            data: event.data.clone(),
            meta: event.meta.clone(),
            decoded: None,
        };
        let append =
            Append { stream: event.stream, expected: event.version - 1, events: vec![new] };
        store.append(vec![append], event.recorded_at).await.expect("it is written");
    }
    let all = read_all(&store).await.expect("it can be read");
    store.close().await.expect("it closes");
    // A connection of SQLite that was cut off is still on its way out, and takes its log along.
    let is_log = |file: &PathBuf| file.to_string_lossy().ends_with("-wal");
    for _ in 0..500 {
        if !files(folder).iter().any(is_log) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    all
}

/// A store that was changed from outside does not open, says what it cannot read, or gives exactly
/// what was written.
pub fn store_file(input: &[u8]) -> Verdict {
    let whole = &*WHOLE;
    let Some((file, changes)) = input.split_first() else { return Verdict::Refused };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut paths = Vec::new();
    for from in files(whole.folder.path()) {
        let inside = from.strip_prefix(whole.folder.path()).expect("a file of the folder");
        let to = folder.path().join(inside);
        fs::create_dir_all(to.parent().expect("a folder")).expect("it can be made");
        fs::copy(from, &to).expect("it can be copied");
        paths.push(to);
    }
    let path = &paths[usize::from(*file) % paths.len()];
    let mut bytes = fs::read(path).expect("it can be read");
    for change in changes.chunks_exact(6) {
        apply(&mut bytes, change);
    }
    fs::write(path, bytes).expect("it can be written");
    block_on(opened(folder.path(), &whole.events))
}

fn apply(bytes: &mut [u8], change: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let at = u32::from_le_bytes([change[0], change[1], change[2], change[3]]) as usize;
    let at = at % bytes.len();
    match change[4] % 5 {
        0 => bytes[at] = change[5],
        1 => bytes[at] ^= 1 << (change[5] % 8),
        2 => bytes[at] = bytes[at].wrapping_add(change[5]),
        3 => {
            let end = (at + 16 * usize::from(change[5])).min(bytes.len());
            bytes[at..end].fill(0);
        }
        _ => {
            // As a page that was written to the wrong place.
            let (from, to) = (at / 4096 * 4096, usize::from(change[5]) * 4096 % bytes.len());
            let length = 4096.min(bytes.len() - from).min(bytes.len() - to);
            bytes.copy_within(from..from + length, to);
        }
    }
}

async fn opened(folder: &Path, all: &[Arc<StoredEvent>]) -> Verdict {
    let store = match EmbeddedStore::open_with(&DataDir::at(folder), &options()).await {
        Ok(store) => store,
        Err(error) => {
            assert!(!matches!(error, OpenError::InUse { .. }), "{error}");
            assert_short(&error.to_string());
            return Verdict::Refused;
        }
    };
    let mut whole = true;
    match read_all(&store).await {
        Ok(found) => assert!(found == all, "other events than were written"),
        Err(error) => whole &= corrupt(&error),
    }
    for event in all.iter().step_by(5) {
        match EventStore::read_stream(&store, event.stream, event.version - 1, 1).await {
            Ok(found) => assert_eq!(found, std::slice::from_ref(event)),
            Err(error) => whole &= corrupt(&error),
        }
    }
    // What is damaged may not be closed well, but it ends.
    let _ = store.close().await;
    Verdict::of(whole)
}

fn corrupt(error: &StoreError) -> bool {
    assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}");
    assert_short(&error.to_string());
    false
}

async fn read_all(store: &EmbeddedStore) -> Result<Vec<Arc<StoredEvent>>, StoreError> {
    let mut all: Vec<Arc<StoredEvent>> = Vec::new();
    loop {
        let after = all.last().map_or(Position(0), |event| event.position);
        let page = EventStore::read_all(store, after, 50).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

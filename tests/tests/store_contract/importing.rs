//! Taking over what another store recorded.

use std::sync::{Arc, OnceLock};

use hakken_adapters::memory::MemoryStore;
use hakken_commands::store::{EventStore, Imported};
use hakken_domain::envelope::{Position, StoredEvent};
use hakken_tests::stores::{append, at, first_disorder, stream, written};

use super::{Store, reading::read_everything};

type Opened = Arc<dyn Store>;

fn events(store: &Opened) -> &dyn EventStore {
    &**store
}

/// A history in which streams, times and batches are mixed.
async fn history() -> Vec<Arc<StoredEvent>> {
    let other = MemoryStore::new();
    let mut versions = [0; 7];
    for batch in 0..40_u64 {
        let streams = (0..7).filter(|n| batch % (n + 1) == 0);
        let appends = streams.map(|n| {
            let version = &mut versions[n as usize];
            let append =
                append(stream(n), *version, (0..=n % 3).map(|e| format!("{batch}.{n}.{e}")));
            *version += append.events.len() as u64;
            append
        });
        other.append(appends.collect(), at(1_000 + batch as i64 / 3)).await.unwrap();
    }
    EventStore::read_all(&other, Position(0), usize::MAX).await.unwrap()
}

pub async fn an_imported_history_is_the_same_in_every_byte(store: &Opened) {
    let history = history().await;
    for page in history.chunks(13) {
        assert_eq!(events(store).import(page.to_vec()).await.unwrap(), Imported::Taken);
    }
    let found = read_everything(store, 1_000).await;
    assert_eq!(first_disorder(Position(0), &found), None);
    assert_eq!(found, history);
    let of_one: Vec<_> = history.iter().filter(|e| e.stream == stream(2)).cloned().collect();
    assert_eq!(events(store).read_stream(stream(2), 0, 1_000).await.unwrap(), of_one);
    assert_eq!(events(store).import(Vec::new()).await.unwrap(), Imported::Taken);
}

pub async fn positions_are_the_stores_own(store: &Opened) {
    let sparse = history().await.into_iter().map(|event| {
        Arc::new(StoredEvent {
            position: Position(event.position.0 * 100),
            stream: event.stream,
            version: event.version,
            id: event.id,
            kind: event.kind.clone(),
            schema: event.schema,
            recorded_at: event.recorded_at,
            meta: event.meta.clone(),
            data: event.data.clone(),
            cache: OnceLock::new(),
        })
    });
    let sparse: Vec<_> = sparse.collect();
    assert_eq!(events(store).import(sparse.clone()).await.unwrap(), Imported::Taken);
    let found = read_everything(store, 1_000).await;
    assert_eq!(first_disorder(Position(0), &found), None);
    for (found, sparse) in found.iter().zip(&sparse) {
        assert_eq!((found.id, found.recorded_at), (sparse.id, sparse.recorded_at));
    }
}

pub async fn what_does_not_follow_is_not_taken(store: &Opened) {
    let history = history().await;
    events(store).import(history[..20].to_vec()).await.unwrap();
    // Again, with a gap, and from before the newest event.
    let again = events(store).import(history[10..25].to_vec()).await.unwrap();
    assert_eq!(again, Imported::DoesNotFollow(history[10].position));
    assert_eq!(read_everything(store, 1_000).await.len(), 20);
    let own = append(stream(99), 0, ["later"]);
    written(&events(store).append(vec![own], at(5_000)).await.unwrap()[0]);
    let earlier = events(store).import(history[20..].to_vec()).await.unwrap();
    assert_eq!(earlier, Imported::DoesNotFollow(history[20].position));
    assert_eq!(read_everything(store, 1_000).await.len(), 21);
}

pub async fn an_imported_store_goes_on_like_its_own(store: &Opened) {
    let history = history().await;
    events(store).import(history.clone()).await.unwrap();
    let mut live = EventStore::follow(&**store, Position(history.len() as u64));
    let version = history.iter().filter(|event| event.stream == stream(0)).count() as u64;
    let next = append(stream(0), version, ["on"]);
    let answers = events(store).append(vec![next], at(0)).await.unwrap();
    let new = &written(&answers[0])[0];
    assert_eq!(new.position.0, history.len() as u64 + 1);
    assert_eq!(new.recorded_at, history[history.len() - 1].recorded_at);
    let told = futures_util::StreamExt::next(&mut live).await.unwrap().unwrap();
    assert_eq!(told[0], *new);
}

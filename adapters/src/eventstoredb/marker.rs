//! The engine's own stream, `hakken.store`: what says that there is a store, where in $all it
//! begins, and to whose secret it is bound. Its events are no events of the engine and have no
//! position.
//!
//! | revision | type | data |
//! |---|---|---|
//! | 0 | `store-created` | `{"format":1}`; its event id is the store's |
//! | 1 | `store-placed` | `{"commit":…,"prepare":…}`: where event 0 stands in $all |
//! | 2 | `secret-bound` | `{"check":"…"}`: tells a secret from another one, says nothing about it |

use bytes::Bytes;
use eventstore::{EventData, RecordedEvent};
use hakken_domain::envelope::Fingerprint;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    OpenError,
    link::Link,
    pages::{PAGE_EVENTS, Place},
};

/// What this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

const CREATED: &str = "store-created";
const PLACED: &str = "store-placed";
const BOUND: &str = "secret-bound";

/// Of the stream's name, after the namespace and the full stop.
pub(super) const NAME: &str = "store";

#[derive(Serialize, Deserialize)]
struct Created {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Placed {
    commit: u64,
    prepare: u64,
}

#[derive(Serialize, Deserialize)]
struct Bound {
    check: String,
}

/// Which store it is and where it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marker {
    pub(super) store: Uuid,
    pub(super) origin: Place,
}

fn stream(link: &Link) -> String {
    format!("{}.{NAME}", link.address().namespace)
}

async fn read(link: &Link) -> Result<Vec<RecordedEvent>, OpenError> {
    let page = link.stream(&stream(link), 0, PAGE_EVENTS).await;
    Ok(page.map_err(|fault| OpenError::unreachable(link, fault))?.events)
}

/// Appends if the stream has this length.
async fn append(
    link: &Link,
    length: usize,
    kind: &str,
    data: &impl Serialize,
) -> Result<Option<Place>, OpenError> {
    let unreachable = |error| OpenError::unreachable(link, error);
    let id = new_id().map_err(|error| OpenError::unreachable(link, error))?;
    let event = EventData::json(kind, data)
        .map_err(|error| OpenError::unreachable(link, error))?
        .id(id)
        .metadata(Bytes::from_static(b"{}"));
    link.append(&stream(link), length as u64, vec![event]).await.map_err(unreachable)
}

fn new_id() -> Result<Uuid, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(Uuid::from_bytes(bytes))
}

fn find<'e, D: Deserialize<'e>>(events: &'e [RecordedEvent], kind: &str) -> Option<D> {
    let event = events.iter().find(|event| event.event_type == kind)?;
    serde_json::from_slice(&event.data).ok()
}

/// Finds the store, or makes it. Of processes that start at once, one does.
pub(super) async fn ensure(link: &Link) -> Result<Marker, OpenError> {
    loop {
        let events = read(link).await?;
        let Some(first) = events.first() else {
            let placed = append(link, 0, CREATED, &Created { format: FORMAT }).await?;
            // Without a place the next look finds it.
            if let Some(Place { commit, prepare }) = placed.filter(|place| place.commit > 0) {
                append(link, 1, PLACED, &Placed { commit, prepare }).await?;
            }
            continue;
        };
        let created: Option<Created> = find(&events, CREATED);
        let found = created.map_or(0, |created| created.format);
        if found != FORMAT {
            return Err(OpenError::Newer { server: link.address().name.clone(), found });
        }
        if let Some(Placed { commit, prepare }) = find(&events, PLACED) {
            return Ok(Marker { store: first.id, origin: Place { commit, prepare } });
        }
        // Whoever made the store did not come so far: its beginning is looked for.
        let Place { commit, prepare } = search(link, first.id).await?;
        append(link, events.len(), PLACED, &Placed { commit, prepare }).await?;
    }
}

/// Where an event stands in $all, from the beginning.
async fn search(link: &Link, event: Uuid) -> Result<Place, OpenError> {
    let mut from = None;
    loop {
        let page = link.all(from, PAGE_EVENTS).await;
        let page = page.map_err(|fault| OpenError::unreachable(link, fault))?;
        if let Some(found) = page.events.iter().find(|found| found.id == event) {
            return Ok(found.position.into());
        }
        let last = page.events.last().map(|last| Place::from(last.position));
        if page.is_last || last == from {
            return Err(OpenError::unreachable(link, "its first event is not in $all"));
        }
        from = last;
    }
}

/// The first secret is written down, any other one is refused.
pub(super) async fn bind_secret(link: &Link, check: Fingerprint) -> Result<(), OpenError> {
    let check = check.to_string();
    loop {
        let events = read(link).await?;
        if let Some(bound) = find::<Bound>(&events, BOUND) {
            let server = || link.address().name.clone();
            return match bound.check == check {
                true => Ok(()),
                false => Err(OpenError::OtherSecret { server: server() }),
            };
        }
        append(link, events.len(), BOUND, &Bound { check: check.clone() }).await?;
    }
}

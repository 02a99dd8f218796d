//! What the clients were told, against what the events say.

use std::{collections::HashMap, path::Path};

use futures_util::future::BoxFuture;
use hakken_adapters::{data_dir::DataDir, embedded::EmbeddedStore};
use hakken_domain::{
    Event,
    envelope::{Position, StoredEvent},
    inventory,
    names::{EventId, SeatId},
};
use hakken_projections::feed::EventFeed;
use hakken_tests::audit::Audit;
use serde_json::{Value, json};

use super::life::{Acknowledged, Step};

/// Opens the events anew, past everything that the servers have between them and their store.
pub type Events =
    Box<dyn Fn() -> BoxFuture<'static, Result<Box<dyn EventFeed>, String>> + Send + Sync>;

/// The events of a data directory.
pub fn embedded_events(data: &Path) -> Events {
    let directory = DataDir::at(data);
    Box::new(move || {
        let directory = directory.clone();
        Box::pin(async move {
            let store = EmbeddedStore::open_read_only(&directory).await;
            let store = store.map_err(|error| error.to_string())?;
            Ok(Box::new(store) as Box<dyn EventFeed>)
        })
    })
}

/// Reads the events as they grow, and forgets nothing.
pub struct Witness {
    events: Events,
    audit: Audit,
    /// The first thing that is wrong with the events.
    wrong: Option<String>,
    /// The newest event that was read.
    newest: Option<(Position, EventId)>,
    /// Position of the event of each kind that came with each idempotency key.
    recorded: HashMap<(String, String), Position>,
    newest_acknowledged: Position,
    /// The seats that were held under each key.
    held: HashMap<String, Value>,
    /// Everything that was ever acknowledged.
    pub acknowledged: Vec<Acknowledged>,
}

impl Witness {
    pub fn new(events: Events) -> Self {
        Self {
            events,
            audit: Audit::default(),
            wrong: None,
            newest: None,
            recorded: HashMap::new(),
            newest_acknowledged: Position(0),
            held: HashMap::new(),
            acknowledged: Vec::new(),
        }
    }

    /// The newest position that was read.
    pub fn position(&self) -> Position {
        self.newest.map_or(Position(0), |(position, _)| position)
    }

    /// Reads on. What was read before must still be there, and all must be in order.
    pub async fn read_on(&mut self) -> Result<(), String> {
        self.read().await?;
        self.wrong.clone().map_or(Ok(()), Err)
    }

    /// The first thing that is wrong with the events that were read.
    pub fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// Reads on to the end, also past what is wrong.
    pub async fn read(&mut self) -> Result<(), String> {
        let store = (self.events)().await?;
        let mut after = Position(self.position().0.saturating_sub(1));
        let mut is_first = true;
        loop {
            let page = store.read_all(after, 2_000).await;
            let page = page.map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { break };
            after = last.position;
            let mut fresh = &page[..];
            if let Some((position, id)) = self.newest.filter(|_| is_first) {
                let same = page[0].position == position && page[0].id == id;
                if !same {
                    return Err(format!("{id} at {position} was read, and is gone"));
                }
                fresh = &page[1..];
            }
            is_first = false;
            for event in fresh {
                if let Err(wrong) = self.take(event) {
                    self.wrong.get_or_insert(format!("at position {}: {wrong}", event.position));
                }
            }
        }
        if is_first && let Some((position, id)) = self.newest {
            return Err(format!("{id} at {position} was read, and is gone"));
        }
        Ok(())
    }

    fn take(&mut self, event: &StoredEvent) -> Result<(), String> {
        self.newest = Some((event.position, event.id));
        let in_order = self.audit.read_next(event);
        let decoded = event.decoded().map_err(ToString::to_string)?;
        let Some(key) = &decoded.meta.key else { return in_order };
        let place = (key.as_str().to_owned(), event.kind.to_string());
        if let Event::Inventory(inventory::Event::SeatsHeld(held)) = &decoded.event {
            let seats: Vec<&str> = held.places.seats.iter().map(SeatId::as_str).collect();
            self.held.insert(place.0.clone(), json!(seats));
        }
        // Processes do several things under one key; a buyer's request does one.
        if place.0.starts_with("life-")
            && let Some(before) = self.recorded.insert(place, event.position)
        {
            return Err(format!("{key} happened at {before} already"));
        }
        in_order
    }

    /// Takes down what was acknowledged. Each must be among the events that were read.
    pub fn heard(&mut self, acknowledged: Vec<Acknowledged>) -> Result<(), String> {
        for each in &acknowledged {
            let mut places =
                each.step.kinds().iter().map(|kind| (each.key.clone(), (*kind).into()));
            let Some(position) = places.find_map(|place| self.recorded.get(&place)) else {
                return Err(format!("{each:?} was acknowledged, and is not recorded"));
            };
            if each.step == Step::Hold && self.held.get(&each.key) != Some(&each.seats) {
                return Err(format!("{each:?}, and recorded are {:?}", self.held.get(&each.key)));
            }
            self.newest_acknowledged = self.newest_acknowledged.max(*position);
        }
        self.acknowledged.extend(acknowledged);
        Ok(())
    }

    /// The newest position that a client was told something about.
    pub fn newest_acknowledged(&self) -> Position {
        self.newest_acknowledged
    }

    /// Whether anything is half done.
    pub fn at_rest(&self) -> Result<(), String> {
        self.audit.at_rest()
    }
}

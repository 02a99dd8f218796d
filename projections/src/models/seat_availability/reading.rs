//! What the fold reads of an event: the fact alone, without who did it and why, and of what was
//! put on sale little more than the names of the seats. It is read once, when its rows are asked
//! for, and with it the numbers of its seats.

use std::{borrow::Cow, collections::VecDeque};

use hakken_domain::{
    Event,
    codec::{self, DecodeError},
    envelope::{Position, StoredEvent},
    inventory::{self, SalesRules},
    names::{OrganizerId, SeatId},
};
use serde::Deserialize;

use crate::{projection::Inconsistent, rows::Value};

/// The kind of event that has a map, and the schema version of the shape below.
const OPENED: (&str, u16) = ("sales-opened", 1);

/// In the place of a seat's number where the map has no such seat.
pub(super) const NOT_IN_MAP: u32 = u32::MAX;

/// What happened.
#[derive(Debug, PartialEq)]
pub(super) enum Fact {
    /// A show was put on sale.
    Opened {
        /// How many legs it has.
        legs: u8,
        /// When and how much.
        rules: SalesRules,
    },
    /// Anything else.
    Other(inventory::Event),
}

/// An event that was read and not folded in yet.
#[derive(Debug)]
pub(super) struct Reading {
    position: Position,
    /// What happened, or why that cannot be read.
    pub(super) fact: Result<Fact, Inconsistent>,
    /// The numbers of the fact's seats, once the map is known.
    pub(super) numbers: Option<Vec<u32>>,
}

/// Those of a batch, in the order of their positions.
#[derive(Debug, Default)]
pub(super) struct Readings {
    waiting: VecDeque<Reading>,
}

impl Readings {
    /// What was read of an event; it is read now if it was not.
    pub(super) fn of(
        &mut self,
        event: &StoredEvent,
        read: impl FnOnce() -> Result<Fact, Inconsistent>,
    ) -> &mut Reading {
        let position = event.position;
        let at = self.waiting.partition_point(|reading| reading.position < position);
        if self.waiting.get(at).is_none_or(|reading| reading.position != position) {
            self.waiting.insert(at, Reading { position, fact: read(), numbers: None });
        }
        &mut self.waiting[at]
    }

    /// The same for the last time. Whatever came before it is of no use any more.
    pub(super) fn take(&mut self, event: &StoredEvent) -> Option<Reading> {
        while let Some(reading) = self.waiting.pop_front() {
            if reading.position == event.position {
                return Some(reading);
            }
            if reading.position > event.position {
                self.waiting.push_front(reading);
                break;
            }
        }
        None
    }
}

/// Whether an event puts a show on sale.
pub(super) fn is_opening(event: &StoredEvent) -> bool {
    event.kind == OPENED.0
}

/// What happened, for all but what puts a show on sale. Somebody may have decoded it already.
pub(super) fn other(event: &StoredEvent) -> Result<Fact, Inconsistent> {
    let fact = match event.cache.get() {
        Some(decoded) => decoded.as_ref()?.event.clone(),
        None => codec::decode_event(&event.kind, event.schema, &event.data)
            .map_err(|error| Inconsistent::from(&error))?,
    };
    match fact {
        Event::Inventory(fact) => Ok(Fact::Other(fact)),
        _ => Err(Inconsistent(format!("a {} is not of an inventory", event.kind))),
    }
}

/// What was put on sale. It is written as it was stored, so that its many seats are neither
/// decoded nor written anew.
pub(super) struct Opened {
    pub(super) organizer: Option<OrganizerId>,
    pub(super) legs: u8,
    pub(super) rules: SalesRules,
    /// The `sales-opened` as JSON.
    pub(super) doc: Value,
}

impl Opened {
    /// Reads it, and gives the names of the seats in the order of the map.
    pub(super) fn read(
        event: &StoredEvent,
        take_seats: impl FnOnce(u8, &[&str]),
    ) -> Result<Self, Inconsistent> {
        let error = |error: DecodeError| Inconsistent::from(&error);
        let data: Cow<'_, [u8]> = if event.schema == OPENED.1 {
            Cow::Borrowed(&event.data)
        } else {
            let data = codec::decode_event(&event.kind, event.schema, &event.data);
            Cow::Owned(codec::encode(&data.map_err(error)?))
        };
        let bad = |reason: String| {
            let (kind, schema) = (event.kind.to_string(), event.schema);
            error(DecodeError::BadData { kind, schema, reason })
        };
        let text = str::from_utf8(&data).map_err(|error| bad(error.to_string()))?;
        let Stored { legs, rules, seat_map } =
            serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        let meta = codec::decode_metadata(&event.kind, &event.meta).map_err(error)?;
        take_seats(legs, &seat_map.names());
        Ok(Self { organizer: meta.organizer, legs, rules, doc: Value::Text(text.into()) })
    }
}

/// Of a stored `sales-opened`, what the fold needs.
#[derive(Deserialize)]
struct Stored<'a> {
    legs: u8,
    rules: SalesRules,
    #[serde(borrow)]
    seat_map: SeatNames<'a>,
}

/// Of a stored map only the names of its seats.
#[derive(Deserialize)]
pub(super) struct SeatNames<'a> {
    #[serde(borrow)]
    sections: Vec<Section<'a>>,
}

#[derive(Deserialize)]
struct Section<'a> {
    #[serde(borrow)]
    rows: Vec<SeatRow<'a>>,
}

#[derive(Deserialize)]
struct SeatRow<'a> {
    #[serde(borrow)]
    seats: Vec<Seat<'a>>,
}

#[derive(Deserialize)]
struct Seat<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

impl SeatNames<'_> {
    /// In the order of the map.
    pub(super) fn names(&self) -> Vec<&str> {
        let rows = self.sections.iter().flat_map(|section| &section.rows);
        rows.flat_map(|row| &row.seats).map(|seat| seat.id.as_ref()).collect()
    }
}

/// The seats that a fact names.
pub(super) fn seats_of(fact: &inventory::Event) -> &[SeatId] {
    use inventory::Event as E;
    match fact {
        E::SalesOpened(_)
        | E::SalesRulesChanged(_)
        | E::SalesClosed(_)
        | E::AllotmentSet(_)
        | E::HoldExtended(_) => &[],
        E::SeatsBlocked(fact) => &fact.seats,
        E::SeatsUnblocked(fact) => &fact.seats,
        E::SeatsHeld(fact) => &fact.places.seats,
        E::HoldConfirmed(fact) | E::OrderReseated(fact) => &fact.places.seats,
        E::HoldReleased(fact) | E::HoldExpired(fact) => &fact.places.seats,
        E::PlacesReturned(fact) => &fact.places.seats,
    }
}

#[cfg(test)]
mod tests {
    use hakken_domain::codec::kind_of;

    use super::*;
    use crate::testing::{Bench, Store};

    #[tokio::test]
    async fn what_is_read_of_an_opening_is_what_it_says() {
        let bench = Bench::start(Store::in_memory()).await;
        bench.feed.organizer_registered("one");
        bench.feed.sales_opened("s", 3);
        let events = bench.feed.events(Position(0), 100);
        let event = events.iter().find(|event| is_opening(event)).expect("an opening");
        let decoded = event.decoded().expect("it decodes");
        let Event::Inventory(inventory::Event::SalesOpened(whole)) = &decoded.event else {
            panic!("{:?}", decoded.event)
        };
        assert_eq!(kind_of(&decoded.event), OPENED, "the shape that is read is the newest one");
        let mut names = Vec::new();
        let read = Opened::read(event, |legs, seats| {
            assert_eq!(legs, whole.legs);
            names = seats.iter().map(|name| (*name).to_owned()).collect();
        });
        let read = read.expect("it can be read");
        let expected: Vec<_> = whole.seat_map.seats().map(|seat| seat.id.to_string()).collect();
        assert_eq!(names, expected);
        assert_eq!((read.legs, &read.rules), (whole.legs, &whole.rules));
        assert_eq!(read.organizer, decoded.meta.organizer);
        assert_eq!(read.doc, Value::Text(str::from_utf8(&event.data).expect("JSON").into()));
    }
}

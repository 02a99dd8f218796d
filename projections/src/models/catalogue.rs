//! What there is to sell and who sells it: organizers, venues, shows with their ticket types, and
//! API keys (never their hashes).

mod fold;
mod queries;
#[cfg(test)]
mod tests;

use hakken_domain::{
    apikey,
    envelope::{Position, StreamId, StreamKind},
    names::{ApiKeyId, Label, OrganizerId, Reason, ShowId, VenueId},
    seatmap::SeatMap,
    show::{ShowScheduled, TicketType},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    cache::{Record, doc, read, read_doc},
    projection::{ByShow, OwnStream, Projection, ShowEvents},
    rows::{Column, Key, Row, RowError, Table, Value},
};

pub use queries::ShowFilter;
pub(crate) use queries::by_position;

/// The projection.
pub const CATALOGUE: Projection = Projection {
    name: "catalogue",
    version: 1,
    tables: &[&ORGANIZERS, &VENUES, &MAPS, &SHOWS, &KEYS],
    streams: &[StreamKind::Organizer, StreamKind::Venue, StreamKind::Show, StreamKind::Key],
    passes_over: &[],
    decoded_ahead: true,
    fold: || Box::new(fold::CatalogueFold::default()),
    own: &[
        OwnStream { table: &ORGANIZERS, column: "organizer", kind: StreamKind::Organizer },
        OwnStream { table: &VENUES, column: "venue", kind: StreamKind::Venue },
        OwnStream { table: &MAPS, column: "venue", kind: StreamKind::Venue },
        OwnStream { table: &SHOWS, column: "show", kind: StreamKind::Show },
        OwnStream { table: &KEYS, column: "api_key", kind: StreamKind::Key },
    ],
    // Venues, organizers and keys are of no show.
    by_show: Some(ByShow {
        tables: &[(&SHOWS, "show")],
        events: ShowEvents::Stream(StreamId::show),
    }),
};

static ORGANIZERS: Table = Table {
    name: "organizers",
    noun: "organizer",
    columns: &[Column::text("organizer"), Column::int("position"), Column::doc("doc")],
    key: 1,
    indexes: &[&["position"]],
};

static VENUES: Table = Table {
    name: "venues",
    noun: "venue",
    columns: &[
        Column::text("venue"),
        Column::int("position"),
        Column::text("organizer"),
        Column::doc("doc"),
    ],
    key: 1,
    indexes: &[&["position"], &["organizer", "position"]],
};

/// Apart from the venues, so that a list of venues does not read a hundred thousand seats.
static MAPS: Table = Table {
    name: "venue_maps",
    noun: "seat map of venue",
    columns: &[Column::text("venue"), Column::doc("doc")],
    key: 1,
    indexes: &[],
};

static SHOWS: Table = Table {
    name: "shows",
    noun: "show",
    columns: &[
        Column::text("show"),
        Column::int("position"),
        Column::text("organizer"),
        Column::text("venue"),
        Column::int("starts_at"),
        Column::doc("doc"),
    ],
    key: 1,
    indexes: &[&["position"], &["organizer", "position"], &["starts_at", "position"]],
};

static KEYS: Table = Table {
    name: "api_keys",
    noun: "API key",
    columns: &[
        Column::text("api_key"),
        Column::int("position"),
        Column::text("organizer"),
        Column::doc("doc"),
    ],
    key: 1,
    indexes: &[&["position"], &["organizer", "position"]],
};

/// A key for ticket codes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CodeKeyView {
    /// Its number.
    pub code_key: u8,
    /// Codes signed with it are refused.
    pub disabled: bool,
    /// When it was added.
    pub added_at: Timestamp,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrganizerView {
    /// Its id.
    pub organizer: OrganizerId,
    /// What people call it.
    pub name: Label,
    /// Its keys for ticket codes, the newest last: the last that is not disabled signs.
    pub code_keys: Vec<CodeKeyView>,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// The position of its first event.
    pub position: Position,
}

/// A place. Its seat map is read by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VenueView {
    /// Its id.
    pub venue: VenueId,
    /// Whose it is.
    pub organizer: Option<OrganizerId>,
    /// What people call it.
    pub name: Label,
    /// Numbered seats.
    pub seats: u64,
    /// Places of its pools.
    pub pool_places: u64,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// The position of its first event.
    pub position: Position,
}

/// A show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShowView {
    /// Its id.
    pub show: ShowId,
    /// Whose it is.
    pub organizer: Option<OrganizerId>,
    /// Name, place, times, stops, currency and rules.
    pub scheduled: ShowScheduled,
    /// What is offered now, in the order in which it was first offered.
    pub ticket_types: Vec<TicketType>,
    /// Why it will not take place, if it was cancelled.
    pub cancelled_because: Option<Reason>,
    /// The position of its first event.
    pub position: Position,
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiKeyView {
    /// Its id.
    pub api_key: ApiKeyId,
    /// For whom; nobody for an operator.
    pub organizer: Option<OrganizerId>,
    /// What people call it.
    pub label: Label,
    /// What its holder may do.
    pub role: apikey::Role,
    /// It opens nothing any more.
    pub revoked: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// The position of its first event.
    pub position: Position,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct MapRow(SeatMap);

/// `to_row` writes the key, these columns and the document.
macro_rules! record {
    ($record:ident, $key:ident, $table:ident, $column:literal, |$it:ident| [$($value:expr),*]) => {
        impl Record for $record {
            type Key = $key;
            fn table() -> &'static Table {
                &$table
            }
            fn key_values(key: &$key) -> Key {
                vec![Value::text(key)]
            }
            fn to_row(&self, key: &$key) -> Row {
                let $it = self;
                vec![Value::text(key), $($value,)* doc($it)]
            }
            fn from_row(row: &Row) -> Result<($key, Self), RowError> {
                Ok((read(&$table, row, $column)?, read_doc(&$table, row, "doc")?))
            }
        }
    };
}

record!(OrganizerView, OrganizerId, ORGANIZERS, "organizer", |it| [Value::position(it.position)]);
record!(VenueView, VenueId, VENUES, "venue", |it| [
    Value::position(it.position),
    Value::maybe(it.organizer)
]);
record!(MapRow, VenueId, MAPS, "venue", |it| []);
record!(ShowView, ShowId, SHOWS, "show", |it| [
    Value::position(it.position),
    Value::maybe(it.organizer),
    Value::text(it.scheduled.venue),
    Value::time(it.scheduled.starts_at)
]);
record!(ApiKeyView, ApiKeyId, KEYS, "api_key", |it| [
    Value::position(it.position),
    Value::maybe(it.organizer)
]);

//! What there is to sell and who sells it: organizers, venues, shows with their ticket types, and
//! API keys (never their hashes).

use hakken_domain::{
    Event, apikey,
    envelope::{Decoded, Position, StoredEvent, StreamId, StreamKind},
    names::{ApiKeyId, Label, OrganizerId, Reason, ShowId, VenueId},
    organizer,
    seatmap::SeatMap,
    show::{self, ShowScheduled, TicketType},
    time::Timestamp,
    venue,
};
use serde::{Deserialize, Serialize};

use crate::{
    ReadModels,
    cache::{AnyRows, Cache, Record, doc, read, read_doc},
    models::tenant_filter,
    page::{List, Page, PageRequest, QueryError},
    projection::{ByShow, Fold, Inconsistent, Projection, ShowEvents},
    rows::{Column, Filter, Key, Row, RowError, Table, Value},
};

/// The projection.
pub const CATALOGUE: Projection = Projection {
    name: "catalogue",
    version: 1,
    tables: &[&ORGANIZERS, &VENUES, &MAPS, &SHOWS, &KEYS],
    streams: &[StreamKind::Organizer, StreamKind::Venue, StreamKind::Show, StreamKind::Key],
    passes_over: &[],
    decoded_ahead: true,
    fold: || Box::new(CatalogueFold::default()),
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

struct CatalogueFold {
    organizers: Cache<OrganizerView>,
    venues: Cache<VenueView>,
    maps: Cache<MapRow>,
    shows: Cache<ShowView>,
    keys: Cache<ApiKeyView>,
}

impl Default for CatalogueFold {
    fn default() -> Self {
        Self {
            organizers: Cache::default(),
            venues: Cache::default(),
            maps: Cache::transient(),
            shows: Cache::default(),
            keys: Cache::default(),
        }
    }
}

impl Fold for CatalogueFold {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        vec![
            &mut self.organizers,
            &mut self.venues,
            &mut self.maps,
            &mut self.shows,
            &mut self.keys,
        ]
    }

    fn needs(&mut self, event: &StoredEvent) {
        let Ok(decoded) = event.decoded() else { return };
        let id = event.stream.id;
        match &decoded.event {
            Event::Organizer(_) => self.organizers.need(&OrganizerId(id)),
            Event::Venue(_) => self.venues.need(&VenueId(id)),
            Event::Show(_) => self.shows.need(&ShowId(id)),
            Event::Key(_) => self.keys.need(&ApiKeyId(id)),
            Event::Inventory(_)
            | Event::Order(_)
            | Event::Ticket(_)
            | Event::Gate(_)
            | Event::Operations(_) => {}
        }
    }

    fn apply(&mut self, event: &StoredEvent) -> Result<(), Inconsistent> {
        let decoded = event.decoded()?;
        match &decoded.event {
            Event::Organizer(fact) => self.apply_organizer(event, fact),
            Event::Venue(fact) => self.apply_venue(event, decoded, fact),
            Event::Show(fact) => self.apply_show(event, decoded, fact),
            Event::Key(fact) => self.apply_key(event, fact),
            Event::Inventory(_)
            | Event::Order(_)
            | Event::Ticket(_)
            | Event::Gate(_)
            | Event::Operations(_) => Ok(()),
        }
    }
}

fn unknown(event: &StoredEvent) -> Inconsistent {
    Inconsistent(format!("the stream {} does not begin with its first fact", event.stream))
}

impl CatalogueFold {
    fn apply_organizer(
        &mut self,
        event: &StoredEvent,
        fact: &organizer::Event,
    ) -> Result<(), Inconsistent> {
        use organizer::Event as E;
        let id = OrganizerId(event.stream.id);
        if let E::OrganizerRegistered(registered) = fact {
            let view = OrganizerView {
                organizer: id,
                name: registered.name.clone(),
                code_keys: Vec::new(),
                registered_at: event.recorded_at,
                position: event.position,
            };
            self.organizers.put(id, view);
            return Ok(());
        }
        let view = self.organizers.get_mut(&id).ok_or_else(|| unknown(event))?;
        match fact {
            E::OrganizerRegistered(_) => {}
            E::CodeKeyAdded(added) => view.code_keys.push(CodeKeyView {
                code_key: added.code_key,
                disabled: false,
                added_at: event.recorded_at,
            }),
            E::CodeKeyDisabled(disabled) => {
                let keys = view.code_keys.iter_mut();
                for key in keys.filter(|key| key.code_key == disabled.code_key) {
                    key.disabled = true;
                }
            }
        }
        Ok(())
    }

    fn apply_venue(
        &mut self,
        event: &StoredEvent,
        decoded: &Decoded,
        fact: &venue::Event,
    ) -> Result<(), Inconsistent> {
        use venue::Event as E;
        let id = VenueId(event.stream.id);
        let seat_map = match fact {
            E::VenueRegistered(registered) => {
                let view = VenueView {
                    venue: id,
                    organizer: decoded.meta.organizer,
                    name: registered.name.clone(),
                    seats: 0,
                    pool_places: 0,
                    registered_at: event.recorded_at,
                    position: event.position,
                };
                self.venues.put(id, view);
                &registered.seat_map
            }
            E::SeatMapReplaced(replaced) => &replaced.seat_map,
        };
        let view = self.venues.get_mut(&id).ok_or_else(|| unknown(event))?;
        view.seats = seat_map.seats().count() as u64;
        view.pool_places = seat_map.pools.iter().map(|pool| u64::from(pool.capacity)).sum();
        self.maps.put(id, MapRow(seat_map.clone()));
        Ok(())
    }

    fn apply_show(
        &mut self,
        event: &StoredEvent,
        decoded: &Decoded,
        fact: &show::Event,
    ) -> Result<(), Inconsistent> {
        use show::Event as E;
        let id = ShowId(event.stream.id);
        if let E::ShowScheduled(scheduled) = fact {
            let view = ShowView {
                show: id,
                organizer: decoded.meta.organizer,
                scheduled: scheduled.clone(),
                ticket_types: Vec::new(),
                cancelled_because: None,
                position: event.position,
            };
            self.shows.put(id, view);
            return Ok(());
        }
        let view = self.shows.get_mut(&id).ok_or_else(|| unknown(event))?;
        match fact {
            E::ShowScheduled(_) => {}
            E::TicketTypeOffered(offered) => {
                let types = &mut view.ticket_types;
                match types.iter_mut().find(|known| known.ticket_type == offered.ticket_type) {
                    Some(known) => *known = offered.clone(),
                    None => types.push(offered.clone()),
                }
            }
            E::TicketTypeWithdrawn(withdrawn) => {
                view.ticket_types.retain(|known| known.ticket_type != withdrawn.ticket_type);
            }
            E::ShowCancelled(cancelled) => {
                view.cancelled_because = Some(cancelled.reason.clone());
            }
        }
        Ok(())
    }

    fn apply_key(&mut self, event: &StoredEvent, fact: &apikey::Event) -> Result<(), Inconsistent> {
        use apikey::Event as E;
        let id = ApiKeyId(event.stream.id);
        match fact {
            E::ApiKeyCreated(created) => {
                let view = ApiKeyView {
                    api_key: id,
                    organizer: created.organizer,
                    label: created.label.clone(),
                    role: created.role,
                    revoked: false,
                    created_at: event.recorded_at,
                    position: event.position,
                };
                self.keys.put(id, view);
            }
            E::ApiKeyRevoked(_) => {
                self.keys.get_mut(&id).ok_or_else(|| unknown(event))?.revoked = true;
            }
        }
        Ok(())
    }
}

/// Which shows. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShowFilter {
    /// There.
    pub venue: Option<VenueId>,
    /// That begin then or later.
    pub starts_from: Option<Timestamp>,
    /// That begin before then.
    pub starts_until: Option<Timestamp>,
}

impl ReadModels {
    /// A row by its id.
    async fn one<R: Record>(&self, key: &R::Key) -> Result<Option<R>, QueryError> {
        let lease = self.engine().lease(CATALOGUE.name);
        let rows = lease.load(R::table(), vec![R::key_values(key)]).await?;
        Ok(rows.first().map(R::from_row).transpose()?.map(|(_, record)| record))
    }

    /// Rows by their ids, in any order.
    async fn several<R: Record>(&self, keys: &[R::Key]) -> Result<Vec<R>, QueryError> {
        let keys = keys.iter().map(R::key_values).collect();
        let rows = self.engine().lease(CATALOGUE.name).load(R::table(), keys).await?;
        Ok(rows.iter().map(|row| Ok(R::from_row(row)?.1)).collect::<Result<_, RowError>>()?)
    }

    /// Rows in the order in which their first events were recorded, or in another.
    async fn many<R: Record>(
        &self,
        filters: Vec<Filter>,
        order: Vec<&'static str>,
        page: &PageRequest,
    ) -> Result<Page<R>, QueryError> {
        let list = List { table: R::table(), filters, order };
        let rows = list.page(&self.engine().lease(CATALOGUE.name), page).await?;
        rows.decode(|row| Ok(R::from_row(row)?.1))
    }

    /// An organizer; a tenant sees itself alone.
    pub async fn organizer(
        &self,
        tenant: Option<OrganizerId>,
        organizer: OrganizerId,
    ) -> Result<Option<OrganizerView>, QueryError> {
        let view: Option<OrganizerView> = self.one(&organizer).await?;
        Ok(view.filter(|view| tenant.is_none_or(|tenant| view.organizer == tenant)))
    }

    /// Organizers by their ids, in any order; a tenant sees itself alone.
    pub async fn organizers_by_id(
        &self,
        tenant: Option<OrganizerId>,
        organizers: &[OrganizerId],
    ) -> Result<Vec<OrganizerView>, QueryError> {
        let mut found: Vec<OrganizerView> = self.several(organizers).await?;
        found.retain(|view| tenant.is_none_or(|tenant| view.organizer == tenant));
        Ok(found)
    }

    /// API keys by their ids, in any order; those of another tenant are left out.
    pub async fn api_keys_by_id(
        &self,
        tenant: Option<OrganizerId>,
        api_keys: &[ApiKeyId],
    ) -> Result<Vec<ApiKeyView>, QueryError> {
        let mut found: Vec<ApiKeyView> = self.several(api_keys).await?;
        found.retain(|view| tenant.is_none() || view.organizer == tenant);
        Ok(found)
    }

    /// Organizers; a tenant sees itself alone.
    pub async fn organizers(
        &self,
        tenant: Option<OrganizerId>,
        page: &PageRequest,
    ) -> Result<Page<OrganizerView>, QueryError> {
        self.many(tenant_filter(tenant), vec!["position"], page).await
    }

    /// A venue; none if there is none, or it belongs to another tenant.
    pub async fn venue(
        &self,
        tenant: Option<OrganizerId>,
        venue: VenueId,
    ) -> Result<Option<VenueView>, QueryError> {
        let view: Option<VenueView> = self.one(&venue).await?;
        Ok(view.filter(|view| tenant.is_none() || view.organizer == tenant))
    }

    /// Venues by their ids, in any order; those of another tenant are left out.
    pub async fn venues_by_id(
        &self,
        tenant: Option<OrganizerId>,
        venues: &[VenueId],
    ) -> Result<Vec<VenueView>, QueryError> {
        let mut found: Vec<VenueView> = self.several(venues).await?;
        found.retain(|view| tenant.is_none() || view.organizer == tenant);
        Ok(found)
    }

    /// The seat map that a venue has now; shows on sale keep theirs (see `availability`).
    pub async fn venue_seat_map(
        &self,
        tenant: Option<OrganizerId>,
        venue: VenueId,
    ) -> Result<Option<SeatMap>, QueryError> {
        if self.venue(tenant, venue).await?.is_none() {
            return Ok(None);
        }
        let row: Option<MapRow> = self.one(&venue).await?;
        Ok(row.map(|row| row.0))
    }

    /// The seat maps that several venues have now. Whoever asks has seen that the venues are
    /// theirs.
    pub async fn venue_seat_maps(
        &self,
        venues: &[VenueId],
    ) -> Result<Vec<(VenueId, SeatMap)>, QueryError> {
        let keys = venues.iter().map(MapRow::key_values).collect();
        let mut found = Vec::new();
        for row in self.engine().lease(CATALOGUE.name).load(&MAPS, keys).await? {
            let (venue, MapRow(map)) = MapRow::from_row(&row)?;
            found.push((venue, map));
            // Each map can be megabytes: others get the core between two of them.
            tokio::task::yield_now().await;
        }
        Ok(found)
    }

    /// Venues, in the order in which they were registered.
    pub async fn venues(
        &self,
        tenant: Option<OrganizerId>,
        page: &PageRequest,
    ) -> Result<Page<VenueView>, QueryError> {
        self.many(tenant_filter(tenant), vec!["position"], page).await
    }

    /// A show; none if there is none, or it belongs to another tenant.
    pub async fn show(
        &self,
        tenant: Option<OrganizerId>,
        show: ShowId,
    ) -> Result<Option<ShowView>, QueryError> {
        let view: Option<ShowView> = self.one(&show).await?;
        Ok(view.filter(|view| tenant.is_none() || view.organizer == tenant))
    }

    /// Shows by their ids, in any order; those of another tenant are left out.
    pub async fn shows_by_id(
        &self,
        tenant: Option<OrganizerId>,
        shows: &[ShowId],
    ) -> Result<Vec<ShowView>, QueryError> {
        let mut found: Vec<ShowView> = self.several(shows).await?;
        found.retain(|view| tenant.is_none() || view.organizer == tenant);
        Ok(found)
    }

    /// Shows, by the time at which they begin.
    pub async fn shows(
        &self,
        tenant: Option<OrganizerId>,
        filter: &ShowFilter,
        page: &PageRequest,
    ) -> Result<Page<ShowView>, QueryError> {
        let mut filters = tenant_filter(tenant);
        filters.extend(filter.venue.map(|venue| Filter::is("venue", venue)));
        let from = filter.starts_from.map(Timestamp::as_micros);
        filters.extend(from.map(|from| Filter::AtLeast("starts_at", from)));
        let until = filter.starts_until.map(|until| until.as_micros().saturating_sub(1));
        filters.extend(until.map(|until| Filter::AtMost("starts_at", until)));
        self.many(filters, vec!["starts_at", "position"], page).await
    }

    /// API keys, in the order in which they were made; a tenant sees its own.
    pub async fn api_keys(
        &self,
        tenant: Option<OrganizerId>,
        page: &PageRequest,
    ) -> Result<Page<ApiKeyView>, QueryError> {
        self.many(tenant_filter(tenant), vec!["position"], page).await
    }
}

#[cfg(test)]
mod tests;

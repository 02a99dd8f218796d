use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};
use hakken_domain::{
    names::VenueId,
    seatmap::{self, Point},
    venue,
};
use hakken_projections::models::{catalogue::VenueView, seat_availability::ShowMap};

use tokio::task::spawn_blocking;

use crate::{
    auth::Right,
    faults::Fault,
    ids::GlobalId,
    schema::{
        context::{Answer, Asked, answer},
        pace::OneByOne,
    },
};

/// A place with seats: a hall, a stadium, a train, an aircraft.
#[derive(Debug, Clone)]
pub struct Venue {
    pub(crate) id: VenueId,
    name: String,
}

impl Venue {
    /// None if the venue was never registered.
    pub(crate) fn from_state(id: VenueId, state: &venue::State) -> Option<Self> {
        Some(Self { id, name: state.name()?.to_string() })
    }
}

impl From<VenueView> for Venue {
    fn from(view: VenueView) -> Self {
        Self { id: view.venue, name: view.name.to_string() }
    }
}

/// A place with seats: a hall, a stadium, a train, an aircraft.
#[Object]
impl Venue {
    /// Its global id: `venue_…`.
    pub async fn id(&self) -> ID {
        self.id.global()
    }

    /// What people call it: `Main Hall`.
    async fn name(&self) -> &str {
        &self.name
    }

    /// Its seats and pools as they are now. Shows that are on sale keep the map that they opened
    /// with: see `seatMap` of the show.
    async fn seat_map(&self, ctx: &Context<'_>) -> Answer<SeatMap> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeShows)?;
            asked.links(caller).map_of_venue(self.id).await
        })
        .await
    }
}

/// Sections with rows of seats, and pools, on a plane with a focal point.
#[derive(Debug, Clone)]
pub enum SeatMap {
    /// As a venue has it now.
    Venue(Arc<seatmap::SeatMap>),
    /// As a show sells it.
    Show(Arc<ShowMap>),
}

impl SeatMap {
    fn map(&self) -> &seatmap::SeatMap {
        match self {
            Self::Venue(map) => map,
            Self::Show(map) => &map.seat_map,
        }
    }
}

/// Sections with rows of seats, and pools, on a plane with a focal point.
#[Object]
impl SeatMap {
    /// What people call it: `Main Hall`.
    async fn name(&self) -> &str {
        self.map().name.as_str()
    }

    /// Where people want to look: the stage, the centre circle. Best available is near it.
    async fn focus(&self) -> MapPoint {
        self.map().focus.into()
    }

    /// How many seats it has, wheelchair places included.
    async fn seat_count(&self) -> usize {
        self.map().seats().count()
    }

    /// How many unnumbered places its pools have together.
    async fn pool_places(&self) -> u64 {
        self.map().pools.iter().map(|pool| u64::from(pool.capacity)).sum()
    }

    /// Blocks of rows.
    async fn sections(&self) -> OneByOne<Section> {
        (0..self.map().sections.len()).map(|at| Section { map: self.clone(), at }).collect()
    }

    /// Unnumbered capacity: standing places, free seating.
    async fn pools(&self) -> Vec<Pool> {
        self.map().pools.iter().map(Pool::from).collect()
    }

    /// The whole map in Hakken's own JSON form, which `registerVenue` takes.
    async fn json(&self) -> Answer<String> {
        answer(async {
            // A map can be megabytes, and an answer can have several.
            let map = self.clone();
            let text = spawn_blocking(move || serde_json::to_string(map.map())).await;
            let text = text.map_err(|error| Fault::Internal(error.to_string()))?;
            text.map(Some).map_err(|error| Fault::Internal(error.to_string()))
        })
        .await
    }
}

/// A point of the plane, in hundredths of the map's own unit; y grows downwards.
#[derive(Debug, Clone, Copy, SimpleObject)]
#[graphql(name = "Point")]
pub struct MapPoint {
    /// To the right.
    pub x: i32,
    /// Down.
    pub y: i32,
}

impl From<Point> for MapPoint {
    fn from(point: Point) -> Self {
        Self { x: point.x, y: point.y }
    }
}

/// A block of rows: stalls, balcony, coach 7.
#[derive(Debug, Clone)]
pub struct Section {
    map: SeatMap,
    at: usize,
}

impl Section {
    fn section(&self) -> &seatmap::Section {
        &self.map.map().sections[self.at]
    }
}

/// A block of rows: stalls, balcony, coach 7.
#[Object]
impl Section {
    /// What people call it: `Stalls`.
    async fn name(&self) -> &str {
        self.section().name.as_str()
    }

    /// From the front.
    async fn rows(&self) -> OneByOne<Row> {
        let rows = 0..self.section().rows.len();
        rows.map(|at| Row { section: self.clone(), at }).collect()
    }
}

/// Seats side by side, in the order in which one sits next to the other.
#[derive(Debug, Clone)]
pub struct Row {
    section: Section,
    at: usize,
}

impl Row {
    fn row(&self) -> &seatmap::Row {
        &self.section.section().rows[self.at]
    }
}

/// Seats side by side, in the order in which one sits next to the other.
#[Object]
impl Row {
    /// What people call it: `A`.
    async fn name(&self) -> &str {
        self.row().name.as_str()
    }

    /// From one end to the other.
    async fn seats(&self) -> OneByOne<Seat> {
        self.row().seats.iter().map(Seat::from).collect()
    }
}

/// One seat of a seat map.
#[derive(Debug, Clone, SimpleObject)]
pub struct Seat {
    /// Its name, unique in the map: what holds and orders say, such as `A1`.
    pub name: String,
    /// The number on the seat: `12`.
    pub number: String,
    /// Where it stands.
    pub at: MapPoint,
    /// Its price category: `S`.
    pub category: String,
    /// A wheelchair place, or one kept for accessibility: never given to a general request.
    pub wheelchair: bool,
    /// A gap lies between this seat and the next one of the row.
    pub aisle_after: bool,
}

/// Unnumbered capacity of a seat map.
#[derive(Debug, Clone, SimpleObject)]
pub struct Pool {
    /// Its name, unique in the map: what holds and orders say, such as `floor`.
    pub name: String,
    /// How many places it has.
    pub capacity: u32,
    /// Its price category: `standing`.
    pub category: String,
}

impl From<&seatmap::Seat> for Seat {
    fn from(seat: &seatmap::Seat) -> Self {
        Self {
            name: seat.id.to_string(),
            number: seat.number.to_string(),
            at: seat.at.into(),
            category: seat.category.to_string(),
            wheelchair: seat.wheelchair,
            aisle_after: seat.aisle_after,
        }
    }
}

impl From<&seatmap::Pool> for Pool {
    fn from(pool: &seatmap::Pool) -> Self {
        Self {
            name: pool.id.to_string(),
            capacity: pool.capacity,
            category: pool.category.to_string(),
        }
    }
}

//! What the API needs from outside: the binary wires it.

use std::sync::Arc;

use hakken_commands::{WriteSide, desk::EngineSecret};
use hakken_domain::{
    names::{Category, SeatId},
    seatmap::{Point, Pool, SeatMap},
};
use hakken_projections::{ReadModels, feed::EventFeed};

use crate::{http::LiveLimits, limits::KeyLimits, telemetry::Telemetry};

/// What the API stands on.
#[derive(Clone)]
pub struct ApiContext {
    /// The write side: every mutation goes through its desk.
    pub write: Arc<WriteSide>,
    /// The read side: every query is answered from it.
    pub models: ReadModels,
    /// The recorded events, for the feed.
    pub feed: Arc<dyn EventFeed>,
    /// The secret under which API keys are kept.
    pub secret: EngineSecret,
    /// Reads seat maps of the formats that integrators have.
    pub seat_maps: Arc<dyn SeatMapReader>,
    /// Draws seat maps; without it there are no pictures.
    pub pictures: Option<Arc<dyn SeatMapPicture>>,
    /// How refunds are moved, for the operator's information: `manual`, `simulated`.
    pub payments_mode: String,
    /// The version of the program.
    pub version: String,
    /// How much those who are told live may ask for, and how long they may take.
    pub live: LiveLimits,
    /// How much each key may ask.
    pub limits: KeyLimits,
    /// Who watches, if anybody does.
    pub telemetry: Telemetry,
}

/// Random numbers for secrets. The API draws none itself.
pub trait SecretSource: Send + Sync + 'static {
    /// 32 bytes that nobody can guess.
    fn secret(&self) -> [u8; 32];
}

/// What an import adds to the text of a seat map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeatMapOptions {
    /// Which categories are wheelchair places, where the format cannot say so; the reader's own
    /// guess if absent.
    pub wheelchair_categories: Option<Vec<Category>>,
    /// Unnumbered capacity, where the format has none.
    pub pools: Vec<Pool>,
    /// Where people want to look, where the format does not say so.
    pub focus: Option<Point>,
}

/// Why the text of a seat map is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatMapProblem {
    /// Where, as a path in the text: `zones[2].rows[0].seats[17].seat_guid`. Empty if the problem
    /// is with the whole of it.
    pub at: String,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// Reads seat maps: a pretix seating plan, or Hakken's own form.
pub trait SeatMapReader: Send + Sync + 'static {
    /// Either the whole text is taken or nothing of it.
    fn read(&self, text: &str, options: &SeatMapOptions) -> Result<SeatMap, SeatMapProblem>;
}

/// Whether one may have a seat, as a picture shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatMark {
    /// It is free.
    Free,
    /// Somebody is about to buy it.
    Held,
    /// It is sold.
    Sold,
    /// It is not for sale, or not for everybody.
    Blocked,
}

/// Draws seat maps.
pub trait SeatMapPicture: Send + Sync + 'static {
    /// An SVG document; `mark` says how each seat is shown.
    fn svg(&self, map: &SeatMap, mark: &dyn Fn(&SeatId) -> SeatMark) -> String;
}

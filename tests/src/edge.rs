//! The API over an engine in this process: the adapters that the program wires, and a secret that
//! is no secret.

use std::sync::Arc;

use hakken_adapters::seating::{
    self, ImportOptions,
    svg::{self, SeatColour},
};
use hakken_api::{
    ApiContext, KeyLimits, LiveLimits, SeatMapOptions, SeatMapPicture, SeatMapProblem,
    SeatMapReader, SeatMark, SecretSource, Telemetry,
};
use hakken_commands::{WriteSide, desk::EngineSecret};
use hakken_domain::{names::SeatId, seatmap::SeatMap};
use hakken_projections::{ReadModels, feed::EventFeed};

/// Reads and draws seat maps as the program does.
pub struct Seating;

impl SeatMapReader for Seating {
    fn read(&self, text: &str, options: &SeatMapOptions) -> Result<SeatMap, SeatMapProblem> {
        let options = ImportOptions {
            wheelchair_categories: options.wheelchair_categories.clone(),
            pools: options.pools.clone(),
            focus: options.focus,
        };
        seating::parse(text.as_bytes(), &options)
            .map_err(|error| SeatMapProblem { at: String::new(), reason: error.to_string() })
    }
}

impl SeatMapPicture for Seating {
    fn svg(&self, map: &SeatMap, mark: &dyn Fn(&SeatId) -> SeatMark) -> String {
        svg::render(map, |seat| match mark(seat) {
            SeatMark::Free => SeatColour::Free,
            SeatMark::Held => SeatColour::Held,
            SeatMark::Sold => SeatColour::Sold,
            SeatMark::Blocked => SeatColour::Blocked,
        })
    }
}

/// The same secret for every key that is made with it.
pub struct FixedSecret(pub u8);

impl SecretSource for FixedSecret {
    fn secret(&self) -> [u8; 32] {
        [self.0; 32]
    }
}

/// The secret of the engines of tests.
pub fn engine_secret() -> EngineSecret {
    EngineSecret(Arc::new([7; 32]))
}

/// What the API stands on.
pub fn api_context(
    write: Arc<WriteSide>,
    models: ReadModels,
    feed: Arc<dyn EventFeed>,
) -> ApiContext {
    ApiContext {
        write,
        models,
        feed,
        secret: engine_secret(),
        seat_maps: Arc::new(Seating),
        pictures: Some(Arc::new(Seating)),
        payments_mode: "simulated".to_owned(),
        version: "test".to_owned(),
        live: LiveLimits::default(),
        limits: KeyLimits::default(),
        telemetry: Telemetry::default(),
    }
}

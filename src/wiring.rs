//! The API's ports, from the adapters.

use hakken_adapters::{
    seating::{ImportOptions, parse, svg},
    system::random_bytes,
};
use hakken_api::{
    SeatMapOptions, SeatMapPicture, SeatMapProblem, SeatMapReader, SeatMark, SecretSource,
};
use hakken_domain::{names::SeatId, seatmap::SeatMap};

/// Secrets from the operating system.
pub struct SystemSecrets;

impl SecretSource for SystemSecrets {
    fn secret(&self) -> [u8; 32] {
        random_bytes().expect("the system gave random numbers when it started")
    }
}

/// Seat maps in every format that the adapters read.
pub struct SeatMaps;

impl SeatMapReader for SeatMaps {
    fn read(&self, text: &str, options: &SeatMapOptions) -> Result<SeatMap, SeatMapProblem> {
        let import = ImportOptions {
            wheelchair_categories: options.wheelchair_categories.clone(),
            pools: options.pools.clone(),
            focus: options.focus,
        };
        // The reason begins with the place.
        parse(text.as_bytes(), &import)
            .map_err(|error| SeatMapProblem { at: String::new(), reason: error.to_string() })
    }
}

/// Pictures of seat maps.
pub struct Pictures;

impl SeatMapPicture for Pictures {
    fn svg(&self, map: &SeatMap, mark: &dyn Fn(&SeatId) -> SeatMark) -> String {
        svg::render(map, |seat| match mark(seat) {
            SeatMark::Free => svg::SeatColour::Free,
            SeatMark::Held => svg::SeatColour::Held,
            SeatMark::Sold => svg::SeatColour::Sold,
            SeatMark::Blocked => svg::SeatColour::Blocked,
        })
    }
}

//! What both crates are given: a show of numbered seats, of which each is held once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Whoever wants a seat.
#[derive(Debug, Clone)]
pub struct HoldSeat {
    pub hold: Uuid,
    pub buyer: String,
    pub seat: u64,
    pub expires_at: u64,
}

impl HoldSeat {
    pub fn new(seat: u64) -> Self {
        let buyer = "buyer".to_owned();
        Self { hold: Uuid::new_v4(), buyer, seat, expires_at: 1_800_000_000 }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ShowEvent {
    SeatHeld { hold: Uuid, buyer: String, seat: u64, expires_at: u64 },
}

/// Which seats are held.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Show {
    held: BTreeMap<u64, Uuid>,
}

#[derive(Debug, thiserror::Error)]
#[error("the seat is taken")]
pub struct SeatTaken;

impl Show {
    pub fn decide(&self, command: HoldSeat) -> Result<ShowEvent, SeatTaken> {
        if self.held.contains_key(&command.seat) {
            return Err(SeatTaken);
        }
        let HoldSeat { hold, buyer, seat, expires_at } = command;
        Ok(ShowEvent::SeatHeld { hold, buyer, seat, expires_at })
    }

    pub fn evolve(&mut self, event: ShowEvent) {
        let ShowEvent::SeatHeld { hold, seat, .. } = event;
        self.held.insert(seat, hold);
    }
}

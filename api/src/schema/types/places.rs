//! Seats, pool places and legs, wherever they stand.

use async_graphql::{InputObject, SimpleObject};
use hakken_domain::{inventory::PoolPlaces, legs};

/// A range of legs of a show. A concert has one leg, 0 to 1. A trip with n stops has n - 1: who
/// rides from the first to the third stop occupies legs 0 to 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SimpleObject)]
pub struct Legs {
    /// The first leg: the number of the stop where one gets on, from 0.
    pub from: u8,
    /// The leg after the last: the number of the stop where one gets off.
    pub to: u8,
}

impl From<legs::Legs> for Legs {
    fn from(legs: legs::Legs) -> Self {
        Self { from: legs.from(), to: legs.to() }
    }
}

/// A range of legs of a show.
#[derive(Debug, Clone, Copy, InputObject)]
pub struct LegsInput {
    /// The first leg: the number of the stop where one gets on, from 0.
    pub from: u8,
    /// The leg after the last: the number of the stop where one gets off. At most 64.
    pub to: u8,
}

/// Places of one pool.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject)]
#[graphql(name = "PoolPlaces")]
pub struct PoolPlacesView {
    /// The pool, as the seat map names it: `floor`.
    pub pool: String,
    /// How many places.
    pub count: u32,
}

impl From<&PoolPlaces> for PoolPlacesView {
    fn from(places: &PoolPlaces) -> Self {
        Self { pool: places.pool.to_string(), count: places.count }
    }
}

/// Places of one pool.
#[derive(Debug, Clone, InputObject)]
pub struct PoolPlacesInput {
    /// The pool, as the seat map names it: `floor`.
    pub pool: String,
    /// How many places, 1 or more.
    pub count: u32,
}

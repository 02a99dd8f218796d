//! Races over real HTTP: 64 clients, each on a socket of its own, want the same thing at once.
//! What they were told and what the events say must be the one right thing, with one server on
//! the embedded store as well as with two on a shared one. Without the store's guard the same
//! checks fail: that is how we know that they look.

mod gates;
mod house;
mod keys;
mod money;
pub mod reader;
mod rebuild;
mod seats;

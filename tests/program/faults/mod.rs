//! Every store under every fault: servers sell while they are killed and frozen, and while their
//! store is killed, cut off, silent, slow, full, or may only be read. The clients' own record and
//! the events are the witness: nothing that was acknowledged is lost, nothing is done twice, all
//! that was begun comes to its end, and the read models are what the events say.
//!
//! `HAKKEN_FAULT_ROUNDS=2000 tests/run faults -- --nocapture` does so many rounds on each store and
//! tells how far it is; `HAKKEN_FAULT_SEED=…` repeats the choices of a run that is printed. A store
//! joins the suite with a [`ground::Ground`].

mod controls;
mod embedded;
mod eventstoredb;
mod ground;
mod house;
mod network;
mod postgres;

use std::path::Path;

use hakken_tests::sim::Chance;

use self::{
    embedded::Embedded, eventstoredb::EventStoreDb, ground::Ground, house::House,
    postgres::Postgres,
};
use super::crash::{new_seed, number};

/// Rounds of every test run, on each store.
const ROUNDS: u64 = 24;
/// After so many more it is told how far it is.
const TOLD: u64 = 50;

/// So many rounds, and what they came to.
async fn withstand(ground: impl Ground) {
    let rounds = number("HAKKEN_FAULT_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("HAKKEN_FAULT_SEED").unwrap_or_else(new_seed);
    println!("HAKKEN_FAULT_SEED={seed} HAKKEN_FAULT_ROUNDS={rounds}: {}", ground.name());
    let mut house = House::open(ground, Chance::new(seed)).await;
    for round in 1..=rounds {
        house.round().await;
        if round.is_multiple_of(TOLD) {
            println!("{}", house.so_far());
        }
    }
    println!("{}", house.end().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_withstands_every_fault() {
    withstand(Embedded::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_withstands_every_fault() {
    let Some(ground) = Postgres::new().await else { return };
    withstand(ground).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eventstoredb_withstands_every_fault() {
    withstand(EventStoreDb::new().await).await;
}

/// The server in charge of processes stands still for longer than its lease lasts, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn another_one_is_in_charge_while_the_first_stands_still_and_nothing_is_done_twice() {
    let Some(ground) = Postgres::new().await else { return };
    let mut house = House::open(ground, Chance::new(2)).await;
    house.goes_on().await.unwrap();
    let is_in_charge = |root: &Path, number: usize| {
        let log = std::fs::read_to_string(root.join(format!("server-{number}.log")));
        log.unwrap_or_default().contains("in charge of processes and sweeping")
    };
    house.freeze(0, |root| is_in_charge(root, 0) && is_in_charge(root, 1)).await;
    house.goes_on().await.unwrap();
    house.check().await.unwrap();
    println!("{}", house.end().await);
}

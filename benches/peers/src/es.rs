//! The show through esrs, as its README has it: an `AggregateManager` over a `PgStore`, which loads,
//! decides and writes; the unique index over the sequence numbers refuses whoever was too late.

use anyhow::{Context, Result};
use esrs::{
    Aggregate, AggregateState,
    manager::AggregateManager,
    store::postgres::{PgStore, PgStoreBuilder},
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    Peer,
    show::{HoldSeat, SeatTaken, Show, ShowEvent},
};

pub struct ShowAggregate;

impl Aggregate for ShowAggregate {
    const NAME: &'static str = "show";
    type State = Show;
    type Command = HoldSeat;
    type Event = ShowEvent;
    type Error = SeatTaken;

    fn handle_command(
        state: &Self::State,
        command: Self::Command,
    ) -> Result<Vec<Self::Event>, Self::Error> {
        Ok(vec![state.decide(command)?])
    }

    fn apply_event(mut state: Self::State, payload: Self::Event) -> Self::State {
        state.evolve(payload);
        state
    }
}

pub struct Shows(AggregateManager<PgStore<ShowAggregate>>);

impl Shows {
    pub async fn open(pool: &PgPool) -> Result<Self> {
        sqlx::raw_sql("DROP TABLE IF EXISTS show_events; CHECKPOINT").execute(pool).await?;
        let store = PgStoreBuilder::<ShowAggregate>::new(pool.clone()).try_build().await;
        Ok(Self(AggregateManager::new(store.context("the table")?)))
    }
}

impl Peer for Shows {
    async fn hold(&self, show: Uuid, seat: u64) -> Result<bool> {
        // The show is new to the store where nothing was sold.
        let state = self.0.load(show).await?.unwrap_or_else(|| AggregateState::with_id(show));
        match self.0.handle_command(state, HoldSeat::new(seat)).await {
            Ok(decided) => decided.map(|_| true).map_err(Into::into),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The unique index over aggregate and sequence number refused it.
fn is_conflict(error: &esrs::store::postgres::PgStoreError) -> bool {
    let esrs::store::postgres::PgStoreError::Sqlx(sqlx::Error::Database(error)) = error else {
        return false;
    };
    error.is_unique_violation()
}

//! The show through cqrs-es and postgres-es, as the latter's README has it: `postgres_cqrs` over
//! the tables of its `db/init.sql`.

use anyhow::Result;
use cqrs_es::{Aggregate, AggregateError, DomainEvent, event_sink::EventSink};
use postgres_es::{PostgresCqrs, postgres_cqrs};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    Peer,
    show::{HoldSeat, SeatTaken, Show, ShowEvent},
};

const TABLES: &str = "
    DROP TABLE IF EXISTS events; DROP TABLE IF EXISTS snapshots;
    CREATE TABLE events (
        aggregate_type text                         NOT NULL,
        aggregate_id   text                         NOT NULL,
        sequence       bigint CHECK (sequence >= 0) NOT NULL,
        event_type     text                         NOT NULL,
        event_version  text                         NOT NULL,
        payload        json                         NOT NULL,
        metadata       json                         NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, sequence)
    );
    CREATE TABLE snapshots (
        aggregate_type   text                                 NOT NULL,
        aggregate_id     text                                 NOT NULL,
        last_sequence    bigint CHECK (last_sequence >= 0)    NOT NULL,
        current_snapshot bigint CHECK (current_snapshot >= 0) NOT NULL,
        payload          json                                 NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, last_sequence)
    );
    CHECKPOINT";

impl DomainEvent for ShowEvent {
    fn event_type(&self) -> String {
        "seat-held".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for Show {
    const TYPE: &'static str = "show";
    type Command = HoldSeat;
    type Event = ShowEvent;
    type Error = SeatTaken;
    type Services = ();

    async fn handle(
        &mut self,
        command: Self::Command,
        _service: &Self::Services,
        sink: &EventSink<Self>,
    ) -> Result<(), Self::Error> {
        let event = self.decide(command)?;
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: Self::Event) {
        self.evolve(event);
    }
}

pub struct Shows(PostgresCqrs<Show>);

impl Shows {
    pub async fn open(pool: &PgPool) -> Result<Self> {
        sqlx::raw_sql(TABLES).execute(pool).await?;
        Ok(Self(postgres_cqrs(pool.clone(), Vec::new(), ())))
    }
}

impl Peer for Shows {
    async fn hold(&self, show: Uuid, seat: u64) -> Result<bool> {
        match self.0.execute(&show.to_string(), HoldSeat::new(seat)).await {
            Ok(()) => Ok(true),
            Err(AggregateError::AggregateConflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

//! The tables: made at the first start, brought up to date by a newer version, refused by an
//! older one.

use futures_util::FutureExt;
use hakken_commands::store::StoreError;
use hakken_domain::envelope::Fingerprint;
use sqlx::{Connection as _, PgConnection};

use super::{connection::Database, fault, tls, unfinished::UNFINISHED};

/// What makes each version of the tables of the one before. What stands here never changes.
const MIGRATIONS: [&str; 3] =
    [include_str!("schema.sql"), include_str!("quiet.sql"), include_str!("streams.sql")];

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be read.
    #[error(
        "this is no address of a PostgreSQL database: {reason}. One is postgres://USER:PASSWORD@HOST:PORT/DATABASE"
    )]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// The server does not answer, or refuses.
    #[error(
        "the database {database} cannot be used: {source}. Check that the server runs, that the address is right, and that this user may connect and create tables"
    )]
    Unreachable {
        /// Which.
        database: String,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No connection that nobody can listen to could be made.
    #[error("there is no secure connection to the database {database}: {reason}")]
    Insecure {
        /// Which.
        database: String,
        /// What is wrong, and what to do about it.
        reason: String,
    },
    /// A newer version made its tables.
    #[error(
        "the database {database} has format {found}, and this version reads formats up to {known}: use the version of Hakken that wrote it, or a newer one"
    )]
    Newer {
        /// Which.
        database: String,
        /// The format it has.
        found: i32,
        /// The newest format that is known here.
        known: usize,
    },
    /// A history is on its way here, or was cut off on it.
    #[error(
        "the database {database} holds a part of a history only: what was bringing it here (`hakken restore`) has not come to its end. Run that again, or use another database"
    )]
    Unfinished {
        /// Which.
        database: String,
    },
    /// Another engine's events.
    #[error(
        "the database {database} belongs to an engine with another secret: with this one, every ticket code and API key that is in use would be refused. Copy the file `secret` from the data directory of a process that serves this database"
    )]
    OtherSecret {
        /// Which.
        database: String,
    },
}

impl OpenError {
    pub(super) fn unreachable(database: &Database, error: StoreError) -> Self {
        let (source, database) = (error.source, database.name());
        match tls::refusal(&*source) {
            Some(reason) => Self::Insecure { database, reason },
            None => Self::Unreachable { database, source },
        }
    }
}

/// The format of the tables; 0 where there are none.
async fn format(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('hakken.migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(format), 0) FROM hakken.migrations")
        .fetch_one(connection)
        .await
}

/// Brings the tables up to date.
async fn migrate(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // Of processes that start at once, one makes the tables; the others wait, however long it is.
    sqlx::raw_sql(
        "SET LOCAL statement_timeout = 0;
         SET LOCAL lock_timeout = 0;
         SELECT pg_advisory_xact_lock(1751215726, 3);
         CREATE SCHEMA IF NOT EXISTS hakken;
         CREATE TABLE IF NOT EXISTS hakken.migrations (
             format integer PRIMARY KEY,
             applied_at timestamptz NOT NULL DEFAULT now()
         )",
    )
    .execute(&mut *transaction)
    .await?;
    let found = format(&mut transaction).await?;
    for (format, statements) in (1_i32..).zip(MIGRATIONS).filter(|(format, _)| *format > found) {
        sqlx::raw_sql(statements).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO hakken.migrations (format) VALUES ($1)")
            .bind(format)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// Connects, checks the server's settings, and makes sure of the tables.
pub(super) async fn prepare(database: &Database) -> Result<(), OpenError> {
    let unreachable = |error: StoreError| OpenError::unreachable(database, error);
    let known = MIGRATIONS.len();
    loop {
        let found = database.ask(|connection| format(connection).boxed()).await;
        let found = found.map_err(unreachable)?;
        match usize::try_from(found) {
            Ok(0) => {
                let made = database.ask(|connection| migrate(connection).boxed()).await;
                made.map_err(unreachable)?;
            }
            Ok(older) if older < known => {
                tracing::info!(
                    found,
                    known,
                    "the tables are brought into a newer format, which takes minutes where they \
                     are large; nobody can write meanwhile"
                );
                // Longer than any question may take.
                let mut connection = database.connect_patiently().await.map_err(unreachable)?;
                let migrated = migrate(&mut connection).await;
                migrated.map_err(|error| unreachable(fault::of(error)))?;
            }
            Ok(newest) if newest == known => break,
            _ => return Err(OpenError::Newer { database: database.name(), found, known }),
        }
    }
    let synced: String = database
        .ask(|connection| sqlx::query_scalar("SHOW fsync").fetch_one(connection).boxed())
        .await
        .map_err(unreachable)?;
    if synced != "on" {
        tracing::warn!(
            database = database.name(),
            "this PostgreSQL does not sync (fsync = off): what is acknowledged can be lost when \
             its machine goes down"
        );
    }
    Ok(())
}

/// The first secret is written down, any other one is refused.
pub(super) async fn bind_secret(database: &Database, check: Fingerprint) -> Result<(), OpenError> {
    let check = check.to_string();
    let bound: Option<String> = database
        .ask(|connection| {
            sqlx::query_scalar(
                "UPDATE hakken.store SET secret_check = coalesce(secret_check, $1)
                 RETURNING secret_check",
            )
            .bind(check.clone())
            .fetch_optional(connection)
            .boxed()
        })
        .await
        .map_err(|error| OpenError::unreachable(database, error))?;
    match bound {
        Some(bound) if bound == check => Ok(()),
        Some(bound) if bound.starts_with(UNFINISHED) => {
            Err(OpenError::Unfinished { database: database.name() })
        }
        _ => Err(OpenError::OtherSecret { database: database.name() }),
    }
}

/// The check of the secret that the database is bound to, if it is to one.
pub(super) async fn bound_secret(database: &Database) -> Result<Option<Fingerprint>, StoreError> {
    let bound: Option<Option<String>> = database
        .ask(|connection| {
            sqlx::query_scalar("SELECT secret_check FROM hakken.store")
                .fetch_optional(connection)
                .boxed()
        })
        .await?;
    let bound = bound.flatten();
    let check = bound.as_deref().map(|bound| bound.strip_prefix(UNFINISHED).unwrap_or(bound));
    Ok(check.and_then(|check| check.parse().ok()))
}

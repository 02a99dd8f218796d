//! Which of several processes runs what must run once: the one whose session holds PostgreSQL's
//! advisory lock. The lock goes with the session, so it moves when that process dies.
//!
//! A process that stands still keeps its session, and would keep the lease for ever: the server
//! ends a session with the lease that says nothing for [`SILENT`] (PostgreSQL 14 or newer).
//!
//! A lease saves work, and no promise hangs on it: a process that was cut off may go on for some
//! seconds while another has begun. Whatever both do carries the same keys, and happens once.

use std::time::Duration;

use futures_util::FutureExt;
use hakken_commands::store::StoreError;
use sqlx::PgConnection;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::connection::Database;

/// How often the holder makes sure of it, and the others ask for it.
const EVERY: Duration = Duration::from_millis(500);

/// A session that does not answer for so long has lost it, for all one knows.
const ANSWER: Duration = Duration::from_secs(3);

/// After so much silence the server ends the session: ten times as long as its holder ever pauses.
const SILENT: &str = "5s";

/// Older servers do not know the setting, and wait until the connection is lost.
const LIMIT: &str = "SELECT count(set_config(name, $1, false)) FROM pg_settings
    WHERE name = 'idle_session_timeout'";

const TRY: &str = "SELECT pg_try_advisory_lock(1751215726, 2)";

/// Whether a session has the lock.
const HELD: &str = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND classid = 1751215726 AND objid = 2 AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

/// Whether some process holds the lease now.
pub(super) async fn is_held(database: &Database) -> Result<bool, StoreError> {
    database.ask(|connection| sqlx::query_scalar(HELD).fetch_one(connection).boxed()).await
}

/// A place in the queue for the lease, or the lease itself. Dropping it gives it up.
pub struct Lease {
    held: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Lease {
    pub(super) fn start(database: &Database) -> Self {
        let (sender, held) = watch::channel(false);
        Self { held, task: tokio::spawn(run(database.clone(), sender)) }
    }

    /// True while this process holds it.
    pub fn held(&self) -> watch::Receiver<bool> {
        self.held.clone()
    }

    /// Gives it up, so that another may have it at once.
    pub async fn release(mut self) {
        self.task.abort();
        // That it was cut off is no error; its session ends with it.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(database: Database, held: watch::Sender<bool>) {
    loop {
        if let Ok(connection) = database.connect().await {
            let error = hold(connection, &held).await;
            tracing::debug!(error, "the lease's session is made anew");
        }
        if held.send_replace(false) {
            tracing::warn!("no longer in charge of processes and sweeping");
        }
        sleep(EVERY).await;
    }
}

/// Asks for the lock until it is had, then makes sure of the session. Says why it ended.
async fn hold(mut connection: PgConnection, held: &watch::Sender<bool>) -> String {
    let mut statement = TRY;
    let limited = sqlx::query(LIMIT).bind(SILENT).execute(&mut connection);
    match timeout(ANSWER, limited).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return error.to_string(),
        Err(_) => return "no answer".to_owned(),
    }
    loop {
        let asked = sqlx::query_scalar::<_, bool>(statement).fetch_one(&mut connection);
        match timeout(ANSWER, asked).await {
            Ok(Ok(true)) if !*held.borrow() => {
                tracing::info!("in charge of processes and sweeping");
                held.send_replace(true);
                statement = "SELECT true";
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return "no answer".to_owned(),
        }
        sleep(EVERY).await;
    }
}

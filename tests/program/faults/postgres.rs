//! PostgreSQL, with a network between it and each of two servers.
//!
//! A full disk is a limit on the size of files of the database's processes, which needs no rights:
//! the write-ahead log has files of 1 MiB, so that the limit meets the tables and not the log, as a
//! disk of their own that is full would.

use std::{path::Path, process::Command};

use futures_util::future::BoxFuture;
use hakken_adapters::postgres::PostgresStore;
use hakken_projections::feed::EventFeed;
use hakken_tests::{
    postgres::{Postgres as Server, TestDatabase},
    sim::Chance,
};

use super::{
    super::crash::witness::Events,
    ground::{Fault, Ground, Servers, limit_files},
    network::{Network, server},
};

const SERVERS: usize = 2;

/// As whom Hakken's servers come: somebody without special rights, for whom limits count.
const SELLER: &str = "seller";

/// A file of the log has so many bytes. No other one may grow further when the disk is full.
const FULL: u64 = 1 << 20;

/// PostgreSQL.
pub struct Postgres {
    server: Server,
    pub database: TestDatabase,
    network: Network,
}

impl Postgres {
    /// A server of its own with an empty database; nothing where PostgreSQL is not installed.
    pub async fn new() -> Option<Self> {
        let server = Server::own_with_small_files()?;
        let database = server.database().await;
        let network = Network::before(server.port(), SERVERS).await;
        let ground = Self { server, database, network };
        ground
            .tell(&[
                &format!("CREATE ROLE {SELLER} LOGIN"),
                &format!("GRANT CREATE ON DATABASE {} TO {SELLER}", ground.database.name),
            ])
            .await;
        Some(ground)
    }

    async fn tell(&self, statements: &[&str]) {
        for statement in statements {
            self.database.tell(statement).await;
        }
    }

    /// Settings of the whole server, from now on, for sessions that are there too.
    async fn set(&self, settings: &[&str]) {
        let mut statements: Vec<String> =
            settings.iter().map(|setting| format!("ALTER SYSTEM SET {setting}")).collect();
        statements.push("SELECT pg_reload_conf()".to_owned());
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        self.tell(&statements).await;
    }

    /// Ends the sessions of Hakken's servers.
    pub async fn end_sessions(&self) {
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE usename = 'seller'";
        self.database.numbers(ended).await;
    }

    /// Whether the disk is full from now on, for sessions that are there and those to come. It is
    /// nothing to tables that are smaller than a file of the log.
    async fn fill_disk(&self) -> bool {
        let sizes = self.database.numbers("SELECT pg_relation_size('hakken.events')").await;
        if sizes.iter().all(|size| size.unsigned_abs() < FULL) {
            return false;
        }
        let own = "SELECT pid::bigint FROM pg_stat_activity WHERE usename = 'seller'";
        self.limit(own, Some(FULL)).await;
        true
    }

    async fn empty_disk(&self) {
        self.limit("SELECT pid::bigint FROM pg_stat_activity", None).await;
    }

    /// Limits the files of these processes, and of the one that starts all others.
    async fn limit(&self, pids: &'static str, bytes: Option<u64>) {
        let pids = self.database.numbers(pids).await;
        let pids = pids.into_iter().filter_map(|pid| u32::try_from(pid).ok());
        limit_files(pids.chain(self.server.pid()), bytes);
    }
}

impl Ground for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn servers(&self) -> usize {
        SERVERS
    }

    fn faults(&self) -> &'static [Fault] {
        &[
            Fault::StoreKilled,
            Fault::SessionsEnded,
            Fault::ConnectionsCut,
            Fault::HalfClosed,
            Fault::Unreachable,
            Fault::Silence,
            Fault::AnswersLost,
            Fault::SlowNetwork,
            Fault::SlowDisk,
            Fault::FullDisk,
            Fault::ReadOnly,
            Fault::NoConnectionsLeft,
        ]
    }

    fn ends_servers(&self, _: Fault) -> bool {
        // Whatever the database refuses it has rolled back, and what it did can be read again.
        false
    }

    fn command(&self, root: &Path, number: usize) -> Command {
        // Read models in the database meet its faults too.
        let more: &[&str] = if number > 0 { &["--read-models", "shared"] } else { &[] };
        let (port, database) = (self.network.port(number), &self.database.name);
        server(root, number, &format!("postgres://{SELLER}@127.0.0.1:{port}/{database}"), more)
    }

    fn events(&self, _: &Path) -> Events {
        let url = self.database.url.clone();
        Box::new(move || {
            let url = url.clone();
            Box::pin(async move {
                let store = PostgresStore::open(&url).await.map_err(|error| error.to_string())?;
                Ok(Box::new(store) as Box<dyn EventFeed>)
            })
        })
    }

    fn begin<'a>(
        &'a mut self,
        fault: Fault,
        servers: Servers<'a>,
        chance: &'a mut Chance,
    ) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match fault {
                Fault::StoreKilled => tokio::task::block_in_place(|| self.server.kill()),
                Fault::SessionsEnded => self.end_sessions().await,
                Fault::SlowDisk => {
                    self.set(&["commit_delay = 60000", "commit_siblings = 0"]).await;
                }
                Fault::FullDisk => return self.fill_disk().await,
                Fault::ReadOnly => self.set(&["default_transaction_read_only = on"]).await,
                Fault::NoConnectionsLeft => {
                    self.tell(&[&format!("ALTER ROLE {SELLER} CONNECTION LIMIT 1")]).await;
                    self.end_sessions().await;
                }
                other => return self.network.begin(other, servers.victim, chance),
            }
            true
        })
    }

    fn heal<'a>(&'a mut self, _: Servers<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if !self.server.is_running() {
                tokio::task::block_in_place(|| self.server.begin());
            }
            self.network.heal();
            self.empty_disk().await;
            self.tell(&[
                "ALTER SYSTEM RESET ALL",
                "SELECT pg_reload_conf()",
                &format!("ALTER ROLE {SELLER} CONNECTION LIMIT -1"),
            ])
            .await;
        })
    }
}

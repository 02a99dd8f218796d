//! A real PostgreSQL for tests: a private server in a folder of its own, started from the
//! installed programs, and gone with the process that started it, however that ends.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Debian's user without rights: PostgreSQL does not run as root.
#[cfg(unix)]
const NOBODY: u32 = 65_534;

/// How long a server may take to start, or to recover.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the server until its own standard input ends, which is when nobody holds the other end
/// any more: then the server is killed. `$0` is the program, `$1` the folder, `$2` the port, `$3`
/// whether it syncs, `$4` is there if the folder goes too.
const KEEPER: &str = r#"
    trap '' TERM INT HUP
    "$0" -D "$1/data" -p "$2" -k "$1" -h 127.0.0.1 -c fsync="$3" -c max_connections=300 \
        -c max_wal_size=4GB -c shared_buffers=256MB >>"$1/log" 2>&1 &
    pid=$!
    cat >/dev/null
    kill -QUIT "$pid" 2>/dev/null
    wait "$pid"
    if [ -n "$4" ]; then cd / && rm -rf "$1"; fi
"#;

/// A server.
pub struct Postgres {
    programs: PathBuf,
    dir: PathBuf,
    port: u16,
    syncs: bool,
    keeper: Option<Child>,
    /// The folder of a server that can be started again.
    temp: Option<tempfile::TempDir>,
}

/// A fresh database on a server.
pub struct TestDatabase {
    /// Where it is: `postgres://…`.
    pub url: String,
    /// Its name.
    pub name: String,
    /// Of a connection that may do everything.
    pub admin_url: String,
}

/// The folder of `initdb`, `postgres` and `pg_isready`.
fn programs() -> Option<PathBuf> {
    let has_all = |dir: &PathBuf| {
        ["initdb", "postgres", "pg_isready"].iter().all(|program| dir.join(program).is_file())
    };
    let paths = env::var_os("PATH").unwrap_or_default();
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort();
    versions.reverse();
    env::split_paths(&paths).chain(versions).find(has_all)
}

/// As whom the server runs, if not as ourselves.
fn as_nobody(command: &mut Command, dir: &Path) {
    command.current_dir(dir).env("HOME", dir);
    #[cfg(unix)]
    if is_root(dir) {
        std::os::unix::process::CommandExt::uid(command, NOBODY);
        std::os::unix::process::CommandExt::gid(command, NOBODY);
    }
}

/// Who makes a folder owns it.
#[cfg(unix)]
fn is_root(dir: &Path) -> bool {
    let owner = |path: &Path| {
        fs::metadata(path).map(|found| std::os::unix::fs::MetadataExt::uid(&found)).ok()
    };
    owner(Path::new("/proc/self")) == Some(0) || owner(dir) == Some(0)
}

fn give_to_nobody(dir: &Path) {
    #[cfg(unix)]
    if is_root(dir) {
        std::os::unix::fs::chown(dir, Some(NOBODY), Some(NOBODY)).expect("root may give it away");
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

impl Postgres {
    /// The server that all tests of this process share; each has databases of its own. It does
    /// not sync. Without PostgreSQL the test is skipped with words, but in CI that is a failure.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(false, false, &[])).as_ref()
    }

    /// A server of one's own, which can be stopped and started again.
    pub fn own(syncs: bool) -> Option<Self> {
        Self::start(syncs, true, &[])
    }

    /// A server of one's own, which syncs, with these lines in its settings.
    pub fn own_with(settings: &str) -> Option<Self> {
        let mut server = Self::own(true)?;
        server.configure(settings);
        Some(server)
    }

    /// A server of one's own, which syncs, and writes its log in files of 1 MiB: a limit on the
    /// size of files meets tables before it meets the log.
    pub fn own_with_small_files() -> Option<Self> {
        Self::start(true, true, &["--wal-segsize=1"])
    }

    fn start(syncs: bool, keeps: bool, more: &[&str]) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(
                env::var_os("CI").is_none(),
                "CI must have PostgreSQL: apt-get install postgresql"
            );
            eprintln!("skipped: no PostgreSQL here. To run it: apt-get install postgresql");
            return None;
        };
        let temp = tempfile::Builder::new().prefix("hakken-pg-").tempdir().expect("a folder");
        let dir = temp.path().to_owned();
        give_to_nobody(&dir);
        let mut initdb = Command::new(programs.join("initdb"));
        initdb.arg("-D").arg(dir.join("data"));
        initdb.args(["-U", "hakken", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]);
        initdb.args(more);
        as_nobody(&mut initdb, &dir);
        let made = initdb.output().expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let temp = if keeps {
            Some(temp)
        } else {
            // The keeper takes it away.
            let _ = temp.keep();
            None
        };
        let mut server = Self { programs, dir, port: free_port(), syncs, keeper: None, temp };
        server.begin();
        Some(server)
    }

    /// Starts it, also after [`Postgres::kill`].
    pub fn begin(&mut self) {
        let mut keeper = Command::new("sh");
        keeper.arg("-c").arg(KEEPER).arg(self.programs.join("postgres")).arg(&self.dir);
        keeper.arg(self.port.to_string()).arg(if self.syncs { "on" } else { "off" });
        if self.temp.is_none() {
            keeper.arg("remove");
        }
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        as_nobody(&mut keeper, &self.dir);
        self.keeper = Some(keeper.spawn().expect("a shell runs"));
        let ready = self.programs.join("pg_isready");
        let since = Instant::now();
        loop {
            let mut asked = Command::new(&ready);
            asked.arg("-q").arg("-h").arg(&self.dir).arg("-p").arg(self.port.to_string());
            if asked.status().is_ok_and(|status| status.success()) {
                return;
            }
            let log = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(since.elapsed() < PATIENCE, "PostgreSQL did not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it again with this certificate and its key: from now on it offers TLS.
    pub fn secure(&mut self, certificate: &Path, key: &Path) {
        let data = self.dir.join("data");
        for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
            let file = data.join(name);
            fs::copy(from, &file).expect("a copy");
            give_to_nobody(&file);
            // PostgreSQL wants a key that nobody else can read.
            #[cfg(unix)]
            {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                fs::set_permissions(&file, mode).expect("its owner may");
            }
        }
        self.configure("ssl = on");
    }

    /// Starts it again with these lines in its settings.
    fn configure(&mut self, settings: &str) {
        self.kill();
        let file = self.dir.join("data/postgresql.conf");
        let mut text = fs::read_to_string(&file).expect("initdb made it");
        text.push_str(&format!("\n{settings}\n"));
        fs::write(&file, text).expect("it can be written");
        self.begin();
    }

    /// Kills it, in the midst of whatever it does.
    pub fn kill(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait().expect("the keeper ends");
        }
    }

    /// Its first process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        let file = fs::read_to_string(self.dir.join("data/postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok()
    }

    /// Whether it was started and not killed since.
    pub fn is_running(&self) -> bool {
        self.keeper.is_some()
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of one of its databases, at a port (its own, or that of a proxy).
    pub fn url_at(&self, port: u16, database: &str) -> String {
        format!("postgres://hakken@127.0.0.1:{port}/{database}")
    }

    /// A fresh database.
    pub async fn database(&self) -> TestDatabase {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let admin_url = self.url_at(self.port, "postgres");
        let mut admin = PgConnection::connect(&admin_url).await.expect("the server answers");
        let statement = format!("CREATE DATABASE {name}");
        sqlx::query(AssertSqlSafe(statement)).execute(&mut admin).await.expect("a database");
        admin.close().await.expect("it closes");
        TestDatabase { url: self.url_at(self.port, &name), name, admin_url }
    }
}

impl TestDatabase {
    /// A connection of one's own.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("the server answers")
    }

    /// Says something to it, as somebody who may do everything.
    pub async fn tell(&self, statement: &str) {
        let mut connection = self.connect().await;
        let told = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection);
        told.await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Asks it for numbers.
    pub async fn numbers(&self, question: &'static str) -> Vec<i64> {
        let mut connection = self.connect().await;
        let asked = sqlx::query_scalar(question).fetch_all(&mut connection).await;
        asked.unwrap_or_else(|error| panic!("{question}: {error}"))
    }

    /// Cuts every other connection to it; says how many there were.
    pub async fn cut(&self) -> i64 {
        let mut admin = PgConnection::connect(&self.admin_url).await.expect("the server answers");
        sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1",
        )
        .bind(&self.name)
        .fetch_one(&mut admin)
        .await
        .expect("an answer")
    }
}

/// Does something to a database that no program of ours does.
pub async fn execute(connection: &mut PgConnection, statement: &str) {
    let statement = AssertSqlSafe(statement.to_owned());
    sqlx::raw_sql(statement).execute(connection).await.expect("the statement is good");
}

/// How many events a database has; 0 before it has the table.
pub async fn count_events(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM hakken.events")
        .fetch_one(connection)
        .await
        .unwrap_or(0)
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

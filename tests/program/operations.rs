//! The run book, `docs/operations.md`, followed word for word: each block marked `sh` is given to a
//! shell as it stands, with the program on its path and the names of the page set; the block of
//! text that follows is what it prints, `…` for anything. `sh refused` ends with exit code 1, `sh
//! server` is started and left running, `sh postgres` needs a database. Comments tell what happens
//! to the engine in between.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use hakken_adapters::{data_dir::DataDir, embedded::EmbeddedStore};
use hakken_api::GlobalId;
use hakken_commands::store::{Append, EventStore, NewEvent};
use hakken_domain::{
    envelope::{Position, StreamId},
    names::ShowId,
};
use hakken_tests::{postgres::Postgres, sim::Chance, stores};
use serde_json::json;

use super::{
    crash::{
        life::{Acknowledged, Life, OnSale, Step},
        sale::Sale,
    },
    program::{Client, PATIENCE, Server, ended, serve, text},
};

const SEATS: usize = 600;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    fs::read_to_string(path).expect("docs/operations.md")
}

/// What the page says, in its order.
#[derive(Debug, PartialEq)]
enum Said {
    Run { kind: String, commands: String, printed: Option<String> },
    Happens(String),
    Named(Vec<String>),
}

fn steps(page: &str) -> Vec<Said> {
    let mut steps = Vec::new();
    for (at, piece) in page.split("```").enumerate() {
        if at % 2 == 0 {
            let comments = piece.split("<!-- test: ").skip(1);
            let words = comments.map(|rest| rest.split(" -->").next().unwrap_or_default());
            steps.extend(words.map(|words| Said::Happens(words.to_owned())));
            continue;
        }
        let (kind, code) = piece.split_once('\n').expect("a kind of code");
        match kind.strip_prefix("sh") {
            Some(" settings") => {
                let names = code.lines().filter_map(|line| line.strip_prefix("export "));
                let names =
                    names.filter_map(|line| line.split_once('=')).map(|(name, _)| name.into());
                steps.push(Said::Named(names.collect()));
            }
            Some(kind) => steps.push(Said::Run {
                kind: kind.trim().to_owned(),
                commands: code.to_owned(),
                printed: None,
            }),
            None if kind == "text" => match steps.last_mut() {
                Some(Said::Run { printed, .. }) => *printed = Some(code.to_owned()),
                other => panic!("{other:?} prints nothing"),
            },
            None => assert_eq!(kind, "crontab", "what is {kind}?"),
        }
    }
    steps
}

/// Whether a text is as a pattern says, in which `…` stands for anything.
fn fits(pattern: &str, found: &str) -> bool {
    let mut parts = pattern.trim_end().split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = found.trim_end().strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Who follows the page.
struct Operator {
    temp: tempfile::TempDir,
    names: BTreeMap<&'static str, String>,
    server: Option<Child>,
    on_sale: Arc<OnSale>,
    sold: Vec<Acknowledged>,
    ran: usize,
    has_postgres: bool,
}

impl Operator {
    /// An engine that has sold, a moment passed, and that has sold again. It is stopped.
    async fn begin() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let bin = temp.path().join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hakken"), bin.join("hakken")).unwrap();
        let data = temp.path().join("data");
        let server = Server::launch(serve(&data, &["--payments", "simulated"]), true);
        let key = server.key.clone().expect("a new store has a first key");
        let on_sale = Sale::open(&server.client(&key), SEATS).await.on_sale();
        let mut sold = Vec::new();
        sell(&server.client(""), &on_sale, "early", &mut sold).await;
        let point = now(&temp);
        sell(&server.client(""), &on_sale, "late", &mut sold).await;
        server.signal("-TERM");
        assert!(server.ended().success());

        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = free.local_addr().unwrap().to_string();
        let path = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
        let mut names = BTreeMap::from([
            ("DATA", path("data")),
            ("BACKUP", path("backup")),
            ("NEW", path("new")),
            ("THEN", path("then")),
            ("POINT", point),
            ("LISTEN", listen),
            ("KEY", key),
            ("STORE", String::new()),
            ("POISON", String::new()),
        ]);
        let has_postgres = match Postgres::shared() {
            Some(postgres) => {
                names.insert("STORE", postgres.database().await.url);
                true
            }
            None => false,
        };
        Self { temp, names, server: None, on_sale, sold, ran: 0, has_postgres }
    }

    fn data(&self) -> PathBuf {
        PathBuf::from(&self.names["DATA"])
    }

    fn shell(&self, commands: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", commands]).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name == "RUST_LOG" || name.to_string_lossy().starts_with("HAKKEN_") {
                command.env_remove(name);
            }
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.temp.path().join("bin");
        command.env("PATH", format!("{}:{path}", bin.display()));
        command.current_dir(self.temp.path()).envs(&self.names);
        command
    }

    async fn run(&mut self, kind: &str, commands: &str, printed: Option<&str>) {
        if kind == "postgres" && !self.has_postgres {
            return;
        }
        if commands.starts_with("curl") && Command::new("curl").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "CI must have curl");
            println!("skipped: no curl on this machine");
            return;
        }
        self.ran += 1;
        if kind == "server" {
            return self.start(commands, "readyz").await;
        }
        let Output { status, stdout, stderr } = self.shell(commands).output().expect("bash runs");
        let (stdout, stderr) = (text(&stdout), text(&stderr));
        let expected = if kind == "refused" { Some(1) } else { Some(0) };
        assert_eq!(status.code(), expected, "{commands}{stdout}{stderr}");
        let found = if kind == "refused" { &stderr } else { &stdout };
        if let Some(printed) = printed {
            assert!(fits(printed, found), "{commands}\nthe page:\n{printed}\nand it is:\n{found}");
        }
    }

    /// Starts a server, and waits until it can sell (`readyz`), or until it answers (`livez`).
    async fn start(&mut self, commands: &str, until: &str) {
        assert!(self.server.is_none(), "one server runs already");
        let commands = format!("exec {commands}");
        let log = fs::File::create(self.temp.path().join("log")).unwrap();
        let mut command = self.shell(&commands);
        command.env("HAKKEN_PAYMENTS", "simulated").stdout(Stdio::null()).stderr(log);
        let child = self.server.insert(command.spawn().expect("bash runs"));
        let ready = format!("http://{}/{until}", self.names["LISTEN"]);
        let since = Instant::now();
        while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status() == 200) {
            let log = || fs::read_to_string(self.temp.path().join("log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "{}", log());
            assert!(since.elapsed() < PATIENCE, "it is not ready: {}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let pid = server.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(ended(&mut server).code(), Some(0));
    }

    async fn happens(&mut self, what: &str) {
        match what {
            "the server starts" => {
                self.start("hakken serve --data \"$DATA\" --listen \"$LISTEN\"", "readyz").await;
            }
            "the server stops" => self.stop(),
            "the data are lost" => {
                self.stop();
                fs::remove_dir_all(self.data().join("events")).unwrap();
            }
            "all that was sold is known" => self.knows_all().await,
            "a bit flips in the events" => {
                self.stop();
                let events = fs::read_dir(self.data().join("events")).unwrap();
                let file = events.map(|entry| entry.unwrap().path()).min().expect("a file");
                let mut bytes = fs::read(&file).unwrap();
                bytes[2_000] ^= 1;
                fs::write(file, bytes).unwrap();
            }
            "the secret is lost" => {
                self.stop();
                fs::remove_file(self.data().join("secret")).unwrap();
            }
            "an event comes that no read model can fold" => {
                self.stop();
                let position = self.poison().await;
                self.names.insert("POISON", position.to_string());
                // One that has stopped so soon is not ready, and serves all the same.
                self.start("hakken serve --data \"$DATA\" --listen \"$LISTEN\"", "livez").await;
                self.are("STOPPED").await;
            }
            "the read models go on" => self.are("RUNNING").await,
            "PostgreSQL goes away and comes back" => {
                self.stop();
                postgres_comes_back().await;
            }
            other => panic!("nobody knows how this happens: {other}"),
        }
    }

    /// Something at the show's gates that no release can read comes to be in the store.
    async fn poison(&self) -> u64 {
        let store = EmbeddedStore::open(&DataDir::at(self.data())).await.unwrap();
        let show = ShowId::parse(&self.on_sale.show).expect("a show");
        let event =
            NewEvent { kind: "code-refused", ..stores::event(r#"{"gate":"north","who":7}"#) };
        let append = Append { stream: StreamId::gate(show), expected: 0, events: vec![event] };
        let newest = EventStore::head(&store).await.unwrap();
        let newest = EventStore::read_all(&store, Position(newest.0 - 1), 1).await.unwrap();
        let appended = EventStore::append(&store, vec![append], newest[0].recorded_at).await;
        let position = stores::written(&appended.unwrap()[0])[0].position;
        store.close().await.unwrap();
        position.0
    }

    /// Waits until the read models that meet it are like this.
    async fn are(&self, state: &str) {
        let client = Client::at(&format!("http://{}", self.names["LISTEN"]));
        let client = client.with_key(&self.names["KEY"]);
        let since = Instant::now();
        loop {
            let told = client.ask("{ projections { name state } }", json!({})).await;
            let all = told["projections"].as_array().expect("the read models");
            let is = |name: &str| all.contains(&json!({ "name": name, "state": state }));
            if is("scans") && is("audit_log") {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{told}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A server on the data answers all that was ever acknowledged in the same way.
    async fn knows_all(&mut self) {
        let is_mine = self.server.is_none();
        if is_mine {
            self.start("hakken serve --data \"$DATA\" --listen \"$LISTEN\"", "readyz").await;
        }
        let url = format!("http://{}", self.names["LISTEN"]);
        let client = Client::at(&url);
        for each in &self.sold {
            each.ask_again(&client, &self.on_sale).await.unwrap();
        }
        let viewer =
            client.with_key(&self.names["KEY"]).ask("{ viewer { role } }", json!({})).await;
        assert_eq!(viewer["viewer"]["role"], "OPERATOR");
        if is_mine {
            self.stop();
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It may have ended already.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// A buyer with a ticket who entered, and one who only holds.
async fn sell(client: &Client, on_sale: &Arc<OnSale>, name: &str, sold: &mut Vec<Acknowledged>) {
    use Step::{Hold, Order, Pay, Scan};
    let mut chance = Chance::new(3);
    for (at, plan) in [&[Hold, Order, Pay, Scan][..], &[Hold]].into_iter().enumerate() {
        let mut life = Life::new(format!("life-{name}-{at}"), on_sale.clone(), &mut chance);
        life.ahead = plan.iter().copied().collect();
        while let Some(told) = life.go(client).await.expect("it is answered") {
            sold.push(told);
        }
    }
}

/// When the newest event was recorded.
fn now(temp: &tempfile::TempDir) -> String {
    let data = temp.path().join("data");
    let arguments = ["events", "--tail", "1", "--json", "--data", data.to_str().unwrap()];
    let event: serde_json::Value = serde_json::from_str(&super::program::good(&arguments)).unwrap();
    event["recorded_at"].as_str().unwrap().to_owned()
}

/// A server that sells loses its database for a while, and nothing else.
async fn postgres_comes_back() {
    let Some(mut postgres) = Postgres::own(true) else { return };
    let temp = tempfile::tempdir().unwrap();
    let database = postgres.database().await;
    let arguments = ["--payments", "simulated", "--store", &database.url];
    let server = Server::launch(serve(&temp.path().join("data"), &arguments), true);
    let on_sale = Sale::open(&server.client(&server.key.clone().unwrap()), SEATS).await.on_sale();
    let (on_sale, mut sold) = (Arc::new(on_sale), Vec::new());
    sell(&server.client(""), &on_sale, "before", &mut sold).await;
    postgres.kill();
    let asked = server.client(&on_sale.seller);
    let hold = "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) { hold { id } } }";
    let input = json!({ "input": {
        "idempotencyKey": "meanwhile", "show": on_sale.show, "buyer": "b",
        "bestAvailable": { "count": 1 }
    } });
    let answer = asked.try_ask(hold, input.clone()).await.unwrap();
    let error = &answer["errors"][0]["extensions"];
    assert_eq!(error["code"], "SERVICE_UNAVAILABLE", "{answer}");
    assert!(error["retryAfterSeconds"].is_number(), "{answer}");
    postgres.begin();
    let since = Instant::now();
    while asked.try_ask(hold, input.clone()).await.unwrap()["data"]["holdSeats"]["hold"].is_null() {
        assert!(since.elapsed() < PATIENCE, "it does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for each in &sold {
        each.ask_again(&server.client(""), &on_sale).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_book_is_followed_word_for_word() {
    let mut operator = Operator::begin().await;
    for step in steps(&page()) {
        match step {
            Said::Run { kind, commands, printed } => {
                operator.run(&kind, &commands, printed.as_deref()).await;
            }
            Said::Happens(what) => operator.happens(&what).await,
            Said::Named(names) => {
                let known: Vec<&str> = operator.names.keys().copied().collect();
                let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
                names.sort_unstable();
                assert_eq!(names, known, "each name of the page is set, and no other");
            }
        }
    }
    assert!(operator.ran >= 22, "only {} blocks were run", operator.ran);
}

/// The page that people read first says the same, in commands that do it.
#[tokio::test(flavor = "multi_thread")]
async fn the_backups_of_the_readme_are_made_and_restored_as_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(path).expect("README.md");
    let part = readme.split("\n## Backups").nth(1).expect("`## Backups`");
    let part = part.split("\n## ").next().expect("its end");
    assert!(part.contains("docs/operations.md") && part.contains("word for word"), "{part}");
    let mut operator = Operator::begin().await;
    operator.start("hakken serve --data \"$DATA\" --listen \"$LISTEN\"", "readyz").await;
    for step in steps(part) {
        let Said::Run { kind, commands, printed } = step else { panic!("{step:?}") };
        assert_eq!((&*kind, &printed), ("", &None));
        let told = operator.shell(&commands).output().expect("bash runs");
        // How full the disk of the test is, is nobody's business.
        let (stdout, stderr) = (text(&told.stdout), text(&told.stderr));
        assert!(told.status.success() || stdout.contains("ATTENTION  disk"), "{stdout}{stderr}");
        operator.ran += 1;
    }
    assert_eq!(operator.ran, 1);
    operator.stop();
    let events = |name: &str| {
        let told = super::program::good(&["events", "--json", "--data", &operator.names[name]]);
        told.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let (all, new, then) = (events("DATA"), events("NEW"), events("THEN"));
    assert_eq!(new, all[..new.len()]);
    assert!(!then.is_empty() && then.len() < new.len());
    assert_eq!(then, all[..then.len()]);
}

#[test]
fn what_cron_runs_is_what_the_page_says_by_hand() {
    let page = page();
    let line = page.split("```crontab\n").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let command = line.split("  ").nth(1).unwrap().trim_end_matches(" --json");
    assert!(page.contains(&format!("```sh\n{command}\n```")), "{command}");
}

#[test]
fn a_pattern_stands_for_what_it_fits() {
    assert!(fits("a … c\n…\nend", "a b c\nmore\nand\nend\n"));
    assert!(fits("as it is", "as it is\n") && !fits("as it is", "as it is not"));
    assert!(!fits("a … d", "a b c") && !fits("x…", "y"));
    let page = "```sh\nls\n```\n\n```text\n…\n```\n<!-- test: it rains -->\n";
    let (kind, commands) = (String::new(), "ls\n".to_owned());
    let printed = Some("…\n".to_owned());
    let run = Said::Run { kind, commands, printed };
    assert_eq!(steps(page), [run, Said::Happens("it rains".to_owned())]);
}

//! One data directory, and the servers that live and die on it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hakken_tests::sim::Chance;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    super::program::{Client, Server, copy, good, serve},
    life::{Acknowledged, Life, OnSale, Stop, ask_again},
    sale::Sale,
    witness::{Witness, embedded_events},
};

/// Clients on one server, each with a connection of its own.
const CLIENTS: usize = 32;
/// Every so many rounds all comes to rest, and another show begins.
const REST: u64 = 25;
/// So many acknowledged requests are asked again after each start.
const ASKED_AGAIN: usize = 24;
const SEATS: usize = 1_000;

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Killed while all its clients ask.
    UnderLoad,
    /// Killed while it starts.
    WhileStarting,
    /// Killed while it rebuilds its read models, and all its clients ask.
    WhileRebuilding,
    /// Told to stop, and killed while it does.
    WhileStopping,
    /// Told to stop; it ends by itself.
    Well,
}

impl End {
    fn draw(chance: &mut Chance) -> Self {
        match chance.below(100) {
            0..58 => Self::UnderLoad,
            58..72 => Self::WhileStarting,
            72..84 => Self::WhileRebuilding,
            84..96 => Self::WhileStopping,
            _ => Self::Well,
        }
    }
}

/// What the clients of a lane share.
struct Crowd {
    on_sale: Mutex<Arc<OnSale>>,
    /// Whose request was not answered: they go on with the next server.
    unfinished: Mutex<Vec<Life>>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    /// What no buyer should be told.
    strange: Mutex<Vec<String>>,
    /// Nobody new comes.
    is_closing: AtomicBool,
    chance: Mutex<Chance>,
    lane: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct Lane {
    chance: Chance,
    temp: tempfile::TempDir,
    log_read: usize,
    last: Option<End>,
    operator: String,
    sale: Sale,
    crowd: Arc<Crowd>,
    witness: Witness,
    ends: BTreeMap<End, u64>,
}

impl Lane {
    /// A new data directory, with a hall whose first show is on sale.
    pub async fn open(number: u64, mut chance: Chance) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let server = Server::start(&temp.path().join("data"));
        let operator = server.key.clone().expect("a new store has a first key");
        let sale = Sale::open(&server.client(&operator), SEATS).await;
        let crowd = Crowd {
            on_sale: Mutex::new(sale.on_sale()),
            unfinished: Mutex::default(),
            acknowledged: Mutex::default(),
            strange: Mutex::default(),
            is_closing: AtomicBool::new(false),
            chance: Mutex::new(chance.split()),
            lane: number,
        };
        server.kill();
        let witness = Witness::new(embedded_events(&temp.path().join("data")));
        Self {
            chance,
            temp,
            log_read: 0,
            last: None,
            operator,
            sale,
            crowd: Arc::new(crowd),
            witness,
            ends: BTreeMap::new(),
        }
    }

    fn log(&self) -> PathBuf {
        self.temp.path().join("log")
    }

    /// A server whose every few events are a snapshot, so that kills meet the writing of one.
    fn command(&self) -> Command {
        let more = ["--log", "json", "--payments", "simulated", "--snapshot-events", "25"];
        let mut command = serve(&self.temp.path().join("data"), &more);
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        command.env("RUST_LOG", "warn,hakken::recovery=info").stderr(log);
        command
    }

    /// A start, whatever the last server left behind; what that left; load; an end.
    pub async fn round(&mut self, round: u64) {
        let end = End::draw(&mut self.chance);
        self.live(end, round % REST == REST - 1).await;
    }

    async fn live(&mut self, end: End, comes_to_rest: bool) {
        *self.ends.entry(end).or_default() += 1;
        if end == End::WhileStarting {
            let mut child = self.command().spawn().unwrap();
            self.wait(0, 250).await;
            child.kill().unwrap();
            child.wait().unwrap();
            self.last = Some(end);
            return;
        }
        let server = self.start().await;
        if comes_to_rest {
            self.rest(&server).await;
        }
        let clients = self.clients(&server);
        self.wait(30, 200).await;
        match end {
            End::UnderLoad => server.kill(),
            End::WhileStarting => unreachable!("answered above"),
            End::WhileRebuilding => {
                let operator = server.client(&self.operator);
                let query = "mutation { rebuildProjections(input: {}) { userErrors { code } } }";
                operator.ask(query, json!({})).await;
                self.wait(0, 120).await;
                server.kill();
            }
            End::WhileStopping => {
                server.signal("-TERM");
                self.wait(0, 60).await;
                server.kill();
            }
            End::Well => {
                server.signal("-TERM");
                assert_eq!(server.ended().code(), Some(0), "a stop under load ends well");
            }
        }
        self.last = Some(end);
        clients.join_all().await;
    }

    async fn wait(&mut self, from: u64, to: u64) {
        tokio::time::sleep(Duration::from_millis(self.chance.between(from, to))).await;
    }

    /// Starts a server, and looks at what it says and has.
    async fn start(&mut self) -> Server {
        let command = self.command();
        let server = tokio::task::spawn_blocking(move || Server::launch(command, false));
        let server = server.await.unwrap();
        self.check(&server).await.unwrap();
        let told = self.read_log().unwrap();
        self.recovered(&told).unwrap();
        server
    }

    /// Everything that was acknowledged is there: in the events, and in the API's answers.
    async fn check(&mut self, server: &Server) -> Result<(), String> {
        self.witness.read_on().await?;
        let heard = std::mem::take(&mut *lock(&self.crowd.acknowledged));
        let from = self.witness.acknowledged.len();
        self.witness.heard(heard)?;
        if let Some(strange) = lock(&self.crowd.strange).first() {
            return Err(strange.clone());
        }
        let all = &self.witness.acknowledged;
        let mut again = Vec::new();
        for part in [&all[from..], all] {
            for _ in 0..ASKED_AGAIN / 2 {
                again.extend(self.chance.pick(part).cloned());
            }
        }
        ask_again(&server.client(""), &self.sale.on_sale(), again).await
    }

    /// The lines that servers have written since this was last asked.
    fn read_log(&mut self) -> Result<Vec<Value>, String> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let mut lines = Vec::new();
        for line in log[self.log_read..].lines() {
            let line: Value = serde_json::from_str(line).map_err(|_| format!("logged: {line}"))?;
            if line["level"] == "ERROR" {
                return Err(format!("logged: {line}"));
            }
            lines.push(line);
        }
        self.log_read = log.len();
        Ok(lines)
    }

    /// The last start said what it had found.
    fn recovered(&self, told: &[Value]) -> Result<(), String> {
        let said = |message: &str| told.iter().rposition(|line| line["message"] == message);
        let at = said("recovered").ok_or("nothing was said about what was recovered")?;
        let recovered = &told[at];
        let newest = self.witness.newest_acknowledged();
        let events = recovered["events"].as_u64().unwrap_or_default();
        if events < newest.0 || recovered["newest"].is_null() {
            return Err(format!("{newest} was acknowledged, and said was {recovered}"));
        }
        let well = match self.last {
            Some(End::Well) => Some(true),
            Some(End::UnderLoad | End::WhileRebuilding) | None => Some(false),
            // It depends on how far it had come.
            Some(End::WhileStarting | End::WhileStopping) => None,
        };
        if well.is_some_and(|well| recovered["closed_well"] != well) {
            return Err(format!("after {:?} said was {recovered}", self.last));
        }
        let resumes = told[at..].iter().filter(|line| line["message"] == "process resumes");
        let processes: Vec<_> = resumes
            .filter(|line| line["position"].as_u64().is_some_and(|position| position <= events))
            .map(|line| line["process"].as_str().unwrap_or_default().to_owned())
            .collect();
        if processes != ["checkout", "refunds", "sweeper"] {
            return Err(format!("{processes:?} resume"));
        }
        Ok(())
    }

    /// Lets everybody who has begun come to an end; then nothing is half done.
    async fn rest(&mut self, server: &Server) {
        self.crowd.is_closing.store(true, Ordering::SeqCst);
        self.clients(server).join_all().await;
        self.crowd.is_closing.store(false, Ordering::SeqCst);
        assert!(lock(&self.crowd.unfinished).is_empty(), "everybody comes to an end");
        let begun = Instant::now();
        loop {
            self.witness.read_on().await.unwrap();
            match self.witness.at_rest() {
                Ok(()) => break,
                Err(wrong) if begun.elapsed() > Duration::from_secs(30) => panic!("{wrong}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        self.sale.another_show(&server.client("")).await;
        *lock(&self.crowd.on_sale) = self.sale.on_sale();
    }

    /// Everybody comes.
    fn clients(&self, server: &Server) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(come(server.client(""), self.crowd.clone()));
        }
        clients
    }

    /// Servers live and die until somebody was told of something that one of them did. To be told
    /// once more what a life before did is not enough.
    async fn live_until_told(&mut self) {
        self.witness.read_on().await.unwrap();
        let before = self.witness.position();
        while self.witness.newest_acknowledged() <= before {
            self.live(End::UnderLoad, false).await;
            self.witness.read_on().await.unwrap();
            let heard = std::mem::take(&mut *lock(&self.crowd.acknowledged));
            self.witness.heard(heard).unwrap();
        }
    }

    /// Whether a loss is noticed: data as they were before a server's life are put back after it,
    /// and somebody says that they were told what nobody was told.
    pub async fn control(mut self) {
        self.live_until_told().await;
        let (data, old) = (self.temp.path().join("data"), self.temp.path().join("old"));
        copy(&data, &old);
        self.live_until_told().await;
        let server = self.start().await;
        let mut invented = self.witness.acknowledged.last().expect("somebody was told").clone();
        invented.key.push('x');
        let wrong = self.witness.heard(vec![invented.clone()]).unwrap_err();
        assert!(wrong.contains("is not recorded"), "{wrong}");
        invented.key.pop();
        invented.answer.push(json!("something else"));
        let wrong =
            ask_again(&server.client(""), &self.sale.on_sale(), vec![invented]).await.unwrap_err();
        assert!(wrong.contains("and now comes"), "{wrong}");
        server.kill();

        fs::remove_dir_all(&data).unwrap();
        copy(&old, &data);
        let server = Server::launch(self.command(), false);
        let wrong = self.check(&server).await.unwrap_err();
        assert!(wrong.contains("was read, and is gone"), "{wrong}");
        // Who has not read what is gone sees it by what the clients were told.
        let told = std::mem::take(&mut self.witness.acknowledged);
        self.witness = Witness::new(embedded_events(&data));
        self.witness.read_on().await.unwrap();
        let wrong = self.witness.heard(told).unwrap_err();
        assert!(wrong.contains("is not recorded"), "{wrong}");
    }

    /// The last start: everything that was ever acknowledged is asked for once more, and the read
    /// models are what the events say.
    pub async fn end(mut self) -> String {
        let server = self.start().await;
        self.rest(&server).await;
        self.check(&server).await.unwrap();
        let mut all = self.witness.acknowledged.clone();
        let number = all.len();
        assert!(number > 100, "only {number} requests were acknowledged");
        while all.len() > 3_000 {
            let at = self.chance.below(all.len());
            all.swap_remove(at);
        }
        ask_again(&server.client(""), &self.sale.on_sale(), all).await.unwrap();
        let told = good(&["verify", "--json", "--url", &server.url, "--key", &self.operator]);
        for line in told.lines() {
            let report: Value = serde_json::from_str(line).unwrap();
            assert_eq!(report["equal"], true, "{report}");
        }
        let events = self.witness.position();
        format!("{number} acknowledged, {events} events, ends: {:?}", self.ends)
    }
}

/// One client: goes on with whoever was interrupted, then with new buyers, until the server is
/// gone.
async fn come(client: Client, crowd: Arc<Crowd>) {
    loop {
        let interrupted = lock(&crowd.unfinished).pop();
        let mut life = match interrupted {
            Some(life) => life,
            None if crowd.is_closing.load(Ordering::SeqCst) => return,
            None => {
                let on_sale = lock(&crowd.on_sale).clone();
                let mut chance = lock(&crowd.chance);
                let name = format!("life-{}-{:016x}", crowd.lane, chance.next());
                Life::new(name, on_sale, &mut chance)
            }
        };
        loop {
            match life.go(&client).await {
                Ok(Some(acknowledged)) => lock(&crowd.acknowledged).push(acknowledged),
                Ok(None) => break,
                Err(Stop::Gone) => {
                    lock(&crowd.unfinished).push(life);
                    return;
                }
                Err(Stop::Refused(code)) => {
                    let sold_out = ["NOT_ENOUGH_SEATS", "NO_ADJACENT_SEATS", "POOL_EXHAUSTED"];
                    if !sold_out.contains(&code.as_str()) {
                        let ahead = &life.ahead;
                        lock(&crowd.strange).push(format!("{code} with {ahead:?} ahead"));
                    }
                    break;
                }
            }
        }
    }
}

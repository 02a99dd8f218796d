//! Servers on one store, a crowd of buyers who never stop, and one fault after the other.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hakken_tests::sim::Chance;
use serde_json::Value;
use tokio::{task::JoinSet, time::timeout};

use super::{
    super::{
        crash::{
            life::{Acknowledged, Life, OnSale, Stop, ask_again},
            sale::Sale,
            witness::Witness,
        },
        program::{Client, Server, files_below, good},
    },
    ground::{Fault, Ground, Servers},
};

const BUYERS: usize = 16;
const SEATS: usize = 600;
/// Every so many rounds all comes to rest, and another show begins.
const REST: u64 = 12;
/// When so many buyers found nothing left, too.
const SOLD_OUT: u64 = 30;
/// After a fault so many requests must be acknowledged: all goes on.
const GOES_ON: u64 = 12;
/// How long it may take until all goes on, or comes to rest.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long one of the servers is asked before it is looked whether it has ended.
const ONE_SERVER: Duration = Duration::from_secs(2);

/// What happens to servers needs nothing of the store.
const OF_SERVERS: [Fault; 3] =
    [Fault::ServerKilled, Fault::ServerFrozen, Fault::ServerKilledMeanwhile];

/// What the buyers share.
struct Crowd {
    on_sale: Mutex<Arc<OnSale>>,
    /// The servers that can be asked.
    doors: Mutex<Vec<Option<Client>>>,
    /// Whose request was not answered: they go on with the next server.
    unfinished: Mutex<Vec<Life>>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    count: AtomicU64,
    /// Buyers who found nothing left.
    sold_out: AtomicU64,
    /// What no buyer should be told.
    strange: Mutex<Option<String>>,
    /// Nobody new comes.
    is_closing: AtomicBool,
    chance: Mutex<Chance>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The servers of a store, and those who buy from them.
pub struct House<G> {
    pub ground: G,
    pub witness: Witness,
    root: tempfile::TempDir,
    servers: Vec<Server>,
    operator: String,
    sale: Sale,
    crowd: Arc<Crowd>,
    buyers: JoinSet<()>,
    chance: Chance,
    rounds: u64,
    met: BTreeMap<Fault, u64>,
    restarts: u64,
    /// The last fault since all began anew under which a server may end by itself.
    ends_servers: Option<Fault>,
    /// From the end of a fault until all went on.
    longest: Duration,
}

impl<G: Ground> House<G> {
    /// Opens a house whose first show is on sale, with its crowd.
    pub async fn open(ground: G, mut chance: Chance) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let mut servers = vec![launch(&ground, root.path(), 0, true).await];
        let operator = servers[0].key.clone().expect("a new store has a first key");
        let sale = Sale::open(&servers[0].client(&operator), SEATS).await;
        for number in 1..ground.servers() {
            servers.push(launch(&ground, root.path(), number, false).await);
        }
        let crowd = Arc::new(Crowd {
            on_sale: Mutex::new(sale.on_sale()),
            doors: Mutex::new(servers.iter().map(|server| Some(server.client(""))).collect()),
            unfinished: Mutex::default(),
            acknowledged: Mutex::default(),
            count: AtomicU64::new(0),
            sold_out: AtomicU64::new(0),
            strange: Mutex::default(),
            is_closing: AtomicBool::new(false),
            chance: Mutex::new(chance.split()),
        });
        let witness = Witness::new(ground.events(root.path()));
        let mut house = Self {
            ground,
            witness,
            root,
            servers,
            operator,
            sale,
            crowd,
            buyers: JoinSet::new(),
            chance,
            rounds: 0,
            met: BTreeMap::new(),
            restarts: 0,
            ends_servers: None,
            longest: Duration::ZERO,
        };
        house.invite();
        house
    }

    fn invite(&mut self) {
        for _ in 0..BUYERS {
            self.buyers.spawn(come(self.crowd.clone()));
        }
    }

    /// A fault, and what is so when it is over.
    pub async fn round(&mut self) {
        self.rounds += 1;
        let fault = self.strike().await;
        *self.met.entry(fault).or_default() += 1;
        let gone_on = self.goes_on().await;
        let checked = if gone_on.is_ok() { self.check().await } else { gone_on };
        if let Err(wrong) = checked {
            let round = self.rounds;
            panic!("after {fault:?} in round {round}: {wrong}\n{}", self.last_logged());
        }
        if self.rounds.is_multiple_of(REST) {
            self.rest().await;
            self.another_show().await;
            self.ends_servers = None;
            self.invite();
        }
    }

    async fn another_show(&mut self) {
        let since = Instant::now();
        loop {
            let door = lock(&self.crowd.doors).iter().flatten().next().cloned();
            let asked = self.sale.another_show(door.as_ref().expect("a server is there"));
            if timeout(ONE_SERVER, asked).await.is_ok() {
                break;
            }
            assert!(since.elapsed() < PATIENCE, "no other show can be put on sale");
            self.mend_what_ended().await;
        }
        *lock(&self.crowd.on_sale) = self.sale.on_sale();
        self.crowd.sold_out.store(0, Ordering::Relaxed);
    }

    /// Where a fault ends servers, one may end a little after it.
    async fn mend_what_ended(&mut self) {
        if let Some(status) = self.servers.iter_mut().find_map(Server::has_ended) {
            let Some(fault) = self.ends_servers else {
                panic!("a server ended with {status}, and no fault was there that ends one");
            };
            self.mend(fault).await;
        }
    }

    /// May a server end by itself under this fault, or under what may be beside it?
    fn may_end(&self, fault: Fault) -> bool {
        let all = self.ground.faults();
        let meanwhile = fault == Fault::ServerKilledMeanwhile;
        let beside = meanwhile && all.iter().any(|each| self.ground.ends_servers(*each));
        beside || self.ground.ends_servers(fault)
    }

    /// What the servers wrote last into their logs.
    fn last_logged(&self) -> String {
        let logs = files_below(self.root.path()).into_iter();
        let logs = logs.filter(|file| file.extension().is_some_and(|ending| ending == "log"));
        let mut last = String::new();
        for log in logs {
            let text = std::fs::read_to_string(self.root.path().join(&log)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let lines = lines[lines.len().saturating_sub(20)..].join("\n");
            last += &format!("{}:\n{lines}\n", log.display());
        }
        last
    }

    /// Lets something happen for a while.
    async fn strike(&mut self) -> Fault {
        let victim = self.chance.below(self.servers.len());
        let fault = loop {
            let all: Vec<Fault> = OF_SERVERS.iter().chain(self.ground.faults()).copied().collect();
            let drawn = all[self.chance.below(all.len())];
            if self.begin(drawn, victim).await {
                break drawn;
            }
        };
        self.ends_servers = Some(fault).filter(|fault| self.may_end(*fault)).or(self.ends_servers);
        self.wait(100, 700).await;
        match fault {
            Fault::ServerKilledMeanwhile => {
                self.kill(victim);
                self.wait(0, 200).await;
            }
            Fault::ServerFrozen => self.servers[victim].signal("-CONT"),
            _ => {}
        }
        let pids: Vec<u32> = self.servers.iter().map(Server::pid).collect();
        self.ground.heal(Servers { pids: &pids, victim }).await;
        self.mend(fault).await;
        fault
    }

    /// Whether it could begin.
    async fn begin(&mut self, fault: Fault, victim: usize) -> bool {
        let pids: Vec<u32> = self.servers.iter().map(Server::pid).collect();
        let servers = Servers { pids: &pids, victim };
        match fault {
            Fault::ServerKilled => self.kill(victim),
            Fault::ServerFrozen => self.servers[victim].signal("-STOP"),
            Fault::ServerKilledMeanwhile => {
                let all = self.ground.faults();
                let other = all[self.chance.below(all.len())];
                return self.ground.begin(other, servers, &mut self.chance).await;
            }
            _ => return self.ground.begin(fault, servers, &mut self.chance).await,
        }
        true
    }

    async fn wait(&mut self, from: u64, to: u64) {
        tokio::time::sleep(Duration::from_millis(self.chance.between(from, to))).await;
    }

    fn kill(&mut self, number: usize) {
        lock(&self.crowd.doors)[number] = None;
        self.servers[number].end();
    }

    /// Starts what was killed, and what has ended by itself where it may.
    async fn mend(&mut self, fault: Fault) {
        for number in 0..self.servers.len() {
            let Some(status) = self.servers[number].has_ended() else { continue };
            let was_killed = lock(&self.crowd.doors)[number].take().is_none();
            // After a failed write a server ends with this code, on purpose.
            let ended_well = status.code() == Some(70) && self.may_end(fault);
            assert!(was_killed || ended_well, "a server ended with {status} in {fault:?}");
            self.restarts += 1;
            self.servers[number] = launch(&self.ground, self.root.path(), number, false).await;
            lock(&self.crowd.doors)[number] = Some(self.servers[number].client(""));
        }
    }

    /// A server stands still until somebody has seen to it that it may go on.
    pub async fn freeze(&mut self, number: usize, until: impl Fn(&Path) -> bool) {
        let door = lock(&self.crowd.doors)[number].take();
        self.servers[number].signal("-STOP");
        let since = Instant::now();
        while !until(self.root.path()) {
            assert!(since.elapsed() < PATIENCE, "it stands still, and nobody takes its place");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let gone_on = self.goes_on().await;
        self.servers[number].signal("-CONT");
        lock(&self.crowd.doors)[number] = door;
        gone_on.unwrap();
    }

    /// Waits until enough was acknowledged since the fault ended.
    pub async fn goes_on(&mut self) -> Result<(), String> {
        let before = self.crowd.count.load(Ordering::Relaxed);
        let since = Instant::now();
        while self.crowd.count.load(Ordering::Relaxed) < before + GOES_ON {
            if since.elapsed() > PATIENCE {
                return Err("hardly anything is acknowledged any more".to_owned());
            }
            if let Some(strange) = &*lock(&self.crowd.strange) {
                return Err(strange.clone());
            }
            if self.crowd.sold_out.load(Ordering::Relaxed) > SOLD_OUT {
                self.another_show().await;
            }
            self.mend_what_ended().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.longest = self.longest.max(since.elapsed());
        Ok(())
    }

    /// Everything that was acknowledged is among the events, once, and they are in order.
    pub async fn check(&mut self) -> Result<(), String> {
        self.complaints().await.into_iter().next().map_or(Ok(()), Err)
    }

    /// What is wrong with the events, with what was acknowledged, and with what buyers were told:
    /// the first of each.
    pub async fn complaints(&mut self) -> Vec<String> {
        let heard = std::mem::take(&mut *lock(&self.crowd.acknowledged));
        if let Err(wrong) = self.witness.read().await {
            return vec![wrong];
        }
        let of_events = self.witness.wrong().map(str::to_owned);
        let acknowledged = self.witness.heard(heard).err();
        let strange = lock(&self.crowd.strange).clone();
        [of_events, acknowledged, strange].into_iter().flatten().collect()
    }

    /// Lets everybody who has begun come to an end; then nothing is half done, each server gives
    /// the answers again that any of them gave, and its read models are what the events say.
    async fn rest(&mut self) {
        self.crowd.is_closing.store(true, Ordering::SeqCst);
        while !self.buyers.is_empty() {
            match timeout(ONE_SERVER, self.buyers.join_next()).await {
                Ok(ended) => ended.expect("there are some").expect("a buyer is served"),
                Err(_) => self.mend_what_ended().await,
            }
        }
        self.crowd.is_closing.store(false, Ordering::SeqCst);
        assert!(lock(&self.crowd.unfinished).is_empty(), "everybody comes to an end");
        self.check().await.unwrap();
        let since = Instant::now();
        loop {
            self.witness.read_on().await.unwrap();
            match self.witness.at_rest() {
                Ok(()) => break,
                Err(wrong) if since.elapsed() > PATIENCE => panic!("{wrong}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        for server in &self.servers {
            let all = &self.witness.acknowledged;
            let again = (0..60).filter_map(|_| self.chance.pick(all).cloned()).collect();
            ask_again(&server.client(""), &self.sale.on_sale(), again).await.unwrap();
            let (url, operator) = (server.url.clone(), self.operator.clone());
            let told = tokio::task::spawn_blocking(move || {
                good(&["verify", "--json", "--url", &url, "--key", &operator])
            });
            for line in told.await.unwrap().lines() {
                let report: Value = serde_json::from_str(line).unwrap();
                assert_eq!(report["equal"], true, "{report}");
            }
        }
    }

    /// What there was until now.
    pub fn so_far(&self) -> String {
        let Self { rounds, restarts, met, longest, .. } = self;
        let (number, events) = (self.witness.acknowledged.len(), self.witness.position());
        format!(
            "{}: {rounds} rounds, {number} acknowledged, {events} events, {restarts} restarts, all \
             went on after at most {longest:?}: {met:?}",
            self.ground.name()
        )
    }

    /// The last rest; says what there was.
    pub async fn end(mut self) -> String {
        self.rest().await;
        let (number, rounds) = (self.witness.acknowledged.len() as u64, self.rounds);
        assert!(number > rounds * GOES_ON, "only {number} requests were acknowledged");
        self.so_far()
    }
}

/// A server; on data that may be new, with its first key.
async fn launch<G: Ground>(ground: &G, root: &Path, number: usize, may_be_new: bool) -> Server {
    let command = ground.command(root, number);
    let server = tokio::task::spawn_blocking(move || Server::launch(command, may_be_new));
    server.await.expect("a server starts")
}

/// One buyer after the other: whoever was interrupted goes on, with any server that is there.
async fn come(crowd: Arc<Crowd>) {
    loop {
        let interrupted = lock(&crowd.unfinished).pop();
        let mut life = match interrupted {
            Some(life) => life,
            None if crowd.is_closing.load(Ordering::SeqCst) => return,
            None => {
                let on_sale = lock(&crowd.on_sale).clone();
                let mut chance = lock(&crowd.chance);
                let name = format!("life-{:016x}", chance.next());
                Life::new(name, on_sale, &mut chance)
            }
        };
        let drawn = lock(&crowd.chance).next() as usize;
        let door = {
            let doors = lock(&crowd.doors);
            let open: Vec<&Client> = doors.iter().flatten().collect();
            open.get(drawn % open.len().max(1)).map(|client| client.another())
        };
        let Some(client) = door else {
            lock(&crowd.unfinished).push(life);
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        loop {
            match life.go(&client).await {
                Ok(Some(acknowledged)) => {
                    lock(&crowd.acknowledged).push(acknowledged);
                    crowd.count.fetch_add(1, Ordering::Relaxed);
                }
                Ok(None) => break,
                Err(Stop::Gone) => {
                    lock(&crowd.unfinished).push(life);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    break;
                }
                Err(Stop::Refused(code)) => {
                    let sold_out = ["NOT_ENOUGH_SEATS", "NO_ADJACENT_SEATS", "POOL_EXHAUSTED"];
                    if sold_out.contains(&code.as_str()) {
                        crowd.sold_out.fetch_add(1, Ordering::Relaxed);
                    } else {
                        let ahead = &life.ahead;
                        let said = format!("{code} with {ahead:?} ahead");
                        lock(&crowd.strange).get_or_insert(said);
                    }
                    break;
                }
            }
        }
    }
}

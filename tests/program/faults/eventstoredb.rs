//! EventStoreDB, with a network between it and each of two servers. The store is the double of its
//! protocol, so what its disk would do is not met here; what a server of it answers then is.

use std::{fs, path::Path, process::Command, time::Duration};

use futures_util::future::BoxFuture;
use hakken_adapters::{data_dir::DataDir, eventstoredb::EventStoreDb as Store};
use hakken_projections::feed::EventFeed;
use hakken_tests::{
    eventstoredb::Double,
    proxy::{Mood, Proxy},
    sim::Chance,
};

use super::{
    super::{crash::witness::Events, program::serve},
    ground::{Fault, Ground, Servers},
};

const SERVERS: usize = 2;

/// Refusals of a server that is not ready: more than a fault is long.
const NOT_READY: usize = 100_000;

/// EventStoreDB.
pub struct EventStoreDb {
    double: Double,
    proxies: Vec<Proxy>,
}

impl EventStoreDb {
    /// A server of its own without an event.
    pub async fn new() -> Self {
        let double = Double::start();
        let mut proxies = Vec::new();
        for _ in 0..SERVERS {
            proxies.push(Proxy::before(double.port()).await);
        }
        Self { double, proxies }
    }

    /// The proxies that a fault meets: mostly one server's, sometimes all.
    fn drawn(&self, victim: usize, chance: &mut Chance) -> &[Proxy] {
        if chance.percent(60) { &self.proxies[victim..=victim] } else { &self.proxies }
    }
}

impl Ground for EventStoreDb {
    fn name(&self) -> &'static str {
        "EventStoreDB"
    }

    fn servers(&self) -> usize {
        SERVERS
    }

    fn faults(&self) -> &'static [Fault] {
        &[
            Fault::StoreKilled,
            Fault::NotReady,
            Fault::ConnectionsCut,
            Fault::HalfClosed,
            Fault::Unreachable,
            Fault::Silence,
            Fault::AnswersLost,
            Fault::SlowNetwork,
            Fault::SlowDisk,
        ]
    }

    fn ends_servers(&self, _: Fault) -> bool {
        // What became of an append, its stream tells.
        false
    }

    fn command(&self, root: &Path, number: usize) -> Command {
        let data = root.join(format!("server-{number}"));
        let first = root.join("server-0").join("secret");
        if first.is_file() && !data.exists() {
            fs::create_dir(&data).expect("a folder");
            fs::copy(first, data.join("secret")).expect("a copy");
        }
        let more = ["--payments", "simulated", "--snapshot-events", "25"];
        let mut command = serve(&data, &more);
        let port = self.proxies[number].port();
        let address = format!("esdb://127.0.0.1:{port}?tls=false&defaultDeadline=3000");
        command.env("HAKKEN_STORE", address);
        let log = root.join(format!("server-{number}.log"));
        let log = fs::File::options().create(true).append(true).open(log).expect("a file");
        command.stderr(log);
        command
    }

    fn events(&self, root: &Path) -> Events {
        let (url, dir) = (self.double.url(), root.join("witness"));
        Box::new(move || {
            let (url, dir) = (url.clone(), dir.clone());
            Box::pin(async move {
                let opened = Store::open(&url, &DataDir::at(&dir)).await;
                let store = opened.map_err(|error| error.to_string())?;
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
            let victim = servers.victim;
            let slow = Duration::from_millis(chance.between(5, 80));
            let set = |mood| move |proxy: &Proxy| proxy.set(mood);
            match fault {
                Fault::StoreKilled => self.double.kill(0),
                Fault::NotReady => self.double.faults().refuse(NOT_READY),
                Fault::ConnectionsCut => self.drawn(victim, chance).iter().for_each(Proxy::cut),
                Fault::HalfClosed => self.drawn(victim, chance).iter().for_each(Proxy::half_close),
                Fault::Unreachable => {
                    self.drawn(victim, chance).iter().for_each(set(Mood::Refuses));
                }
                Fault::Silence => self.drawn(victim, chance).iter().for_each(set(Mood::Silent)),
                Fault::AnswersLost => {
                    self.drawn(victim, chance).iter().for_each(set(Mood::LosesAnswers));
                }
                Fault::SlowNetwork => {
                    self.drawn(victim, chance).iter().for_each(set(Mood::Slow(slow)));
                }
                Fault::SlowDisk => self.double.faults().answer_late(slow),
                _ => return false,
            }
            true
        })
    }

    fn heal<'a>(&'a mut self, _: Servers<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if !self.double.is_running(0) {
                tokio::task::block_in_place(|| self.double.start_again(0));
            }
            self.double.faults().refuse(0);
            self.double.faults().answer_late(Duration::ZERO);
            self.proxies.iter().for_each(|proxy| proxy.set(Mood::Fair));
        })
    }
}

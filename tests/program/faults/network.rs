//! What stands between a store's server and the servers of Hakken on it: a network that can be cut,
//! and what all of these servers have in common.

use std::{fs, path::Path, process::Command, time::Duration};

use hakken_tests::{
    proxy::{Mood, Proxy},
    sim::Chance,
};

use super::{super::program::serve, ground::Fault};

/// One proxy before each server of Hakken.
pub struct Network(Vec<Proxy>);

impl Network {
    /// Towards a store's server at a port, for so many of Hakken's.
    pub async fn before(port: u16, servers: usize) -> Self {
        let mut proxies = Vec::new();
        for _ in 0..servers {
            proxies.push(Proxy::before(port).await);
        }
        Self(proxies)
    }

    /// Where one of the servers finds the store.
    pub fn port(&self, number: usize) -> u16 {
        self.0[number].port()
    }

    /// Lets a fault of the network begin, if it is one: mostly for one server, sometimes for all.
    pub fn begin(&self, fault: Fault, victim: usize, chance: &mut Chance) -> bool {
        let slow = Mood::Slow(Duration::from_millis(chance.between(5, 80)));
        let drawn = if chance.percent(60) { &self.0[victim..=victim] } else { &self.0 };
        let set = |mood| drawn.iter().for_each(|proxy| proxy.set(mood));
        match fault {
            Fault::ConnectionsCut => drawn.iter().for_each(Proxy::cut),
            Fault::HalfClosed => drawn.iter().for_each(Proxy::half_close),
            Fault::Unreachable => set(Mood::Refuses),
            Fault::Silence => set(Mood::Silent),
            Fault::AnswersLost => set(Mood::LosesAnswers),
            Fault::SlowNetwork => set(slow),
            _ => return false,
        }
        true
    }

    /// Lets every fault of it end.
    pub fn heal(&self) {
        self.0.iter().for_each(|proxy| proxy.set(Mood::Fair));
    }
}

/// A server of Hakken with the store at an address: a folder, a log and the first one's secret.
pub fn server(root: &Path, number: usize, store: &str, more: &[&str]) -> Command {
    let data = root.join(format!("server-{number}"));
    let first = root.join("server-0").join("secret");
    if first.is_file() && !data.exists() {
        fs::create_dir(&data).expect("a folder");
        fs::copy(first, data.join("secret")).expect("a copy");
    }
    let usual = ["--payments", "simulated", "--snapshot-events", "25"];
    let mut command = serve(&data, &[&usual, more].concat());
    command.env("HAKKEN_STORE", store);
    let log = root.join(format!("server-{number}.log"));
    let log = fs::File::options().create(true).append(true).open(log).expect("a file");
    command.stderr(log);
    command
}

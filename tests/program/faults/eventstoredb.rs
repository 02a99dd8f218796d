//! EventStoreDB, with a network between it and each of two servers. The store is the double of its
//! protocol, so what its disk would do is not met here; what a server of it answers then is.

use std::{path::Path, process::Command, time::Duration};

use futures_util::future::BoxFuture;
use hakken_adapters::{data_dir::DataDir, eventstoredb::EventStoreDb as Store};
use hakken_projections::feed::EventFeed;
use hakken_tests::{eventstoredb::Double, sim::Chance};

use super::{
    super::crash::witness::Events,
    ground::{Fault, Ground, Servers},
    network::{Network, server},
};

const SERVERS: usize = 2;

/// Refusals of a server that is not ready: more than a fault is long.
const NOT_READY: usize = 100_000;

/// EventStoreDB.
pub struct EventStoreDb {
    double: Double,
    network: Network,
}

impl EventStoreDb {
    /// A server of its own without an event.
    pub async fn new() -> Self {
        let double = Double::start();
        let network = Network::before(double.port(), SERVERS).await;
        Self { double, network }
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
        let port = self.network.port(number);
        let store = format!("esdb://127.0.0.1:{port}?tls=false&defaultDeadline=3000");
        server(root, number, &store, &[])
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
            match fault {
                Fault::StoreKilled => self.double.kill(0),
                Fault::NotReady => self.double.faults().refuse(NOT_READY),
                Fault::SlowDisk => {
                    let late = Duration::from_millis(chance.between(5, 80));
                    self.double.faults().answer_late(late);
                }
                other => return self.network.begin(other, servers.victim, chance),
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
            self.network.heal();
        })
    }
}

//! A double of the EventStoreDB streams protocol for tests: a gRPC server over TCP that keeps its
//! events in memory and answers as the public protocol says. Not a store: nothing is durable, but
//! the log outlives the server, so that it can be killed and started again.
//!
//! What it does: appends with every kind of expected revision and the idempotency that is
//! documented for them, one by one and in sessions, reads of streams and of $all in both directions, subscriptions to $all
//! with checkpoints, gossip, and a leader that may change. What it is strict about: places in
//! $all are byte offsets, a reading from between two records is refused, events that are read from
//! a stream come without their places, and $all holds events of the server's own.
//!
//! With `HAKKEN_TEST_EVENTSTOREDB` set to the address of a real server or cluster, such as
//! `esdb://127.0.0.1:2113?tls=false`, the same suites run against that one, except for the tests
//! that switch faults on. Each test takes a namespace of its own there, so the server may be used
//! by others too; it must be started with `MaxAppendSize` 16777216, since some tests append
//! several MiB at once.

mod batches;
mod log;
mod proto;
mod service;
mod socket;

use std::{
    collections::HashMap,
    env,
    net::TcpListener,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hakken_adapters::{data_dir::DataDir, eventstoredb::EventStoreDb, system::random_bytes};
use tokio::{runtime, sync::watch};
use tonic::{Status, transport::Server};

use self::{
    log::Log,
    proto::{Empty, Expected, Proposed, Uuid, UuidValue},
};

/// What a server takes at most in one append, if it is told so.
const MAX_APPEND_BYTES: usize = 16 << 20;

/// How long a port may stay in use after its server is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Faults that tests switch on, for all nodes of a cluster.
pub struct Faults {
    unavailable: AtomicUsize,
    lost: AtomicUsize,
    broken: AtomicUsize,
    late: Mutex<Duration>,
    max_append_bytes: AtomicUsize,
    denied: Mutex<Option<String>>,
    ended: watch::Sender<u32>,
}

impl Faults {
    fn new() -> Self {
        Self {
            unavailable: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            broken: AtomicUsize::new(0),
            late: Mutex::default(),
            max_append_bytes: AtomicUsize::new(MAX_APPEND_BYTES),
            denied: Mutex::default(),
            ended: watch::Sender::new(0),
        }
    }

    /// The next calls are refused as unavailable, and do nothing.
    pub fn refuse(&self, calls: usize) {
        self.unavailable.store(calls, Ordering::SeqCst);
    }

    /// The next appends are made, and their answers are lost.
    pub fn lose_answers(&self, appends: usize) {
        self.lost.store(appends, Ordering::SeqCst);
    }

    /// The next reads end in the middle.
    pub fn break_reads(&self, reads: usize) {
        self.broken.store(reads, Ordering::SeqCst);
    }

    /// Appends are answered so much later than they are made.
    pub fn answer_late(&self, by: Duration) {
        *self.late.lock().unwrap_or_else(PoisonError::into_inner) = by;
    }

    /// Larger appends are refused.
    pub fn limit_appends(&self, bytes: usize) {
        self.max_append_bytes.store(bytes, Ordering::SeqCst);
    }

    /// Nobody may append to streams whose names end so.
    pub fn deny(&self, ending: &str) {
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending.to_owned());
    }

    /// Ends every subscription in good order.
    pub fn end_subscriptions(&self) {
        self.ended.send_modify(|times| *times += 1);
    }

    fn takes(count: &AtomicUsize) -> bool {
        count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn takes_unavailable(&self) -> bool {
        Self::takes(&self.unavailable)
    }

    /// After how many messages the read ends, if it does.
    fn takes_break(&self, messages: usize) -> Option<usize> {
        (messages > 1 && Self::takes(&self.broken)).then_some(messages / 2)
    }

    fn max_append_bytes(&self) -> usize {
        self.max_append_bytes.load(Ordering::SeqCst)
    }

    fn denies(&self, stream: &str) -> bool {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        denied.as_ref().is_some_and(|ending| stream.ends_with(ending))
    }

    fn ended_subscriptions(&self) -> watch::Receiver<u32> {
        self.ended.subscribe()
    }

    async fn after_append(&self) -> Result<(), Status> {
        let late = *self.late.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep(late).await;
        match Self::takes(&self.lost) {
            true => Err(Status::unavailable("the connection was cut")),
            false => Ok(()),
        }
    }
}

/// What the nodes of a cluster share.
struct Cluster {
    log: Arc<Log>,
    faults: Faults,
    leader: AtomicUsize,
    /// Each node's port, and whether it runs.
    nodes: Mutex<Vec<(u16, bool)>>,
}

impl Cluster {
    fn leader(&self) -> usize {
        self.leader.load(Ordering::SeqCst)
    }

    fn nodes(&self) -> Vec<(u16, bool)> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_alive(&self, index: usize, is_alive: bool) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)[index].1 = is_alive;
    }
}

/// A node, as its services see it.
struct Node {
    cluster: Arc<Cluster>,
    index: usize,
}

/// The double: one server, or a cluster of several.
pub struct Double {
    cluster: Arc<Cluster>,
    running: Vec<Option<runtime::Runtime>>,
}

impl Double {
    /// One server.
    pub fn start() -> Self {
        Self::start_cluster(1)
    }

    /// A cluster of so many nodes; the first one leads.
    pub fn start_cluster(count: usize) -> Self {
        let listeners: Vec<TcpListener> =
            (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
        let cluster = Arc::new(Cluster {
            log: Arc::new(Log::new()),
            faults: Faults::new(),
            leader: AtomicUsize::new(0),
            nodes: Mutex::new(listeners.iter().map(|listener| (port(listener), true)).collect()),
        });
        let run = |(index, listener)| Some(run(Node { cluster: cluster.clone(), index }, listener));
        let running = listeners.into_iter().enumerate().map(run).collect();
        Self { cluster, running }
    }

    /// The address, as a client and `--store` take it.
    pub fn url(&self) -> String {
        let nodes: Vec<String> =
            self.cluster.nodes().iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        format!("esdb://{}?tls=false", nodes.join(","))
    }

    /// Where the first node listens.
    pub fn port(&self) -> u16 {
        self.cluster.nodes()[0].0
    }

    /// Whether a node runs.
    pub fn is_running(&self, node: usize) -> bool {
        self.running[node].is_some()
    }

    /// The faults of all nodes.
    pub fn faults(&self) -> &Faults {
        &self.cluster.faults
    }

    /// Kills a node: its connections are cut, whatever is under way.
    pub fn kill(&mut self, node: usize) {
        self.cluster.set_alive(node, false);
        if let Some(runtime) = self.running[node].take() {
            runtime.shutdown_background();
        }
    }

    /// Starts a node again, on the same port, with the same log.
    pub fn start_again(&mut self, node: usize) {
        let port = self.cluster.nodes()[node].0;
        let since = Instant::now();
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", port)) {
                Ok(listener) => break listener,
                Err(error) => assert!(since.elapsed() < PATIENCE, "port {port}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.cluster.set_alive(node, true);
        let node_of = Node { cluster: self.cluster.clone(), index: node };
        self.running[node] = Some(run(node_of, listener));
    }

    /// Another node leads.
    pub fn elect(&self, node: usize) {
        self.cluster.leader.store(node, Ordering::SeqCst);
    }

    /// Another application appends to a stream of its own.
    pub fn write_foreign(&self, stream: &str, data: &[u8]) {
        let number = self.len();
        let id = Uuid {
            value: Some(UuidValue::String(format!("f0000000-0000-4000-8000-{number:012x}"))),
        };
        let metadata = HashMap::from([("type".to_owned(), "other".to_owned())]);
        let (custom_metadata, data) = (Vec::new(), data.to_vec());
        let event = Proposed { id: Some(id), metadata, custom_metadata, data };
        self.cluster.log.append(stream, Expected::Any(Empty {}), vec![event]);
    }

    /// How many events $all has.
    pub fn len(&self) -> usize {
        self.cluster.log.records(0, usize::MAX).len()
    }

    /// Whether $all has none, which it never does: the server writes first.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts an older backup back: only the first events of $all are left.
    pub fn put_back(&self, length: usize) {
        self.cluster.log.truncate(length);
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        for runtime in self.running.iter_mut().filter_map(Option::take) {
            runtime.shutdown_background();
        }
    }
}

/// A node runs on threads of its own, so that it can be killed at once.
fn run(node: Node, listener: TcpListener) -> runtime::Runtime {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("double")
        .enable_all()
        .build()
        .expect("a runtime");
    listener.set_nonblocking(true).expect("a socket that does not block");
    let node = Arc::new(node);
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let incoming = futures_util::stream::unfold(listener, |listener| async move {
            let accepted = listener.accept().await.map(|(socket, _)| {
                // Answers are small: none waits to be sent together with the next.
                drop(socket.set_nodelay(true));
                socket::Prompt(socket)
            });
            Some((accepted, listener))
        });
        Server::builder()
            .add_service(service::Streams(Arc::clone(&node)))
            .add_service(service::Gossip(Arc::clone(&node)))
            .add_service(service::Features(node))
            .serve_with_incoming(incoming)
            .await
    });
    runtime
}

/// A store for one test: on the double, or on the server that the environment names.
pub struct TestStore {
    /// Nothing if a real server is used.
    pub double: Option<Double>,
    /// The address.
    pub url: String,
    /// Data directories of the processes of the test.
    temp: tempfile::TempDir,
}

impl TestStore {
    /// An empty store on one server, or on what the environment names.
    pub fn new() -> Self {
        match env::var("HAKKEN_TEST_EVENTSTOREDB") {
            Ok(url) if !url.is_empty() => Self::at(None, url),
            _ => Self::on(Double::start()),
        }
    }

    /// An empty store on a double, whatever the environment names: faults can be switched on.
    pub fn on(double: Double) -> Self {
        let url = double.url();
        Self::at(Some(double), url)
    }

    /// The same, with deadlines that are short enough for a test to wait for them.
    pub fn impatient(double: Double) -> Self {
        let url = format!("{}&defaultDeadline=1500", double.url());
        Self::at(Some(double), url)
    }

    fn at(double: Option<Double>, url: String) -> Self {
        let name: String = random_bytes().expect("random bytes")[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let with = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{with}streams=t{name}");
        Self { double, url, temp: tempfile::tempdir().expect("a directory") }
    }

    /// The double; there is one if the test asked for it.
    pub fn double(&mut self) -> &mut Double {
        self.double.as_mut().expect("this test is on a double")
    }

    /// The data directory of a process.
    pub fn dir(&self, process: &str) -> DataDir {
        DataDir::at(self.temp.path().join(process))
    }

    /// The store, as a process opens it.
    pub async fn open(&self, process: &str) -> Arc<EventStoreDb> {
        let store = EventStoreDb::open(&self.url, &self.dir(process)).await;
        Arc::new(store.unwrap_or_else(|error| panic!("{}: {error}", self.url)))
    }
}

impl Default for TestStore {
    fn default() -> Self {
        Self::new()
    }
}

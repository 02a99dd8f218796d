//! `hakken serve`: the API on a store, from start to a clean end.

use std::{io::Write, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use hakken_api::{
    ApiContext, DocumentRules, KeyLimits, LiveLimits, NewKey, RequestTracer, Telemetry, create_key,
    create_operator_key,
};
use hakken_commands::engine::{self, Health};
use hakken_domain::{apikey::Role, names::ActorRef};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    cli::{self, PaymentsMode},
    connections::{self, Doors},
    documents,
    node::Node,
    telemetry::{self, ThisProcess, Traces},
    wiring::{Pictures, SeatMaps, SystemSecrets},
};

/// Requests in hand may take this long when the server is told to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// The same when the write loop has failed.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// The write loop failed for good: a supervisor should start the process again.
const FAILED: u8 = 70;

/// How a server runs.
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Who moves money back.
    pub payments: PaymentsMode,
    /// Bounds of its connections.
    pub connections: connections::Limits,
    /// Bounds of its write loop.
    pub engine: engine::Limits,
    /// Which documents it carries out.
    pub documents: DocumentRules,
    /// Bounds of each key.
    pub keys: KeyLimits,
    /// Where requests are told, if anybody wants to know.
    pub traces: Option<Arc<Traces>>,
}

impl Options {
    /// With the usual bounds.
    pub fn usual(listen: SocketAddr, payments: PaymentsMode) -> Self {
        let (connections, engine) = (connections::Limits::default(), engine::Limits::default());
        let (documents, keys) = (DocumentRules::default(), KeyLimits::default());
        Self { listen, payments, connections, engine, documents, keys, traces: None }
    }

    fn of(options: &cli::Serve) -> Result<Self> {
        let limits = &options.limits;
        let connections = connections::Limits {
            connections: limits.max_connections as usize,
            requests: limits.max_requests as usize,
            ..connections::Limits::default()
        };
        let engine = engine::Limits {
            waiting: limits.max_waiting as usize,
            snapshot_events: limits.snapshot_events.into(),
            // Whoever asks for more snapshots than usual gets them, whatever they cost.
            snapshot_share: match limits.snapshot_events {
                ..2_000 => usize::MAX,
                _ => engine::Limits::default().snapshot_share,
            },
            ..engine::Limits::default()
        };
        let documents = documents::rules(&options.documents)?;
        let keys = KeyLimits {
            points: limits.key_points,
            points_per_second: limits.key_points_per_second,
            operations: limits.key_operations.into(),
        };
        let (listen, payments) = (options.listen, options.payments);
        let traces = telemetry::traces(options.otlp.as_deref())?;
        Ok(Self { listen, payments, connections, engine, documents, keys, traces })
    }
}

/// A running server.
pub struct Server {
    /// The engine behind it.
    pub node: Node,
    /// Where it listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    traces: Option<Arc<Traces>>,
}

impl Server {
    /// Opens the data directory and listens. Read models may still be catching up.
    pub async fn start(data: &cli::Data, options: Options) -> Result<Self> {
        let Options { listen, payments, connections, engine, documents, keys, traces } = options;
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("nothing can listen on {listen}: choose another address with --listen")
        })?;
        let address = listener.local_addr()?;
        let node = Node::open_traced(data, payments, engine, traces.clone()).await?;
        node.sign(&format!("which serves http://{address}"));
        let doors = Arc::new(Doors::new(connections));
        let host = ThisProcess::new(data.data.clone(), doors.clone(), &node.store);
        let telemetry = Telemetry {
            tracer: traces.clone().map(|traces| traces as Arc<dyn RequestTracer>),
            host: Some(Arc::new(host)),
        };
        let context = ApiContext {
            write: node.write.clone(),
            models: node.read.clone(),
            feed: node.store.feed(),
            secret: node.secret.clone(),
            seat_maps: Arc::new(SeatMaps),
            pictures: Some(Arc::new(Pictures)),
            payments_mode: payments.name().to_owned(),
            limits: keys,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            live: LiveLimits::default(),
            telemetry,
        };
        let router = hakken_api::router_with(context, documents);
        let (stop, stopped) = watch::channel(false);
        let serving = connections::serve(listener, router, doors, told(stopped.clone()));
        let task = tokio::spawn(async move {
            let overdue = async {
                told(stopped).await;
                tokio::time::sleep(DRAIN).await;
            };
            tokio::select! {
                () = serving => {}
                () = overdue => tracing::warn!(
                    "some requests took longer than {} s and are cut off", DRAIN.as_secs()
                ),
            }
        });
        Ok(Self { node, address, stop, task, traces })
    }

    /// Makes the first operator's key of an empty store.
    pub async fn first_key(&self) -> Result<Option<String>> {
        if self.node.recovery.head.0 > 0 {
            return Ok(None);
        }
        let (desk, secret) = (self.node.write.desk(), &self.node.secret);
        Ok(Some(create_operator_key(desk, secret, &SystemSecrets).await?))
    }

    /// Makes one more operator's key.
    pub async fn operator_key(&self, label: &str) -> Result<String> {
        let (desk, secret) = (self.node.write.desk(), &self.node.secret);
        let actor = ActorRef::new("system:command-line")?;
        let new = NewKey { label: label.parse()?, role: Role::Operator, organizer: None };
        Ok(create_key(desk, secret, &SystemSecrets, actor, new).await?.0)
    }

    /// Waits until the write loop has failed for good.
    pub async fn failed(&self) {
        let mut health = self.node.write.engine().health();
        if health.wait_for(|health| *health == Health::Failed).await.is_err() {
            // The loop has stopped, and stopped well: it cannot fail any more.
            std::future::pending::<()>().await;
        }
    }

    /// Takes no more requests, lets those in hand finish, makes all of it durable, and closes
    /// every file.
    pub async fn stop(self) {
        // An error means that the task has ended already.
        let _ = self.stop.send(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "serving did not end well");
        }
        self.node.close().await;
        if let Some(traces) = self.traces {
            let closed = tokio::task::spawn_blocking(move || traces.close());
            if tokio::time::timeout(LAST_ANSWERS, closed).await.is_err() {
                tracing::warn!("the last traces are not exported");
            }
        }
    }
}

async fn told(mut stop: watch::Receiver<bool>) {
    // An error means that nobody is left who could tell: that is a reason to stop, too.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Runs it.
pub async fn run(options: cli::Serve) -> Result<ExitCode> {
    let mut signals = Signals::new()?;
    let data = &options.data.data;
    let server = Server::start(&options.data, Options::of(&options)?).await?;
    server.node.recovery.tell(&server.node.read).await?;
    let address = server.address;
    say(&format!("Hakken serves http://{address}/graphql"));
    say(&format!("GraphiQL is at http://{address}/graphiql"));
    if let Some(key) = server.first_key().await.context("the first key cannot be made")? {
        say(&format!(
            "\nThis store is new. Its first operator key, shown this once and stored nowhere:\n\n    \
             {key}\n\nSend it as `Authorization: Bearer {key}`. If it is lost: stop the server \
             and run `hakken keys create --role operator --label NAME`."
        ));
    }
    tracing::info!(%address, data = %data.display(), "serving");
    tokio::select! {
        name = signals.any() => tracing::info!(signal = name, "stopping"),
        () = server.failed() => {
            tracing::error!(
                data = %data.display(),
                "the event store can no longer be written, and nothing more is accepted. All that \
                 was acknowledged is on disk. Look above for the cause (a full or failing disk?), \
                 then start hakken again: it recovers from what is there"
            );
            // Whoever waits is told so; then there is nothing left to wait for.
            if tokio::time::timeout(LAST_ANSWERS, server.stop()).await.is_err() {
                tracing::warn!("some requests are cut off");
            }
            return Ok(ExitCode::from(FAILED));
        }
    }
    server.stop().await;
    tracing::info!("stopped; everything accepted is durable");
    Ok(ExitCode::SUCCESS)
}

/// Tells whoever started it. A standard output that nobody reads is no reason to stop.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!(%error, "standard output cannot be written");
    }
}

/// SIGINT and SIGTERM, heard from the moment this is made.
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Listens from now on.
    pub fn new() -> Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the first of them, and says which.
    #[cfg(unix)]
    pub async fn any(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// Waits for Ctrl-C.
    #[cfg(not(unix))]
    pub async fn any(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            // It cannot be heard: then nothing but the task manager ends the process.
            Err(_) => std::future::pending().await,
        }
    }
}

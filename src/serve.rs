//! `hakken serve`: the API on an embedded store, from start to a clean end.

use std::{
    future::IntoFuture, io::Write, net::SocketAddr, path::Path, process::ExitCode, sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use axum::serve::ListenerExt;
use hakken_api::{ApiContext, NewKey, create_key, create_operator_key};
use hakken_commands::{engine::Health, store::SideStore};
use hakken_domain::{apikey::Role, names::ActorRef};
use hakken_projections::feed::EventFeed;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    cli::{self, PaymentsMode},
    node::Node,
    wiring::{Pictures, SeatMaps, SystemSecrets},
};

/// Requests in hand may take this long when the server is told to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// The same when the write loop has failed.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// The write loop failed for good: a supervisor should start the process again.
const FAILED: u8 = 70;

/// A running server.
pub struct Server {
    /// The engine behind it.
    pub node: Node,
    /// Where it listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Opens the data directory and listens. Read models may still be catching up.
    pub async fn start(data: &Path, listen: SocketAddr, payments: PaymentsMode) -> Result<Self> {
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("nothing can listen on {listen}: choose another address with --listen")
        })?;
        let address = listener.local_addr()?;
        let node = Node::open(data, payments).await?;
        node.sign(&format!("which serves http://{address}"));
        let router = hakken_api::router(ApiContext {
            write: node.write.clone(),
            models: node.read.clone(),
            feed: node.store.clone() as Arc<dyn EventFeed>,
            secret: node.secret.clone(),
            seat_maps: Arc::new(SeatMaps),
            pictures: Some(Arc::new(Pictures)),
            payments_mode: payments.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        // Answers are small: waiting to fill a packet would only delay them.
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
        });
        let (stop, stopped) = watch::channel(false);
        let serving = axum::serve(listener, router).with_graceful_shutdown(told(stopped.clone()));
        let task = tokio::spawn(async move {
            let overdue = async {
                told(stopped).await;
                tokio::time::sleep(DRAIN).await;
            };
            tokio::select! {
                done = serving.into_future() => if let Err(error) = done {
                    tracing::error!(%error, "serving ended");
                },
                () = overdue => tracing::warn!(
                    "some requests took longer than {} s and are cut off", DRAIN.as_secs()
                ),
            }
        });
        Ok(Self { node, address, stop, task })
    }

    /// Makes the first operator's key of an empty store.
    pub async fn first_key(&self) -> Result<Option<String>> {
        if self.node.head.0 > 0 {
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
    let server = Server::start(data, options.listen, options.payments).await?;
    report(&server).await?;
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

/// Says what was found.
async fn report(server: &Server) -> Result<()> {
    let node = &server.node;
    let head = node.head;
    for process in node.write.processes() {
        let answered = node.store.load_checkpoint(process.name()).await?;
        let behind = head.0.saturating_sub(answered.0);
        if behind > 0 {
            tracing::info!(process = process.name(), behind, "process resumes");
        }
    }
    for status in node.read.status().await? {
        let behind = status.lag_positions;
        if behind > 0 {
            tracing::info!(read_model = status.name, behind, "read model catches up");
        }
    }
    tracing::info!(events = %head, "recovered");
    Ok(())
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

//! Everything of one process, wired together on a data directory.

use std::{
    fs,
    sync::{Arc, OnceLock},
};

use anyhow::{Context, Result};
use hakken_adapters::{
    data_dir::DataDir,
    embedded::OpenError,
    payments::{ManualPayments, SimulatedGateway},
    system::{EngineSecret as StoredSecret, RandomIds, SystemClock},
};
use hakken_commands::{
    WriteOptions, WriteSide,
    desk::EngineSecret,
    engine::{Health, Limits, Ports},
    payments::Payments,
    trace::Tracer,
};
use hakken_projections::ReadModels;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{
    cli::{Data, PaymentsMode},
    recovery::Recovery,
    store::{Rows, Store, StoreAddress},
    telemetry::Traces,
};

/// Where the write loop runs: a thread of its own for as long as the process lives, so that it
/// does not wait behind the thousands whom it answers.
fn loop_runtime() -> Result<&'static Handle> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.handle());
    }
    let made = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("hakken-loop")
        .enable_all()
        .build()
        .context("no threads can be had")?;
    Ok(RUNTIME.get_or_init(|| made).handle())
}

/// A running engine, without its API.
pub struct Node {
    /// The write side.
    pub write: Arc<WriteSide>,
    /// The read side.
    pub read: ReadModels,
    /// The recorded events.
    pub store: Store,
    /// The secret of this engine.
    pub secret: EngineSecret,
    /// What was found when it opened.
    pub recovery: Recovery,
    rows: Rows,
    dir: DataDir,
}

impl Node {
    /// Opens a data directory, makes it if it does not exist, and starts everything where it was.
    pub async fn open(data: &Data, payments: PaymentsMode, limits: Limits) -> Result<Self> {
        Self::open_traced(data, payments, limits, None).await
    }

    /// The same; requests that are sampled are told.
    pub async fn open_traced(
        data: &Data,
        payments: PaymentsMode,
        limits: Limits,
        traces: Option<Arc<Traces>>,
    ) -> Result<Self> {
        let dir = DataDir::at(&data.data);
        // Before the events: without a secret, an empty directory is told from a broken one.
        let secret = EngineSecret(Arc::new(*StoredSecret::open(&dir)?.as_bytes()));
        let store = match Store::open(&data.store, &dir, &secret).await {
            Ok(store) => store,
            Err(error) => match error.downcast_ref() {
                Some(OpenError::InUse { .. }) => return Err(in_use(&dir)),
                _ => return Err(error),
            },
        };
        // Nobody but the holder of the lock writes this file, and that is us now.
        let signature = fs::read_to_string(&dir.lock).unwrap_or_default();
        let recovery = Recovery::look(&*store.feed(), &*store.side(), &signature).await?;
        let clock = Arc::new(SystemClock);
        let ports = Ports {
            store: store.events(),
            side: store.side(),
            clock: clock.clone(),
            ids: Arc::new(RandomIds::new().context("the system gives no random numbers")?),
        };
        let payments: Arc<dyn Payments> = match payments {
            PaymentsMode::Manual => Arc::new(ManualPayments),
            PaymentsMode::Simulated => Arc::new(SimulatedGateway::new()),
        };
        let rows = Rows::open(data, &dir).await.with_context(|| no_rows(&dir, data))?;
        let runtime = Some(loop_runtime()?.clone());
        let on_duty = store.on_duty();
        let tracer = traces.clone().map(|traces| traces as Arc<dyn Tracer>);
        let options = WriteOptions { limits, runtime, on_duty, tracer, ..WriteOptions::default() };
        let write = Arc::new(WriteSide::start(ports, payments, secret.clone(), options));
        let read = ReadModels::start(store.feed(), rows.store(), clock).await;
        let read = read.with_context(|| no_rows(&dir, data))?;
        if let Some(traces) = traces {
            read.trace(traces);
        }
        let node = Self { write, read, store, secret, recovery, rows, dir };
        node.sign("which has no address");
        Ok(node)
    }

    /// The same for tools, which work on what is there: a mistyped directory is not made.
    pub async fn open_existing(data: &Data) -> Result<Self> {
        let dir = DataDir::at(&data.data);
        if data.store == StoreAddress::Embedded && !dir.events.is_dir() {
            return Err(OpenError::Missing { file: dir.events }.into());
        }
        Self::open(data, PaymentsMode::Manual, Limits::default()).await
    }

    /// Says in the lock's file who has the directory, for those who find it locked, or left
    /// behind.
    pub fn sign(&self, address: &str) {
        self.write_signature(&format!("process {}, {address}\n", std::process::id()));
    }

    fn write_signature(&self, text: &str) {
        if let Err(error) = fs::write(&self.dir.lock, text) {
            tracing::debug!(%error, "the lock is not signed");
        }
    }

    /// Drains what was accepted and closes every file.
    pub async fn close(self) {
        self.write.stop().await;
        if *self.write.engine().health().borrow() == Health::Stopped {
            // All is durable: the next start need not ask what became of this process.
            self.write_signature("");
        }
        let Self { write, read, store, rows, .. } = self;
        read.shutdown().await;
        drop((write, read));
        rows.close().await;
        store.close().await;
    }
}

fn no_rows(dir: &DataDir, data: &Data) -> String {
    if data.read_models.is_some() {
        return "the read models cannot be used".to_owned();
    }
    let file = dir.read_models.display();
    format!("{file} cannot be used (is the disk full?)")
}

/// Another process has the directory: who, and what to do.
fn in_use(dir: &DataDir) -> anyhow::Error {
    let holder = fs::read_to_string(&dir.lock).unwrap_or_default();
    let holder = match holder.trim() {
        "" => "another Hakken process".to_owned(),
        holder => holder.to_owned(),
    };
    anyhow::anyhow!(
        "{} is in use by {holder}. Ask that one, over GraphQL or with --url where the command has \
         it; or stop it first; or use another data directory",
        dir.root.display()
    )
}

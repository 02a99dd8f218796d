//! The whole write side: the loop, its processes and the desk, started and stopped in the right
//! order.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{Mutex, watch},
};

use crate::{
    desk::{Desk, EngineSecret},
    engine::{Engine, Limits, Ports},
    payments::Payments,
    process::{Checkout, Duty, ProcessHandle, Refunds, Sweeper, start_sweeper, start_traced},
    trace::Tracer,
};

/// How the write side runs.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Bounds of the loop.
    pub limits: Limits,
    /// How long who pays or cancels waits for the checkout.
    pub patience: Duration,
    /// Where the loop runs, so that it does not wait behind those whom it answers; none: where it
    /// is started.
    pub runtime: Option<Handle>,
    /// Of several processes on one store, whether this is the one that answers events and sweeps;
    /// none: it is the only one. It may change at any time, and two may believe it at once: what
    /// both do happens once.
    pub on_duty: Option<watch::Receiver<bool>>,
    /// Who is told of requests that are sampled.
    pub tracer: Option<Arc<dyn Tracer>>,
    /// How many events a process may be behind before it first looks what of them is answered
    /// already, in the place of answering all of them again.
    pub far_behind: u64,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            patience: Duration::from_secs(5),
            runtime: None,
            on_duty: None,
            tracer: None,
            far_behind: 20_000,
        }
    }
}

/// The write side.
pub struct WriteSide {
    desk: Desk,
    checkout: Arc<ProcessHandle>,
    refunds: Arc<ProcessHandle>,
    sweeper: Mutex<Option<Sweeper>>,
}

impl WriteSide {
    /// Starts everything where it was when it last ran.
    pub fn start(
        ports: Ports,
        payments: Arc<dyn Payments>,
        secret: EngineSecret,
        options: WriteOptions,
    ) -> Self {
        let runtime = options.runtime.unwrap_or_else(Handle::current);
        let tracer = options.tracer;
        let engine = Engine::start_traced(&runtime, ports.clone(), options.limits, tracer.clone());
        let Ports { store, side, .. } = ports;
        let duty = options.on_duty.map_or_else(Duty::always, Duty::while_true);
        let run = |process| {
            let (store, side, duty) = (store.clone(), side.clone(), duty.clone());
            let (far_behind, tracer) = (options.far_behind, tracer.clone());
            Arc::new(start_traced(process, store, side, duty, far_behind, tracer))
        };
        let checkout = run(Arc::new(Checkout::new(engine.clone())));
        let refunds = run(Arc::new(Refunds::new(engine.clone(), payments)));
        let sweeper = start_sweeper(engine.clone(), store.clone(), side.clone(), duty);
        let desk = Desk::new(engine, checkout.clone(), secret, options.patience);
        Self { desk, checkout, refunds, sweeper: Mutex::new(Some(sweeper)) }
    }

    /// What sellers, buyers and gates ask.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// The write loop.
    pub fn engine(&self) -> &Engine {
        self.desk.engine()
    }

    /// The process managers, to look at.
    pub fn processes(&self) -> [&Arc<ProcessHandle>; 2] {
        [&self.checkout, &self.refunds]
    }

    /// Answers what waits, takes no more, and returns when everything accepted is durable and
    /// every checkpoint is saved. What the processes had not answered they answer at the next
    /// start.
    pub async fn stop(&self) {
        if let Some(sweeper) = self.sweeper.lock().await.take() {
            sweeper.stop().await;
        }
        self.checkout.stop().await;
        self.refunds.stop().await;
        self.engine().stop().await;
    }
}

//! The simulation: the whole engine in one process from one seed. Buyers, organizers, gates,
//! banks and intruders act at once on one or two write sides over one memory store; calls fail,
//! answers are lost, processes die and start again, the clock jumps, read models are rebuilt.
//! After every step an audit reads the new events; now and then everything comes to rest, and
//! then nothing may be half done, and every read model must say what the streams say.
//!
//! The seed decides every choice that anybody makes. It wants a runtime of one thread whose time
//! is paused, so that waiting takes no time. What it does not decide is the order in which the
//! runtime wakes tasks that are ready at the same instant, so a seed that found something may need
//! a few tries to find it again.

mod actors;
mod call;
mod chance;
pub mod compare;
mod coverage;
mod happenings;
mod known;
mod node;
mod rest;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use hakken_adapters::{memory::MemoryStore, payments::SimulatedGateway, system::ManualClock};
use hakken_commands::{payments::Payments, store::EventStore};
use hakken_domain::envelope::Position;
use hakken_projections::{ReadModels, rows::MemoryRows};

pub use chance::Chance;
pub use coverage::Coverage;
pub use node::Weather;

use actors::Actors;
use call::{Answer, Call};
use known::Known;
use node::{Ground, Node};

use crate::{audit::Audit, faults::FaultyStore, world::START};

/// How a simulation runs.
pub struct Options {
    /// Decides everything.
    pub seed: u64,
    /// So many times several calls at once.
    pub steps: u32,
    /// May anything go wrong?
    pub faults: bool,
    /// Write sides at the beginning.
    pub nodes: usize,
    /// Most write sides at once.
    pub most_nodes: usize,
    /// Everything comes to rest after so many steps.
    pub rest_every: u32,
    /// The negative control of the store: nobody looks at versions.
    pub ignore_versions: bool,
    /// Only what fights for seats.
    pub only_holds: bool,
    /// The negative control of the write loop: the store says that nobody else writes it.
    pub claims_sole_writer: bool,
    /// The negative control of the provider: what stands before the gateway.
    pub payments: Option<BeforeGateway>,
}

/// Puts somebody before the gateway.
pub type BeforeGateway = fn(Arc<SimulatedGateway>) -> Arc<dyn Payments>;

impl Options {
    /// Everything that may happen, happens.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            steps: 96,
            faults: true,
            nodes: 1,
            most_nodes: 2,
            rest_every: 24,
            ignore_versions: false,
            only_holds: false,
            claims_sole_writer: false,
            payments: None,
        }
    }
}

/// What a simulation came to.
pub struct Report {
    /// What occurred.
    pub coverage: Coverage,
    /// Events recorded.
    pub events: usize,
    /// Money that went out, by the gateway's own books.
    pub moved_minor: u64,
    /// The store as it was left.
    pub memory: Arc<MemoryStore>,
    /// The clock as it was left.
    pub clock: Arc<ManualClock>,
    /// The gateway as it was left.
    pub gateway: Arc<SimulatedGateway>,
}

/// What went wrong, when, and what was done before.
#[derive(Debug)]
pub struct Failure {
    /// The seed, to do it again.
    pub seed: u64,
    /// At which step.
    pub step: u32,
    /// What is wrong.
    pub wrong: String,
    /// The last things that were done.
    pub last: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, step, wrong, last } = self;
        writeln!(f, "at step {step} of seed {seed}: {wrong}")?;
        writeln!(f, "do it again: HAKKEN_SIM_SEED={seed} cargo test -p hakken-tests simulation")?;
        writeln!(f, "the last things that were done:")?;
        last.iter().try_for_each(|done| writeln!(f, "  {done}"))
    }
}

const REMEMBERED: usize = 30;

/// A simulation under way.
pub struct Simulation {
    options: Options,
    chance: Chance,
    ground: Ground,
    nodes: Vec<Node>,
    /// Ever started.
    started: u64,
    read: ReadModels,
    rows: Arc<MemoryRows>,
    feed: Arc<FaultyStore>,
    actors: Actors,
    known: Known,
    audit: Audit,
    seen: Position,
    coverage: Coverage,
    last: VecDeque<String>,
    step: u32,
    card_refused: bool,
    keys: HashMap<String, u64>,
}

/// Runs one from its seed to its end.
pub async fn simulate(options: Options) -> Result<Report, Box<Failure>> {
    let mut simulation = Simulation::begin(options).await;
    let result = simulation.run().await;
    result.map_err(|wrong| Box::new(simulation.failure(wrong)))?;
    Ok(simulation.report().await)
}

impl Simulation {
    async fn begin(options: Options) -> Self {
        let mut chance = Chance::new(options.seed);
        // Small, so that whoever follows falls behind now and then.
        let memory = Arc::new(MemoryStore::with_live_bytes(12_000));
        let clock = Arc::new(ManualClock::new(START));
        let gateway = Arc::new(SimulatedGateway::new());
        let payments = options.payments.map(|made| made(gateway.clone()));
        let claims_sole_writer = options.claims_sole_writer;
        let ground = Ground { memory, clock, gateway, payments, claims_sole_writer };
        let rows = Arc::new(MemoryRows::new());
        let feed =
            Arc::new(FaultyStore::new(ground.memory.clone(), |_| crate::faults::Fault::None));
        let read = ReadModels::start(feed.clone(), rows.clone(), ground.clock.clone()).await;
        let read = read.expect("nothing goes wrong yet");
        let actors = Actors::new(chance.split());
        let mut simulation = Self {
            chance,
            ground,
            nodes: Vec::new(),
            started: 0,
            read,
            rows,
            feed,
            actors,
            known: Known::default(),
            audit: Audit::default(),
            seen: Position(0),
            coverage: Coverage::default(),
            last: VecDeque::new(),
            step: 0,
            card_refused: false,
            keys: HashMap::new(),
            options,
        };
        for _ in 0..simulation.options.nodes {
            simulation.start_node(Weather::CALM);
        }
        simulation
    }

    async fn run(&mut self) -> Result<(), String> {
        for call in self.actors.opening() {
            let answer = call.give(self.nodes[0].world.desk()).await;
            self.note(format!("{}: {}", call.name, answer.word()));
            self.actors.hear(&call, &answer)?;
        }
        self.look().await?;
        for step in 1..=self.options.steps {
            self.step = step;
            if self.options.faults {
                self.happen().await?;
            }
            self.act().await?;
            if self.nodes.iter().any(Node::is_broken) {
                return Err("a write loop has ended by itself".to_owned());
            }
            if step % self.options.rest_every == 0 || step == self.options.steps {
                self.rest().await?;
            }
        }
        self.everything_again().await
    }

    /// Some ask at once, each one of the processes.
    async fn act(&mut self) -> Result<(), String> {
        let crowd = if self.chance.percent(6) { 40 } else { self.chance.between(1, 7) };
        let mut calls: Vec<(Call, usize, Option<Duration>)> = Vec::new();
        for _ in 0..crowd {
            let call = match self.options.only_holds {
                true => self.actors.next_hold(&self.known),
                false => self.actors.next(&self.known),
            };
            let node = self.chance.below(self.nodes.len());
            let patience = (self.options.faults && self.chance.percent(6))
                .then(|| Duration::from_millis(self.chance.between(0, 30)));
            if !self.options.only_holds && self.chance.percent(6) {
                self.coverage.saw("fault doubled call");
                calls.push((call.clone(), self.chance.below(self.nodes.len()), None));
            }
            calls.push((call, node, patience));
        }
        if self.step * 5 > self.options.steps * 4 && self.chance.percent(20) {
            calls.push((self.actors.end_a_show(&self.known), 0, None));
        }
        let desks: Vec<_> = self.nodes.iter().map(|node| node.world.desk().clone()).collect();
        let answers = join_all(calls.iter().map(|(call, node, patience)| {
            let given = call.give(&desks[*node]);
            async move {
                match patience {
                    None => given.await,
                    Some(patience) => {
                        let waited = tokio::time::timeout(*patience, given).await;
                        waited.unwrap_or(Answer::NotAwaited)
                    }
                }
            }
        }))
        .await;
        for ((call, node, _), answer) in calls.iter().zip(&answers) {
            let word = answer.word();
            self.coverage.saw(format!("op {}", call.name));
            match answer {
                Answer::Refused(code) => self.coverage.saw(format!("refusal {code}")),
                Answer::Trouble(what) => self.coverage.saw(format!("trouble {what}")),
                Answer::NotAwaited => self.coverage.saw("trouble not awaited"),
                Answer::Done(receipt) if receipt.repeated => self.coverage.saw("answer repeated"),
                Answer::Done(_) | Answer::Code(..) => self.coverage.saw("answer done"),
            }
            self.note(format!("node {node}: {} ({}): {word}", call.name, call.key));
        }
        self.look().await?;
        for ((call, ..), answer) in calls.iter().zip(&answers) {
            self.actors.hear(call, answer)?;
        }
        Ok(())
    }

    /// Reads what was recorded since, and looks whether anything is wrong.
    async fn look(&mut self) -> Result<(), String> {
        let memory = &self.ground.memory;
        let events = EventStore::read_all(&**memory, self.seen, usize::MAX).await;
        let events = events.map_err(|error| error.to_string())?;
        let Some(last) = events.last() else { return Ok(()) };
        self.seen = last.position;
        for event in &events {
            self.coverage.saw(format!("event {}", event.kind));
            let decoded = event.decoded().map_err(ToString::to_string)?;
            if let hakken_domain::Event::Ticket(hakken_domain::ticket::Event::ScanRefused(scan)) =
                &decoded.event
            {
                self.coverage.saw(format!("scan {:?}", scan.reason).to_lowercase());
            }
            self.only_once(event, decoded.meta.key.as_ref())?;
        }
        self.audit.read_on(&events)?;
        self.known.read_on(&events);
        Ok(())
    }

    /// The events of one command stand together: a key that brings something about later again
    /// was forgotten.
    fn only_once(
        &mut self,
        event: &hakken_domain::envelope::StoredEvent,
        key: Option<&hakken_domain::names::CommandKey>,
    ) -> Result<(), String> {
        let Some(key) = key else { return Ok(()) };
        let (stream, version) = (event.stream, event.version);
        let before = self.keys.insert(format!("{stream} {key}"), version);
        match before {
            Some(before) if before + 1 != version => {
                Err(format!("{key} brought something about twice on {stream}"))
            }
            _ => Ok(()),
        }
    }

    fn note(&mut self, done: String) {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(format!("{:>3} {done}", self.step));
    }

    fn failure(&self, wrong: String) -> Failure {
        let last = self.last.iter().cloned().collect();
        Failure { seed: self.options.seed, step: self.step, wrong, last }
    }

    async fn report(mut self) -> Report {
        for node in &self.nodes {
            self.coverage.add(&node.dial().met);
        }
        let memory = &self.ground.memory;
        let events = EventStore::read_all(&**memory, Position(0), usize::MAX).await;
        let events = events.unwrap_or_default().len();
        let moved_minor = self.ground.gateway.moved_minor(hakken_domain::money::Currency::JPY);
        self.read.shutdown().await;
        for node in self.nodes.drain(..) {
            node.world.stop().await;
        }
        let Ground { memory, clock, gateway, .. } = self.ground;
        Report { coverage: self.coverage, events, moved_minor, memory, clock, gateway }
    }
}

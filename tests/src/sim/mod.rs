//! The simulation: the whole engine in one process from one seed. Buyers, organizers, gates,
//! banks and intruders act at once on one or two write sides over one memory store; calls fail,
//! answers are lost, processes die and start again, the clock jumps, read models are rebuilt.
//! After every step an audit reads the new events; now and then everything comes to rest, and
//! then nothing may be half done, and every read model must say what the streams say.
//!
//! One seed is one history, byte for byte: it decides every choice that anybody makes, and nothing
//! in the engine that two tasks wait for wakes them in an order of its own. It wants a runtime of
//! one thread whose time is paused, so that waiting takes no time.

mod act;
mod actors;
mod call;
mod chance;
pub mod compare;
mod coverage;
mod doors;
mod happenings;
mod known;
pub mod mortal;
mod node;
mod operators;
mod rest;
pub mod story;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use hakken_adapters::{memory::MemoryStore, payments::SimulatedGateway, system::ManualClock};
use hakken_commands::{payments::Payments, store::EventStore};
use hakken_domain::{
    envelope::{Position, StoredEvent},
    names::EventId,
};
use hakken_projections::{ReadModels, rows::MemoryRows};

pub use chance::Chance;
pub use coverage::Coverage;
pub use node::Weather;

use actors::Actors;
use doors::Doors;
use known::Known;
use node::{Ground, Node, RowsWeather};

use crate::{
    audit::{Audit, Part},
    faults::FaultyStore,
    world::START,
};

/// Steps of a simulation, if nobody wants more or fewer.
pub const STEPS: u32 = 96;

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
    /// The store has one writer at a time, as the embedded one: what lies ready is looked at
    /// without the write loop, and glances are given.
    pub sole_writer: bool,
    /// The negative control of the write loop: the store says that nobody else writes it.
    pub claims_sole_writer: bool,
    /// The negative control of the API: what stands between it and whoever asks.
    pub distorts: Option<fn(&mut serde_json::Value)>,
    /// The negative control of the provider: what stands before the gateway.
    pub payments: Option<BeforeGateway>,
}

/// Puts somebody before the gateway.
pub type BeforeGateway = fn(Arc<SimulatedGateway>) -> Arc<dyn Payments>;

impl Options {
    /// Everything that may happen, happens. Every second seed begins with two write sides; of the
    /// others, every second one has a store with a sole writer.
    pub fn new(seed: u64) -> Self {
        let sole_writer = seed % 4 == 3;
        Self {
            seed,
            steps: STEPS,
            faults: true,
            nodes: if seed.is_multiple_of(2) { 2 } else { 1 },
            most_nodes: if sole_writer { 1 } else { 2 },
            rest_every: 24,
            ignore_versions: false,
            only_holds: false,
            sole_writer,
            claims_sole_writer: false,
            distorts: None,
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
    /// Everything that was done, in order, with what came of it.
    pub history: Vec<String>,
    /// Over the history, the coverage, and every byte of every event: equal for equal seeds.
    pub digest: u64,
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
    /// So many steps it was to have, which the seed's story depends on.
    pub steps: u32,
    /// At which step.
    pub step: u32,
    /// What is wrong.
    pub wrong: String,
    /// The last things that were done.
    pub last: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, step, wrong, last, .. } = self;
        writeln!(f, "at step {step} of seed {seed}: {wrong}")?;
        let steps = match self.steps {
            STEPS => String::new(),
            steps => format!(" --steps {steps}"),
        };
        writeln!(f, "do it again: cargo sim {seed}{steps}")?;
        writeln!(f, "the last things that were done:")?;
        last.iter().try_for_each(|done| writeln!(f, "  {done}"))
    }
}

const REMEMBERED: usize = 30;

/// A simulation that lasts so long waits for something that never comes.
const TOO_LONG: Duration = Duration::from_secs(3_600);

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
    doors: Doors,
    /// How often the read side was started.
    readings: u64,
    known: Known,
    audit: Audit,
    /// The same, in parts, as long histories are read.
    parts: [Audit; 3],
    seen: Position,
    coverage: Coverage,
    history: Vec<String>,
    step: u32,
    card_refused: bool,
    keys: HashMap<String, u64>,
    /// Of every event, in order of position.
    ids: Vec<EventId>,
    /// What goes wrong in this step, for everybody.
    under_way: Vec<String>,
    rows_weather: RowsWeather,
}

/// Runs one from its seed to its end, on a runtime of its own.
pub fn run(options: Options) -> Result<Report, Box<Failure>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread needs nothing");
    runtime.block_on(simulate(options))
}

/// Runs one from its seed to its end.
pub async fn simulate(options: Options) -> Result<Report, Box<Failure>> {
    let mut simulation = Simulation::begin(options).await;
    // By the simulation's own clock, which waits for nothing.
    let result = match tokio::time::timeout(TOO_LONG, simulation.run()).await {
        Ok(result) => result,
        Err(_) => Err("it hangs: something is waited for that never comes".to_owned()),
    };
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
        assert!(!options.sole_writer || options.most_nodes == 1, "a sole writer is alone");
        let claims_sole_writer = options.sole_writer || options.claims_sole_writer;
        let ground = Ground { memory, clock, gateway, payments, claims_sole_writer };
        let rows = Arc::new(MemoryRows::new());
        let feed =
            Arc::new(FaultyStore::new(ground.memory.clone(), |_| crate::faults::Fault::None));
        let mut rows_weather = RowsWeather::default();
        let over = rows_weather.over(rows.clone());
        let read = ReadModels::start(feed.clone(), over, ground.clock.clone()).await;
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
            doors: Doors::default(),
            readings: 0,
            known: Known::default(),
            audit: Audit::default(),
            parts: [0, 1, 2].map(|index| Audit::of(Part { index, of: 3 })),
            seen: Position(0),
            coverage: Coverage::default(),
            history: Vec::new(),
            step: 0,
            card_refused: false,
            keys: HashMap::new(),
            ids: Vec::new(),
            under_way: Vec::new(),
            rows_weather,
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
            self.actors.hear(&call, &answer, &self.known)?;
        }
        self.open_doors().await?;
        self.look().await?;
        for step in 1..=self.options.steps {
            self.step = step;
            if self.options.faults {
                self.happen().await?;
            }
            self.act().await?;
            self.through_the_doors().await?;
            if self.nodes.iter().any(Node::is_broken) {
                return Err("a write loop has ended by itself".to_owned());
            }
            if step % self.options.rest_every == 0 || step == self.options.steps {
                self.rest().await?;
            }
        }
        self.everything_again().await
    }

    /// Reads what was recorded since, and looks whether anything is wrong.
    async fn look(&mut self) -> Result<(), String> {
        let memory = &self.ground.memory;
        let events = EventStore::read_all(&**memory, self.seen, usize::MAX).await;
        let events = events.map_err(|error| error.to_string())?;
        let Some(last) = events.last() else { return Ok(()) };
        self.seen = last.position;
        for event in &events {
            self.ids.push(event.id);
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
        self.parts.iter_mut().try_for_each(|part| part.read_on(&events))?;
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
        self.history.push(format!("{:>3} {done}", self.step));
    }

    fn failure(&self, wrong: String) -> Failure {
        let from = self.history.len().saturating_sub(REMEMBERED);
        let last = self.history[from..].to_vec();
        let Options { seed, steps, .. } = self.options;
        Failure { seed, steps, step: self.step, wrong, last }
    }

    async fn report(mut self) -> Report {
        for node in &self.nodes {
            self.coverage.add(&node.met());
        }
        let memory = &self.ground.memory;
        let events = EventStore::read_all(&**memory, Position(0), usize::MAX).await;
        let events = events.unwrap_or_default();
        let digest = digest(&self.history, &self.coverage, &events);
        let (events, history) = (events.len(), self.history);
        let moved_minor = self.ground.gateway.moved_minor(hakken_domain::money::Currency::JPY);
        self.read.shutdown().await;
        for node in self.nodes.drain(..) {
            node.world.stop().await;
        }
        let Ground { memory, clock, gateway, .. } = self.ground;
        let coverage = self.coverage;
        Report { coverage, events, history, digest, moved_minor, memory, clock, gateway }
    }
}

fn digest(history: &[String], coverage: &Coverage, events: &[Arc<StoredEvent>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    history.hash(&mut hasher);
    coverage.to_string().hash(&mut hasher);
    for event in events {
        event.position.0.hash(&mut hasher);
        event.stream.to_string().hash(&mut hasher);
        event.version.hash(&mut hasher);
        event.id.to_string().hash(&mut hasher);
        event.kind.hash(&mut hasher);
        event.schema.hash(&mut hasher);
        event.recorded_at.as_micros().hash(&mut hasher);
        event.meta.hash(&mut hasher);
        event.data.hash(&mut hasher);
    }
    hasher.finish()
}

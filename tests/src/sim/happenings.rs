//! What happens to the engine while others act: time, weather, deaths, rebuilds.

use std::sync::Arc;

use hakken_commands::clock::Clock;
use hakken_domain::time::Timestamp;
use hakken_projections::{ALL, ReadModels, rows::MemoryRows};

use super::{
    Simulation,
    act::crash,
    chance::Chance,
    mortal::Death,
    node::{Node, Weather},
};
use crate::world::name;

impl Simulation {
    pub(super) fn start_node(&mut self, weather: Weather) {
        self.started += 1;
        let chance: Chance = self.chance.split();
        let node = Node::start(&self.ground, chance, self.started, self.step, weather);
        node.dial().ignore_versions = self.options.ignore_versions;
        self.nodes.push(node);
    }

    pub(super) async fn happen(&mut self) -> Result<(), String> {
        self.under_way.clear();
        self.pass_time();
        self.change_weather();
        self.provider();
        self.processes().await;
        self.read_side().await
    }

    pub(super) fn saw(&mut self, what: &str) {
        self.coverage.saw(what);
        self.note(what.to_owned());
        // Processes have weather and deaths of their own; these things happen to all.
        if ["time ", "provider ", "read "].iter().any(|sort| what.starts_with(sort)) {
            self.under_way.push(what.to_owned());
        }
    }

    fn pass_time(&mut self) {
        let (seconds, word) = match self.chance.below(100) {
            0..=49 => return,
            50..=79 => (self.chance.between(1, 40) as i64, "time seconds"),
            80..=89 => (600, "time minutes"),
            90..=93 => (3_600, "time an hour"),
            _ => (-(self.chance.between(1, 900) as i64), "time backwards"),
        };
        let now = self.ground.clock.now().as_micros() + seconds * 1_000_000;
        self.ground.clock.set(Timestamp::from_micros(now));
        self.saw(word);
    }

    fn change_weather(&mut self) {
        for at in 0..self.nodes.len() {
            if self.chance.percent(15) {
                let (weather, word) = match self.chance.below(10) {
                    0..=3 => (Weather::CALM, "weather calm"),
                    4..=7 => (Weather::ROUGH, "weather rough"),
                    _ => (Weather::STORM, "weather storm"),
                };
                self.nodes[at].dial().weather = weather;
                self.saw(word);
            }
        }
    }

    fn provider(&mut self) {
        match self.chance.below(100) {
            0..=3 => {
                self.ground.gateway.fail_next(self.chance.between(1, 6) as u32);
                self.saw("provider fails");
            }
            4..=7 => {
                self.ground.gateway.lose_next_answers(self.chance.between(1, 3) as u32);
                self.saw("provider loses answers");
            }
            8..=11 => self.card(!self.card_refused),
            _ => {}
        }
    }

    pub(super) fn card(&mut self, refused: bool) {
        self.card_refused = refused;
        if refused {
            self.ground.gateway.refuse_method(name("card"), name("the card is closed"));
            self.saw("provider refuses");
        } else {
            self.ground.gateway.accept_method(&name("card"));
        }
    }

    /// Processes end well, die, and start; two may be there at once.
    async fn processes(&mut self) {
        self.bury_the_dead().await;
        let at = self.chance.below(self.nodes.len());
        match self.chance.below(100) {
            0..=2 => {
                self.nodes[at].life.kill();
                self.saw("process killed");
                self.bury_the_dead().await;
            }
            // It will die of a call to come, most likely while somebody waits for an answer.
            3..=16 => {
                let death = match self.chance.below(4) {
                    0 => Death::Before,
                    1 => Death::After,
                    _ => Death::Torn(self.chance.between(1, 2) as usize),
                };
                let nth = self.chance.between(1, 40) as usize;
                // Most calls read: half of the deaths wait for one that writes.
                let life = &self.nodes[at].life;
                let what = if nth.is_multiple_of(2) {
                    life.die_at_append(nth, death);
                    "the append from call"
                } else {
                    life.die_at(nth, death);
                    "call"
                };
                self.note(format!("node {at} will die of {what} {nth}: {death:?}"));
            }
            17..=19 => {
                let node = self.nodes.swap_remove(at);
                let life = node.life.clone();
                let stopped = life.unless_dead(node.world.write.stop()).await;
                self.saw(match stopped {
                    Some(()) => "process stopped",
                    None => "process died while it was stopped",
                });
                self.bury(&node);
                self.last_writes().await;
                self.start_node(Weather::ROUGH);
            }
            20..=27 if self.nodes.len() < self.options.most_nodes => {
                self.start_node(Weather::CALM);
                self.saw("process two at once");
            }
            28..=31 if self.nodes.len() > 1 => {
                let node = self.nodes.swap_remove(at);
                self.bury(&node);
                self.saw("process dropped");
            }
            _ => {}
        }
    }

    /// What a process that is no more has met.
    fn bury(&mut self, node: &Node) {
        if let Some((point, death)) = node.life.died() {
            self.coverage.saw(crash(point, death));
        }
        self.coverage.add(&node.met());
        node.life.kill();
    }

    /// What a dead process had handed to its disk is written, before another one may take the lock
    /// of a store that has one writer.
    async fn last_writes(&self) {
        if self.options.sole_writer {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Whoever must not write any more is replaced.
    pub(super) async fn bury_the_dead(&mut self) {
        let mut dead = 0;
        for at in (0..self.nodes.len()).rev() {
            if self.nodes[at].is_over() {
                let node = self.nodes.swap_remove(at);
                self.bury(&node);
                dead += 1;
            }
        }
        if dead > 0 {
            self.last_writes().await;
        }
        for _ in 0..dead {
            self.start_node(Weather::CALM);
            self.saw("process started again");
        }
    }

    async fn read_side(&mut self) -> Result<(), String> {
        let projection = ALL[self.chance.below(ALL.len())].name;
        let words = |error: &dyn std::fmt::Display| error.to_string();
        match self.chance.below(100) {
            0..=5 => {
                let begun = self.read.start_rebuild(&[projection]);
                self.operated("read rebuild", begun)?;
            }
            6..=8 => {
                self.read.pause(projection).map_err(|error| words(&error))?;
                self.saw("read paused");
            }
            9..=11 => {
                self.read.pause_rebuild(projection).map_err(|error| words(&error))?;
            }
            12..=14 => {
                let read = self.read.clone();
                read.shutdown().await;
                self.start_reading().await?;
                self.saw("read stopped");
            }
            15..=17 => {
                self.start_reading().await?;
                self.saw("read killed");
            }
            18 => {
                self.rows = Arc::new(MemoryRows::new());
                self.start_reading().await?;
                self.saw("read rows lost");
            }
            23..=30 => {
                self.rows_weather.set(self.chance.between(1, 7) as u32);
                self.saw("read rows failing");
            }
            19..=22 => {
                // The read side's own store calls fail for a while.
                let mut chance = self.chance.split();
                let mut left = self.chance.between(1, 8);
                let faulty = crate::faults::FaultyStore::new(self.ground.memory.clone(), |_| {
                    crate::faults::Fault::None
                });
                self.feed = Arc::new(faulty.with_reads(move || {
                    let fails = left > 0 && chance.percent(60);
                    left -= u64::from(fails);
                    fails
                }));
                self.start_reading().await?;
                self.saw("read feed failing");
            }
            31..=36 => return self.operate(projection).await,
            _ => {}
        }
        Ok(())
    }

    /// The read side starts on the rows that are there.
    async fn start_reading(&mut self) -> Result<(), String> {
        for _ in 0..20 {
            let (feed, rows) = (self.feed.clone(), self.rows_weather.over(self.rows.clone()));
            match ReadModels::start(feed, rows, self.ground.clock.clone()).await {
                Ok(read) => {
                    self.read = read;
                    self.readings += 1;
                    return Ok(());
                }
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            }
        }
        Err("the read side does not start".to_owned())
    }
}

//! Everything comes to rest: the weather calms down, refunds that failed are tried again, every
//! process answers what it has not answered. Then nothing may be half done.

use std::{collections::HashSet, time::Duration};

use hakken_commands::{
    clock::Clock,
    engine::{CommandError, Engine, Limits, Tenant},
    store::EventStore,
};
use hakken_domain::{
    State,
    envelope::{Position, StreamId},
    money::Currency,
    names::RefundId,
    order,
};
use hakken_projections::{ALL, BuildError, BuildReport};

use super::{
    Simulation,
    call::{Answer, Call, Expectation, Wish},
    compare,
    node::Weather,
};

impl Simulation {
    pub(super) async fn rest(&mut self) -> Result<(), String> {
        self.note("everything comes to rest".to_owned());
        for node in &self.nodes {
            node.dial().weather = Weather::CALM;
            node.life.spare();
        }
        // A slow call may have been meant to be the last one already.
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.bury_the_dead().await;
        self.rows_weather.set(0);
        // Nobody asks any more: whatever lapses is the sweeper's.
        if self.chance.percent(50) {
            self.ground.clock.advance_seconds(self.chance.between(60, 3_000));
        }
        self.ground.gateway.fail_next(0);
        self.ground.gateway.lose_next_answers(0);
        self.card(false);
        self.quiet().await?;
        self.look().await?;
        while let Some(call) = self.actors.retry_refund(&self.known) {
            let answer = call.give(self.nodes[0].world.desk()).await;
            self.note(format!("{}: {}", call.name, answer.word()));
            match answer {
                Answer::Done(_) => {}
                // Meanwhile the payer's bank took the payment back, or some of it went out as
                // another refund: the operator gives back what is left.
                Answer::Refused(code) if code == "refund_too_much" => {
                    self.known.forget_failed(&call);
                    self.refund_rest(&call).await?;
                }
                other => {
                    return Err(format!("a failed refund cannot be retried: {}", other.word()));
                }
            }
            self.quiet().await?;
            self.look().await?;
        }
        self.note("every process is quiet".to_owned());
        self.swept().await?;
        self.alive().await?;
        self.audit.at_rest()?;
        self.parts.iter().try_for_each(|part| part.at_rest())?;
        self.money()?;
        self.acknowledged().await?;
        self.read_models().await
    }

    /// Gives back what an order that is over has still.
    async fn refund_rest(&mut self, retry: &Call) -> Result<(), String> {
        let Wish::Ask(stream, _) = &retry.wish else { return Ok(()) };
        let desk = self.nodes[0].world.desk().clone();
        let left = desk.engine().read(Tenant::Any, *stream, |state, _| {
            let State::Order(order) = state else { unreachable!("an order's stream") };
            if order.is_over() { order.refundable_minor() } else { 0 }
        });
        let amount_minor = left.await.map_err(|error| error.to_string())?;
        if amount_minor == 0 {
            return Ok(());
        }
        let refund = RefundId::derived("rest", &retry.key);
        let command = order::Command::RefundMoney { refund, amount_minor, currency: Currency::JPY };
        let call = self.actors.ask("refund rest", retry.organizer, *stream, command);
        match call.give(&desk).await {
            Answer::Done(_) => Ok(()),
            other => Err(format!("what is left cannot be refunded: {}", other.word())),
        }
    }

    async fn head(&self) -> Position {
        EventStore::head(&*self.ground.memory).await.expect("memory can be read")
    }

    /// Waits until every process of every node has answered everything.
    async fn quiet(&self) -> Result<(), String> {
        for _ in 0..6_000 {
            let head = self.head().await;
            let done = self.nodes.iter().all(|node| {
                node.world.write.processes().iter().all(|process| {
                    let progress = process.progress();
                    progress.waiting == 0 && progress.done >= head
                })
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            if done && self.head().await == head {
                return Ok(());
            }
        }
        let progress: Vec<String> = self
            .nodes
            .iter()
            .flat_map(|node| node.world.write.processes())
            .map(|process| format!("{} {:?}", process.name(), process.progress()))
            .collect();
        Err(format!("the processes do not come to rest: {}", progress.join(", ")))
    }

    /// What lapsed is recorded, though nobody asked.
    async fn swept(&mut self) -> Result<(), String> {
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.look().await?;
        match self.audit.lapsed(self.ground.clock.now()).first() {
            None => Ok(()),
            Some(hold) => Err(format!("hold {hold} has lapsed and nobody has recorded it")),
        }
    }

    /// In calm weather every write side answers.
    async fn alive(&self) -> Result<(), String> {
        let show = self.known.shows.first().ok_or("no show is on sale")?.id;
        for (at, node) in self.nodes.iter().enumerate() {
            let engine = node.world.write.engine();
            let read = engine.read(Tenant::Any, StreamId::inventory(show), |_, version| version);
            match read.await {
                Ok(_) => {}
                Err(CommandError::Unavailable) => {
                    return Err(format!("the write loop of node {at} has ended without a word"));
                }
                Err(error) => return Err(format!("node {at} does not answer: {error}")),
            }
        }
        Ok(())
    }

    /// What the provider moved is what the orders say.
    fn money(&self) -> Result<(), String> {
        let moved = self.ground.gateway.moved_minor(Currency::JPY);
        if !self.known.requested.is_empty() {
            return Err(format!("refunds are asked for still: {:?}", self.known.requested));
        }
        if moved != self.known.settled_minor {
            let recorded = self.known.settled_minor;
            return Err(format!("the provider moved {moved}, the orders say {recorded}"));
        }
        Ok(())
    }

    /// Everything that was acknowledged is there, where it was said to be.
    async fn acknowledged(&self) -> Result<(), String> {
        let events = EventStore::read_all(&*self.ground.memory, Position(0), usize::MAX).await;
        let events = events.map_err(|error| error.to_string())?;
        let there: HashSet<_> = events.iter().map(|event| (event.position, event.id)).collect();
        for (call, answered) in self.actors.acked() {
            if answered.iter().any(|event| !there.contains(&(event.position, event.id))) {
                return Err(format!("{} was acknowledged and is not there", call.key));
            }
        }
        Ok(())
    }

    /// Everything that was ever acknowledged, asked for again: the same answers, no new event.
    pub(super) async fn everything_again(&mut self) -> Result<(), String> {
        self.note("everything is asked for again".to_owned());
        let before = self.head().await;
        let desk = self.nodes[0].world.desk().clone();
        for (call, events) in self.actors.acked().to_vec() {
            let again = Call { expectation: Expectation::Same(events), ..call };
            let answer = again.give(&desk).await;
            again.judge(&answer)?;
            if let Answer::Trouble(what) = answer {
                return Err(format!("{} was answered {what} in calm weather", again.key));
            }
        }
        self.quiet().await?;
        let new = EventStore::read_all(&*self.ground.memory, before, usize::MAX).await;
        let new = new.map_err(|error| error.to_string())?;
        // A hold whose time passes meanwhile is a fact of time.
        let new: Vec<String> = new
            .iter()
            .filter(|event| event.kind != "hold-expired")
            .map(|event| format!("{} {}", event.stream, event.kind))
            .collect();
        match new.is_empty() {
            true => Ok(()),
            false => Err(format!("new events when everything was asked for again: {new:?}")),
        }
    }

    /// Rebuilds a read model, once what operators began is over. Damaged rows may stand in the way
    /// of one rebuild, and of no other.
    async fn rebuilt(&mut self, projection: &str) -> Result<BuildReport, BuildError> {
        let mut may_be_damaged = true;
        loop {
            match self.read.rebuild(projection).await {
                Err(BuildError::UnderWay(_)) => {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
                Err(BuildError::Unconfirmed { .. }) if may_be_damaged => {
                    self.coverage.saw("read damage noticed");
                    may_be_damaged = false;
                }
                ended => return ended,
            }
        }
    }

    async fn read_models(&mut self) -> Result<(), String> {
        for projection in ALL {
            let resumed = self.read.resume(projection.name);
            resumed.map_err(|error| error.to_string())?;
            let resumed = self.read.resume_rebuild(projection.name);
            resumed.map_err(|error| error.to_string())?;
        }
        compare::caught_up(&self.read, self.head().await).await?;
        for projection in ALL {
            self.note(format!("{} is built anew", projection.name));
            // One that is being built goes on; then it is compared.
            let rebuilt = self.rebuilt(projection.name).await;
            let rebuilt = rebuilt.map_err(|error| format!("{}: {error}", projection.name))?;
            if !rebuilt.equal() {
                let difference = rebuilt.comparison.first_difference.unwrap_or_default();
                return Err(format!(
                    "{} was not what the events say: {difference}",
                    projection.name
                ));
            }
        }
        // A fresh one, which remembers nothing: it reads what is stored.
        let fresh = Engine::start(self.ground.ports(), Limits::default());
        let engine = &fresh;
        for show in &self.known.shows {
            compare::availability(engine, &self.read, show.id).await?;
        }
        for order in &self.known.orders {
            compare::order(engine, &self.read, order.id).await?;
        }
        for ticket in &self.known.tickets {
            compare::ticket(engine, &self.read, ticket.id).await?;
        }
        fresh.stop().await;
        self.coverage.saw("rest checked");
        Ok(())
    }
}

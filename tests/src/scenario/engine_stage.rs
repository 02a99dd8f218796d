//! The stage that is the engine itself, in this process: memory store, read models, a clock that
//! stands still between the lines. It wants a runtime whose time is paused, so that whatever
//! waits for a moment (the sweeper, a pause before another try) takes none.

use std::{collections::HashMap, fmt::Debug, sync::Arc, time::Duration};

use hakken_commands::{
    desk::{DeskError, DeskRejection},
    engine::{Asker, CommandError},
};
use hakken_domain::{
    Event, Rejection,
    envelope::{Position, StoredEvent},
    inventory,
    money::Currency,
    names::{HoldId, Label, OrderId, OrganizerId, PaymentId, Reason, RefundId, ShowId, TicketId},
    order::Payment,
    organizer,
    time::Timestamp,
};
use hakken_projections::ReadModels;

use super::{
    Line, Stage,
    script::{Args, parse},
};
use crate::{
    audit::Audit,
    world::{START, Setup, World, asker_of, name},
};

mod orders;
mod questions;
mod sales;
mod tickets;

/// What a line comes to: an answer, or a mistake in the script.
pub(super) type Said = Result<String, String>;

/// The engine in this process.
pub struct EngineStage {
    pub(super) world: World,
    pub(super) read: ReadModels,
    /// The stops of each show that has some.
    stops: HashMap<String, Vec<String>>,
    pub(super) holds: HashMap<String, Hold>,
    pub(super) orders: Vec<String>,
    /// What the first line with a key chose, so that the second one chooses the same.
    payments: HashMap<String, (Payment, Currency)>,
    reversals: HashMap<String, PaymentId>,
    retries: HashMap<String, RefundId>,
    /// Every code that was ever seen, so that old ones can be shown again.
    codes: HashMap<(TicketId, u16), String>,
    seed: u64,
}

pub(super) struct Hold {
    pub(super) id: HoldId,
    show: String,
    buyer: String,
}

/// The organizer of this name; a script without a `by=` has one.
pub(super) fn organizer(called: &str) -> OrganizerId {
    OrganizerId::derived("scenario", called)
}

pub(super) fn show_id(called: &str) -> ShowId {
    ShowId::derived("scenario", called)
}

pub(super) fn order_id(called: &str) -> OrderId {
    OrderId::derived("scenario", called)
}

/// `O1/2`
pub(super) fn ticket_id(called: &str) -> Result<TicketId, String> {
    let (order, item) = called.split_once('/').ok_or("a ticket is called O1/1")?;
    Ok(hakken_commands::process::ticket_of(order_id(order), parse(item)?))
}

/// `SeatTaken(…)` is `seat_taken`.
fn code_of(rejection: &impl Debug) -> String {
    let text = format!("{rejection:?}");
    let variant = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let mut code = String::new();
    for (at, letter) in variant.char_indices() {
        if letter.is_uppercase() && at > 0 {
            code.push('_');
        }
        code.extend(letter.to_lowercase());
    }
    code
}

/// A refusal in the words of the rule book.
pub(super) fn refused(error: &CommandError) -> String {
    match error {
        CommandError::Rejected(rejection) => format!("rejected {}", refusal(rejection)),
        other => code_of(other),
    }
}

/// The word for a refusal: `seat_taken`.
pub fn refusal(rejection: &Rejection) -> String {
    match rejection {
        Rejection::Inventory(rejection) => code_of(rejection),
        Rejection::Order(rejection) => code_of(rejection),
        Rejection::Ticket(rejection) => code_of(rejection),
        Rejection::Show(rejection) => code_of(rejection),
        Rejection::Venue(rejection) => code_of(rejection),
        Rejection::Organizer(rejection) => code_of(rejection),
        Rejection::Key(rejection) => code_of(rejection),
        Rejection::Gate(never) => match *never {},
        Rejection::Operations(rejection) => code_of(rejection),
    }
}

/// The word for a refusal of the desk: `hold_over`.
pub fn desk_refusal(rejection: &DeskRejection) -> String {
    code_of(rejection)
}

pub(super) fn refused_at_desk(error: &DeskError) -> String {
    match error {
        DeskError::Refused(rejection) => format!("rejected {}", desk_refusal(rejection)),
        DeskError::Command(error) => refused(error),
    }
}

/// The answer of a command that simply happens.
pub(super) fn done<R>(result: Result<R, CommandError>, word: &str) -> String {
    match result {
        Ok(_) => word.to_owned(),
        Err(error) => refused(&error),
    }
}

impl EngineStage {
    /// With nothing recorded but two organizers.
    pub async fn new() -> Self {
        let world = World::start();
        for called in ["organizer", "rival"] {
            let command = organizer::Command::RegisterOrganizer { name: name::<Label>(called) };
            let asker = asker_of(organizer(called), "register");
            world.desk().ask(asker, organizer(called), command).await.expect("registered");
        }
        let read = world.read_side().await;
        Self {
            world,
            read,
            stops: HashMap::new(),
            holds: HashMap::new(),
            orders: Vec::new(),
            payments: HashMap::new(),
            reversals: HashMap::new(),
            retries: HashMap::new(),
            codes: HashMap::new(),
            seed: 1,
        }
    }

    /// Who asks: the organizer of `by=`.
    fn asker(args: &mut Args, key: &str) -> Asker {
        asker_of(organizer(args.option("by").as_deref().unwrap_or("organizer")), key)
    }

    fn now(&self) -> Timestamp {
        hakken_commands::clock::Clock::now(&*self.world.clock)
    }

    async fn recorded(&self, after: usize) -> Vec<Arc<StoredEvent>> {
        self.world.events().await.split_off(after)
    }

    /// Time passes, forwards or backwards, and then the sweeper comes round.
    async fn tick(&mut self, args: &mut Args) -> Said {
        let text = args.word("how long")?;
        let seconds: i64 = parse(text.strip_suffix('s').unwrap_or(&text))?;
        let before = self.world.events().await.len();
        let then = self.now().as_micros() + seconds * 1_000_000;
        self.world.clock.set(Timestamp::from_micros(then));
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        self.world.rest().await;
        let mut expired = Vec::new();
        for event in self.recorded(before).await {
            if let Ok(Event::Inventory(inventory::Event::HoldExpired(over))) =
                event.decoded().map(|decoded| &decoded.event)
            {
                let known = self.holds.iter().find(|(_, hold)| hold.id == over.hold);
                expired.push(known.map_or("?", |(called, _)| called.as_str()).to_owned());
            }
        }
        expired.sort_unstable();
        Ok(match expired.is_empty() {
            true => "quiet".to_owned(),
            false => format!("expired {}", expired.join(" ")),
        })
    }

    /// The process ends, and another one starts on the same store. The read models start anew.
    async fn restart(&mut self) -> Said {
        self.seed += 1;
        let (memory, clock, gateway) =
            (self.world.memory.clone(), self.world.clock.clone(), self.world.gateway.clone());
        self.read.shutdown().await;
        self.world.write.stop().await;
        self.world =
            World::with(Setup { memory, clock, gateway, seed: self.seed, ..Setup::default() });
        self.read = self.world.read_side().await;
        Ok("restarted".to_owned())
    }

    /// `provider fails 2`, `provider forgets 1`, `provider refuses card`, `provider accepts card`
    fn provider(&mut self, args: &mut Args) -> Said {
        let gateway = &self.world.gateway;
        let (what, of) = (args.word("what it does")?, args.word("of what")?);
        match what.as_str() {
            "fails" => gateway.fail_next(parse(&of)?),
            "forgets" => gateway.lose_next_answers(parse(&of)?),
            "refuses" => gateway.refuse_method(parse(&of)?, name::<Reason>("the card is closed")),
            "accepts" => gateway.accept_method(&parse(&of)?),
            other => return Err(format!("no provider {other}")),
        }
        Ok("noted".to_owned())
    }

    async fn verified(&self) -> Result<(), String> {
        let head = self.world.head().await;
        let there = self.read.wait_for_all(head, Duration::from_secs(30)).await;
        there.map_err(|error| error.to_string())?;
        for projection in hakken_projections::ALL {
            let report = self.read.verify(projection.name).await;
            let report = report.map_err(|error| format!("{}: {error}", projection.name))?;
            if !report.equal() {
                let difference = report.comparison.first_difference.unwrap_or_default();
                return Err(format!(
                    "{} is not what the events say: {difference}",
                    projection.name
                ));
            }
        }
        Ok(())
    }
}

impl Stage for EngineStage {
    async fn command(&mut self, line: &Line, key: &str) -> Said {
        let mut args = line.args();
        let asker = Self::asker(&mut args, key);
        let said = match line.verb.as_str() {
            "show" => self.list(&mut args, asker).await,
            "offer" => self.offer(&mut args, asker).await,
            "withdraw" => self.withdraw(&mut args, asker).await,
            "rules" => self.change_rules(&mut args, asker).await,
            "close" => self.close(&mut args, asker).await,
            "call-off" => self.call_off(&mut args, asker).await,
            "block" => self.block(&mut args, asker).await,
            "unblock" => self.unblock(&mut args, asker).await,
            "allot" => self.allot(&mut args, asker).await,
            "hold" => self.hold(&mut args, asker).await,
            "extend" => self.extend(&mut args, asker).await,
            "release" => self.release(&mut args, asker).await,
            "order" => self.order(&mut args, asker).await,
            "pay" => self.pay(&mut args, asker, key).await,
            "cancel" => self.cancel(&mut args, asker).await,
            "refund" => self.refund(&mut args, asker).await,
            "retry" => self.retry(&mut args, asker, key).await,
            "reverse" => self.reverse(&mut args, asker, key).await,
            "issue" => self.issue(&mut args, asker).await,
            "reissue" => self.reissue(&mut args, asker).await,
            "scan" => self.scan(&mut args, asker).await,
            "new-key" => self.new_key(asker).await,
            "disable-key" => self.disable_key(&mut args, asker).await,
            other => Err(format!("there is no verb {other:?}")),
        }?;
        args.end()?;
        Ok(said)
    }

    async fn question(&mut self, line: &Line) -> Said {
        self.world.rest().await;
        let head: Position = self.world.head().await;
        let there = self.read.wait_for_all(head, Duration::from_secs(30)).await;
        there.map_err(|error| error.to_string())?;
        let mut args = line.args();
        let said = self.answer(&line.verb, &mut args).await?;
        args.end()?;
        Ok(said)
    }

    async fn happening(&mut self, line: &Line) -> Said {
        let mut args = line.args();
        let said = match line.verb.as_str() {
            "tick" => self.tick(&mut args).await,
            "restart" => self.restart().await,
            _ => self.provider(&mut args),
        }?;
        args.end()?;
        Ok(said)
    }

    async fn events(&mut self) -> u64 {
        self.world.rest().await;
        self.world.events().await.len() as u64
    }

    async fn end(&mut self) -> Result<(), String> {
        self.world.rest().await;
        Audit::read(&self.world.events().await)?.at_rest()?;
        self.verified().await
    }
}

/// A time after the beginning of the world.
fn after_start(seconds: u64) -> Timestamp {
    START.plus_seconds(seconds)
}

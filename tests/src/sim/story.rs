//! A small story, told to a process that dies in the middle of it: two holds, an order over two
//! shows, two payments, a scan, a cancellation, a refund, a hold that lapses, and money that comes
//! too late. Whoever asked and heard nothing asks again, with the same key, and in the end
//! everything must be as if nobody had died.

use std::sync::Arc;

use hakken_adapters::{memory::MemoryStore, payments::SimulatedGateway, system::ManualClock};
use hakken_commands::{
    clock::Clock,
    desk::{Line, PlaceOrder, ScanRequest},
    engine::{Engine, Limits, Ports},
    payments::Payments,
    process::ticket_of,
    store::{EventStore, SideStore},
};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId},
    inventory::{self, HoldSeats, PoolPlaces, SeatChoice},
    money::Currency,
    names::{CancellationId, HoldId, OrderId, RefundId, ShowId},
    order::{self, Payment, RefundPolicy},
    ticket::Direction,
};
use hakken_projections::ReadModels;

use super::{
    call::{Answer, Call, Expectation, Wish},
    compare,
    mortal::{Death, Life, Mortal, Point},
};
use crate::{
    audit::Audit,
    world::{START, Setup, World, hall, name, organizer_id},
};

/// How a story was told.
pub struct Told {
    /// Every call to a port that the process has made which was to die.
    pub points: Vec<Point>,
    /// What it died of.
    pub died: Option<(Point, Death)>,
    /// The kinds of each stream's events, sorted by stream.
    pub kinds: Vec<(StreamId, Vec<String>)>,
}

struct Teller {
    memory: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    gateway: Arc<SimulatedGateway>,
    life: Arc<Life>,
    world: World,
    processes: u64,
    acked: Vec<(Call, Vec<Arc<StoredEvent>>)>,
}

/// Tells the story to a process that dies, or does not; says what is wrong in the end.
pub async fn tell(death: Option<(usize, Death)>) -> Result<Told, String> {
    let mut teller = Teller::begin().await;
    let read = teller.world.read_side().await;
    let [first, second] = teller.shows().await;
    // The process that may die starts where another one stopped.
    teller.restart();
    if let Some((nth, death)) = death {
        teller.life.die_at(nth, death);
    }
    let life = teller.life.clone();
    let orders = teller.story(first, second).await?;
    teller.quiet().await?;
    let (points, died) = (life.points(), life.died());
    life.spare();
    teller.check(&read, &[first, second], &orders).await?;
    let events = teller.events().await;
    let mut kinds: std::collections::BTreeMap<StreamId, Vec<String>> = Default::default();
    for event in &events {
        kinds.entry(event.stream).or_default().push(event.kind.to_string());
    }
    let kinds = kinds.into_iter().collect();
    Ok(Told { points, died, kinds })
}

impl Teller {
    async fn begin() -> Self {
        let memory = Arc::new(MemoryStore::with_live_bytes(4_000));
        let clock = Arc::new(ManualClock::new(START));
        let gateway = Arc::new(SimulatedGateway::new());
        let life = Arc::<Life>::default();
        let world = world(&memory, &clock, &gateway, &life, 1);
        Self { memory, clock, gateway, life, world, processes: 1, acked: Vec::new() }
    }

    async fn shows(&self) -> [ShowId; 2] {
        let first = self.world.show("武道館", hall(2, 3, 2), &[]).await;
        let second = self.world.show("のぞみ", hall(1, 3, 2), &["東京", "京都", "博多"]).await;
        [first, second]
    }

    /// Another process starts from what is stored.
    fn restart(&mut self) {
        self.life.kill();
        self.life = Arc::default();
        self.processes += 1;
        let Self { memory, clock, gateway, life, .. } = &*self;
        self.world = world(memory, clock, gateway, life, self.processes);
    }

    /// Asks until there is an answer.
    async fn ask(&mut self, key: &str, wish: Wish) -> Result<Answer, String> {
        let fingerprint = key.bytes().map(u64::from).sum();
        let (key, organizer) = (key.to_owned(), organizer_id());
        let expectation = Expectation::Anything;
        let call = Call { name: "story", organizer, key, fingerprint, wish, expectation };
        for _ in 0..20 {
            let life = self.life.clone();
            match life.unless_dead(call.give(self.world.desk())).await {
                None => self.restart(),
                Some(Answer::Trouble(_)) => {}
                Some(answer) => {
                    if let Answer::Done(receipt) = &answer {
                        self.acked.push((call, receipt.events.clone()));
                    }
                    return Ok(answer);
                }
            }
        }
        Err(format!("{}: no answer", call.key))
    }

    /// Asks for what must be done.
    async fn done(&mut self, key: &str, wish: Wish) -> Result<(), String> {
        match self.ask(key, wish).await? {
            Answer::Done(_) => Ok(()),
            other => Err(format!("{key}: {}", other.word())),
        }
    }

    async fn hold(&mut self, show: ShowId, key: &str, seats: &[&str]) -> Result<HoldId, String> {
        let hold = HoldId::derived("story", key);
        let floor = if seats.is_empty() { vec![("floor", 1)] } else { Vec::new() };
        let pools = floor.into_iter().map(|(pool, count)| PoolPlaces { pool: name(pool), count });
        let command = inventory::Command::HoldSeats(HoldSeats {
            hold,
            buyer: name(if key.starts_with("rival") { "rival" } else { "buyer" }),
            seats: SeatChoice::Named(seats.iter().map(|seat| name(seat)).collect()),
            pools: pools.collect(),
            legs: None,
            allotment: None,
            ttl_seconds: None,
        });
        let wish = Wish::Ask(StreamId::inventory(show), Box::new(command.into()));
        self.done(key, wish).await?;
        Ok(hold)
    }

    async fn order(&mut self, key: &str, held: &[(ShowId, HoldId)]) -> Result<OrderId, String> {
        let order = OrderId::derived("story", key);
        let line = |&(show, hold): &(ShowId, HoldId)| Line {
            show,
            hold,
            ticket_type: Some(name("adult")),
            tickets: Vec::new(),
        };
        let wanted = PlaceOrder { buyer: name("buyer"), lines: held.iter().map(line).collect() };
        self.done(key, Wish::PlaceOrder(order, wanted)).await?;
        Ok(order)
    }

    async fn pay(&mut self, order: OrderId, key: &str, amount_minor: u64) -> Result<(), String> {
        let payments = vec![Payment { payment: name(key), method: name("card"), amount_minor }];
        let partial = amount_minor == 5_000;
        let currency = Currency::JPY;
        self.done(key, Wish::Pay { order, payments, currency, partial }).await
    }

    async fn story(&mut self, first: ShowId, second: ShowId) -> Result<[OrderId; 2], String> {
        let seats = self.hold(first, "seats", &["A1", "A2"]).await?;
        let place = self.hold(second, "place", &[]).await?;
        let order = self.order("order", &[(first, seats), (second, place)]).await?;
        self.pay(order, "part", 5_000).await?;
        self.pay(order, "rest", 10_000).await?;
        // Whoever waited for the tickets may have heard of them from a process that died since.
        self.quiet().await?;
        self.scan(first, order).await?;
        let cancellation = CancellationId::derived("story", "cancel");
        let command = order::Command::Cancel {
            cancellation,
            items: vec![2],
            refund: RefundPolicy::Full,
            even_if_used: false,
            reason: name("都合により"),
        };
        self.done("cancel", Wish::Cancel(order, command)).await?;
        self.quiet().await?;
        let command = order::Command::RefundMoney {
            refund: RefundId::derived("story", "refund"),
            amount_minor: 100,
            currency: Currency::JPY,
        };
        self.done("refund", Wish::Ask(order.into(), Box::new(command.into()))).await?;
        // A hold lapses, and nobody asks.
        self.hold(second, "lapses", &["A1"]).await?;
        self.clock.advance_seconds(700);
        self.quiet().await?;
        // Another one lapses, somebody else takes the seat, and then the money comes.
        let late = self.hold(first, "late", &["B1"]).await?;
        let too_late = self.order("late-order", &[(first, late)]).await?;
        self.clock.advance_seconds(700);
        self.hold(first, "rival", &["B1"]).await?;
        self.pay(too_late, "late-money", 5_000).await?;
        Ok([order, too_late])
    }

    async fn scan(&mut self, show: ShowId, order: OrderId) -> Result<(), String> {
        let ticket = ticket_of(order, 1);
        let Answer::Code(.., code) = self.ask("code", Wish::Code(ticket, show)).await? else {
            return Err("no code".to_owned());
        };
        let (gate, direction) = (World::gate(), Direction::Entry);
        self.done("scan", Wish::Scan(ScanRequest { show, gate, direction, code })).await
    }

    /// Waits until nothing is left to be done, whoever dies meanwhile. Long enough for the
    /// sweeper, and for checkpoints to be saved.
    async fn quiet(&mut self) -> Result<(), String> {
        for _ in 0..3 {
            let life = self.life.clone();
            let rest = async {
                self.world.rest().await;
                tokio::time::sleep(std::time::Duration::from_secs(3)).await;
                self.world.rest().await;
            };
            match life.unless_dead(rest).await {
                Some(()) => return Ok(()),
                None => self.restart(),
            }
        }
        Err("nothing comes to rest".to_owned())
    }

    async fn events(&self) -> Vec<Arc<StoredEvent>> {
        let events = EventStore::read_all(&*self.memory, Position(0), usize::MAX).await;
        events.expect("memory can be read")
    }

    async fn check(
        &mut self,
        read: &ReadModels,
        shows: &[ShowId],
        orders: &[OrderId],
    ) -> Result<(), String> {
        let events = self.events().await;
        let audit = Audit::read(&events)?;
        audit.at_rest()?;
        if let Some(hold) = audit.lapsed(self.clock.now()).first() {
            return Err(format!("hold {hold} has lapsed and nobody has recorded it"));
        }
        let moved = self.gateway.moved_minor(Currency::JPY);
        if moved != audit.money().1 {
            return Err(format!("{moved} was moved, {} is recorded", audit.money().1));
        }
        for (call, before) in std::mem::take(&mut self.acked) {
            let again = Call { expectation: Expectation::Same(before), ..call };
            again.judge(&again.give(self.world.desk()).await)?;
        }
        if self.events().await.len() != events.len() {
            return Err("new events when everything was asked for again".to_owned());
        }
        compare::caught_up(read, self.world.head().await).await?;
        compare::verified(read).await?;
        let (store, side) = (self.memory.clone(), self.memory.clone());
        let ids = Arc::new(hakken_adapters::system::SeededIds::new(0));
        let ports = Ports { store, side, clock: self.clock.clone(), ids };
        let fresh = Engine::start(ports, Limits::default());
        for show in shows {
            compare::availability(&fresh, read, *show).await?;
        }
        for order in orders {
            compare::order(&fresh, read, *order).await?;
        }
        compare::ticket(&fresh, read, ticket_of(orders[0], 1)).await
    }
}

fn world(
    memory: &Arc<MemoryStore>,
    clock: &Arc<ManualClock>,
    gateway: &Arc<SimulatedGateway>,
    life: &Arc<Life>,
    seed: u64,
) -> World {
    let store: Arc<dyn EventStore> = memory.clone();
    let side: Arc<dyn SideStore> = memory.clone();
    let payments: Arc<dyn Payments> = gateway.clone();
    World::with(Setup {
        store: Some(Arc::new(Mortal::new(store, life.clone()))),
        memory: memory.clone(),
        side: Some(Arc::new(Mortal::new(side, life.clone()))),
        clock: clock.clone(),
        gateway: gateway.clone(),
        payments: Some(Arc::new(Mortal::new(payments, life.clone()))),
        limits: Limits { snapshot_events: 3, snapshot_share: 1_000_000, ..Limits::default() },
        seed,
        far_behind: 30,
    })
}

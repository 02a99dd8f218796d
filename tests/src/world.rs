//! A whole write side on a memory store, with a clock that tests turn, and the few sentences that
//! most tests need.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hakken_adapters::{
    memory::MemoryStore,
    payments::SimulatedGateway,
    system::{ManualClock, SeededIds},
};
use hakken_commands::{
    WriteOptions, WriteSide,
    desk::{Desk, Line, PlaceOrder},
    engine::{Asker, CommandError, Limits, Ports, Receipt},
    payments::Payments,
    store::{EventStore, SideStore},
};
use hakken_domain::{
    Command, State,
    envelope::{Fingerprint, Position, StoredEvent, StreamId},
    inventory::{self, HoldSeats, PoolPlaces, SalesRules, SeatChoice},
    money::Currency,
    names::{
        ActorRef, BuyerRef, Category, CommandKey, GateName, HoldId, Label, OrderId, OrganizerId,
        PaymentId, PaymentMethod, PoolId, SeatId, ShowId, TicketTypeId, VenueId,
    },
    order::{self, Payment},
    organizer,
    seatmap::{Point, Pool, Row, Seat, SeatMap, Section},
    show::{self, Issuance, ShowScheduled, TicketType},
    ticket::EntryRule,
    time::Timestamp,
    venue,
};
use hakken_projections::{ReadModels, rows::MemoryRows};

use crate::edge::engine_secret;

/// The time at which worlds begin: 2026-11-21T10:00:00Z.
pub const START: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);

/// How a world is made.
pub struct Setup {
    /// What the engine writes to; the memory store itself by default.
    pub store: Option<Arc<dyn EventStore>>,
    /// The memory store under it.
    pub memory: Arc<MemoryStore>,
    /// Where snapshots and checkpoints are kept; the memory store itself by default.
    pub side: Option<Arc<dyn SideStore>>,
    /// The clock.
    pub clock: Arc<ManualClock>,
    /// Who moves money back.
    pub gateway: Arc<SimulatedGateway>,
    /// Who is asked to move it; the gateway itself by default.
    pub payments: Option<Arc<dyn Payments>>,
    /// Bounds of the loop.
    pub limits: Limits,
    /// Makes ids differ from those of another process on the same store.
    pub seed: u64,
    /// How many events a process may be behind before it looks what of them is answered.
    pub far_behind: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            store: None,
            memory: Arc::new(MemoryStore::new()),
            side: None,
            clock: Arc::new(ManualClock::new(START)),
            gateway: Arc::new(SimulatedGateway::new()),
            payments: None,
            limits: Limits::default(),
            seed: 1,
            far_behind: WriteOptions::default().far_behind,
        }
    }
}

/// A running write side.
pub struct World {
    /// The write side.
    pub write: Arc<WriteSide>,
    /// The memory store under it.
    pub memory: Arc<MemoryStore>,
    /// The clock.
    pub clock: Arc<ManualClock>,
    /// Who moves money back.
    pub gateway: Arc<SimulatedGateway>,
    keys: AtomicU64,
}

/// The organizer of a world's shows.
pub fn organizer_id() -> OrganizerId {
    OrganizerId::derived("test", "organizer")
}

/// Who asks when it does not matter who.
pub fn asker(key: &str) -> Asker {
    asker_of(organizer_id(), key)
}

/// Somebody of this organizer.
pub fn asker_of(organizer: OrganizerId, key: &str) -> Asker {
    Asker {
        organizer: Some(organizer),
        actor: ActorRef::new("key:test").expect("a good name"),
        key: Some((CommandKey::new(key).expect("a good key"), Fingerprint::of(key.as_bytes()))),
        cause: None,
        correlation: None,
    }
}

/// A name that a test writes down.
pub fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("tests write good names")
}

/// A hall of rows A, B, C … with so many seats each, and a pool `floor`.
pub fn hall(rows: u32, seats: u32, floor: u32) -> SeatMap {
    let row = |at: u32| {
        let letter = char::from(b'A' + u8::try_from(at).expect("few rows"));
        Row {
            name: name(&letter.to_string()),
            seats: (1..=seats)
                .map(|number| Seat {
                    id: name(&format!("{letter}{number}")),
                    number: name(&number.to_string()),
                    at: Point { x: number as i32 * 100, y: (at as i32 + 1) * 100 },
                    category: name("stalls"),
                    wheelchair: false,
                    aisle_after: false,
                })
                .collect(),
        }
    };
    let pool = Pool { id: name("floor"), capacity: floor, category: name::<Category>("floor") };
    SeatMap {
        name: name("hall"),
        focus: Point { x: (seats as i32 + 1) * 50, y: 0 },
        sections: vec![Section { name: name("stalls"), rows: (0..rows).map(row).collect() }],
        pools: if floor > 0 { vec![pool] } else { Vec::new() },
    }
}

/// Rules that are not in a test's way.
pub fn open_rules() -> SalesRules {
    SalesRules {
        sales_from: START.minus_seconds(86_400),
        sales_until: START.plus_seconds(30 * 86_400),
        hold_ttl_seconds: 600,
        hold_extension_seconds: 600,
        max_places_per_hold: 50,
        max_places_per_buyer: None,
    }
}

impl World {
    /// With everything as usual.
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    /// With something unusual.
    pub fn with(setup: Setup) -> Self {
        let Setup { store, memory, side, clock, gateway, payments, limits, seed, far_behind } =
            setup;
        let ports = Ports {
            store: store.unwrap_or_else(|| memory.clone()),
            side: side.unwrap_or_else(|| memory.clone()),
            clock: clock.clone(),
            ids: Arc::new(SeededIds::new(seed)),
        };
        let secret = engine_secret();
        let patience = Duration::from_secs(10);
        let options = WriteOptions { limits, patience, far_behind, ..WriteOptions::default() };
        let payments = payments.unwrap_or_else(|| gateway.clone());
        let write = Arc::new(WriteSide::start(ports, payments, secret, options));
        Self { write, memory, clock, gateway, keys: AtomicU64::new(0) }
    }

    /// The desk.
    pub fn desk(&self) -> &Desk {
        self.write.desk()
    }

    /// A key that was not used before.
    pub fn fresh(&self) -> String {
        format!("key-{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks a stream with a fresh key.
    pub async fn ask(
        &self,
        stream: impl Into<StreamId>,
        command: impl Into<Command>,
    ) -> Result<Receipt, CommandError> {
        self.desk().ask(asker(&self.fresh()), stream, command).await
    }

    /// The organizer, a venue with this hall, and a show on sale with the ticket type `adult` at
    /// 5,000 yen. `stops` is empty for a concert.
    pub async fn show(&self, label: &str, map: SeatMap, stops: &[&str]) -> ShowId {
        self.show_with(label, map, stops, open_rules(), Issuance::Immediate).await
    }

    /// The same, with these rules and issuance.
    pub async fn show_with(
        &self,
        label: &str,
        map: SeatMap,
        stops: &[&str],
        rules: SalesRules,
        issuance: Issuance,
    ) -> ShowId {
        let register = organizer::Command::RegisterOrganizer { name: name("organizer") };
        self.ask(organizer_id(), register).await.expect("registered");
        let venue = VenueId::derived("test", label);
        let register =
            venue::Command::RegisterVenue { name: name("venue"), seat_map: Box::new(map) };
        self.ask(venue, register).await.expect("registered");
        let show = ShowId::derived("test", label);
        let schedule = show::Command::ScheduleShow(Box::new(ShowScheduled {
            name: name::<Label>(label),
            venue,
            starts_at: START.plus_seconds(86_400),
            ends_at: START.plus_seconds(90_000),
            stops: stops.iter().map(|stop| name(stop)).collect(),
            currency: Currency::JPY,
            entry: EntryRule {
                valid_from: START,
                valid_until: START.plus_seconds(90_000),
                reentry: false,
            },
            issuance,
        }));
        self.ask(StreamId::show(show), schedule).await.expect("scheduled");
        let offer = show::Command::OfferTicketType(Box::new(TicketType {
            ticket_type: name("adult"),
            name: name("大人"),
            price_minor: 5_000,
            fares: Vec::new(),
            categories: Vec::new(),
            pools: Vec::new(),
        }));
        self.ask(StreamId::show(show), offer).await.expect("offered");
        self.desk().open_sales(asker(&self.fresh()), show, rules).await.expect("opened");
        show
    }

    /// Holds seats (`A1`) and pool places (`floor*3`) for a buyer, with this key.
    pub async fn hold(
        &self,
        show: ShowId,
        buyer: &str,
        places: &[&str],
        key: &str,
    ) -> Result<HoldId, CommandError> {
        let mut seats: Vec<SeatId> = Vec::new();
        let mut pools = Vec::new();
        for place in places {
            match place.split_once('*') {
                None => seats.push(name(place)),
                Some((pool, count)) => pools.push(PoolPlaces {
                    pool: name::<PoolId>(pool),
                    count: count.parse().expect("a number"),
                }),
            }
        }
        let hold = HoldId::derived(&show.to_string(), key);
        let command = inventory::Command::HoldSeats(HoldSeats {
            hold,
            buyer: name::<BuyerRef>(buyer),
            seats: SeatChoice::Named(seats),
            pools,
            legs: None,
            allotment: None,
            ttl_seconds: None,
        });
        self.desk().ask(asker(key), StreamId::inventory(show), command).await.map(|_| hold)
    }

    /// Orders everything of a hold as `adult`.
    pub async fn order(&self, show: ShowId, hold: HoldId, buyer: &str) -> OrderId {
        let order = OrderId::derived("test", &hold.to_string());
        let wanted = PlaceOrder {
            buyer: name(buyer),
            lines: vec![Line {
                show,
                hold,
                ticket_type: Some(name::<TicketTypeId>("adult")),
                tickets: Vec::new(),
            }],
        };
        self.desk().place_order(asker(&self.fresh()), order, wanted).await.expect("placed");
        order
    }

    /// Pays all that is due.
    pub async fn pay(&self, order: OrderId) -> Result<Receipt, CommandError> {
        let due = self.order_state(order).await.due_minor();
        let payment = Payment {
            payment: PaymentId::new(&format!("pay-{order}-{}", self.fresh())).expect("short"),
            method: PaymentMethod::new("card").expect("a good name"),
            amount_minor: due,
        };
        let asker = asker(&self.fresh());
        let paid = self.desk().pay(asker, order, vec![payment], Currency::JPY, false).await;
        paid.map(|(receipt, _)| receipt)
    }

    /// The state of an order.
    pub async fn order_state(&self, order: OrderId) -> order::State {
        let read = self.write.engine().read(hakken_commands::engine::Tenant::Any, order, |s, _| {
            let State::Order(order) = s else { unreachable!("an order's stream") };
            order.as_ref().clone()
        });
        read.await.expect("it can be read")
    }

    /// A gate.
    pub fn gate() -> GateName {
        name("north")
    }

    /// All events, in order.
    pub async fn events(&self) -> Vec<Arc<StoredEvent>> {
        self.memory.read_all(Position(0), usize::MAX).await.expect("memory can be read")
    }

    /// The position of the newest event.
    pub async fn head(&self) -> Position {
        EventStore::head(&*self.memory).await.expect("memory can be read")
    }

    /// Read models in memory, fed by the store.
    pub async fn read_side(&self) -> ReadModels {
        let rows = Arc::new(MemoryRows::new());
        ReadModels::start(self.memory.clone(), rows, self.clock.clone()).await.expect("started")
    }

    /// Waits until every process has answered everything, and nothing is written any more.
    pub async fn rest(&self) {
        for _ in 0..2_000 {
            let head = self.head().await;
            let quiet = self.write.processes().iter().all(|process| {
                let progress = process.progress();
                progress.waiting == 0 && progress.done >= head
            });
            tokio::time::sleep(Duration::from_millis(5)).await;
            if quiet && self.head().await == head {
                return;
            }
        }
        panic!("the processes do not come to rest");
    }

    /// Stops everything, as at the end of a process.
    pub async fn stop(self) {
        self.write.stop().await;
    }
}

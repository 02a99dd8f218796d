//! A write side that sells, in process: what benchmarks of stores ask of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use hakken_adapters::{
    payments::SimulatedGateway,
    system::{RandomIds, SystemClock},
};
use hakken_commands::{
    WriteOptions, WriteSide,
    desk::{Desk, EngineSecret, Line, PlaceOrder, Settled},
    engine::{Asker, CommandError, Counters, Engine, Ports},
    store::{EventStore, SideStore},
};
use hakken_domain::{
    Command,
    envelope::{Fingerprint, StreamId},
    inventory::{self, HoldSeats, SalesRules, SeatChoice},
    money::Currency,
    names::{
        ActorRef, BuyerRef, CommandKey, HoldId, Label, OrderId, OrganizerId, PaymentId,
        PaymentMethod, SeatId, ShowId, TicketTypeId, VenueId,
    },
    order::Payment,
    organizer,
    show::{self, Issuance, ShowScheduled, TicketType},
    ticket::EntryRule,
    time::Timestamp,
    venue,
};
use tokio::{runtime::Runtime, sync::watch};

use crate::halls::stadium;

const PRICE_MINOR: u64 = 5_000;

/// Makes every name and key another one.
static TURN: AtomicU64 = AtomicU64::new(0);

/// A write side over a store. Cheap to clone.
#[derive(Clone)]
pub struct Shop {
    write: Arc<WriteSide>,
    _background: Arc<Background>,
}

struct Background {
    /// Where the loop runs, as in the program: its callers must not stand before it.
    own: Option<Runtime>,
    /// Says whether this process answers events.
    _duty: watch::Sender<bool>,
}

impl Drop for Background {
    fn drop(&mut self) {
        // It is dropped within another runtime, where nobody may wait for it.
        if let Some(runtime) = self.own.take() {
            runtime.shutdown_background();
        }
    }
}

/// A show on sale, and its seats.
#[derive(Clone)]
pub struct Show {
    /// Which.
    pub id: ShowId,
    /// In the order in which they are sold.
    pub seats: Arc<[SeatId]>,
}

/// What the loop has made durable so far.
#[derive(Debug, Clone, Copy)]
pub struct Batches {
    /// Events.
    pub events: f64,
    /// In so many batches.
    pub batches: f64,
    /// Microseconds that those took, from the loop and back.
    pub micros: f64,
    /// Batches whose streams another process had written.
    pub conflicts: f64,
    /// Turns at streams that other processes write, too.
    pub turns: f64,
}

impl Batches {
    fn of(counters: &Counters) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        Self {
            events: read(&counters.events),
            batches: read(&counters.batches),
            micros: read(&counters.commit_micros),
            conflicts: read(&counters.conflicts),
            turns: read(&counters.turns),
        }
    }

    /// What came after `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            events: self.events - before.events,
            batches: self.batches - before.batches,
            micros: self.micros - before.micros,
            conflicts: self.conflicts - before.conflicts,
            turns: self.turns - before.turns,
        }
    }
}

fn asker(key: &str) -> Result<Asker> {
    Ok(Asker {
        organizer: Some(OrganizerId::derived("bench", "organizer")),
        actor: ActorRef::new("key:bench")?,
        key: Some((CommandKey::new(key)?, Fingerprint::of(key.as_bytes()))),
        cause: None,
        correlation: None,
    })
}

/// A key that nobody used before, in any process.
fn fresh(what: &str) -> String {
    format!("{what}-{}-{}", std::process::id(), TURN.fetch_add(1, Ordering::Relaxed))
}

impl Shop {
    /// Opens for business over a store, with processes if it `answers` events.
    pub fn start<S: EventStore + SideStore>(store: Arc<S>, answers: bool) -> Result<Self> {
        let own = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("a runtime")?;
        let ports = Ports {
            store: store.clone(),
            side: store,
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds::new()?),
        };
        let duty = watch::Sender::new(answers);
        let options = WriteOptions {
            runtime: Some(own.handle().clone()),
            on_duty: Some(duty.subscribe()),
            ..WriteOptions::default()
        };
        let secret = EngineSecret(Arc::new([7; 32]));
        let gateway = Arc::new(SimulatedGateway::new());
        let write = Arc::new(WriteSide::start(ports, gateway, secret, options));
        let background = Arc::new(Background { own: Some(own), _duty: duty });
        Ok(Self { write, _background: background })
    }

    /// The desk.
    pub fn desk(&self) -> &Desk {
        self.write.desk()
    }

    /// The loop.
    pub fn engine(&self) -> &Engine {
        self.write.engine()
    }

    /// What was made durable so far.
    pub fn batches(&self) -> Batches {
        Batches::of(self.engine().counters())
    }

    /// Closes.
    pub async fn stop(&self) {
        self.write.stop().await;
    }

    /// Asks with this key: again, if somebody was first.
    async fn ask(
        &self,
        key: &str,
        stream: impl Into<StreamId>,
        command: impl Into<Command>,
    ) -> Result<()> {
        let (stream, command) = (stream.into(), command.into());
        loop {
            match self.desk().ask(asker(key)?, stream, command.clone()).await {
                Ok(_) => return Ok(()),
                // Other processes were always first: a caller asks again, with the same key.
                Err(CommandError::Contended { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Puts a new show with at least so many seats on sale, in a hall of its own.
    pub async fn open_show(&self, seats: usize) -> Result<Show> {
        self.open_show_named(&fresh("show"), seats).await
    }

    /// The same by a name, unless somebody did so already.
    pub async fn open_show_named(&self, name: &str, seats: usize) -> Result<Show> {
        let id = ShowId::derived("bench", name);
        let organizer = OrganizerId::derived("bench", "organizer");
        let register = organizer::Command::RegisterOrganizer { name: "Bench".parse()? };
        self.ask("organizer", organizer, register).await?;
        let seat_map = stadium(seats, 0)?;
        let rows = seat_map.sections.iter().flat_map(|section| &section.rows);
        let seats: Arc<[SeatId]> =
            rows.flat_map(|row| &row.seats).map(|seat| seat.id.clone()).collect();
        let hall = VenueId::derived("bench", name);
        let register =
            venue::Command::RegisterVenue { name: "Hall".parse()?, seat_map: Box::new(seat_map) };
        self.ask(&format!("hall-{name}"), hall, register).await?;
        let now = Timestamp::from_micros(0);
        let scheduled = Box::new(ShowScheduled {
            name: Label::new("Show")?,
            venue: hall,
            starts_at: Timestamp::MAX,
            ends_at: Timestamp::MAX,
            stops: Vec::new(),
            currency: Currency::JPY,
            entry: EntryRule { valid_from: now, valid_until: Timestamp::MAX, reentry: false },
            issuance: Issuance::Immediate,
        });
        let schedule = show::Command::ScheduleShow(scheduled);
        self.ask(&format!("schedule-{name}"), StreamId::show(id), schedule).await?;
        let offered = Box::new(TicketType {
            ticket_type: "adult".parse()?,
            name: "Adult".parse()?,
            price_minor: PRICE_MINOR,
            fares: Vec::new(),
            categories: Vec::new(),
            pools: Vec::new(),
        });
        let offer = show::Command::OfferTicketType(offered);
        self.ask(&format!("offer-{name}"), StreamId::show(id), offer).await?;
        let rules = SalesRules {
            sales_from: now,
            sales_until: Timestamp::MAX,
            hold_ttl_seconds: 600,
            hold_extension_seconds: 600,
            max_places_per_hold: 10,
            max_places_per_buyer: None,
        };
        let opened = self.desk().open_sales(asker(&format!("open-{name}"))?, id, rules).await;
        opened.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        Ok(Show { id, seats })
    }

    /// Holds a seat.
    pub async fn hold(&self, show: &Show, seat: usize) -> Result<HoldId> {
        let key = fresh("hold");
        let hold = HoldId::derived("bench", &key);
        let command = inventory::Command::HoldSeats(HoldSeats {
            hold,
            buyer: BuyerRef::new("buyer")?,
            seats: SeatChoice::Named(vec![show.seats[seat].clone()]),
            pools: Vec::new(),
            legs: None,
            allotment: None,
            ttl_seconds: None,
        });
        self.ask(&key, StreamId::inventory(show.id), command).await?;
        Ok(hold)
    }

    /// Holds a seat, orders and pays it, and waits until its ticket is issued.
    pub async fn order(&self, show: &Show, seat: usize) -> Result<()> {
        let hold = self.hold(show, seat).await?;
        let order = OrderId::derived("bench", &hold.to_string());
        let line = Line {
            show: show.id,
            hold,
            ticket_type: Some(TicketTypeId::new("adult")?),
            tickets: Vec::new(),
        };
        let wanted = PlaceOrder { buyer: BuyerRef::new("buyer")?, lines: vec![line] };
        let placed = self.desk().place_order(asker(&fresh("order"))?, order, wanted).await;
        placed.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let payment = Payment {
            payment: PaymentId::new(&fresh("pay"))?,
            method: PaymentMethod::new("card")?,
            amount_minor: PRICE_MINOR,
        };
        let asker = asker(&fresh("paid"))?;
        let paid = self.desk().pay(asker, order, vec![payment], Currency::JPY, false).await?;
        anyhow::ensure!(paid.1 == Settled::Done, "the tickets are not there in time");
        Ok(())
    }
}

/// Callers that take seat after seat, each the next free one, for so long; how many a second.
pub async fn sell<F, A>(callers: usize, seats: usize, round: Duration, take: F) -> Result<f64>
where
    F: Fn(usize) -> A + Clone + Send + 'static,
    A: Future<Output = Result<()>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (take, next) = (take.clone(), next.clone());
            tokio::spawn(async move {
                let mut sold = 0;
                while began.elapsed() < round {
                    let seat = next.fetch_add(1, Ordering::Relaxed);
                    if seat >= seats {
                        break;
                    }
                    take(seat).await?;
                    sold += 1;
                }
                anyhow::Ok(sold)
            })
        })
        .collect();
    let mut sold = 0;
    for task in tasks {
        sold += task.await??;
    }
    Ok(f64::from(sold) / began.elapsed().as_secs_f64())
}

//! What people do: they hold, pay or forget, get their tickets, cancel, and come in.

use std::collections::{HashMap, HashSet, VecDeque};

use anyhow::{Result, bail};
use hakken_commands::store::Append;
use hakken_domain::{
    Event, Rejection, State,
    envelope::StreamId,
    inventory::{
        self, BestAvailable, HoldSeats, Place, Places, PoolPlaces, SalesRules, SeatChoice,
    },
    money::Currency,
    names::{
        BuyerRef, CancellationId, EventId, GateName, HoldId, Label, MoneyRef, OrderId, PaymentId,
        PaymentMethod, PoolId, Reason, SeatId, ShowId, TicketId, TicketTypeId, VenueId,
    },
    order::{self, Item, RefundPolicy},
    organizer, show,
    ticket::{self, Channel, Direction, EntryRule, TicketCreated},
    time::Timestamp,
    venue,
};

use super::world::{Asker, World};
use crate::halls::stadium;

/// Seats of the shows, one after another.
const SIZES: [usize; 8] = [1_000, 4_000, 400, 12_000, 2_000, 40_000, 800, 8_000];
/// Shows on sale at once.
const ON_SALE: usize = 4;
/// Visits of buyers in a round.
const VISITS: usize = 120;
/// Tickets of one show that are scanned in a round, once its doors are open.
const SCANS: usize = 250;
const ROUND_SECONDS: u64 = 2;
const HOLD_SECONDS: u32 = 120;
/// Places of a hold, as often as they stand here.
const PARTIES: [u32; 10] = [1, 1, 2, 2, 2, 2, 2, 3, 4, 6];

/// What comes in a later round.
enum Task {
    Pay { order: OrderId },
    Confirm { order: OrderId, cause: EventId },
    MakeTickets { order: OrderId, cause: EventId },
    Cancel { order: OrderId },
    VoidTickets { order: OrderId, asked: order::CancellationRequested, cause: EventId },
    SettleRefunds { order: OrderId, refunds: Vec<order::RefundRequested>, cause: EventId },
    Release { show: ShowId, hold: HoldId },
}

/// A show on sale.
struct Stage {
    show: ShowId,
    seats: Vec<SeatId>,
    has_pool: bool,
    sold: usize,
    misses: usize,
    orders: Vec<OrderId>,
    tickets: Vec<TicketId>,
    /// Once the doors are open: the next ticket that comes in.
    doors: Option<usize>,
}

/// All that happens.
pub(super) struct Town {
    world: World,
    stages: Vec<Stage>,
    shows: usize,
    venues: HashMap<usize, VenueId>,
    /// What is to be done in the next rounds.
    agenda: VecDeque<Vec<Task>>,
}

impl Town {
    pub(super) fn new(seed: u64) -> Self {
        let start = Timestamp::from_micros(1_790_000_000_000_000);
        let world = World::new(seed, start);
        let (venues, agenda) = (HashMap::new(), VecDeque::new());
        Self { world, stages: Vec::new(), shows: 0, venues, agenda }
    }

    /// The next round: a batch, and its time.
    pub(super) fn round(&mut self) -> Result<(Vec<Append>, Timestamp)> {
        self.world.now = self.world.now.plus_seconds(ROUND_SECONDS);
        if self.shows == 0 {
            self.register()?;
        }
        while self.stages.len() < ON_SALE {
            self.open_show()?;
        }
        for task in self.agenda.pop_front().unwrap_or_default() {
            self.perform(task)?;
        }
        for _ in 0..VISITS {
            let at = self.world.draw.below(self.stages.len());
            if self.stages[at].doors.is_none() {
                self.visit(at)?;
            }
        }
        for at in 0..self.stages.len() {
            self.open_doors(at)?;
        }
        self.close_shows();
        Ok((self.world.take_batch(), self.world.now))
    }

    fn later(&mut self, rounds: usize, task: Task) {
        while self.agenda.len() < rounds {
            self.agenda.push_back(Vec::new());
        }
        self.agenda[rounds - 1].push(task);
    }

    /// A command that the rules allow whenever it is asked here.
    fn must(
        &mut self,
        stream: impl Into<StreamId>,
        command: impl Into<hakken_domain::Command>,
        asker: Asker,
    ) -> Result<(EventId, Vec<Event>)> {
        match self.world.ask(stream.into(), command, asker)? {
            Ok(done) => Ok(done),
            Err(rejection) => bail!("refused: {rejection:?}"),
        }
    }

    fn register(&mut self) -> Result<()> {
        let organizer = self.world.organizer;
        let register = organizer::Command::RegisterOrganizer { name: Label::new("Bench")? };
        self.must(organizer, register, Asker::Caller)?;
        self.must(organizer, organizer::Command::RotateCodeKey, Asker::Caller)?;
        Ok(())
    }

    fn open_show(&mut self) -> Result<()> {
        let size = SIZES[self.shows % SIZES.len()];
        let has_pool = self.shows.is_multiple_of(3);
        self.shows += 1;
        let seat_map = Box::new(stadium(size, if has_pool { 500 } else { 0 })?);
        let venue = match self.venues.get(&size) {
            Some(venue) => *venue,
            None => {
                let venue = VenueId(self.world.draw.ulid());
                let name = Label::new(&format!("Stadium of {size}"))?;
                let seat_map = seat_map.clone();
                let register = venue::Command::RegisterVenue { name, seat_map };
                self.must(venue, register, Asker::Caller)?;
                self.venues.insert(size, venue);
                venue
            }
        };
        let show = ShowId(self.world.draw.ulid());
        let now = self.world.now;
        let scheduled = show::ShowScheduled {
            name: Label::new(&format!("Show {}", self.shows))?,
            venue,
            starts_at: now.plus_seconds(30 * 86_400),
            ends_at: now.plus_seconds(31 * 86_400),
            stops: Vec::new(),
            currency: Currency::JPY,
            entry: EntryRule { valid_from: now, valid_until: Timestamp::MAX, reentry: false },
            issuance: show::Issuance::Immediate,
        };
        let command = show::Command::ScheduleShow(Box::new(scheduled));
        self.must(StreamId::show(show), command, Asker::Caller)?;
        let offered = show::TicketType {
            ticket_type: TicketTypeId::new("general")?,
            name: Label::new("General")?,
            price_minor: 6_500,
            fares: Vec::new(),
            categories: Vec::new(),
            pools: Vec::new(),
        };
        let command = show::Command::OfferTicketType(Box::new(offered));
        self.must(StreamId::show(show), command, Asker::Caller)?;
        let rules = SalesRules {
            sales_from: now,
            sales_until: Timestamp::MAX,
            hold_ttl_seconds: HOLD_SECONDS,
            hold_extension_seconds: HOLD_SECONDS,
            max_places_per_hold: 10,
            max_places_per_buyer: None,
        };
        let seats = seat_map.seats().map(|seat| seat.id.clone()).collect();
        let command = inventory::Command::OpenSales { venue, seat_map, legs: 1, rules };
        self.must(StreamId::inventory(show), command, Asker::Caller)?;
        self.stages.push(Stage {
            show,
            seats,
            has_pool,
            sold: 0,
            misses: 0,
            orders: Vec::new(),
            tickets: Vec::new(),
            doors: None,
        });
        Ok(())
    }

    /// A buyer holds, and then orders, forgets, or gives back.
    fn visit(&mut self, at: usize) -> Result<()> {
        let draw = &mut self.world.draw;
        let count = PARTIES[draw.below(PARTIES.len())];
        let hold = HoldId(draw.ulid());
        let buyer = BuyerRef::new(&format!("cus_{:012x}", draw.next() >> 16))?;
        let stage = &self.stages[at];
        let (mut seats, mut pools) = (SeatChoice::Named(Vec::new()), Vec::new());
        if stage.has_pool && draw.percent(8) {
            pools.push(PoolPlaces { pool: PoolId::new("standing")?, count });
        } else if draw.percent(30) || stage.misses > 0 {
            let (may_split, seed) = (stage.misses > 2, draw.next());
            seats = SeatChoice::BestAvailable(BestAvailable {
                count,
                may_split,
                seed,
                ..BestAvailable::default()
            });
        } else {
            let first = draw.below(stage.seats.len() - count as usize);
            seats = SeatChoice::Named(stage.seats[first..first + count as usize].to_vec());
        }
        let show = stage.show;
        let ask = HoldSeats {
            hold,
            buyer: buyer.clone(),
            seats,
            pools,
            legs: None,
            allotment: None,
            ttl_seconds: None,
        };
        let ask = inventory::Command::HoldSeats(ask);
        let held = match self.world.ask(StreamId::inventory(show), ask, Asker::Caller)? {
            Ok((_, mut events)) => events.pop(),
            Err(rejection) => {
                let stage = &mut self.stages[at];
                stage.misses += 1;
                let is_full =
                    rejection == Rejection::Inventory(inventory::Rejection::NotEnoughSeats);
                if is_full || stage.sold * 100 > stage.seats.len() * 97 {
                    stage.doors = Some(0);
                }
                return Ok(());
            }
        };
        let Some(Event::Inventory(inventory::Event::SeatsHeld(held))) = held else {
            bail!("a hold is an event")
        };
        self.stages[at].misses = self.stages[at].misses.saturating_sub(1);
        match self.world.draw.below(100) {
            0..22 => Ok(()),
            22..26 => {
                self.later(5, Task::Release { show, hold });
                Ok(())
            }
            _ => self.order(at, hold, buyer, &held.places),
        }
    }

    fn order(&mut self, at: usize, hold: HoldId, buyer: BuyerRef, places: &Places) -> Result<()> {
        let stage = &mut self.stages[at];
        let seats = places.seats.iter().map(|seat| (Some(seat.clone()), None));
        let pools = places
            .pools
            .iter()
            .flat_map(|places| (0..places.count).map(|_| (None, Some(places.pool.clone()))));
        let ticket_type = TicketTypeId::new("general")?;
        let items: Vec<Item> = (1..)
            .zip(seats.chain(pools))
            .map(|(item, (seat, pool))| Item {
                item,
                show: stage.show,
                hold,
                seat,
                pool,
                legs: places.legs,
                ticket_type: ticket_type.clone(),
                price_minor: 6_500,
            })
            .collect();
        stage.sold += items.len();
        let order = OrderId(self.world.draw.ulid());
        stage.orders.push(order);
        let place = order::Command::PlaceOrder { buyer, currency: Currency::JPY, items };
        self.must(order, place, Asker::Caller)?;
        let rounds = 2 + self.world.draw.below(20);
        self.later(rounds, Task::Pay { order });
        Ok(())
    }

    fn perform(&mut self, task: Task) -> Result<()> {
        match task {
            Task::Pay { order } => self.pay(order),
            Task::Confirm { order, cause } => self.confirm(order, cause),
            Task::MakeTickets { order, cause } => self.make_tickets(order, cause),
            Task::Cancel { order } => self.cancel(order),
            Task::VoidTickets { order, asked, cause } => self.void(order, &asked, cause),
            Task::SettleRefunds { order, refunds, cause } => {
                for refund in refunds {
                    let reference = MoneyRef::new(&format!("re_{}", refund.refund))?;
                    let settle = order::Command::SettleRefund { refund: refund.refund, reference };
                    let settles = Asker::Process("refunds", cause, "outcome".into());
                    self.must(order, settle, settles)?;
                }
                Ok(())
            }
            Task::Release { show, hold } => {
                let release = inventory::Command::ReleaseHold { hold };
                self.must(StreamId::inventory(show), release, Asker::Caller).map(drop)
            }
        }
    }

    fn order_state(&self, order: OrderId) -> Result<&order::State> {
        match self.world.state(order.into()) {
            Some(State::Order(state)) => Ok(state),
            _ => bail!("order {order} is not there"),
        }
    }

    fn pay(&mut self, order: OrderId) -> Result<()> {
        let amount_minor = self.order_state(order)?.due_minor();
        let payment = PaymentId::new(&format!("pi_{:016x}", self.world.draw.next()))?;
        let method = PaymentMethod::new("card")?;
        let pay = order::Command::CapturePayments {
            payments: vec![order::Payment { payment, method, amount_minor }],
            currency: Currency::JPY,
            partial: false,
        };
        let (cause, _) = self.must(order, pay, Asker::Caller)?;
        self.later(1, Task::Confirm { order, cause });
        Ok(())
    }

    fn confirm(&mut self, order: OrderId, cause: EventId) -> Result<()> {
        let state = self.order_state(order)?;
        let items: Vec<Item> = state.items().iter().map(|item| item.item.clone()).collect();
        let buyer = state.buyer().expect("an order has a buyer").clone();
        let (show, hold) = (items[0].show, items[0].hold);
        let count = items.iter().filter(|item| item.pool.is_some()).count() as u32;
        let pool = items.iter().find_map(|item| item.pool.clone());
        let places = Places {
            seats: items.iter().filter_map(|item| item.seat.clone()).collect(),
            pools: pool.into_iter().map(|pool| PoolPlaces { pool, count }).collect(),
            legs: items[0].legs,
        };
        let sell = inventory::Command::ConfirmHold { hold, order, buyer, places };
        let checkout = |step: String| Asker::Process("checkout", cause, step);
        self.must(StreamId::inventory(show), sell, checkout(format!("confirm:{hold}")))?;
        self.must(order, order::Command::ConfirmOrder, checkout("confirmed".into()))?;
        self.later(1, Task::MakeTickets { order, cause });
        Ok(())
    }

    fn make_tickets(&mut self, order: OrderId, cause: EventId) -> Result<()> {
        let state = self.order_state(order)?;
        let items: Vec<Item> = state.items().iter().map(|item| item.item.clone()).collect();
        let buyer = state.buyer().expect("an order has a buyer").clone();
        let show = items[0].show;
        let checkout = |step: String| Asker::Process("checkout", cause, step);
        for item in items {
            let (id, number) = (ticket_of(order, item.item), item.item);
            let created = TicketCreated {
                order,
                item: number,
                show,
                seat: item.seat,
                pool: item.pool,
                legs: item.legs,
                ticket_type: item.ticket_type,
                buyer: buyer.clone(),
                entry: EntryRule {
                    valid_from: Timestamp::from_micros(0),
                    valid_until: Timestamp::MAX,
                    reentry: false,
                },
                issue_until: None,
            };
            let create = ticket::Command::CreateTicket(Box::new(created));
            self.must(id, create, checkout(format!("create:{number}")))?;
            let issue = ticket::Command::IssueTicket { code_key: 1, channel: Channel::Online };
            self.must(id, issue, checkout(format!("issue:{number}")))?;
            if self.world.draw.percent(2) {
                let reissue = ticket::Command::ReissueTicket {
                    code_key: 1,
                    channel: Channel::BoxOffice,
                    reason: Reason::new("lost")?,
                };
                self.must(id, reissue, Asker::Caller)?;
            }
            if let Some(stage) = self.stages.iter_mut().find(|stage| stage.show == show) {
                stage.tickets.push(id);
            }
        }
        if self.world.draw.percent(4) {
            let rounds = 3 + self.world.draw.below(40);
            self.later(rounds, Task::Cancel { order });
        }
        Ok(())
    }

    fn cancel(&mut self, order: OrderId) -> Result<()> {
        // The show may be over.
        if self.order_state(order).is_err() {
            return Ok(());
        }
        let cancel = order::Command::Cancel {
            cancellation: CancellationId(self.world.draw.ulid()),
            items: Vec::new(),
            refund: RefundPolicy::KeepFeeMinor(500),
            even_if_used: false,
            reason: Reason::new("the buyer cannot come")?,
        };
        let (cause, events) = self.must(order, cancel, Asker::Caller)?;
        if let Some(Event::Order(order::Event::CancellationRequested(asked))) =
            events.into_iter().next_back()
        {
            self.later(1, Task::VoidTickets { order, asked, cause });
        }
        Ok(())
    }

    fn void(
        &mut self,
        order: OrderId,
        asked: &order::CancellationRequested,
        cause: EventId,
    ) -> Result<()> {
        let Ok(state) = self.order_state(order) else { return Ok(()) };
        let items: Vec<Item> = state.items().iter().map(|item| item.item.clone()).collect();
        let checkout = |step: String| Asker::Process("checkout", cause, step);
        let (mut cancelled, mut refused, mut returned) = (Vec::new(), Vec::new(), Vec::new());
        for item in items.iter().filter(|item| asked.items.contains(&item.item)) {
            let reason = asked.reason.clone();
            let void = ticket::Command::VoidTicket { reason, even_if_used: false };
            let id = ticket_of(order, item.item);
            let step = checkout(format!("void:{}", item.item));
            if self.world.ask(id.into(), void, step)?.is_ok() {
                cancelled.push(item.item);
                let place = match (&item.seat, &item.pool) {
                    (Some(seat), _) => Place::Seat(seat.clone()),
                    (None, Some(pool)) => Place::Pool(pool.clone()),
                    (None, None) => bail!("an item is a seat or a place of a pool"),
                };
                returned.push((item.item, place));
            } else {
                refused.push(item.item);
            }
        }
        let (show, hold) = (items[0].show, items[0].hold);
        if !returned.is_empty() {
            let give_back = inventory::Command::ReturnPlaces { hold, order, items: returned };
            self.must(StreamId::inventory(show), give_back, checkout(format!("return:{hold}")))?;
        }
        let complete = order::Command::CompleteCancellation {
            cancellation: asked.cancellation,
            cancelled,
            refused,
        };
        let (cause, events) = self.must(order, complete, checkout("complete".into()))?;
        let refunds: Vec<_> = events
            .into_iter()
            .filter_map(|event| match event {
                Event::Order(order::Event::RefundRequested(refund)) => Some(refund),
                _ => None,
            })
            .collect();
        self.later(1, Task::SettleRefunds { order, refunds, cause });
        Ok(())
    }

    /// Some of those who have tickets come in, a few of them twice.
    fn open_doors(&mut self, at: usize) -> Result<()> {
        let stage = &self.stages[at];
        let Some(first) = stage.doors else { return Ok(()) };
        let end = (first + SCANS).min(stage.tickets.len());
        let (show, tickets) = (stage.show, stage.tickets[first..end].to_vec());
        for id in tickets {
            let Some(State::Ticket(state)) = self.world.state(id.into()) else {
                bail!("ticket {id} is not there")
            };
            let generation = state.generation();
            let times = match self.world.draw.below(100) {
                0..5 => 0,
                5..8 => 2,
                _ => 1,
            };
            for _ in 0..times {
                let scan = ticket::Command::Scan {
                    show,
                    gate: GateName::new(&format!("Gate {}", 1 + self.world.draw.below(8)))?,
                    direction: Direction::Entry,
                    generation,
                    key_disabled: false,
                };
                self.must(id, scan, Asker::Caller)?;
            }
        }
        self.stages[at].doors = Some(end);
        Ok(())
    }

    /// A show whose last ticket came in, and about which nothing is to be done, is over.
    fn close_shows(&mut self) {
        let busy: HashSet<ShowId> = self
            .agenda
            .iter()
            .flatten()
            .filter_map(|task| match task {
                Task::Release { show, .. } => Some(*show),
                _ => self.order_state(task.order()?).ok()?.items().first().map(|i| i.item.show),
            })
            .collect();
        let world = &mut self.world;
        self.stages.retain(|stage| {
            let is_over = stage.doors.is_some_and(|at| at >= stage.tickets.len())
                && !busy.contains(&stage.show);
            if is_over {
                world.forget(StreamId::inventory(stage.show));
                stage.orders.iter().for_each(|order| world.forget((*order).into()));
                stage.tickets.iter().for_each(|ticket| world.forget((*ticket).into()));
            }
            !is_over
        });
    }
}

impl Task {
    fn order(&self) -> Option<OrderId> {
        match self {
            Self::Pay { order }
            | Self::Confirm { order, .. }
            | Self::MakeTickets { order, .. }
            | Self::Cancel { order }
            | Self::VoidTickets { order, .. }
            | Self::SettleRefunds { order, .. } => Some(*order),
            Self::Release { .. } => None,
        }
    }
}

/// As checkout names them.
fn ticket_of(order: OrderId, item: u16) -> TicketId {
    TicketId::derived(&order.to_string(), &item.to_string())
}

//! What the read models say, against what the streams themselves say.

use std::{sync::Arc, time::Duration};

use hakken_commands::engine::{Engine, Tenant};
use hakken_domain::{
    Command, Context, State,
    envelope::StreamId,
    inventory::{self, HoldSeats, Places, PoolPlaces, SeatChoice},
    names::{ActorRef, BuyerRef, HoldId, OrderId, PoolId, SeatId, ShowId, TicketId},
    time::Timestamp,
};
use hakken_projections::{
    ALL, ReadModels,
    models::seat_availability::{Availability, SeatStatus},
};

use crate::scenario::refusal;

/// Waits (bounded) until every read model shows everything, and compares each with a fresh fold.
pub async fn verified(read: &ReadModels) -> Result<(), String> {
    for projection in ALL {
        let report = read.verify(projection.name).await;
        let report = report.map_err(|error| format!("{}: {error}", projection.name))?;
        if !report.equal() {
            let difference = report.comparison.first_difference.unwrap_or_default();
            return Err(format!("{} is not what the events say: {difference}", projection.name));
        }
    }
    Ok(())
}

/// Waits (bounded) until every read model shows everything up to there.
pub async fn caught_up(
    read: &ReadModels,
    head: hakken_domain::envelope::Position,
) -> Result<(), String> {
    let there = read.wait_for_all(head, Duration::from_secs(120)).await;
    match there {
        Ok(()) => Ok(()),
        Err(error) => {
            let status = read.status().await.map_err(|error| error.to_string())?;
            let states: Vec<_> =
                status.iter().map(|s| format!("{}: {:?}", s.name, s.state)).collect();
            Err(format!("{error}; {}", states.join("; ")))
        }
    }
}

/// What a hold of just these places would be told; nothing if it would be granted.
async fn asked(engine: &Engine, show: ShowId, places: Places) -> Result<Option<String>, String> {
    let now = engine.clock().now();
    let context = Context { now, actor: ActorRef::new("test").expect("a good name") };
    let command = Command::Inventory(inventory::Command::HoldSeats(HoldSeats {
        hold: HoldId::derived("compare", "probe"),
        buyer: BuyerRef::new("probe").expect("a good name"),
        seats: SeatChoice::Named(places.seats),
        pools: places.pools,
        legs: None,
        allotment: None,
        ttl_seconds: None,
    }));
    let read = engine.read(Tenant::Any, StreamId::inventory(show), move |state, _| {
        let mut state: State = state.clone();
        for event in state.due(now) {
            state.evolve(&event);
        }
        state.decide(&command, &context).err().map(|rejection| refusal(&rejection))
    });
    read.await.map_err(|error| error.to_string())
}

fn seat(seat: &SeatId) -> Places {
    Places { seats: vec![seat.clone()], ..Places::default() }
}

fn pool(pool: &PoolId, count: u32) -> Places {
    let pools = vec![PoolPlaces { pool: pool.clone(), count }];
    Places { pools, ..Places::default() }
}

/// Every seat and every pool of a show: what the read model says is free can be held, and nothing
/// else can.
pub async fn availability(engine: &Engine, read: &ReadModels, show: ShowId) -> Result<(), String> {
    let now: Timestamp = engine.clock().now();
    let answer = read.availability(None, show, None, now).await.map_err(|e| e.to_string())?;
    let answer: Arc<Availability> = answer.ok_or("a show on sale has no availability")?;
    if !may_sell(&answer, now) {
        return Ok(());
    }
    for (id, status) in answer.map.seat_ids.iter().zip(&answer.seats) {
        let told = asked(engine, show, seat(id)).await?;
        let told = told.as_deref();
        let same = match status {
            SeatStatus::Free => told.is_none(),
            SeatStatus::Held | SeatStatus::Sold => {
                // A seat of an allotment is refused as such before anybody looks who has it.
                told == Some("seat_taken") || told == Some("seat_allotted")
            }
            SeatStatus::Blocked => told == Some("seat_blocked"),
            SeatStatus::Allotted => told == Some("seat_allotted"),
        };
        if !same {
            return Err(format!("seat {id} is {status:?}, but who asks is told {told:?}"));
        }
    }
    for of_pool in &answer.pools {
        let free = of_pool.free;
        let told = asked(engine, show, pool(&of_pool.pool, free)).await?;
        if free > 0 && told.is_some() {
            return Err(format!("{} of pool {} are free, but: {told:?}", free, of_pool.pool));
        }
        let told = asked(engine, show, pool(&of_pool.pool, free + 1)).await?;
        if told.as_deref() != Some("pool_exhausted") {
            return Err(format!(
                "{} of pool {} are free, but one more: {told:?}",
                free, of_pool.pool
            ));
        }
    }
    Ok(())
}

fn may_sell(answer: &Availability, now: Timestamp) -> bool {
    let rules = &answer.sales.rules;
    let most = answer.pools.iter().map(|pool| pool.free + 1).max().unwrap_or(1);
    answer.sales.closed.is_none()
        && rules.sales_from <= now
        && now < rules.sales_until
        && most <= rules.max_places_per_hold.min(rules.max_places_per_buyer.unwrap_or(u32::MAX))
}

/// An order: where it stands, its money, its items.
pub async fn order(engine: &Engine, read: &ReadModels, order: OrderId) -> Result<(), String> {
    let own = engine.read(Tenant::Any, order, |state, _| {
        let State::Order(order) = state else { unreachable!("an order's stream") };
        let items: Vec<bool> = order.items().iter().map(|item| item.cancelled).collect();
        let status = format!("{:?}", order.status()).to_lowercase();
        let money = (order.paid_minor(), order.due_minor(), order.refunded_minor());
        (status, money, items)
    });
    let own = own.await.map_err(|error| error.to_string())?;
    let view = read.order(None, order).await.map_err(|error| error.to_string())?;
    let view = view.ok_or_else(|| format!("order {order} has no row"))?;
    let money = (view.paid_minor(), view.due_minor(), view.refund_requested_minor);
    let items = view.items.iter().map(|item| item.cancelled).collect();
    let seen = (view.status.as_str().to_owned(), money, items);
    if own == seen { Ok(()) } else { Err(format!("order {order} is {own:?}, but reads {seen:?}")) }
}

/// A ticket: where it stands, and its live code.
pub async fn ticket(engine: &Engine, read: &ReadModels, ticket: TicketId) -> Result<(), String> {
    let own = engine.read(Tenant::Any, ticket, |state, _| {
        let State::Ticket(ticket) = state else { unreachable!("a ticket's stream") };
        let status = format!("{:?}", ticket.status()).to_lowercase();
        let (inside, entries) = (ticket.is_inside(), ticket.entries());
        (status, ticket.generation(), ticket.is_suspended(), inside, entries)
    });
    let own = own.await.map_err(|error| error.to_string())?;
    let view = read.ticket(None, ticket).await.map_err(|error| error.to_string())?;
    let view = view.ok_or_else(|| format!("ticket {ticket} has no row"))?;
    let status = view.status.as_str().to_owned();
    let seen = (status, view.generation, view.suspended, view.inside, view.entries);
    if own == seen {
        Ok(())
    } else {
        Err(format!("ticket {ticket} is {own:?}, but reads {seen:?}"))
    }
}

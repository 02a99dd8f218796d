//! Checkout: a paid order gets its places and tickets, or its money back; a cancelled one gives
//! its places back and gets its money.
//!
//! | event | answer |
//! |---|---|
//! | `order-paid` | confirm every hold (re-seating where it was over); confirm the order; make and issue its tickets. If a place is gone: fail the order, which refunds |
//! | `order-unfulfilled` | give back what had been confirmed already |
//! | `order-cancelled` | release the holds |
//! | `cancellation-requested` | void the tickets, give their places back, then let the money go |
//! | `payment-reversed` | suspend the tickets |
//! | `show-cancelled`, `sales-opened` | close the sales of a show that is called off |

use futures_util::future::{BoxFuture, try_join_all};
use hakken_domain::{
    Event, Rejection, State,
    envelope::{StoredEvent, StreamId},
    guard::Guard,
    inventory::{self, Place, Places, PoolPlaces},
    legs::Legs,
    names::{BuyerRef, CancellationId, HoldId, OrderId, Reason, ShowId, TicketId},
    order::{self, CancellationRequested, Item, OrderStatus},
    show::{self, Issuance},
    ticket::{self, Channel, EntryRule, TicketCreated},
    time::Timestamp,
};

use super::{
    Process, Retry,
    ledger::{CheckoutLedger, Ledger},
    steps::Steps,
};
use crate::engine::Engine;

/// The ticket of an item.
pub fn ticket_of(order: OrderId, item: u16) -> TicketId {
    TicketId::derived(&order.to_string(), &item.to_string())
}

/// The process.
pub struct Checkout {
    engine: Engine,
}

/// What a reaction needs to know of an order.
struct OrderView {
    id: OrderId,
    status: OrderStatus,
    buyer: BuyerRef,
    /// Those that are not cancelled.
    items: Vec<Item>,
    /// All.
    all_items: Vec<Item>,
    pending: Option<CancellationId>,
    /// What is still to be paid, a chargeback's money above all.
    due_minor: u64,
}

/// The items of an order under one hold.
struct HoldItems<'a> {
    show: ShowId,
    hold: HoldId,
    legs: Legs,
    items: Vec<&'a Item>,
}

impl HoldItems<'_> {
    fn places(&self) -> Places {
        let mut places = Places { legs: self.legs, ..Places::default() };
        for item in &self.items {
            if let Some(seat) = &item.seat {
                places.seats.push(seat.clone());
            } else if let Some(pool) = &item.pool {
                match places.pools.iter_mut().find(|p| p.pool == *pool) {
                    Some(found) => found.count += 1,
                    None => places.pools.push(PoolPlaces { pool: pool.clone(), count: 1 }),
                }
            }
        }
        places
    }

    fn numbered(&self) -> Vec<(u16, Place)> {
        self.items.iter().filter_map(|item| Some((item.item, place_of(item)?))).collect()
    }
}

fn place_of(item: &Item) -> Option<Place> {
    match (&item.seat, &item.pool) {
        (Some(seat), _) => Some(Place::Seat(seat.clone())),
        (None, Some(pool)) => Some(Place::Pool(pool.clone())),
        (None, None) => None,
    }
}

/// Items by hold, in the order in which the holds first appear.
fn by_hold<'a>(items: impl IntoIterator<Item = &'a Item>) -> Vec<HoldItems<'a>> {
    let mut groups: Vec<HoldItems<'a>> = Vec::new();
    for item in items {
        match groups.iter_mut().find(|g| g.hold == item.hold && g.show == item.show) {
            Some(group) => group.items.push(item),
            None => groups.push(HoldItems {
                show: item.show,
                hold: item.hold,
                legs: item.legs,
                items: vec![item],
            }),
        }
    }
    groups
}

impl Checkout {
    /// Answers through this engine.
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }

    async fn order(&self, steps: &Steps<'_>) -> Result<OrderView, Retry> {
        let stream = steps.event.stream;
        steps
            .read(stream, move |state| {
                let State::Order(order) = state else { unreachable!("an order's stream") };
                let all_items: Vec<Item> = order.items().iter().map(|i| i.item.clone()).collect();
                let live = order.items().iter().filter(|i| !i.cancelled);
                let items = live.map(|i| i.item.clone()).collect();
                order.buyer().map(|buyer| OrderView {
                    id: OrderId(stream.id),
                    status: order.status(),
                    buyer: buyer.clone(),
                    items,
                    all_items,
                    pending: order.pending_cancellation().map(|p| p.request.cancellation),
                    due_minor: order.due_minor(),
                })
            })
            .await?
            .ok_or_else(|| Retry(format!("{stream} has no order yet")))
    }

    async fn paid(&self, steps: &Steps<'_>) -> Result<(), Retry> {
        let order = self.order(steps).await?;
        match order.status {
            OrderStatus::Paid => {
                if !self.confirm(steps, &order).await? {
                    return Ok(());
                }
            }
            OrderStatus::Confirmed => {}
            OrderStatus::Pending | OrderStatus::Unfulfilled | OrderStatus::Cancelled => {
                return Ok(());
            }
        }
        self.make_tickets(steps, &order).await
    }

    /// Sells every place to the order; false if one was gone and the order has failed.
    async fn confirm(&self, steps: &Steps<'_>, order: &OrderView) -> Result<bool, Retry> {
        let stream = StreamId::from(order.id);
        for group in by_hold(&order.items) {
            let command = inventory::Command::ConfirmHold {
                hold: group.hold,
                order: order.id,
                buyer: order.buyer.clone(),
                places: group.places(),
            };
            let step = format!("confirm:{}", group.hold);
            let confirmed = steps.send(&step, StreamId::inventory(group.show), command).await?;
            if Guard::PlaceGone.sees(confirmed.is_err()) {
                let failed = order::Command::FailOrder { hold: group.hold };
                expect_done("fail", steps.send("fail", stream, failed).await?)?;
                return Ok(false);
            }
        }
        expect_done(
            "confirmed",
            steps.send("confirmed", stream, order::Command::ConfirmOrder).await?,
        )?;
        Ok(true)
    }

    async fn make_tickets(&self, steps: &Steps<'_>, order: &OrderView) -> Result<(), Retry> {
        let mut shows: Vec<(ShowId, ShowView)> = Vec::new();
        for item in &order.items {
            if !shows.iter().any(|(show, _)| *show == item.show) {
                shows.push((item.show, self.show(steps, item.show).await?));
            }
        }
        let code_key = self.signing_key(steps).await?;
        try_join_all(order.items.iter().map(|item| {
            let show = &shows.iter().find(|(show, _)| *show == item.show).expect("read above").1;
            self.make_ticket(steps, order, item, show, code_key)
        }))
        .await?;
        Ok(())
    }

    async fn make_ticket(
        &self,
        steps: &Steps<'_>,
        order: &OrderView,
        item: &Item,
        show: &ShowView,
        code_key: u8,
    ) -> Result<(), Retry> {
        let stream = StreamId::from(ticket_of(order.id, item.item));
        let number = item.item;
        let created = ticket::Command::CreateTicket(Box::new(TicketCreated {
            order: order.id,
            item: item.item,
            show: item.show,
            seat: item.seat.clone(),
            pool: item.pool.clone(),
            legs: item.legs,
            ticket_type: item.ticket_type.clone(),
            buyer: order.buyer.clone(),
            entry: show.entry.clone(),
            issue_until: show.issue_until,
        }));
        let (create, issue) = (format!("create:{number}"), format!("issue:{number}"));
        let create = steps.create(&create, stream, created);
        if show.immediate {
            let command = ticket::Command::IssueTicket { code_key, channel: Channel::Online };
            // Both wait in the stream's queue at once and become durable together.
            let (created, issued) = tokio::join!(create, steps.create(&issue, stream, command));
            expect_done("create", created?)?;
            match issued? {
                Ok(_)
                | Err(Rejection::Ticket(
                    ticket::Rejection::AlreadyIssued | ticket::Rejection::TicketVoid,
                )) => {}
                Err(rejection) => return Err(Retry(format!("issue: {rejection:?}"))),
            }
        } else {
            expect_done("create", create.await?)?;
        }
        // Only a ticket that was suspended by a reversed payment has something to be undone, and
        // not when another payment was reversed since this event.
        let reinstate = format!("reinstate:{number}");
        if order.status == OrderStatus::Confirmed && order.due_minor == 0 {
            let _ = steps.send(&reinstate, stream, ticket::Command::ReinstateTicket).await?;
        }
        Ok(())
    }

    async fn show(&self, steps: &Steps<'_>, show: ShowId) -> Result<ShowView, Retry> {
        steps
            .read(StreamId::show(show), |state| {
                let State::Show(show) = state else { unreachable!("a show's stream") };
                show.scheduled().map(|scheduled| ShowView {
                    entry: scheduled.entry.clone(),
                    immediate: scheduled.issuance == Issuance::Immediate,
                    issue_until: match scheduled.issuance {
                        Issuance::Immediate => None,
                        Issuance::OnRequest { until } => Some(until),
                    },
                })
            })
            .await?
            .ok_or_else(|| Retry(format!("show {show} is not there")))
    }

    async fn signing_key(&self, steps: &Steps<'_>) -> Result<u8, Retry> {
        let organizer =
            steps.organizer().ok_or_else(|| Retry("an order without organizer".into()))?;
        steps
            .read(organizer.into(), |state| {
                let State::Organizer(organizer) = state else { unreachable!("its stream") };
                organizer.signing_key()
            })
            .await?
            .ok_or_else(|| Retry(format!("organizer {organizer} has no code key")))
    }

    async fn unfulfilled(&self, steps: &Steps<'_>) -> Result<(), Retry> {
        let order = self.order(steps).await?;
        for group in by_hold(&order.all_items) {
            let inventory = StreamId::inventory(group.show);
            let give_back = inventory::Command::ReturnPlaces {
                hold: group.hold,
                order: order.id,
                items: group.numbered(),
            };
            let step = format!("return:{}", group.hold);
            if steps.send(&step, inventory, give_back).await?.is_err() {
                // It was not confirmed: it is held still, or over, or another order's.
                self.release(steps, &group).await?;
            }
        }
        Ok(())
    }

    async fn cancelled(&self, steps: &Steps<'_>) -> Result<(), Retry> {
        let order = self.order(steps).await?;
        for group in by_hold(&order.all_items) {
            self.release(steps, &group).await?;
        }
        Ok(())
    }

    async fn release(&self, steps: &Steps<'_>, group: &HoldItems<'_>) -> Result<(), Retry> {
        let step = format!("release:{}", group.hold);
        let release = inventory::Command::ReleaseHold { hold: group.hold };
        // A refusal means that nothing of this order is held there.
        let _ = steps.send(&step, StreamId::inventory(group.show), release).await?;
        Ok(())
    }

    async fn cancellation(
        &self,
        steps: &Steps<'_>,
        asked: &CancellationRequested,
    ) -> Result<(), Retry> {
        let order = self.order(steps).await?;
        if order.pending != Some(asked.cancellation) {
            return Ok(());
        }
        let items: Vec<&Item> =
            order.all_items.iter().filter(|item| asked.items.contains(&item.item)).collect();
        let voided = try_join_all(items.iter().map(|item| async {
            let command = ticket::Command::VoidTicket {
                reason: asked.reason.clone(),
                even_if_used: asked.even_if_used,
            };
            if Guard::TicketLive.is_out() {
                return Ok(true);
            }
            let stream = StreamId::from(ticket_of(order.id, item.item));
            match steps.send(&format!("void:{}", item.item), stream, command).await? {
                Ok(_) => Ok(true),
                Err(Rejection::Ticket(ticket::Rejection::AlreadyUsed)) => Ok(false),
                Err(rejection) => Err(Retry(format!("void: {rejection:?}"))),
            }
        }))
        .await?;
        let of = |wanted: bool| -> Vec<&Item> {
            let both = items.iter().zip(&voided);
            both.filter(|(_, is)| **is == wanted).map(|(item, _)| *item).collect()
        };
        let (cancelled, refused) = (of(true), of(false));
        for group in by_hold(cancelled.iter().copied()) {
            let command = inventory::Command::ReturnPlaces {
                hold: group.hold,
                order: order.id,
                items: group.numbered(),
            };
            let step = format!("return:{}", group.hold);
            let returned = steps.send(&step, StreamId::inventory(group.show), command).await?;
            expect_done("return", returned)?;
        }
        let complete = order::Command::CompleteCancellation {
            cancellation: asked.cancellation,
            cancelled: cancelled.iter().map(|item| item.item).collect(),
            refused: refused.iter().map(|item| item.item).collect(),
        };
        expect_done("complete", steps.send("complete", order.id.into(), complete).await?)
    }

    /// A show that was called off is put on sale: whoever asked for that had looked before.
    async fn opened(&self, steps: &Steps<'_>, show: ShowId) -> Result<(), Retry> {
        let is_cancelled = steps.read(StreamId::show(show), |state| {
            let State::Show(show) = state else { unreachable!("a show's stream") };
            show.is_cancelled()
        });
        if Guard::CalledOff.sees(is_cancelled.await?) {
            let reason = Reason::new("the show is called off").expect("a good reason");
            self.called_off(steps, show, reason).await?;
        }
        Ok(())
    }

    async fn called_off(
        &self,
        steps: &Steps<'_>,
        show: ShowId,
        reason: Reason,
    ) -> Result<(), Retry> {
        let close = inventory::Command::CloseSales { reason };
        // A refusal means that it is not on sale.
        let _ = steps.send("close-sales", StreamId::inventory(show), close).await?;
        Ok(())
    }

    async fn reversed(&self, steps: &Steps<'_>, reason: &Reason) -> Result<(), Retry> {
        let order = self.order(steps).await?;
        // What was paid again since suspends nothing any more.
        if order.status != OrderStatus::Confirmed || order.due_minor == 0 {
            return Ok(());
        }
        try_join_all(order.items.iter().map(|item| async {
            let command = ticket::Command::SuspendTicket { reason: reason.clone() };
            let stream = StreamId::from(ticket_of(order.id, item.item));
            // A void ticket needs no suspending.
            let _ = steps.send(&format!("suspend:{}", item.item), stream, command).await?;
            Ok::<(), Retry>(())
        }))
        .await?;
        Ok(())
    }
}

/// What of a show its tickets repeat.
struct ShowView {
    entry: EntryRule,
    immediate: bool,
    issue_until: Option<Timestamp>,
}

/// The rules allow this step whenever the process takes it; if they did not, the event stays
/// unanswered and visible.
fn expect_done<T>(step: &str, result: Result<T, Rejection>) -> Result<(), Retry> {
    result.map(drop).map_err(|rejection| Retry(format!("{step}: {rejection:?}")))
}

/// Is there something to do about an event of this kind?
pub(super) fn concerns(kind: &str) -> bool {
    matches!(
        kind,
        "order-paid"
            | "order-unfulfilled"
            | "order-cancelled"
            | "cancellation-requested"
            | "payment-reversed"
            | "show-cancelled"
            | "sales-opened"
    )
}

impl Process for Checkout {
    fn name(&self) -> &'static str {
        "checkout"
    }

    fn concerns(&self, event: &StoredEvent) -> bool {
        concerns(&event.kind)
    }

    fn ledger(&self) -> Option<Box<dyn Ledger>> {
        Some(Box::<CheckoutLedger>::default())
    }

    fn react<'a>(&'a self, event: &'a StoredEvent) -> BoxFuture<'a, Result<(), Retry>> {
        Box::pin(async move {
            let steps = Steps { engine: &self.engine, event, process: self.name() };
            let Ok(decoded) = event.decoded() else { return Ok(()) };
            let show = ShowId(event.stream.id);
            let event = match &decoded.event {
                Event::Order(event) => event,
                Event::Show(show::Event::ShowCancelled(cancelled)) => {
                    return self.called_off(&steps, show, cancelled.reason.clone()).await;
                }
                Event::Inventory(_) => return self.opened(&steps, show).await,
                _ => return Ok(()),
            };
            match event {
                order::Event::OrderPaid(_) => self.paid(&steps).await,
                order::Event::OrderUnfulfilled(_) => self.unfulfilled(&steps).await,
                order::Event::OrderCancelled(_) => self.cancelled(&steps).await,
                order::Event::CancellationRequested(asked) => {
                    self.cancellation(&steps, asked).await
                }
                order::Event::PaymentReversed(reversed) => {
                    self.reversed(&steps, &reversed.reason).await
                }
                order::Event::OrderPlaced(_)
                | order::Event::PaymentCaptured(_)
                | order::Event::OrderConfirmed(_)
                | order::Event::ItemsCancelled(_)
                | order::Event::CancellationRefused(_)
                | order::Event::RefundRequested(_)
                | order::Event::RefundSettled(_)
                | order::Event::RefundFailed(_) => Ok(()),
            }
        })
    }
}

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use futures_util::future::try_join_all;
use hakken_commands::process::ticket_of;
use hakken_domain::{
    envelope::Position,
    money::Currency,
    names::{BuyerRef, OrderId, ShowId},
    order::{self, Item, RefundCause, RefundState},
    time::Timestamp,
};
use hakken_projections::{
    models::orders::{self, OrderView, RefundView},
    past::PastOrder,
};

use super::{Legs, Money, Show, Ticket};
use crate::{
    auth::Right,
    faults::Fault,
    ids::GlobalId,
    schema::{
        context::{Answer, Asked, answer},
        load,
        pace::Together,
        scalars::{CurrencyCode, DateTime},
        visible,
    },
};

/// What a buyer reserved, with its prices as sold, its payments and its refunds (予約・注文).
#[derive(Debug, Clone)]
pub struct Order {
    pub(crate) id: OrderId,
    buyer: BuyerRef,
    status: OrderStatus,
    currency: Currency,
    items: Vec<(Item, bool)>,
    total_minor: u64,
    paid_minor: u64,
    due_minor: u64,
    refunded_minor: u64,
    payments: Vec<Payment>,
    cancelling: bool,
    source: Source,
}

/// What an order was read from: what is not at hand is read when it is asked for.
#[derive(Debug, Clone)]
enum Source {
    /// The rules' own state, fresh. The read model shows it from this position on.
    State { refunds: Vec<Refund>, position: Position },
    /// The read model.
    View { placed_at: Timestamp },
    /// Its own events, up to a moment of the past.
    Past { placed_at: Timestamp, refunds: Vec<Refund> },
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum OrderStatus {
    /// Not everything is paid.
    Pending,
    /// All is paid, and its places are being sold.
    Paid,
    /// Every place is sold, and its tickets are made.
    Confirmed,
    /// A place was gone when the money came: nothing is sold, all money goes back.
    Unfulfilled,
    /// Nothing of it is left.
    Cancelled,
}

impl From<order::OrderStatus> for OrderStatus {
    fn from(status: order::OrderStatus) -> Self {
        match status {
            order::OrderStatus::Pending => Self::Pending,
            order::OrderStatus::Paid => Self::Paid,
            order::OrderStatus::Confirmed => Self::Confirmed,
            order::OrderStatus::Unfulfilled => Self::Unfulfilled,
            order::OrderStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<orders::OrderStatus> for OrderStatus {
    fn from(status: orders::OrderStatus) -> Self {
        match status {
            orders::OrderStatus::Pending => Self::Pending,
            orders::OrderStatus::Paid => Self::Paid,
            orders::OrderStatus::Confirmed => Self::Confirmed,
            orders::OrderStatus::Unfulfilled => Self::Unfulfilled,
            orders::OrderStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<OrderStatus> for orders::OrderStatus {
    fn from(status: OrderStatus) -> Self {
        match status {
            OrderStatus::Pending => Self::Pending,
            OrderStatus::Paid => Self::Paid,
            OrderStatus::Confirmed => Self::Confirmed,
            OrderStatus::Unfulfilled => Self::Unfulfilled,
            OrderStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl Order {
    /// None if the order was never placed.
    pub(crate) fn from_state(id: OrderId, state: &order::State) -> Option<Self> {
        let currency = state.currency()?;
        let payments = state.payments().iter().map(|payment| Payment {
            payment: payment.payment.to_string(),
            method: payment.method.to_string(),
            amount: Money::new(payment.amount_minor, currency),
            reversed: payment.reversed_minor.map(|minor| Money::new(minor, currency)),
        });
        let refunds = state.refunds().iter().map(|refund| {
            let request = &refund.request;
            let (status, reference) = match &refund.state {
                RefundState::Requested => (RefundStatus::Requested, None),
                RefundState::Settled { reference } => (RefundStatus::Settled, Some(reference)),
                RefundState::Failed { .. } => (RefundStatus::Failed, None),
            };
            Refund {
                id: request.refund.global(),
                order_id: id.global(),
                payment: request.payment.to_string(),
                amount: Money::new(request.amount_minor, currency),
                cause: request.cause.into(),
                status,
                reference: reference.map(ToString::to_string),
            }
        });
        let items = state.items().iter().map(|item| (item.item.clone(), item.cancelled));
        Some(Self {
            id,
            buyer: state.buyer()?.clone(),
            status: state.status().into(),
            currency,
            items: items.collect(),
            total_minor: state.total_minor(),
            paid_minor: state.paid_minor(),
            due_minor: state.due_minor(),
            refunded_minor: state.refunded_minor(),
            payments: payments.collect(),
            cancelling: state.pending_cancellation().is_some(),
            source: Source::State { refunds: refunds.collect(), position: Position(0) },
        })
    }

    /// From which position on the read model shows it.
    pub(crate) fn at(mut self, reached: Position) -> Self {
        if let Source::State { position, .. } = &mut self.source {
            *position = reached;
        }
        self
    }

    fn money(&self, minor: u64) -> Money {
        Money::new(minor, self.currency)
    }
}

impl From<OrderView> for Order {
    fn from(view: OrderView) -> Self {
        let (currency, due_minor) = (view.currency, view.due_minor());
        let paid_minor = view.paid_minor();
        let payments = view.payments.iter().map(|payment| Payment {
            payment: payment.payment.to_string(),
            method: payment.method.to_string(),
            amount: Money::new(payment.amount_minor, currency),
            reversed: (payment.reversed_minor > 0)
                .then(|| Money::new(payment.reversed_minor, currency)),
        });
        let items = view.items.into_iter().map(|item| (item.item, item.cancelled));
        Self {
            id: view.order,
            buyer: view.buyer,
            status: view.status.into(),
            currency,
            items: items.collect(),
            total_minor: view.total_minor,
            paid_minor,
            due_minor,
            refunded_minor: view.refund_requested_minor,
            payments: payments.collect(),
            cancelling: view.pending_cancellation.is_some(),
            source: Source::View { placed_at: view.placed_at },
        }
    }
}

impl From<PastOrder> for Order {
    fn from(past: PastOrder) -> Self {
        let PastOrder { view, refunds } = past;
        let refunds = refunds.into_iter().map(Refund::from).collect();
        let source = Source::Past { placed_at: view.placed_at, refunds };
        Self { source, ..Self::from(view) }
    }
}

/// What a buyer reserved, with its prices as sold, its payments and its refunds (予約・注文).
#[Object]
impl Order {
    /// Its global id: `order_…`.
    pub async fn id(&self) -> ID {
        self.id.global()
    }

    /// Whose it is, as the integrator knows them: `b-42`.
    async fn buyer(&self) -> &str {
        self.buyer.as_str()
    }

    /// Where it stands.
    async fn status(&self) -> OrderStatus {
        self.status
    }

    /// Of every amount: a currency of ISO 4217, `JPY`.
    async fn currency(&self) -> CurrencyCode {
        self.currency.into()
    }

    /// What was ordered, cancelled items too.
    async fn items(&self) -> Together<OrderItem> {
        let item = |(item, cancelled): &(Item, bool)| OrderItem {
            item: item.clone(),
            cancelled: *cancelled,
            currency: self.currency,
        };
        self.items.iter().map(item).collect()
    }

    /// The sum of the prices as sold, cancelled items included.
    async fn total(&self) -> Money {
        self.money(self.total_minor)
    }

    /// What came in, less what the payers' banks took back.
    async fn paid(&self) -> Money {
        self.money(self.paid_minor)
    }

    /// What is still to be paid; nothing once the order is over.
    async fn due(&self) -> Option<Money> {
        // It could fail once: what may be null stays so, for clients that say so.
        Some(self.money(self.due_minor))
    }

    /// What has gone back or is on its way; failed refunds do not count.
    async fn refunded(&self) -> Money {
        self.money(self.refunded_minor)
    }

    /// What can still go back.
    async fn refundable(&self) -> Money {
        self.money(self.paid_minor.saturating_sub(self.refunded_minor))
    }

    /// The payments, in the order in which they came.
    async fn payments(&self) -> &[Payment] {
        &self.payments
    }

    /// The refunds, in the order in which they were asked for.
    async fn refunds(&self, ctx: &Context<'_>) -> Answer<Together<Refund>> {
        let asked = Asked::of(ctx);
        answer(async move {
            if let Source::State { refunds, .. } | Source::Past { refunds, .. } = &self.source {
                return Ok(Some(Together(refunds.clone())));
            }
            let caller = asked.with(Right::SeeSales)?;
            Ok(Some(Together(asked.links(caller).refunds_of(self.id).await?)))
        })
        .await
    }

    /// A cancellation is under way: its tickets are being voided.
    async fn cancellation_under_way(&self) -> bool {
        self.cancelling
    }

    /// The tickets that were made for it, in the order of its items; none before it is confirmed.
    async fn tickets(&self, ctx: &Context<'_>) -> Answer<Together<Ticket>> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeTickets)?;
            let mut tickets = match self.source {
                Source::State { .. } => self.fresh_tickets(asked, caller.organizer).await?,
                Source::View { .. } | Source::Past { .. } => {
                    asked.links(caller).tickets_of(self.id).await?
                }
            };
            tickets.sort_by_key(Ticket::item_number);
            Ok(Some(Together(tickets)))
        })
        .await
    }

    /// When it was placed.
    async fn placed_at(&self, ctx: &Context<'_>) -> Answer<DateTime> {
        let asked = Asked::of(ctx);
        answer(async move {
            let position = match self.source {
                Source::View { placed_at } | Source::Past { placed_at, .. } => {
                    return Ok(Some(DateTime(placed_at)));
                }
                Source::State { position, .. } => position,
            };
            let caller = asked.with(Right::SeeSales)?;
            visible::wait(asked.api, "orders", Some(position)).await?;
            let view = asked.api.models.order(caller.organizer, self.id).await?;
            Ok(view.map(|view| DateTime(view.placed_at)))
        })
        .await
    }
}

impl Order {
    async fn fresh_tickets(
        &self,
        asked: Asked<'_>,
        sees: Option<hakken_domain::names::OrganizerId>,
    ) -> Result<Vec<Ticket>, Fault> {
        let tickets = self.items.iter().map(|(item, _)| {
            let ticket = ticket_of(self.id, item.item);
            load::ticket(asked.api, sees, ticket)
        });
        Ok(try_join_all(tickets).await?.into_iter().flatten().collect())
    }
}

/// One right to enter, with its price as sold.
#[derive(Debug, Clone)]
pub struct OrderItem {
    item: Item,
    cancelled: bool,
    currency: Currency,
}

/// One right to enter, with its price as sold.
#[Object]
impl OrderItem {
    /// Its number in the order, from 1.
    async fn number(&self) -> u16 {
        self.item.item
    }

    /// The id of the show: `show_01J…`.
    async fn show_id(&self) -> ID {
        self.item.show.global()
    }

    /// To what.
    async fn show(&self, ctx: &Context<'_>) -> Answer<Show> {
        linked_show(ctx, self.item.show).await
    }

    /// The id of the hold under which it was set aside: `hold_01J…`.
    async fn hold_id(&self) -> ID {
        self.item.hold.global()
    }

    /// The numbered seat, `A1`; null for a place of a pool.
    async fn seat(&self) -> Option<&str> {
        self.item.seat.as_ref().map(|seat| seat.as_str())
    }

    /// The pool, `floor`; null for a numbered seat.
    async fn pool(&self) -> Option<&str> {
        self.item.pool.as_ref().map(|pool| pool.as_str())
    }

    /// On these legs of the show.
    async fn legs(&self) -> Legs {
        self.item.legs.into()
    }

    /// As what: `adult`.
    async fn ticket_type(&self) -> &str {
        self.item.ticket_type.as_str()
    }

    /// For how much.
    async fn price(&self) -> Money {
        Money::new(self.item.price_minor, self.currency)
    }

    /// Its ticket is void and its place free.
    async fn cancelled(&self) -> bool {
        self.cancelled
    }
}

/// The show that something is of.
pub(super) async fn linked_show(ctx: &Context<'_>, id: ShowId) -> Answer<Show> {
    let asked = Asked::of(ctx);
    answer(async move {
        let caller = asked.with(Right::SeeShows)?;
        asked.links(caller).show(id).await
    })
    .await
}

/// Money that came in (決済).
#[derive(Debug, Clone, SimpleObject)]
pub struct Payment {
    /// As its provider knows it: `pi_3Nx…`.
    pub payment: String,
    /// How the money moved: `card`, `konbini`, `cash`.
    pub method: String,
    /// How much came in.
    pub amount: Money,
    /// What the payer's bank took back of it; null if nothing.
    pub reversed: Option<Money>,
}

/// How far a refund is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum RefundStatus {
    /// The money is to go out.
    Requested,
    /// It has gone out.
    Settled,
    /// It could not go out: try it again with `retryRefund`.
    Failed,
}

/// Why money goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum RefundReason {
    /// Items were cancelled.
    Cancelled,
    /// The places were gone when the money came.
    Unfulfilled,
    /// The order was over before the money came.
    PaidAfterCancellation,
    /// The organizer gives it back without cancelling.
    Goodwill,
}

impl From<RefundCause> for RefundReason {
    fn from(cause: RefundCause) -> Self {
        match cause {
            RefundCause::Cancelled => Self::Cancelled,
            RefundCause::Unfulfilled => Self::Unfulfilled,
            RefundCause::PaidAfterCancellation => Self::PaidAfterCancellation,
            RefundCause::Goodwill => Self::Goodwill,
        }
    }
}

/// Money on its way out (払い戻し). One refund is of one payment.
#[derive(Debug, Clone, SimpleObject)]
pub struct Refund {
    /// Its global id: `refund_…`.
    #[graphql(owned)]
    pub id: ID,
    /// The id of the order whose money it is: `order_01J…`.
    pub order_id: ID,
    /// The payment of which it is: `pi_3Nx…`.
    pub payment: String,
    /// How much.
    pub amount: Money,
    /// Why.
    pub cause: RefundReason,
    /// How far it is.
    pub status: RefundStatus,
    /// The provider's word for it, once it is settled: `re_3Nx…`.
    pub reference: Option<String>,
}

impl From<orders::RefundStatus> for RefundStatus {
    fn from(status: orders::RefundStatus) -> Self {
        match status {
            orders::RefundStatus::Requested => Self::Requested,
            orders::RefundStatus::Settled => Self::Settled,
            orders::RefundStatus::Failed => Self::Failed,
        }
    }
}

impl From<RefundStatus> for orders::RefundStatus {
    fn from(status: RefundStatus) -> Self {
        match status {
            RefundStatus::Requested => Self::Requested,
            RefundStatus::Settled => Self::Settled,
            RefundStatus::Failed => Self::Failed,
        }
    }
}

impl From<RefundView> for Refund {
    fn from(view: RefundView) -> Self {
        Self {
            id: view.refund.global(),
            order_id: view.order.global(),
            payment: view.payment.to_string(),
            amount: Money::new(view.amount_minor, view.currency),
            cause: view.cause.into(),
            status: view.status.into(),
            reference: view.reference.map(|reference| reference.to_string()),
        }
    }
}

//! Placing orders, paying, cancelling and refunding them.

use async_graphql::{Context, Enum, ID, InputObject, Object};
use hakken_commands::{
    desk::{Line, PlaceOrder, PlaceWish, Settled, TicketWish},
    engine::Receipt,
};
use hakken_domain::{
    State,
    envelope::StreamKind,
    money::Currency,
    names::{CancellationId, OrderId, RefundId},
    order::{self, Command, RefundPolicy},
};

use super::command::{Ask, Stop, bad_input, carry_out, payload};
use crate::{
    auth::Right,
    schema::{
        context::Answer,
        load,
        scalars::{CurrencyCode, MinorUnits},
        types::{Order, PoolPlacesInput},
    },
};

/// A ticket type for some places of a hold: for one seat, or for so many places of a pool.
#[derive(Debug, InputObject)]
pub struct TicketWishInput {
    /// This seat: `A1`.
    seat: Option<String>,
    /// So many places of this pool.
    pool: Option<PoolPlacesInput>,
    /// As what: `adult`.
    ticket_type: String,
}

/// The tickets for one hold.
#[derive(Debug, InputObject)]
pub struct OrderLineInput {
    /// Of which show the hold is: `show_01J…`.
    show: ID,
    /// Which hold: `hold_01J…`.
    hold: ID,
    /// The ticket type of every place that `tickets` says nothing of.
    ticket_type: Option<String>,
    /// Ticket types of certain places.
    #[graphql(default)]
    tickets: Vec<TicketWishInput>,
}

/// What a buyer reserves: one line for each hold, also of several shows.
#[derive(Debug, InputObject)]
pub struct PlaceOrderInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Whose order it is: `b-42`, the buyer of the holds.
    buyer: String,
    /// One for each hold, up to 100 places together.
    lines: Vec<OrderLineInput>,
}

payload! {
    /// What came of `placeOrder`.
    PlaceOrderPayload {
        /// The new order, with its prices.
        order: Order,
    }
}

/// Money that came in.
#[derive(Debug, InputObject)]
pub struct PaymentInput {
    /// As its provider knows it, unique in the order: `pi_3Nx…`.
    payment: String,
    /// How the money moved: `card`, `konbini`, `cash`.
    method: String,
    /// How much.
    amount_minor: MinorUnits,
}

/// Money that came in for an order.
#[derive(Debug, InputObject)]
pub struct PayOrderInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// For which order: `order_01J…`.
    order: ID,
    /// Of every amount: the currency of the order, `JPY`.
    currency: CurrencyCode,
    /// The payments, together what is due.
    payments: Vec<PaymentInput>,
    /// More will follow: together they may be less than what is due.
    #[graphql(default)]
    partial: bool,
}

/// Whether what a mutation set in motion has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "Settlement")]
pub enum Settlement {
    /// Nothing was set in motion.
    Nothing,
    /// It has: the order is as it stays.
    Done,
    /// It is under way still. Ask for the order again in a moment.
    UnderWay,
}

impl From<Settled> for Settlement {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Nothing => Self::Nothing,
            Settled::Done => Self::Done,
            Settled::UnderWay => Self::UnderWay,
        }
    }
}

payload! {
    /// What came of `payOrder`.
    PayOrderPayload {
        /// The order: with its tickets, if it is settled and confirmed.
        order: Order,
        /// Whether its places are sold and its tickets made.
        settled: Settlement,
    }
}

/// What the buyer gets back for cancelled items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum CancellationRefund {
    /// The whole price.
    Full,
    /// The price less `feeMinor` for each item.
    KeepFee,
    /// Nothing.
    Nothing,
}

/// What `cancelOrder` cancels, and what goes back.
#[derive(Debug, InputObject)]
pub struct CancelOrderInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Which order: `order_01J…`.
    order: ID,
    /// The numbers of the items; all that are left if absent.
    items: Option<Vec<u16>>,
    /// What the buyer gets back.
    #[graphql(default_with = "CancellationRefund::Full")]
    refund: CancellationRefund,
    /// What is kept of each item's price, for `KEEP_FEE`.
    fee_minor: Option<MinorUnits>,
    /// Also tickets that were used already: the show was broken off, say.
    #[graphql(default)]
    even_if_used: bool,
    /// Why, in words that the audit log keeps: `rain`.
    reason: String,
}

payload! {
    /// What came of `cancelOrder`.
    CancelOrderPayload {
        /// The order. Items whose tickets were used are not cancelled.
        order: Order,
        /// Whether its tickets are void and its places free.
        settled: Settlement,
    }
}

/// How much goes back without a cancellation.
#[derive(Debug, InputObject)]
pub struct RefundOrderInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which order: `order_01J…`.
    order: ID,
    /// How much, never more than `refundable` of the order.
    amount_minor: MinorUnits,
    /// The currency of the order: `JPY`.
    currency: CurrencyCode,
}

/// A refund whose money has gone out.
#[derive(Debug, InputObject)]
pub struct SettleRefundInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which order: `order_01J…`.
    order: ID,
    /// Which refund: `refund_01J…`.
    refund: ID,
    /// The provider's or bank's word for it: `re_3Nx…`.
    reference: String,
}

/// A refund whose money could not go out.
#[derive(Debug, InputObject)]
pub struct FailRefundInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which order: `order_01J…`.
    order: ID,
    /// Which refund: `refund_01J…`.
    refund: ID,
    /// What the provider said: `account closed`.
    reason: String,
}

/// A failed refund that is to be tried again.
#[derive(Debug, InputObject)]
pub struct RetryRefundInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which order: `order_01J…`.
    order: ID,
    /// The failed refund: `refund_01J…`.
    refund: ID,
}

/// A payment that its payer's bank took back (chargeback).
#[derive(Debug, InputObject)]
pub struct ReversePaymentInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which order: `order_01J…`.
    order: ID,
    /// Which payment: `pi_3Nx…`.
    payment: String,
    /// Why, in the bank's words: `fraud`.
    reason: String,
}

macro_rules! order_payloads {
    ($($name:ident of $mutation:literal;)*) => {
        $(payload! {
            #[doc = $mutation]
            $name {
                /// The order as it is now.
                order: Order,
            }
        })*
    };
}

order_payloads! {
    RefundOrderPayload of "What came of `refundOrder`.";
    SettleRefundPayload of "What came of `settleRefund`.";
    FailRefundPayload of "What came of `failRefund`.";
    RetryRefundPayload of "What came of `retryRefund`.";
    ReversePaymentPayload of "What came of `reversePayment`.";
}

#[derive(Default)]
pub(super) struct OrdersMutation;

#[Object]
impl OrdersMutation {
    /// Reserves what is held, with the prices as they are now. Pay the order before its holds
    /// expire. Needs the role ORGANIZER or BOX_OFFICE.
    async fn place_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: PlaceOrderInput,
    ) -> Answer<PlaceOrderPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| place_order(ask, input)).await
    }

    /// Records money that came in. Once everything due is paid, waits up to a few seconds until
    /// the places are sold and the tickets made. A payment that comes after its hold expired buys
    /// the same seats if they are still free, and else goes back by itself. Needs the role
    /// ORGANIZER or BOX_OFFICE.
    async fn pay_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: PayOrderInput,
    ) -> Answer<PayOrderPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| pay_order(ask, input)).await
    }

    /// Cancels an order, or some items of it: voids their tickets, frees their places, and gives
    /// money back. Needs the role ORGANIZER or BOX_OFFICE.
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: CancelOrderInput,
    ) -> Answer<CancelOrderPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| cancel_order(ask, input)).await
    }

    /// Gives money back without cancelling anything. Needs the role ORGANIZER or BOX_OFFICE.
    async fn refund_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RefundOrderInput,
    ) -> Answer<RefundOrderPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| async move {
            let order: OrderId = ask.id("order", &input.order)?;
            let refund = RefundId::derived(&scope(&ask, order)?, ask.key().as_str());
            let currency: Currency = ask.read("currency", &input.currency.0)?;
            let amount_minor = input.amount_minor.0;
            let command = Command::RefundMoney { refund, amount_minor, currency };
            let (order, receipt) = tell(&ask, order, command).await?;
            Ok(RefundOrderPayload::done((&receipt).into(), order))
        })
        .await
    }

    /// Records that the money of a refund has gone out, when no provider says so by itself. Needs
    /// the role ORGANIZER or BOX_OFFICE.
    async fn settle_refund(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: SettleRefundInput,
    ) -> Answer<SettleRefundPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| async move {
            let order: OrderId = ask.id("order", &input.order)?;
            let refund = ask.id("refund", &input.refund)?;
            let reference = ask.read("reference", &input.reference)?;
            let command = Command::SettleRefund { refund, reference };
            let (order, receipt) = tell(&ask, order, command).await?;
            Ok(SettleRefundPayload::done((&receipt).into(), order))
        })
        .await
    }

    /// Records that the money of a refund could not go out. Needs the role ORGANIZER or
    /// BOX_OFFICE.
    async fn fail_refund(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: FailRefundInput,
    ) -> Answer<FailRefundPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| async move {
            let order: OrderId = ask.id("order", &input.order)?;
            let refund = ask.id("refund", &input.refund)?;
            let reason = ask.read("reason", &input.reason)?;
            let (order, receipt) =
                tell(&ask, order, Command::FailRefund { refund, reason }).await?;
            Ok(FailRefundPayload::done((&receipt).into(), order))
        })
        .await
    }

    /// Tries a failed refund again, as a new refund of the same amount. Needs the role ORGANIZER
    /// or BOX_OFFICE.
    async fn retry_refund(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RetryRefundInput,
    ) -> Answer<RetryRefundPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| async move {
            let order: OrderId = ask.id("order", &input.order)?;
            let failed: RefundId = ask.id("refund", &input.refund)?;
            let refund = RefundId::derived(&scope(&ask, order)?, ask.key().as_str());
            let command = Command::RetryRefund { failed, refund };
            let (order, receipt) = tell(&ask, order, command).await?;
            Ok(RetryRefundPayload::done((&receipt).into(), order))
        })
        .await
    }

    /// Records that the payer's bank took a payment back (chargeback). Tickets are suspended
    /// until the order is paid again. Needs the role ORGANIZER or BOX_OFFICE.
    async fn reverse_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ReversePaymentInput,
    ) -> Answer<ReversePaymentPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| async move {
            let order: OrderId = ask.id("order", &input.order)?;
            let payment = ask.read("payment", &input.payment)?;
            let reason = ask.read("reason", &input.reason)?;
            let command = Command::ReversePayment { payment, reason };
            let (order, receipt) = tell(&ask, order, command).await?;
            Ok(ReversePaymentPayload::done((&receipt).into(), order))
        })
        .await
    }
}

/// Of ids of what is made within an order.
fn scope(ask: &Ask<'_>, order: OrderId) -> Result<String, Stop> {
    Ok(format!("{} {order}", ask.organizer()?))
}

/// The order as a command that has just made it left it. An earlier answer that is given again
/// may be long ago: then the order is looked at.
fn made_by(order: OrderId, receipt: &Receipt) -> Option<Order> {
    if receipt.repeated || receipt.events.first()?.version != 1 {
        return None;
    }
    let mut state = State::initial(StreamKind::Order);
    for stored in &receipt.events {
        state.evolve(&stored.decoded().ok()?.event);
    }
    let State::Order(state) = &state else { return None };
    Some(Order::from_state(order, state)?.at(receipt.position))
}

async fn fresh(ask: &Ask<'_>, order: OrderId, receipt: &Receipt) -> Result<Option<Order>, Stop> {
    if let Some(made) = made_by(order, receipt) {
        return Ok(Some(made));
    }
    let order = load::order(ask.asked.api, Some(ask.organizer()?), order).await?;
    Ok(order.map(|order| order.at(receipt.position)))
}

async fn tell(
    ask: &Ask<'_>,
    order: OrderId,
    command: Command,
) -> Result<(Option<Order>, Receipt), Stop> {
    let asker = ask.asker(Some(ask.organizer()?));
    let outcome = ask.asked.api.write.desk().ask(asker, order, command).await;
    let receipt = ask.told(order, outcome)?;
    Ok((fresh(ask, order, &receipt).await?, receipt))
}

async fn place_order(ask: Ask<'_>, input: PlaceOrderInput) -> Result<PlaceOrderPayload, Stop> {
    let organizer = ask.organizer()?;
    let order = OrderId::derived(&organizer.to_string(), ask.key().as_str());
    let each = |(at, each): (usize, &OrderLineInput)| line(&ask, at, each);
    let lines = input.lines.iter().enumerate().map(each).collect::<Result<_, Stop>>()?;
    let wanted = PlaceOrder { buyer: ask.read("buyer", &input.buyer)?, lines };
    let asker = ask.asker(Some(organizer));
    let outcome = ask.asked.api.write.desk().place_order(asker, order, wanted).await;
    let receipt = ask.desk(order, outcome)?;
    let fresh = fresh(&ask, order, &receipt).await?;
    Ok(PlaceOrderPayload::done((&receipt).into(), fresh))
}

fn line(ask: &Ask<'_>, at: usize, line: &OrderLineInput) -> Result<Line, Stop> {
    let path = |field: &str| format!("lines.{at}.{field}");
    let wish = |(nth, wish): (usize, &TicketWishInput)| {
        let path = |field: &str| format!("lines.{at}.tickets.{nth}.{field}");
        let place = match (&wish.seat, &wish.pool) {
            (Some(seat), None) => PlaceWish::Seat(ask.read(&path("seat"), seat)?),
            (None, Some(places)) => {
                PlaceWish::Pool(ask.read(&path("pool.pool"), &places.pool)?, places.count)
            }
            _ => return Err(bad_input(Some(&path("seat")), "name a seat or a pool, not both")),
        };
        Ok(TicketWish { place, ticket_type: ask.read(&path("ticketType"), &wish.ticket_type)? })
    };
    Ok(Line {
        show: ask.id(&path("show"), &line.show)?,
        hold: ask.id(&path("hold"), &line.hold)?,
        ticket_type: ask.maybe(&path("ticketType"), line.ticket_type.as_deref())?,
        tickets: line.tickets.iter().enumerate().map(wish).collect::<Result<_, _>>()?,
    })
}

async fn pay_order(ask: Ask<'_>, input: PayOrderInput) -> Result<PayOrderPayload, Stop> {
    let order: OrderId = ask.id("order", &input.order)?;
    let currency: Currency = ask.read("currency", &input.currency.0)?;
    let payment = |(at, each): (usize, &PaymentInput)| {
        Ok(order::Payment {
            payment: ask.read(&format!("payments.{at}.payment"), &each.payment)?,
            method: ask.read(&format!("payments.{at}.method"), &each.method)?,
            amount_minor: each.amount_minor.0,
        })
    };
    let payments =
        input.payments.iter().enumerate().map(payment).collect::<Result<Vec<_>, Stop>>()?;
    let asker = ask.asker(Some(ask.organizer()?));
    let desk = ask.asked.api.write.desk();
    let outcome = desk.pay(asker, order, payments, currency, input.partial).await;
    let (receipt, settled) = ask.told(order, outcome)?;
    let fresh = fresh(&ask, order, &receipt).await?;
    Ok(PayOrderPayload::done((&receipt).into(), fresh, Settlement::from(settled)))
}

async fn cancel_order(ask: Ask<'_>, input: CancelOrderInput) -> Result<CancelOrderPayload, Stop> {
    let order: OrderId = ask.id("order", &input.order)?;
    let refund = match (input.refund, input.fee_minor) {
        (CancellationRefund::Full, None) => RefundPolicy::Full,
        (CancellationRefund::Nothing, None) => RefundPolicy::Nothing,
        (CancellationRefund::KeepFee, Some(fee)) => RefundPolicy::KeepFeeMinor(fee.0),
        (CancellationRefund::KeepFee, None) => {
            return Err(bad_input(Some("feeMinor"), "KEEP_FEE needs the fee for each item"));
        }
        (_, Some(_)) => {
            return Err(bad_input(Some("feeMinor"), "a fee is kept only with refund: KEEP_FEE"));
        }
    };
    if input.items.as_ref().is_some_and(Vec::is_empty) {
        return Err(bad_input(Some("items"), "name the items, or leave the field out for all"));
    }
    let command = Command::Cancel {
        cancellation: CancellationId::derived(&scope(&ask, order)?, ask.key().as_str()),
        items: input.items.unwrap_or_default(),
        refund,
        even_if_used: input.even_if_used,
        reason: ask.read("reason", &input.reason)?,
    };
    let asker = ask.asker(Some(ask.organizer()?));
    let outcome = ask.asked.api.write.desk().cancel(asker, order, command).await;
    let (receipt, settled) = ask.told(order, outcome)?;
    let fresh = fresh(&ask, order, &receipt).await?;
    Ok(CancelOrderPayload::done((&receipt).into(), fresh, Settlement::from(settled)))
}

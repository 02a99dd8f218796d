//! What happens to an order. THESE NAMES ARE THE STORAGE FORMAT: a stored event is for ever.
//! A changed shape is a new schema version with an upcaster in `codec.rs`.

use serde::{Deserialize, Serialize};

use crate::{
    legs::Legs,
    money::Currency,
    names::{
        BuyerRef, CancellationId, HoldId, MoneyRef, PaymentId, PaymentMethod, PoolId, Reason,
        RefundId, SeatId, ShowId, TicketTypeId,
    },
};

/// One right to enter, with its price as sold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Item {
    /// Its number in the order, from 1.
    pub item: u16,
    /// To what.
    pub show: ShowId,
    /// Under which hold.
    pub hold: HoldId,
    /// The numbered seat; else `pool` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<SeatId>,
    /// The pool; else `seat` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolId>,
    /// On these legs.
    #[serde(default, skip_serializing_if = "Legs::is_one")]
    pub legs: Legs,
    /// As what.
    pub ticket_type: TicketTypeId,
    /// For how much, in minor units of the order's currency.
    pub price_minor: u64,
}

/// A fact about an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A buyer reserved.
    OrderPlaced(OrderPlaced),
    /// Money came in.
    PaymentCaptured(PaymentCaptured),
    /// Money that had come in was taken back by the payer's bank (chargeback).
    PaymentReversed(PaymentReversed),
    /// All that is due is paid.
    OrderPaid(OrderPaid),
    /// Every place is sold to this order; tickets may be made.
    OrderConfirmed(OrderConfirmed),
    /// A place was gone when the money came: nothing is sold, all money goes back.
    OrderUnfulfilled(OrderUnfulfilled),
    /// Somebody wants to cancel items; their tickets are to be voided first.
    CancellationRequested(CancellationRequested),
    /// Items are cancelled: their tickets are void, their places free.
    ItemsCancelled(ItemsCancelled),
    /// Items that could not be cancelled.
    CancellationRefused(CancellationRefused),
    /// An order without confirmed items is over.
    OrderCancelled(OrderCancelled),
    /// Money is to go out.
    RefundRequested(RefundRequested),
    /// The money has gone out.
    RefundSettled(RefundSettled),
    /// The money could not go out; it is the buyer's still.
    RefundFailed(RefundFailed),
}

/// `order-placed`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// Whose it is.
    pub buyer: BuyerRef,
    /// Of every amount in the order.
    pub currency: Currency,
    /// What, 1 to 100.
    pub items: Vec<Item>,
    /// The sum of the prices.
    pub total_minor: u64,
}

/// `payment-captured`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCaptured {
    /// The payment.
    pub payment: PaymentId,
    /// How the money moved.
    pub method: PaymentMethod,
    /// How much.
    pub amount_minor: u64,
}

/// `payment-reversed`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentReversed {
    /// The payment.
    pub payment: PaymentId,
    /// What of it had not been refunded and is gone now.
    pub amount_minor: u64,
    /// Why.
    pub reason: Reason,
}

/// `order-paid`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPaid {
    /// What is paid in all.
    pub paid_minor: u64,
}

/// `order-confirmed`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderConfirmed {}

/// `order-unfulfilled`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderUnfulfilled {
    /// The hold that was over and whose places were taken.
    pub hold: HoldId,
}

/// What the buyer gets back for cancelled items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundPolicy {
    /// The whole price.
    Full,
    /// The price less this fee for each item, in minor units, never below 0.
    KeepFeeMinor(u64),
    /// Nothing.
    Nothing,
}

impl RefundPolicy {
    /// What the buyer is credited for cancelled items of these prices.
    pub fn credit_minor(self, prices: impl Iterator<Item = u64>) -> u64 {
        match self {
            Self::Full => prices.fold(0, u64::saturating_add),
            Self::KeepFeeMinor(fee) => {
                prices.map(|price| price.saturating_sub(fee)).fold(0, u64::saturating_add)
            }
            Self::Nothing => 0,
        }
    }
}

/// `cancellation-requested`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancellationRequested {
    /// The cancellation.
    pub cancellation: CancellationId,
    /// Which items.
    pub items: Vec<u16>,
    /// What goes back.
    pub refund: RefundPolicy,
    /// Also tickets that were used already (the show was broken off, say).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub even_if_used: bool,
    /// Why.
    pub reason: Reason,
}

/// `items-cancelled`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemsCancelled {
    /// The cancellation.
    pub cancellation: CancellationId,
    /// Which items.
    pub items: Vec<u16>,
}

/// `cancellation-refused`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancellationRefused {
    /// The cancellation.
    pub cancellation: CancellationId,
    /// Items whose tickets were used already.
    pub items: Vec<u16>,
}

/// `order-cancelled`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// Why.
    pub reason: Reason,
}

/// Why money goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundCause {
    /// Items were cancelled.
    Cancelled,
    /// The places were gone when the money came.
    Unfulfilled,
    /// The order was over before the money came.
    PaidAfterCancellation,
    /// The organizer gives it back without cancelling.
    Goodwill,
}

/// `refund-requested`. One refund is of one payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequested {
    /// The refund.
    pub refund: RefundId,
    /// The payment of which it is.
    pub payment: PaymentId,
    /// How much.
    pub amount_minor: u64,
    /// Why.
    pub cause: RefundCause,
    /// The failed refund that this one tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<RefundId>,
}

/// `refund-settled`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundSettled {
    /// The refund.
    pub refund: RefundId,
    /// The provider's word for it.
    pub reference: MoneyRef,
}

/// `refund-failed`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundFailed {
    /// The refund.
    pub refund: RefundId,
    /// What the provider said.
    pub reason: Reason,
}

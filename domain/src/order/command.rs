//! What one may ask of an order, and why it may be refused.

use super::events::{Item, RefundPolicy};
use crate::{
    money::Currency,
    names::{
        BuyerRef, CancellationId, HoldId, MoneyRef, PaymentId, PaymentMethod, Reason, RefundId,
    },
};

/// Most items of one order.
pub const MAX_ITEMS: usize = 100;
/// Most payments of one order.
pub const MAX_PAYMENTS: usize = 50;
/// Refunds of one order after which no more can be asked for. Those that follow from a
/// cancellation or from money that came too late are never refused.
pub const MAX_REFUNDS: usize = 200;

/// One payment of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// As its provider knows it.
    pub payment: PaymentId,
    /// How the money moved.
    pub method: PaymentMethod,
    /// How much.
    pub amount_minor: u64,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Reserve, with the prices as they are now.
    PlaceOrder {
        /// Whose it is.
        buyer: BuyerRef,
        /// Of every amount.
        currency: Currency,
        /// What.
        items: Vec<Item>,
    },
    /// Record money that came in: together exactly what is still due, or less when `partial`.
    CapturePayments {
        /// Which, each with its own id.
        payments: Vec<Payment>,
        /// Their currency.
        currency: Currency,
        /// More will follow: together they may be less than what is due.
        partial: bool,
    },
    /// Record that the payer's bank took a payment back.
    ReversePayment {
        /// The payment.
        payment: PaymentId,
        /// Why.
        reason: Reason,
    },
    /// Every place is sold (checkout).
    ConfirmOrder,
    /// A place was gone (checkout): give all money back.
    FailOrder {
        /// The hold that could not be confirmed.
        hold: HoldId,
    },
    /// Cancel some items or, with an empty list, all that are left.
    Cancel {
        /// The cancellation.
        cancellation: CancellationId,
        /// Which; empty means all that are left.
        items: Vec<u16>,
        /// What goes back.
        refund: RefundPolicy,
        /// Also tickets that were used already.
        even_if_used: bool,
        /// Why.
        reason: Reason,
    },
    /// Tickets are void and places free (cancellation process): money may go back.
    CompleteCancellation {
        /// The cancellation.
        cancellation: CancellationId,
        /// Items whose tickets are void.
        cancelled: Vec<u16>,
        /// Items whose tickets were used.
        refused: Vec<u16>,
    },
    /// Give money back without cancelling.
    RefundMoney {
        /// Tells this refund from others; each payment's part has an id derived from it.
        refund: RefundId,
        /// How much.
        amount_minor: u64,
        /// Its currency.
        currency: Currency,
    },
    /// The money has gone out.
    SettleRefund {
        /// The refund.
        refund: RefundId,
        /// The provider's word for it.
        reference: MoneyRef,
    },
    /// The money could not go out.
    FailRefund {
        /// The refund.
        refund: RefundId,
        /// What the provider said.
        reason: Reason,
    },
    /// Try a failed refund again: a new refund of the same amount of the same payment.
    RetryRefund {
        /// The failed one.
        failed: RefundId,
        /// The new one.
        refund: RefundId,
    },
}

/// Why a command is refused, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// No order has this id.
    OrderUnknown,
    /// The order is placed already, with other items.
    OrderExists,
    /// No items, or more than 100.
    ItemCount,
    /// Items are not numbered 1, 2, 3 …, have both or neither of seat and pool, or two have the
    /// same seat on a common leg.
    ItemsInvalid,
    /// The sum is more than one amount can be.
    TotalTooLarge,
    /// The amount is in another currency than the order.
    CurrencyMismatch,
    /// No payment at all, or more than 50 in one order.
    PaymentCount,
    /// The amount is 0 or more than one amount can be.
    AmountInvalid,
    /// The payment is known already, with another amount or method.
    PaymentDiffers(PaymentId),
    /// More than what is due.
    PaidTooMuch {
        /// What is due.
        due_minor: u64,
    },
    /// Less than what is due.
    PaidTooLittle {
        /// What is due.
        due_minor: u64,
    },
    /// The order has no such payment.
    PaymentUnknown(PaymentId),
    /// No cancellation has this id.
    CancellationUnknown,
    /// The order, or its cancellation, has no such item.
    ItemUnknown(u16),
    /// The same item twice in one request.
    ItemRepeated(u16),
    /// An item of the cancellation is neither cancelled nor refused.
    ItemMissing(u16),
    /// Everything of this order is cancelled, or it could not be fulfilled.
    OrderOver,
    /// Every place is sold to it: it can only be cancelled.
    OrderConfirmed,
    /// Not everything is paid.
    NotPaid,
    /// Money came and the places are being sold: ask again in a moment.
    CheckoutUnderWay,
    /// Another cancellation of this order is under way.
    CancellationUnderWay,
    /// The item is cancelled already.
    ItemCancelled(u16),
    /// The order has no such refund.
    RefundUnknown,
    /// The refund is known already, with other contents.
    RefundExists,
    /// The refund is settled already, with another reference.
    RefundSettled,
    /// The refund has failed already.
    RefundFailed,
    /// The refund has not failed, or was tried again already.
    RefundNotFailed,
    /// The order has as many refunds already as one may be asked for.
    RefundCount,
    /// More than what was paid and has not gone back.
    RefundTooMuch {
        /// What can still go back.
        refundable_minor: u64,
    },
}

//! Orders, payments, cancellations and refunds.

use hakken_domain::order;

use super::{AMOUNT, At, ORDER, REFUND, Refusal, item, row};
use crate::codes::ErrorCode::*;

pub(super) fn order(rejection: &order::Rejection) -> Refusal {
    use order::Rejection as R;
    match rejection {
        R::OrderUnknown => row(OrderUnknown, "There is no order with this id.", ORDER),
        R::OrderExists => {
            row(OrderExists, "The order is placed already, with other items.", At::Nowhere)
        }
        R::ItemCount => {
            row(ItemCount, "An order has 1 to 100 items.", At::Field(&["lines", "items"]))
        }
        R::ItemsInvalid => row(
            ItemsInvalid,
            "The same seat stands twice in the order, on a common leg.",
            At::Field(&["lines"]),
        ),
        R::TotalTooLarge => {
            row(TotalTooLarge, "The sum is more than one amount can be.", At::Field(&["lines"]))
        }
        R::CurrencyMismatch => row(
            CurrencyMismatch,
            "The amount is in another currency than the order.",
            At::Field(&["currency"]),
        ),
        R::PaymentCount => row(
            PaymentCount,
            "Name at least one payment; an order has at most 50.",
            At::Field(&["payments"]),
        ),
        R::AmountInvalid => {
            row(AmountInvalid, "An amount is 1 or more, and at most 10^15.", AMOUNT)
        }
        R::PaymentDiffers(id) => row(
            PaymentDiffers,
            format!(
                "The order knows payment {:?} already, with another amount or method.",
                id.as_str()
            ),
            At::Value(&["payment"], id.to_string()),
        ),
        R::PaidTooMuch { due_minor } => row(
            PaidTooMuch,
            format!("That is more than what is due: {due_minor} in minor units. Pay that."),
            AMOUNT,
        ),
        R::PaidTooLittle { due_minor } => row(
            PaidTooLittle,
            format!(
                "That is less than what is due: {due_minor} in minor units. Pay that, or say \
                 `partial: true` if more will follow."
            ),
            AMOUNT,
        ),
        R::PaymentUnknown(id) => row(
            PaymentUnknown,
            format!("The order has no payment {:?}.", id.as_str()),
            At::Value(&["payment"], id.to_string()),
        ),
        R::CancellationUnknown => {
            row(CancellationUnknown, "The order has no such cancellation.", At::Nowhere)
        }
        R::ItemUnknown(number) => {
            row(ItemUnknown, format!("The order has no item {number}."), item(*number))
        }
        R::ItemRepeated(number) => row(
            ItemRepeated,
            format!("Item {number} stands twice in the request. Name it once."),
            item(*number),
        ),
        R::ItemMissing(number) => row(
            ItemMissing,
            format!("Item {number} is neither cancelled nor refused."),
            item(*number),
        ),
        R::OrderOver => row(
            OrderOver,
            "The order is over: everything of it is cancelled, or it could not be fulfilled.",
            ORDER,
        ),
        R::OrderConfirmed => row(
            OrderConfirmed,
            "Every place is sold to the order: it can only be cancelled.",
            ORDER,
        ),
        R::NotPaid => row(NotPaid, "Not everything of the order is paid.", ORDER),
        R::CheckoutUnderWay => row(
            CheckoutUnderWay,
            "The order is paid and its places are being sold. Try again in a moment.",
            ORDER,
        ),
        R::CancellationUnderWay => row(
            CancellationUnderWay,
            "Another cancellation of this order is under way. Try again in a moment.",
            ORDER,
        ),
        R::ItemCancelled(number) => {
            row(ItemCancelled, format!("Item {number} is cancelled already."), item(*number))
        }
        R::RefundUnknown => row(RefundUnknown, "The order has no such refund.", REFUND),
        R::RefundExists => {
            row(RefundExists, "The refund is known already, with other contents.", REFUND)
        }
        R::RefundSettled => {
            row(RefundSettled, "The refund is settled already: the money has gone out.", REFUND)
        }
        R::RefundFailed => row(
            RefundFailed,
            "The refund has failed already. Try it again with `retryRefund`.",
            REFUND,
        ),
        R::RefundNotFailed => {
            row(RefundNotFailed, "The refund has not failed, or was tried again already.", REFUND)
        }
        R::RefundCount => row(
            RefundCount,
            "An order has at most 200 refunds that are asked for. What is still to go back can go \
             by cancelling its items.",
            At::Nowhere,
        ),
        R::RefundTooMuch { refundable_minor } => row(
            RefundTooMuch,
            format!("At most {refundable_minor}, in minor units, can still go back."),
            AMOUNT,
        ),
    }
}

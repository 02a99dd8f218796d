//! The port to whoever moves money. Hakken asks for refunds; payments it is told of.

use std::fmt;

use futures_util::future::BoxFuture;
use hakken_domain::{
    money::Currency,
    names::{MoneyRef, OrderId, OrganizerId, PaymentId, PaymentMethod, Reason, RefundId},
};

/// Money that is to go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRequest {
    /// Whose money it is to give.
    pub organizer: Option<OrganizerId>,
    /// Of which order.
    pub order: OrderId,
    /// The same id twice moves the money once.
    pub refund: RefundId,
    /// The payment of which it is.
    pub payment: PaymentId,
    /// How that payment moved.
    pub method: PaymentMethod,
    /// How much.
    pub amount_minor: u64,
    /// Of which currency.
    pub currency: Currency,
}

/// What became of a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOutcome {
    /// The money has gone out.
    Settled {
        /// The provider's word for it.
        reference: MoneyRef,
    },
    /// The provider will not do it.
    Refused {
        /// What it said.
        reason: Reason,
    },
    /// Somebody moves it by hand and says so (`settleRefund`).
    Manual,
}

/// The provider could not be asked just now: try again.
#[derive(Debug)]
pub struct PaymentsError(pub Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for PaymentsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the payment provider cannot be reached: {}", self.0)
    }
}

impl std::error::Error for PaymentsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_ref())
    }
}

/// Whoever moves money.
pub trait Payments: Send + Sync + 'static {
    /// Gives money back. The same `refund` id twice moves it once.
    fn refund(&self, request: RefundRequest)
    -> BoxFuture<'_, Result<RefundOutcome, PaymentsError>>;
}

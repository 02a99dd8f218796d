//! Refunds that people make.

use futures_util::future::BoxFuture;
use hakken_commands::payments::{Payments, PaymentsError, RefundOutcome, RefundRequest};

/// The integrator moves the money with their own provider and reports it (`settleRefund`).
#[derive(Debug, Clone, Copy, Default)]
pub struct ManualPayments;

impl Payments for ManualPayments {
    fn refund(
        &self,
        _request: RefundRequest,
    ) -> BoxFuture<'_, Result<RefundOutcome, PaymentsError>> {
        Box::pin(std::future::ready(Ok(RefundOutcome::Manual)))
    }
}

//! Refunds: money that is to go back is given to the payment provider, and what came of it is
//! recorded. It has a checkpoint of its own, so that a provider that cannot be reached holds
//! nobody's tickets up.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hakken_domain::{
    Event, State,
    envelope::StoredEvent,
    names::OrderId,
    order::{self, RefundRequested},
};

use super::{
    Process, Retry,
    ledger::{Ledger, RefundsLedger},
    steps::Steps,
};
use crate::{
    engine::Engine,
    payments::{Payments, RefundOutcome, RefundRequest},
};

/// The process.
pub struct Refunds {
    engine: Engine,
    payments: Arc<dyn Payments>,
}

impl Refunds {
    /// Refunds through this provider.
    pub fn new(engine: Engine, payments: Arc<dyn Payments>) -> Self {
        Self { engine, payments }
    }

    async fn refund(&self, event: &StoredEvent, asked: &RefundRequested) -> Result<(), Retry> {
        let steps = Steps { engine: &self.engine, event, process: self.name() };
        let stream = event.stream;
        let payment = asked.payment.clone();
        let found = steps
            .read(stream, move |state| {
                let State::Order(order) = state else { unreachable!("an order's stream") };
                let method = order.payment(&payment)?.method.clone();
                Some((order.currency()?, method))
            })
            .await?;
        let Some((currency, method)) = found else {
            return Err(Retry(format!("{stream} has no payment {}", asked.payment)));
        };
        let request = RefundRequest {
            organizer: steps.organizer(),
            order: OrderId(stream.id),
            refund: asked.refund,
            payment: asked.payment.clone(),
            method,
            amount_minor: asked.amount_minor,
            currency,
        };
        let outcome =
            self.payments.refund(request).await.map_err(|error| Retry(error.to_string()))?;
        let command = match outcome {
            RefundOutcome::Manual => return Ok(()),
            RefundOutcome::Settled { reference } => {
                order::Command::SettleRefund { refund: asked.refund, reference }
            }
            RefundOutcome::Refused { reason } => {
                order::Command::FailRefund { refund: asked.refund, reason }
            }
        };
        // A refusal means that somebody recorded the outcome by hand meanwhile.
        let _ = steps.send("outcome", stream, command).await?;
        Ok(())
    }
}

impl Process for Refunds {
    fn name(&self) -> &'static str {
        "refunds"
    }

    fn concerns(&self, event: &StoredEvent) -> bool {
        event.kind == "refund-requested"
    }

    fn ledger(&self) -> Option<Box<dyn Ledger>> {
        Some(Box::<RefundsLedger>::default())
    }

    fn react<'a>(&'a self, event: &'a StoredEvent) -> BoxFuture<'a, Result<(), Retry>> {
        Box::pin(async move {
            match event.decoded().map(|decoded| &decoded.event) {
                Ok(Event::Order(order::Event::RefundRequested(asked))) => {
                    self.refund(event, asked).await
                }
                _ => Ok(()),
            }
        })
    }
}

//! An order: what was sold for how much, paid ≤ due, refunded ≤ paid.

mod command;
mod decide;
mod events;
#[cfg(test)]
mod properties;
mod refunds;
mod state;
#[cfg(test)]
mod tests;

pub use command::*;
pub use events::*;
pub use state::{
    OrderItem, OrderPayment, OrderRefund, OrderStatus, PendingCancellation, RefundState, State,
};

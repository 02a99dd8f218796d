//! Process managers: they follow the events from a durable checkpoint and answer some of them
//! with commands. The commands' keys are derived from the event, so answering it twice changes
//! nothing; nothing depends on writing two streams at once.

mod checkout;
mod duty;
mod ledger;
mod refunds;
mod runner;
mod steps;
mod sweeper;

pub use checkout::{Checkout, ticket_of};
pub use duty::Duty;
pub use ledger::Ledger;
pub use refunds::Refunds;
pub(crate) use runner::start_traced;
pub use runner::{Process, ProcessHandle, Retry, start};
pub use sweeper::{Sweeper, start_sweeper};

/// Whoever follows the events from a checkpoint, by the name of that checkpoint.
pub const NAMES: [&str; 3] = ["checkout", "refunds", sweeper::NAME];

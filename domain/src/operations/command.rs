//! What operators may decide, and why it may be refused.

use super::events::{EventSkipped, SkipWithdrawn};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Let a read model leave an event out.
    SkipEvent(EventSkipped),
    /// Let it fold that event after all.
    WithdrawSkip(SkipWithdrawn),
}

/// Why a command is refused, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The read model does not leave this event out.
    SkipUnknown,
    /// As many events are left out already as one may leave out.
    TooManySkips,
}

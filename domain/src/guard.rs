//! The guards: conditions without which a promise of Hakken does not hold. Each stands in the code
//! as `Guard::SeatTaken.sees(condition)`, which is the condition itself and costs nothing.
//!
//! With the feature `sabotage` a thread can take one of them out, to show that the tests would
//! notice. The feature is for tests alone: no crate but theirs may name it, and a tidy check looks.

macro_rules! guards {
    ($($(#[$what:meta])* $name:ident,)*) => {
        /// A guard, named by what it sees.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Guard { $($(#[$what])* $name,)* }

        impl Guard {
            /// Every guard.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

guards! {
    /// A seat is held or sold already on a leg.
    SeatTaken,
    /// A seat is blocked.
    SeatBlocked,
    /// A seat is kept for somebody else.
    SeatAllotted,
    /// A pool has fewer places left.
    PoolExhausted,
    /// A buyer would have more places than one buyer may.
    BuyerLimit,
    /// A hold is sold to another order.
    HoldSold,
    /// A hold's time has passed, which is recorded before anything else is decided.
    HoldLapsed,
    /// More is paid than is due.
    PaidTooMuch,
    /// A payment is known already.
    PaymentKnown,
    /// Money came when the order was over, and goes back.
    PaidLate,
    /// More is to go back than came in.
    RefundTooMuch,
    /// An item is cancelled already.
    ItemCancelled,
    /// A ticket is issued already.
    AlreadyIssued,
    /// A ticket was used as often as it may be.
    AlreadyUsed,
    /// A code was replaced by a newer one.
    CodeReplaced,
    /// A ticket is void.
    TicketVoid,
    /// A ticket's payment was taken back.
    TicketSuspended,
    /// A ticket is for another show.
    WrongShow,
    /// A code is not signed by us.
    CodeForged,
    /// A code's key is disabled.
    KeyDisabled,
    /// A command key was used before.
    KeyKnown,
    /// A command key was used for another request.
    KeyReused,
    /// A stream is another organizer's.
    NotYours,
    /// What an answer stands on is not durable yet.
    NotDurable,
    /// What was decided stands on a batch of which nobody knows whether it was written.
    DecidedOnTop,
    /// The store must not be written any more.
    StoreFailed,
    /// Others may have written the stream since it was read.
    Unproven,
    /// What lies ready to be seen is about to change.
    TakenDown,
    /// A stream has another version than the append expects.
    OtherVersion,
    /// A stream is being read anew, and what an older reading found comes late.
    OlderReading,
    /// What looks like damage may be in the midst of being written.
    BeingWritten,
    /// An event is not answered yet, so that no checkpoint may pass it.
    Unanswered,
    /// A hold is live, so that the sweeper's checkpoint may not pass its beginning.
    HoldLive,
    /// A place of an order is gone: the order fails before anything is given back.
    PlaceGone,
    /// A ticket's money is to go back: the ticket is void before that.
    TicketLive,
    /// A show that is called off is on sale.
    CalledOff,
    /// Rows changed, and their checkpoint with them.
    RowsChanged,
    /// A rebuild is behind what is served, and catches up before both are swapped.
    RebuildBehind,
    /// A rebuild differs from what is served, and is folded twice before both are swapped.
    FoldedTwice,
}

impl Guard {
    /// The condition that it looks at.
    #[inline(always)]
    #[must_use]
    pub fn sees(self, condition: bool) -> bool {
        condition && !self.is_out()
    }

    /// It is there: for what a guard does rather than sees.
    #[inline(always)]
    #[must_use]
    pub fn stands(self) -> bool {
        !self.is_out()
    }

    /// Was it taken out? Never in a program that is not a test.
    #[cfg(not(feature = "sabotage"))]
    #[inline(always)]
    #[must_use]
    pub const fn is_out(self) -> bool {
        false
    }
}

#[cfg(feature = "sabotage")]
pub use sabotage::Out;

#[cfg(feature = "sabotage")]
mod sabotage {
    use std::cell::Cell;

    use super::Guard;

    thread_local! {
        static OUT: Cell<Option<Guard>> = const { Cell::new(None) };
    }

    /// While it lives, a guard is out on this thread.
    #[derive(Debug)]
    #[must_use]
    pub struct Out(());

    impl Drop for Out {
        fn drop(&mut self) {
            OUT.set(None);
        }
    }

    impl Guard {
        /// Was it taken out on this thread?
        #[must_use]
        pub fn is_out(self) -> bool {
            OUT.get() == Some(self)
        }

        /// Takes it out on this thread, alone.
        pub fn take_out(self) -> Out {
            OUT.set(Some(self));
            Out(())
        }
    }
}

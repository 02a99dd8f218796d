//! The codes that stand in `userErrors`: closed, so that clients can switch on them.

use async_graphql::{Enum, SimpleObject};

/// Why a mutation was refused. Nothing changed; the same idempotency key may be used again once
/// the cause is gone. The message says what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "ErrorCode")]
pub enum ErrorCode {
    /// A field of the input cannot be read: too long, empty, or of the wrong form.
    BadUserInput,
    /// The idempotency key was used before with another request.
    IdempotencyKeyReused,
    /// The seat map cannot be read, or breaks a rule of its own.
    SeatMapInvalid,
    /// No show with this id is on sale.
    SalesNotOpened,
    /// The show is on sale already.
    SalesAlreadyOpened,
    /// A show has 1 to 64 legs.
    LegsOutOfRange,
    /// The sales rules contradict themselves or are beyond their bounds.
    RulesInvalid,
    /// The hold is known already, with other contents.
    HoldExists,
    /// There is no hold with this id.
    HoldUnknown,
    /// The time of the hold has passed.
    HoldExpired,
    /// The hold was given back.
    HoldReleased,
    /// The hold has expired or was given back.
    HoldOver,
    /// The hold is sold already.
    HoldConfirmed,
    /// The hold is sold to another order.
    HoldConfirmedForAnother,
    /// The same hold stands twice in one order.
    HoldRepeated,
    /// The hold belongs to another buyer.
    BuyerDiffers,
    /// The order's items are not what the hold has.
    PlacesDiffer,
    /// The hold cannot end later than it does.
    ExtensionLimit,
    /// Sales have not begun.
    SalesNotStarted,
    /// Sales are over.
    SalesEnded,
    /// Nothing was asked for.
    NothingWanted,
    /// The show has no such legs.
    LegsUnknown,
    /// More places than one hold may have.
    TooManyPlaces,
    /// The show has had as many allotments already as one may have.
    TooManyAllotments,
    /// No seat has this id.
    SeatUnknown,
    /// The same seat stands twice in the request.
    SeatRepeated,
    /// No pool has this id.
    PoolUnknown,
    /// The same pool stands twice in the request, or with 0 places.
    PoolRepeatedOrEmpty,
    /// No allotment has this name.
    AllotmentUnknown,
    /// The seat is out of sale.
    SeatBlocked,
    /// The seat is kept for somebody.
    SeatAllotted,
    /// The seat is held or sold already.
    SeatTaken,
    /// The seat is not blocked.
    SeatNotBlocked,
    /// Not so many places are free in the pool.
    PoolExhausted,
    /// No section has this name, or no seat this category.
    NoSuchSeats,
    /// Not so many seats are free.
    NotEnoughSeats,
    /// Nowhere are so many seats free side by side.
    NoAdjacentSeats,
    /// The buyer would have more places than one may.
    BuyerLimit,
    /// The order never had this place.
    PlaceNotSold,
    /// The hold does not have this place, or not so often.
    PlaceNotHeld,
    /// A place of the hold has no ticket type.
    TicketTypeMissing,
    /// The ticket type is not offered for this place on these legs.
    TicketTypeNotOffered,
    /// No ticket type has this name.
    TicketTypeUnknown,
    /// The shows of one order must have one currency.
    CurrencyDiffers,
    /// The amount is in another currency than the order.
    CurrencyMismatch,
    /// No order has this id.
    OrderUnknown,
    /// The order is placed already, with other items.
    OrderExists,
    /// An order has 1 to 100 items.
    ItemCount,
    /// The same seat stands twice in the order.
    ItemsInvalid,
    /// The sum is more than one amount can be.
    TotalTooLarge,
    /// No payment at all, or more than 50 in one order.
    PaymentCount,
    /// The amount is 0, or more than one amount can be.
    AmountInvalid,
    /// The payment is known already, with another amount or method.
    PaymentDiffers,
    /// More than what is due.
    PaidTooMuch,
    /// Less than what is due.
    PaidTooLittle,
    /// The order has no such payment.
    PaymentUnknown,
    /// The order has no such cancellation.
    CancellationUnknown,
    /// The order has no such item.
    ItemUnknown,
    /// The same item stands twice in the request.
    ItemRepeated,
    /// An item of the cancellation has no answer.
    ItemMissing,
    /// The item is cancelled already.
    ItemCancelled,
    /// The order is over: cancelled or unfulfilled.
    OrderOver,
    /// Every place is sold to the order: it can only be cancelled.
    OrderConfirmed,
    /// Not everything is paid.
    NotPaid,
    /// The order is paid and its places are being sold.
    CheckoutUnderWay,
    /// Another cancellation of the order is under way.
    CancellationUnderWay,
    /// The order has no such refund.
    RefundUnknown,
    /// The refund is known already, with other contents.
    RefundExists,
    /// The refund is settled already.
    RefundSettled,
    /// The refund has failed already.
    RefundFailed,
    /// The refund has not failed, or was tried again already.
    RefundNotFailed,
    /// The order has as many refunds already as one may be asked for.
    RefundCount,
    /// More than what can still go back.
    RefundTooMuch,
    /// No ticket has this id.
    TicketUnknown,
    /// The ticket exists already, with other contents.
    TicketExists,
    /// The ticket is cancelled.
    TicketVoid,
    /// Nobody has the ticket's code yet.
    TicketNotIssued,
    /// The ticket's code is given out already.
    AlreadyIssued,
    /// The issuance deadline has passed.
    IssuanceDeadlinePassed,
    /// Somebody came in with the ticket already.
    AlreadyUsed,
    /// The payment of the ticket was taken back.
    TicketSuspended,
    /// The ticket was issued as often as its code can tell.
    TooManyReissues,
    /// No show has this id.
    ShowUnknown,
    /// The show is scheduled already, with other contents.
    ShowExists,
    /// The show will not take place.
    ShowCancelled,
    /// A time lies before the one that it must follow.
    TimesInvalid,
    /// One stop alone, or more than 65.
    StopsInvalid,
    /// The price is more than one amount can be.
    PriceInvalid,
    /// Two fares for the same legs, or for legs that the show does not have.
    FaresInvalid,
    /// More than 500 ticket types.
    TooManyTicketTypes,
    /// No venue has this id.
    VenueUnknown,
    /// The venue is registered already, with other contents.
    VenueExists,
    /// No organizer has this id.
    OrganizerUnknown,
    /// The organizer is registered already, with another name.
    OrganizerExists,
    /// Only a key that belongs to an organizer can do this.
    OrganizerMissing,
    /// All numbers of code keys are used.
    CodeKeysExhausted,
    /// The organizer has no code key with this number.
    CodeKeyUnknown,
    /// The code key signs new codes: rotate it first.
    CodeKeySigning,
    /// No API key has this id.
    ApiKeyUnknown,
    /// The API key exists already, with other contents.
    ApiKeyExists,
    /// An operator belongs to no organizer, every other role to one.
    RoleNeedsOrganizer,
    /// No projection has this name.
    ProjectionUnknown,
    /// The projection is being built already.
    BuildUnderWay,
    /// The rows of one show of the projection cannot be rebuilt alone.
    ShowNotSeparable,
    /// The projection keeps no rows that were served before.
    NoFormerBuild,
    /// The projection has not stopped at this event.
    NotStoppedThere,
    /// The projection does not leave this event out.
    SkipUnknown,
    /// As many events are left out already as one may leave out.
    TooManySkips,
}

/// Why a mutation did nothing.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject)]
pub struct UserError {
    /// What clients switch on.
    pub code: ErrorCode,
    /// What was wrong and what to do next, in English, for developers: `Not so many places are free
    /// in the pool.` Do not parse it.
    pub message: String,
    /// The input field concerned, as a path within `input`: `seats.1`, `lines.0.hold`. Null when
    /// none in particular is.
    pub field: Option<String>,
}

//! Every refusal in one table: the rule that said no, the code that clients switch on, a sentence
//! that says what was wrong and what to do next, and the input field concerned. The matches are
//! exhaustive: a new rejection does not compile before it has its row.

use std::borrow::Cow;

use hakken_commands::{
    desk::{DeskRejection, PlaceName},
    engine::CommandError,
};
use hakken_domain::{
    Rejection, apikey,
    envelope::{StreamId, StreamKind},
    inventory, order, organizer, show, ticket, venue,
};

use crate::{
    codes::ErrorCode::{self, *},
    ids::GlobalId,
};

/// Which field of the input is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// None in particular.
    Nowhere,
    /// The first of these that the request has.
    Field(&'static [&'static str]),
    /// The one of these that has this value.
    Value(&'static [&'static str], String),
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: Cow<'static, str>,
    pub(crate) at: At,
}

fn row(code: ErrorCode, message: impl Into<Cow<'static, str>>, at: At) -> Refusal {
    Refusal { code, message: message.into(), at }
}

const SEAT: &[&str] = &["seats", "seat"];
const POOL: &[&str] = &["pools", "pool"];
const SHOW: At = At::Field(&["show"]);
const HOLD: At = At::Field(&["hold"]);
const BUYER: At = At::Field(&["buyer"]);
const ORDER: At = At::Field(&["order"]);
const RULES: At = At::Field(&["rules"]);
const REFUND: At = At::Field(&["refund"]);
const AMOUNT: At = At::Field(&["amount", "payments"]);
const TICKET: At = At::Field(&["ticket", "code"]);
const SEAT_MAP: At = At::Field(&["seatMap"]);
const PLACES: At = At::Field(&["bestAvailable", "seats", "pools"]);

fn seat(seat: &hakken_domain::names::SeatId) -> At {
    At::Value(SEAT, seat.to_string())
}

fn pool(pool: &hakken_domain::names::PoolId) -> At {
    At::Value(POOL, pool.to_string())
}

fn item(number: u16) -> At {
    At::Value(&["items"], number.to_string())
}

/// The answer to what a command refused; none for what is no refusal but a fault.
pub(crate) fn command(error: &CommandError, stream: StreamId) -> Option<Refusal> {
    match error {
        CommandError::Rejected(rejection) => Some(rejected(rejection)),
        CommandError::KeyReused => Some(row(
            IdempotencyKeyReused,
            "The idempotency key was used before with another request. Send the same request \
             again, or use a fresh key for this one.",
            At::Field(&["idempotencyKey"]),
        )),
        CommandError::NotYours => Some(not_yours(stream.kind)),
        CommandError::Busy | CommandError::Contended { .. } | CommandError::Unavailable => None,
    }
}

/// Other organizers' things look as if they did not exist: exactly as the rules answer there.
pub(crate) fn not_yours(kind: StreamKind) -> Refusal {
    match kind {
        StreamKind::Inventory => inventory(&inventory::Rejection::SalesNotOpened),
        StreamKind::Order => order(&order::Rejection::OrderUnknown),
        StreamKind::Ticket => ticket(&ticket::Rejection::TicketUnknown),
        StreamKind::Show | StreamKind::Gate => show(&show::Rejection::ShowUnknown),
        StreamKind::Venue => venue(&venue::Rejection::VenueUnknown),
        StreamKind::Organizer => organizer(&organizer::Rejection::OrganizerUnknown),
        StreamKind::Key => api_key(&apikey::Rejection::ApiKeyUnknown),
    }
}

fn rejected(rejection: &Rejection) -> Refusal {
    match rejection {
        Rejection::Inventory(rejection) => inventory(rejection),
        Rejection::Order(rejection) => order(rejection),
        Rejection::Ticket(rejection) => ticket(rejection),
        Rejection::Show(rejection) => show(rejection),
        Rejection::Venue(rejection) => venue(rejection),
        Rejection::Organizer(rejection) => organizer(rejection),
        Rejection::Key(rejection) => api_key(rejection),
        Rejection::Gate(rejection) => match *rejection {},
    }
}

fn inventory(rejection: &inventory::Rejection) -> Refusal {
    use inventory::Rejection as R;
    match rejection {
        R::SalesNotOpened => row(
            SalesNotOpened,
            "No show with this id is on sale. Check the id, or open its sales with `openSales`.",
            SHOW,
        ),
        R::SalesAlreadyOpened => row(
            SalesAlreadyOpened,
            "The show is on sale already. Use `changeSalesRules` to change when and how much one \
             may buy; the seat map stays.",
            SHOW,
        ),
        R::SeatMapInvalid => {
            row(SeatMapInvalid, "The seat map breaks a rule of its own.", SEAT_MAP)
        }
        R::LegsOutOfRange => row(LegsOutOfRange, "A show has 1 to 64 legs.", SHOW),
        R::RulesInvalid => row(
            RulesInvalid,
            "Sales must end after they begin, and every time and limit must be at least 1 and \
             within its bound.",
            RULES,
        ),
        R::HoldExists => {
            row(HoldExists, "The hold is known already, with other contents.", At::Nowhere)
        }
        R::HoldUnknown => row(HoldUnknown, "This show has no hold with this id.", HOLD),
        R::HoldExpired => row(
            HoldExpired,
            "The time of the hold has passed. Hold the seats again, if they are still free.",
            HOLD,
        ),
        R::HoldReleased => {
            row(HoldReleased, "The hold was given back. Hold the seats again.", HOLD)
        }
        R::HoldConfirmed => row(
            HoldConfirmed,
            "The hold is sold: its seats belong to an order. Cancel that order instead.",
            HOLD,
        ),
        R::HoldConfirmedForAnother => {
            row(HoldConfirmedForAnother, "The hold is sold to another order.", HOLD)
        }
        R::BuyerDiffers => row(BuyerDiffers, "The hold belongs to another buyer.", BUYER),
        R::PlacesDiffer => row(PlacesDiffer, "The order's items are not what the hold has.", HOLD),
        R::ExtensionLimit => row(
            ExtensionLimit,
            "The hold cannot end later than it does: the show's rules allow no more. Place and \
             pay the order before it ends.",
            HOLD,
        ),
        R::SalesNotStarted => row(
            SalesNotStarted,
            "Sales have not begun. Try again at `sales.rules.salesFrom` of the show.",
            SHOW,
        ),
        R::SalesEnded => row(SalesEnded, "Sales of this show are over.", SHOW),
        R::NothingWanted => row(
            NothingWanted,
            "Nothing was asked for: name seats or pools, or say how many with `bestAvailable`.",
            PLACES,
        ),
        R::LegsUnknown => row(
            LegsUnknown,
            "The show has no such legs: `to` may be at most its number of legs.",
            At::Field(&["legs"]),
        ),
        R::TooManyPlaces => row(
            TooManyPlaces,
            "More places than one hold of this show may have. Ask for fewer, or make several \
             holds.",
            PLACES,
        ),
        R::TooManyAllotments => row(
            TooManyAllotments,
            "A show has at most 1000 allotments, empty ones included. Fill one that is there \
             already.",
            At::Field(&["allotment"]),
        ),
        R::SeatUnknown(id) => {
            row(SeatUnknown, format!("The show has no seat {:?}.", id.as_str()), seat(id))
        }
        R::SeatRepeated(id) => row(
            SeatRepeated,
            format!("Seat {:?} stands twice in the request. Name it once.", id.as_str()),
            seat(id),
        ),
        R::PoolUnknown(id) => {
            row(PoolUnknown, format!("The show has no pool {:?}.", id.as_str()), pool(id))
        }
        R::PoolRepeatedOrEmpty(id) => row(
            PoolRepeatedOrEmpty,
            format!("Name pool {:?} once, with 1 place or more.", id.as_str()),
            pool(id),
        ),
        R::AllotmentUnknown => row(
            AllotmentUnknown,
            "The show has no allotment with this name.",
            At::Field(&["allotment"]),
        ),
        R::SeatBlocked(id) => row(
            SeatBlocked,
            format!("Seat {:?} is out of sale. Choose another.", id.as_str()),
            seat(id),
        ),
        R::SeatAllotted(id) => row(
            SeatAllotted,
            format!(
                "Seat {:?} is kept for somebody. Choose another, or name its allotment.",
                id.as_str()
            ),
            seat(id),
        ),
        R::SeatTaken(id) => row(
            SeatTaken,
            format!(
                "Seat {:?} is held or sold already. Choose another; `availability` shows what is \
                 free.",
                id.as_str()
            ),
            seat(id),
        ),
        R::SeatNotBlocked(id) => {
            row(SeatNotBlocked, format!("Seat {:?} is not blocked.", id.as_str()), seat(id))
        }
        R::PoolExhausted(id) => row(
            PoolExhausted,
            format!(
                "Not so many places are free in pool {:?}. Ask for fewer; `availability` shows \
                 how many there are.",
                id.as_str()
            ),
            pool(id),
        ),
        R::NoSuchSeats => row(
            NoSuchSeats,
            "The show has no section with this name, or no seat of this category.",
            At::Field(&["section", "category", "bestAvailable"]),
        ),
        R::NotEnoughSeats => row(
            NotEnoughSeats,
            "Not so many seats are free. Ask for fewer, or without a section or category.",
            At::Field(&["count", "bestAvailable"]),
        ),
        R::NoAdjacentSeats => row(
            NoAdjacentSeats,
            "Enough seats are free, but nowhere so many side by side. Ask for fewer, or with \
             `maySplit: true`.",
            At::Field(&["count", "bestAvailable"]),
        ),
        R::BuyerLimit => row(
            BuyerLimit,
            "With this the buyer would have more places of this show than one may.",
            BUYER,
        ),
        R::PlaceNotSold => {
            row(PlaceNotSold, "The order never had this place under this hold.", HOLD)
        }
    }
}

fn order(rejection: &order::Rejection) -> Refusal {
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

fn ticket(rejection: &ticket::Rejection) -> Refusal {
    use ticket::Rejection as R;
    match rejection {
        R::TicketUnknown => row(TicketUnknown, "There is no ticket with this id.", TICKET),
        R::TicketExists => {
            row(TicketExists, "The ticket exists already, with other contents.", TICKET)
        }
        R::TicketVoid => {
            row(TicketVoid, "The ticket is cancelled: nobody can enter with it.", TICKET)
        }
        R::NotIssued => row(
            TicketNotIssued,
            "Nobody has the ticket's code yet. Issue it first with `issueTicket`.",
            TICKET,
        ),
        R::AlreadyIssued => row(
            AlreadyIssued,
            "The ticket's code is given out already. If it was lost, use `reissueTicket`: the \
             old code is then dead.",
            TICKET,
        ),
        R::IssuanceDeadlinePassed => {
            row(IssuanceDeadlinePassed, "The issuance deadline of the ticket has passed.", TICKET)
        }
        R::AlreadyUsed => row(
            AlreadyUsed,
            "Somebody came in with the ticket already, and its show allows no re-entry.",
            TICKET,
        ),
        R::TicketSuspended => row(
            TicketSuspended,
            "The payment of the ticket was taken back. It comes back to life when the order is \
             paid again.",
            TICKET,
        ),
        R::TooManyReissues => {
            row(TooManyReissues, "The ticket was issued 65,535 times: no more.", TICKET)
        }
    }
}

fn show(rejection: &show::Rejection) -> Refusal {
    use show::Rejection as R;
    match rejection {
        R::ShowUnknown => row(ShowUnknown, "There is no show with this id.", SHOW),
        R::ShowExists => {
            row(ShowExists, "The show is scheduled already, with other contents.", At::Nowhere)
        }
        R::ShowCancelled => row(ShowCancelled, "The show will not take place.", SHOW),
        R::TimesInvalid => row(
            TimesInvalid,
            "The show must end after it begins, and entry must close after it opens.",
            At::Field(&["endsAt", "entry"]),
        ),
        R::StopsInvalid => row(
            StopsInvalid,
            "A trip has 2 to 65 stops; a concert names none.",
            At::Field(&["stops"]),
        ),
        R::PriceInvalid => {
            row(PriceInvalid, "A price is at most 10^15 minor units.", At::Field(&["priceMinor"]))
        }
        R::FaresInvalid => row(
            FaresInvalid,
            "Two fares are for the same legs, or for legs that the show does not have.",
            At::Field(&["fares"]),
        ),
        R::TooManyTicketTypes => row(
            TooManyTicketTypes,
            "A show has at most 500 ticket types, withdrawn ones included.",
            At::Field(&["ticketType"]),
        ),
        R::TicketTypeUnknown => row(
            TicketTypeUnknown,
            "The show has no ticket type with this name.",
            At::Field(&["ticketType"]),
        ),
    }
}

fn venue(rejection: &venue::Rejection) -> Refusal {
    use venue::Rejection as R;
    match rejection {
        R::VenueUnknown => {
            row(VenueUnknown, "There is no venue with this id.", At::Field(&["venue"]))
        }
        R::VenueExists => {
            row(VenueExists, "The venue is registered already, with other contents.", At::Nowhere)
        }
        R::SeatMapInvalid(why) => row(SeatMapInvalid, format!("{why}."), SEAT_MAP),
    }
}

fn organizer(rejection: &organizer::Rejection) -> Refusal {
    use organizer::Rejection as R;
    match rejection {
        R::OrganizerUnknown => {
            row(OrganizerUnknown, "There is no organizer with this id.", At::Field(&["organizer"]))
        }
        R::OrganizerExists => row(
            OrganizerExists,
            "The organizer is registered already, with another name.",
            At::Field(&["name"]),
        ),
        R::CodeKeysExhausted => {
            row(CodeKeysExhausted, "All 255 numbers of code keys are used.", At::Nowhere)
        }
        R::CodeKeyUnknown => row(
            CodeKeyUnknown,
            "The organizer has no code key with this number.",
            At::Field(&["codeKey"]),
        ),
        R::CodeKeySigning => row(
            CodeKeySigning,
            "This key signs new codes. Rotate it first with `rotateCodeKey`.",
            At::Field(&["codeKey"]),
        ),
    }
}

fn api_key(rejection: &apikey::Rejection) -> Refusal {
    use apikey::Rejection as R;
    match rejection {
        R::ApiKeyUnknown => {
            row(ApiKeyUnknown, "There is no API key with this id.", At::Field(&["apiKey"]))
        }
        R::ApiKeyExists => {
            row(ApiKeyExists, "The API key exists already, with other contents.", At::Nowhere)
        }
        R::RoleNeedsOrganizer => row(
            RoleNeedsOrganizer,
            "A key with the role OPERATOR belongs to no organizer, every other key to one.",
            At::Field(&["organizer", "role"]),
        ),
    }
}

fn place(place: &PlaceName) -> (String, At) {
    match place {
        PlaceName::Seat(id) => (format!("seat {:?}", id.as_str()), seat(id)),
        PlaceName::Pool(id) => (format!("pool {:?}", id.as_str()), pool(id)),
    }
}

/// The answer to what the desk refused.
pub(crate) fn desk(rejection: &DeskRejection) -> Refusal {
    use DeskRejection as R;
    let hold = |id: &hakken_domain::names::HoldId| At::Value(&["hold"], id.global().0);
    let named_show = |id: &hakken_domain::names::ShowId| At::Value(&["show"], id.global().0);
    match rejection {
        R::ShowUnknown(id) => Refusal { at: named_show(id), ..show(&show::Rejection::ShowUnknown) },
        R::ShowCancelled(id) => {
            Refusal { at: named_show(id), ..show(&show::Rejection::ShowCancelled) }
        }
        R::VenueUnknown => venue(&venue::Rejection::VenueUnknown),
        R::HoldUnknown(id) => {
            Refusal { at: hold(id), ..inventory(&inventory::Rejection::HoldUnknown) }
        }
        R::HoldOver(id) => row(
            HoldOver,
            "The hold is over: its time has passed, or it was given back. Hold the seats again, \
             if they are still free.",
            hold(id),
        ),
        R::HoldConfirmed(id) => {
            Refusal { at: hold(id), ..inventory(&inventory::Rejection::HoldConfirmed) }
        }
        R::BuyerDiffers(id) => {
            Refusal { at: hold(id), ..inventory(&inventory::Rejection::BuyerDiffers) }
        }
        R::HoldRepeated(id) => {
            row(HoldRepeated, "The same hold stands twice in the order. Name it once.", hold(id))
        }
        R::PlaceNotHeld(_, name) => {
            let (name, at) = place(name);
            row(PlaceNotHeld, format!("The hold does not have {name}, or not so often."), at)
        }
        R::TicketTypeMissing(id, name) => {
            let (name, _) = place(name);
            let message = format!(
                "No ticket type is named for {name}: give the line a `ticketType`, or name one \
                 for it under `tickets`."
            );
            row(TicketTypeMissing, message, hold(id))
        }
        R::TicketTypeNotOffered(ticket_type, name) => {
            let (name, _) = place(name);
            let message = format!(
                "Ticket type {:?} is not offered for {name} on these legs. `ticketTypes` of the \
                 show says what is.",
                ticket_type.as_str()
            );
            row(TicketTypeNotOffered, message, At::Value(&["ticketType"], ticket_type.to_string()))
        }
        R::CurrencyDiffers(id) => row(
            CurrencyDiffers,
            "The shows of one order must have one currency. Place an order for each currency.",
            named_show(id),
        ),
        R::TooManyItems => order(&order::Rejection::ItemCount),
        R::TicketUnknown => ticket(&ticket::Rejection::TicketUnknown),
        R::TicketNotIssued => ticket(&ticket::Rejection::NotIssued),
        R::OrganizerMissing => row(
            OrganizerMissing,
            "Only a key that belongs to an organizer can do this.",
            At::Nowhere,
        ),
    }
}

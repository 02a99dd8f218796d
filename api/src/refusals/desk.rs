//! What the desk refuses, which looks at several streams before it commands one.

use hakken_commands::desk::{DeskRejection, PlaceName};
use hakken_domain::{inventory, order, show, ticket, venue};

use super::{
    At, Refusal,
    catalogue::{show, venue},
    inventory::inventory,
    order::order,
    pool, row, seat,
    ticket::ticket,
};
use crate::{codes::ErrorCode::*, ids::GlobalId};

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

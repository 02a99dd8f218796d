//! Shows, venues, organizers, API keys, and what operators decide.

use hakken_domain::{apikey, operations, organizer, show, venue};

use super::{At, Refusal, SEAT_MAP, SHOW, row};
use crate::codes::ErrorCode::*;

pub(super) fn show(rejection: &show::Rejection) -> Refusal {
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

pub(super) fn venue(rejection: &venue::Rejection) -> Refusal {
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

pub(super) fn organizer(rejection: &organizer::Rejection) -> Refusal {
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

pub(super) fn api_key(rejection: &apikey::Rejection) -> Refusal {
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

pub(super) fn operation(rejection: &operations::Rejection) -> Refusal {
    use operations::Rejection as R;
    match rejection {
        R::SkipUnknown => row(
            SkipUnknown,
            "The projection does not leave this event out: `projections { skipped { position } }` \
             lists those it does.",
            At::Field(&["position"]),
        ),
        R::TooManySkips => row(
            TooManySkips,
            "10,000 events are left out already: rebuild the projection with a release that reads \
             them, and withdraw those.",
            At::Nowhere,
        ),
    }
}

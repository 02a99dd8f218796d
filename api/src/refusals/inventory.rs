//! Holds, seats, pools, allotments and sales.

use hakken_domain::inventory;

use super::{At, BUYER, HOLD, PLACES, RULES, Refusal, SEAT_MAP, SHOW, pool, row, seat};
use crate::codes::ErrorCode::*;

pub(super) fn inventory(rejection: &inventory::Rejection) -> Refusal {
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

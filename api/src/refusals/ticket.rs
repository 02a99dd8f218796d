//! Tickets and their codes.

use hakken_domain::ticket;

use super::{Refusal, TICKET, row};
use crate::codes::ErrorCode::*;

pub(super) fn ticket(rejection: &ticket::Rejection) -> Refusal {
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

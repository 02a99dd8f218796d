//! The objects of the schema. Each can be made from the rules' own state, for the answers to
//! mutations, and from its read model, for queries.

mod availability;
mod event;
mod hold;
mod money;
mod order;
mod organizer;
mod places;
mod projection;
mod refusal;
mod report;
mod show;
mod ticket;
mod venue;

use super::connection::connection;

pub(crate) use availability::version_of;
pub use availability::{Availability, AvailabilityChange};
pub use event::{AuditEntry, Event, Issuance, IssuanceAct, Scan};
pub use hold::{Hold, HoldStatus};
pub use money::Money;
pub use order::{Order, OrderStatus, Refund, RefundStatus};
pub use organizer::{ApiKey, Organizer, Role};
pub use places::{Legs, LegsInput, PoolPlacesInput, PoolPlacesView};
pub(crate) use projection::event_at;
pub use projection::{AsOfInput, BuildReport, Process, Projection};
pub use refusal::NewestRefusal;
pub use report::{MoneyReport, SalesReport};
pub use show::{Entry, IssuanceMode, Sales, SalesRulesInput, Show};
pub use ticket::{Ticket, TicketStatus};
pub use venue::{SeatMap, Venue};

connection! {
    OrganizerConnection, OrganizerEdge of Organizer =
        "A page of organizers, in the order in which they were registered.", "An organizer of a page.";
    ApiKeyConnection, ApiKeyEdge of ApiKey =
        "A page of API keys, in the order in which they were made.", "An API key of a page.";
    VenueConnection, VenueEdge of Venue =
        "A page of venues, in the order in which they were registered.", "A venue of a page.";
    ShowConnection, ShowEdge of Show =
        "A page of shows, by the time at which they begin.", "A show of a page.";
    HoldConnection, HoldEdge of Hold =
        "A page of holds, in the order in which they were made.", "A hold of a page.";
    OrderConnection, OrderEdge of Order =
        "A page of orders, in the order in which they were placed.", "An order of a page.";
    RefundConnection, RefundEdge of Refund =
        "A page of refunds, in the order in which they were asked for.", "A refund of a page.";
    TicketConnection, TicketEdge of Ticket =
        "A page of tickets, in the order in which they were made.", "A ticket of a page.";
    ScanConnection, ScanEdge of Scan =
        "A page of scans, in the order in which they happened.", "A scan of a page.";
    IssuanceConnection, IssuanceEdge of Issuance =
        "A page of the issuance history, in the order in which it happened.",
        "An act of the issuance history.";
    AuditConnection, AuditEdge of AuditEntry =
        "A page of the audit log, in the order in which things happened.",
        "An entry of the audit log.";
}

//! The objects of the schema. Each can be made from the rules' own state, for the answers to
//! mutations, and from its read model, for queries.

mod hold;
mod money;
mod order;
mod organizer;
mod places;
mod projection;
mod show;
mod ticket;
mod venue;

pub use hold::{Hold, HoldStatus};
pub use money::Money;
pub use order::{Order, OrderStatus, Refund, RefundStatus};
pub use organizer::{ApiKey, Organizer, Role};
pub use places::{Legs, LegsInput, PoolPlacesInput, PoolPlacesView};
pub use projection::{AsOfInput, BuildReport, Process, Projection};
pub use show::{
    Entry, Fare, IssuanceMode, OfferedTicketType, SalesRulesInput, Show,
};
pub use ticket::{Ticket, TicketStatus};
pub use venue::{MapPoint, SeatMap, Venue};

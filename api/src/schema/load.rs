//! Looks at single things, as the write side knows them: always fresh, and in memory for what is
//! in use.

use hakken_commands::engine::{CommandError, Tenant};
use hakken_domain::{
    State,
    envelope::{StreamId, Version},
    names::{ApiKeyId, OrderId, OrganizerId, ShowId, TicketId, VenueId},
};

use super::types::{ApiKey, Order, Organizer, Show, Ticket, Venue};
use crate::{
    faults::{Fault, infrastructure},
    ports::ApiContext,
};

/// Whose streams one sees who sees the things of this organizer, or of all.
pub(crate) fn tenant(sees: Option<OrganizerId>) -> Tenant {
    sees.map_or(Tenant::Any, |organizer| Tenant::Of(Some(organizer)))
}

/// Looks at a stream. What belongs to others looks as if it did not exist.
pub(crate) async fn look<R: Send + 'static>(
    api: &ApiContext,
    sees: Option<OrganizerId>,
    stream: impl Into<StreamId>,
    question: impl FnMut(&State, Version) -> Option<R> + Send + 'static,
) -> Result<Option<R>, Fault> {
    match api.write.engine().read(tenant(sees), stream, question).await {
        Ok(found) => Ok(found),
        Err(CommandError::NotYours) => Ok(None),
        Err(error) => {
            Err(infrastructure(&error).unwrap_or_else(|| Fault::Internal(error.to_string())))
        }
    }
}

macro_rules! looks {
    ($($(#[$doc:meta])* $name:ident, $id:ident, $kind:ident => $view:ident, $stream:expr;)*) => {
        $($(#[$doc])*
        pub(crate) async fn $name(
            api: &ApiContext,
            sees: Option<OrganizerId>,
            id: $id,
        ) -> Result<Option<$view>, Fault> {
            let stream: fn($id) -> StreamId = $stream;
            look(api, sees, stream(id), move |state, _| match state {
                State::$kind(state) => $view::from_state(id, state),
                _ => None,
            })
            .await
        })*
    };
}

looks! {
    /// An organizer.
    organizer, OrganizerId, Organizer => Organizer, StreamId::from;
    /// An API key.
    api_key, ApiKeyId, Key => ApiKey, StreamId::from;
    /// A venue with its seat map.
    venue, VenueId, Venue => Venue, StreamId::from;
    /// A show.
    show, ShowId, Show => Show, StreamId::show;
    /// An order.
    order, OrderId, Order => Order, StreamId::from;
    /// A ticket.
    ticket, TicketId, Ticket => Ticket, StreamId::from;
}

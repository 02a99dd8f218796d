//! Global ids: the type, an underscore, and the ULID: `order_01ARZ3NDEKTSV4RRFFQ69G5FAV`. People
//! can read them in a log, and an id of the wrong type is refused with a sentence.

use async_graphql::ID;
use hakken_domain::names::{
    ApiKeyId, CancellationId, EventId, HoldId, OrderId, OrganizerId, RefundId, ShowId, TicketId,
    VenueId, read_ulid,
};
use ulid::Ulid;

/// A text that is no id of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no id of {what}: it must be {prefix}_ and a ULID, such as {prefix}_01ARZ3NDEKTSV4RRFFQ69G5FAV"
)]
pub struct BadId {
    what: &'static str,
    prefix: &'static str,
    text: String,
}

/// An id that is unique among all things of the API.
pub trait GlobalId: Sized + Copy {
    /// What stands before the underscore.
    const PREFIX: &'static str;
    /// What it is the id of, with its article.
    const WHAT: &'static str;

    /// From the ULID alone.
    fn from_ulid(ulid: Ulid) -> Self;

    /// The ULID alone.
    fn ulid(self) -> Ulid;

    /// As the API shows it.
    fn global(self) -> ID {
        ID(format!("{}_{}", Self::PREFIX, self.ulid()))
    }

    /// From what the API showed.
    fn parse(text: &str) -> Result<Self, BadId> {
        text.strip_prefix(Self::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .and_then(read_ulid)
            .map(Self::from_ulid)
            .ok_or_else(|| BadId {
                what: Self::WHAT,
                prefix: Self::PREFIX,
                text: text.chars().take(64).collect(),
            })
    }
}

macro_rules! global_ids {
    ($($id:ident => $prefix:literal, $what:literal;)*) => {
        $(impl GlobalId for $id {
            const PREFIX: &'static str = $prefix;
            const WHAT: &'static str = $what;
            fn from_ulid(ulid: Ulid) -> Self { Self(ulid) }
            fn ulid(self) -> Ulid { self.0 }
        })*
    };
}

global_ids! {
    OrganizerId => "organizer", "an organizer";
    VenueId => "venue", "a venue";
    ShowId => "show", "a show";
    HoldId => "hold", "a hold";
    OrderId => "order", "an order";
    TicketId => "ticket", "a ticket";
    RefundId => "refund", "a refund";
    CancellationId => "cancellation", "a cancellation";
    ApiKeyId => "key", "an API key";
    EventId => "event", "an event";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_it_is_of() {
        let order = OrderId(Ulid(42));
        let id = order.global();
        assert_eq!(id.as_str(), "order_0000000000000000000000001A");
        assert_eq!(OrderId::parse(&id), Ok(order));
        assert_eq!(
            TicketId::parse(&id).unwrap_err().to_string(),
            "\"order_0000000000000000000000001A\" is no id of a ticket: it must be ticket_ and a \
             ULID, such as ticket_01ARZ3NDEKTSV4RRFFQ69G5FAV"
        );
        assert!(OrderId::parse("order_").is_err());
        assert!(OrderId::parse("0000000000000000000000001A").is_err());
    }
}

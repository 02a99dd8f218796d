//! Events to bytes and back. The table below is the storage format: a kind is a literal, for
//! ever. To change a shape, add a row with the next schema version, keep the old row, and let
//! the old row's function build the new event (an upcaster).

use crate::{
    Event, apikey,
    envelope::{Decoded, Metadata},
    gate, inventory, operations, order, organizer, show,
    text::{shortened, shortened_within},
    ticket, venue,
};

/// Most characters that an error says of a kind that is none.
const MOST_KIND: usize = 60;
/// Most characters of what the JSON reader says, which quotes what it read.
const MOST_REASON: usize = 300;

/// Why stored bytes are no event that this version knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer version, or by something else.
    #[error(
        "no event kind {kind:?} with schema version {schema} is known: is the store newer than this program?"
    )]
    UnknownKind {
        /// As stored.
        kind: String,
        /// As stored.
        schema: u16,
    },
    /// The data is not of its kind's shape.
    #[error("the data of a {kind:?} (schema version {schema}) cannot be read: {reason}")]
    BadData {
        /// As stored.
        kind: String,
        /// As stored.
        schema: u16,
        /// What the JSON reader says.
        reason: String,
    },
    /// The metadata is not of its shape.
    #[error("the metadata of a {kind:?} cannot be read: {reason}")]
    BadMetadata {
        /// As stored.
        kind: String,
        /// What the JSON reader says.
        reason: String,
    },
}

macro_rules! kinds {
    ($($kind:literal $schema:literal => $stream:ident :: $module:ident :: $variant:ident),* $(,)?) => {
        /// Every kind with its newest schema version.
        pub const KINDS: &[(&str, u16)] = &[$(($kind, $schema)),*];

        /// The kind and schema version with which an event is written.
        pub fn kind_of(event: &Event) -> (&'static str, u16) {
            match event {
                $(Event::$stream($module::Event::$variant(_)) => ($kind, $schema),)*
            }
        }

        /// The JSON of an event.
        pub fn encode(event: &Event) -> Vec<u8> {
            let mut bytes = Vec::with_capacity(192);
            let written = match event {
                $(Event::$stream($module::Event::$variant(data)) =>
                    serde_json::to_writer(&mut bytes, data),)*
            };
            written.expect("events have only string keys and finite numbers");
            bytes
        }

        /// The event that was stored.
        pub fn decode_event(kind: &str, schema: u16, data: &[u8]) -> Result<Event, DecodeError> {
            let bad = |error: serde_json::Error| DecodeError::BadData {
                kind: shortened(kind, MOST_KIND),
                schema,
                reason: shortened_within(&error.to_string(), MOST_REASON),
            };
            match (kind, schema) {
                $(($kind, $schema) => read_json(data)
                    .map(|data| Event::$stream($module::Event::$variant(data)))
                    .map_err(bad),)*
                _ => Err(DecodeError::UnknownKind { kind: shortened(kind, MOST_KIND), schema }),
            }
        }

        /// The kind as a literal, if it is a known one.
        pub fn known_kind(kind: &str) -> Option<&'static str> {
            match kind {
                $($kind => Some($kind),)*
                _ => None,
            }
        }
    };
}

kinds! {
    "sales-opened" 1 => Inventory::inventory::SalesOpened,
    "sales-rules-changed" 1 => Inventory::inventory::SalesRulesChanged,
    "sales-closed" 1 => Inventory::inventory::SalesClosed,
    "seats-blocked" 1 => Inventory::inventory::SeatsBlocked,
    "seats-unblocked" 1 => Inventory::inventory::SeatsUnblocked,
    "allotment-set" 1 => Inventory::inventory::AllotmentSet,
    "seats-held" 1 => Inventory::inventory::SeatsHeld,
    "hold-extended" 1 => Inventory::inventory::HoldExtended,
    "hold-confirmed" 1 => Inventory::inventory::HoldConfirmed,
    "hold-released" 1 => Inventory::inventory::HoldReleased,
    "hold-expired" 1 => Inventory::inventory::HoldExpired,
    "order-reseated" 1 => Inventory::inventory::OrderReseated,
    "places-returned" 1 => Inventory::inventory::PlacesReturned,
    "order-placed" 1 => Order::order::OrderPlaced,
    "payment-captured" 1 => Order::order::PaymentCaptured,
    "payment-reversed" 1 => Order::order::PaymentReversed,
    "order-paid" 1 => Order::order::OrderPaid,
    "order-confirmed" 1 => Order::order::OrderConfirmed,
    "order-unfulfilled" 1 => Order::order::OrderUnfulfilled,
    "cancellation-requested" 1 => Order::order::CancellationRequested,
    "items-cancelled" 1 => Order::order::ItemsCancelled,
    "cancellation-refused" 1 => Order::order::CancellationRefused,
    "order-cancelled" 1 => Order::order::OrderCancelled,
    "refund-requested" 1 => Order::order::RefundRequested,
    "refund-settled" 1 => Order::order::RefundSettled,
    "refund-failed" 1 => Order::order::RefundFailed,
    "ticket-created" 1 => Ticket::ticket::TicketCreated,
    "ticket-issued" 1 => Ticket::ticket::TicketIssued,
    "ticket-reissued" 1 => Ticket::ticket::TicketReissued,
    "ticket-suspended" 1 => Ticket::ticket::TicketSuspended,
    "ticket-reinstated" 1 => Ticket::ticket::TicketReinstated,
    "ticket-voided" 1 => Ticket::ticket::TicketVoided,
    "ticket-entered" 1 => Ticket::ticket::TicketEntered,
    "ticket-exited" 1 => Ticket::ticket::TicketExited,
    "scan-refused" 1 => Ticket::ticket::ScanRefused,
    "show-scheduled" 1 => Show::show::ShowScheduled,
    "ticket-type-offered" 1 => Show::show::TicketTypeOffered,
    "ticket-type-withdrawn" 1 => Show::show::TicketTypeWithdrawn,
    "show-cancelled" 1 => Show::show::ShowCancelled,
    "venue-registered" 1 => Venue::venue::VenueRegistered,
    "seat-map-replaced" 1 => Venue::venue::SeatMapReplaced,
    "organizer-registered" 1 => Organizer::organizer::OrganizerRegistered,
    "code-key-added" 1 => Organizer::organizer::CodeKeyAdded,
    "code-key-disabled" 1 => Organizer::organizer::CodeKeyDisabled,
    "api-key-created" 1 => Key::apikey::ApiKeyCreated,
    "api-key-revoked" 1 => Key::apikey::ApiKeyRevoked,
    "code-refused" 1 => Gate::gate::CodeRefused,
    "event-skipped" 1 => Operations::operations::EventSkipped,
    "skip-withdrawn" 1 => Operations::operations::SkipWithdrawn,
}

/// The JSON of metadata.
pub fn encode_metadata(meta: &Metadata) -> Vec<u8> {
    serde_json::to_vec(meta).expect("metadata has only string keys")
}

/// The metadata that was stored.
pub fn decode_metadata(kind: &str, meta: &[u8]) -> Result<Metadata, DecodeError> {
    read_json(meta).map_err(|error| DecodeError::BadMetadata {
        kind: shortened(kind, MOST_KIND),
        reason: shortened_within(&error.to_string(), MOST_REASON),
    })
}

/// Reads JSON. That it is UTF-8 is seen at once for all of it, which is faster than string by string.
fn read_json<'a, T: serde::Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    match str::from_utf8(json) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(json),
    }
}

/// The event and the metadata that were stored.
pub fn decode(kind: &str, schema: u16, data: &[u8], meta: &[u8]) -> Result<Decoded, DecodeError> {
    Ok(Decoded { event: decode_event(kind, schema, data)?, meta: decode_metadata(kind, meta)? })
}

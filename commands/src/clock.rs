//! The port to the clock and to fresh ids: nothing else in Hakken knows the time or draws a
//! number.

use hakken_domain::{names::EventId, time::Timestamp};

/// What time it is.
pub trait Clock: Send + Sync + 'static {
    /// Now. May jump, forwards and backwards.
    fn now(&self) -> Timestamp;
}

/// Fresh ids.
pub trait Ids: Send + Sync + 'static {
    /// An id for an event recorded at this time, different from all before.
    fn event_id(&self, now: Timestamp) -> EventId;

    /// A seed for choices among equals.
    fn seed(&self) -> u64;
}

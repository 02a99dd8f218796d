//! The port to the clock: the read side asks it only for how old its lag is.

use hakken_domain::time::Timestamp;

/// What time it is.
pub trait Clock: Send + Sync + 'static {
    /// Now. May jump, forwards and backwards.
    fn now(&self) -> Timestamp;
}

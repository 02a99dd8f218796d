//! Stores that hold a part of a history only, since the rest is still on its way from elsewhere.

use futures_util::future::BoxFuture;
use hakken_commands::store::StoreError;

/// A store that can say durably that it holds a part of a history only. From
/// [`Unfinished::begin`] to [`Unfinished::finish`] no server serves it, also after a crash: a part
/// would pass for the whole, and be sold from.
pub trait Unfinished: Send + Sync {
    /// Whether a history was begun here and not finished.
    fn is_unfinished(&self) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Says that what is here may be a part only.
    fn begin(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Says that it is whole.
    fn finish(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

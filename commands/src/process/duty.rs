//! Whose turn it is: of several processes on one store, one answers events and sweeps.

use tokio::sync::watch;

/// Whether this process is in charge. Clones tell the same.
#[derive(Debug, Clone)]
pub struct Duty(Option<watch::Receiver<bool>>);

impl Duty {
    /// The only process there is.
    pub fn always() -> Self {
        Self(None)
    }

    /// In charge while this is true. When nobody is left who could say so, what was said last
    /// stands.
    pub fn while_true(told: watch::Receiver<bool>) -> Self {
        Self(Some(told))
    }

    /// Are there others who may be in charge?
    pub(super) fn is_shared(&self) -> bool {
        self.0.is_some()
    }

    /// Right now?
    pub(super) fn is_on(&self) -> bool {
        self.0.as_ref().is_none_or(|told| *told.borrow())
    }

    /// Waits until it is so, or is so no longer.
    pub(super) async fn until(&mut self, on: bool) {
        let over = match &mut self.0 {
            None => on,
            Some(told) => told.wait_for(|told| *told == on).await.is_ok(),
        };
        if !over {
            std::future::pending::<()>().await;
        }
    }
}

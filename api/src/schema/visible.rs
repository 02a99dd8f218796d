//! Read your writes: a query that says `atLeast` waits until its read model is there.

use std::time::Duration;

use hakken_domain::envelope::Position;
use hakken_projections::WaitError;

use crate::{faults::Fault, ports::ApiContext};

/// How long a query waits for its read model.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until a read model has come to a position.
pub(crate) async fn wait(
    api: &ApiContext,
    projection: &'static str,
    at_least: Option<Position>,
) -> Result<(), Fault> {
    let Some(wanted) = at_least else { return Ok(()) };
    match api.models.wait_for(projection, wanted, PATIENCE).await {
        Ok(()) => Ok(()),
        Err(WaitError::TimedOut { projection, at, wanted }) => {
            Err(Fault::NotYetVisible { projection, at, wanted })
        }
        Err(WaitError::Stopped { projection, at, wanted, .. }) => {
            Err(Fault::Stopped { projection, at, wanted })
        }
        Err(WaitError::Unknown(error)) => Err(Fault::Internal(error.to_string())),
    }
}

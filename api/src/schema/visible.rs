//! Read your writes: a query that says `atLeast` waits until its read models are there.

use std::{collections::BTreeSet, time::Duration};

use async_graphql::{Context, SelectionField};
use hakken_domain::envelope::Position;
use hakken_projections::{WaitError, models::seat_availability::AsOf};
use tokio::time::Instant;

use super::{context::Asked, types::AsOfInput};
use crate::{faults::Fault, ports::ApiContext};

/// How long a query waits for its read models.
const PATIENCE: Duration = Duration::from_secs(5);

/// The fields by which an answer leads on, each with the read model from which it is told.
pub(crate) const LINKS: [(&str, &str); 9] = [
    ("order", "orders"),
    ("organizer", "catalogue"),
    ("refunds", "orders"),
    ("sales", "seat_availability"),
    ("seatMap", "seat_availability"),
    ("show", "catalogue"),
    ("ticket", "tickets"),
    ("tickets", "tickets"),
    ("venue", "catalogue"),
];

/// Waits until a read model has come to a position.
pub(crate) async fn wait(
    api: &ApiContext,
    projection: &'static str,
    at_least: Option<Position>,
) -> Result<(), Fault> {
    wait_until(api, projection, at_least, Instant::now() + PATIENCE).await
}

/// Waits until every read model that the answer is told from has come to a position: that of the
/// field itself, and those to which its selection leads.
pub(crate) async fn wait_whole(
    ctx: &Context<'_>,
    projection: &'static str,
    at_least: Option<Position>,
) -> Result<(), Fault> {
    if at_least.is_none() {
        return Ok(());
    }
    let mut wanted = BTreeSet::from([projection]);
    led_to(ctx.field(), &mut wanted);
    // All of them together have the time of one.
    let until = Instant::now() + PATIENCE;
    for projection in wanted {
        wait_until(Asked::of(ctx).api, projection, at_least, until).await?;
    }
    Ok(())
}

/// The moment of a list or sum of the past, and where it stands among the events. The read model
/// that says which elements there were is there then, so that the same moment is told in the same
/// way for ever.
pub(crate) async fn moment(
    asked: &Asked<'_>,
    projection: &'static str,
    as_of: Option<AsOfInput>,
) -> Result<Option<(AsOf, Position)>, Fault> {
    let Some(as_of) = as_of.map(AsOfInput::read).transpose()? else { return Ok(None) };
    let at = asked.api.models.position_of(as_of).await?;
    wait(asked.api, projection, Some(at)).await?;
    Ok(Some((as_of, at)))
}

fn led_to(field: SelectionField<'_>, wanted: &mut BTreeSet<&'static str>) {
    for inner in field.selection_set() {
        let link = LINKS.iter().find(|(name, _)| *name == inner.name());
        wanted.extend(link.map(|(_, projection)| *projection));
        led_to(inner, wanted);
    }
}

async fn wait_until(
    api: &ApiContext,
    projection: &'static str,
    at_least: Option<Position>,
    until: Instant,
) -> Result<(), Fault> {
    let Some(wanted) = at_least else { return Ok(()) };
    let patience = until.saturating_duration_since(Instant::now());
    match api.models.wait_for(projection, wanted, patience).await {
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

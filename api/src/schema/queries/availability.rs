//! What is free.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use hakken_domain::{legs, names::ShowId};

use crate::{
    auth::Right,
    faults::Fault,
    http::polls::{PollNote, Polled},
    schema::{
        connection::argument,
        context::{Answer, Asked, answer},
        scalars::PositionScalar,
        types::{AsOfInput, Availability, LegsInput},
        visible,
    },
};

/// Reads a range of legs.
pub(crate) fn legs_argument(legs: Option<LegsInput>) -> Result<Option<legs::Legs>, Fault> {
    let read = |legs: LegsInput| legs::Legs::new(legs.from, legs.to);
    legs.map(read).transpose().map_err(|error| Fault::argument("legs", error))
}

#[derive(Default)]
pub(super) struct AvailabilityQuery;

#[Object]
impl AvailabilityQuery {
    /// What is free of a show; null if it was never on sale. Cheap to poll with
    /// `ifVersionIsNot`, and the subscription `availabilityChanged` tells of every change.
    async fn availability(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global id of the show: `show_01J…`.")] show: ID,
        #[graphql(desc = "On these legs; on all legs of the show if absent.")] legs: Option<
            LegsInput,
        >,
        #[graphql(desc = "`version` of an earlier answer for the same legs: if it is still the \
                          one, seats and pools are left out.")]
        if_version_is_not: Option<String>,
        #[graphql(desc = "As it was then; as it is now if absent.")] as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<Availability> {
        let asked = Asked::of(ctx);
        let note = ctx.data_opt::<Arc<PollNote>>();
        answer(async move {
            let sees = asked.with(Right::SeeShows)?.organizer;
            let show: ShowId = argument("show", &show)?;
            let legs = legs_argument(legs)?;
            let as_of = as_of.map(AsOfInput::read).transpose()?;
            visible::wait_whole(ctx, "seat_availability", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match as_of {
                Some(as_of) => models.availability_as_of(sees, show, legs, as_of).await?,
                None => {
                    let now = asked.api.write.engine().clock().now();
                    let found = models.availability(sees, show, legs, now).await?;
                    // Who asks for a position must be made to wait for it each time.
                    if let (Some(found), Some(note), None) = (&found, note, at_least) {
                        note.tell(Polled { show, legs, found: found.clone() });
                    }
                    found
                }
            };
            Ok(found.map(|found| Availability::new(found, if_version_is_not.as_deref())))
        })
        .await
    }
}

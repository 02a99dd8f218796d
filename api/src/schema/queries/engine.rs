//! How the engine is doing.

use async_graphql::{Context, Object};

use crate::{
    auth::Right,
    faults::Fault,
    schema::{
        context::{Answer, Asked, answer},
        types::{NewestRefusal, Process, Projection},
    },
};

#[derive(Default)]
pub(super) struct EngineQuery;

#[Object]
impl EngineQuery {
    /// The read models: how far each is, what it is doing, and what is being rebuilt. Needs the
    /// role OPERATOR, AUDITOR or ORGANIZER; words that may tell of several organizers are for
    /// operators alone.
    async fn projections(&self, ctx: &Context<'_>) -> Answer<Vec<Projection>> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeEngine)?;
            let status = asked.api.models.status().await.map_err(|error| {
                tracing::warn!(%error, "the read models do not say how they are");
                Fault::ReadsUnavailable
            })?;
            let mut all: Vec<Projection> = status.into_iter().map(Projection::from).collect();
            if let Some(organizer) = caller.organizer {
                for projection in &mut all {
                    projection.keep_to(asked, organizer).await?;
                }
            }
            Ok(Some(all))
        })
        .await
    }

    /// The newest mutations that were refused and fields that could not be answered, the newest
    /// first: at most 50, of this process, since it was started. Needs the role OPERATOR.
    async fn newest_refusals(&self, ctx: &Context<'_>) -> Answer<Vec<NewestRefusal>> {
        let asked = Asked::of(ctx);
        answer(async move {
            asked.with(Right::Operate)?;
            let newest = asked.metrics.newest().all();
            Ok(Some(newest.into_iter().map(NewestRefusal::from).collect()))
        })
        .await
    }

    /// The processes that answer events with commands: the checkout, refunds. Needs the role
    /// OPERATOR, AUDITOR or ORGANIZER.
    async fn processes(&self, ctx: &Context<'_>) -> Answer<Vec<Process>> {
        let asked = Asked::of(ctx);
        answer(async move {
            asked.with(Right::SeeEngine)?;
            let processes = asked.api.write.processes();
            Ok(Some(processes.iter().map(|process| Process::from(process.as_ref())).collect()))
        })
        .await
    }
}

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
    /// role OPERATOR, AUDITOR or ORGANIZER.
    async fn projections(&self, ctx: &Context<'_>) -> Answer<Vec<Projection>> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeEngine)?;
            let runs_it = caller.may(Right::Operate).is_ok();
            let status = asked.api.models.status().await.map_err(|error| {
                tracing::warn!(%error, "the read models do not say how they are");
                Fault::ReadsUnavailable
            })?;
            let all = status.into_iter().map(Projection::from);
            let seen = |each: Projection| if runs_it { each } else { each.for_others() };
            Ok(Some(all.map(seen).collect()))
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

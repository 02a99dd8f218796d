//! What an operator decides about an event at which a read model stopped. These are commands: the
//! decision is recorded, with who took it and why.

use async_graphql::{Context, InputObject, Object};
use hakken_domain::{
    envelope::{Position, StoredEvent, StreamId},
    names::{ProjectionName, Reason},
    operations::{Command, EventSkipped, SkipWithdrawn},
    text::shortened,
};
use hakken_projections::{ProjectionStatus, RunState};

use super::command::{Ask, Stop, carry_out, payload};
use crate::{
    auth::Right,
    codes::{ErrorCode, UserError},
    faults::Fault,
    schema::{
        context::Answer,
        scalars::PositionScalar,
        types::{Projection, event_at},
    },
};

/// Most characters that are recorded of a kind.
const MOST_KIND: usize = 60;

/// An event that a read model leaves out.
#[derive(Debug, InputObject)]
pub struct SkipEventInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// The read model: `tickets`.
    projection: String,
    /// The position of the event: `projections { stoppedAt }`.
    position: PositionScalar,
    /// Why it may be left out: `written by a gate on trial`. Auditors read it.
    reason: String,
}

/// An event that a read model folds after all.
#[derive(Debug, InputObject)]
pub struct WithdrawSkipInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// The read model: `tickets`.
    projection: String,
    /// The position of the event: `projections { skipped { position } }`.
    position: PositionScalar,
    /// Why: `release 1.4 reads it`. Auditors read it.
    reason: String,
}

payload! {
    /// What came of `skipEvent`.
    SkipEventPayload {
        /// How the read model is doing afterwards.
        projection: Projection,
    }
}

payload! {
    /// What came of `withdrawSkip`.
    WithdrawSkipPayload {
        /// How the read model is doing afterwards.
        projection: Projection,
    }
}

#[derive(Default)]
pub(super) struct SkipsMutation;

#[Object]
impl SkipsMutation {
    /// Lets a read model leave out the event at which it stopped, and go on behind it. That is
    /// recorded for ever, with who decided it and why; each rebuild and verification leaves it out
    /// as well. Look at `projections { stoppedEvent { raw reason } }` first: what later events say
    /// of the same thing may stop it again. Needs the role OPERATOR.
    async fn skip_event(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: SkipEventInput,
    ) -> Answer<SkipEventPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Operate, key, |ask| async move {
            let position = input.position.0;
            let reason: Reason = ask.read("reason", &input.reason)?;
            let status = status_of(&ask, &input.projection).await?;
            let has_stopped = match &status.state {
                RunState::Stopped(poison) => poison.position == position,
                RunState::Running | RunState::Paused | RunState::Retrying { .. } => false,
            };
            let is_skipped = status.skipped.iter().any(|skip| skip.position == position);
            let event = event_at(ask.asked, position).await?;
            let Some(event) = event.filter(|_| has_stopped || is_skipped) else {
                return Err(not_stopped_there(&status, position));
            };
            let skip = EventSkipped {
                projection: named(&status)?,
                event: event.id,
                position,
                kind: shortened(&event.kind, MOST_KIND),
                reason,
            };
            let stream = StreamId::operations();
            let outcome = ask.asked.api.write.desk();
            let outcome = outcome.ask(ask.asker(None), stream, Command::SkipEvent(skip)).await;
            let receipt = ask.told(stream, outcome)?;
            let resumed = ask.asked.api.models.resume(status.name);
            resumed.map_err(|error| Fault::Internal(error.to_string()))?;
            let projection = Projection::from(status_of(&ask, status.name).await?);
            Ok(SkipEventPayload::done((&receipt).into(), projection))
        })
        .await
    }

    /// Lets a read model fold an event after all that it left out: from the next rebuild on, which
    /// you begin. What it serves stays as it is until then. Needs the role OPERATOR.
    async fn withdraw_skip(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: WithdrawSkipInput,
    ) -> Answer<WithdrawSkipPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Operate, key, |ask| async move {
            let reason: Reason = ask.read("reason", &input.reason)?;
            let status = status_of(&ask, &input.projection).await?;
            let event = event_at(ask.asked, input.position.0).await?;
            let Some(event) = event.as_deref() else {
                return Err(ask.stop(crate::refusals::not_yours(StreamId::operations().kind)));
            };
            let withdrawn = withdrawal(&status, event, reason)?;
            let stream = StreamId::operations();
            let desk = ask.asked.api.write.desk();
            let outcome = desk.ask(ask.asker(None), stream, Command::WithdrawSkip(withdrawn)).await;
            let receipt = ask.told(stream, outcome)?;
            let projection = Projection::from(status_of(&ask, status.name).await?);
            Ok(WithdrawSkipPayload::done((&receipt).into(), projection))
        })
        .await
    }
}

fn withdrawal(
    status: &ProjectionStatus,
    event: &StoredEvent,
    reason: Reason,
) -> Result<SkipWithdrawn, Stop> {
    Ok(SkipWithdrawn { projection: named(status)?, event: event.id, reason })
}

/// The read model as decisions name it.
fn named(status: &ProjectionStatus) -> Result<ProjectionName, Stop> {
    ProjectionName::new(status.name).map_err(|error| Fault::Internal(error.to_string()).into())
}

async fn status_of(ask: &Ask<'_>, name: &str) -> Result<ProjectionStatus, Stop> {
    let all = ask.asked.api.models.status().await.map_err(|_| Fault::ReadsUnavailable)?;
    let known: Vec<&str> = all.iter().map(|each| each.name).collect();
    let message = format!("There is no projection {name:?}; there are {}.", known.join(", "));
    all.into_iter().find(|each| each.name == name).ok_or_else(|| {
        let (code, field) = (ErrorCode::ProjectionUnknown, Some("projection".to_owned()));
        Stop::Refused(UserError { code, message, field })
    })
}

fn not_stopped_there(status: &ProjectionStatus, position: Position) -> Stop {
    let now = match &status.state {
        RunState::Stopped(poison) => format!("it has stopped at {}", poison.position),
        state => format!("it is {}", state.as_str()),
    };
    let message = format!(
        "The projection {} has not stopped at position {position}: {now}. Only the event at which \
         it stopped is left out.",
        status.name
    );
    let (code, field) = (ErrorCode::NotStoppedThere, Some("position".to_owned()));
    Stop::Refused(UserError { code, message, field })
}

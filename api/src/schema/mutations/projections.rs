//! What an operator does with the read models. These are no commands: nothing is recorded, and
//! doing them twice changes nothing, so they take no idempotency key.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use hakken_projections::{BuildError, UnknownProjection};

use crate::{
    auth::Right,
    codes::{ErrorCode, UserError},
    faults::Fault,
    schema::{
        context::{Answer, Asked, answer},
        types::{BuildReport, Projection},
    },
};

/// Makes the input and the payload of a mutation about read models.
macro_rules! about_projections {
    ($($input:ident, $payload:ident = $input_doc:literal, $payload_doc:literal;)*) => {
        $(
            #[doc = $input_doc]
            #[derive(Debug, InputObject)]
            pub struct $input {
                /// Their names, such as `["orders", "tickets"]`; every one if absent.
                names: Option<Vec<String>>,
            }

            #[doc = $payload_doc]
            #[derive(SimpleObject)]
            pub struct $payload {
                /// How those that were named are doing afterwards.
                projections: Option<Vec<Projection>>,
                /// Why nothing happened; empty if it did. Refusals are data: switch on their code.
                user_errors: Vec<UserError>,
            }

            impl From<Changed> for $payload {
                fn from(changed: Changed) -> Self {
                    let (projections, user_errors) = match changed {
                        Ok(projections) => (Some(projections), Vec::new()),
                        Err(error) => (None, vec![error]),
                    };
                    Self { projections, user_errors }
                }
            }
        )*
    };
}

about_projections! {
    RebuildProjectionsInput, RebuildProjectionsPayload =
        "Which read models are rebuilt.", "What came of `rebuildProjections`.";
    PauseProjectionsInput, PauseProjectionsPayload =
        "Which read models are halted.", "What came of `pauseProjections`.";
    ResumeProjectionsInput, ResumeProjectionsPayload =
        "Which read models go on.", "What came of `resumeProjections`.";
    PauseRebuildsInput, PauseRebuildsPayload =
        "The rebuilds of which read models are halted.", "What came of `pauseRebuilds`.";
    ResumeRebuildsInput, ResumeRebuildsPayload =
        "The rebuilds of which read models go on.", "What came of `resumeRebuilds`.";
}

/// Which read model is verified.
#[derive(Debug, InputObject)]
pub struct VerifyProjectionInput {
    /// Its name: `orders`.
    name: String,
}

/// What came of `verifyProjection`.
#[derive(SimpleObject)]
pub struct VerifyProjectionPayload {
    /// What it found.
    report: Option<BuildReport>,
    /// Why nothing happened; empty if it did. Refusals are data: switch on their code.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub(super) struct ProjectionsMutation;

#[Object]
impl ProjectionsMutation {
    /// Starts to rebuild read models from the events, beside what they serve, and swaps them in
    /// when they have caught up. Queries go on. `projections` shows how far they are; one that is
    /// being rebuilt already goes on. Needs the role OPERATOR.
    async fn rebuild_projections(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RebuildProjectionsInput,
    ) -> Answer<RebuildProjectionsPayload> {
        let asked = Asked::of(ctx);
        change(asked, input.names, |asked, names| asked.api.models.start_rebuild(names)).await
    }

    /// Halts read models. What they serve stays where it is. Needs the role OPERATOR.
    async fn pause_projections(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: PauseProjectionsInput,
    ) -> Answer<PauseProjectionsPayload> {
        let asked = Asked::of(ctx);
        change(asked, input.names, |asked, names| {
            names.iter().try_for_each(|name| asked.api.models.pause(name))
        })
        .await
    }

    /// Lets read models go on; one that stopped at an event tries it again. Needs the role
    /// OPERATOR.
    async fn resume_projections(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ResumeProjectionsInput,
    ) -> Answer<ResumeProjectionsPayload> {
        let asked = Asked::of(ctx);
        change(asked, input.names, |asked, names| {
            names.iter().try_for_each(|name| asked.api.models.resume(name))
        })
        .await
    }

    /// Halts the rebuild of read models where it is. Needs the role OPERATOR.
    async fn pause_rebuilds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: PauseRebuildsInput,
    ) -> Answer<PauseRebuildsPayload> {
        let asked = Asked::of(ctx);
        change(asked, input.names, |asked, names| {
            names.iter().try_for_each(|name| asked.api.models.pause_rebuild(name).map(|_| ()))
        })
        .await
    }

    /// Lets the rebuild of read models go on. Needs the role OPERATOR.
    async fn resume_rebuilds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ResumeRebuildsInput,
    ) -> Answer<ResumeRebuildsPayload> {
        let asked = Asked::of(ctx);
        change(asked, input.names, |asked, names| {
            names.iter().try_for_each(|name| asked.api.models.resume_rebuild(name).map(|_| ()))
        })
        .await
    }

    /// Folds the events of a read model afresh and compares with what is served, down to the
    /// first difference in words. Waits until that is done. Needs the role OPERATOR.
    async fn verify_projection(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: VerifyProjectionInput,
    ) -> Answer<VerifyProjectionPayload> {
        let asked = Asked::of(ctx);
        answer(async move {
            asked.with(Right::Operate)?;
            let outcome = asked.api.models.verify(&input.name).await;
            let (code, message) = match outcome {
                Ok(report) => {
                    let report = Some(BuildReport::from(report));
                    return Ok(Some(VerifyProjectionPayload { report, user_errors: Vec::new() }));
                }
                Err(BuildError::Unknown(error)) => {
                    (ErrorCode::ProjectionUnknown, error.to_string())
                }
                Err(error @ BuildError::UnderWay(_)) => {
                    (ErrorCode::BuildUnderWay, error.to_string())
                }
                Err(error @ BuildError::Poisoned { .. }) => {
                    return Err(Fault::Internal(error.to_string()));
                }
                Err(BuildError::Interrupted(_) | BuildError::Closing) => {
                    return Err(Fault::ReadsUnavailable);
                }
            };
            let error = UserError { code, message, field: Some("name".to_owned()) };
            Ok(Some(VerifyProjectionPayload { report: None, user_errors: vec![error] }))
        })
        .await
    }
}

/// The read models that an operator named, or why nothing happened to them.
type Changed = Result<Vec<Projection>, UserError>;

async fn change<P: From<Changed>>(
    asked: Asked<'_>,
    names: Option<Vec<String>>,
    action: impl FnOnce(Asked<'_>, &[&str]) -> Result<(), UnknownProjection>,
) -> Answer<P> {
    answer(async move {
        asked.with(Right::Operate)?;
        let all = || hakken_projections::ALL.iter().map(|each| each.name.to_owned()).collect();
        let names: Vec<String> = names.unwrap_or_else(all);
        let texts: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Err(error) = action(asked, &texts) {
            let field = names.iter().position(|name| *name == error.name);
            let error = UserError {
                code: ErrorCode::ProjectionUnknown,
                message: error.to_string(),
                field: field.map(|at| format!("names.{at}")),
            };
            return Ok(Some(P::from(Err(error))));
        }
        let status = asked.api.models.status().await.map_err(|_| Fault::ReadsUnavailable)?;
        let named = status.into_iter().filter(|status| texts.contains(&status.name));
        Ok(Some(P::from(Ok(named.map(Projection::from).collect()))))
    })
    .await
}

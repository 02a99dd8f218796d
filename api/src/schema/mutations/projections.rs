//! What an operator does with the read models. These are no commands: nothing is recorded, and
//! doing them twice changes nothing, so they take no idempotency key.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use hakken_domain::{envelope::StreamId, names::ShowId};
use hakken_projections::{ALL, BuildError, ReadModels};

use crate::{
    auth::Right,
    codes::{ErrorCode, UserError},
    faults::Fault,
    ids::GlobalId,
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

            about_projections!(@payload $payload = $payload_doc);
        )*
    };
    (@payload $payload:ident = $payload_doc:literal) => {

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
    };
}

/// Which read models are rebuilt.
#[derive(Debug, InputObject)]
pub struct RebuildProjectionsInput {
    /// Their names, such as `["orders", "tickets"]`; every one if absent.
    names: Option<Vec<String>>,
    /// Only the rows of this show (`show_01J…`), of those read models that can: see
    /// `projections { rebuildsOneShow }`.
    show: Option<ID>,
}

about_projections!(@payload RebuildProjectionsPayload = "What came of `rebuildProjections`.");

about_projections! {
    PauseProjectionsInput, PauseProjectionsPayload =
        "Which read models are halted.", "What came of `pauseProjections`.";
    ResumeProjectionsInput, ResumeProjectionsPayload =
        "Which read models go on.", "What came of `resumeProjections`.";
    PauseRebuildsInput, PauseRebuildsPayload =
        "The rebuilds of which read models are halted.", "What came of `pauseRebuilds`.";
    ResumeRebuildsInput, ResumeRebuildsPayload =
        "The rebuilds of which read models go on.", "What came of `resumeRebuilds`.";
    CancelRebuildsInput, CancelRebuildsPayload =
        "The rebuilds of which read models are ended.", "What came of `cancelRebuilds`.";
    SwapBackInput, SwapBackPayload =
        "Which read models serve again what they served before.", "What came of `swapBack`.";
    RemoveFormerInput, RemoveFormerPayload =
        "The former rows of which read models are removed.", "What came of `removeFormer`.";
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
    /// when they have caught up; with `show`, replaces the rows of that show alone. Queries go on.
    /// `projections` shows how far they are; one that is being rebuilt already goes on. What differs
    /// from the served rows is folded a second time before it is swapped in. The former rows are
    /// kept for a day: `swapBack`. Needs the role OPERATOR.
    async fn rebuild_projections(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RebuildProjectionsInput,
    ) -> Answer<RebuildProjectionsPayload> {
        let asked = Asked::of(ctx);
        answer(async move {
            asked.with(Right::Operate)?;
            let act = match input.show.as_ref().map(|show| show_of_input(asked, show)) {
                None => Act::Rebuild,
                Some(show) => match show.await? {
                    Ok(show) => Act::RebuildShow(show),
                    Err(error) => return Ok(Some(Changed::Err(error).into())),
                },
            };
            Ok(Some(change(asked, input.names, act).await?.into()))
        })
        .await
    }

    /// Halts read models. What they serve stays where it is. Needs the role OPERATOR.
    async fn pause_projections(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: PauseProjectionsInput,
    ) -> Answer<PauseProjectionsPayload> {
        operate(ctx, input.names, Act::Pause).await
    }

    /// Lets read models go on; one that stopped at an event tries it again. Needs the role
    /// OPERATOR.
    async fn resume_projections(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ResumeProjectionsInput,
    ) -> Answer<ResumeProjectionsPayload> {
        operate(ctx, input.names, Act::Resume).await
    }

    /// Halts the rebuild of read models where it is; it is still halted after a restart. Needs the
    /// role OPERATOR.
    async fn pause_rebuilds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: PauseRebuildsInput,
    ) -> Answer<PauseRebuildsPayload> {
        operate(ctx, input.names, Act::PauseBuilds).await
    }

    /// Lets the rebuild of read models go on. Needs the role OPERATOR.
    async fn resume_rebuilds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ResumeRebuildsInput,
    ) -> Answer<ResumeRebuildsPayload> {
        operate(ctx, input.names, Act::ResumeBuilds).await
    }

    /// Ends the rebuild of read models, of whatever kind, and takes away what it has made. What is
    /// served stays. Needs the role OPERATOR.
    async fn cancel_rebuilds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: CancelRebuildsInput,
    ) -> Answer<CancelRebuildsPayload> {
        operate(ctx, input.names, Act::CancelBuilds).await
    }

    /// Starts to serve the rows again that read models served before the last rebuild
    /// (`projections { former { position } }`). They fold what came since, beside what is served,
    /// and take its place in one step; those that are served now are the former ones then. Without
    /// names, all that have some. Needs the role OPERATOR.
    async fn swap_back(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: SwapBackInput,
    ) -> Answer<SwapBackPayload> {
        operate(ctx, input.names, Act::SwapBack).await
    }

    /// Removes the rows now that read models served before the last rebuild; by themselves they are
    /// removed after a day. Needs the role OPERATOR.
    async fn remove_former(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RemoveFormerInput,
    ) -> Answer<RemoveFormerPayload> {
        operate(ctx, input.names, Act::RemoveFormer).await
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
            let (report, user_errors) = match asked.api.models.verify(&input.name).await {
                Ok(report) => (Some(BuildReport::from(report)), Vec::new()),
                Err(error) => {
                    let error = refusal(error, |_| Some("name".to_owned()))?;
                    (None, vec![error])
                }
            };
            Ok(Some(VerifyProjectionPayload { report, user_errors }))
        })
        .await
    }
}

/// The read models that an operator named, or why nothing happened to them.
type Changed = Result<Vec<Projection>, UserError>;

/// What is done to each of them.
#[derive(Debug, Clone, Copy)]
enum Act {
    Rebuild,
    RebuildShow(ShowId),
    Pause,
    Resume,
    PauseBuilds,
    ResumeBuilds,
    CancelBuilds,
    SwapBack,
    RemoveFormer,
}

impl Act {
    async fn on(self, models: &ReadModels, names: &[&str]) -> Result<(), BuildError> {
        match self {
            Self::Rebuild => return models.start_rebuild(names),
            Self::RebuildShow(show) => return models.start_rebuild_show(names, show),
            Self::SwapBack => return models.start_swap_back(names),
            _ => {}
        }
        for name in names {
            match self {
                Self::Rebuild | Self::RebuildShow(_) | Self::SwapBack => {}
                Self::Pause => models.pause(name)?,
                Self::Resume => models.resume(name)?,
                Self::PauseBuilds => {
                    models.pause_rebuild(name)?;
                }
                Self::ResumeBuilds => {
                    models.resume_rebuild(name)?;
                }
                Self::CancelBuilds => {
                    models.cancel_rebuild(name).await?;
                }
                Self::RemoveFormer => {
                    models.remove_former(name).await?;
                }
            }
        }
        Ok(())
    }

    /// Those to which it can be done, if nobody names any.
    async fn all(self, models: &ReadModels) -> Result<Vec<String>, Fault> {
        let status = status(models).await?;
        let can = |each: &hakken_projections::ProjectionStatus| match self {
            Self::RebuildShow(_) => each.by_show,
            Self::SwapBack => each.former.is_some(),
            _ => true,
        };
        let names: Vec<String> =
            status.iter().filter(|each| can(each)).map(|each| each.name.to_owned()).collect();
        // Then the first of all says why it cannot.
        let none = || ALL.iter().take(1).map(|each| each.name.to_owned()).collect();
        Ok(if names.is_empty() { none() } else { names })
    }
}

async fn status(models: &ReadModels) -> Result<Vec<hakken_projections::ProjectionStatus>, Fault> {
    models.status().await.map_err(|error| {
        tracing::warn!(%error, "the read models do not say how they are");
        Fault::ReadsUnavailable
    })
}

/// The show of a request; a refusal if there is none.
async fn show_of_input(asked: Asked<'_>, show: &ID) -> Result<Result<ShowId, UserError>, Fault> {
    let field = Some("show".to_owned());
    let show = match ShowId::parse(show) {
        Ok(show) => show,
        Err(error) => {
            let (code, message) = (ErrorCode::BadUserInput, format!("{error}."));
            return Ok(Err(UserError { code, message, field }));
        }
    };
    // The read models may be what is wrong: the events say whether there is such a show.
    let first = asked.api.feed.read_stream(StreamId::show(show), 0, 1).await;
    let first = first.map_err(|_| Fault::ReadsUnavailable)?;
    Ok(match first.is_empty() {
        false => Ok(show),
        true => {
            let message = "There is no show with this id.".to_owned();
            Err(UserError { code: ErrorCode::ShowUnknown, message, field })
        }
    })
}

/// Why a build is refused; a fault if it is none of these. `field` finds where a read model is
/// named.
fn refusal(
    error: BuildError,
    field: impl FnOnce(&str) -> Option<String>,
) -> Result<UserError, Fault> {
    let (code, name) = match &error {
        BuildError::Unknown(unknown) => (ErrorCode::ProjectionUnknown, unknown.name.as_str()),
        BuildError::UnderWay(name) => (ErrorCode::BuildUnderWay, *name),
        BuildError::NotByShow { projection, .. } => (ErrorCode::ShowNotSeparable, *projection),
        BuildError::NoFormer(name) => (ErrorCode::NoFormerBuild, *name),
        BuildError::Poisoned { .. } | BuildError::Unconfirmed { .. } => {
            return Err(Fault::Internal(error.to_string()));
        }
        BuildError::Interrupted(_) | BuildError::Closing | BuildError::Cancelled => {
            return Err(Fault::ReadsUnavailable);
        }
    };
    let field = field(name);
    Ok(UserError { code, message: format!("{error}."), field })
}

async fn operate<P: From<Changed>>(
    ctx: &Context<'_>,
    names: Option<Vec<String>>,
    act: Act,
) -> Answer<P> {
    let asked = Asked::of(ctx);
    answer(async move {
        asked.with(Right::Operate)?;
        Ok(Some(P::from(change(asked, names, act).await?)))
    })
    .await
}

async fn change(asked: Asked<'_>, names: Option<Vec<String>>, act: Act) -> Result<Changed, Fault> {
    let models = &asked.api.models;
    let names = match names {
        Some(names) => names,
        None => act.all(models).await?,
    };
    let texts: Vec<&str> = names.iter().map(String::as_str).collect();
    if let Err(error) = act.on(models, &texts).await {
        let field = |wrong: &str| {
            let at = names.iter().position(|name| name == wrong);
            at.map(|at| format!("names.{at}"))
        };
        return refusal(error, field).map(Err);
    }
    let named = status(models).await?.into_iter().filter(|status| texts.contains(&status.name));
    Ok(Ok(named.map(Projection::from).collect()))
}

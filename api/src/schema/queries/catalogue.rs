//! What there is to sell, and who sells it.

#![expect(
    clippy::too_many_arguments,
    reason = "a list takes Relay's four arguments beside its filters"
)]

use async_graphql::{Context, ID, InputObject, Object};
use hakken_domain::names::{OrganizerId, ShowId, VenueId};
use hakken_projections::models::catalogue;

use crate::{
    auth::Right,
    schema::{
        connection::{PageArguments, SortOrder, argument, sees},
        context::{Answer, Asked, answer},
        scalars::{DateTime, PositionScalar},
        types::{
            ApiKeyConnection, AsOfInput, Organizer, OrganizerConnection, Show, ShowConnection,
            Venue, VenueConnection,
        },
        visible,
    },
};

/// Which shows. Everything that is given must hold.
#[derive(Debug, Default, InputObject)]
pub struct ShowFilter {
    /// At this venue: `venue_01J…`.
    venue: Option<ID>,
    /// That begin then or later.
    starts_from: Option<DateTime>,
    /// That begin before then.
    starts_until: Option<DateTime>,
}

#[derive(Default)]
pub(super) struct CatalogueQuery;

#[Object]
impl CatalogueQuery {
    /// An organizer. Who belongs to one sees it alone.
    async fn organizer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id: `organizer_01J…`.")] id: ID,
        #[graphql(
            desc = "As it was then; as it is now if absent. What it links to is told as it is now."
        )]
        as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<Organizer> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeEngine)?;
            let id: OrganizerId = argument("id", &id)?;
            visible::wait_whole(ctx, "catalogue", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match as_of.map(AsOfInput::read).transpose()? {
                Some(as_of) => models.organizer_as_of(caller.organizer, id, as_of).await?,
                None => models.organizer(caller.organizer, id).await?,
            };
            Ok(found.map(Organizer::from))
        })
        .await
    }

    /// Organizers. Who belongs to one sees it alone.
    async fn organizers(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "How many, from the beginning or behind `after`: 1 to 100, 20 by default."
        )]
        first: Option<i32>,
        #[graphql(desc = "Read on behind this cursor: `pageInfo.endCursor` of the page before.")]
        after: Option<String>,
        #[graphql(desc = "How many, from the end or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Read on before this cursor: `pageInfo.startCursor` of the page behind.")]
        before: Option<String>,
        #[graphql(
            desc = "As the list stood then; as it is now if absent. What its elements link to is told as it is now."
        )]
        as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<OrganizerConnection> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeEngine)?;
            let sees = caller.organizer;
            let page = PageArguments { first, after, last, before, order: None };
            let page = page.request()?;
            visible::wait_whole(ctx, "catalogue", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match visible::moment(&asked, "catalogue", as_of).await? {
                Some((_, at)) => models.organizers_as_of(sees, &page, at).await?,
                None => models.organizers(sees, &page).await?,
            };
            Ok(Some(found.into()))
        })
        .await
    }

    /// API keys, revoked ones too. Nothing tells their secrets.
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "For operators: only what is this organizer's, `organizer_01J…`.")]
        organizer: Option<ID>,
        #[graphql(
            desc = "How many, from the beginning or behind `after`: 1 to 100, 20 by default."
        )]
        first: Option<i32>,
        #[graphql(desc = "Read on behind this cursor: `pageInfo.endCursor` of the page before.")]
        after: Option<String>,
        #[graphql(desc = "How many, from the end or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Read on before this cursor: `pageInfo.startCursor` of the page behind.")]
        before: Option<String>,
        #[graphql(
            desc = "As the list stood then; as it is now if absent. What its elements link to is told as it is now."
        )]
        as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<ApiKeyConnection> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeEngine)?;
            let sees = sees(caller, organizer.as_ref())?;
            let page = PageArguments { first, after, last, before, order: None };
            let page = page.request()?;
            visible::wait_whole(ctx, "catalogue", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match visible::moment(&asked, "catalogue", as_of).await? {
                Some((_, at)) => models.api_keys_as_of(sees, &page, at).await?,
                None => models.api_keys(sees, &page).await?,
            };
            Ok(Some(found.into()))
        })
        .await
    }

    /// A venue.
    async fn venue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id: `venue_01J…`.")] id: ID,
        #[graphql(
            desc = "As it was then; as it is now if absent. What it links to is told as it is now."
        )]
        as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<Venue> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeShows)?;
            let id: VenueId = argument("id", &id)?;
            visible::wait_whole(ctx, "catalogue", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match as_of.map(AsOfInput::read).transpose()? {
                Some(as_of) => models.venue_as_of(caller.organizer, id, as_of).await?,
                None => models.venue(caller.organizer, id).await?,
            };
            Ok(found.map(Venue::from))
        })
        .await
    }

    /// Venues.
    async fn venues(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "For operators: only what is this organizer's, `organizer_01J…`.")]
        organizer: Option<ID>,
        #[graphql(
            desc = "How many, from the beginning or behind `after`: 1 to 100, 20 by default."
        )]
        first: Option<i32>,
        #[graphql(desc = "Read on behind this cursor: `pageInfo.endCursor` of the page before.")]
        after: Option<String>,
        #[graphql(desc = "How many, from the end or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Read on before this cursor: `pageInfo.startCursor` of the page behind.")]
        before: Option<String>,
        #[graphql(
            desc = "As the list stood then; as it is now if absent. What its elements link to is told as it is now."
        )]
        as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<VenueConnection> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeShows)?;
            let sees = sees(caller, organizer.as_ref())?;
            let page = PageArguments { first, after, last, before, order: None };
            let page = page.request()?;
            visible::wait_whole(ctx, "catalogue", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match visible::moment(&asked, "catalogue", as_of).await? {
                Some((_, at)) => models.venues_as_of(sees, &page, at).await?,
                None => models.venues(sees, &page).await?,
            };
            Ok(Some(found.into()))
        })
        .await
    }

    /// A show.
    async fn show(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id: `show_01J…`.")] id: ID,
        #[graphql(
            desc = "As it was then; as it is now if absent. What it links to is told as it is now."
        )]
        as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<Show> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeShows)?;
            let id: ShowId = argument("id", &id)?;
            visible::wait_whole(ctx, "catalogue", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match as_of.map(AsOfInput::read).transpose()? {
                Some(as_of) => models.show_as_of(caller.organizer, id, as_of).await?,
                None => models.show(caller.organizer, id).await?,
            };
            Ok(found.map(Show::from))
        })
        .await
    }

    /// Shows, by the time at which they begin.
    async fn shows(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Everything that is given must hold.")] filter: Option<ShowFilter>,
        #[graphql(desc = "For operators: only what is this organizer's, `organizer_01J…`.")]
        organizer: Option<ID>,
        #[graphql(
            desc = "How many, from the beginning or behind `after`: 1 to 100, 20 by default."
        )]
        first: Option<i32>,
        #[graphql(desc = "Read on behind this cursor: `pageInfo.endCursor` of the page before.")]
        after: Option<String>,
        #[graphql(desc = "How many, from the end or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Read on before this cursor: `pageInfo.startCursor` of the page behind.")]
        before: Option<String>,
        #[graphql(desc = "Which end comes first; the oldest by default.")] order: Option<SortOrder>,
        #[graphql(
            desc = "As the list stood then; as it is now if absent. What its elements link to is told as it is now."
        )]
        as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<ShowConnection> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeShows)?;
            let sees = sees(caller, organizer.as_ref())?;
            let page = PageArguments { first, after, last, before, order };
            let page = page.request()?;
            let filter = filter.unwrap_or_default();
            let venue = filter.venue.map(|id| argument("filter.venue", &id)).transpose()?;
            let filter = catalogue::ShowFilter {
                venue,
                starts_from: filter.starts_from.map(|time| time.0),
                starts_until: filter.starts_until.map(|time| time.0),
            };
            visible::wait_whole(ctx, "catalogue", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match visible::moment(&asked, "catalogue", as_of).await? {
                Some((_, at)) => models.shows_as_of(sees, &filter, &page, at).await?,
                None => models.shows(sees, &filter, &page).await?,
            };
            Ok(Some(found.into()))
        })
        .await
    }
}

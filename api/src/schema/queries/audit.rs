//! Who did what: the audit log, the issuance history, and the recorded events themselves.

#![expect(
    clippy::too_many_arguments,
    reason = "a list takes Relay's four arguments beside its filters"
)]

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use hakken_domain::{envelope::Position, names::ActorRef};
use hakken_projections::models::{audit_log, issuance_history};

use crate::{
    auth::Right,
    faults::Fault,
    schema::{
        connection::{PageArguments, SortOrder, argument, sees},
        context::{Answer, Asked, answer},
        feed,
        scalars::{DateTime, PositionScalar},
        types::{AsOfInput, AuditConnection, Event, IssuanceAct, IssuanceConnection},
        visible,
    },
};

/// Which entries of the audit log. Everything that is given must hold.
#[derive(Debug, Default, InputObject)]
pub struct AuditFilter {
    /// About this show: `show_01J…`.
    show: Option<ID>,
    /// About this order: `order_01J…`.
    order: Option<ID>,
    /// About this ticket: `ticket_01J…`.
    ticket: Option<ID>,
    /// Done by this actor: `key:01J…`, `system:checkout`.
    actor: Option<String>,
    /// Of one of these kinds: `ticket-issued`. At most 50.
    kinds: Option<Vec<String>>,
    /// Of this stream: `order-01J…`.
    stream: Option<String>,
    /// Recorded then or later.
    from: Option<DateTime>,
    /// Recorded before then.
    until: Option<DateTime>,
}

/// Which acts of the issuance history. Everything that is given must hold.
#[derive(Debug, Default, InputObject)]
pub struct IssuanceFilter {
    /// For this show: `show_01J…`.
    show: Option<ID>,
    /// Of this order: `order_01J…`.
    order: Option<ID>,
    /// Of this ticket: `ticket_01J…`.
    ticket: Option<ID>,
    /// Done by this actor: `key:01J…`, `system:checkout`.
    actor: Option<String>,
    /// Of this sort.
    act: Option<IssuanceAct>,
    /// Recorded then or later.
    from: Option<DateTime>,
    /// Recorded before then.
    until: Option<DateTime>,
}

/// Recorded events, in order of position and without a gap.
#[derive(SimpleObject)]
pub struct EventBatch {
    /// The events.
    events: Vec<Event>,
    /// Read on after this position: everything up to it was looked at, also what belongs to
    /// others or is of other kinds.
    up_to: PositionScalar,
    /// The newest event there was.
    head: PositionScalar,
}

fn actor(argument: &str, text: Option<String>) -> Result<Option<ActorRef>, Fault> {
    text.map(|text| text.parse().map_err(|error| Fault::argument(argument, error))).transpose()
}

#[derive(Default)]
pub(super) struct AuditQuery;

#[Object]
impl AuditQuery {
    /// Who did anything, when: every event, with what it was about. A page of large events has fewer
    /// elements than were asked for: `hasNextPage` says whether there are more. Needs the role
    /// ORGANIZER, AUDITOR or OPERATOR.
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Everything that is given must hold.")] filter: Option<AuditFilter>,
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
        #[graphql(desc = "As the list stood then; as it is now if absent.")] as_of: Option<
            AsOfInput,
        >,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<AuditConnection> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::Audit)?;
            let sees = sees(caller, organizer.as_ref())?;
            let page = PageArguments { first, after, last, before, order };
            let page = page.request()?;
            let filter = filter.unwrap_or_default();
            let kinds = filter.kinds.unwrap_or_default();
            feed::check_kinds("filter.kinds", &kinds)?;
            let stream = filter.stream.map(|text| text.parse()).transpose();
            let filter = audit_log::AuditFilter {
                show: filter.show.map(|id| argument("filter.show", &id)).transpose()?,
                order: filter.order.map(|id| argument("filter.order", &id)).transpose()?,
                ticket: filter.ticket.map(|id| argument("filter.ticket", &id)).transpose()?,
                actor: actor("filter.actor", filter.actor)?,
                kinds,
                stream: stream.map_err(|error| Fault::argument("filter.stream", error))?,
                from: filter.from.map(|time| time.0),
                until: filter.until.map(|time| time.0),
                as_of: as_of.map(AsOfInput::read).transpose()?,
            };
            visible::wait_whole(ctx, "audit_log", at_least.map(|at| at.0)).await?;
            Ok(Some(asked.api.models.audit_log(sees, &filter, &page).await?.into()))
        })
        .await
    }

    /// Who issued what, when: every ticket that was made, given out, given out again, suspended or
    /// voided. With `asOf` as it stood then. Needs the role ORGANIZER, AUDITOR or OPERATOR.
    async fn issuance_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Everything that is given must hold.")] filter: Option<IssuanceFilter>,
        #[graphql(desc = "As it stood then; as it is now if absent.")] as_of: Option<AsOfInput>,
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
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<IssuanceConnection> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::Audit)?;
            let sees = sees(caller, organizer.as_ref())?;
            let page = PageArguments { first, after, last, before, order };
            let page = page.request()?;
            let filter = filter.unwrap_or_default();
            let filter = issuance_history::IssuanceFilter {
                show: filter.show.map(|id| argument("filter.show", &id)).transpose()?,
                order: filter.order.map(|id| argument("filter.order", &id)).transpose()?,
                ticket: filter.ticket.map(|id| argument("filter.ticket", &id)).transpose()?,
                actor: actor("filter.actor", filter.actor)?,
                act: filter.act.map(Into::into),
                from: filter.from.map(|time| time.0),
                until: filter.until.map(|time| time.0),
                as_of: as_of.map(AsOfInput::read).transpose()?,
            };
            visible::wait_whole(ctx, "issuance_history", at_least.map(|at| at.0)).await?;
            Ok(Some(asked.api.models.issuance_history(sees, &filter, &page).await?.into()))
        })
        .await
    }

    /// Recorded events from a position on, as they are stored; of large ones fewer than were asked
    /// for. The subscription of the same name follows them. Needs the role ORGANIZER, AUDITOR or
    /// OPERATOR.
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only events behind this position; all from the beginning if absent.")]
        after: Option<PositionScalar>,
        #[graphql(desc = "How many at most: 1 to 100.", default = 20)] first: i32,
        #[graphql(desc = "Only of these kinds, such as `ticket-issued`; at most 50.")]
        kinds: Option<Vec<String>>,
        #[graphql(desc = "Only of this stream: `order-01J…`.")] stream: Option<String>,
        #[graphql(desc = "For operators: only what is this organizer's, `organizer_01J…`.")]
        organizer: Option<ID>,
    ) -> Answer<EventBatch> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::Audit)?;
            let sees = sees(caller, organizer.as_ref())?;
            let after = after.map_or(Position(0), |after| after.0);
            let first = crate::schema::connection::page_size("first", first)?;
            let wanted = feed::Wanted::new(sees, kinds, stream)?;
            let (events, up_to, head) = feed::read(asked.api, &wanted, after, first).await?;
            let (up_to, head) = (PositionScalar(up_to), PositionScalar(head));
            Ok(Some(EventBatch { events, up_to, head }))
        })
        .await
    }
}

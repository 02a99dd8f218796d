//! Holds, orders, refunds, tickets, scans, and what they come to.

#![expect(
    clippy::too_many_arguments,
    reason = "a list takes Relay's four arguments beside its filters"
)]

use async_graphql::{Context, ID, InputObject, Object};
use hakken_domain::names::{HoldId, OrderId, ShowId, TicketId};
use hakken_projections::models::{orders, scans, seat_availability, tickets};

use crate::{
    auth::Right,
    faults::Fault,
    schema::{
        connection::{PageArguments, SortOrder, argument, sees},
        context::{Answer, Asked, answer},
        mutations::ScanRefusal,
        scalars::{DateTime, PositionScalar},
        types::{
            AsOfInput, Hold, HoldConnection, HoldStatus, MoneyReport, Order, OrderConnection,
            OrderStatus, RefundConnection, RefundStatus, SalesReport, ScanConnection, Ticket,
            TicketConnection, TicketStatus,
        },
        visible,
    },
};

/// Which holds. Everything that is given must hold.
#[derive(Debug, Default, InputObject)]
pub struct HoldFilter {
    /// Of this show: `show_01J…`.
    show: Option<ID>,
    /// Of this buyer: `b-42`.
    buyer: Option<String>,
    /// With this status, as recorded: a hold that has just ended by itself is HELD until that is.
    status: Option<HoldStatus>,
}

/// Which orders. Everything that is given must hold.
#[derive(Debug, Default, InputObject)]
pub struct OrderFilter {
    /// With an item for this show: `show_01J…`.
    show: Option<ID>,
    /// Of this buyer: `b-42`.
    buyer: Option<String>,
    /// With this status.
    status: Option<OrderStatus>,
}

/// Which refunds. Everything that is given must hold.
#[derive(Debug, Default, InputObject)]
pub struct RefundFilter {
    /// Of this order: `order_01J…`.
    order: Option<ID>,
    /// With this status: REQUESTED for those that wait for somebody to move the money.
    status: Option<RefundStatus>,
}

/// Which tickets. Everything that is given must hold.
#[derive(Debug, Default, InputObject)]
pub struct TicketFilter {
    /// To this show: `show_01J…`.
    show: Option<ID>,
    /// Of this order: `order_01J…`.
    order: Option<ID>,
    /// Of this buyer: `b-42`.
    buyer: Option<String>,
    /// With this status.
    status: Option<TicketStatus>,
}

/// Which scans. Everything that is given must hold.
#[derive(Debug, Default, InputObject)]
pub struct ScanFilter {
    /// At the gates of this show: `show_01J…`.
    show: Option<ID>,
    /// Of this ticket: `ticket_01J…`.
    ticket: Option<ID>,
    /// At this gate: `north`.
    gate: Option<String>,
    /// Refused for this reason.
    reason: Option<ScanRefusal>,
    /// Let through, or refused.
    accepted: Option<bool>,
    /// Recorded then or later.
    from: Option<DateTime>,
    /// Recorded before then.
    until: Option<DateTime>,
}

/// Reads a name in a filter.
fn name<T: std::str::FromStr>(argument: &str, text: Option<String>) -> Result<Option<T>, Fault>
where
    T::Err: std::fmt::Display,
{
    text.map(|text| text.parse().map_err(|error: T::Err| Fault::argument(argument, error)))
        .transpose()
}

#[derive(Default)]
pub(super) struct SalesQuery;

#[Object]
impl SalesQuery {
    /// A hold, as it counts now; with `asOf` as it counted then.
    async fn hold(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id: `hold_01J…`.")] id: ID,
        #[graphql(
            desc = "As it was then; as it is now if absent. What it links to is told as it is now."
        )]
        as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<Hold> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeSales)?;
            let id: HoldId = argument("id", &id)?;
            visible::wait_whole(ctx, "holds", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let (found, now) = match as_of.map(AsOfInput::read).transpose()? {
                Some(as_of) => {
                    let found = models.hold_as_of(caller.organizer, id, as_of).await?;
                    (found, models.time_of(as_of).await?)
                }
                None => {
                    let found = models.hold(caller.organizer, id).await?;
                    (found, asked.api.write.engine().clock().now())
                }
            };
            Ok(found.map(|view| Hold::from_view(view, now)))
        })
        .await
    }

    /// Holds, in the order in which they were made.
    async fn holds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Everything that is given must hold.")] filter: Option<HoldFilter>,
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
    ) -> Answer<HoldConnection> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeSales)?;
            let sees = sees(caller, organizer.as_ref())?;
            let page = PageArguments { first, after, last, before, order };
            let page = page.request()?;
            let filter = filter.unwrap_or_default();
            let filter = seat_availability::HoldFilter {
                show: filter.show.map(|id| argument("filter.show", &id)).transpose()?,
                buyer: name("filter.buyer", filter.buyer)?,
                status: filter.status.map(Into::into),
            };
            visible::wait_whole(ctx, "holds", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let (found, now) = match visible::moment(&asked, "holds", as_of).await? {
                Some((as_of, at)) => {
                    let found = models.holds_as_of(sees, &filter, &page, at).await?;
                    (found, models.time_of(as_of).await?)
                }
                None => {
                    let found = models.holds(sees, &filter, &page).await?;
                    (found, asked.api.write.engine().clock().now())
                }
            };
            Ok(Some(found.map(|view| Hold::from_view(view, now)).into()))
        })
        .await
    }

    /// An order.
    async fn order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id: `order_01J…`.")] id: ID,
        #[graphql(
            desc = "As it was then; as it is now if absent. What it links to is told as it is now."
        )]
        as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<Order> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeSales)?;
            let id: OrderId = argument("id", &id)?;
            visible::wait_whole(ctx, "orders", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match as_of.map(AsOfInput::read).transpose()? {
                Some(as_of) => {
                    models.order_as_of(caller.organizer, id, as_of).await?.map(Order::from)
                }
                None => models.order(caller.organizer, id).await?.map(Order::from),
            };
            Ok(found)
        })
        .await
    }

    /// Orders, in the order in which they were placed.
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Everything that is given must hold.")] filter: Option<OrderFilter>,
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
    ) -> Answer<OrderConnection> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeSales)?;
            let sees = sees(caller, organizer.as_ref())?;
            let page = PageArguments { first, after, last, before, order };
            let page = page.request()?;
            let filter = filter.unwrap_or_default();
            let filter = orders::OrderFilter {
                show: filter.show.map(|id| argument("filter.show", &id)).transpose()?,
                buyer: name("filter.buyer", filter.buyer)?,
                status: filter.status.map(Into::into),
            };
            visible::wait_whole(ctx, "orders", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            Ok(Some(match visible::moment(&asked, "orders", as_of).await? {
                Some((_, at)) => models.orders_as_of(sees, &filter, &page, at).await?.into(),
                None => models.orders(sees, &filter, &page).await?.into(),
            }))
        })
        .await
    }

    /// Refunds, in the order in which they were asked for.
    async fn refunds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Everything that is given must hold.")] filter: Option<RefundFilter>,
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
    ) -> Answer<RefundConnection> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeSales)?;
            let sees = sees(caller, organizer.as_ref())?;
            let page = PageArguments { first, after, last, before, order };
            let page = page.request()?;
            let filter = filter.unwrap_or_default();
            let filter = orders::RefundFilter {
                order: filter.order.map(|id| argument("filter.order", &id)).transpose()?,
                status: filter.status.map(Into::into),
            };
            visible::wait_whole(ctx, "orders", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match visible::moment(&asked, "orders", as_of).await? {
                Some((_, at)) => models.refunds_as_of(sees, &filter, &page, at).await?,
                None => models.refunds(sees, &filter, &page).await?,
            };
            Ok(Some(found.into()))
        })
        .await
    }

    /// A ticket.
    async fn ticket(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id: `ticket_01J…`.")] id: ID,
        #[graphql(
            desc = "As it was then; as it is now if absent. Its code, and what it links to, are told as they are now."
        )]
        as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<Ticket> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeTickets)?;
            let id: TicketId = argument("id", &id)?;
            visible::wait_whole(ctx, "tickets", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match as_of.map(AsOfInput::read).transpose()? {
                Some(as_of) => models.ticket_as_of(caller.organizer, id, as_of).await?,
                None => models.ticket(caller.organizer, id).await?,
            };
            Ok(found.map(Ticket::from))
        })
        .await
    }

    /// Tickets, in the order in which they were made.
    async fn tickets(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Everything that is given must hold.")] filter: Option<TicketFilter>,
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
            desc = "As the list stood then; as it is now if absent. Codes, and what its elements link to, are told as they are now."
        )]
        as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<TicketConnection> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeTickets)?;
            let sees = sees(caller, organizer.as_ref())?;
            let page = PageArguments { first, after, last, before, order };
            let page = page.request()?;
            let filter = filter.unwrap_or_default();
            let filter = tickets::TicketFilter {
                show: filter.show.map(|id| argument("filter.show", &id)).transpose()?,
                order: filter.order.map(|id| argument("filter.order", &id)).transpose()?,
                buyer: name("filter.buyer", filter.buyer)?,
                status: filter.status.map(Into::into),
            };
            visible::wait_whole(ctx, "tickets", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match visible::moment(&asked, "tickets", as_of).await? {
                Some((_, at)) => models.tickets_as_of(sees, &filter, &page, at).await?,
                None => models.tickets(sees, &filter, &page).await?,
            };
            Ok(Some(found.into()))
        })
        .await
    }

    /// Codes that were read at gates, in the order in which that happened, refused ones too.
    async fn scans(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Everything that is given must hold.")] filter: Option<ScanFilter>,
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
    ) -> Answer<ScanConnection> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeSales)?;
            let sees = sees(caller, organizer.as_ref())?;
            let page = PageArguments { first, after, last, before, order };
            let page = page.request()?;
            let filter = filter.unwrap_or_default();
            let filter = scans::ScanFilter {
                show: filter.show.map(|id| argument("filter.show", &id)).transpose()?,
                ticket: filter.ticket.map(|id| argument("filter.ticket", &id)).transpose()?,
                gate: name("filter.gate", filter.gate)?,
                reason: filter.reason.map(Into::into),
                accepted: filter.accepted,
                from: filter.from.map(|time| time.0),
                until: filter.until.map(|time| time.0),
                as_of: as_of.map(AsOfInput::read).transpose()?,
            };
            visible::wait_whole(ctx, "scans", at_least.map(|at| at.0)).await?;
            Ok(Some(asked.api.models.scans(sees, &filter, &page).await?.into()))
        })
        .await
    }

    /// What was sold of a show; null if it was never on sale.
    async fn sales(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global id of the show: `show_01J…`.")] show: ID,
        #[graphql(desc = "As it stood then; as it is now if absent.")] as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<SalesReport> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeSales)?;
            let show: ShowId = argument("show", &show)?;
            visible::wait_whole(ctx, "sales", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match visible::moment(&asked, "orders", as_of).await? {
                Some((_, at)) => models.show_sales_as_of(caller.organizer, show, at).await?,
                None => models.show_sales(caller.organizer, show).await?,
            };
            Ok(found.map(SalesReport::from))
        })
        .await
    }

    /// What money came in and went out, currency by currency.
    async fn money(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "For operators: only what is this organizer's, `organizer_01J…`.")]
        organizer: Option<ID>,
        #[graphql(desc = "As it stood then; as it is now if absent.")] as_of: Option<AsOfInput>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<Vec<MoneyReport>> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeSales)?;
            let sees = sees(caller, organizer.as_ref())?;
            visible::wait_whole(ctx, "sales", at_least.map(|at| at.0)).await?;
            let models = &asked.api.models;
            let found = match visible::moment(&asked, "orders", as_of).await? {
                Some((_, at)) => models.money_as_of(sees, at).await?,
                None => models.money(sees).await?,
            };
            Ok(Some(found.into_iter().map(MoneyReport::from).collect()))
        })
        .await
    }
}

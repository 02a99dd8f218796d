//! Anything by its global id.

use async_graphql::{Context, ID, Interface, Object};
use hakken_domain::names::{
    ApiKeyId, HoldId, OrderId, OrganizerId, RefundId, ShowId, TicketId, VenueId,
};

use crate::{
    auth::Right,
    faults::Fault,
    ids::GlobalId,
    schema::{
        batch::Batch,
        connection::MAX_PAGE,
        context::{Answer, Asked, answer},
        scalars::PositionScalar,
        types::{ApiKey, Hold, Order, Organizer, Refund, Show, Ticket, Venue},
        visible,
    },
};

/// Anything with a global id, which `node` finds again: `order_01ARZ3NDEKTSV4RRFFQ69G5FAV`.
#[derive(Clone, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Its global id: `order_01J…`."))]
pub enum Node {
    /// An organizer.
    Organizer(Organizer),
    /// An API key.
    ApiKey(ApiKey),
    /// A venue.
    Venue(Venue),
    /// A show.
    Show(Show),
    /// A hold.
    Hold(Hold),
    /// An order.
    Order(Order),
    /// A refund.
    Refund(Refund),
    /// A ticket.
    Ticket(Ticket),
}

#[derive(Default)]
pub(super) struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Anything by its global id; null if there is nothing, or it is another organizer's.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A global id: `order_01J…`.")] id: ID,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<Node> {
        answer(find(ctx, &id, at_least)).await
    }

    /// Many things by their global ids, in the same order; null where there is nothing.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global ids, at most 100: `order_01J…`.")] ids: Vec<ID>,
        #[graphql(desc = "See at least what happened up to this position.")] at_least: Option<
            PositionScalar,
        >,
    ) -> Answer<Vec<Answer<Node>>> {
        answer(async move {
            if ids.len() > MAX_PAGE as usize {
                let reason = format!("at most {MAX_PAGE} things can be asked for at once");
                return Err(Fault::argument("ids", reason));
            }
            let found = ids.iter().map(|id| answer(find(ctx, id, at_least)));
            Ok(Some(futures_util::future::join_all(found).await))
        })
        .await
    }
}

/// What is asked for by its id, kind by kind: all of one kind is one question.
#[derive(Default)]
pub(crate) struct Named {
    organizers: Batch<OrganizerId, Node>,
    api_keys: Batch<ApiKeyId, Node>,
    venues: Batch<VenueId, Node>,
    shows: Batch<ShowId, Node>,
    holds: Batch<HoldId, Node>,
    orders: Batch<OrderId, Node>,
    refunds: Batch<RefundId, Node>,
    tickets: Batch<TicketId, Node>,
}

/// Looks for an id of one kind in its read model.
macro_rules! of_kind {
    ($ctx:ident, $id:ident, $at_least:ident; $($kind:ident: $right:ident, $projection:literal,
        $named:ident = $models:ident, |$view:ident, $now:ident| $key:expr => $node:expr;)*) => {
        $(if let Ok(id) = $kind::parse($id) {
            let asked = Asked::of($ctx);
            let sees = asked.with(Right::$right)?.organizer;
            visible::wait_whole($ctx, $projection, $at_least).await?;
            let $now = asked.api.write.engine().clock().now();
            let ask = move |wanted: Vec<$kind>| async move {
                let found = asked.api.models.$models(sees, &wanted).await?;
                Ok(found.into_iter().map(|$view| ($key, $node)).collect())
            };
            let alone = Named::default();
            return asked.named().unwrap_or(&alone).$named.get(id, ask).await;
        })*
    };
}

pub(super) async fn find(
    ctx: &Context<'_>,
    id: &ID,
    at_least: Option<PositionScalar>,
) -> Result<Option<Node>, Fault> {
    let at_least = at_least.map(|at| at.0);
    of_kind! { ctx, id, at_least;
        OrganizerId: SeeEngine, "catalogue", organizers = organizers_by_id,
            |view, _now| view.organizer => Node::Organizer(view.into());
        // An operator's key is nobody's but the operators': it has no tenant.
        ApiKeyId: SeeEngine, "catalogue", api_keys = api_keys_by_id,
            |view, _now| view.api_key => Node::ApiKey(view.into());
        VenueId: SeeShows, "catalogue", venues = venues_by_id,
            |view, _now| view.venue => Node::Venue(view.into());
        ShowId: SeeShows, "catalogue", shows = shows_by_id,
            |view, _now| view.show => Node::Show(view.into());
        HoldId: SeeSales, "holds", holds = holds_by_id,
            |view, now| view.hold => Node::Hold(Hold::from_view(view, now));
        OrderId: SeeSales, "orders", orders = orders_by_id,
            |view, _now| view.order => Node::Order(view.into());
        RefundId: SeeSales, "orders", refunds = refunds_by_id,
            |view, _now| view.refund => Node::Refund(view.into());
        TicketId: SeeTickets, "tickets", tickets = tickets_by_id,
            |view, _now| view.ticket => Node::Ticket(view.into());
    }
    let text: String = id.chars().take(64).collect();
    Err(Fault::argument(
        "id",
        format!(
            "{text:?} is no id of anything that can be asked for: ids look like \
             order_01ARZ3NDEKTSV4RRFFQ69G5FAV"
        ),
    ))
}

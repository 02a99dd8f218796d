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
        connection::MAX_PAGE,
        context::{Answer, Asked, answer},
        scalars::PositionScalar,
        types::{ApiKey, Hold, Order, Organizer, Refund, Show, Ticket, Venue},
        visible,
    },
};

/// Anything with a global id, which `node` finds again: `order_01ARZ3NDEKTSV4RRFFQ69G5FAV`.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Its global id."))]
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
        let asked = Asked::of(ctx);
        answer(find(asked, &id, at_least)).await
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
        let asked = Asked::of(ctx);
        answer(async move {
            if ids.len() > MAX_PAGE as usize {
                let reason = format!("at most {MAX_PAGE} things can be asked for at once");
                return Err(Fault::argument("ids", reason));
            }
            let found = ids.iter().map(|id| answer(find(asked, id, at_least)));
            Ok(Some(futures_util::future::join_all(found).await))
        })
        .await
    }
}

pub(super) async fn find(
    asked: Asked<'_>,
    id: &ID,
    at_least: Option<PositionScalar>,
) -> Result<Option<Node>, Fault> {
    let models = &asked.api.models;
    let wait = |projection| visible::wait(asked.api, projection, at_least.map(|at| at.0));
    if let Ok(id) = OrganizerId::parse(id) {
        let sees = asked.with(Right::SeeEngine)?.organizer;
        wait("catalogue").await?;
        return Ok(models.organizer(sees, id).await?.map(|view| Node::Organizer(view.into())));
    }
    if let Ok(id) = ApiKeyId::parse(id) {
        let sees = asked.with(Right::SeeEngine)?.organizer;
        let found = crate::schema::load::api_key(asked.api, sees, id).await?;
        // An operator's key is nobody's but the operators'.
        let found = found.filter(|key| sees.is_none() || key.organizer_id.is_some());
        return Ok(found.map(Node::ApiKey));
    }
    if let Ok(id) = VenueId::parse(id) {
        let sees = asked.with(Right::SeeShows)?.organizer;
        wait("catalogue").await?;
        return Ok(models.venue(sees, id).await?.map(|view| Node::Venue(view.into())));
    }
    if let Ok(id) = ShowId::parse(id) {
        let sees = asked.with(Right::SeeShows)?.organizer;
        wait("catalogue").await?;
        return Ok(models.show(sees, id).await?.map(|view| Node::Show(view.into())));
    }
    if let Ok(id) = HoldId::parse(id) {
        let sees = asked.with(Right::SeeSales)?.organizer;
        wait("holds").await?;
        let now = asked.api.write.engine().clock().now();
        let found = models.hold(sees, id).await?;
        return Ok(found.map(|view| Node::Hold(Hold::from_view(view, now))));
    }
    if let Ok(id) = OrderId::parse(id) {
        let sees = asked.with(Right::SeeSales)?.organizer;
        wait("orders").await?;
        return Ok(models.order(sees, id).await?.map(|view| Node::Order(view.into())));
    }
    if let Ok(id) = RefundId::parse(id) {
        let sees = asked.with(Right::SeeSales)?.organizer;
        wait("orders").await?;
        return Ok(models.refund(sees, id).await?.map(|view| Node::Refund(view.into())));
    }
    if let Ok(id) = TicketId::parse(id) {
        let sees = asked.with(Right::SeeTickets)?.organizer;
        wait("tickets").await?;
        return Ok(models.ticket(sees, id).await?.map(|view| Node::Ticket(view.into())));
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

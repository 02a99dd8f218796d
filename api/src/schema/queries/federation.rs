//! What makes the schema a subgraph of Apollo Federation 2, so that a router can join it with
//! others: tickets, orders and shows are entities, found again by their global ids.
//!
//! The library could do this, but would read as many things as one request names, and would let
//! one that cannot be seen take all others along.

use async_graphql::{
    Context, ID, InputValueError, InputValueResult, Object, Scalar, ScalarType, SimpleObject,
    Union, Value,
};

use super::node::{self, Node};
use crate::{
    faults::Fault,
    schema::{
        connection::MAX_PAGE,
        context::{Answer, answer},
        types::{Order, Show, Ticket},
    },
};

/// What other subgraphs may name and add fields to, by the field `id`.
pub(crate) const ENTITIES: [&str; 3] = ["Order", "Show", "Ticket"];

/// How a router names an entity: `{__typename: "Ticket", id: "ticket_01J…"}`.
pub struct Representation {
    kind: String,
    id: String,
}

/// How a router names an entity: `{__typename: "Ticket", id: "ticket_01J…"}`.
#[Scalar(
    name = "_Any",
    specified_by_url = "https://www.apollographql.com/docs/graphos/schema-design/federated-schemas/reference/subgraph-spec"
)]
impl ScalarType for Representation {
    fn parse(value: Value) -> InputValueResult<Self> {
        let wrong = || InputValueError::custom("an entity is named by its `__typename` and `id`");
        let Value::Object(fields) = value else { return Err(wrong()) };
        let text = |name: &str| match fields.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            _ => Err(wrong()),
        };
        Ok(Self { kind: text("__typename")?, id: text("id")? })
    }

    fn to_value(&self) -> Value {
        Value::from_json(serde_json::json!({ "__typename": self.kind, "id": self.id }))
            .unwrap_or_default()
    }
}

/// What a router finds by a representation.
#[derive(Union)]
#[graphql(name = "_Entity")]
pub enum Entity {
    /// An order.
    Order(Order),
    /// A show.
    Show(Show),
    /// A ticket.
    Ticket(Ticket),
}

/// What a router wants to know of a subgraph.
#[derive(SimpleObject)]
#[graphql(name = "_Service")]
pub struct Service {
    /// The schema, with the directives of Federation 2: `extend schema @link(…) …`.
    sdl: &'static str,
}

#[derive(Default)]
pub(super) struct FederationQuery;

#[Object]
impl FederationQuery {
    /// For routers of Apollo Federation 2: the schema with its entities.
    #[graphql(name = "_service")]
    async fn service(&self) -> Service {
        Service { sdl: crate::schema::subgraph() }
    }

    /// For routers of Apollo Federation 2: tickets, orders and shows by their ids, in the same
    /// order; null where there is nothing to see. Rights are those of `node`.
    #[graphql(name = "_entities")]
    async fn entities(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which entities, at most 100.")] representations: Vec<Representation>,
    ) -> async_graphql::Result<Vec<Answer<Entity>>> {
        if representations.len() > MAX_PAGE as usize {
            let reason = format!("at most {MAX_PAGE} things can be asked for at once");
            return Err(Fault::argument("representations", reason).into());
        }
        let found = representations.into_iter().map(|named| answer(find(ctx, named)));
        Ok(futures_util::future::join_all(found).await)
    }
}

async fn find(ctx: &Context<'_>, named: Representation) -> Result<Option<Entity>, Fault> {
    if !ENTITIES.contains(&named.kind.as_str()) {
        let reason = format!("{:?} is no entity", named.kind.chars().take(64).collect::<String>());
        return Err(Fault::argument("representations", reason));
    }
    let found = node::find(ctx, &ID(named.id), None).await?;
    Ok(match found {
        Some(Node::Order(order)) if named.kind == "Order" => Some(Entity::Order(order)),
        Some(Node::Show(show)) if named.kind == "Show" => Some(Entity::Show(show)),
        Some(Node::Ticket(ticket)) if named.kind == "Ticket" => Some(Entity::Ticket(ticket)),
        _ => None,
    })
}

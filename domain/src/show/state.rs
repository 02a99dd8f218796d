//! What the rules of a show remember, and what others may ask of it.

use serde::{Deserialize, Serialize};

use super::events::{Event, ShowScheduled, TicketType};
use crate::{
    legs::Legs,
    names::{Category, PoolId, TicketTypeId},
};

/// What the rules remember.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    #[serde(with = "crate::as_json")]
    scheduled: Option<ShowScheduled>,
    #[serde(with = "crate::as_json")]
    ticket_types: Vec<TicketType>,
    withdrawn: Vec<TicketTypeId>,
    cancelled: bool,
}

impl State {
    /// When and where; nothing before it is scheduled.
    pub fn scheduled(&self) -> Option<&ShowScheduled> {
        self.scheduled.as_ref()
    }

    /// How many legs it has: one between each stop and the next, and 1 without stops.
    pub fn legs(&self) -> u8 {
        self.scheduled.as_ref().map_or(1, ShowScheduled::legs)
    }

    /// What is offered, in the order in which it was first offered.
    pub fn ticket_types(&self) -> &[TicketType] {
        &self.ticket_types
    }

    /// The terms of a ticket type that is offered.
    pub fn ticket_type(&self, ticket_type: &TicketTypeId) -> Option<&TicketType> {
        self.ticket_types.iter().find(|t| t.ticket_type == *ticket_type)
    }

    /// It was offered once and is no more.
    pub fn is_withdrawn(&self, ticket_type: &TicketTypeId) -> bool {
        self.withdrawn.contains(ticket_type)
    }

    /// It will not take place.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// What a place costs as this ticket type on these legs, in minor units: a seat of this
    /// category or, if one is named, this pool. `None` if it is not offered for that place or
    /// the show has no such legs.
    pub fn price(
        &self,
        ticket_type: &TicketTypeId,
        category: &Category,
        pool: Option<&PoolId>,
        legs: Legs,
    ) -> Option<u64> {
        let terms = self.ticket_type(ticket_type)?;
        let offered = if terms.pools.is_empty() {
            terms.categories.is_empty() || terms.categories.contains(category)
        } else {
            pool.is_some_and(|pool| terms.pools.contains(pool))
        };
        if !offered || legs.to() > self.legs() {
            return None;
        }
        let fare = terms.fares.iter().find(|fare| fare.legs == legs);
        Some(fare.map_or(terms.price_minor, |fare| fare.price_minor))
    }

    /// Ticket types that are or were offered.
    pub(super) fn ticket_types_ever(&self) -> usize {
        self.ticket_types.len() + self.withdrawn.len()
    }
}

impl ShowScheduled {
    /// How many legs it has: one between each stop and the next, and 1 without stops.
    pub fn legs(&self) -> u8 {
        u8::try_from(self.stops.len().saturating_sub(1).max(1)).unwrap_or(u8::MAX)
    }
}

/// Folds one event in.
pub(super) fn evolve(state: &mut State, event: &Event) {
    match event {
        Event::ShowScheduled(e) => state.scheduled = Some(e.clone()),
        Event::TicketTypeOffered(e) => {
            state.withdrawn.retain(|name| *name != e.ticket_type);
            match state.ticket_types.iter_mut().find(|t| t.ticket_type == e.ticket_type) {
                Some(terms) => *terms = e.clone(),
                None => state.ticket_types.push(e.clone()),
            }
        }
        Event::TicketTypeWithdrawn(e) => {
            state.ticket_types.retain(|t| t.ticket_type != e.ticket_type);
            state.withdrawn.push(e.ticket_type.clone());
        }
        Event::ShowCancelled(_) => state.cancelled = true,
    }
}

use async_graphql::{Context, Enum, ID, Object};
use hakken_domain::{
    inventory::{self, Places},
    names::{Allotment, BuyerRef, HoldId, OrderId, ShowId},
    time::Timestamp,
};
use hakken_projections::models::seat_availability;

use super::{Legs, PoolPlacesView, Show};
use crate::{
    auth::Right,
    ids::GlobalId,
    schema::{
        context::{Answer, Asked, answer},
        scalars::DateTime,
    },
};

/// Seats and pool places set aside for a buyer until a time (仮押さえ).
#[derive(Debug, Clone)]
pub struct Hold {
    id: HoldId,
    show: ShowId,
    buyer: BuyerRef,
    status: HoldStatus,
    places: Places,
    allotment: Option<Allotment>,
    expires_at: Option<Timestamp>,
    order: Option<OrderId>,
}

/// What became of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum HoldStatus {
    /// Its places are set aside.
    Held,
    /// Its places are sold.
    Confirmed,
    /// The buyer gave it back.
    Released,
    /// Its time has passed.
    Expired,
}

impl From<HoldStatus> for seat_availability::HoldStatus {
    fn from(status: HoldStatus) -> Self {
        match status {
            HoldStatus::Held => Self::Held,
            HoldStatus::Confirmed => Self::Confirmed,
            HoldStatus::Released => Self::Released,
            HoldStatus::Expired => Self::Expired,
        }
    }
}

impl Hold {
    /// From the inventory. None for a hold that is over: the inventory forgets what it had.
    pub(crate) fn from_state(
        show: ShowId,
        id: HoldId,
        view: inventory::HoldView,
        now: Timestamp,
    ) -> Option<Self> {
        match view {
            inventory::HoldView::Live { buyer, places, allotment, expires_at } => {
                let over = expires_at <= now;
                let status = if over { HoldStatus::Expired } else { HoldStatus::Held };
                let expires_at = Some(expires_at);
                Some(Self { id, show, buyer, status, places, allotment, expires_at, order: None })
            }
            inventory::HoldView::Confirmed { buyer, order, places, allotment } => Some(Self {
                id,
                show,
                buyer,
                status: HoldStatus::Confirmed,
                places,
                allotment,
                expires_at: None,
                order: Some(order),
            }),
            inventory::HoldView::Released | inventory::HoldView::Expired => None,
        }
    }

    /// From the event that made it.
    pub(crate) fn from_event(show: ShowId, held: &inventory::SeatsHeld) -> Self {
        Self {
            id: held.hold,
            show,
            buyer: held.buyer.clone(),
            status: HoldStatus::Held,
            places: held.places.clone(),
            allotment: held.allotment.clone(),
            expires_at: Some(held.expires_at),
            order: None,
        }
    }

    /// From the read model, as it counts at this time.
    pub(crate) fn from_view(view: seat_availability::HoldView, now: Timestamp) -> Self {
        let status = match view.status {
            seat_availability::HoldStatus::Held if view.lasts(now) => HoldStatus::Held,
            seat_availability::HoldStatus::Held | seat_availability::HoldStatus::Expired => {
                HoldStatus::Expired
            }
            seat_availability::HoldStatus::Confirmed => HoldStatus::Confirmed,
            seat_availability::HoldStatus::Released => HoldStatus::Released,
        };
        Self {
            id: view.hold,
            show: view.show,
            buyer: view.buyer,
            status,
            places: view.places,
            allotment: view.allotment,
            expires_at: Some(view.expires_at),
            order: view.order,
        }
    }
}

/// Seats and pool places set aside for a buyer until a time (仮押さえ).
#[Object]
impl Hold {
    /// Its global id: `hold_…`.
    pub async fn id(&self) -> ID {
        self.id.global()
    }

    /// The id of the show: `show_01J…`.
    async fn show_id(&self) -> ID {
        self.show.global()
    }

    /// Of which show.
    async fn show(&self, ctx: &Context<'_>) -> Answer<Show> {
        let (asked, id) = (Asked::of(ctx), self.show);
        answer(async move {
            let caller = asked.with(Right::SeeShows)?;
            asked.links(caller).show(id).await
        })
        .await
    }

    /// For whom, as the integrator knows them: `b-42`.
    async fn buyer(&self) -> &str {
        self.buyer.as_str()
    }

    /// What became of it.
    async fn status(&self) -> HoldStatus {
        self.status
    }

    /// The numbered seats that it has, or had: `A1`.
    async fn seats(&self) -> Vec<&str> {
        self.places.seats.iter().map(|seat| seat.as_str()).collect()
    }

    /// The pool places that it has, or had.
    async fn pools(&self) -> Vec<PoolPlacesView> {
        self.places.pools.iter().map(PoolPlacesView::from).collect()
    }

    /// On these legs of the show.
    async fn legs(&self) -> Legs {
        self.places.legs.into()
    }

    /// Out of which allotment: `fan-club`.
    async fn allotment(&self) -> Option<&str> {
        self.allotment.as_ref().map(Allotment::as_str)
    }

    /// From this instant on its places count as free. Null once they are sold.
    async fn expires_at(&self) -> Option<DateTime> {
        self.expires_at.filter(|_| self.status != HoldStatus::Confirmed).map(DateTime)
    }

    /// The id of the order that bought its places: `order_01J…`.
    async fn order_id(&self) -> Option<ID> {
        self.order.map(GlobalId::global)
    }
}

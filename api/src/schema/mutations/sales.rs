//! Holding seats.

use async_graphql::{Context, ID, InputObject, Object};
use hakken_commands::engine::Receipt;
use hakken_domain::{
    Event, State,
    envelope::StreamId,
    inventory::{self, BestAvailable, Command, HoldSeats, PoolPlaces, SeatChoice},
    legs,
    names::{HoldId, ShowId},
};

use super::command::{Ask, Stop, bad_input, carry_out, payload};
use crate::{
    auth::Right,
    schema::{
        context::Answer,
        load,
        types::{Hold, LegsInput, PoolPlacesInput},
        visible,
    },
};

/// Which seats, when not by name: the best that are free, side by side, nearest where people want
/// to look, and without leaving a single seat alone.
#[derive(Debug, Clone, InputObject)]
pub struct BestAvailableInput {
    /// How many seats, 1 or more.
    count: u32,
    /// Only in this section of the seat map, by its name: `Stalls`.
    section: Option<String>,
    /// Only in this price category: `S`.
    category: Option<String>,
    /// Wheelchair places, and only those. Without it there are none among the seats.
    #[graphql(default)]
    wheelchair: bool,
    /// The party may be split where nowhere enough seats stand side by side.
    #[graphql(default)]
    may_split: bool,
}

/// What `holdSeats` sets aside: seats by name or the best available ones, and pool places.
#[derive(Debug, InputObject)]
pub struct HoldSeatsInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which show: `show_01J…`.
    show: ID,
    /// For whom: your own opaque reference, never a name or an address. ASCII letters, digits and
    /// `- _ . :`.
    buyer: String,
    /// These seats and no others, by their names in the seat map: `["A1", "A2"]`.
    #[graphql(default)]
    seats: Vec<String>,
    /// The best free seats, instead of `seats`.
    best_available: Option<BestAvailableInput>,
    /// Places of pools, each pool once.
    #[graphql(default)]
    pools: Vec<PoolPlacesInput>,
    /// On these legs; on all legs of the show if absent.
    legs: Option<LegsInput>,
    /// Out of what is kept under this name: `fan-club`.
    allotment: Option<String>,
    /// How long, from now; the show's own time if absent, which is also the most.
    ttl_seconds: Option<u32>,
}

payload! {
    /// What came of `holdSeats`.
    HoldSeatsPayload {
        /// The new hold.
        hold: Hold,
    }
}

/// Which hold `extendHold` prolongs, and for how long.
#[derive(Debug, InputObject)]
pub struct ExtendHoldInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which show the hold is: `show_01J…`.
    show: ID,
    /// Which hold: `hold_01J…`.
    hold: ID,
    /// How long, from now; the show's own time if absent. The rules bound its end.
    ttl_seconds: Option<u32>,
}

payload! {
    /// What came of `extendHold`.
    ExtendHoldPayload {
        /// The hold, with its new end.
        hold: Hold,
    }
}

/// Which hold `releaseHold` gives back.
#[derive(Debug, InputObject)]
pub struct ReleaseHoldInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Of which show the hold is: `show_01J…`.
    show: ID,
    /// Which hold: `hold_01J…`.
    hold: ID,
}

payload! {
    /// What came of `releaseHold`.
    ReleaseHoldPayload {
        /// The hold, which is over.
        hold: Hold,
    }
}

#[derive(Default)]
pub(super) struct SalesMutation;

#[Object]
impl SalesMutation {
    /// Sets seats and pool places aside for a buyer until a time, all or nothing. Place an order
    /// for it and pay it before the hold expires. Needs the role ORGANIZER or BOX_OFFICE.
    async fn hold_seats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: HoldSeatsInput,
    ) -> Answer<HoldSeatsPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| hold_seats(ask, input)).await
    }

    /// Lets a hold last longer, as far as the show's rules allow. Needs the role ORGANIZER or
    /// BOX_OFFICE.
    async fn extend_hold(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ExtendHoldInput,
    ) -> Answer<ExtendHoldPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| async move {
            let show: ShowId = ask.id("show", &input.show)?;
            let hold: HoldId = ask.id("hold", &input.hold)?;
            let command = Command::ExtendHold { hold, ttl_seconds: input.ttl_seconds };
            let (hold, receipt) = tell(&ask, show, hold, command).await?;
            Ok(ExtendHoldPayload::done((&receipt).into(), hold))
        })
        .await
    }

    /// Gives a hold back: its places are free at once. Needs the role ORGANIZER or BOX_OFFICE.
    async fn release_hold(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ReleaseHoldInput,
    ) -> Answer<ReleaseHoldPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Sell, key, |ask| async move {
            let show: ShowId = ask.id("show", &input.show)?;
            let hold: HoldId = ask.id("hold", &input.hold)?;
            let (hold, receipt) = tell(&ask, show, hold, Command::ReleaseHold { hold }).await?;
            Ok(ReleaseHoldPayload::done((&receipt).into(), hold))
        })
        .await
    }
}

async fn hold_seats(ask: Ask<'_>, input: HoldSeatsInput) -> Result<HoldSeatsPayload, Stop> {
    let show: ShowId = ask.id("show", &input.show)?;
    let organizer = ask.organizer()?;
    // A hold's id is its show's own, so that a key that is used for two shows makes two holds.
    let hold = HoldId::derived(&format!("{organizer} {show}"), ask.key().as_str());
    let command = Command::HoldSeats(HoldSeats {
        hold,
        buyer: ask.read("buyer", &input.buyer)?,
        seats: seat_choice(&ask, hold, &input)?,
        pools: pool_places(&ask, &input.pools)?,
        legs: legs_of(input.legs)?,
        allotment: ask.maybe("allotment", input.allotment.as_deref())?,
        ttl_seconds: input.ttl_seconds,
    });
    let (hold, receipt) = tell(&ask, show, hold, command).await?;
    Ok(HoldSeatsPayload::done((&receipt).into(), hold))
}

fn seat_choice(ask: &Ask<'_>, hold: HoldId, input: &HoldSeatsInput) -> Result<SeatChoice, Stop> {
    let Some(best) = &input.best_available else {
        return Ok(SeatChoice::Named(ask.list("seats", &input.seats)?));
    };
    if !input.seats.is_empty() {
        return Err(bad_input(
            Some("bestAvailable"),
            "name seats, or ask for the best available ones; not both",
        ));
    }
    Ok(SeatChoice::BestAvailable(BestAvailable {
        count: best.count,
        section: best.section.clone(),
        category: ask.maybe("bestAvailable.category", best.category.as_deref())?,
        wheelchair: best.wheelchair,
        may_split: best.may_split,
        // Draws among equals by the hold, so that a request that is sent again draws the same.
        seed: (hold.0.0 >> 64) as u64 ^ hold.0.0 as u64,
    }))
}

/// Reads places of pools.
pub(super) fn pool_places(
    ask: &Ask<'_>,
    pools: &[PoolPlacesInput],
) -> Result<Vec<PoolPlaces>, Stop> {
    let each = |(at, places): (usize, &PoolPlacesInput)| {
        let pool = ask.read(&format!("pools.{at}.pool"), &places.pool)?;
        Ok(PoolPlaces { pool, count: places.count })
    };
    pools.iter().enumerate().map(each).collect()
}

fn legs_of(legs: Option<LegsInput>) -> Result<Option<legs::Legs>, Stop> {
    legs.map(|legs| {
        legs::Legs::new(legs.from, legs.to).map_err(|error| bad_input(Some("legs"), error))
    })
    .transpose()
}

/// The hold that a command has just made, as its event tells. To look at the inventory would be
/// to wait for whatever others have asked of it since. An earlier answer that is given again may
/// be long ago: then the hold is looked at.
fn made_by(receipt: &Receipt, show: ShowId) -> Option<Hold> {
    let events = receipt.events.iter().filter(|_| !receipt.repeated);
    events.filter_map(|stored| stored.decoded().ok()).find_map(|decoded| match &decoded.event {
        Event::Inventory(inventory::Event::SeatsHeld(held)) => Some(Hold::from_event(show, held)),
        _ => None,
    })
}

/// Tells the inventory, and looks at the hold afterwards.
async fn tell(
    ask: &Ask<'_>,
    show: ShowId,
    hold: HoldId,
    command: Command,
) -> Result<(Option<Hold>, Receipt), Stop> {
    let organizer = ask.organizer()?;
    let stream = StreamId::inventory(show);
    let desk = ask.asked.api.write.desk();
    let outcome = desk.ask(ask.asker(Some(organizer)), stream, command).await;
    let receipt = ask.told(stream, outcome)?;
    if let Some(made) = made_by(&receipt, show) {
        return Ok((Some(made), receipt));
    }
    let now = desk.engine().clock().now();
    let api = ask.asked.api;
    let view = load::look(api, Some(organizer), stream, move |state, _| {
        let State::Inventory(inventory) = state else { return None };
        inventory.hold(hold)
    });
    let view = view.await?;
    if let Some(fresh) = view.and_then(|view| Hold::from_state(show, hold, view, now)) {
        return Ok((Some(fresh), receipt));
    }
    // The inventory forgets what a hold had once it is over; the read model remembers.
    visible::wait(api, "holds", Some(receipt.position)).await?;
    let view = api.models.hold(Some(organizer), hold).await.map_err(crate::faults::Fault::from)?;
    Ok((view.map(|view| Hold::from_view(view, now)), receipt))
}

//! Placing an order, paying it, cancelling it.

use hakken_domain::{
    Event, State,
    envelope::{Position, StreamId},
    inventory::{HoldView, Places},
    money::Currency,
    names::{BuyerRef, Category, HoldId, OrderId, PoolId, SeatId, ShowId, TicketTypeId},
    order::{self, Item, MAX_ITEMS, Payment},
    show,
    time::Timestamp,
};

use super::{Desk, DeskError, DeskRejection, PlaceName};
use crate::engine::{Asker, CommandError, Receipt, Tenant};

/// What a buyer wants to reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceOrder {
    /// Whose order it is.
    pub buyer: BuyerRef,
    /// One for each hold.
    pub lines: Vec<Line>,
}

/// The tickets for one hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Of which show.
    pub show: ShowId,
    /// What is held.
    pub hold: HoldId,
    /// For every place that `tickets` says nothing of.
    pub ticket_type: Option<TicketTypeId>,
    /// For certain places.
    pub tickets: Vec<TicketWish>,
}

/// A ticket type for some places of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketWish {
    /// A seat, or so many places of a pool.
    pub place: PlaceWish,
    /// As what.
    pub ticket_type: TicketTypeId,
}

/// Some places of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceWish {
    /// This seat.
    Seat(SeatId),
    /// So many places of this pool.
    Pool(PoolId, u32),
}

/// Whether what a command set in motion has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Nothing was set in motion.
    Nothing,
    /// It has.
    Done,
    /// It is under way still: ask for the order again.
    UnderWay,
}

/// How the desk looks at a hold.
#[derive(Debug, Clone, Copy)]
enum Sight {
    /// Without waiting for what others ask of the show.
    Passing,
    /// Only at what is durable.
    Durable,
}

/// What the desk must know of a hold and its show.
struct Held {
    places: Places,
    currency: Currency,
    show: show::State,
    seat_categories: Vec<Category>,
    pool_categories: Vec<Category>,
}

impl Desk {
    /// Places an order with the prices as they are now.
    pub async fn place_order(
        &self,
        asker: Asker,
        order: OrderId,
        wanted: PlaceOrder,
    ) -> Result<Receipt, DeskError> {
        // What is seen in passing is enough to ask for an order, which is durable after it. What
        // the desk refuses by it must be durable.
        let mut built = self.build_order(&asker, &wanted, Sight::Passing).await;
        if let Err(DeskError::Refused(_)) = built {
            built = self.build_order(&asker, &wanted, Sight::Durable).await;
        }
        match built {
            Ok((currency, items)) => {
                let command = order::Command::PlaceOrder { buyer: wanted.buyer, currency, items };
                Ok(self.create(asker, order, command).await?)
            }
            Err(DeskError::Refused(rejection)) => {
                self.unless_granted(asker, order.into(), rejection).await
            }
            Err(error) => Err(error),
        }
    }

    /// Records payments. If the order is paid by them, waits (bounded) until its tickets are
    /// there or its money is on its way back.
    pub async fn pay(
        &self,
        asker: Asker,
        order: OrderId,
        payments: Vec<Payment>,
        currency: Currency,
        partial: bool,
    ) -> Result<(Receipt, Settled), CommandError> {
        let command = order::Command::CapturePayments { payments, currency, partial };
        let mut receipt = self.ask(asker, order, command).await?;
        let settled = self.settle(&mut receipt, |e| matches!(e, order::Event::OrderPaid(_))).await;
        Ok((receipt, settled))
    }

    /// Cancels, and waits (bounded) until tickets are void and places free.
    pub async fn cancel(
        &self,
        asker: Asker,
        order: OrderId,
        command: order::Command,
    ) -> Result<(Receipt, Settled), CommandError> {
        let mut receipt = self.ask(asker, order, command).await?;
        let settled = self
            .settle(&mut receipt, |event| {
                matches!(
                    event,
                    order::Event::CancellationRequested(_) | order::Event::OrderCancelled(_)
                )
            })
            .await;
        Ok((receipt, settled))
    }

    /// Waits (bounded) until the checkout has answered what the receipt set in motion. Then the
    /// receipt's position covers the answer too.
    async fn settle(
        &self,
        receipt: &mut Receipt,
        sets_in_motion: impl Fn(&order::Event) -> bool,
    ) -> Settled {
        let awaited: Option<Position> = receipt
            .events
            .iter()
            .filter(|stored| match stored.decoded().map(|decoded| &decoded.event) {
                Ok(Event::Order(event)) => sets_in_motion(event),
                _ => false,
            })
            .map(|stored| stored.position)
            .max();
        match awaited {
            None => Settled::Nothing,
            Some(position) if self.checkout.wait_for(position, self.patience).await => {
                receipt.position = receipt.position.max(self.engine.position());
                Settled::Done
            }
            Some(_) => Settled::UnderWay,
        }
    }

    async fn build_order(
        &self,
        asker: &Asker,
        wanted: &PlaceOrder,
        sight: Sight,
    ) -> Result<(Currency, Vec<Item>), DeskError> {
        let mut items: Vec<Item> = Vec::new();
        let mut order_currency = None;
        for (at, line) in wanted.lines.iter().enumerate() {
            if wanted.lines[..at].iter().any(|other| other.hold == line.hold) {
                return Err(DeskRejection::HoldRepeated(line.hold).into());
            }
            let held = self.held(asker, line, &wanted.buyer, sight).await?;
            if *order_currency.get_or_insert(held.currency) != held.currency {
                return Err(DeskRejection::CurrencyDiffers(line.show).into());
            }
            if held.places.count() > (MAX_ITEMS - items.len()) as u64 {
                return Err(DeskRejection::TooManyItems.into());
            }
            add_items(&mut items, line, &held)?;
        }
        // An order without lines is the order's own to refuse.
        Ok((order_currency.unwrap_or(Currency::JPY), items))
    }

    async fn held(
        &self,
        asker: &Asker,
        line: &Line,
        buyer: &BuyerRef,
        sight: Sight,
    ) -> Result<Held, DeskError> {
        let tenant = Tenant::Of(asker.organizer);
        let (show, hold) = (line.show, line.hold);
        let known = self.engine.read(tenant, StreamId::show(show), |state, _| {
            let State::Show(show) = state else { unreachable!("a show's stream") };
            Some((show.scheduled()?.currency, show.as_ref().clone()))
        });
        let (currency, offers) = match known.await {
            Ok(found) => found.ok_or(DeskRejection::ShowUnknown(show))?,
            Err(CommandError::NotYours) => return Err(DeskRejection::ShowUnknown(show).into()),
            Err(error) => return Err(error.into()),
        };
        if offers.is_cancelled() {
            return Err(DeskRejection::ShowCancelled(show).into());
        }
        let now = self.engine.clock().now();
        let buyer = buyer.clone();
        let question = move |state: &State, _| {
            let State::Inventory(inventory) = state else { unreachable!("its stream") };
            let places = live_places(hold, inventory.hold(hold), &buyer, now)?;
            let seats = places.seats.iter();
            let seats = seats.filter_map(|seat| inventory.seat_category(seat).cloned());
            let pools = places.pools.iter();
            let pools = pools.filter_map(|p| inventory.pool_category(&p.pool).cloned());
            let (seats, pools): (Vec<Category>, Vec<Category>) = (seats.collect(), pools.collect());
            Ok((places, seats, pools))
        };
        let inventory = StreamId::inventory(show);
        let seen = match sight {
            Sight::Passing => self.engine.glance(tenant, inventory, question).await?,
            Sight::Durable => self.engine.read(tenant, inventory, question).await?,
        };
        let (places, seat_categories, pool_categories) = seen.map_err(DeskError::Refused)?;
        Ok(Held { places, currency, show: offers, seat_categories, pool_categories })
    }
}

fn live_places(
    hold: HoldId,
    view: Option<HoldView>,
    wanted_by: &BuyerRef,
    now: Timestamp,
) -> Result<Places, DeskRejection> {
    match view {
        None => Err(DeskRejection::HoldUnknown(hold)),
        Some(HoldView::Live { buyer, .. }) if buyer != *wanted_by => {
            Err(DeskRejection::BuyerDiffers(hold))
        }
        Some(HoldView::Live { expires_at, places, .. }) if expires_at > now => Ok(places),
        Some(HoldView::Live { .. } | HoldView::Released | HoldView::Expired) => {
            Err(DeskRejection::HoldOver(hold))
        }
        Some(HoldView::Confirmed { .. }) => Err(DeskRejection::HoldConfirmed(hold)),
    }
}

/// One item for each place of the hold, in the hold's own order.
fn add_items(items: &mut Vec<Item>, line: &Line, held: &Held) -> Result<(), DeskRejection> {
    let mut wishes: Vec<(TicketWish, u32)> = line
        .tickets
        .iter()
        .map(|wish| {
            let places = match &wish.place {
                PlaceWish::Seat(_) => 1,
                PlaceWish::Pool(_, count) => *count,
            };
            (wish.clone(), places)
        })
        .collect();
    let legs = held.places.legs;
    let mut add = |place: PlaceName, category: &Category| {
        let wish = wishes.iter_mut().find(|(wish, left)| {
            *left > 0
                && match (&wish.place, &place) {
                    (PlaceWish::Seat(wished), PlaceName::Seat(seat)) => wished == seat,
                    (PlaceWish::Pool(wished, _), PlaceName::Pool(pool)) => wished == pool,
                    _ => false,
                }
        });
        let ticket_type = match wish {
            Some((wish, left)) => {
                *left -= 1;
                wish.ticket_type.clone()
            }
            None => line
                .ticket_type
                .clone()
                .ok_or_else(|| DeskRejection::TicketTypeMissing(line.hold, place.clone()))?,
        };
        let (seat, pool) = match &place {
            PlaceName::Seat(seat) => (Some(seat.clone()), None),
            PlaceName::Pool(pool) => (None, Some(pool.clone())),
        };
        let price_minor = held
            .show
            .price(&ticket_type, category, pool.as_ref(), legs)
            .ok_or_else(|| DeskRejection::TicketTypeNotOffered(ticket_type.clone(), place))?;
        let item = u16::try_from(items.len() + 1).expect("at most 100 items");
        let (show, hold) = (line.show, line.hold);
        items.push(Item { item, show, hold, seat, pool, legs, ticket_type, price_minor });
        Ok(())
    };
    for (seat, category) in held.places.seats.iter().zip(&held.seat_categories) {
        add(PlaceName::Seat(seat.clone()), category)?;
    }
    for (places, category) in held.places.pools.iter().zip(&held.pool_categories) {
        for _ in 0..places.count {
            add(PlaceName::Pool(places.pool.clone()), category)?;
        }
    }
    match wishes.into_iter().find(|(_, left)| *left > 0) {
        None => Ok(()),
        Some((wish, _)) => {
            let place = match wish.place {
                PlaceWish::Seat(seat) => PlaceName::Seat(seat),
                PlaceWish::Pool(pool, _) => PlaceName::Pool(pool),
            };
            Err(DeskRejection::PlaceNotHeld(line.hold, place))
        }
    }
}

//! Asks once for what many fields of one answer want: a page of 50 tickets and the order of each
//! are two questions, not 51.
//!
//! All elements of a list are resolved at the same time. The first of them that wants something
//! waits until the others have said what they want, and asks for all of them.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hakken_domain::{
    State,
    envelope::StreamId,
    names::{OrderId, OrganizerId, ShowId, TicketId, VenueId},
};
use tokio::{sync::oneshot, task::yield_now};

use super::{
    load,
    queries::Named,
    types::{Order, Refund, Sales, SeatMap, Show, Ticket, Venue},
};
use crate::{faults::Fault, ports::ApiContext};

/// What the fields of one request want.
#[derive(Default)]
pub(crate) struct Batches {
    shows: Batch<ShowId, Show>,
    venues: Batch<VenueId, Venue>,
    orders: Batch<OrderId, Order>,
    tickets: Batch<TicketId, Ticket>,
    tickets_of: Batch<OrderId, Vec<Ticket>>,
    refunds_of: Batch<OrderId, Vec<Refund>>,
    sales_of: Batch<ShowId, Sales>,
    maps_of_shows: Batch<ShowId, SeatMap>,
    maps_of_venues: Batch<VenueId, SeatMap>,
    pub(crate) named: Named,
}

/// The way from a thing to those that it names, as one caller sees them.
#[derive(Clone, Copy)]
pub(crate) struct Links<'a> {
    pub(crate) api: &'a ApiContext,
    pub(crate) organizer: Option<OrganizerId>,
    /// Of the request; without it each field asks for itself.
    pub(crate) batches: Option<&'a Batches>,
}

/// Links to single things. One alone is looked at, so that it is fresh; several come from their
/// read model, and those that it does not have yet are looked at.
macro_rules! links {
    ($($(#[$doc:meta])* $name:ident($id:ident) -> $type:ident: $several:ident, $batch:ident;)*) => {
        $($(#[$doc])*
        pub(crate) async fn $name(self, id: $id) -> Result<Option<$type>, Fault> {
            let Self { api, organizer, batches } = self;
            let alone = Batches::default();
            let ask = move |wanted: Vec<$id>| async move {
                let mut found = HashMap::new();
                if wanted.len() > 1 {
                    let views = api.models.$several(organizer, &wanted).await?;
                    found.extend(views.into_iter().map($type::from).map(|it| (it.id, it)));
                }
                for id in wanted {
                    if !found.contains_key(&id)
                        && let Some(it) = load::$name(api, organizer, id).await?
                    {
                        found.insert(id, it);
                    }
                }
                Ok(found)
            };
            batches.unwrap_or(&alone).$batch.get(id, ask).await
        })*
    };
}

impl Links<'_> {
    links! {
        /// A show.
        show(ShowId) -> Show: shows_by_id, shows;
        /// A venue.
        venue(VenueId) -> Venue: venues_by_id, venues;
        /// An order.
        order(OrderId) -> Order: orders_by_id, orders;
        /// A ticket.
        ticket(TicketId) -> Ticket: tickets_by_id, tickets;
    }

    /// The tickets of an order, as their read model has them.
    pub(crate) async fn tickets_of(self, order: OrderId) -> Result<Vec<Ticket>, Fault> {
        let Self { api, organizer, batches } = self;
        let alone = Batches::default();
        let ask = move |wanted: Vec<OrderId>| async move {
            let mut found = HashMap::<_, Vec<Ticket>>::new();
            for view in api.models.tickets_of_orders(organizer, &wanted).await? {
                found.entry(view.order).or_default().push(view.into());
            }
            Ok(found)
        };
        let found = batches.unwrap_or(&alone).tickets_of.get(order, ask).await?;
        Ok(found.unwrap_or_default())
    }

    /// The refunds of an order, as their read model has them.
    pub(crate) async fn refunds_of(self, order: OrderId) -> Result<Vec<Refund>, Fault> {
        let Self { api, organizer, batches } = self;
        let alone = Batches::default();
        let ask = move |wanted: Vec<OrderId>| async move {
            let mut found = HashMap::<_, Vec<Refund>>::new();
            for view in api.models.refunds_of_orders(organizer, &wanted).await? {
                found.entry(view.order).or_default().push(view.into());
            }
            Ok(found)
        };
        let found = batches.unwrap_or(&alone).refunds_of.get(order, ask).await?;
        Ok(found.unwrap_or_default())
    }
}

impl Links<'_> {
    /// When and how much one may buy of a show; none before its sales are opened. One alone is
    /// looked at, so that it is fresh; several come from their read model.
    pub(crate) async fn sales_of(self, show: ShowId) -> Result<Option<Sales>, Fault> {
        let Self { api, organizer, batches } = self;
        let alone = Batches::default();
        let ask = move |wanted: Vec<ShowId>| async move {
            let mut found = HashMap::new();
            if let [show] = *wanted {
                let sales = load::look(api, organizer, StreamId::inventory(show), |state, _| {
                    let State::Inventory(state) = state else { return None };
                    Sales::from_state(state)
                });
                found.extend(sales.await?.map(|sales| (show, sales)));
                return Ok(found);
            }
            let views = api.models.sales_of_shows(&wanted).await?;
            found.extend(views.into_iter().map(|(show, sales)| (show, sales.into())));
            Ok(found)
        };
        batches.unwrap_or(&alone).sales_of.get(show, ask).await
    }

    /// What a show sells, as its read model has it: it never changes.
    pub(crate) async fn map_of_show(self, show: ShowId) -> Result<Option<SeatMap>, Fault> {
        let Self { api, organizer, batches } = self;
        let alone = Batches::default();
        let ask = move |wanted: Vec<ShowId>| async move {
            let maps = api.models.maps_of_shows(organizer, &wanted).await?;
            Ok(maps.into_iter().map(|(show, map)| (show, SeatMap::Show(map))).collect())
        };
        batches.unwrap_or(&alone).maps_of_shows.get(show, ask).await
    }

    /// The seats and pools of a venue as they are now. One alone is looked at, so that it is fresh;
    /// several come from their read model.
    pub(crate) async fn map_of_venue(self, venue: VenueId) -> Result<Option<SeatMap>, Fault> {
        let Self { api, organizer, batches } = self;
        let alone = Batches::default();
        let ask = move |wanted: Vec<VenueId>| async move {
            let mut found = HashMap::new();
            if let [venue] = *wanted {
                let map = load::look(api, organizer, venue, |state, _| {
                    let State::Venue(venue) = state else { return None };
                    Some(SeatMap::Venue(Arc::new(venue.seat_map()?.clone())))
                });
                found.extend(map.await?.map(|map| (venue, map)));
                return Ok(found);
            }
            let maps = api.models.venue_seat_maps(&wanted).await?;
            let maps = maps.into_iter().map(|(id, map)| (id, SeatMap::Venue(Arc::new(map))));
            found.extend(maps);
            Ok(found)
        };
        batches.unwrap_or(&alone).maps_of_venues.get(venue, ask).await
    }
}

type Answered<V> = Result<Option<V>, Fault>;
type Waiting<K, V> = Vec<(K, oneshot::Sender<Answered<V>>)>;

/// What is wanted of one kind.
pub(crate) struct Batch<K, V>(Mutex<Waiting<K, V>>);

impl<K, V> Default for Batch<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> Batch<K, V> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by the one who is to ask for all: if it is given up, nobody waits for it any more.
struct Asking<'b, K, V>(&'b Batch<K, V>, bool);

impl<K, V> Asking<'_, K, V> {
    fn take(mut self) -> Waiting<K, V> {
        self.1 = true;
        std::mem::take(&mut *self.0.waiting())
    }
}

impl<K, V> Drop for Asking<'_, K, V> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.waiting().clear();
        }
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Batch<K, V> {
    /// What is found for a key. `ask` is asked once for all keys that are wanted now.
    pub(crate) async fn get<F>(&self, key: K, ask: impl Fn(Vec<K>) -> F) -> Answered<V>
    where
        F: Future<Output = Result<HashMap<K, V>, Fault>>,
    {
        loop {
            let (sender, answer) = oneshot::channel();
            let is_first = {
                let mut waiting = self.waiting();
                waiting.push((key, sender));
                waiting.len() == 1
            };
            if is_first {
                let asking = Asking(self, false);
                // Whoever is resolved together with this one says now what it wants.
                yield_now().await;
                let waiting = asking.take();
                let mut seen = HashSet::new();
                let wanted = waiting.iter().map(|(key, _)| *key).filter(|key| seen.insert(*key));
                let found = ask(wanted.collect()).await;
                for (key, sender) in waiting {
                    let answer = found.as_ref().map(|found| found.get(&key).cloned());
                    // Who was given up needs no answer.
                    let _ = sender.send(answer.map_err(Fault::clone));
                }
            }
            // None comes if the one who was to ask was given up: then it is asked again.
            if let Ok(answer) = answer.await {
                return answer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    /// Finds every key, as itself.
    async fn same(wanted: Vec<u32>) -> Result<HashMap<u32, u32>, Fault> {
        Ok(wanted.into_iter().map(|key| (key, key)).collect())
    }

    #[tokio::test]
    async fn all_that_want_something_together_are_one_question() {
        let (batch, asked) = (Batch::<u32, u32>::default(), AtomicUsize::new(0));
        let ask = |mut wanted: Vec<u32>| {
            asked.fetch_add(1, Ordering::Relaxed);
            wanted.sort_unstable();
            assert_eq!(wanted, [0, 1, 2]);
            wanted.remove(0);
            same(wanted)
        };
        let answers = join_all((0..30).map(|at| batch.get(at % 3, ask))).await;
        for (at, answer) in (0..).zip(answers) {
            assert_eq!(answer.unwrap(), Some(at % 3).filter(|key| *key > 0));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_fault_is_told_to_all_and_kept_for_nobody() {
        let batch = Batch::<u32, u32>::default();
        let fails = |_| async { Err(Fault::Busy) };
        let answers = join_all((0..3).map(|key| batch.get(key, fails))).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(batch.get(1, same).await.unwrap(), Some(1));
    }

    #[tokio::test]
    async fn nobody_waits_for_one_who_was_given_up() {
        let batch = Batch::<u32, u32>::default();
        let mut first = Box::pin(batch.get(1, same));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(batch.get(2, same));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        let (second, third) = tokio::join!(second, batch.get(3, same));
        assert_eq!((second.unwrap(), third.unwrap()), (Some(2), Some(3)));
    }
}

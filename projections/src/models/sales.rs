//! What was sold: places and money for each show and ticket type, and for each organizer what
//! came in and went out. Money that moves belongs to orders, which may span shows, so it is
//! summed for organizers alone; what a show sold is the sum of its items' prices.

use hakken_domain::{
    Event,
    envelope::{Decoded, StoredEvent, StreamKind},
    inventory,
    money::Currency,
    names::{OrderId, OrganizerId, RefundId, ShowId, TicketTypeId},
    order,
};
use serde::{Deserialize, Serialize};

use crate::{
    ReadModels,
    cache::{AnyRows, Cache, Record, doc, read, read_doc},
    models::tenant_filter,
    page::QueryError,
    projection::{Fold, Inconsistent, OwnStream, Projection},
    rows::{Column, Filter, Key, Query, Row, RowError, Table, Value},
};

/// The projection.
pub const SALES: Projection = Projection {
    name: "sales",
    version: 1,
    tables: &[&SHOWS, &TYPES, &MONEY, &ORDERS],
    streams: &[StreamKind::Inventory, StreamKind::Order],
    passes_over: &[],
    decoded_ahead: true,
    fold: || Box::new(SalesFold::default()),
    own: &[OwnStream { table: &ORDERS, column: "order", kind: StreamKind::Order }],
    by_show: None,
};

/// Places of each show.
static SHOWS: Table = Table {
    name: "sales_of_shows",
    noun: "sales of show",
    columns: &[Column::text("show"), Column::text("organizer"), Column::doc("doc")],
    key: 1,
    indexes: &[&["organizer", "show"]],
};

/// Items of each show, ticket type and currency.
static TYPES: Table = Table {
    name: "sales_of_types",
    noun: "sales of ticket type",
    columns: &[
        Column::text("show"),
        Column::text("ticket_type"),
        Column::text("currency"),
        Column::text("organizer"),
        Column::doc("doc"),
    ],
    key: 3,
    indexes: &[],
};

/// Money of each organizer and currency.
static MONEY: Table = Table {
    name: "sales_money",
    noun: "money of organizer",
    columns: &[Column::text("organizer"), Column::text("currency"), Column::doc("doc")],
    key: 2,
    indexes: &[],
};

/// What later events of an order do not repeat.
static ORDERS: Table = Table {
    name: "sales_orders",
    noun: "order",
    columns: &[Column::text("order"), Column::doc("doc")],
    key: 1,
    indexes: &[],
};

/// Places of a show: numbered seats and places of pools, each sold leg range once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlacesSold {
    /// Held now, as recorded: holds that ended by themselves count until that is recorded.
    pub held: u64,
    /// Sold now.
    pub sold: u64,
    /// Sold once, and given back.
    pub returned: u64,
}

/// Items of one ticket type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ItemsSold {
    /// Items of confirmed orders, the cancelled ones too.
    pub confirmed: u64,
    /// The sum of their prices.
    pub gross_minor: u64,
    /// Those of them that were cancelled since.
    pub cancelled: u64,
    /// The sum of their prices, whatever was refunded.
    pub cancelled_minor: u64,
}

impl ItemsSold {
    pub(crate) fn add(&mut self, more: &Self) {
        self.confirmed += more.confirmed;
        self.gross_minor += more.gross_minor;
        self.cancelled += more.cancelled;
        self.cancelled_minor += more.cancelled_minor;
    }
}

/// Money of an organizer in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MoneyMoved {
    /// What came in.
    pub captured_minor: u64,
    /// What payers' banks took back.
    pub reversed_minor: u64,
    /// What was to go out, and has not failed to.
    pub refund_requested_minor: u64,
    /// What has gone out.
    pub refund_settled_minor: u64,
}

impl MoneyMoved {
    pub(crate) fn add(&mut self, more: &Self) {
        self.captured_minor += more.captured_minor;
        self.reversed_minor += more.reversed_minor;
        self.refund_requested_minor += more.refund_requested_minor;
        self.refund_settled_minor += more.refund_settled_minor;
    }
}

/// One ticket type of a show.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeSales {
    /// The ticket type.
    pub ticket_type: TicketTypeId,
    /// Of the amounts.
    pub currency: Currency,
    /// What was sold.
    pub items: ItemsSold,
}

/// What was sold of a show.
#[derive(Debug, Clone, PartialEq)]
pub struct ShowSales {
    /// The show.
    pub show: ShowId,
    /// The tenant.
    pub organizer: Option<OrganizerId>,
    /// Places, as the inventory has them.
    pub places: PlacesSold,
    /// Ticket types, as the orders have them.
    pub types: Vec<TypeSales>,
}

/// What came in and went out.
#[derive(Debug, Clone, PartialEq)]
pub struct OrganizerMoney {
    /// The organizer.
    pub organizer: OrganizerId,
    /// Of the amounts.
    pub currency: Currency,
    /// How much.
    pub money: MoneyMoved,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShowRow {
    pub(crate) organizer: Option<OrganizerId>,
    pub(crate) places: PlacesSold,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TypeRow {
    organizer: Option<OrganizerId>,
    pub(crate) items: ItemsSold,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OrderRow {
    organizer: Option<OrganizerId>,
    currency: Currency,
    items: Vec<ItemRow>,
    confirmed: bool,
    refunds: Vec<(RefundId, u64)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ItemRow {
    item: u16,
    show: ShowId,
    ticket_type: TicketTypeId,
    price_minor: u64,
    cancelled: bool,
}

impl Record for ShowRow {
    type Key = ShowId;
    fn table() -> &'static Table {
        &SHOWS
    }
    fn key_values(key: &ShowId) -> Key {
        vec![Value::text(key)]
    }
    fn to_row(&self, key: &ShowId) -> Row {
        vec![Value::text(key), Value::maybe(self.organizer), doc(self)]
    }
    fn from_row(row: &Row) -> Result<(ShowId, Self), RowError> {
        Ok((read(&SHOWS, row, "show")?, read_doc(&SHOWS, row, "doc")?))
    }
}

impl Record for TypeRow {
    type Key = (ShowId, TicketTypeId, Currency);
    fn table() -> &'static Table {
        &TYPES
    }
    fn key_values((show, ticket_type, currency): &Self::Key) -> Key {
        vec![Value::text(show), Value::text(ticket_type), Value::text(currency)]
    }
    fn to_row(&self, key: &Self::Key) -> Row {
        let mut row = Self::key_values(key);
        row.extend([Value::maybe(self.organizer), doc(self)]);
        row
    }
    fn from_row(row: &Row) -> Result<(Self::Key, Self), RowError> {
        let key = (
            read(&TYPES, row, "show")?,
            read(&TYPES, row, "ticket_type")?,
            read(&TYPES, row, "currency")?,
        );
        Ok((key, read_doc(&TYPES, row, "doc")?))
    }
}

impl Record for MoneyMoved {
    type Key = (OrganizerId, Currency);
    fn table() -> &'static Table {
        &MONEY
    }
    fn key_values((organizer, currency): &Self::Key) -> Key {
        vec![Value::text(organizer), Value::text(currency)]
    }
    fn to_row(&self, key: &Self::Key) -> Row {
        let mut row = Self::key_values(key);
        row.push(doc(self));
        row
    }
    fn from_row(row: &Row) -> Result<(Self::Key, Self), RowError> {
        let key = (read(&MONEY, row, "organizer")?, read(&MONEY, row, "currency")?);
        Ok((key, read_doc(&MONEY, row, "doc")?))
    }
}

impl Record for OrderRow {
    type Key = OrderId;
    fn table() -> &'static Table {
        &ORDERS
    }
    fn key_values(key: &OrderId) -> Key {
        vec![Value::text(key)]
    }
    fn to_row(&self, key: &OrderId) -> Row {
        vec![Value::text(key), doc(self)]
    }
    fn from_row(row: &Row) -> Result<(OrderId, Self), RowError> {
        Ok((read(&ORDERS, row, "order")?, read_doc(&ORDERS, row, "doc")?))
    }
}

#[derive(Default)]
struct SalesFold {
    shows: Cache<ShowRow>,
    types: Cache<TypeRow>,
    money: Cache<MoneyMoved>,
    orders: Cache<OrderRow>,
}

impl Fold for SalesFold {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        vec![&mut self.shows, &mut self.types, &mut self.money, &mut self.orders]
    }

    fn needs(&mut self, event: &StoredEvent) {
        let Ok(decoded) = event.decoded() else { return };
        match &decoded.event {
            Event::Inventory(_) => self.shows.need(&ShowId(event.stream.id)),
            Event::Order(order::Event::OrderPlaced(placed)) => {
                let row = order_row(decoded, placed);
                self.need_sums(&row);
            }
            Event::Order(_) => {
                let id = OrderId(event.stream.id);
                self.orders.need(&id);
                // Asked again once the order is known.
                if let Some(row) = self.orders.known(&id).cloned() {
                    self.need_sums(&row);
                }
            }
            Event::Ticket(_)
            | Event::Show(_)
            | Event::Venue(_)
            | Event::Organizer(_)
            | Event::Key(_)
            | Event::Gate(_)
            | Event::Operations(_) => {}
        }
    }

    fn apply(&mut self, event: &StoredEvent) -> Result<(), Inconsistent> {
        let decoded = event.decoded()?;
        match &decoded.event {
            Event::Inventory(fact) => self.apply_inventory(ShowId(event.stream.id), decoded, fact),
            Event::Order(fact) => self.apply_order(OrderId(event.stream.id), decoded, fact),
            Event::Ticket(_)
            | Event::Show(_)
            | Event::Venue(_)
            | Event::Organizer(_)
            | Event::Key(_)
            | Event::Gate(_)
            | Event::Operations(_) => Ok(()),
        }
    }
}

fn order_row(decoded: &Decoded, placed: &order::OrderPlaced) -> OrderRow {
    let items = placed.items.iter().map(|item| ItemRow {
        item: item.item,
        show: item.show,
        ticket_type: item.ticket_type.clone(),
        price_minor: item.price_minor,
        cancelled: false,
    });
    OrderRow {
        organizer: decoded.meta.organizer,
        currency: placed.currency,
        items: items.collect(),
        confirmed: false,
        refunds: Vec::new(),
    }
}

impl SalesFold {
    fn need_sums(&mut self, order: &OrderRow) {
        for item in &order.items {
            self.types.need(&(item.show, item.ticket_type.clone(), order.currency));
        }
        if let Some(organizer) = order.organizer {
            self.money.need(&(organizer, order.currency));
        }
    }

    fn apply_inventory(
        &mut self,
        show: ShowId,
        decoded: &Decoded,
        fact: &inventory::Event,
    ) -> Result<(), Inconsistent> {
        use inventory::Event as E;
        let organizer = decoded.meta.organizer;
        let row = self.shows.get_or(&show, || ShowRow { organizer, places: PlacesSold::default() });
        let places = &mut row.places;
        match fact {
            E::SeatsHeld(held) => places.held += held.places.count(),
            E::HoldConfirmed(confirmed) => {
                less(&mut places.held, confirmed.places.count(), "held places")?;
                places.sold += confirmed.places.count();
            }
            E::HoldReleased(ended) | E::HoldExpired(ended) => {
                less(&mut places.held, ended.places.count(), "held places")?;
            }
            E::OrderReseated(confirmed) => places.sold += confirmed.places.count(),
            E::PlacesReturned(returned) => {
                less(&mut places.sold, returned.places.count(), "sold places")?;
                places.returned += returned.places.count();
            }
            E::SalesOpened(_)
            | E::SalesRulesChanged(_)
            | E::SalesClosed(_)
            | E::SeatsBlocked(_)
            | E::SeatsUnblocked(_)
            | E::AllotmentSet(_)
            | E::HoldExtended(_) => {}
        }
        Ok(())
    }

    fn apply_order(
        &mut self,
        id: OrderId,
        decoded: &Decoded,
        fact: &order::Event,
    ) -> Result<(), Inconsistent> {
        use order::Event as E;
        if let E::OrderPlaced(placed) = fact {
            self.orders.put(id, order_row(decoded, placed));
            return Ok(());
        }
        let unknown = || Inconsistent(format!("order {id} was never placed"));
        let order = self.orders.get_mut(&id).ok_or_else(unknown)?;
        let mut nowhere = MoneyMoved::default();
        let money = match order.organizer {
            Some(organizer) => self.money.get_or(&(organizer, order.currency), MoneyMoved::default),
            None => &mut nowhere,
        };
        match fact {
            E::OrderPlaced(_)
            | E::OrderPaid(_)
            | E::OrderUnfulfilled(_)
            | E::CancellationRequested(_)
            | E::CancellationRefused(_)
            | E::OrderCancelled(_) => {}
            E::PaymentCaptured(captured) => money.captured_minor += captured.amount_minor,
            E::PaymentReversed(reversed) => money.reversed_minor += reversed.amount_minor,
            E::OrderConfirmed(_) => {
                order.confirmed = true;
                for item in order.items.iter().filter(|item| !item.cancelled) {
                    let items = type_of(&mut self.types, order, item);
                    items.confirmed += 1;
                    items.gross_minor += item.price_minor;
                }
            }
            E::ItemsCancelled(cancelled) => {
                for at in 0..order.items.len() {
                    let item = &mut order.items[at];
                    if item.cancelled || !cancelled.items.contains(&item.item) {
                        continue;
                    }
                    item.cancelled = true;
                    if order.confirmed {
                        let item = &order.items[at];
                        let items = type_of(&mut self.types, order, item);
                        items.cancelled += 1;
                        items.cancelled_minor += item.price_minor;
                    }
                }
            }
            E::RefundRequested(fact) => {
                order.refunds.push((fact.refund, fact.amount_minor));
                money.refund_requested_minor += fact.amount_minor;
            }
            E::RefundSettled(fact) => {
                money.refund_settled_minor += refund_of(order, fact.refund)?;
            }
            E::RefundFailed(fact) => {
                let amount_minor = refund_of(order, fact.refund)?;
                less(&mut money.refund_requested_minor, amount_minor, "refunds")?;
            }
        }
        Ok(())
    }
}

fn refund_of(order: &OrderRow, refund: RefundId) -> Result<u64, Inconsistent> {
    let found = order.refunds.iter().find(|(known, _)| *known == refund);
    found
        .map(|(_, amount_minor)| *amount_minor)
        .ok_or_else(|| Inconsistent(format!("refund {refund} was never requested")))
}

fn type_of<'a>(
    types: &'a mut Cache<TypeRow>,
    order: &OrderRow,
    item: &ItemRow,
) -> &'a mut ItemsSold {
    let key = (item.show, item.ticket_type.clone(), order.currency);
    let organizer = order.organizer;
    let row = types.get_or(&key, || TypeRow { organizer, items: ItemsSold::default() });
    &mut row.items
}

fn less(number: &mut u64, by: u64, what: &str) -> Result<(), Inconsistent> {
    let rest = number.checked_sub(by);
    *number = rest.ok_or_else(|| Inconsistent(format!("{what} would go below zero")))?;
    Ok(())
}

impl ReadModels {
    /// What was sold of a show; none if it was never on sale, or belongs to another tenant.
    pub async fn show_sales(
        &self,
        tenant: Option<OrganizerId>,
        show: ShowId,
    ) -> Result<Option<ShowSales>, QueryError> {
        let lease = self.engine().lease(SALES.name);
        let rows = lease.load(&SHOWS, vec![vec![Value::text(show)]]).await?;
        let Some((_, about)) = rows.first().map(ShowRow::from_row).transpose()? else {
            return Ok(None);
        };
        if tenant.is_some() && about.organizer != tenant {
            return Ok(None);
        }
        let filters = vec![Filter::is("show", show)];
        let query = Query { filters, ..Query::all(&TYPES, None, crate::MAX_PAGE) };
        let mut types = Vec::new();
        for row in lease.query(query).await? {
            let ((_, ticket_type, currency), row) = TypeRow::from_row(&row)?;
            types.push(TypeSales { ticket_type, currency, items: row.items });
        }
        let ShowRow { organizer, places } = about;
        Ok(Some(ShowSales { show, organizer, places, types }))
    }

    /// What came in and went out, for each organizer and currency.
    pub async fn money(
        &self,
        tenant: Option<OrganizerId>,
    ) -> Result<Vec<OrganizerMoney>, QueryError> {
        let lease = self.engine().lease(SALES.name);
        let mut money = Vec::new();
        let mut after = None;
        loop {
            let filters = tenant_filter(tenant);
            let query = Query { filters, ..Query::all(&MONEY, after, crate::MAX_PAGE) };
            let rows = lease.query(query).await?;
            for row in &rows {
                let ((organizer, currency), moved) = MoneyMoved::from_row(row)?;
                money.push(OrganizerMoney { organizer, currency, money: moved });
            }
            match rows.last() {
                Some(last) if rows.len() == crate::MAX_PAGE => after = Some(last[..2].to_vec()),
                _ => return Ok(money),
            }
        }
    }
}

#[cfg(test)]
mod tests;

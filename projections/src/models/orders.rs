//! Every order as it is now, with its payments and refunds.

mod fold;

use hakken_domain::{
    envelope::{Position, StreamKind},
    money::Currency,
    names::{
        BuyerRef, CancellationId, HoldId, MoneyRef, OrderId, OrganizerId, PaymentId, PaymentMethod,
        Reason, RefundId, ShowId,
    },
    order::{Item, RefundCause, RefundPolicy},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    ReadModels,
    cache::{Record, doc, read, read_doc, read_int, read_maybe, read_text},
    models::tenant_filter,
    page::{List, Page, PageRequest, QueryError},
    projection::{OwnStream, Projection},
    rows::{Column, Filter, Key, Row, RowError, Table, Value},
};

/// The projection.
pub const ORDERS: Projection = Projection {
    name: "orders",
    version: 2,
    tables: &[&TABLE, &BY_SHOW, &REFUNDS],
    streams: &[StreamKind::Order],
    passes_over: &[],
    decoded_ahead: true,
    fold: || Box::new(fold::OrderFold::default()),
    own: &[
        OwnStream { table: &TABLE, column: "order", kind: StreamKind::Order },
        OwnStream { table: &BY_SHOW, column: "order", kind: StreamKind::Order },
        OwnStream { table: &REFUNDS, column: "order", kind: StreamKind::Order },
    ],
    by_show: None,
};

static TABLE: Table = Table {
    name: "orders",
    noun: "order",
    columns: &[
        Column::text("order"),
        Column::int("position"),
        Column::text("organizer"),
        Column::text("buyer"),
        Column::text("status"),
        Column::doc("doc"),
    ],
    key: 1,
    indexes: &[&["position"], &["organizer", "position"], &["buyer", "position"]],
};

/// One row for each show of an order, to find the orders of a show.
static BY_SHOW: Table = Table {
    name: "orders_by_show",
    noun: "order of show",
    columns: &[
        Column::text("show"),
        Column::text("order"),
        Column::int("position"),
        Column::text("organizer"),
        Column::text("buyer"),
        Column::text("status"),
    ],
    key: 2,
    indexes: &[&["show", "position"]],
};

static REFUNDS: Table = Table {
    name: "refunds",
    noun: "refund",
    columns: &[
        Column::text("refund"),
        Column::int("position"),
        Column::text("organizer"),
        Column::text("order"),
        Column::text("status"),
        Column::doc("doc"),
    ],
    key: 1,
    indexes: &[
        &["position"],
        &["organizer", "position"],
        &["order", "position"],
        &["status", "position"],
    ],
};

/// Where an order is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Not everything is paid.
    Pending,
    /// Paid; its places are being sold.
    Paid,
    /// Every place is sold.
    Confirmed,
    /// A place was gone when the money came: all money goes back.
    Unfulfilled,
    /// Nothing is left of it.
    Cancelled,
}

impl OrderStatus {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Confirmed => "confirmed",
            Self::Unfulfilled => "unfulfilled",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One right to enter, as sold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderItem {
    /// What was sold, for how much.
    #[serde(flatten)]
    pub item: Item,
    /// Whether it is cancelled.
    #[serde(default)]
    pub cancelled: bool,
}

/// Money that came in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaymentView {
    /// As its provider knows it.
    pub payment: PaymentId,
    /// How the money moved.
    pub method: PaymentMethod,
    /// How much.
    pub amount_minor: u64,
    /// What the payer's bank took back of it.
    pub reversed_minor: u64,
    /// When it was recorded.
    pub captured_at: Timestamp,
}

/// Where a refund is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// The money is to go out.
    Requested,
    /// It has gone out.
    Settled,
    /// It could not go out.
    Failed,
}

impl RefundStatus {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Settled => "settled",
            Self::Failed => "failed",
        }
    }
}

/// Money that goes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefundView {
    /// Its id.
    pub refund: RefundId,
    /// The tenant.
    pub organizer: Option<OrganizerId>,
    /// Of which order.
    pub order: OrderId,
    /// Of which payment.
    pub payment: PaymentId,
    /// How much.
    pub amount_minor: u64,
    /// Its currency.
    pub currency: Currency,
    /// Why.
    pub cause: RefundCause,
    /// Where it is.
    pub status: RefundStatus,
    /// The provider's word for it, once it is settled.
    pub reference: Option<MoneyRef>,
    /// What the provider said, if it failed.
    pub failure: Option<Reason>,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// When it was settled or failed.
    pub ended_at: Option<Timestamp>,
    /// The position of its first event.
    pub position: Position,
}

/// A cancellation that waits for its tickets to be voided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingCancellation {
    /// Its id.
    pub cancellation: CancellationId,
    /// Which items.
    pub items: Vec<u16>,
    /// What the buyer is to get back.
    pub refund: RefundPolicy,
    /// Why.
    pub reason: Reason,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderView {
    /// Its id.
    pub order: OrderId,
    /// The tenant.
    pub organizer: Option<OrganizerId>,
    /// Whose it is.
    pub buyer: BuyerRef,
    /// Where it is in its life.
    pub status: OrderStatus,
    /// Of every amount.
    pub currency: Currency,
    /// What was ordered.
    pub items: Vec<OrderItem>,
    /// The sum of the prices as placed.
    pub total_minor: u64,
    /// What came in.
    pub captured_minor: u64,
    /// What payers' banks took back.
    pub reversed_minor: u64,
    /// What need not be paid any more since its item was cancelled while the order was in debt.
    pub waived_minor: u64,
    /// What is to go out and has not failed to.
    pub refund_requested_minor: u64,
    /// What has gone out.
    pub refund_settled_minor: u64,
    /// The payments, in the order in which they came.
    pub payments: Vec<PaymentView>,
    /// The refunds, in the order in which they were requested. [`ReadModels::refunds_of`] has
    /// them.
    pub refunds: Vec<RefundId>,
    /// A cancellation under way.
    pub pending_cancellation: Option<PendingCancellation>,
    /// The hold whose places were gone, if the order is unfulfilled.
    pub lost_hold: Option<HoldId>,
    /// Why it was cancelled.
    pub cancelled_because: Option<Reason>,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// The position of its first event.
    pub position: Position,
}

impl OrderView {
    /// What came in, less what payers' banks took back.
    pub fn paid_minor(&self) -> u64 {
        self.captured_minor.saturating_sub(self.reversed_minor)
    }

    /// What is still to be paid; nothing once the order is over. The rules say the same.
    pub fn due_minor(&self) -> u64 {
        match self.status {
            OrderStatus::Unfulfilled | OrderStatus::Cancelled => 0,
            OrderStatus::Pending | OrderStatus::Paid | OrderStatus::Confirmed => {
                self.total_minor.saturating_sub(self.waived_minor).saturating_sub(self.paid_minor())
            }
        }
    }

    fn shows(&self) -> Vec<ShowId> {
        let mut shows: Vec<ShowId> = self.items.iter().map(|item| item.item.show).collect();
        shows.sort_unstable();
        shows.dedup();
        shows
    }
}

impl Record for OrderView {
    type Key = OrderId;
    fn table() -> &'static Table {
        &TABLE
    }
    fn key_values(key: &OrderId) -> Key {
        vec![Value::text(key)]
    }
    fn to_row(&self, key: &OrderId) -> Row {
        vec![
            Value::text(key),
            Value::position(self.position),
            Value::maybe(self.organizer),
            Value::Text(self.buyer.as_str().into()),
            Value::Text(self.status.as_str().into()),
            doc(self),
        ]
    }
    fn from_row(row: &Row) -> Result<(OrderId, Self), RowError> {
        Ok((read(&TABLE, row, "order")?, read_doc(&TABLE, row, "doc")?))
    }
}

impl Record for RefundView {
    type Key = RefundId;
    fn table() -> &'static Table {
        &REFUNDS
    }
    fn key_values(key: &RefundId) -> Key {
        vec![Value::text(key)]
    }
    fn to_row(&self, key: &RefundId) -> Row {
        vec![
            Value::text(key),
            Value::position(self.position),
            Value::maybe(self.organizer),
            Value::text(self.order),
            Value::Text(self.status.as_str().into()),
            doc(self),
        ]
    }
    fn from_row(row: &Row) -> Result<(RefundId, Self), RowError> {
        Ok((read(&REFUNDS, row, "refund")?, read_doc(&REFUNDS, row, "doc")?))
    }
}

/// An order under one of its shows.
#[derive(Debug, Clone, PartialEq)]
struct ByShow {
    position: Position,
    organizer: Option<OrganizerId>,
    buyer: BuyerRef,
    status: String,
}

impl Record for ByShow {
    type Key = (ShowId, OrderId);
    fn table() -> &'static Table {
        &BY_SHOW
    }
    fn key_values((show, order): &Self::Key) -> Key {
        vec![Value::text(show), Value::text(order)]
    }
    fn to_row(&self, (show, order): &Self::Key) -> Row {
        vec![
            Value::text(show),
            Value::text(order),
            Value::position(self.position),
            Value::maybe(self.organizer),
            Value::Text(self.buyer.as_str().into()),
            Value::text(&self.status),
        ]
    }
    fn from_row(row: &Row) -> Result<(Self::Key, Self), RowError> {
        let position = read_int(&BY_SHOW, row, "position")?;
        let by_show = Self {
            position: Position(position.unsigned_abs()),
            organizer: read_maybe(&BY_SHOW, row, "organizer")?,
            buyer: read(&BY_SHOW, row, "buyer")?,
            status: read_text(&BY_SHOW, row, "status")?.to_owned(),
        };
        Ok(((read(&BY_SHOW, row, "show")?, read(&BY_SHOW, row, "order")?), by_show))
    }
}

/// Which orders. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OrderFilter {
    /// With an item for this show.
    pub show: Option<ShowId>,
    /// Of this buyer.
    pub buyer: Option<BuyerRef>,
    /// With this status.
    pub status: Option<OrderStatus>,
}

/// Which refunds. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RefundFilter {
    /// Of this order.
    pub order: Option<OrderId>,
    /// With this status.
    pub status: Option<RefundStatus>,
}

impl OrderFilter {
    /// The list of those that meet it, by what names them: rows of an order, or of an order under
    /// the show that is asked for.
    pub(crate) fn list(&self, tenant: Option<OrganizerId>) -> List {
        let mut filters = tenant_filter(tenant);
        filters.extend(self.buyer.as_ref().map(|buyer| Filter::is("buyer", buyer)));
        filters.extend(self.status.map(|status| Filter::is("status", status.as_str())));
        filters.extend(self.show.map(|show| Filter::is("show", show)));
        let table = if self.show.is_some() { &BY_SHOW } else { &TABLE };
        List { table, filters, order: vec!["position"] }
    }
}

impl RefundFilter {
    /// The list of those that meet it.
    pub(crate) fn list(&self, tenant: Option<OrganizerId>) -> List {
        let mut filters = tenant_filter(tenant);
        filters.extend(self.order.map(|order| Filter::is("order", order)));
        filters.extend(self.status.map(|status| Filter::is("status", status.as_str())));
        List { table: &REFUNDS, filters, order: vec!["position"] }
    }
}

impl ReadModels {
    /// An order; none if there is none, or it belongs to another tenant.
    pub async fn order(
        &self,
        tenant: Option<OrganizerId>,
        order: OrderId,
    ) -> Result<Option<OrderView>, QueryError> {
        let lease = self.engine().lease(ORDERS.name);
        let rows = lease.load(&TABLE, vec![vec![Value::text(order)]]).await?;
        let view = rows.first().map(OrderView::from_row).transpose()?.map(|(_, view)| view);
        Ok(view.filter(|view| tenant.is_none() || view.organizer == tenant))
    }

    /// Orders by their ids, in any order; those of another tenant are left out.
    pub async fn orders_by_id(
        &self,
        tenant: Option<OrganizerId>,
        orders: &[OrderId],
    ) -> Result<Vec<OrderView>, QueryError> {
        let keys = orders.iter().map(|order| vec![Value::text(order)]).collect();
        let rows = self.engine().lease(ORDERS.name).load(&TABLE, keys).await?;
        let views = rows.iter().map(|row| Ok(OrderView::from_row(row)?.1));
        let mut found: Vec<OrderView> = views.collect::<Result<_, RowError>>()?;
        found.retain(|view| tenant.is_none() || view.organizer == tenant);
        Ok(found)
    }

    /// Orders, in the order in which they were placed.
    pub async fn orders(
        &self,
        tenant: Option<OrganizerId>,
        filter: &OrderFilter,
        page: &PageRequest,
    ) -> Result<Page<OrderView>, QueryError> {
        let lease = self.engine().lease(ORDERS.name);
        let found = filter.list(tenant).page(&lease, page).await?;
        if filter.show.is_none() {
            return found.decode(|row| Ok(OrderView::from_row(row)?.1));
        }
        let key = |row: &Row| row[BY_SHOW.column("order")].clone();
        let keys = found.edges.iter().map(|edge| vec![key(&edge.node)]).collect();
        let mut orders = std::collections::HashMap::new();
        for row in lease.load(&TABLE, keys).await? {
            let (_, view) = OrderView::from_row(&row)?;
            orders.insert(row[0].clone(), view);
        }
        found.decode(|row| {
            orders.remove(&key(row)).ok_or_else(|| RowError::BadRow {
                table: TABLE.name,
                reason: format!("order {} is missing", key(row)),
            })
        })
    }

    /// A refund; none if there is none, or it belongs to another tenant.
    pub async fn refund(
        &self,
        tenant: Option<OrganizerId>,
        refund: RefundId,
    ) -> Result<Option<RefundView>, QueryError> {
        let lease = self.engine().lease(ORDERS.name);
        let rows = lease.load(&REFUNDS, vec![vec![Value::text(refund)]]).await?;
        let view = rows.first().map(RefundView::from_row).transpose()?.map(|(_, view)| view);
        Ok(view.filter(|view| tenant.is_none() || view.organizer == tenant))
    }

    /// Refunds by their ids, in any order; those of another tenant are left out.
    pub async fn refunds_by_id(
        &self,
        tenant: Option<OrganizerId>,
        refunds: &[RefundId],
    ) -> Result<Vec<RefundView>, QueryError> {
        let keys = refunds.iter().map(RefundView::key_values).collect();
        let rows = self.engine().lease(ORDERS.name).load(&REFUNDS, keys).await?;
        let views = rows.iter().map(|row| Ok(RefundView::from_row(row)?.1));
        let mut found: Vec<RefundView> = views.collect::<Result<_, RowError>>()?;
        found.retain(|view| tenant.is_none() || view.organizer == tenant);
        Ok(found)
    }

    /// The refunds of an order, in the order in which they were requested.
    pub async fn refunds_of(
        &self,
        tenant: Option<OrganizerId>,
        order: OrderId,
    ) -> Result<Vec<RefundView>, QueryError> {
        let filter = RefundFilter { order: Some(order), status: None };
        let page = PageRequest::first(crate::MAX_PAGE);
        Ok(self.refunds(tenant, &filter, &page).await?.into_nodes())
    }

    /// All refunds of several orders, in the order in which they were requested.
    pub async fn refunds_of_orders(
        &self,
        tenant: Option<OrganizerId>,
        orders: &[OrderId],
    ) -> Result<Vec<RefundView>, QueryError> {
        let mut filters = tenant_filter(tenant);
        filters.push(Filter::OneOf("order", orders.iter().map(Value::text).collect()));
        let list = List { table: &REFUNDS, filters, order: vec!["position"] };
        let rows = list.whole(&self.engine().lease(ORDERS.name)).await?;
        Ok(rows
            .iter()
            .map(|row| Ok(RefundView::from_row(row)?.1))
            .collect::<Result<_, RowError>>()?)
    }

    /// Refunds, in the order in which they were requested.
    pub async fn refunds(
        &self,
        tenant: Option<OrganizerId>,
        filter: &RefundFilter,
        page: &PageRequest,
    ) -> Result<Page<RefundView>, QueryError> {
        let rows = filter.list(tenant).page(&self.engine().lease(ORDERS.name), page).await?;
        rows.decode(|row| Ok(RefundView::from_row(row)?.1))
    }
}

#[cfg(test)]
mod tests;

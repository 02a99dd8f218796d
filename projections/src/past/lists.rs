//! Lists as they stood: the same elements in the same order under the same cursors, each as it
//! was then. The read model of a list must have come to the position that is asked for.

use std::collections::HashMap;

use hakken_domain::{
    envelope::Position,
    names::{OrderId, OrganizerId},
};

use super::PastOrder;
use crate::{
    ReadModels,
    cache::{Record, read},
    models::{
        catalogue::{self, ApiKeyView, CATALOGUE, OrganizerView, ShowFilter, ShowView, VenueView},
        holds::{HOLDS, HoldFilter, HoldView},
        orders::{ORDERS, OrderFilter, OrderView, RefundFilter, RefundView},
        tickets::{TICKETS, TicketFilter, TicketView},
    },
    page::{List, Page, PageRequest, QueryError},
    projection::Projection,
    rows::RowError,
};

impl ReadModels {
    /// One page of a list as it stood.
    async fn list_then<R: Record>(
        &self,
        projection: &'static Projection,
        list: List,
        page: &PageRequest,
        at: Position,
    ) -> Result<Page<R>, QueryError> {
        let past = self.past(projection, at).await?;
        list.page(&past, page).await?.decode(|row| Ok(R::from_row(row)?.1))
    }

    /// Organizers as they were; a tenant sees itself alone.
    pub async fn organizers_as_of(
        &self,
        tenant: Option<OrganizerId>,
        page: &PageRequest,
        at: Position,
    ) -> Result<Page<OrganizerView>, QueryError> {
        let list = catalogue::by_position::<OrganizerView>(tenant);
        self.list_then(&CATALOGUE, list, page, at).await
    }

    /// API keys as they were; a tenant sees its own.
    pub async fn api_keys_as_of(
        &self,
        tenant: Option<OrganizerId>,
        page: &PageRequest,
        at: Position,
    ) -> Result<Page<ApiKeyView>, QueryError> {
        let list = catalogue::by_position::<ApiKeyView>(tenant);
        self.list_then(&CATALOGUE, list, page, at).await
    }

    /// Venues as they were.
    pub async fn venues_as_of(
        &self,
        tenant: Option<OrganizerId>,
        page: &PageRequest,
        at: Position,
    ) -> Result<Page<VenueView>, QueryError> {
        let list = catalogue::by_position::<VenueView>(tenant);
        self.list_then(&CATALOGUE, list, page, at).await
    }

    /// Shows as they were, by the time at which they begin.
    pub async fn shows_as_of(
        &self,
        tenant: Option<OrganizerId>,
        filter: &ShowFilter,
        page: &PageRequest,
        at: Position,
    ) -> Result<Page<ShowView>, QueryError> {
        self.list_then(&CATALOGUE, filter.list(tenant), page, at).await
    }

    /// Holds as they were. All that had happened to their shows by then is read.
    pub async fn holds_as_of(
        &self,
        tenant: Option<OrganizerId>,
        filter: &HoldFilter,
        page: &PageRequest,
        at: Position,
    ) -> Result<Page<HoldView>, QueryError> {
        self.list_then(&HOLDS, filter.list(tenant), page, at).await
    }

    /// Tickets as they were.
    pub async fn tickets_as_of(
        &self,
        tenant: Option<OrganizerId>,
        filter: &TicketFilter,
        page: &PageRequest,
        at: Position,
    ) -> Result<Page<TicketView>, QueryError> {
        self.list_then(&TICKETS, filter.list(tenant), page, at).await
    }

    /// Refunds as they were.
    pub async fn refunds_as_of(
        &self,
        tenant: Option<OrganizerId>,
        filter: &RefundFilter,
        page: &PageRequest,
        at: Position,
    ) -> Result<Page<RefundView>, QueryError> {
        self.list_then(&ORDERS, filter.list(tenant), page, at).await
    }

    /// Orders as they were.
    pub async fn orders_as_of(
        &self,
        tenant: Option<OrganizerId>,
        filter: &OrderFilter,
        page: &PageRequest,
        at: Position,
    ) -> Result<Page<PastOrder>, QueryError> {
        let past = self.past(&ORDERS, at).await?;
        let list = filter.list(tenant);
        let table = list.table;
        let found = list.page(&past, page).await?;
        // Those of a show are listed from a table of their own. All of an order stands in its
        // stream, which was folded for that.
        let views = past.folded::<OrderView>()?.into_iter();
        let mut views: HashMap<OrderId, OrderView> = views.map(|view| (view.order, view)).collect();
        let mut refunds: HashMap<OrderId, Vec<RefundView>> = HashMap::new();
        for refund in past.folded::<RefundView>()? {
            refunds.entry(refund.order).or_default().push(refund);
        }
        found.decode(|row| {
            let order: OrderId = read(table, row, "order")?;
            let view = views.remove(&order).ok_or_else(|| {
                let reason = format!("order {order} had no events by then");
                RowError::BadRow { table: table.name, reason }
            })?;
            Ok(PastOrder::of(view, refunds.remove(&order).unwrap_or_default()))
        })
    }
}

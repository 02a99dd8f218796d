//! What one may ask about what there is to sell.

use hakken_domain::{
    names::{ApiKeyId, OrganizerId, ShowId, VenueId},
    seatmap::SeatMap,
    time::Timestamp,
};

use super::{ApiKeyView, CATALOGUE, MAPS, MapRow, OrganizerView, SHOWS, ShowView, VenueView};
use crate::{
    ReadModels,
    cache::Record,
    models::tenant_filter,
    page::{List, Page, PageRequest, QueryError},
    rows::{Filter, RowError},
};

/// Which shows. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShowFilter {
    /// There.
    pub venue: Option<VenueId>,
    /// That begin then or later.
    pub starts_from: Option<Timestamp>,
    /// That begin before then.
    pub starts_until: Option<Timestamp>,
}

impl ShowFilter {
    /// The list of those that meet it, by the time at which they begin.
    pub(crate) fn list(&self, tenant: Option<OrganizerId>) -> List {
        let mut filters = tenant_filter(tenant);
        filters.extend(self.venue.map(|venue| Filter::is("venue", venue)));
        let from = self.starts_from.map(Timestamp::as_micros);
        filters.extend(from.map(|from| Filter::AtLeast("starts_at", from)));
        let until = self.starts_until.map(|until| until.as_micros().saturating_sub(1));
        filters.extend(until.map(|until| Filter::AtMost("starts_at", until)));
        List { table: &SHOWS, filters, order: vec!["starts_at", "position"] }
    }
}

/// What a tenant has, in the order in which its first events were recorded.
pub(crate) fn by_position<R: Record>(tenant: Option<OrganizerId>) -> List {
    List { table: R::table(), filters: tenant_filter(tenant), order: vec!["position"] }
}

impl ReadModels {
    /// A row by its id.
    async fn one<R: Record>(&self, key: &R::Key) -> Result<Option<R>, QueryError> {
        let lease = self.engine().lease(CATALOGUE.name);
        let rows = lease.load(R::table(), vec![R::key_values(key)]).await?;
        Ok(rows.first().map(R::from_row).transpose()?.map(|(_, record)| record))
    }

    /// Rows by their ids, in any order.
    async fn several<R: Record>(&self, keys: &[R::Key]) -> Result<Vec<R>, QueryError> {
        let keys = keys.iter().map(R::key_values).collect();
        let rows = self.engine().lease(CATALOGUE.name).load(R::table(), keys).await?;
        Ok(rows.iter().map(|row| Ok(R::from_row(row)?.1)).collect::<Result<_, RowError>>()?)
    }

    /// One page of a list.
    async fn many<R: Record>(&self, list: List, page: &PageRequest) -> Result<Page<R>, QueryError> {
        let rows = list.page(&self.engine().lease(CATALOGUE.name), page).await?;
        rows.decode(|row| Ok(R::from_row(row)?.1))
    }

    /// An organizer; a tenant sees itself alone.
    pub async fn organizer(
        &self,
        tenant: Option<OrganizerId>,
        organizer: OrganizerId,
    ) -> Result<Option<OrganizerView>, QueryError> {
        let view: Option<OrganizerView> = self.one(&organizer).await?;
        Ok(view.filter(|view| tenant.is_none_or(|tenant| view.organizer == tenant)))
    }

    /// Organizers by their ids, in any order; a tenant sees itself alone.
    pub async fn organizers_by_id(
        &self,
        tenant: Option<OrganizerId>,
        organizers: &[OrganizerId],
    ) -> Result<Vec<OrganizerView>, QueryError> {
        let mut found: Vec<OrganizerView> = self.several(organizers).await?;
        found.retain(|view| tenant.is_none_or(|tenant| view.organizer == tenant));
        Ok(found)
    }

    /// API keys by their ids, in any order; those of another tenant are left out.
    pub async fn api_keys_by_id(
        &self,
        tenant: Option<OrganizerId>,
        api_keys: &[ApiKeyId],
    ) -> Result<Vec<ApiKeyView>, QueryError> {
        let mut found: Vec<ApiKeyView> = self.several(api_keys).await?;
        found.retain(|view| tenant.is_none() || view.organizer == tenant);
        Ok(found)
    }

    /// Organizers; a tenant sees itself alone.
    pub async fn organizers(
        &self,
        tenant: Option<OrganizerId>,
        page: &PageRequest,
    ) -> Result<Page<OrganizerView>, QueryError> {
        self.many(by_position::<OrganizerView>(tenant), page).await
    }

    /// A venue; none if there is none, or it belongs to another tenant.
    pub async fn venue(
        &self,
        tenant: Option<OrganizerId>,
        venue: VenueId,
    ) -> Result<Option<VenueView>, QueryError> {
        let view: Option<VenueView> = self.one(&venue).await?;
        Ok(view.filter(|view| tenant.is_none() || view.organizer == tenant))
    }

    /// Venues by their ids, in any order; those of another tenant are left out.
    pub async fn venues_by_id(
        &self,
        tenant: Option<OrganizerId>,
        venues: &[VenueId],
    ) -> Result<Vec<VenueView>, QueryError> {
        let mut found: Vec<VenueView> = self.several(venues).await?;
        found.retain(|view| tenant.is_none() || view.organizer == tenant);
        Ok(found)
    }

    /// The seat map that a venue has now; shows on sale keep theirs (see `availability`).
    pub async fn venue_seat_map(
        &self,
        tenant: Option<OrganizerId>,
        venue: VenueId,
    ) -> Result<Option<SeatMap>, QueryError> {
        if self.venue(tenant, venue).await?.is_none() {
            return Ok(None);
        }
        let row: Option<MapRow> = self.one(&venue).await?;
        Ok(row.map(|row| row.0))
    }

    /// The seat maps that several venues have now. Whoever asks has seen that the venues are
    /// theirs.
    pub async fn venue_seat_maps(
        &self,
        venues: &[VenueId],
    ) -> Result<Vec<(VenueId, SeatMap)>, QueryError> {
        let keys = venues.iter().map(MapRow::key_values).collect();
        let mut found = Vec::new();
        for row in self.engine().lease(CATALOGUE.name).load(&MAPS, keys).await? {
            let (venue, MapRow(map)) = MapRow::from_row(&row)?;
            found.push((venue, map));
            // Each map can be megabytes: others get the core between two of them.
            tokio::task::yield_now().await;
        }
        Ok(found)
    }

    /// Venues, in the order in which they were registered.
    pub async fn venues(
        &self,
        tenant: Option<OrganizerId>,
        page: &PageRequest,
    ) -> Result<Page<VenueView>, QueryError> {
        self.many(by_position::<VenueView>(tenant), page).await
    }

    /// A show; none if there is none, or it belongs to another tenant.
    pub async fn show(
        &self,
        tenant: Option<OrganizerId>,
        show: ShowId,
    ) -> Result<Option<ShowView>, QueryError> {
        let view: Option<ShowView> = self.one(&show).await?;
        Ok(view.filter(|view| tenant.is_none() || view.organizer == tenant))
    }

    /// Shows by their ids, in any order; those of another tenant are left out.
    pub async fn shows_by_id(
        &self,
        tenant: Option<OrganizerId>,
        shows: &[ShowId],
    ) -> Result<Vec<ShowView>, QueryError> {
        let mut found: Vec<ShowView> = self.several(shows).await?;
        found.retain(|view| tenant.is_none() || view.organizer == tenant);
        Ok(found)
    }

    /// Shows, by the time at which they begin.
    pub async fn shows(
        &self,
        tenant: Option<OrganizerId>,
        filter: &ShowFilter,
        page: &PageRequest,
    ) -> Result<Page<ShowView>, QueryError> {
        self.many(filter.list(tenant), page).await
    }

    /// API keys, in the order in which they were made; a tenant sees its own.
    pub async fn api_keys(
        &self,
        tenant: Option<OrganizerId>,
        page: &PageRequest,
    ) -> Result<Page<ApiKeyView>, QueryError> {
        self.many(by_position::<ApiKeyView>(tenant), page).await
    }
}

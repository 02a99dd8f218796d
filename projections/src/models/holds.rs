//! Holds: what each has, and what became of it.

use std::str::FromStr;

use hakken_domain::{
    Event,
    envelope::{Position, StoredEvent, StreamId, StreamKind},
    inventory::{self, Places},
    names::{Allotment, BuyerRef, HoldId, OrderId, OrganizerId, ShowId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    ReadModels,
    cache::{AnyRows, Cache, Record, doc, read, read_doc},
    models::tenant_filter,
    page::{List, Page, PageRequest, QueryError},
    projection::{ByShow, Fold, Inconsistent, OwnStream, Projection, ShowEvents},
    rows::{Column, Filter, Key, Row, RowError, Table, Value},
};

/// The projection.
pub const HOLDS: Projection = Projection {
    name: "holds",
    version: 1,
    tables: &[&TABLE],
    streams: &[StreamKind::Inventory],
    passes_over: &["sales-opened", "sales-rules-changed", "sales-closed", "places-returned"],
    decoded_ahead: true,
    fold: || Box::new(HoldsFold::default()),
    own: &[OwnStream { table: &TABLE, column: "show", kind: StreamKind::Inventory }],
    by_show: Some(ByShow {
        tables: &[(&TABLE, "show")],
        events: ShowEvents::Stream(StreamId::inventory),
    }),
};

/// Every hold there ever was.
static TABLE: Table = Table {
    name: "holds",
    noun: "hold",
    columns: &[
        Column::text("hold"),
        Column::text("show"),
        Column::text("organizer"),
        Column::text("buyer"),
        Column::text("status"),
        Column::int("expires_at"),
        Column::int("position"),
        Column::doc("doc"),
    ],
    key: 1,
    indexes: &[
        &["position"],
        &["organizer", "position"],
        &["show", "position"],
        &["buyer", "position"],
    ],
};

/// What became of a hold, as recorded: a hold that is over by time alone is held here until its
/// expiry is recorded (see [`HoldView::lasts`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldStatus {
    /// Its seats are set aside.
    Held,
    /// They are sold.
    Confirmed,
    /// The buyer gave it back.
    Released,
    /// Its time has passed.
    Expired,
}

impl HoldStatus {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Confirmed => "confirmed",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HoldView {
    /// Its id.
    pub hold: HoldId,
    /// Of which show.
    pub show: ShowId,
    /// Whose show it is.
    pub organizer: Option<OrganizerId>,
    /// For whom.
    pub buyer: BuyerRef,
    /// What became of it.
    pub status: HoldStatus,
    /// What it has, or had.
    pub places: Places,
    /// Out of which allotment.
    pub allotment: Option<Allotment>,
    /// The order that bought it.
    pub order: Option<OrderId>,
    /// When it was made.
    pub held_at: Timestamp,
    /// When it ends, or would have ended.
    pub expires_at: Timestamp,
    /// The position of its first event.
    pub position: Position,
}

impl HoldView {
    /// Whether its seats are set aside at this time.
    pub fn lasts(&self, now: Timestamp) -> bool {
        self.status == HoldStatus::Held && now < self.expires_at
    }
}

/// Which holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HoldFilter {
    /// Of this show.
    pub show: Option<ShowId>,
    /// Of this buyer.
    pub buyer: Option<BuyerRef>,
    /// With this status.
    pub status: Option<HoldStatus>,
}

impl HoldFilter {
    /// The list of those that meet it.
    pub(crate) fn list(&self, tenant: Option<OrganizerId>) -> List {
        let mut filters = tenant_filter(tenant);
        filters.extend(self.show.map(|show| Filter::is("show", show)));
        filters.extend(self.buyer.as_ref().map(|buyer| Filter::is("buyer", buyer)));
        filters.extend(self.status.map(|status| Filter::is("status", status.as_str())));
        List { table: &TABLE, filters, order: vec!["position"] }
    }
}

impl Record for HoldView {
    type Key = HoldId;
    fn table() -> &'static Table {
        &TABLE
    }
    fn key_values(key: &HoldId) -> Key {
        vec![Value::text(key)]
    }
    fn to_row(&self, key: &HoldId) -> Row {
        vec![
            Value::text(key),
            Value::text(self.show),
            Value::maybe(self.organizer),
            Value::Text(self.buyer.as_str().into()),
            Value::Text(self.status.as_str().into()),
            Value::time(self.expires_at),
            Value::position(self.position),
            doc(self),
        ]
    }
    fn from_row(row: &Row) -> Result<(HoldId, Self), RowError> {
        Ok((read(&TABLE, row, "hold")?, read_doc(&TABLE, row, "doc")?))
    }
}

#[derive(Default)]
struct HoldsFold {
    holds: Cache<HoldView>,
}

impl Fold for HoldsFold {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        vec![&mut self.holds]
    }

    fn needs(&mut self, event: &StoredEvent) {
        let Ok(decoded) = event.decoded() else { return };
        use inventory::Event as E;
        let Event::Inventory(fact) = &decoded.event else { return };
        match fact {
            E::HoldExtended(fact) => self.holds.need(&fact.hold),
            E::HoldConfirmed(fact) | E::OrderReseated(fact) => self.holds.need(&fact.hold),
            E::HoldReleased(fact) | E::HoldExpired(fact) => self.holds.need(&fact.hold),
            E::SeatsHeld(_)
            | E::SalesOpened(_)
            | E::SalesRulesChanged(_)
            | E::SalesClosed(_)
            | E::SeatsBlocked(_)
            | E::SeatsUnblocked(_)
            | E::AllotmentSet(_)
            | E::PlacesReturned(_) => {}
        }
    }

    fn apply(&mut self, event: &StoredEvent) -> Result<(), Inconsistent> {
        let decoded = event.decoded()?;
        use inventory::Event as E;
        let Event::Inventory(fact) = &decoded.event else { return Ok(()) };
        match fact {
            E::SeatsHeld(held) => {
                let view = HoldView {
                    hold: held.hold,
                    show: ShowId(event.stream.id),
                    organizer: decoded.meta.organizer,
                    buyer: held.buyer.clone(),
                    status: HoldStatus::Held,
                    places: held.places.clone(),
                    allotment: held.allotment.clone(),
                    order: None,
                    held_at: event.recorded_at,
                    expires_at: held.expires_at,
                    position: event.position,
                };
                self.holds.add(held.hold, view);
            }
            E::HoldExtended(extended) => {
                self.known(extended.hold)?.expires_at = extended.expires_at;
            }
            E::HoldConfirmed(confirmed) | E::OrderReseated(confirmed) => {
                let view = self.known(confirmed.hold)?;
                view.status = HoldStatus::Confirmed;
                view.order = Some(confirmed.order);
            }
            E::HoldReleased(ended) => self.known(ended.hold)?.status = HoldStatus::Released,
            E::HoldExpired(ended) => self.known(ended.hold)?.status = HoldStatus::Expired,
            E::SalesOpened(_)
            | E::SalesRulesChanged(_)
            | E::SalesClosed(_)
            | E::SeatsBlocked(_)
            | E::SeatsUnblocked(_)
            | E::AllotmentSet(_)
            | E::PlacesReturned(_) => {}
        }
        Ok(())
    }
}

impl HoldsFold {
    fn known(&mut self, hold: HoldId) -> Result<&mut HoldView, Inconsistent> {
        self.holds.get_mut(&hold).ok_or_else(|| Inconsistent(format!("hold {hold} is not known")))
    }
}

impl ReadModels {
    /// A hold; none if there is none, or it belongs to another tenant.
    pub async fn hold(
        &self,
        tenant: Option<OrganizerId>,
        hold: HoldId,
    ) -> Result<Option<HoldView>, QueryError> {
        let lease = self.engine().lease(HOLDS.name);
        let rows = lease.load(&TABLE, vec![vec![Value::text(hold)]]).await?;
        let view = rows.first().map(HoldView::from_row).transpose()?.map(|(_, view)| view);
        Ok(view.filter(|view| tenant.is_none() || view.organizer == tenant))
    }

    /// Holds by their ids, in any order; those of another tenant are left out.
    pub async fn holds_by_id(
        &self,
        tenant: Option<OrganizerId>,
        holds: &[HoldId],
    ) -> Result<Vec<HoldView>, QueryError> {
        let keys = holds.iter().map(HoldView::key_values).collect();
        let rows = self.engine().lease(HOLDS.name).load(&TABLE, keys).await?;
        let views = rows.iter().map(|row| Ok(HoldView::from_row(row)?.1));
        let mut found: Vec<HoldView> = views.collect::<Result<_, RowError>>()?;
        found.retain(|view| tenant.is_none() || view.organizer == tenant);
        Ok(found)
    }

    /// Holds, in the order in which they were made.
    pub async fn holds(
        &self,
        tenant: Option<OrganizerId>,
        filter: &HoldFilter,
        page: &PageRequest,
    ) -> Result<Page<HoldView>, QueryError> {
        let rows = filter.list(tenant).page(&self.engine().lease(HOLDS.name), page).await?;
        rows.decode(|row| Ok(HoldView::from_row(row)?.1))
    }
}

impl FromStr for HoldStatus {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Held, Self::Confirmed, Self::Released, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no status of a hold"))
    }
}

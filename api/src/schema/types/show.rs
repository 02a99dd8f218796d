use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use hakken_domain::{
    inventory,
    money::Currency,
    names::ShowId,
    show::{self, Issuance, ShowScheduled, TicketType},
    ticket::EntryRule,
};
use hakken_projections::models::{catalogue::ShowView, seat_availability};

use super::{Legs, Money, SeatMap, Venue};
use crate::{
    auth::Right,
    ids::GlobalId,
    schema::{
        context::{Answer, Asked, answer},
        scalars::{CurrencyCode, DateTime},
    },
};

/// Anything dated that one is admitted to: a concert, a match, a tour slot, a train trip, a
/// flight (公演・便).
#[derive(Debug, Clone)]
pub struct Show {
    pub(crate) id: ShowId,
    scheduled: ShowScheduled,
    ticket_types: Vec<TicketType>,
    cancelled: bool,
}

impl Show {
    /// None if the show was never scheduled.
    pub(crate) fn from_state(id: ShowId, state: &show::State) -> Option<Self> {
        Some(Self {
            id,
            scheduled: state.scheduled()?.clone(),
            ticket_types: state.ticket_types().to_vec(),
            cancelled: state.is_cancelled(),
        })
    }
}

impl From<ShowView> for Show {
    fn from(view: ShowView) -> Self {
        Self {
            id: view.show,
            scheduled: view.scheduled,
            ticket_types: view.ticket_types,
            cancelled: view.cancelled_because.is_some(),
        }
    }
}

/// Anything dated that one is admitted to: a concert, a match, a tour slot, a train trip, a
/// flight (公演・便).
#[Object]
impl Show {
    /// Its global id: `show_…`.
    pub async fn id(&self) -> ID {
        self.id.global()
    }

    /// What people call it: `Spring Concert`.
    async fn name(&self) -> &str {
        self.scheduled.name.as_str()
    }

    /// The id of the venue: `venue_01J…`.
    async fn venue_id(&self) -> ID {
        self.scheduled.venue.global()
    }

    /// Where it takes place.
    async fn venue(&self, ctx: &Context<'_>) -> Answer<Venue> {
        let (asked, id) = (Asked::of(ctx), self.scheduled.venue);
        answer(async move {
            let caller = asked.with(Right::SeeShows)?;
            asked.links(caller).venue(id).await
        })
        .await
    }

    /// When it begins.
    async fn starts_at(&self) -> DateTime {
        DateTime(self.scheduled.starts_at)
    }

    /// When it ends.
    async fn ends_at(&self) -> DateTime {
        DateTime(self.scheduled.ends_at)
    }

    /// The names of its stops, `Tokyo`, `Nagoya`: one more than it has legs; empty for a concert.
    async fn stops(&self) -> Vec<&str> {
        self.scheduled.stops.iter().map(|stop| stop.as_str()).collect()
    }

    /// How many legs it has: 1 for a concert.
    async fn legs(&self) -> u8 {
        self.scheduled.legs()
    }

    /// Of every price: `JPY`.
    async fn currency(&self) -> CurrencyCode {
        self.scheduled.currency.into()
    }

    /// When one may come in.
    async fn entry(&self) -> Entry {
        Entry::from(&self.scheduled.entry)
    }

    /// When its tickets are given out.
    async fn issuance(&self) -> IssuanceRule {
        IssuanceRule::from(&self.scheduled.issuance)
    }

    /// What one may buy.
    async fn ticket_types(&self) -> Vec<OfferedTicketType> {
        let currency = self.scheduled.currency;
        self.ticket_types.iter().map(|each| OfferedTicketType::new(each, currency)).collect()
    }

    /// It will not take place.
    async fn cancelled(&self) -> bool {
        self.cancelled
    }

    /// When and how much one may buy; null before its sales are opened.
    async fn sales(&self, ctx: &Context<'_>) -> Answer<Sales> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeShows)?;
            asked.links(caller).sales_of(self.id).await
        })
        .await
    }

    /// The seats and pools that are sold: the venue's map as it was when sales were opened. Null
    /// before. `availability` says what is free.
    async fn seat_map(&self, ctx: &Context<'_>) -> Answer<SeatMap> {
        let asked = Asked::of(ctx);
        answer(async move {
            let caller = asked.with(Right::SeeShows)?;
            asked.links(caller).map_of_show(self.id).await
        })
        .await
    }
}

/// When one may come in.
#[derive(Debug, Clone, SimpleObject)]
pub struct Entry {
    /// No entry before.
    pub valid_from: DateTime,
    /// No entry from then on.
    pub valid_until: DateTime,
    /// Who went out may come in again.
    pub reentry: bool,
}

impl From<&EntryRule> for Entry {
    fn from(rule: &EntryRule) -> Self {
        Self {
            valid_from: DateTime(rule.valid_from),
            valid_until: DateTime(rule.valid_until),
            reentry: rule.reentry,
        }
    }
}

/// How tickets are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum IssuanceMode {
    /// By themselves, as soon as the order is paid.
    Immediate,
    /// When the buyer fetches them (`issueTicket`), until the issuance deadline (発券期限).
    OnRequest,
}

/// How and until when tickets are given out.
#[derive(Debug, Clone, SimpleObject)]
pub struct IssuanceRule {
    /// By themselves, or when the buyer fetches them.
    pub mode: IssuanceMode,
    /// The last moment to fetch them (発券期限); null when they come by themselves.
    pub until: Option<DateTime>,
}

impl From<&Issuance> for IssuanceRule {
    fn from(issuance: &Issuance) -> Self {
        match issuance {
            Issuance::Immediate => Self { mode: IssuanceMode::Immediate, until: None },
            Issuance::OnRequest { until } => {
                Self { mode: IssuanceMode::OnRequest, until: Some(DateTime(*until)) }
            }
        }
    }
}

/// What one may buy (券種): general, VIP, child, discount.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(name = "TicketType")]
pub struct OfferedTicketType {
    /// Its short name, unique in the show: what orders say, such as `adult`.
    pub ticket_type: String,
    /// What people call it: `大人`.
    pub name: String,
    /// For one place, on any legs for which `fares` says nothing.
    pub price: Money,
    /// Prices for certain ranges of legs.
    pub fares: Vec<Fare>,
    /// Only for seats and pools of these categories, such as `S`; for all when empty.
    pub categories: Vec<String>,
    /// Only for these pools, whatever their category; when empty, `categories` alone decides.
    pub pools: Vec<String>,
}

/// The price for one range of legs.
#[derive(Debug, Clone, SimpleObject)]
pub struct Fare {
    /// From where to where.
    pub legs: Legs,
    /// For one place.
    pub price: Money,
}

impl OfferedTicketType {
    pub(crate) fn new(terms: &TicketType, currency: Currency) -> Self {
        let fares = terms.fares.iter().map(|fare| Fare {
            legs: fare.legs.into(),
            price: Money::new(fare.price_minor, currency),
        });
        Self {
            ticket_type: terms.ticket_type.to_string(),
            name: terms.name.to_string(),
            price: Money::new(terms.price_minor, currency),
            fares: fares.collect(),
            categories: terms.categories.iter().map(ToString::to_string).collect(),
            pools: terms.pools.iter().map(ToString::to_string).collect(),
        }
    }
}

/// When and how much one may buy of a show.
#[derive(Debug, Clone, SimpleObject)]
pub struct Sales {
    /// Sales are not closed. One can hold seats from `rules.salesFrom` to `rules.salesUntil`.
    pub open: bool,
    /// Window, times and limits.
    pub rules: SalesRules,
}

impl From<seat_availability::Sales> for Sales {
    fn from(sales: seat_availability::Sales) -> Self {
        Self { open: sales.closed.is_none(), rules: SalesRules::from(&sales.rules) }
    }
}

impl Sales {
    pub(crate) fn from_state(state: &inventory::State) -> Option<Self> {
        Some(Self { open: state.is_open(), rules: state.rules()?.into() })
    }
}

/// When and how much one may buy.
#[derive(Debug, Clone, SimpleObject)]
pub struct SalesRules {
    /// No hold before.
    pub sales_from: DateTime,
    /// No hold from then on.
    pub sales_until: DateTime,
    /// How long a hold lasts when the request does not say, and at most.
    pub hold_ttl_seconds: u32,
    /// How much later than its first end a hold may end, however often it is extended.
    pub hold_extension_seconds: u32,
    /// Most places that one hold may have.
    pub max_places_per_hold: u32,
    /// Most places that one buyer may hold and own at once; null is no limit.
    pub max_places_per_buyer: Option<u32>,
}

impl From<&inventory::SalesRules> for SalesRules {
    fn from(rules: &inventory::SalesRules) -> Self {
        Self {
            sales_from: DateTime(rules.sales_from),
            sales_until: DateTime(rules.sales_until),
            hold_ttl_seconds: rules.hold_ttl_seconds,
            hold_extension_seconds: rules.hold_extension_seconds,
            max_places_per_hold: rules.max_places_per_hold,
            max_places_per_buyer: rules.max_places_per_buyer,
        }
    }
}

/// When and how much one may buy.
#[derive(Debug, Clone, InputObject)]
pub struct SalesRulesInput {
    /// No hold before.
    pub sales_from: DateTime,
    /// No hold from then on.
    pub sales_until: DateTime,
    /// How long a hold lasts when the request does not say, and at most. 1 to 30 days.
    #[graphql(default = 600)]
    pub hold_ttl_seconds: u32,
    /// How much later than its first end a hold may end, however often it is extended.
    #[graphql(default = 600)]
    pub hold_extension_seconds: u32,
    /// Most places that one hold may have.
    #[graphql(default = 10)]
    pub max_places_per_hold: u32,
    /// Most places that one buyer may hold and own at once; no limit if absent.
    pub max_places_per_buyer: Option<u32>,
}

impl From<SalesRulesInput> for inventory::SalesRules {
    fn from(rules: SalesRulesInput) -> Self {
        Self {
            sales_from: rules.sales_from.0,
            sales_until: rules.sales_until.0,
            hold_ttl_seconds: rules.hold_ttl_seconds,
            hold_extension_seconds: rules.hold_extension_seconds,
            max_places_per_hold: rules.max_places_per_hold,
            max_places_per_buyer: rules.max_places_per_buyer,
        }
    }
}

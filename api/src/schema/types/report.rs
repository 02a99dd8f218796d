//! What was sold, and what money moved.

use async_graphql::{ID, SimpleObject};
use hakken_projections::models::sales::{OrganizerMoney, ShowSales};

use super::Money;
use crate::ids::GlobalId;

/// What was sold of a show.
#[derive(Debug, Clone, SimpleObject)]
pub struct SalesReport {
    /// The id of the show: `show_01J…`.
    pub show_id: ID,
    /// Places held now, as recorded: holds that ended by themselves count until that is recorded.
    pub held: u64,
    /// Places sold now.
    pub sold: u64,
    /// Places that were sold once, and given back.
    pub returned: u64,
    /// Ticket type by ticket type.
    pub ticket_types: Vec<TicketTypeSales>,
}

/// What was sold of one ticket type of a show.
#[derive(Debug, Clone, SimpleObject)]
pub struct TicketTypeSales {
    /// The ticket type: `adult`.
    pub ticket_type: String,
    /// Items of confirmed orders, the cancelled ones too.
    pub sold: u64,
    /// The sum of their prices.
    pub gross: Money,
    /// Those of them that were cancelled since.
    pub cancelled: u64,
    /// The sum of their prices, whatever was refunded.
    pub cancelled_gross: Money,
}

impl From<ShowSales> for SalesReport {
    fn from(sales: ShowSales) -> Self {
        let types = sales.types.iter().map(|each| TicketTypeSales {
            ticket_type: each.ticket_type.to_string(),
            sold: each.items.confirmed,
            gross: Money::new(each.items.gross_minor, each.currency),
            cancelled: each.items.cancelled,
            cancelled_gross: Money::new(each.items.cancelled_minor, each.currency),
        });
        Self {
            show_id: sales.show.global(),
            held: sales.places.held,
            sold: sales.places.sold,
            returned: sales.places.returned,
            ticket_types: types.collect(),
        }
    }
}

/// What money came in and went out, of one organizer in one currency.
#[derive(Debug, Clone, SimpleObject)]
pub struct MoneyReport {
    /// The id of the organizer: `organizer_01J…`.
    pub organizer_id: ID,
    /// What came in.
    pub captured: Money,
    /// What payers' banks took back.
    pub reversed: Money,
    /// What was to go out, and has not failed to.
    pub refund_requested: Money,
    /// What has gone out.
    pub refund_settled: Money,
}

impl From<OrganizerMoney> for MoneyReport {
    fn from(money: OrganizerMoney) -> Self {
        let amount = |minor| Money::new(minor, money.currency);
        Self {
            organizer_id: money.organizer.global(),
            captured: amount(money.money.captured_minor),
            reversed: amount(money.money.reversed_minor),
            refund_requested: amount(money.money.refund_requested_minor),
            refund_settled: amount(money.money.refund_settled_minor),
        }
    }
}

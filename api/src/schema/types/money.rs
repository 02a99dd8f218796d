use async_graphql::SimpleObject;
use hakken_domain::money::Currency;

use crate::schema::scalars::MinorUnits;

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject)]
pub struct Money {
    /// In the smallest unit of the currency: yen for JPY, cents for EUR.
    pub amount_minor: MinorUnits,
    /// A currency of ISO 4217: `JPY`.
    pub currency: String,
    /// As people read it: `JPY 12,000`, `EUR 12.50`.
    pub display: String,
}

impl Money {
    pub(crate) fn new(amount_minor: u64, currency: Currency) -> Self {
        Self {
            amount_minor: MinorUnits(amount_minor),
            currency: currency.to_string(),
            display: currency.display(amount_minor),
        }
    }
}

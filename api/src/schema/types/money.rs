use async_graphql::SimpleObject;
use hakken_domain::money::Currency;

use crate::schema::scalars::{CurrencyCode, MinorUnits};

/// An amount of money, such as `{amountMinor: 1250, currency: "EUR", display: "EUR 12.50"}`.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject)]
pub struct Money {
    /// In the smallest unit of the currency: yen for JPY, cents for EUR.
    pub amount_minor: MinorUnits,
    /// Its currency: `JPY`.
    pub currency: CurrencyCode,
    /// As people read it: `JPY 12,000`, `EUR 12.50`.
    pub display: String,
}

impl Money {
    pub(crate) fn new(amount_minor: u64, currency: Currency) -> Self {
        Self {
            amount_minor: MinorUnits(amount_minor),
            currency: currency.into(),
            display: currency.display(amount_minor),
        }
    }
}

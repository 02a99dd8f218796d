//! What had been sold by then: the sums of what each order and the show's places had come to.

use std::collections::BTreeMap;

use hakken_domain::{
    envelope::{Position, StreamId},
    names::{OrderId, OrganizerId, ShowId},
};

use super::{records, source::position};
use crate::{
    MAX_PAGE, ReadModels,
    cache::{Record, read},
    models::{
        orders::{ORDERS, OrderFilter},
        sales::{MoneyMoved, OrganizerMoney, SALES, ShowRow, ShowSales, TypeRow, TypeSales},
    },
    page::QueryError,
    rows::{Filter, Key, Query},
};

impl ReadModels {
    /// What had been sold of a show; none if it was not on sale by then, or belongs to another
    /// tenant. The read model of the orders must have come to that position.
    pub async fn show_sales_as_of(
        &self,
        tenant: Option<OrganizerId>,
        show: ShowId,
        at: Position,
    ) -> Result<Option<ShowSales>, QueryError> {
        let past = self.past(&SALES, at).await?;
        let mut about: Option<ShowRow> = None;
        past.each(&[StreamId::inventory(show)], |_, changes| {
            about = records::<ShowRow>(&changes)?.into_iter().next().map(|(_, row)| row);
            Ok(())
        })
        .await?;
        let Some(ShowRow { organizer, places }) = about else { return Ok(None) };
        if tenant.is_some() && organizer != tenant {
            return Ok(None);
        }
        let filter = OrderFilter { show: Some(show), ..OrderFilter::default() };
        let mut types: BTreeMap<Key, TypeSales> = BTreeMap::new();
        past.each(&self.orders_until(None, &filter, at).await?, |_, changes| {
            for ((of, ticket_type, currency), row) in records::<TypeRow>(&changes)? {
                if of == show {
                    let key = TypeRow::key_values(&(of, ticket_type.clone(), currency));
                    let new = || TypeSales { ticket_type, currency, items: Default::default() };
                    types.entry(key).or_insert_with(new).items.add(&row.items);
                }
            }
            Ok(())
        })
        .await?;
        Ok(Some(ShowSales { show, organizer, places, types: types.into_values().collect() }))
    }

    /// What had come in and gone out, for each organizer and currency. The read model of the orders
    /// must have come to that position.
    pub async fn money_as_of(
        &self,
        tenant: Option<OrganizerId>,
        at: Position,
    ) -> Result<Vec<OrganizerMoney>, QueryError> {
        let past = self.past(&SALES, at).await?;
        let orders = self.orders_until(tenant, &OrderFilter::default(), at).await?;
        let mut money: BTreeMap<Key, OrganizerMoney> = BTreeMap::new();
        past.each(&orders, |_, changes| {
            for (key, moved) in records::<MoneyMoved>(&changes)? {
                let (organizer, currency) = key;
                let money = money.entry(MoneyMoved::key_values(&key)).or_insert_with(|| {
                    OrganizerMoney { organizer, currency, money: MoneyMoved::default() }
                });
                money.money.add(&moved);
            }
            Ok(())
        })
        .await?;
        Ok(money.into_values().collect())
    }

    /// The streams of the orders that had been placed by then.
    async fn orders_until(
        &self,
        tenant: Option<OrganizerId>,
        filter: &OrderFilter,
        at: Position,
    ) -> Result<Vec<StreamId>, QueryError> {
        let most = self.most_past_events();
        let list = filter.list(tenant);
        let mut filters = list.filters;
        filters.push(Filter::AtMost("position", position(at)));
        let place = list.table.column("position");
        let lease = self.engine().lease(ORDERS.name);
        let (mut streams, mut after): (Vec<StreamId>, Option<Key>) = (Vec::new(), None);
        loop {
            let query = Query {
                table: list.table,
                filters: filters.clone(),
                order: list.order.clone(),
                descending: false,
                after,
                limit: MAX_PAGE,
            };
            let rows = lease.query(query).await?;
            for row in &rows {
                let order: OrderId = read(list.table, row, "order")?;
                streams.push(order.into());
            }
            let found = streams.len() as u64;
            // Each of them has an event at least.
            if found > most {
                return Err(QueryError::PastTooLong { most, found });
            }
            if rows.len() < MAX_PAGE {
                return Ok(streams);
            }
            after = rows.last().map(|row| vec![row[place].clone()]);
        }
    }
}

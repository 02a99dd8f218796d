//! The read models: one file each, with its queries and its tests.

pub mod audit_log;
pub mod catalogue;
pub mod holds;
pub mod issuance_history;
pub mod orders;
pub mod sales;
pub mod scans;
pub mod seat_availability;
pub mod tickets;

use hakken_domain::{names::OrganizerId, time::Timestamp};

use crate::{
    engine::Lease,
    rows::{Filter, Query, RowError, Table},
};

/// The filter that keeps tenants apart: none for operators.
fn tenant_filter(tenant: Option<OrganizerId>) -> Vec<Filter> {
    tenant.map(|organizer| Filter::is("organizer", organizer)).into_iter().collect()
}

/// A time range as a range of a column that grows with the recorded time, so that a page far
/// into the list is found by its key. `until` is exclusive.
async fn time_range(
    lease: &Lease,
    table: &'static Table,
    column: &'static str,
    (from, until): (Option<Timestamp>, Option<Timestamp>),
) -> Result<Vec<Filter>, RowError> {
    let mut filters = Vec::new();
    if let Some(from) = from {
        let first = first_since(lease, table, column, from).await?;
        filters.push(Filter::AtLeast(column, first.unwrap_or(i64::MAX)));
    }
    if let Some(until) = until
        && let Some(first) = first_since(lease, table, column, until).await?
    {
        filters.push(Filter::AtMost(column, first.saturating_sub(1)));
    }
    Ok(filters)
}

/// The first value of the column that was recorded then or later.
async fn first_since(
    lease: &Lease,
    table: &'static Table,
    column: &'static str,
    time: Timestamp,
) -> Result<Option<i64>, RowError> {
    let query = Query {
        table,
        filters: vec![Filter::AtLeast("recorded_at", time.as_micros())],
        order: vec!["recorded_at", column],
        descending: false,
        after: None,
        limit: 1,
    };
    let rows = lease.query(query).await?;
    Ok(rows.first().and_then(|row| row[table.column(column)].as_int()))
}

//! The suites over SQLite, and what is SQLite's alone.

use std::sync::Arc;

use hakken_projections::{
    PageRequest,
    models::{
        audit_log::AuditFilter, holds::HoldFilter, issuance_history::IssuanceFilter,
        orders::OrderFilter, scans::ScanFilter, tickets::TicketFilter,
    },
    rows::{BuildId, Purpose, Query, RowStore},
    testing::{Bench, Store, hall},
};
use sqlx::{AssertSqlSafe, Row as _};

use super::{SqliteRows, bind, sql};

async fn store() -> Store {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = SqliteRows::open(&folder.path().join("read-models.db")).await.expect("a file");
    Store { rows: Arc::new(rows), keep: Box::new(folder) }
}

hakken_projections::row_store_suite!(store().await);
hakken_projections::read_model_suite!(store().await);
hakken_projections::rebuild_suite!(store().await);
hakken_projections::past_suite!(store().await);

#[tokio::test]
async fn a_file_that_is_no_database_is_moved_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("read-models.db");
    std::fs::write(&path, "x".repeat(10_000)).expect("written");
    let rows = SqliteRows::open(&path).await.expect("a fresh file");
    assert!(rows.builds().await.expect("builds").is_empty());
    assert_eq!(
        std::fs::read(folder.path().join("read-models.db.old")).expect("kept").len(),
        10_000
    );
}

#[tokio::test]
async fn a_foreign_database_is_moved_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("read-models.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("a database");
    sqlx::raw_sql("CREATE TABLE builds (mine)").execute(&pool).await.expect("a table");
    pool.close().await;
    let rows = SqliteRows::open(&path).await.expect("a fresh file");
    assert!(rows.builds().await.expect("builds").is_empty());
    assert!(folder.path().join("read-models.db.old").exists());
}

#[tokio::test]
async fn what_was_committed_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("read-models.db");
    let rows = SqliteRows::open(&path).await.expect("a file");
    let build = rows.create("p", 3, Purpose::Served, &[]).await.expect("a build");
    rows.close().await;
    let rows = SqliteRows::open(&path).await.expect("the file");
    let builds = rows.builds().await.expect("builds");
    assert_eq!((builds.len(), builds[0].id, builds[0].version), (1, build, 3));
}

#[tokio::test]
async fn a_connection_whose_transaction_the_disk_ended_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = SqliteRows::open(&folder.path().join("read-models.db")).await.expect("a file");
    // SQLite ends a transaction by itself when its commit meets a full disk.
    let mut transaction = rows.writer.begin().await.expect("a transaction");
    sqlx::query("ROLLBACK").execute(&mut *transaction).await.expect("its end");
    drop(transaction);
    rows.create("p", 1, Purpose::Served, &[]).await.expect("another connection");
}

/// Whether SQLite answers a query without reading or sorting what it does not show.
async fn plan(rows: &SqliteRows, build: BuildId, query: &Query) -> Vec<String> {
    let statement = sql::select(query, build);
    let text = format!("EXPLAIN QUERY PLAN {}", statement.text);
    let explain = bind(sqlx::query(AssertSqlSafe(text)), &statement.values);
    let steps = explain.fetch_all(&rows.readers).await.expect("a plan");
    steps.iter().map(|step| step.get::<String, _>("detail")).collect()
}

#[tokio::test]
async fn every_list_is_read_by_an_index_in_its_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = SqliteRows::open(&folder.path().join("read-models.db")).await.expect("a file");
    let rows = Arc::new(rows);
    let bench = Bench::start(Store { rows: rows.clone(), keep: Box::new(folder) }).await;
    bench.feed.whole_life();
    bench.caught_up().await;
    rows.asked.lock().expect("not poisoned").clear();
    let models = &bench.models;
    let first = PageRequest::first(1);
    let first = models.holds(None, &HoldFilter::default(), &first).await.expect("a page");
    let page = &PageRequest::first(2).after(&first.edges[0].cursor);
    let show = Some(hall::show("concert"));
    let order = Some(hall::order("h1"));
    let ticket = Some(hall::ticket("t1"));
    for tenant in [None, Some(hall::organizer("one"))] {
        let buyer = Some(hall::buyer("buyer-h1"));
        for filter in [
            HoldFilter::default(),
            HoldFilter { show, ..HoldFilter::default() },
            HoldFilter { buyer: buyer.clone(), ..HoldFilter::default() },
        ] {
            models.holds(tenant, &filter, page).await.expect("a page");
        }
        for filter in [
            OrderFilter::default(),
            OrderFilter { show, ..OrderFilter::default() },
            OrderFilter { buyer, ..OrderFilter::default() },
        ] {
            models.orders(tenant, &filter, page).await.expect("a page");
        }
        for filter in [
            TicketFilter::default(),
            TicketFilter { show, ..TicketFilter::default() },
            TicketFilter { order, ..TicketFilter::default() },
        ] {
            models.tickets(tenant, &filter, page).await.expect("a page");
        }
        for filter in [
            ScanFilter::default(),
            ScanFilter { show, ..ScanFilter::default() },
            ScanFilter { ticket, ..ScanFilter::default() },
        ] {
            models.scans(tenant, &filter, page).await.expect("a page");
        }
        for filter in
            [AuditFilter::default(), AuditFilter { show, order, ..AuditFilter::default() }]
        {
            models.audit_log(tenant, &filter, page).await.expect("a page");
        }
        let acts = IssuanceFilter { show, ..IssuanceFilter::default() };
        models.issuance_history(tenant, &acts, page).await.expect("a page");
        let now = bench.feed.now();
        models.availability(tenant, hall::show("concert"), None, now).await.expect("an answer");
    }
    let asked = rows.asked.lock().expect("not poisoned").clone();
    assert!(asked.len() > 40, "{} queries", asked.len());
    for (build, query) in asked {
        let plan = plan(&rows, build, &query).await;
        let is_good = |step: &String| {
            step.starts_with("SEARCH")
                || step.starts_with("SCAN") && (step.contains("USING") || query.filters.is_empty())
                || step.contains("json_each")
                || step.starts_with("LIST SUBQUERY")
        };
        assert!(plan.iter().all(is_good), "{query:?}: {plan:?}");
    }
}

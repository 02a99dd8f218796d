//! The suites of the row stores over PostgreSQL. Those over SQLite and memory stand beside them.

use std::sync::Arc;

use hakken_adapters::postgres::PostgresRows;
use hakken_projections::{
    rows::{Purpose, RowStore},
    testing::Store,
};
use hakken_tests::postgres::Postgres;

async fn store() -> Option<Store> {
    let database = Postgres::shared()?.database().await;
    let rows = PostgresRows::open(&database.url, "one").await.expect("a database");
    Some(Store { rows: Arc::new(rows), keep: Box::new(()) })
}

macro_rules! store {
    () => {
        match store().await {
            Some(store) => store,
            None => return,
        }
    };
}

hakken_projections::row_store_suite!(store!());

mod read_models {
    use super::store;
    hakken_projections::read_model_suite!(store!());
    hakken_projections::rebuild_suite!(store!());
    hakken_projections::past_suite!(store!());
}

#[tokio::test]
async fn processes_with_different_names_have_different_builds() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database().await;
    let one = PostgresRows::open(&database.url, "one").await.expect("a database");
    let two = PostgresRows::open(&database.url, "two").await.expect("a database");
    let build = one.create("p", 1, Purpose::Served, &[]).await.expect("a build");
    let other = two.create("p", 1, Purpose::Rebuild, &[]).await.expect("a build");
    two.serve(other, hakken_tests::world::START).await.expect("served");
    let builds = one.builds().await.expect("builds");
    assert_eq!(builds.len(), 1);
    assert_eq!((builds[0].id, builds[0].purpose), (build, Purpose::Served));
}

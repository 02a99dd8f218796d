//! The suites over SQLite, and what is SQLite's alone.

use std::sync::Arc;

use hakken_projections::{
    rows::{Purpose, RowStore},
    testing::Store,
};

use super::SqliteRows;

async fn store() -> Store {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = SqliteRows::open(&folder.path().join("read-models.db")).await.expect("a file");
    Store { rows: Arc::new(rows), keep: Box::new(folder) }
}

hakken_projections::row_store_suite!(store().await);
hakken_projections::read_model_suite!(store().await);

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

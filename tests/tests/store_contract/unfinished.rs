//! A store that holds a part of a history only is served by nobody until the rest has come.

use hakken_adapters::{
    data_dir::DataDir,
    embedded::{EmbeddedStore, OpenError, OpenOptions},
    postgres::{self, PostgresStore},
    unfinished::Unfinished,
};
use hakken_domain::envelope::Fingerprint;
use hakken_tests::postgres::Postgres;

#[tokio::test]
async fn an_embedded_one_is_refused_until_the_rest_has_come() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::at(temp.path());
    let store = EmbeddedStore::open(&dir).await.unwrap();
    assert!(!store.is_unfinished().await.unwrap());
    store.begin().await.unwrap();
    store.close().await.unwrap();

    let refused = EmbeddedStore::open(&dir).await.err().expect("it is refused");
    assert!(matches!(refused, OpenError::Unfinished { .. }), "{refused}");
    let options = OpenOptions { may_be_unfinished: true, ..OpenOptions::default() };
    let store = EmbeddedStore::open_with(&dir, &options).await.unwrap();
    assert!(store.is_unfinished().await.unwrap());
    for _ in 0..2 {
        store.finish().await.unwrap();
    }
    assert!(!store.is_unfinished().await.unwrap());
    store.close().await.unwrap();
    EmbeddedStore::open(&dir).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_database_is_bound_to_no_secret_until_the_rest_has_come() {
    let Some(server) = Postgres::shared() else { return };
    for bound in [None, Some(Fingerprint(7))] {
        let database = server.database().await;
        let store = PostgresStore::open(&database.url).await.unwrap();
        assert!(!store.is_unfinished().await.unwrap());
        if let Some(check) = bound {
            store.bind_secret(check).await.unwrap();
        }
        for _ in 0..2 {
            store.begin().await.unwrap();
        }
        assert!(store.is_unfinished().await.unwrap());
        let refused = store.bind_secret(Fingerprint(7)).await.unwrap_err();
        assert!(matches!(refused, postgres::OpenError::Unfinished { .. }), "{refused}");
        for _ in 0..2 {
            store.finish().await.unwrap();
        }
        assert!(!store.is_unfinished().await.unwrap());
        store.bind_secret(Fingerprint(7)).await.unwrap();
        assert!(store.bind_secret(Fingerprint(8)).await.is_err());
    }
}

//! A disk that takes no more.

use hakken_adapters::{
    data_dir::DataDir,
    embedded::{EmbeddedStore, OpenOptions},
};
use hakken_commands::store::{EventStore, StoreErrorKind};
use hakken_domain::envelope::Position;
use hakken_tests::stores::{append, at, stream, written};

use super::{open, read_everything};

#[tokio::test]
async fn a_full_disk_ends_writing_and_loses_nothing_that_was_acknowledged() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::at(temp.path());
    let options = OpenOptions { max_events_bytes: Some(400_000), ..OpenOptions::default() };
    let store = EmbeddedStore::open_with(&dir, &options).await.unwrap();
    let mut acknowledged = Vec::new();
    let error = loop {
        let n = acknowledged.len() as u64;
        let batch = vec![append(stream(n), 0, [vec![b'x'; 5_000]])];
        match store.append(batch, at(0)).await {
            Ok(answer) => acknowledged.extend_from_slice(written(&answer[0])),
            Err(error) => break error,
        }
        assert!(n < 1_000, "the disk is never full");
    };
    assert_eq!(error.kind, StoreErrorKind::Fatal, "{error}");
    assert!(acknowledged.len() > 10);
    // Even one that would fit is refused: this process is done writing.
    let error = store.append(vec![append(stream(9_999), 0, ["a"])], at(0)).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Fatal);
    assert!(error.to_string().contains("until a restart"), "{error}");
    assert_eq!(read_everything(&store).await.unwrap(), acknowledged);
    assert_eq!(EventStore::head(&store).await.unwrap(), Position(acknowledged.len() as u64));
    store.close().await.unwrap();

    let store = open(temp.path()).await;
    assert_eq!(read_everything(&store).await.unwrap(), acknowledged);
    let n = acknowledged.len() as u64;
    written(&store.append(vec![append(stream(n), 0, ["a"])], at(0)).await.unwrap()[0]);
}

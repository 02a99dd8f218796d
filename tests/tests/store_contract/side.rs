//! Snapshots and checkpoints.

use std::sync::Arc;

use bytes::Bytes;
use hakken_commands::store::{SideStore, Snapshot};
use hakken_domain::envelope::Position;
use hakken_tests::stores::stream;

use super::Store;

type Opened = Arc<dyn Store>;

fn side(store: &Opened) -> &dyn SideStore {
    &**store
}

fn snapshot(version: u64, bytes: &'static [u8]) -> Snapshot {
    Snapshot { version, format: 7, bytes: Bytes::from_static(bytes) }
}

pub async fn a_snapshot_replaces_the_one_before(store: &Opened) {
    side(store).save_snapshot(stream(1), snapshot(5, b"\0\xff")).await.unwrap();
    side(store).save_snapshot(stream(2), snapshot(9, b"")).await.unwrap();
    side(store).save_snapshot(stream(1), snapshot(6, b"newer")).await.unwrap();
    assert_eq!(side(store).load_snapshot(stream(1)).await.unwrap(), Some(snapshot(6, b"newer")));
    assert_eq!(side(store).load_snapshot(stream(2)).await.unwrap(), Some(snapshot(9, b"")));
}

pub async fn a_stream_without_a_snapshot_has_none(store: &Opened) {
    side(store).save_snapshot(stream(1), snapshot(5, b"a")).await.unwrap();
    assert_eq!(side(store).load_snapshot(stream(2)).await.unwrap(), None);
}

pub async fn a_checkpoint_is_where_it_was_left(store: &Opened) {
    assert_eq!(side(store).load_checkpoint("checkout").await.unwrap(), Position(0));
    side(store).save_checkpoint("checkout", Position(5)).await.unwrap();
    side(store).save_checkpoint("sweeper", Position(9)).await.unwrap();
    side(store).save_checkpoint("checkout", Position(7)).await.unwrap();
    assert_eq!(side(store).load_checkpoint("checkout").await.unwrap(), Position(7));
    assert_eq!(side(store).load_checkpoint("sweeper").await.unwrap(), Position(9));
}

//! Crashes and broken disks: what was acknowledged is there, or it is said that it is not.

use std::fs;

use hakken_adapters::{
    data_dir::DataDir,
    sqlite::{OpenError, SqliteStore},
};
use hakken_commands::store::{EventStore, StoreErrorKind};
use hakken_domain::envelope::Position;
use hakken_tests::stores::{append, at, first_disorder, stream, written};

use super::{Events, copy, fill, open, read_everything};

const FILES: [&str; 3] = ["events.db", "events.db-wal", "index.db"];

#[tokio::test]
async fn a_torn_write_ahead_log_loses_no_batch_before_the_tear() {
    let temp = tempfile::tempdir().unwrap();
    let live = temp.path().join("live");
    let store = open(&live).await;
    let all = fill(&store, 0..40).await;
    let wal = fs::metadata(live.join("events.db-wal")).unwrap().len();
    let mut heads = Vec::new();
    for (n, cut) in (0..wal).step_by(8_501).enumerate() {
        let crashed = temp.path().join(format!("crashed-{n}"));
        // Every other time the index survived with more than the log has.
        copy(&live, &crashed, &FILES[..2 + n % 2]);
        let torn = fs::OpenOptions::new().write(true).open(crashed.join("events.db-wal")).unwrap();
        torn.set_len(wal - cut).unwrap();
        let store = open(&crashed).await;
        let found = read_everything(&store).await.unwrap();
        assert_eq!(found, all[..found.len()], "{cut} bytes cut");
        assert!(
            all.get(found.len()).is_none_or(|next| next.version == 1),
            "{cut} bytes cut: half a batch at {}",
            found.len()
        );
        heads.push(found.len());
        for n in 0..40 {
            let version =
                EventStore::read_stream(&store, stream(n), 0, 9).await.unwrap().len() as u64;
            let batch = vec![append(stream(n), version, ["after the crash"])];
            written(&store.append(batch, at(0)).await.unwrap()[0]);
        }
        assert_eq!(first_disorder(Position(0), &read_everything(&store).await.unwrap()), None);
        store.close().await.unwrap();
    }
    assert_eq!(heads[0], all.len(), "nothing was cut, so nothing is lost");
    assert!(heads.is_sorted_by(|before, after| before >= after));
    assert!(heads.len() > 10 && heads[heads.len() - 1] < heads[0], "the cuts cut nothing");
}

/// Flips a bit and looks: everything as it was, or an error; never anything else. Answers whether
/// it was noticed.
async fn notices(dir: &std::path::Path, file: &str, offset: usize, all: &Events) -> bool {
    let path = dir.join(file);
    let mut bytes = fs::read(&path).unwrap();
    bytes[offset] ^= 1 << (offset % 8);
    fs::write(&path, bytes).unwrap();
    let store = match SqliteStore::open_with(&DataDir::at(dir), &super::small_runs()).await {
        Ok(store) => store,
        Err(error) => {
            assert!(!matches!(error, OpenError::InUse { .. }), "{error}");
            return true;
        }
    };
    let mut noticed = false;
    match read_everything(&store).await {
        Ok(found) => assert_eq!(&found, all, "byte {offset} of {file}"),
        Err(error) => {
            assert_eq!(error.kind, StoreErrorKind::Corrupt, "byte {offset} of {file}: {error}");
            noticed = true;
        }
    }
    for event in all.iter().step_by(7) {
        match EventStore::read_stream(&store, event.stream, event.version - 1, 1).await {
            Ok(found) => assert_eq!(found, std::slice::from_ref(event), "byte {offset} of {file}"),
            Err(error) => {
                assert_eq!(error.kind, StoreErrorKind::Corrupt, "byte {offset} of {file}: {error}");
                noticed = true;
            }
        }
    }
    store.close().await.unwrap();
    noticed
}

async fn flip_everywhere(file: &str, step: usize) -> (usize, usize) {
    let temp = tempfile::tempdir().unwrap();
    let live = temp.path().join("live");
    let store = open(&live).await;
    let all = fill(&store, 0..60).await;
    store.close().await.unwrap();
    let size = fs::metadata(live.join(file)).unwrap().len() as usize;
    let (mut noticed, mut flipped) = (0, 0);
    // The header and the first page's cells densely, everything else in steps.
    for offset in (0..200).step_by(19).chain((200..size).step_by(step)) {
        let broken = temp.path().join("broken");
        fs::remove_dir_all(&broken).ok();
        copy(&live, &broken, &["events.db", "index.db", "side.db"]);
        noticed += usize::from(notices(&broken, file, offset, &all).await);
        flipped += 1;
    }
    (noticed, flipped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_events_is_never_served() {
    let (noticed, flipped) = flip_everywhere("events.db", 797).await;
    assert!(noticed * 2 > flipped, "{noticed} of {flipped} flips noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_index_never_hides_an_event() {
    let (_, flipped) = flip_everywhere("index.db", 997).await;
    assert!(flipped > 20);
}

#[tokio::test]
async fn a_missing_chunk_is_noticed() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    fill(&store, 0..60).await;
    store.close().await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(temp.path().join("events.db"));
    let mut conn =
        <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::raw_sql("DELETE FROM log WHERE first <= 30 AND last >= 30")
        .execute(&mut conn)
        .await
        .unwrap();
    sqlx::Connection::close(conn).await.unwrap();
    let store = open(temp.path()).await;
    let error = read_everything(&store).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    assert!(error.to_string().contains("are missing"), "{error}");
}

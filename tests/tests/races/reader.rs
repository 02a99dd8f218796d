//! Readers beside a server that writes: what is being written is not damage.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hakken_adapters::{data_dir::DataDir, embedded::EmbeddedStore};
use hakken_commands::store::EventStore;
use hakken_domain::envelope::Position;
use hakken_projections::feed::EventFeed;
use hakken_tests::stores::{append, at, first_disorder, stream, written};

/// Opens the store and reads all of it, again and again.
async fn read(dir: DataDir, over: Arc<AtomicBool>, reads: Arc<AtomicU64>) {
    let mut most = 0;
    while !over.load(Ordering::SeqCst) {
        let store = EmbeddedStore::open_read_only(&dir).await.unwrap();
        for _ in 0..20 {
            let mut events = Vec::new();
            loop {
                let after = events.len() as u64;
                let page = EventFeed::read_all(&store, Position(after), 1_000).await.unwrap();
                if page.is_empty() {
                    break;
                }
                events.extend(page);
            }
            assert_eq!(first_disorder(Position(0), &events), None);
            assert!(events.len() >= most, "{} events after {most}", events.len());
            most = events.len();
            reads.fetch_add(1, Ordering::Relaxed);
        }
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_reads_beside_a_writer_never_takes_an_append_for_damage() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::at(temp.path().join("data"));
    let store = EmbeddedStore::open(&dir).await.unwrap();
    written(&store.append(vec![append(stream(0), 0, ["first"])], at(0)).await.unwrap()[0]);
    let (over, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> =
        (0..3).map(|_| tokio::spawn(read(dir.clone(), over.clone(), reads.clone()))).collect();
    let begun = Instant::now();
    let mut version = 1;
    while begun.elapsed() < Duration::from_secs(3) && readers.iter().all(|r| !r.is_finished()) {
        // Small and large ones: some are written while a reader looks at their place.
        let data = (0..1 + version % 7).map(|n| "x".repeat(100 * (1 + n as usize)));
        let batch = vec![append(stream(0), version, data)];
        version += written(&store.append(batch, at(0)).await.unwrap()[0]).len() as u64;
    }
    over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
    println!("{version} events, read {} times", reads.load(Ordering::Relaxed));
}

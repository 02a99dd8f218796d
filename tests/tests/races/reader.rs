//! Readers beside a server that writes: what is being written is not damage.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use hakken_adapters::{data_dir::DataDir, embedded::EmbeddedStore};
use hakken_commands::store::EventStore;
use hakken_domain::envelope::Position;
use hakken_projections::feed::EventFeed;
use hakken_tests::stores::{append, at, first_disorder, stream, written};

/// Opens the store and reads all of it, again and again; what is wrong, if anything.
async fn read(dir: DataDir, over: Arc<AtomicBool>, reads: Arc<AtomicU64>) -> Result<(), String> {
    let mut most = 0;
    while !over.load(Ordering::SeqCst) {
        let store = EmbeddedStore::open_read_only(&dir).await.map_err(|error| error.to_string())?;
        for _ in 0..20 {
            let mut events = Vec::new();
            loop {
                let page = store.read_all(Position(events.len() as u64), 1_000).await;
                let page = page.map_err(|error| error.to_string())?;
                if page.is_empty() {
                    break;
                }
                events.extend(page);
            }
            if let Some(disorder) = first_disorder(Position(0), &events) {
                return Err(disorder);
            }
            if events.len() < most {
                return Err(format!("{} events after {most}", events.len()));
            }
            most = events.len();
            reads.fetch_add(1, Ordering::Relaxed);
        }
        store.close().await;
    }
    Ok(())
}

type Reader = JoinHandle<Result<(), String>>;

/// Three readers, each on a thread of its own, read what another thread writes for three seconds;
/// what one of them found to be wrong. `prepare` is called on their threads, and what it gives is
/// kept there.
pub fn read_beside_a_writer<T: 'static>(prepare: fn() -> T) -> Option<String> {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::at(temp.path().join("data"));
    let writing = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let store = writing.block_on(EmbeddedStore::open(&dir)).unwrap();
    let write = |expected, data: Vec<String>| {
        let batch = vec![append(stream(0), expected, data)];
        let answers = writing.block_on(store.append(batch, at(0))).unwrap();
        written(&answers[0]).len() as u64
    };
    let mut version = write(0, vec!["first".to_owned()]);
    let (over, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<Reader> = (0..3)
        .map(|_| {
            let (dir, over, reads) = (dir.clone(), over.clone(), reads.clone());
            thread::spawn(move || {
                let _kept = prepare();
                let reading = tokio::runtime::Builder::new_current_thread().enable_all().build();
                reading.unwrap().block_on(read(dir, over, reads))
            })
        })
        .collect();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) && readers.iter().all(|r| !r.is_finished()) {
        // Small and large ones: some are written while a reader looks at their place.
        let data = (0..1 + version % 7).map(|n| "x".repeat(100 * (1 + n as usize)));
        version += write(version, data.collect());
        if version.is_multiple_of(5) {
            version += write(version, vec!["y".repeat(300_000)]);
        }
    }
    over.store(true, Ordering::SeqCst);
    let ended: Vec<Result<(), String>> =
        readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    println!("{version} events, read {} times", reads.load(Ordering::Relaxed));
    ended.into_iter().find_map(Result::err)
}

#[test]
fn whoever_reads_beside_a_writer_never_takes_an_append_for_damage() {
    assert_eq!(read_beside_a_writer(|| ()), None);
}

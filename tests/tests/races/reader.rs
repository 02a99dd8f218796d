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

/// How long is written at least.
const SHORTEST: Duration = Duration::from_secs(3);
/// Where the machine is so busy that they do not come so far, the writer ends all the same.
const LONGEST: Duration = Duration::from_secs(60);

/// Opens the store and reads what is new, again and again, and all of it at the end; what is wrong,
/// if anything.
async fn read(dir: DataDir, over: Arc<AtomicBool>, reads: Arc<AtomicU64>) -> Result<(), String> {
    let words = |error: &dyn std::error::Error| error.to_string();
    let mut most = Position(0);
    loop {
        let is_over = over.load(Ordering::SeqCst);
        let store = EmbeddedStore::open_read_only(&dir).await.map_err(|error| words(&error))?;
        let mut after = if is_over { Position(0) } else { most };
        for _ in 0..3 {
            loop {
                let page = store.read_all(after, 1_000).await.map_err(|error| words(&error))?;
                if let Some(disorder) = first_disorder(after, &page) {
                    return Err(disorder);
                }
                let Some(last) = page.last() else { break };
                after = last.position;
            }
            reads.fetch_add(1, Ordering::Relaxed);
        }
        if after < most {
            return Err(format!("{after} events after {most}"));
        }
        most = after;
        store.close().await;
        if is_over {
            return Ok(());
        }
    }
}

type Reader = JoinHandle<Result<(), String>>;

/// Three readers, each on a thread of its own, read what another thread writes, so many times at
/// least in all; what one of them found to be wrong. `prepare` is called on their threads, and what
/// it gives is kept there.
pub fn read_beside_a_writer<T: 'static>(least: u64, prepare: fn() -> T) -> Option<String> {
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
    let goes_on = || {
        let too_few = reads.load(Ordering::Relaxed) < least && begun.elapsed() < LONGEST;
        begun.elapsed() < SHORTEST || too_few
    };
    while goes_on() && readers.iter().all(|reader| !reader.is_finished()) {
        // Small and large ones: some are written while a reader looks at their place.
        let data = (0..1 + version % 7).map(|n| "x".repeat(100 * (1 + n as usize)));
        version += write(version, data.collect());
        if version.is_multiple_of(5) {
            version += write(version, vec!["y".repeat(60_000)]);
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
    assert_eq!(read_beside_a_writer(60, || ()), None);
}

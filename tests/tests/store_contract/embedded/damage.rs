//! Crashes and broken disks: what was acknowledged is there, or it is said that it is not.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hakken_adapters::{
    data_dir::DataDir,
    embedded::{EmbeddedStore, OpenError, OpenOptions},
};
use hakken_commands::store::{EventStore, StoreErrorKind};
use hakken_domain::envelope::Position;
use hakken_tests::stores::{append, at, first_disorder, stream, written};

use super::{Events, copy, event_files, fill, open, read_everything};

/// Opens a copy of the store whose newest file was changed.
async fn after(
    live: &Path,
    to: &Path,
    change: impl FnOnce(&mut Vec<u8>),
) -> Result<EmbeddedStore, OpenError> {
    fs::remove_dir_all(to).ok();
    copy(live, to, &["events"]);
    let newest = event_files(to).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    change(&mut bytes);
    fs::write(&newest, bytes).unwrap();
    EmbeddedStore::open_with(&DataDir::at(to), &super::small_runs()).await
}

fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

#[tokio::test]
async fn an_append_that_was_cut_off_is_dropped_whole_and_nothing_before_it() {
    let temp = tempfile::tempdir().unwrap();
    let (live, torn) = (temp.path().join("live"), temp.path().join("torn"));
    let store = open(&live).await;
    let mut all = fill(&store, 0..9).await;
    let newest = event_files(&live).pop().unwrap();
    let before = used(&fs::read(&newest).unwrap());
    // One append of several frames: all of it or nothing.
    let data = (0..70).map(|n| format!("{n} {}", "y".repeat(1_000)));
    let answer = store.append(vec![append(stream(99), 0, data)], at(0)).await.unwrap();
    let last = written(&answer[0]).to_vec();
    let newest = event_files(&live).pop().unwrap();
    let bytes = fs::read(&newest).unwrap();
    let (from, to) = (if event_files(&live).len() > 1 { 64 } else { before }, used(&bytes));
    assert!(to - from > 70_000, "{from} to {to}");
    for cut in (from..to).step_by(1_201).chain([to - 1, from + 1, from + 47, from + 49]) {
        // It was written up to here.
        let store = after(&live, &torn, |bytes| bytes[cut..].fill(0)).await.unwrap();
        assert_eq!(read_everything(&store).await.unwrap(), all, "cut at {cut}");
        fill(&store, 200..230).await;
        assert_eq!(first_disorder(Position(0), &read_everything(&store).await.unwrap()), None);
        store.close().await.unwrap();
    }
    for sector in (from.next_multiple_of(512)..to - 512).step_by(512 * 7) {
        // This sector was not written, but later ones were.
        let store = after(&live, &torn, |bytes| bytes[sector..sector + 512].fill(0)).await.unwrap();
        assert_eq!(read_everything(&store).await.unwrap(), all, "without sector {sector}");
        store.close().await.unwrap();
        // What stood behind it does not come back when the room is used again.
        let store = open(&torn).await;
        fill(&store, 300..301).await;
        assert_eq!(first_disorder(Position(0), &read_everything(&store).await.unwrap()), None);
        store.close().await.unwrap();
    }
    all.extend(last);
    let store = after(&live, &torn, |_| {}).await.unwrap();
    assert_eq!(read_everything(&store).await.unwrap(), all, "nothing was cut");
}

#[tokio::test]
async fn a_last_batch_that_is_cut_off_or_gone_is_refused_if_anybody_has_seen_it_whole() {
    let temp = tempfile::tempdir().unwrap();
    let (live, torn) = (temp.path().join("live"), temp.path().join("torn"));
    let options = OpenOptions { index_flush_events: 1, ..OpenOptions::default() };
    let store = EmbeddedStore::open_with(&DataDir::at(&live), &options).await.unwrap();
    let all = fill(&store, 0..9).await;
    let whole_end = used(&fs::read(event_files(&live).pop().unwrap()).unwrap()).next_multiple_of(8);
    let data = (0..9).map(|n| format!("{n} {}", "y".repeat(1_000)));
    store.append(vec![append(stream(99), 0, data)], at(0)).await.unwrap();
    store.close().await.unwrap();
    // What the index has not written yet, it writes when it is opened.
    let store = EmbeddedStore::open_with(&DataDir::at(&live), &options).await.unwrap();
    store.close().await.unwrap();
    let head = Position(all.len() as u64);
    for witnesses in [&["index.db", "index.db-wal"][..], &["side.db", "side.db-wal"], &[]] {
        // Some of it; and all of it, as if it had never been there.
        for cut in [3, 5_000, usize::MAX] {
            fs::remove_dir_all(&torn).ok();
            copy(&live, &torn, &["events"]);
            copy(&live, &torn, witnesses);
            let newest = event_files(&torn).pop().unwrap();
            let mut bytes = fs::read(&newest).unwrap();
            let end = used(&bytes);
            bytes[end.saturating_sub(cut).max(whole_end)..].fill(0);
            fs::write(&newest, &bytes).unwrap();
            let opened = EmbeddedStore::open(&DataDir::at(&torn)).await;
            let Some(by) = witnesses.first() else {
                // Nobody has seen it: it may never have been acknowledged.
                assert_eq!(read_everything(&opened.unwrap()).await.unwrap(), all);
                continue;
            };
            let error = opened.err().unwrap();
            let (file, whole, seen, witness) = match &error {
                OpenError::CutOff { file, head, seen, witness } if cut < usize::MAX => {
                    assert!(error.to_string().contains(&format!("behind position {head}, but ")));
                    (file, head, seen, witness)
                }
                OpenError::Missed { file, head, seen, witness } if cut == usize::MAX => {
                    assert!(error.to_string().contains(&format!("with position {head}, but ")));
                    (file, head, seen, witness)
                }
                _ => panic!("{error}"),
            };
            assert_eq!((file, *whole, *seen), (&newest, head, Position(head.0 + 9)));
            assert_eq!(witness, &torn.join(by));
            let words = error.to_string();
            assert!(words.contains("they were acknowledged"), "{words}");
            assert_eq!(fs::read(&newest).unwrap(), bytes, "it is left as it was");
            // As the words say.
            for witness in witnesses {
                fs::remove_file(torn.join(witness)).ok();
            }
            let store = EmbeddedStore::open(&DataDir::at(&torn)).await.unwrap();
            assert_eq!(read_everything(&store).await.unwrap(), all);
        }
    }
}

#[tokio::test]
async fn damage_to_what_was_acknowledged_is_never_taken_for_a_crash() {
    let temp = tempfile::tempdir().unwrap();
    let (live, broken) = (temp.path().join("live"), temp.path().join("broken"));
    let store = open(&live).await;
    fill(&store, 0..12).await;
    let newest = event_files(&live).pop().unwrap();
    let used = used(&fs::read(&newest).unwrap());
    let mut refused = 0;
    for at in (64..used).step_by(13) {
        // A flipped bit anywhere, in the last batch as well.
        match after(&live, &broken, |bytes| bytes[at] ^= 1 << (at % 8)).await {
            Ok(_) => panic!("byte {at} of {used} was changed, and nobody noticed"),
            Err(OpenError::Damaged { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    // A sector in the middle that is lost, with later batches behind it.
    let lost = after(&live, &broken, |bytes| bytes[512..1_024].fill(0)).await;
    assert!(matches!(lost, Err(OpenError::Damaged { .. })));
    let cut = after(&live, &broken, |bytes| bytes.truncate(used - 10)).await;
    let error = cut.err().unwrap().to_string();
    assert!(error.contains("it should have 16384 bytes"), "{error}");
    assert!(refused > 100);
}

#[tokio::test]
async fn a_missing_file_of_events_is_noticed_and_said() {
    let temp = tempfile::tempdir().unwrap();
    let (live, broken) = (temp.path().join("live"), temp.path().join("broken"));
    let store = open(&live).await;
    fill(&store, 0..300).await;
    store.close().await.unwrap();
    let files = event_files(&live).len();
    assert!(files > 4, "{files} files");
    for missing in 0..files - 1 {
        fs::remove_dir_all(&broken).ok();
        copy(&live, &broken, &["events"]);
        fs::remove_file(&event_files(&broken)[missing]).unwrap();
        let error = EmbeddedStore::open(&DataDir::at(&broken)).await.err().unwrap();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("are missing: the next are those from"), "{error}");
    }
    // The newest: what the index has seen of it is gone.
    fs::remove_file(event_files(&live).pop().unwrap()).unwrap();
    let error = EmbeddedStore::open(&DataDir::at(&live)).await.err().unwrap();
    assert!(matches!(error, OpenError::Missed { .. }), "{error}");
}

#[tokio::test]
async fn a_full_file_whose_table_is_gone_is_read_all_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    let all = fill(&store, 0..300).await;
    store.close().await.unwrap();
    for file in event_files(temp.path()) {
        let mut bytes = fs::read(&file).unwrap();
        let end = bytes.len();
        bytes[end - 32..].fill(0);
        fs::write(&file, bytes).unwrap();
    }
    let store = open(temp.path()).await;
    assert_eq!(read_everything(&store).await.unwrap(), all);
    assert_eq!(EventStore::read_stream(&store, stream(8), 0, 9).await.unwrap().len(), 3);
}

/// Flips a bit and looks: everything as it was, or an error; never anything else. Answers whether
/// it was noticed.
async fn notices(dir: &Path, path: &Path, offset: usize, all: &Events) -> bool {
    let file = path.display();
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1 << (offset % 8);
    fs::write(path, bytes).unwrap();
    let store = match EmbeddedStore::open_with(&DataDir::at(dir), &super::small_runs()).await {
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

async fn flip_everywhere(file: impl Fn(&Path) -> PathBuf, step: usize) -> (usize, usize) {
    let temp = tempfile::tempdir().unwrap();
    let live = temp.path().join("live");
    let store = open(&live).await;
    let all = fill(&store, 0..60).await;
    store.close().await.unwrap();
    let size = fs::metadata(file(&live)).unwrap().len() as usize;
    let (mut noticed, mut flipped) = (0, 0);
    // A store that closes cuts its keeper off: the index is small or large.
    let step = step.min(size / 40);
    // The header and what comes first densely, everything else in steps.
    for offset in (0..200).step_by(19).chain((200..size).step_by(step)) {
        let broken = temp.path().join("broken");
        fs::remove_dir_all(&broken).ok();
        copy(&live, &broken, &["events", "index.db", "side.db"]);
        noticed += usize::from(notices(&broken, &file(&broken), offset, &all).await);
        flipped += 1;
    }
    (noticed, flipped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_events_is_never_served() {
    let (noticed, flipped) = flip_everywhere(|dir| event_files(dir)[0].clone(), 197).await;
    assert!(noticed * 2 > flipped, "{noticed} of {flipped} flips noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_index_never_hides_an_event() {
    let (_, flipped) = flip_everywhere(|dir| dir.join("index.db"), 997).await;
    assert!(flipped > 20);
}

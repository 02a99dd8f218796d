use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock};

use bytes::Bytes;
use hakken_domain::{
    envelope::{StoredEvent, StreamId, StreamKind},
    names::{EventId, derived_ulid},
};

use super::*;
use crate::system::EngineSecret;

/// Of three streams in turn; every second one is recorded a second later.
fn event(position: u64) -> StoredEvent {
    let stream =
        StreamId { kind: StreamKind::Order, id: derived_ulid(&[&(position % 3).to_string()]) };
    StoredEvent {
        position: Position(position),
        stream,
        version: (position - 1) / 3 + 1,
        id: EventId(derived_ulid(&["event", &position.to_string()])),
        kind: "from-the-future".into(),
        schema: 3,
        recorded_at: time(position),
        meta: Bytes::from_static(b"\xff\x00"),
        data: Bytes::from(format!("{{\"n\":{position}}}")),
        cache: OnceLock::new(),
    }
}

fn time(position: u64) -> Timestamp {
    Timestamp::from_micros((position / 2 * 1_000_000) as i64)
}

fn secret() -> EngineSecret {
    EngineSecret::from_bytes([7; 32])
}

/// Backs up a store with so many events; a part has few of them.
fn back_up(dir: &Path, count: u64) -> Result<Manifest, BackupError> {
    let mut writer = BackupWriter::open(dir, Some(&secret()))?;
    for position in 1..=count {
        writer.take(&event(position))?;
        if position % 5 == 0 {
            writer.end_part()?;
        }
    }
    writer.finish(
        time(count),
        "embedded",
        "0.1.0",
        [("checkout".to_owned(), Position(count))].into(),
    )
}

fn read(dir: &Path) -> Result<Vec<u64>, BackupError> {
    let backup = Backup::open(dir)?;
    backup.secret()?;
    let mut events = backup.events();
    let mut read = Vec::new();
    loop {
        let block = events.next_block()?;
        if block.is_empty() {
            return Ok(read);
        }
        for found in block {
            assert_eq!(*found, event(found.position.0), "every byte is as it was");
            read.push(found.position.0);
        }
    }
}

fn parts(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut parts: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "part" || ending == "draft"))
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
        })
        .collect();
    parts.sort();
    parts
}

#[test]
fn what_was_taken_comes_back_and_a_later_run_adds_only_what_is_new() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("backup");
    let first = back_up(&dir, 12).unwrap();
    assert_eq!((first.first, first.last, first.events), (Position(1), Position(12), 12));
    assert_eq!((read(&dir).unwrap(), first.parts.len()), ((1..=12).collect(), 3));
    let verified = Backup::open(&dir).unwrap().verify(|_| ()).unwrap();
    assert_eq!((verified.chain.digest(), verified.streams), (first.chain.clone(), 3));
    let before = parts(&dir);

    let second = back_up(&dir, 13).unwrap();
    assert_eq!(second.parts[..3], first.parts, "a part never changes");
    assert_eq!(second.parts.len(), 4);
    assert_eq!(parts(&dir)[..3], before);
    assert_eq!(read(&dir).unwrap(), (1..=13).collect::<Vec<_>>());
    let third = back_up(&dir, 13).unwrap();
    assert_eq!((third.parts, third.runs.len()), (second.parts, 3));
    assert_eq!(Backup::open(&dir).unwrap().secret().unwrap(), Some(secret()));
    // What a process had answered later is not known of an earlier point.
    let manifest = Backup::open(&dir).unwrap().manifest().clone();
    assert_eq!(manifest.checkpoints_at(Position(12))["checkout"], Position(12));
    assert!(manifest.checkpoints_at(Position(11)).is_empty());
}

#[test]
fn the_digest_is_that_of_the_history_and_not_of_its_parts() {
    let temp = tempfile::tempdir().unwrap();
    let (one, two) = (temp.path().join("one"), temp.path().join("two"));
    for count in [3, 7, 11] {
        back_up(&one, count).unwrap();
    }
    assert_eq!(back_up(&one, 12).unwrap().chain, back_up(&two, 12).unwrap().chain);
}

#[test]
fn a_store_without_events_has_a_backup_too() {
    let temp = tempfile::tempdir().unwrap();
    let manifest = back_up(temp.path(), 0).unwrap();
    assert_eq!((manifest.last, manifest.parts.len()), (Position(0), 0));
    assert_eq!(read(temp.path()).unwrap(), Vec::<u64>::new());
    assert_eq!(back_up(temp.path(), 2).unwrap().last, Position(2));
}

/// Breaks a copy of a backup; what is read of it must be all, or refused.
#[track_caller]
fn broken(dir: &Path, what: &str, break_it: impl FnOnce(&Path)) -> BackupError {
    let temp = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), temp.path().join(entry.file_name())).unwrap();
    }
    break_it(temp.path());
    let verified = Backup::open(temp.path()).and_then(|backup| backup.verify(|_| ()));
    let error = verified.expect_err(what);
    assert!(error.to_string().contains(temp.path().to_str().unwrap()), "{what}: {error}");
    error
}

#[test]
fn every_flipped_bit_is_refused_with_its_file() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let manifest = back_up(dir, 12).unwrap();
    let mut files: Vec<String> = manifest.parts.iter().map(|part| part.file.clone()).collect();
    files.extend(["secret".to_owned(), "manifest.json".to_owned()]);
    for file in files {
        let whole = fs::read(dir.join(&file)).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1 << (at % 8);
            let what = format!("byte {at} of {file}");
            let error = broken(dir, &what, |copy| fs::write(copy.join(&file), &bad).unwrap());
            assert!(error.to_string().contains(&file), "{what}: {error}");
        }
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            broken(dir, &file, |copy| fs::write(copy.join(&file), &whole[..length]).unwrap());
        }
        let mut longer = whole.clone();
        longer.push(b'\n');
        broken(dir, &file, |copy| fs::write(copy.join(&file), longer).unwrap());
        broken(dir, &file, |copy| fs::remove_file(copy.join(&file)).unwrap());
    }
}

#[test]
fn the_place_of_what_is_wrong_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let manifest = back_up(dir, 15).unwrap();
    let [one, two, three] = &manifest.parts[..] else { panic!("three parts") };
    let gone = broken(dir, "missing", |copy| fs::remove_file(copy.join(&two.file)).unwrap());
    let (first, last) = (Position(6), Position(10));
    assert!(
        matches!(gone, BackupError::PartMissing { first: f, last: l, .. } if (f, l) == (first, last))
    );
    let flipped = broken(dir, "flipped", |copy| {
        let mut bytes = fs::read(copy.join(&three.file)).unwrap();
        bytes[100] ^= 1;
        fs::write(copy.join(&three.file), bytes).unwrap();
    });
    assert!(
        matches!(flipped, BackupError::Damaged { after: Position(10), offset: 16, .. }),
        "{flipped}"
    );
    let cut = broken(dir, "cut", |copy| {
        let bytes = fs::read(copy.join(&one.file)).unwrap();
        fs::write(copy.join(&one.file), &bytes[..bytes.len() - 7]).unwrap();
    });
    assert!(matches!(cut, BackupError::PartLength { first: Position(1), .. }), "{cut}");
    let swapped = broken(dir, "swapped", |copy| {
        let kept = fs::read(copy.join(&two.file)).unwrap();
        fs::copy(copy.join(&three.file), copy.join(&two.file)).unwrap();
        fs::write(copy.join(&three.file), kept).unwrap();
    });
    assert!(swapped.to_string().contains(&two.file), "{swapped}");
}

#[test]
fn parts_of_another_history_are_refused_although_they_are_whole() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, other) = (temp.path().join("one"), temp.path().join("other"));
    let manifest = back_up(&dir, 10).unwrap();
    let mut writer = BackupWriter::open(&other, None).unwrap();
    for position in 1..=5 {
        let mut event = event(position);
        event.data = Bytes::from(format!("{{\"m\":{position}}}"));
        writer.take(&event).unwrap();
    }
    let foreign = writer.finish(time(5), "embedded", "0.1.0", BTreeMap::new()).unwrap();
    assert_eq!(foreign.parts[0].file, manifest.parts[0].file);
    let error = broken(&dir, "another history's", |copy| {
        fs::copy(other.join(&foreign.parts[0].file), copy.join(&manifest.parts[0].file)).unwrap();
    });
    assert!(matches!(error, BackupError::Other { what: "its SHA-256", .. }), "{error}");
}

#[test]
fn a_run_that_is_cut_off_leaves_the_backup_before_it_and_the_next_one_clears_up() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    for known in [0, 12] {
        for cut_at in 1..=20 {
            let mut writer = BackupWriter::open(dir, Some(&secret())).unwrap();
            for position in 1..=cut_at {
                writer.take(&event(position)).unwrap();
                if position % 5 == 0 {
                    writer.end_part().unwrap();
                }
            }
            drop(writer);
            match known {
                0 => assert!(matches!(read(dir), Err(BackupError::Missing { .. }))),
                known => assert_eq!(read(dir).unwrap(), (1..=known).collect::<Vec<_>>()),
            }
        }
        back_up(dir, known + 12).unwrap();
        assert_eq!(parts(dir).len(), Backup::open(dir).unwrap().manifest().parts.len());
    }
}

#[test]
fn another_store_is_refused_and_nothing_changes() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    back_up(dir, 12).unwrap();
    let shorter = back_up(dir, 11).unwrap_err();
    assert!(matches!(shorter, BackupError::Shorter { head: Position(11), .. }), "{shorter}");
    let mut writer = BackupWriter::open(dir, Some(&secret())).unwrap();
    let mut refused = None;
    for position in 1..=12 {
        let mut event = event(position);
        if position == 7 {
            event.data = Bytes::from_static(b"{}");
        }
        if let Err(error) = writer.take(&event) {
            refused = Some((position, error));
            break;
        }
    }
    let (at, error) = refused.expect("it is refused");
    assert!(matches!(error, BackupError::OtherHistory { first: Position(6), .. }), "{error}");
    assert_eq!(at, 10, "at the end of its part");
    drop(writer);
    let other = EngineSecret::from_bytes([8; 32]);
    let refused = BackupWriter::open(dir, Some(&other)).err().expect("it is refused");
    assert!(matches!(refused, BackupError::Secret { .. }), "{refused}");
    assert_eq!(read(dir).unwrap(), (1..=12).collect::<Vec<_>>());
}

#[test]
fn what_is_known_can_be_passed_over_but_for_its_newest_event() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    back_up(dir, 12).unwrap();
    let mut writer = BackupWriter::open(dir, None).unwrap();
    assert_eq!(*writer.pass_over_known().unwrap().unwrap(), event(12));
    writer.take(&event(13)).unwrap();
    assert_eq!(writer.added(), 1);
    let added = writer.finish(time(13), "embedded", "0.1.0", BTreeMap::new()).unwrap();
    assert!(added.secret.is_some(), "the secret stays");
    assert_eq!(read(dir).unwrap(), (1..=13).collect::<Vec<_>>());
    let whole = temp.path().join("whole");
    assert_eq!(back_up(&whole, 13).unwrap().chain, added.chain);
}

#[test]
fn a_directory_of_something_else_and_one_in_use_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    fs::write(dir.join("letter.txt"), "dear").unwrap();
    let foreign = back_up(dir, 1).unwrap_err();
    assert!(matches!(&foreign, BackupError::Foreign { found, .. } if found == "letter.txt"));
    fs::remove_file(dir.join("letter.txt")).unwrap();
    let writer = BackupWriter::open(dir, None).unwrap();
    assert!(matches!(BackupWriter::open(dir, None), Err(BackupError::InUse { .. })));
    drop(writer);
    back_up(dir, 9).unwrap();
    // Parts whose manifest is lost may be all that is left: they are not written over.
    fs::remove_file(dir.join("manifest.json")).unwrap();
    assert!(matches!(back_up(dir, 12), Err(BackupError::Foreign { .. })));
}

#[test]
fn a_backup_of_a_newer_version_is_refused_by_name() {
    let temp = tempfile::tempdir().unwrap();
    back_up(temp.path(), 1).unwrap();
    let file = temp.path().join("manifest.json");
    let text = fs::read_to_string(&file).unwrap().replacen("\"format\": 1", "\"format\": 9", 1);
    fs::write(&file, text).unwrap();
    let newer = Backup::open(temp.path()).unwrap_err();
    assert!(matches!(newer, BackupError::Newer { found: 9, .. }), "{newer}");
    assert!(matches!(back_up(temp.path(), 2), Err(BackupError::Newer { .. })));
}

#[test]
fn a_point_is_found_by_position_and_by_time() {
    let temp = tempfile::tempdir().unwrap();
    back_up(temp.path(), 23).unwrap();
    let backup = Backup::open(temp.path()).unwrap();
    let last = |until: &str| backup.last_until(until.parse().unwrap()).unwrap().0;
    assert_eq!((last("9"), last("99"), last("0")), (9, 23, 0));
    for position in 1..=23 {
        let newest = (position | 1).min(23);
        assert_eq!(last(&time(position).to_string()), newest, "{position}");
        let before = time(position).as_micros() - 1;
        assert_eq!(
            last(&Timestamp::from_micros(before).to_string()),
            (position - position % 2).max(1) - 1
        );
    }
    assert_eq!(backup.last_until(Until::End).unwrap(), Position(23));
    assert!("yesterday".parse::<Until>().is_err());
}

#[test]
fn what_one_command_brought_about_is_not_cut_apart() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = BackupWriter::open(temp.path(), None).unwrap();
    // Commands of one event, of three and of two, on one stream; the parts end where they like.
    for (position, key) in (1..).zip(["a", "b", "b", "b", "c", "c"]) {
        let one = event(3);
        let (meta, version) = (Bytes::from(key), position);
        let id = event(position).id;
        let position = Position(position);
        writer.take(&StoredEvent { position, version, id, meta, ..one }).unwrap();
        if position.0.is_multiple_of(2) {
            writer.end_part().unwrap();
        }
    }
    writer.finish(time(9), "embedded", "0.1.0", BTreeMap::new()).unwrap();
    let backup = Backup::open(temp.path()).unwrap();
    let last = |at| backup.last_until(Until::Position(Position(at))).unwrap().0;
    assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(last), [0, 1, 1, 1, 4, 4, 6, 6]);
}

#[test]
fn the_format_is_what_the_tables_say() {
    let temp = tempfile::tempdir().unwrap();
    let manifest = back_up(temp.path(), 2).unwrap();
    let bytes = fs::read(temp.path().join(&manifest.parts[0].file)).unwrap();
    let mut payload = Vec::new();
    for position in [1, 2] {
        crate::embedded::encode_record(&event(position), &mut payload);
    }
    let mut expected = b"HkBackup\x01\0\0\0".to_vec();
    expected.extend_from_slice(&crc32fast::hash(&expected).to_le_bytes());
    let mut block = b"HkBl".to_vec();
    block.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    block.extend_from_slice(&1_u64.to_le_bytes());
    block.extend_from_slice(&2_u64.to_le_bytes());
    block.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    block.extend_from_slice(&crc32fast::hash(&block).to_le_bytes());
    expected.extend_from_slice(&block);
    expected.extend_from_slice(&payload);
    assert_eq!(bytes, expected);
    assert_eq!(manifest.parts[0].file, "00000000000000000001.part");
    assert_eq!(manifest.parts[0].sha256, sha256_of(&bytes));
}

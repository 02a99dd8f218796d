//! How this process is: what the system says of it, and what its doors and its store count.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hakken_adapters::system::SystemClock;
use hakken_api::{Host, LastBackup, Vitals};
use hakken_commands::clock::Clock;
use hakken_domain::{envelope::Position, time::Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{connections::Doors, open_files, store::Store};

/// What whoever makes backups leaves in the data directory when one is good.
const LAST_BACKUP: &str = "last-backup.json";

/// This process.
#[derive(Debug)]
pub struct ThisProcess {
    started_at: Timestamp,
    data: PathBuf,
    doors: Arc<Doors>,
    on_duty: Option<watch::Receiver<bool>>,
    store_connections: Option<Arc<AtomicU64>>,
}

impl ThisProcess {
    /// Since now, with its data there.
    pub fn new(data: PathBuf, doors: Arc<Doors>, store: &Store) -> Self {
        let (on_duty, store_connections) = (store.on_duty(), store.connections_made());
        Self { started_at: SystemClock.now(), data, doors, on_duty, store_connections }
    }
}

impl Host for ThisProcess {
    fn vitals(&self) -> Vitals {
        let figures = self.doors.figures();
        let disk = disk(&self.data);
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let (cpu_seconds, resident_bytes) = used(&stat);
        Vitals {
            started_at: Some(self.started_at),
            cpu_seconds,
            resident_bytes,
            open_files: open_files::already(),
            most_open_files: open_files::most(),
            disk_free_bytes: disk.map(|(free, _)| free),
            disk_size_bytes: disk.map(|(_, size)| size),
            connections: Some(figures.connections),
            requests: Some(figures.requests),
            connections_turned_away: figures.connections_turned_away,
            requests_turned_away: figures.requests_turned_away,
            on_duty: self.on_duty.as_ref().map(|on_duty| *on_duty.borrow()),
            store_connections: self
                .store_connections
                .as_ref()
                .map(|made| made.load(Ordering::Relaxed)),
            last_backup: last_backup(&self.data),
        }
    }
}

/// Processor time and memory, of a line of `/proc/self/stat`. Its second field is the name of the
/// program in brackets, which may have anything in it.
fn used(stat: &str) -> (Option<f64>, Option<u64>) {
    let Some((_, fields)) = stat.rsplit_once(')') else { return (None, None) };
    let number = |at: usize| fields.split_ascii_whitespace().nth(at)?.parse::<u64>().ok();
    let ticks = number(11).zip(number(12)).map(|(user, system)| user + system);
    let seconds = ticks.map(|ticks| ticks as f64 / ticks_per_second() as f64);
    (seconds, number(21).map(|pages| pages * page_bytes()))
}

#[cfg(target_os = "linux")]
fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second()
}

#[cfg(target_os = "linux")]
fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

/// Without `/proc` nobody asks.
#[cfg(not(target_os = "linux"))]
fn ticks_per_second() -> u64 {
    100
}

#[cfg(not(target_os = "linux"))]
fn page_bytes() -> u64 {
    4_096
}

/// Bytes that are free for us, and all bytes, of the file system that has the data.
#[cfg(unix)]
fn disk(data: &Path) -> Option<(u64, u64)> {
    let found = rustix::fs::statvfs(data).ok()?;
    Some((found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize))
}

#[cfg(not(unix))]
fn disk(_: &Path) -> Option<(u64, u64)> {
    None
}

/// `{"finished_at": "2026-11-22T03:00:00Z", "position": 1204}`
#[derive(Serialize, Deserialize)]
struct Backup {
    finished_at: String,
    position: u64,
}

/// Leaves word of a good backup in the data directory, for the server's figures.
pub fn note_backup(data: &Path, at: Timestamp, position: Position) -> io::Result<()> {
    let backup = Backup { finished_at: at.to_string(), position: position.0 };
    // It appears whole or not at all.
    let draft = data.join("last-backup.new");
    fs::write(&draft, serde_json::to_vec(&backup)?)?;
    fs::rename(&draft, data.join(LAST_BACKUP))
}

/// The newest good backup, if whoever makes them says so.
fn last_backup(data: &Path) -> Option<LastBackup> {
    let text = fs::read(data.join(LAST_BACKUP)).ok()?;
    let Backup { finished_at, position } = serde_json::from_slice(&text).ok()?;
    Some(LastBackup { at: finished_at.parse().ok()?, position: Position(position) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_an_odd_name_does_not_move_the_figures() {
        let fields: Vec<String> = (3..=52).map(|field: u64| field.to_string()).collect();
        let line = format!("42 (hak) ken) {}", fields.join(" "));
        let (seconds, bytes) = used(&line);
        // Fields 14 and 15 are the ticks, field 24 the pages.
        assert_eq!(seconds, Some(29.0 / ticks_per_second() as f64));
        assert_eq!(bytes, Some(24 * page_bytes()));
        assert_eq!(used(""), (None, None));
    }

    #[test]
    fn a_backup_is_known_from_what_its_maker_leaves() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(last_backup(data.path()), None);
        let at: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        note_backup(data.path(), at, Position(7)).unwrap();
        assert_eq!(last_backup(data.path()), Some(LastBackup { at, position: Position(7) }));
        let file = data.path().join(LAST_BACKUP);
        fs::write(&file, r#"{"finished_at": "2026-11-22T03:00:00Z", "position": 1204}"#).unwrap();
        let found = last_backup(data.path()).unwrap();
        assert_eq!(
            (found.at.to_string().as_str(), found.position.0),
            ("2026-11-22T03:00:00Z", 1204)
        );
        fs::write(&file, "{").unwrap();
        assert_eq!(last_backup(data.path()), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_files_and_a_disk() {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        assert!(used(&stat).1.unwrap() > 1 << 20);
        let (free, size) = disk(&std::env::temp_dir()).unwrap();
        assert!(free <= size && size > 0);
        assert!(open_files::most().is_none_or(|most| most > 3));
    }
}

//! Which event has which position: `positions.db` in the data directory, derived from $all.
//!
//! The position of an event is its number among the engine's own events in $all: 1, 2, 3, …
//! Since that order never changes, every process gives the same numbers, whoever counted. Kept
//! are, for each stretch of a stream whose events follow each other in $all, where it begins and
//! how long it is; for every 64th event its place in $all; and the recorded time of the few
//! events whose writer's clock was behind. What is newest is in memory until it is written.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::RangeInclusive,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hakken_commands::store::StoreError;
use hakken_domain::{
    envelope::{Position, StreamId, Version},
    time::Timestamp,
};
use sqlx::{Connection as _, SqliteConnection, SqlitePool, sqlite::SqliteSynchronous};
use uuid::Uuid;

use super::pages::Place;
use crate::{
    embedded::{
        db::{self, DerivedError, Schema, signed, unsigned},
        fault::read_failed,
    },
    fault::{corrupt, unavailable},
};

/// Every so many events, the place of one is kept.
const MARK_EVERY: u64 = 64;

/// Places where readers stopped, so that who goes on there need not read up to a mark again.
const HINTS: usize = 64;

/// The file; its application id reads "Hakp".
const SCHEMA: Schema = Schema {
    application_id: 0x4861_6b70,
    format: 1,
    tables: "CREATE TABLE store (
                 id BLOB PRIMARY KEY, position INTEGER NOT NULL, recorded INTEGER NOT NULL,
                 commit_at INTEGER NOT NULL, prepare_at INTEGER NOT NULL, event BLOB NOT NULL
             ) STRICT;
             CREATE TABLE marks (
                 position INTEGER PRIMARY KEY, commit_at INTEGER NOT NULL,
                 prepare_at INTEGER NOT NULL, recorded INTEGER NOT NULL
             ) STRICT;
             CREATE TABLE runs (
                 stream TEXT NOT NULL, version INTEGER NOT NULL, position INTEGER NOT NULL,
                 length INTEGER NOT NULL, PRIMARY KEY (stream, version)
             ) STRICT, WITHOUT ROWID;
             CREATE TABLE late (position INTEGER PRIMARY KEY, recorded INTEGER NOT NULL) STRICT",
};

/// How far $all has been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached {
    /// The newest event of ours.
    pub(super) position: Position,
    /// Its recorded time.
    pub(super) recorded_at: Timestamp,
    /// Its place, or that of the store's beginning.
    pub(super) own: Place,
    /// The id of the event there.
    pub(super) event: Uuid,
    /// The last event that was looked at, whosever it is. Not kept in the file: an event of
    /// others may be gone at the next start, one of ours never is.
    pub(super) place: Place,
}

impl Reached {
    /// Nothing yet of a store that begins with this event.
    fn start(origin: Place, event: Uuid) -> Self {
        let recorded_at = Timestamp::from_micros(i64::MIN);
        Self { position: Position(0), recorded_at, own: origin, event, place: origin }
    }
}

/// Where an event of ours stands in $all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) position: Position,
    pub(super) place: Place,
    pub(super) recorded_at: Timestamp,
}

/// Events of one stream that follow each other in $all.
#[derive(Debug, Clone, Copy)]
struct Run {
    position: u64,
    length: u64,
}

/// What is not in the file yet.
#[derive(Debug, Clone, Default)]
struct Fresh {
    marks: BTreeMap<u64, Mark>,
    runs: HashMap<StreamId, BTreeMap<Version, Run>>,
    late: BTreeMap<u64, Timestamp>,
}

struct Known {
    reached: Reached,
    fresh: Fresh,
    /// Some event was recorded by a clock that was behind.
    has_late: bool,
    hints: VecDeque<Mark>,
    /// The file is behind.
    is_dirty: bool,
}

/// The positions of a store.
pub(super) struct Index {
    known: Mutex<Known>,
    readers: SqlitePool,
    writer: tokio::sync::Mutex<SqliteConnection>,
    store: Uuid,
}

impl Index {
    /// Opens the file. One that is damaged or of another store is made anew, and begins at
    /// `origin`, the store's first event.
    pub(super) async fn open(
        path: &Path,
        store: Uuid,
        origin: Place,
    ) -> Result<Self, DerivedError> {
        let mut writer = db::open_derived(path, &SCHEMA, SqliteSynchronous::Normal).await?;
        let whose: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT id FROM store").fetch_all(&mut writer).await?;
        if whose.iter().any(|id| id != store.as_bytes()) {
            tracing::warn!(file = %path.display(), "of another store; replaced by a fresh file");
            writer.close().await?;
            db::remove(path)?;
            writer = db::open_derived(path, &SCHEMA, SqliteSynchronous::Normal).await?;
        }
        let known: Option<(i64, i64, i64, i64, Vec<u8>)> =
            sqlx::query_as("SELECT position, recorded, commit_at, prepare_at, event FROM store")
                .fetch_optional(&mut writer)
                .await?;
        let start = Reached::start(origin, store);
        let reached = known.map_or(start, |(position, recorded, commit, prepare, event)| {
            let own = Place { commit: unsigned(commit), prepare: unsigned(prepare) };
            Reached {
                position: Position(unsigned(position)),
                recorded_at: Timestamp::from_micros(recorded),
                own,
                event: Uuid::from_slice(&event).unwrap_or_default(),
                place: own,
            }
        });
        let late: i64 =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM late)").fetch_one(&mut writer).await?;
        let known = Known {
            reached,
            fresh: Fresh::default(),
            has_late: late != 0,
            hints: VecDeque::new(),
            is_dirty: false,
        };
        let (known, readers) = (Mutex::new(known), db::readers(path));
        Ok(Self { known, readers, writer: tokio::sync::Mutex::new(writer), store })
    }

    /// Forgets all of it: the store has another history than the file.
    pub(super) async fn clear(&self, origin: Place) -> Result<(), sqlx::Error> {
        let mut writer = self.writer.lock().await;
        let tables = "DELETE FROM store; DELETE FROM marks; DELETE FROM runs; DELETE FROM late";
        sqlx::raw_sql(tables).execute(&mut *writer).await?;
        let mut known = self.known();
        known.reached = Reached::start(origin, self.store);
        (known.fresh, known.has_late) = (Fresh::default(), false);
        known.hints.clear();
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reached(&self) -> Reached {
        self.known().reached
    }

    /// Notes an event that is none of ours, so that it is not read again.
    pub(super) fn pass(&self, place: Place) {
        self.known().reached.place = place;
    }

    /// Gives the next position to an event of ours. Its recorded time is what its writer said, or
    /// that of the event before it if that is later.
    pub(super) fn add(
        &self,
        stream: StreamId,
        version: Version,
        at: (Place, Uuid),
        said: Timestamp,
    ) -> (Position, Timestamp) {
        let mut known = self.known();
        let known = &mut *known;
        let position = known.reached.position.0 + 1;
        let recorded_at = said.max(known.reached.recorded_at);
        let (place, event) = at;
        let position_reached = Position(position);
        known.reached =
            Reached { position: position_reached, recorded_at, own: place, event, place };
        known.is_dirty = true;
        if recorded_at != said {
            known.has_late = true;
            known.fresh.late.insert(position, recorded_at);
        }
        if mark_before(position) == position {
            let mark = Mark { position: Position(position), place, recorded_at };
            known.fresh.marks.insert(position, mark);
        }
        let runs = known.fresh.runs.entry(stream).or_default();
        match runs.last_entry() {
            Some(mut last)
                if last.get().position + last.get().length == position
                    && last.key() + last.get().length == version =>
            {
                last.get_mut().length += 1;
            }
            _ => drop(runs.insert(version, Run { position, length: 1 })),
        }
        (Position(position), recorded_at)
    }

    /// Notes where a reader stopped.
    pub(super) fn hint(&self, mark: Mark) {
        let mut known = self.known();
        if known.hints.len() == HINTS {
            known.hints.pop_front();
        }
        known.hints.push_back(mark);
    }

    /// A known place at or before a position that has an event, as near as there is one.
    pub(super) async fn mark(&self, position: Position) -> Result<Mark, StoreError> {
        let at = mark_before(position.0);
        {
            let known = self.known();
            let hint =
                known.hints.iter().filter(|hint| (at..=position.0).contains(&hint.position.0));
            if let Some(mark) = hint.max_by_key(|hint| hint.position).or(known.fresh.marks.get(&at))
            {
                return Ok(*mark);
            }
        }
        let found: Option<(i64, i64, i64)> =
            sqlx::query_as("SELECT commit_at, prepare_at, recorded FROM marks WHERE position = ?1")
                .bind(signed(at))
                .fetch_optional(&self.readers)
                .await
                .map_err(read_failed)?;
        let (commit, prepare, recorded) = found.ok_or_else(|| incomplete(at))?;
        Ok(Mark {
            position: Position(at),
            place: Place { commit: unsigned(commit), prepare: unsigned(prepare) },
            recorded_at: Timestamp::from_micros(recorded),
        })
    }

    /// The positions of these versions of a stream, in order, each with the time that counts where
    /// it is another than the writer's. None if they are not all known yet.
    pub(super) async fn positions(
        &self,
        stream: StreamId,
        versions: RangeInclusive<Version>,
    ) -> Result<Option<Vec<(Position, Option<Timestamp>)>>, StoreError> {
        // Memory first: what is written meanwhile is then found in the file too.
        let (mut runs, has_late) = {
            let known = self.known();
            (known.fresh.runs.get(&stream).cloned().unwrap_or_default(), known.has_late)
        };
        if runs.keys().next().is_none_or(|first| first > versions.start()) {
            let found: Vec<(i64, i64, i64)> = sqlx::query_as(
                "SELECT version, position, length FROM runs
                 WHERE stream = ?1 AND version <= ?3 AND version >= coalesce(
                     (SELECT max(version) FROM runs WHERE stream = ?1 AND version <= ?2), ?2)
                 ORDER BY version",
            )
            .bind(stream.to_string())
            .bind(signed(*versions.start()))
            .bind(signed(*versions.end()))
            .fetch_all(&self.readers)
            .await
            .map_err(read_failed)?;
            for (version, position, length) in found {
                let run = Run { position: unsigned(position), length: unsigned(length) };
                runs.entry(unsigned(version)).or_insert(run);
            }
        }
        let position_of = |version: Version| {
            let (first, run) = runs.range(..=version).next_back()?;
            (version - first < run.length).then(|| Position(run.position + (version - first)))
        };
        let Some(positions) = versions.map(position_of).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let late = if has_late { self.late(&positions).await? } else { BTreeMap::new() };
        let with_time = |position: Position| (position, late.get(&position.0).copied());
        Ok(Some(positions.into_iter().map(with_time).collect()))
    }

    async fn late(&self, positions: &[Position]) -> Result<BTreeMap<u64, Timestamp>, StoreError> {
        let (Some(first), Some(last)) = (positions.iter().min(), positions.iter().max()) else {
            return Ok(BTreeMap::new());
        };
        let mut late: BTreeMap<u64, Timestamp> = self
            .known()
            .fresh
            .late
            .range(first.0..=last.0)
            .map(|(at, time)| (*at, *time))
            .collect();
        let found: Vec<(i64, i64)> =
            sqlx::query_as("SELECT position, recorded FROM late WHERE position BETWEEN ?1 AND ?2")
                .bind(signed(first.0))
                .bind(signed(last.0))
                .fetch_all(&self.readers)
                .await
                .map_err(read_failed)?;
        let read = |(at, time)| (unsigned(at), Timestamp::from_micros(time));
        late.extend(found.into_iter().map(read));
        Ok(late)
    }

    /// How many runs and marks are not in the file yet.
    pub(super) fn unwritten(&self) -> usize {
        let known = self.known();
        let runs: usize = known.fresh.runs.values().map(BTreeMap::len).sum();
        runs + known.fresh.marks.len() + usize::from(known.is_dirty)
    }

    /// Writes what is only in memory. What cannot be written stays there, and is derived again
    /// from $all if this process ends first.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        let (fresh, reached) = {
            let mut known = self.known();
            if !known.is_dirty {
                return Ok(());
            }
            known.is_dirty = false;
            (known.fresh.clone(), known.reached)
        };
        let written = write(&mut writer, self.store, &fresh, reached).await;
        let mut known = self.known();
        if let Err(error) = written {
            known.is_dirty = true;
            return Err(unavailable(error));
        }
        known.fresh.marks.retain(|at, _| !fresh.marks.contains_key(at));
        known.fresh.late.retain(|at, _| !fresh.late.contains_key(at));
        known.fresh.runs.retain(|stream, runs| {
            if let Some(written) = fresh.runs.get(stream) {
                let is_newer = |version: &Version, run: &Run| {
                    written.get(version).is_none_or(|written| written.length != run.length)
                };
                runs.retain(|version, run| is_newer(version, run));
            }
            !runs.is_empty()
        });
        Ok(())
    }

    pub(super) async fn close(&self) {
        if let Err(error) = self.flush().await {
            tracing::warn!(%error, "positions.db could not be brought up to date");
        }
        self.readers.close().await;
    }
}

/// The position of the last mark that is not behind this one.
fn mark_before(position: u64) -> u64 {
    position.saturating_sub(1) / MARK_EVERY * MARK_EVERY + 1
}

fn incomplete(position: u64) -> StoreError {
    corrupt(format!(
        "positions.db lacks position {position}: delete the file, it is made again from the events"
    ))
}

/// Where two processes write the same file, both write the same: whoever is further counts.
async fn write(
    writer: &mut SqliteConnection,
    store: Uuid,
    fresh: &Fresh,
    reached: Reached,
) -> Result<(), sqlx::Error> {
    let mut transaction = writer.begin().await?;
    for mark in fresh.marks.values() {
        sqlx::query("INSERT OR IGNORE INTO marks VALUES (?1, ?2, ?3, ?4)")
            .bind(signed(mark.position.0))
            .bind(signed(mark.place.commit))
            .bind(signed(mark.place.prepare))
            .bind(mark.recorded_at.as_micros())
            .execute(&mut *transaction)
            .await?;
    }
    for (stream, runs) in &fresh.runs {
        for (version, run) in runs {
            sqlx::query(
                "INSERT INTO runs VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE
                 SET length = max(length, excluded.length)",
            )
            .bind(stream.to_string())
            .bind(signed(*version))
            .bind(signed(run.position))
            .bind(signed(run.length))
            .execute(&mut *transaction)
            .await?;
        }
    }
    for (position, recorded_at) in &fresh.late {
        sqlx::query("INSERT OR IGNORE INTO late VALUES (?1, ?2)")
            .bind(signed(*position))
            .bind(recorded_at.as_micros())
            .execute(&mut *transaction)
            .await?;
    }
    sqlx::query(
        "INSERT INTO store VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
             position = excluded.position, recorded = excluded.recorded,
             commit_at = excluded.commit_at, prepare_at = excluded.prepare_at,
             event = excluded.event
         WHERE excluded.commit_at > commit_at",
    )
    .bind(store.as_bytes().as_slice())
    .bind(signed(reached.position.0))
    .bind(reached.recorded_at.as_micros())
    .bind(signed(reached.own.commit))
    .bind(signed(reached.own.prepare))
    .bind(reached.event.as_bytes().as_slice())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

//! Rows in memory, with the whole meaning of the port: for tests and for the simulation.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};
use hakken_domain::{envelope::Position, time::Timestamp};

use super::{
    Build, BuildId, Changes, Checkpoint, Filter, Key, Purpose, Query, Row, RowError, RowStore,
    Table, Tables,
};

#[derive(Debug, Default)]
struct Stored {
    next: i64,
    builds: BTreeMap<BuildId, StoredBuild>,
}

#[derive(Debug)]
struct StoredBuild {
    about: Build,
    tables: BTreeMap<&'static str, BTreeMap<Key, Row>>,
}

/// A row store in memory.
#[derive(Debug, Default)]
pub struct MemoryRows(Mutex<Stored>);

impl MemoryRows {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_build(build: BuildId) -> RowError {
    RowError::Unavailable(format!("there is no build {}", build.0).into())
}

impl Stored {
    fn table(
        &self,
        build: BuildId,
        table: &'static Table,
    ) -> Result<&BTreeMap<Key, Row>, RowError> {
        let found = self.builds.get(&build).and_then(|b| b.tables.get(table.name));
        found.ok_or_else(|| no_build(build))
    }

    fn commit(
        &mut self,
        build: BuildId,
        changes: &Changes,
        expected: Position,
        checkpoint: Checkpoint,
    ) -> Result<(), RowError> {
        let stored = self.builds.get_mut(&build).ok_or(RowError::Moved {
            build,
            expected,
            found: Position(0),
        })?;
        let found = stored.about.checkpoint.position;
        if found != expected {
            return Err(RowError::Moved { build, expected, found });
        }
        for change in changes {
            let rows = stored.tables.get_mut(change.table.name).ok_or_else(|| no_build(build))?;
            for row in &change.upserts {
                debug_assert_eq!(row.len(), change.table.columns.len(), "{}", change.table.name);
                rows.insert(row[..change.table.key].to_vec(), row.clone());
            }
            for key in &change.deletes {
                rows.remove(key);
            }
        }
        stored.about.checkpoint = checkpoint;
        Ok(())
    }

    fn serve(&mut self, build: BuildId, now: Timestamp) -> Result<(), RowError> {
        let projection =
            self.builds.get(&build).ok_or_else(|| no_build(build))?.about.projection.clone();
        for (id, stored) in &mut self.builds {
            if *id == build {
                stored.about.purpose = Purpose::Served;
                stored.about.since = now;
            } else if stored.about.projection == projection
                && stored.about.purpose == Purpose::Served
            {
                stored.about.purpose = Purpose::Retired;
                stored.about.since = now;
            }
        }
        Ok(())
    }
}

fn meets(table: &Table, filters: &[Filter], row: &Row) -> bool {
    filters.iter().all(|filter| filter.holds(&row[table.column(filter.column())]))
}

fn select(rows: &BTreeMap<Key, Row>, query: &Query) -> Vec<Row> {
    let order: Vec<usize> = query.order.iter().map(|name| query.table.column(name)).collect();
    let place = |row: &Row| order.iter().map(|at| row[*at].clone()).collect::<Key>();
    let by_key = order.iter().copied().eq(0..query.table.key);
    if by_key && !query.descending {
        // A scan in the order of the key must not sort the whole table for every page.
        let from = match &query.after {
            Some(after) => std::ops::Bound::Excluded(after.clone()),
            None => std::ops::Bound::Unbounded,
        };
        return rows
            .range((from, std::ops::Bound::Unbounded))
            .map(|(_, row)| row)
            .filter(|row| meets(query.table, &query.filters, row))
            .take(query.limit)
            .cloned()
            .collect();
    }
    let mut found: Vec<(Key, &Row)> = rows
        .values()
        .filter(|row| meets(query.table, &query.filters, row))
        .map(|row| (place(row), row))
        .filter(|(key, _)| match &query.after {
            Some(after) if query.descending => key < after,
            Some(after) => key > after,
            None => true,
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    if query.descending {
        found.reverse();
    }
    found.into_iter().take(query.limit).map(|(_, row)| row.clone()).collect()
}

impl RowStore for MemoryRows {
    fn builds(&self) -> BoxFuture<'_, Result<Vec<Build>, RowError>> {
        async { Ok(self.lock().builds.values().map(|b| b.about.clone()).collect()) }.boxed()
    }

    fn create(
        &self,
        projection: &'static str,
        version: u32,
        purpose: Purpose,
        tables: Tables,
    ) -> BoxFuture<'_, Result<BuildId, RowError>> {
        async move {
            let mut stored = self.lock();
            stored.next += 1;
            let id = BuildId(stored.next);
            let about = Build {
                id,
                projection: projection.to_owned(),
                version,
                purpose,
                checkpoint: Checkpoint::START,
                since: Timestamp::from_micros(0),
            };
            let tables = tables.iter().map(|table| (table.name, BTreeMap::new())).collect();
            stored.builds.insert(id, StoredBuild { about, tables });
            Ok(id)
        }
        .boxed()
    }

    fn index(&self, _build: BuildId, _tables: Tables) -> BoxFuture<'_, Result<(), RowError>> {
        async { Ok(()) }.boxed()
    }

    fn load(
        &self,
        build: BuildId,
        table: &'static Table,
        keys: Vec<Key>,
    ) -> BoxFuture<'_, Result<Vec<Row>, RowError>> {
        async move {
            let stored = self.lock();
            let rows = stored.table(build, table)?;
            Ok(keys.iter().filter_map(|key| rows.get(key).cloned()).collect())
        }
        .boxed()
    }

    fn commit<'a>(
        &'a self,
        build: BuildId,
        changes: &'a Changes,
        expected: Position,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'a, Result<(), RowError>> {
        async move { self.lock().commit(build, changes, expected, checkpoint) }.boxed()
    }

    fn query(&self, build: BuildId, query: Query) -> BoxFuture<'_, Result<Vec<Row>, RowError>> {
        async move { Ok(select(self.lock().table(build, query.table)?, &query)) }.boxed()
    }

    fn count(
        &self,
        build: BuildId,
        table: &'static Table,
        filters: Vec<Filter>,
    ) -> BoxFuture<'_, Result<u64, RowError>> {
        async move {
            let stored = self.lock();
            let rows = stored.table(build, table)?;
            Ok(rows.values().filter(|row| meets(table, &filters, row)).count() as u64)
        }
        .boxed()
    }

    fn serve(&self, build: BuildId, now: Timestamp) -> BoxFuture<'_, Result<(), RowError>> {
        async move { self.lock().serve(build, now) }.boxed()
    }

    fn mark(
        &self,
        build: BuildId,
        purpose: Purpose,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<(), RowError>> {
        async move {
            if let Some(stored) = self.lock().builds.get_mut(&build) {
                (stored.about.purpose, stored.about.since) = (purpose, now);
            }
            Ok(())
        }
        .boxed()
    }

    fn remove(&self, build: BuildId) -> BoxFuture<'_, Result<(), RowError>> {
        async move {
            self.lock().builds.remove(&build);
            Ok(())
        }
        .boxed()
    }
}

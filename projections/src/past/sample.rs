//! A few rows of a read model, compared with what their own events say: quick however long the
//! history is, and beside a server that goes on writing.

use std::{collections::BTreeMap, sync::Arc};

use hakken_domain::envelope::{Position, StreamId, StreamKind};
use ulid::Ulid;

use super::{fold_then, skipped, source::position};
use crate::{
    feed::EventFeed,
    models::seat_availability::AsOf,
    page::QueryError,
    projection::Projection,
    rows::{Build, Changes, ColumnKind, Key, Query, Row, RowStore, Table, Value},
};

/// Shows whose whole inventories are folded for a sample; of other streams there may be more,
/// since they are short.
const SHOWS: usize = 3;

/// How often a stream is tried that a server writes to meanwhile.
const TRIES: usize = 3;

/// The index of a table in the order in which its rows came.
const POSITION: &[&str] = &["position"];

/// What a sample has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sampled {
    /// How many rows were compared.
    pub rows: u64,
    /// The first that is not what its events say, in words.
    pub difference: Option<String>,
}

/// Compares up to about `most` rows of each table of a build that are made of one stream alone. A
/// short table is compared whole; of a long one, `seed` says which rows.
pub async fn sample(
    feed: &dyn EventFeed,
    rows: Arc<dyn RowStore>,
    build: &Build,
    projection: &Projection,
    (most, seed): (usize, u64),
) -> Result<Sampled, QueryError> {
    let mut sampler = Sampler { rows, build, seed };
    let skipped = skipped(feed, projection).await?;
    let mut sampled = Sampled::default();
    let chosen = sampler.choose(projection, most).await?;
    let shows = chosen.keys().filter(|stream| stream.kind == StreamKind::Inventory).count();
    // Any of them, and not always the first.
    let first = sampler.below(shows);
    let mut show = 0;
    for (stream, keys) in chosen {
        if stream.kind == StreamKind::Inventory {
            show += 1;
            if (shows + show - 1 - first) % shows >= SHOWS {
                continue;
            }
        }
        let tables: Vec<_> = projection.own.iter().filter(|own| own.kind == stream.kind).collect();
        let fold = async |at| {
            let as_of = AsOf::Position(at);
            fold_then(feed, projection, &skipped, stream, as_of, |_| Ok(())).await
        };
        for _ in 0..TRIES {
            let before = sampler.checkpoint().await?;
            let told = fold(before).await?;
            let mut compared = Vec::with_capacity(tables.len());
            for own in &tables {
                let told = rows_of(&told, own.table);
                let chosen = keys.get(own.table.name).into_iter().flatten();
                let keys: Vec<Key> = told.keys().chain(chosen).cloned().collect();
                compared.push((own.table, sampler.load(own.table, keys).await?, told));
            }
            let after = sampler.checkpoint().await?;
            // What a server commits meanwhile is not what was read before.
            if before != after && told != fold(after).await? {
                continue;
            }
            for (table, there, told) in &compared {
                sampled.rows += there.len().max(told.len()) as u64;
                if let Some(words) = difference(table, there, told) {
                    sampled.difference = Some(words);
                    return Ok(sampled);
                }
            }
            break;
        }
    }
    Ok(sampled)
}

/// Keys by the names of their tables.
type Keys = BTreeMap<&'static str, Vec<Key>>;

/// Rows by their keys.
type ByKey = BTreeMap<Key, Row>;

fn rows_of(changes: &Changes, table: &Table) -> ByKey {
    let rows = changes.iter().filter(|change| change.table == table);
    let rows = rows.flat_map(|change| &change.upserts);
    rows.map(|row| (row[..table.key].to_vec(), row.clone())).collect()
}

/// The first key under which two sets of rows are not the same.
fn difference(table: &Table, there: &ByKey, told: &ByKey) -> Option<String> {
    let words = |key: &Key| {
        let key: Vec<String> = key.iter().map(Value::to_string).collect();
        format!("{} {}", table.noun, key.join(" "))
    };
    for (key, row) in told {
        let Some(found) = there.get(key) else {
            return Some(format!("{} is missing", words(key)));
        };
        let at = found.iter().zip(row).position(|(found, told)| found != told);
        if let Some(at) = at {
            let column = table.columns[at].name;
            return Some(format!(
                "{}: {column} is {}, its events say {}",
                words(key),
                found[at],
                row[at]
            ));
        }
    }
    let unknown = there.keys().find(|key| !told.contains_key(*key));
    unknown.map(|key| format!("{} is there, and no event made it", words(key)))
}

struct Sampler<'a> {
    rows: Arc<dyn RowStore>,
    build: &'a Build,
    seed: u64,
}

impl Sampler<'_> {
    /// How far the build is now.
    async fn checkpoint(&self) -> Result<Position, QueryError> {
        let builds = self.rows.builds().await?;
        let now = builds.iter().find(|build| build.id == self.build.id);
        Ok(now.map_or(self.build.checkpoint.position, |build| build.checkpoint.position))
    }

    /// A number that looks like any other (splitmix64).
    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one; 0 if there is none.
    fn below(&mut self, end: usize) -> usize {
        self.next().checked_rem(end as u64).unwrap_or(0) as usize
    }

    async fn load(&self, table: &'static Table, keys: Vec<Key>) -> Result<ByKey, QueryError> {
        let rows = self.rows.load(self.build.id, table, keys).await?;
        Ok(rows.into_iter().map(|row| (row[..table.key].to_vec(), row)).collect())
    }

    /// Streams of some rows, each with the keys of those rows by their tables.
    async fn choose(
        &mut self,
        projection: &Projection,
        most: usize,
    ) -> Result<BTreeMap<StreamId, Keys>, QueryError> {
        let mut chosen: BTreeMap<StreamId, Keys> = BTreeMap::new();
        for own in projection.own {
            let table = own.table;
            for row in self.some(table, most).await? {
                if let Some(stream) = own.of(&row) {
                    let keys = chosen.entry(stream).or_default().entry(table.name).or_default();
                    keys.push(row[..table.key].to_vec());
                }
            }
        }
        Ok(chosen)
    }

    /// Some rows of a table.
    async fn some(&mut self, table: &'static Table, most: usize) -> Result<Vec<Row>, QueryError> {
        let id = self.build.id;
        let mut rows = self.rows.query(id, Query::all(table, None, most + 1)).await?;
        if rows.len() <= most {
            return Ok(rows);
        }
        if table.key == 1 && table.columns[0].kind == ColumnKind::Text {
            // Most ids come of a hash, so any place among them is as good as another.
            let place = u128::from(self.next()) << 64 | u128::from(self.next());
            let after = Some(vec![Value::text(Ulid(place))]);
            let behind = self.rows.query(id, Query::all(table, after, most)).await?;
            rows.splice(0..0, behind);
            rows.truncate(most);
            return Ok(rows);
        }
        // Others have no index that leads into their midst.
        let in_order = table.key_names() == POSITION || table.indexes.contains(&POSITION);
        if !in_order {
            rows.truncate(most);
            return Ok(rows);
        }
        rows.clear();
        let last = usize::try_from(self.build.checkpoint.position.0).unwrap_or(usize::MAX);
        for _ in 0..most {
            let from = Position(self.below(last) as u64);
            let query = Query {
                order: POSITION.to_vec(),
                after: Some(vec![Value::Int(position(from))]),
                ..Query::all(table, None, 1)
            };
            rows.extend(self.rows.query(id, query).await?);
        }
        Ok(rows)
    }
}

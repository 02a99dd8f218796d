//! The runs as they stand in `index.db`: reading and writing them, and looking streams up.

use std::{collections::HashMap, sync::Arc};

use hakken_commands::store::StoreError;
use hakken_domain::envelope::{StreamId, Version};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::{
    super::{
        db::{Schema, signed, unsigned},
        fault::{is_damaged, read_failed},
    },
    run::{
        Block, Entry, Filter, IndexDamage, Key, Run, block_id, decode_fences, encode_fences, key,
    },
};
use crate::fault::corrupt;

/// The index; its application id reads "Haki".
pub(in crate::embedded) const SCHEMA: Schema = Schema {
    application_id: 0x4861_6b69,
    format: 1,
    tables: "CREATE TABLE runs (
                 run INTEGER PRIMARY KEY, level INTEGER NOT NULL,
                 first INTEGER NOT NULL, last INTEGER NOT NULL, log_crc INTEGER NOT NULL,
                 streams INTEGER NOT NULL, fences BLOB NOT NULL, filter BLOB NOT NULL,
                 crc INTEGER NOT NULL
             ) STRICT;
             CREATE TABLE blocks (
                 id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, bytes BLOB NOT NULL
             ) STRICT",
};

/// Most blocks read by one statement.
const BLOCKS_AT_ONCE: usize = 256;

impl From<IndexDamage> for StoreError {
    fn from(damage: IndexDamage) -> Self {
        corrupt(damage)
    }
}

fn number(row: &SqliteRow, column: usize) -> Result<i64, StoreError> {
    row.try_get(column).map_err(read_failed)
}

fn bytes(row: &SqliteRow, column: usize) -> Result<Vec<u8>, StoreError> {
    row.try_get(column).map_err(read_failed)
}

/// A read of the index that failed: the file is as replaceable as what it holds.
fn index_read_failed(error: sqlx::Error) -> StoreError {
    if is_damaged(&error) { IndexDamage(error.to_string()).into() } else { read_failed(error) }
}

fn run_checksum(run: &Run, fences: &[u8], filter: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    let numbers = [
        u64::from(run.run),
        u64::from(run.level),
        run.first,
        run.last,
        u64::from(run.log_crc),
        run.streams,
    ];
    for number in numbers {
        crc.update(&number.to_le_bytes());
    }
    crc.update(fences);
    crc.update(filter);
    crc.finalize()
}

/// The runs, oldest first.
pub(in crate::embedded) async fn load(pool: &SqlitePool) -> Result<Vec<Arc<Run>>, StoreError> {
    let rows = sqlx::query(
        "SELECT run, level, first, last, log_crc, streams, fences, filter, crc
         FROM runs ORDER BY first",
    )
    .fetch_all(pool)
    .await
    .map_err(index_read_failed)?;
    let mut runs: Vec<Arc<Run>> = Vec::with_capacity(rows.len());
    for row in &rows {
        let run = run_of(row)?;
        let covered = runs.last().map_or(0, |run| run.last);
        if run.first != covered + 1 {
            let damage = format!("run {} does not follow position {covered}", run.run);
            return Err(IndexDamage(damage).into());
        }
        runs.push(Arc::new(run));
    }
    Ok(runs)
}

fn run_of(row: &SqliteRow) -> Result<Run, StoreError> {
    let damaged = || IndexDamage("a run".into());
    let small =
        |column| Ok::<_, StoreError>(u32::try_from(number(row, column)?).map_err(|_| damaged())?);
    let (fences, filter) = (bytes(row, 6)?, bytes(row, 7)?);
    let run = Run {
        run: small(0)?,
        level: small(1)?,
        first: unsigned(number(row, 2)?),
        last: unsigned(number(row, 3)?),
        log_crc: small(4)?,
        streams: unsigned(number(row, 5)?),
        fences: decode_fences(&fences).ok_or_else(damaged)?,
        filter: Filter::from_bytes(&filter).ok_or_else(damaged)?,
    };
    if run_checksum(&run, &fences, &filter) != small(8)? {
        return Err(damaged().into());
    }
    Ok(run)
}

/// Writes a run's line; its blocks are written before or in the same transaction.
pub(super) async fn insert_run(conn: &mut SqliteConnection, run: &Run) -> Result<(), sqlx::Error> {
    let (fences, filter) = (encode_fences(&run.fences), run.filter.to_bytes());
    let crc = run_checksum(run, &fences, &filter);
    sqlx::query("INSERT INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
        .bind(i64::from(run.run))
        .bind(i64::from(run.level))
        .bind(signed(run.first))
        .bind(signed(run.last))
        .bind(i64::from(run.log_crc))
        .bind(signed(run.streams))
        .bind(fences)
        .bind(filter)
        .bind(i64::from(crc))
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes runs off the list. Their blocks stay until nobody reads them.
pub(super) async fn unlist(
    conn: &mut SqliteConnection,
    runs: &[Arc<Run>],
) -> Result<(), sqlx::Error> {
    for run in runs {
        sqlx::query("DELETE FROM runs WHERE run = ?1")
            .bind(i64::from(run.run))
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// Writes blocks with one statement.
pub(super) async fn insert_blocks(
    conn: &mut SqliteConnection,
    blocks: &[Block],
) -> Result<(), sqlx::Error> {
    let mut bytes = Vec::with_capacity(blocks.iter().map(|block| block.bytes.len()).sum());
    let mut places = String::from("[");
    for block in blocks {
        let separator = if bytes.is_empty() { "" } else { "," };
        let (start, length) = (bytes.len() + 1, block.bytes.len());
        places += &format!("{separator}[{},{},{start},{length}]", block.id, block.checksum());
        bytes.extend_from_slice(&block.bytes);
    }
    places.push(']');
    sqlx::query(
        "INSERT INTO blocks SELECT value->>0, value->>1, substr(?1, value->>2, value->>3)
         FROM json_each(?2)",
    )
    .bind(bytes)
    .bind(places)
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes the blocks of runs from `first` up to before `end`, a piece at a time.
pub(super) async fn delete_blocks(
    conn: &mut SqliteConnection,
    first: u32,
    end: u32,
) -> Result<(), sqlx::Error> {
    loop {
        let deleted = sqlx::query(
            "DELETE FROM blocks WHERE id IN (
                 SELECT id FROM blocks WHERE id >= ?1 AND id < ?2 LIMIT 2048
             )",
        )
        .bind(block_id(first, 0))
        .bind(block_id(end, 0))
        .execute(&mut *conn)
        .await?;
        if deleted.rows_affected() == 0 {
            return Ok(());
        }
    }
}

/// The blocks with these ids and their checksums. All of them exist.
pub(super) async fn read_blocks(
    pool: &SqlitePool,
    ids: &[i64],
) -> Result<HashMap<i64, (Block, i64)>, StoreError> {
    let mut blocks = HashMap::with_capacity(ids.len());
    for some in ids.chunks(BLOCKS_AT_ONCE) {
        let list: Vec<String> = some.iter().map(i64::to_string).collect();
        let rows = sqlx::query(
            "SELECT id, crc, bytes FROM blocks WHERE id IN (SELECT value FROM json_each(?1))",
        )
        .bind(format!("[{}]", list.join(",")))
        .fetch_all(pool)
        .await
        .map_err(index_read_failed)?;
        for row in &rows {
            let id = number(row, 0)?;
            blocks.insert(id, (Block { id, bytes: bytes(row, 2)? }, number(row, 1)?));
        }
    }
    match ids.iter().find(|id| !blocks.contains_key(id)) {
        None => Ok(blocks),
        Some(id) => Err(IndexDamage(format!("block {id:#x} is missing")).into()),
    }
}

/// The positions of a stream's versions after `after`, as far as the runs go; at most `limit`.
pub(in crate::embedded) async fn find(
    pool: &SqlitePool,
    runs: &[Arc<Run>],
    stream: StreamId,
    after: Version,
    limit: usize,
) -> Result<Vec<u64>, StoreError> {
    let key = key(stream);
    let mut next = after.saturating_add(1);
    let mut positions = Vec::new();
    let ids: Vec<i64> = runs
        .iter()
        .filter(|run| run.filter.may_contain(&key))
        .flat_map(|run| run.blocks_from(&key, next))
        .collect();
    // A block of a long stream has some thousand positions: rarely are many needed.
    for ids in ids.chunks(BLOCKS_AT_ONCE) {
        let blocks = read_blocks(pool, ids).await?;
        for id in ids {
            let (block, crc) = &blocks[id];
            for entry in block.decode_some(*crc, |found| *found == key)? {
                let end = entry.first_version.saturating_add(entry.positions.len() as u64);
                if end <= next {
                    continue;
                }
                let skip = next
                    .checked_sub(entry.first_version)
                    .ok_or_else(|| IndexDamage(format!("version {next} of {stream} is missing")))?;
                positions.extend(&entry.positions[skip as usize..]);
                next = end;
            }
        }
        if positions.len() >= limit {
            break;
        }
    }
    positions.truncate(limit);
    Ok(positions)
}

/// The newest version of each stream, as far as the runs go; 0 for a stream without events.
pub(super) async fn heads(
    pool: &SqlitePool,
    runs: &[Arc<Run>],
    streams: &[StreamId],
) -> Result<Vec<Version>, StoreError> {
    struct Open {
        at: usize,
        key: Key,
        /// Runs that were not asked yet; the newest is asked first.
        older: usize,
    }
    let mut heads = vec![0; streams.len()];
    let mut open: Vec<Open> = streams
        .iter()
        .enumerate()
        .map(|(at, stream)| Open { at, key: key(*stream), older: runs.len() })
        .collect();
    loop {
        let mut asked: Vec<(Open, i64)> = Vec::new();
        for mut stream in open {
            while let Some(older) = stream.older.checked_sub(1) {
                stream.older = older;
                let run = &runs[older];
                if run.filter.may_contain(&stream.key)
                    && let Some(block) = run.newest_block(&stream.key)
                {
                    asked.push((stream, block));
                    break;
                }
            }
        }
        if asked.is_empty() {
            return Ok(heads);
        }
        let mut ids: Vec<i64> = asked.iter().map(|(_, block)| *block).collect();
        ids.sort_unstable();
        ids.dedup();
        let blocks = read_blocks(pool, &ids).await?;
        open = Vec::new();
        for (stream, block) in asked {
            let (block, crc) = &blocks[&block];
            match block.decode_some(*crc, |found| *found == stream.key)?.last() {
                Some(Entry { first_version, positions, .. }) => {
                    heads[stream.at] = first_version + positions.len() as u64 - 1;
                }
                None => open.push(stream),
            }
        }
    }
}

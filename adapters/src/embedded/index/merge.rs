//! Merging runs: eight of a level become one of the next, so that a look-up asks few runs.

use std::{collections::VecDeque, sync::Arc};

use hakken_commands::store::StoreError;
use sqlx::{Connection, SqlitePool};

use super::{
    super::fault::write_failed,
    Keeper,
    run::{Block, Entry, Run, RunBuilder, block_id},
    runs,
};

/// So many runs of a level become one of the next.
const FAN_OUT: usize = 8;

/// Blocks read at once from each run.
const READ_BLOCKS: usize = 64;

/// Blocks written at once.
const WRITE_BLOCKS: usize = 256;

/// Reads a run from its first entry to its last.
struct Cursor {
    run: Arc<Run>,
    next_block: usize,
    entries: VecDeque<Entry>,
}

impl Cursor {
    /// Has an entry in front unless the run is at its end.
    async fn fill(&mut self, pool: &SqlitePool) -> Result<(), StoreError> {
        let end = (self.next_block + READ_BLOCKS).min(self.run.fences.len());
        if !self.entries.is_empty() || self.next_block == end {
            return Ok(());
        }
        let ids: Vec<i64> =
            (self.next_block..end).map(|block| block_id(self.run.run, block)).collect();
        let blocks = runs::read_blocks(pool, &ids).await?;
        for id in ids {
            let (block, crc) = &blocks[&id];
            self.entries.extend(block.decode(*crc)?);
        }
        self.next_block = end;
        Ok(())
    }
}

impl Keeper {
    /// Merges until no level has too many runs.
    pub(super) async fn merge_all(&mut self) -> Result<(), StoreError> {
        while let Some(inputs) = self.mergeable() {
            self.merge(inputs).await?;
        }
        self.remove_retired().await
    }

    /// The oldest runs of a level that has too many. Runs of a level follow each other.
    fn mergeable(&self) -> Option<Vec<Arc<Run>>> {
        let runs = Arc::clone(&self.index.state().runs);
        runs.chunk_by(|one, next| one.level == next.level)
            .find(|level| level.len() >= FAN_OUT)
            .map(|level| level[..FAN_OUT].to_vec())
    }

    async fn merge(&mut self, inputs: Vec<Arc<Run>>) -> Result<(), StoreError> {
        let number = self.take_run_number();
        let merged = self.merge_into(number, inputs).await;
        if merged.is_err() {
            // What a failed merge left is of no use; a start removes it if this cannot.
            runs::delete_blocks(&mut self.writer, number, number + 1)
                .await
                .map_err(write_failed)?;
        }
        merged
    }

    async fn merge_into(&mut self, number: u32, inputs: Vec<Arc<Run>>) -> Result<(), StoreError> {
        let (Some(oldest), Some(newest)) = (inputs.first(), inputs.last()) else { return Ok(()) };
        let (covered, log_crc) = ((oldest.first, newest.last), newest.log_crc);
        let level = oldest.level + 1;
        let readers = self.index.readers.clone();
        let streams = inputs.iter().map(|run| run.streams).sum();
        let mut builder = RunBuilder::new(number, streams);
        let mut cursors: Vec<Cursor> = inputs
            .iter()
            .map(|run| Cursor { run: run.clone(), next_block: 0, entries: VecDeque::new() })
            .collect();
        loop {
            for cursor in &mut cursors {
                cursor.fill(&readers).await?;
            }
            // Until one run has to be read on, the next entry is the smallest in front.
            while let Some(entry) = pop_smallest(&mut cursors) {
                builder.push(entry)?;
            }
            if builder.blocks.len() >= WRITE_BLOCKS {
                let blocks = std::mem::take(&mut builder.blocks);
                runs::insert_blocks(&mut self.writer, &blocks).await.map_err(write_failed)?;
                // What is appended meanwhile must not wait for a long merge.
                if self.index.wants_flush() {
                    self.flush().await?;
                }
            }
            if cursors.iter().all(|cursor| {
                cursor.entries.is_empty() && cursor.next_block == cursor.run.fences.len()
            }) {
                break;
            }
        }
        let (run, blocks) = builder.finish(level, covered, log_crc);
        self.replace(inputs, run, &blocks).await
    }

    /// Lists the merged run in place of its inputs.
    async fn replace(
        &mut self,
        inputs: Vec<Arc<Run>>,
        run: Run,
        blocks: &[Block],
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await.map_err(write_failed)?;
        runs::insert_blocks(&mut transaction, blocks).await.map_err(write_failed)?;
        runs::insert_run(&mut transaction, &run).await.map_err(write_failed)?;
        runs::unlist(&mut transaction, &inputs).await.map_err(write_failed)?;
        transaction.commit().await.map_err(write_failed)?;
        {
            let mut state = self.index.state();
            let runs = Arc::make_mut(&mut state.runs);
            let merged = |listed: &Arc<Run>| inputs.iter().any(|input| input.run == listed.run);
            let at = runs.iter().position(merged).unwrap_or(runs.len());
            runs.retain(|listed| !merged(listed));
            runs.insert(at, Arc::new(run));
        }
        self.retired.extend(inputs);
        Ok(())
    }

    /// Deletes the blocks of merged runs that nobody looks into any more.
    async fn remove_retired(&mut self) -> Result<(), StoreError> {
        let (unread, read): (Vec<_>, Vec<_>) = std::mem::take(&mut self.retired)
            .into_iter()
            .partition(|run| Arc::strong_count(run) == 1);
        self.retired = read;
        for run in unread {
            runs::delete_blocks(&mut self.writer, run.run, run.run + 1)
                .await
                .map_err(write_failed)?;
        }
        Ok(())
    }
}

/// The next entry in order of stream and version; nothing if a run has to be read on first.
fn pop_smallest(cursors: &mut [Cursor]) -> Option<Entry> {
    let mut smallest: Option<(usize, _)> = None;
    for (at, cursor) in cursors.iter().enumerate() {
        match cursor.entries.front() {
            Some(entry) => {
                let order = (entry.key, entry.first_version);
                if smallest.is_none_or(|(_, least)| order < least) {
                    smallest = Some((at, order));
                }
            }
            None if cursor.next_block < cursor.run.fences.len() => return None,
            None => {}
        }
    }
    cursors[smallest?.0].entries.pop_front()
}

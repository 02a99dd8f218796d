//! A history to measure with: shows of many sizes, holds, expiries, orders, payments, tickets,
//! scans and refunds, as the rules decide them, straight into a store in big batches. The same
//! seed gives the same events.
//!
//! A round stands for two seconds and is one batch. What follows from an event (payment,
//! checkout, tickets) comes in a later round, so that nothing stands before its cause.

mod visit;
mod world;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hakken_adapters::{data_dir::DataDir, embedded::EmbeddedStore};
use hakken_commands::store::{Append, Appended, EventStore};
use hakken_domain::time::Timestamp;

use self::visit::Town;

/// Writes a history of at least so many events (a batch more at most) into the data directory,
/// which must be empty. Says how many there are.
pub async fn history(dir: &DataDir, events: usize) -> Result<u64> {
    dir.create()?;
    let store = EmbeddedStore::open(dir).await?;
    let written = write_to(&store, events, 1).await;
    store.close().await?;
    written
}

/// The same into any store that is empty, by a seed.
pub async fn write_to(store: &dyn EventStore, events: usize, seed: u64) -> Result<u64> {
    Historian::new(seed).write_until(store, events).await
}

/// Writes a history that can go on.
pub struct Historian {
    town: Town,
    written: usize,
}

impl Historian {
    /// By a seed.
    pub fn new(seed: u64) -> Self {
        Self { town: Town::new(seed), written: 0 }
    }

    /// Goes on until the store, which nobody else writes, has at least so many events. Says how
    /// many there are.
    pub async fn write_until(&mut self, store: &dyn EventStore, events: usize) -> Result<u64> {
        while self.written < events {
            let (batch, now) = self.town.round()?;
            self.written += append(store, batch, now).await?;
        }
        Ok(self.written as u64)
    }

    /// The same, and each batch is appended to a second store, too, whose streams begin with that.
    /// Says how long each of them took, without the making of the batches.
    pub async fn write_beside(
        &mut self,
        store: &dyn EventStore,
        second: &dyn EventStore,
        events: usize,
    ) -> Result<[Duration; 2]> {
        let mut took = [Duration::ZERO; 2];
        let mut versions = HashMap::new();
        while self.written < events {
            let (batch, now) = self.town.round()?;
            let mut same = batch.clone();
            for part in &mut same {
                let version = versions.entry(part.stream).or_insert(0);
                part.expected = *version;
                *version += part.events.len() as u64;
            }
            let began = Instant::now();
            self.written += append(store, batch, now).await?;
            took[0] += began.elapsed();
            let began = Instant::now();
            append(second, same, now).await?;
            took[1] += began.elapsed();
        }
        Ok(took)
    }
}

async fn append(store: &dyn EventStore, batch: Vec<Append>, now: Timestamp) -> Result<usize> {
    let appended = store.append(batch, now).await.context("appending a batch")?;
    let mut written = 0;
    for outcome in appended {
        match outcome {
            Appended::Written(events) => written += events.len(),
            Appended::Conflict { .. } => anyhow::bail!("the store was not empty"),
        }
    }
    Ok(written)
}

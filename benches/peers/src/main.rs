//! Reservations through the Rust crates cqrs-es and esrs on a PostgreSQL: the show is the
//! aggregate, holding a seat is the command, as their guides have it.
//!
//! `hakken-peers URL PEER SHOWS CALLERS MILLISECONDS` prints reservations a second, and how many
//! tries came to nothing because somebody else was first. PEER is `cqrs-es` or `esrs`. SHOWS is
//! `one-show`, where all callers sell the same show, or `many-shows`, where each has shows of its
//! own with [`SHORT`] seats, one after the other: no conflicts and short streams, which is the best
//! that these crates can be given.

mod cqrs;
mod es;
mod show;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use sqlx::{PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

/// As many as the hand-written programs beside which this is measured.
const CONNECTIONS: u32 = 16;

/// Seats of a show that one caller sells alone.
const SHORT: u64 = 20;

/// Whoever can hold a seat of a show.
trait Peer: Send + Sync + 'static {
    /// True if the seat was held, false if somebody else wrote the show first: then one asks again.
    fn hold(&self, show: Uuid, seat: u64) -> impl Future<Output = Result<bool>> + Send;
}

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, peer, shows, callers, millis] = words.as_slice() else {
        anyhow::bail!("usage: hakken-peers URL PEER SHOWS CALLERS MILLISECONDS");
    };
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
    let pool = pool.connect(url).await.context("the database")?;
    let (callers, round) = (callers.parse()?, Duration::from_millis(millis.parse()?));
    let together = match shows.as_str() {
        "one-show" => true,
        "many-shows" => false,
        other => anyhow::bail!("no such way to sell: {other}"),
    };
    let (rate, conflicts) = match peer.as_str() {
        "cqrs-es" => sell(cqrs::Shows::open(&pool).await?, together, callers, round).await?,
        "esrs" => sell(es::Shows::open(&pool).await?, together, callers, round).await?,
        other => anyhow::bail!("no such peer: {other}"),
    };
    println!("{rate:.1} {conflicts}");
    close(pool).await;
    Ok(())
}

async fn close(pool: PgPool) {
    pool.close().await;
}

/// Callers that hold seat after seat; reservations a second, and conflicts.
async fn sell<P: Peer>(
    peer: P,
    together: bool,
    callers: usize,
    round: Duration,
) -> Result<(f64, u64)> {
    let (peer, common) = (Arc::new(peer), Uuid::new_v4());
    let (seats, conflicts) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (peer, seats, conflicts) = (peer.clone(), seats.clone(), conflicts.clone());
            tokio::spawn(async move {
                let (mut sold, mut show) = (0_u64, Uuid::new_v4());
                while began.elapsed() < round {
                    let seat = if together {
                        show = common;
                        seats.fetch_add(1, Ordering::Relaxed)
                    } else {
                        sold % SHORT
                    };
                    if !together && seat == 0 {
                        show = Uuid::new_v4();
                    }
                    while !peer.hold(show, seat).await? {
                        conflicts.fetch_add(1, Ordering::Relaxed);
                        if began.elapsed() >= round {
                            return anyhow::Ok(sold);
                        }
                    }
                    sold += 1;
                }
                Ok(sold)
            })
        })
        .collect();
    let mut sold = 0;
    for task in tasks {
        sold += task.await??;
    }
    Ok((sold as f64 / began.elapsed().as_secs_f64(), conflicts.load(Ordering::Relaxed)))
}

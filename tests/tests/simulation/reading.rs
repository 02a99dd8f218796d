//! What the simulation found about the read side, as small as it gets.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hakken_projections::{ALL, ReadModels, RunState, rows::MemoryRows};
use hakken_tests::{
    faulty_rows::{FaultyRows, RowFault},
    sim::compare::verified,
    world::{World, hall},
};

#[tokio::test(start_paused = true)]
async fn a_lost_answer_of_the_rows_is_no_difference() {
    let world = World::start();
    let loses = Arc::new(AtomicBool::new(false));
    let plan = loses.clone();
    let rows = FaultyRows::new(Arc::new(MemoryRows::new()), move || {
        if plan.load(Ordering::Relaxed) { RowFault::LoseAnswer } else { RowFault::None }
    });
    let read = ReadModels::start(world.memory.clone(), Arc::new(rows), world.clock.clone());
    let read = read.await.expect("started");
    loses.store(true, Ordering::Relaxed);
    world.show("武道館", hall(1, 2, 0), &[]).await;
    loop {
        let status = read.status().await.expect("memory can be read");
        let retrying = |state: &RunState| matches!(state, RunState::Retrying { .. });
        if status.iter().filter(|each| retrying(&each.state)).count() == ALL.len() {
            break;
        }
        tokio::task::yield_now().await;
    }
    loses.store(false, Ordering::Relaxed);
    // Nobody has found yet that what failed was written.
    verified(&read).await.unwrap_or_else(|wrong| panic!("{wrong}"));
}

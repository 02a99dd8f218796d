//! Turns: what is newer, nobody else meanwhile, and nothing written unless it is appended.

use std::{collections::HashSet, sync::Arc, time::Duration};

use hakken_commands::store::{EventStore, MAX_CONFLICT_EVENTS, Turn};
use hakken_domain::envelope::{Position, StreamId, Version};
use hakken_tests::stores::{append, at, conflict, first_disorder, stream, written};
use tokio::time::timeout;

use super::{Store, reading::read_everything};

type Opened = Arc<dyn Store>;

const PATIENCE: Duration = Duration::from_secs(20);

fn events(store: &Opened) -> &dyn EventStore {
    &**store
}

async fn turn(store: &Opened, known: &[(StreamId, Version)]) -> Turn {
    let turn = events(store).turn(known.to_vec()).expect("it gives turns");
    timeout(PATIENCE, turn).await.expect("a turn comes").unwrap()
}

pub async fn a_turn_brings_what_was_written_before_it(store: &Opened) {
    let batch = vec![append(stream(1), 0, ["a", "b", "c"]), append(stream(2), 0, ["d"])];
    let all = events(store).append(batch, at(0)).await.unwrap();
    let turn = turn(store, &[(stream(2), 0), (stream(1), 1), (stream(3), 0)]).await;
    let expected =
        [Some(written(&all[1]).to_vec()), Some(written(&all[0])[1..].to_vec()), Some(vec![])];
    assert_eq!(turn.newer, expected);
}

pub async fn a_turn_appends_as_everybody_does(store: &Opened) {
    let mut feed = events(store).follow(Position(0));
    let before = events(store).append(vec![append(stream(1), 0, ["a"])], at(9)).await.unwrap();
    let turn = turn(store, &[(stream(1), 1)]).await;
    let batch = vec![append(stream(1), 1, ["b", "c"]), append(stream(2), 0, ["d"])];
    let answer = turn.append(batch, at(5)).await.unwrap();
    let mut told: Vec<_> =
        before.iter().chain(&answer).flat_map(|appended| written(appended).to_vec()).collect();
    told.sort_by_key(|event| event.position);
    assert_eq!(first_disorder(Position(0), &told), None);
    assert_eq!(read_everything(store, 9).await, told);
    let mut seen = Vec::new();
    while seen.len() < told.len() {
        let batch = timeout(PATIENCE, futures_util::StreamExt::next(&mut feed)).await;
        seen.extend(batch.expect("followers are told").unwrap().unwrap());
    }
    assert_eq!(seen, told);
}

pub async fn the_appends_of_a_turn_stand_in_their_order(store: &Opened) {
    let turn = turn(store, &[]).await;
    let batch = (1..=20).map(|n| append(stream(n), 0, ["a", "b"])).collect();
    let answer = turn.append(batch, at(0)).await.unwrap();
    let told: Vec<_> = answer.iter().flat_map(|appended| written(appended).to_vec()).collect();
    assert_eq!(told.len(), 40);
    assert_eq!(first_disorder(Position(0), &told), None);
    assert_eq!(read_everything(store, 9).await, told);
}

pub async fn nobody_else_appends_until_a_turn_ends(store: &Opened) {
    let turn = turn(store, &[(stream(1), 0)]).await;
    let other = Arc::clone(store);
    let mut rival = tokio::spawn(async move {
        events(&other).append(vec![append(stream(1), 0, ["rival"])], at(0)).await.unwrap()
    });
    let waited = timeout(Duration::from_millis(200), &mut rival).await;
    assert!(waited.is_err(), "it appended within the turn of another");
    let answer = turn.append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap();
    let answered = timeout(PATIENCE, rival).await.expect("it goes on").unwrap();
    assert_eq!(conflict(&answered[0]), written(&answer[0]));
}

pub async fn a_turn_that_is_dropped_writes_nothing_and_others_go_on(store: &Opened) {
    drop(turn(store, &[(stream(1), 0)]).await);
    let answer = events(store).append(vec![append(stream(1), 0, ["a"])], at(0));
    let answer = timeout(PATIENCE, answer).await.expect("it goes on").unwrap();
    assert_eq!(written(&answer[0])[0].position, Position(1));
    let turn = turn(store, &[(stream(1), 0)]).await;
    assert_eq!(turn.newer, [Some(written(&answer[0]).to_vec())]);
}

pub async fn a_turn_that_is_not_waited_for_any_more_holds_up_nobody(store: &Opened) {
    let first = turn(store, &[]).await;
    for millis in [0, 1, 20] {
        let waited = events(store).turn(vec![(stream(1), 0)]).expect("it gives turns");
        assert!(timeout(Duration::from_millis(millis), waited).await.is_err());
    }
    first.append(Vec::new(), at(0)).await.unwrap();
    let answer = events(store).append(vec![append(stream(1), 0, ["a"])], at(0));
    written(&timeout(PATIENCE, answer).await.expect("it goes on").unwrap()[0]);
}

pub async fn an_expected_version_is_looked_at_in_a_turn(store: &Opened) {
    let before = events(store).append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap();
    let turn = turn(store, &[]).await;
    let batch = vec![append(stream(1), 0, ["b"]), append(stream(2), 0, ["c"])];
    let answer = turn.append(batch, at(0)).await.unwrap();
    assert_eq!(conflict(&answer[0]), written(&before[0]));
    assert_eq!(written(&answer[1])[0].position, Position(2));
    assert_eq!(events(store).head().await.unwrap(), Position(2));
}

pub async fn a_turn_that_appends_nothing_ends_well(store: &Opened) {
    for _ in 0..3 {
        let turn = turn(store, &[(stream(1), 0)]).await;
        assert!(turn.append(Vec::new(), at(0)).await.unwrap().is_empty());
    }
    assert_eq!(events(store).head().await.unwrap(), Position(0));
}

pub async fn a_turn_says_where_too_much_is_newer(store: &Opened) {
    let many = (0..=MAX_CONFLICT_EVENTS).map(|n| n.to_string());
    let batch = vec![append(stream(1), 0, many), append(stream(2), 0, ["a"])];
    events(store).append(batch, at(0)).await.unwrap();
    let turn = turn(store, &[(stream(1), 0), (stream(2), 0)]).await;
    assert!(turn.newer[0].is_none());
    assert_eq!(turn.newer[1].as_ref().map(Vec::len), Some(1));
}

pub async fn who_decides_in_turns_never_meets_a_conflict(store: &Opened) {
    let writers: Vec<_> = (0..20)
        .map(|writer| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let (mut known, mut told) = (0, Vec::new());
                for _ in 0..5 {
                    let turn = turn(&store, &[(stream(1), known)]).await;
                    known += turn.newer[0].as_ref().expect("few are newer").len() as Version;
                    let batch = vec![append(stream(1), known, [writer.to_string()])];
                    let answer = turn.append(batch, at(0)).await.unwrap();
                    told.push(written(&answer[0])[0].id);
                    known += 1;
                }
                told
            })
        })
        .collect();
    let mut told = HashSet::new();
    for writer in writers {
        told.extend(timeout(PATIENCE, writer).await.expect("all have their turns").unwrap());
    }
    let all = read_everything(store, 1_000).await;
    assert_eq!(first_disorder(Position(0), &all), None);
    assert_eq!(all.iter().map(|event| event.id).collect::<HashSet<_>>(), told);
    assert_eq!(all.len(), 100);
}

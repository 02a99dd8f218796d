//! Operations against the real schema, executed on a small real world. The bytes of an input choose
//! the fields, their arguments, and who asks.

use serde_json::Value;

use super::http::check_error;
use crate::{
    audit::Audit,
    fuzz::{
        Target, Verdict, assert_short,
        generate::{Choices, Generator, Operation, Pool},
        schema::SCHEMA,
        stage::{Stage, block_on, fixture},
    },
};
use hakken_domain::State;

pub(in crate::fuzz) const TARGET: Target = Target {
    name: "graphql",
    run: graphql,
    words: &["\0", "\u{1}", "\u{8}", "\u{20}", "\u{40}", "\u{60}", "\u{7f}"],
    made: Vec::new,
    mutations: 70,
};

/// Most operations of one input.
const MOST_OPERATIONS: usize = 8;

/// Nothing that the schema allows one to say makes a resolver fall over: every error has a code
/// that clients know, what a mutation did it does once, and what it wrote decodes, folds, and
/// passes an audit that knows no rule of the domain.
pub fn graphql(input: &[u8]) -> Verdict {
    let fixture = fixture();
    let _ = &*SCHEMA;
    let mut choices = Choices(input);
    let mut pool = Pool::of(fixture);
    let mut accepted = false;
    block_on(async {
        let stage = Stage::of(fixture).await;
        for _ in 0..MOST_OPERATIONS {
            if choices.is_over() {
                break;
            }
            let who = WHO[usize::from(choices.0[0]) % WHO.len()];
            choices.0 = &choices.0[1..];
            let operation = Generator::new(&mut choices, &pool).operation();
            let answer = asked(&stage, fixture.named(who), &operation).await;
            accepted |= answer["errors"].is_null();
            pool.learn(&answer["data"]);
        }
        stage.rest().await;
        check_events(&stage).await;
        stage.stop().await;
    });
    Verdict::of(accepted)
}

/// The organizer most often: it may do most.
const WHO: [&str; 8] = [
    "$ORGANIZER",
    "$ORGANIZER",
    "$ORGANIZER",
    "$ORGANIZER",
    "$OPERATOR",
    "$BOX_OFFICE",
    "$GATE",
    "$AUDITOR",
];

async fn asked(stage: &Stage, key: &str, operation: &Operation) -> Value {
    let head = stage.events().await.len() as u64;
    let answer = stage.ask(key, &operation.text, &operation.variables).await;
    check(operation, &answer);
    let payload = &answer["data"][&operation.field];
    if let Some(position) = payload["position"].as_u64().filter(|_| operation.is_mutation) {
        assert!(position > 0, "a position that no read model waits for: {answer}");
        let again = stage.ask(key, &operation.text, &operation.variables).await;
        check(operation, &again);
        let second = &again["data"][&operation.field];
        let shown = &operation.text;
        assert_eq!(second["userErrors"], payload["userErrors"], "the same again: {shown}\n{again}");
        if position > head {
            // It wrote something, and did not only find it so already.
            assert_eq!(second["position"], position, "the same again: {shown}\n{again}");
            assert_eq!(second["repeated"], true, "the same again: {shown}\n{again}");
        }
    }
    answer
}

fn check(operation: &Operation, answer: &Value) {
    let errors = answer["errors"].as_array().map_or(&[][..], Vec::as_slice);
    errors.iter().for_each(check_error);
    assert!(answer.is_object() && (answer["data"].is_object() || !errors.is_empty()), "{answer}");
    let payload = &answer["data"][&operation.field];
    for refusal in payload["userErrors"].as_array().into_iter().flatten() {
        assert!(refusal["code"].is_string(), "{refusal}");
        assert_short(refusal["message"].as_str().unwrap_or_default());
        assert!(payload["position"].is_null(), "refused and done: {answer}");
    }
}

async fn check_events(stage: &Stage) {
    let events = stage.events().await;
    let mut states = std::collections::HashMap::new();
    for event in &events {
        let decoded = event.decoded().unwrap_or_else(|error| panic!("{error}"));
        let state = states.entry(event.stream).or_insert_with(|| State::initial(event.stream.kind));
        state.evolve(&decoded.event);
    }
    if let Err(wrong) = Audit::read(&events) {
        panic!("{wrong}");
    }
}

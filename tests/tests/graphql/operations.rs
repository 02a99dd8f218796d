//! What operators do after an incident, over the API: look at an event that stops a read model,
//! leave it out, rebuild one show, serve former rows again.

use std::{sync::Arc, time::Duration};

use hakken_adapters::memory::MemoryStore;
use hakken_api::GlobalId;
use hakken_commands::store::{Append, EventStore, NewEvent};
use hakken_domain::{
    envelope::{Position, StreamId},
    names::ShowId,
};
use hakken_tests::{stores, world::START};
use serde_json::{Value, json};

use super::retries::twice;
use super::stage::{Actor, Ground, OnSale, Stage, Tenant, code};

const ALL: &str = "{ projections { name state stoppedAt position head rebuildsOneShow
    skipped { position kind reason by at decidedAt }
    former { position retiredAt ageSeconds removedAt }
    build { kind phase paused done total secondsLeft showId }
    lastBuildError lastBuild { kind equal showId skipped firstDifference } } }";

async fn projection(operator: &Actor, name: &str) -> Value {
    let mut all = operator.ask(ALL, json!({})).await;
    let all = all["projections"].take();
    let found = all.as_array().into_iter().flatten().find(|each| each["name"] == name);
    found.expect("a projection").clone()
}

/// Waits until a projection is like this.
async fn wait_for(operator: &Actor, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..2_000 {
        last = projection(operator, name).await;
        if wanted(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{name} is {last:#}");
}

async fn ended(operator: &Actor, name: &str) -> Value {
    wait_for(operator, name, |each| each["build"].is_null()).await
}

/// The code and the field of a refusal of a mutation that records nothing.
async fn refusal(operator: &Actor, mutation: &str, input: Value) -> (String, String) {
    let payload = operate(operator, mutation, input).await;
    let error = &payload["userErrors"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&error["code"]), text(&error["field"]))
}

async fn operate(operator: &Actor, mutation: &str, input: Value) -> Value {
    let (first, rest) = mutation.split_at(1);
    let query = format!(
        "mutation($input: {}{rest}Input!) {{ {mutation}(input: $input) {{
            userErrors {{ code message field }} projections {{ name state }} }} }}",
        first.to_uppercase()
    );
    operator.ask(&query, json!({ "input": input })).await[mutation].take()
}

struct House {
    stage: Stage,
    memory: Arc<MemoryStore>,
    tenant: Tenant,
    on_sale: OnSale,
}

async fn house() -> House {
    let memory = Arc::new(MemoryStore::new());
    let ground = Ground {
        store: memory.clone(),
        side: memory.clone(),
        feed: memory.clone(),
        ..Ground::in_memory()
    };
    let stage = Stage::on(ground).await;
    let tenant = stage.tenant("hall").await;
    let on_sale = tenant.on_sale("concert").await;
    House { stage, memory, tenant, on_sale }
}

impl House {
    /// Something at the show's gates that no release can read comes to be in the store.
    async fn poison(&self) -> u64 {
        self.poison_of(None).await
    }

    /// The same, recorded for an organizer.
    async fn poison_of(&self, organizer: Option<&str>) -> u64 {
        let show = ShowId::parse(self.on_sale.show.as_str()).expect("a show");
        let stream = StreamId::gate(show);
        let mut event =
            NewEvent { kind: "code-refused", ..stores::event(r#"{"gate":"north","who":7}"#) };
        if let Some(organizer) = organizer {
            let id = organizer.trim_start_matches("organizer_");
            event.meta = json!({ "actor": "system:test", "organizer": id }).to_string().into();
        }
        let known = EventStore::read_stream(&*self.memory, stream, 0, usize::MAX).await;
        let expected = known.expect("a stream").len() as u64;
        let append = Append { stream, expected, events: vec![event] };
        let appended = EventStore::append(&*self.memory, vec![append], START).await;
        stores::written(&appended.expect("the store takes it")[0])[0].position.0
    }

    async fn kinds(&self) -> Vec<String> {
        let events = EventStore::read_all(&*self.memory, Position(0), usize::MAX).await;
        events.expect("events").iter().map(|event| event.kind.to_string()).collect()
    }
}

#[tokio::test]
async fn an_operator_sees_why_a_read_model_stopped_and_lets_it_leave_the_event_out() {
    let house = house().await;
    let (operator, show) = (house.stage.operator(), house.on_sale.show.clone());
    house.tenant.sell(&show, "early", &["A1"]).await;
    let bad = house.poison().await;
    let stopped = |each: &Value| each["state"] == "STOPPED";
    let scans = wait_for(&operator, "scans", stopped).await;
    assert_eq!((&scans["stoppedAt"], &scans["position"]), (&json!(bad), &json!(bad - 1)));
    wait_for(&operator, "audit_log", stopped).await;

    // What is stored there, for operators alone: it may be anybody's.
    let look = "{ projections { name stoppedEvent { position kind schemaVersion stream version
        recordedAt reason data raw rawMetadata } } }";
    let seen = operator.ask(look, json!({})).await;
    let seen = seen["projections"].as_array().into_iter().flatten();
    let mut event = seen.filter(|each| each["name"] == "scans").map(|each| &each["stoppedEvent"]);
    let event = event.next_back().expect("scans").clone();
    assert_eq!((&event["position"], &event["version"]), (&json!(bad), &json!(1)));
    assert_eq!((&event["kind"], &event["schemaVersion"]), (&json!("code-refused"), &json!(1)));
    assert_eq!(event["stream"], show.replace("show_", "gate-"));
    assert_eq!(event["data"], json!({ "gate": "north", "who": 7 }));
    assert_eq!(event["raw"], r#"{"gate":"north","who":7}"#);
    assert!(event["rawMetadata"].as_str().is_some_and(|meta| meta.contains("system:test")));
    assert!(event["reason"].as_str().is_some_and(|why| why.contains("missing field")), "{event}");
    let nosy = house.tenant.organizer.answer(look, json!({})).await;
    assert_eq!(code(&nosy), "FORBIDDEN");
    // What is said of it in words may quote it.
    let words = "{ projections { name reason } }";
    let reason = |seen: &Value| {
        let all = seen["projections"].as_array().into_iter().flatten();
        let mut scans = all.filter(|each| each["name"] == "scans").map(|each| &each["reason"]);
        scans.next_back().and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let told = reason(&operator.ask(words, json!({})).await);
    assert!(told.contains("missing field"), "{told}");
    let told = reason(&house.tenant.auditor.ask(words, json!({})).await);
    assert_eq!(told, format!("it cannot fold the event at position {bad}"));
    // It stops on every server: none of them is to be left for it.
    let ready = house.stage.anonymous().get("/readyz", "*/*").await;
    let stopped = ["audit_log", "scans"]
        .map(|name| format!("the read model {name} stopped at position {bad}"));
    let said = json!({ "status": "ready", "reasons": [], "concerns": stopped });
    assert_eq!((ready.status.as_u16(), ready.json()), (200, said));

    // It shows the time before; who wants more hears at once that waiting is of no use. All else
    // goes on.
    let query = "query($at: Position) { scans(first: 5, atLeast: $at) { edges { cursor } } }";
    let began = std::time::Instant::now();
    let late = house.tenant.organizer.answer(query, json!({ "at": bad })).await;
    assert_eq!(code(&late), "READ_MODEL_STOPPED");
    let extensions = &late["errors"][0]["extensions"];
    assert_eq!(
        (&extensions["readModel"], &extensions["position"]),
        (&json!("scans"), &json!(bad - 1))
    );
    assert!(began.elapsed() < Duration::from_secs(4), "it did not wait");
    house.tenant.organizer.ask(query, json!({})).await;
    house.tenant.sell(&show, "late", &["A2"]).await;

    let input = |projection: &str, position: u64, key: &str| {
        json!({ "projection": projection, "position": position, "idempotencyKey": key,
                "reason": "a gate on trial wrote it" })
    };
    let refused = operator.refusal("skipEvent", input("scans", bad - 1, "k1")).await;
    assert_eq!(refused, ("NOT_STOPPED_THERE".into(), "position".into()));
    let refused = operator.refusal("skipEvent", input("orders", bad, "k1")).await;
    assert_eq!(refused, ("NOT_STOPPED_THERE".into(), "position".into()));
    let refused = operator.refusal("skipEvent", input("odrers", bad, "k1")).await;
    assert_eq!(refused, ("PROJECTION_UNKNOWN".into(), "projection".into()));
    let box_office =
        house.tenant.organizer.attempt("skipEvent", input("scans", bad, "k"), "").await;
    assert_eq!(code(&box_office), "FORBIDDEN");

    let skipped =
        operator.mutate("skipEvent", input("scans", bad, "k2"), "projection { name }").await;
    assert_eq!(skipped["userErrors"], json!([]));
    assert_eq!(
        (&skipped["projection"]["name"], &skipped["repeated"]),
        (&json!("scans"), &json!(false))
    );
    let again = operator.mutate("skipEvent", input("scans", bad, "k2"), "").await;
    assert_eq!((&again["repeated"], &again["position"]), (&json!(true), &skipped["position"]));
    let scans = wait_for(&operator, "scans", |each| {
        each["state"] == "RUNNING" && each["position"] == each["head"]
    })
    .await;
    let skip = &scans["skipped"][0];
    assert_eq!((&skip["position"], &skip["kind"]), (&json!(bad), &json!("code-refused")));
    assert_eq!(skip["reason"], "a gate on trial wrote it");
    assert!(skip["by"].as_str().is_some_and(|by| by.starts_with("key:")), "{skip}");
    assert_eq!(skip["decidedAt"], skipped["position"]);
    assert_eq!(projection(&operator, "audit_log").await["state"], "STOPPED", "each for itself");

    {
        let input = input("audit_log", bad, "k3");
        twice(&operator, "skipEvent", &input, "").await;
    }
    wait_for(&operator, "audit_log", |each| each["position"] == each["head"]).await;
    let query = r#"{ auditLog(first: 9, filter: { kinds: ["event-skipped"] }) {
        edges { node { event { kind actor data } } } } }"#;
    let log = operator.ask(query, json!({})).await;
    let log = log["auditLog"]["edges"].as_array().expect("entries").clone();
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!(log[0]["node"]["event"]["data"]["reason"], "a gate on trial wrote it");

    // Whose event it is, nobody but operators need to know, and what is said of it in words.
    let look = "{ projections { name skippedCount skipped { reason } reason lastBuildError
        lastBuild { firstDifference } } }";
    let stranger = house.stage.tenant("stranger").await;
    for nosy in [&stranger.auditor, &stranger.organizer, &house.tenant.auditor] {
        let seen = nosy.ask(look, json!({})).await;
        let scans = seen["projections"].as_array().into_iter().flatten();
        let scans = scans.filter(|each| each["name"] == "scans").collect::<Vec<_>>();
        assert_eq!((&scans[0]["skippedCount"], &scans[0]["skipped"]), (&json!(1), &json!([])));
        assert!(!seen.to_string().contains("gate on trial"), "{seen}");
        let query = r#"{ auditLog(filter: { kinds: ["event-skipped"] }) { edges { cursor } }
            events(kinds: ["event-skipped"]) { events { position } } }"#;
        let nothing = json!({ "auditLog": { "edges": [] }, "events": { "events": [] } });
        assert_eq!(nosy.ask(query, json!({})).await, nothing);
    }

    let verify = "mutation { verifyProjection(input: { name: \"scans\" }) {
        report { equal skipped } userErrors { code } } }";
    let verified = operator.ask(verify, json!({})).await;
    let report = json!({ "equal": true, "skipped": [bad] });
    assert_eq!(verified["verifyProjection"]["report"], report);

    // Taken back: what is served stays, and the next rebuild meets the event again.
    {
        let input = input("scans", bad, "k4");
        twice(&operator, "withdrawSkip", &input, "").await;
    }
    let refused = operator.refusal("withdrawSkip", input("scans", bad, "k5")).await;
    assert_eq!(refused, ("SKIP_UNKNOWN".into(), "position".into()));
    operate(&operator, "rebuildProjections", json!({ "names": ["scans"] })).await;
    let scans = ended(&operator, "scans").await;
    assert_eq!((&scans["state"], &scans["skipped"]), (&json!("RUNNING"), &json!([])));
    let error = scans["lastBuildError"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains(&format!("position {bad}")), "{error}");
    let seen = stranger.auditor.ask("{ projections { name lastBuildError } }", json!({})).await;
    assert!(!seen.to_string().contains("position"), "{seen}");
}

/// Words about what went wrong may name anybody's, and so may what is left out.
#[tokio::test]
async fn an_organizer_sees_what_is_left_out_of_its_own_events_and_no_word_of_others() {
    let house = house().await;
    let (operator, tenant) = (house.stage.operator(), &house.tenant);
    house.tenant.sell(&house.on_sale.show, "early", &["A1"]).await;
    let stopped = |each: &Value| each["state"] == "STOPPED";
    let mut all_bad = Vec::new();
    for (organizer, key) in [(None, "k1"), (Some(&*tenant.id), "k2")] {
        let bad = house.poison_of(organizer).await;
        all_bad.push(bad);
        let told = wait_for(&operator, "scans", stopped).await;
        let seen = projection(&tenant.auditor, "scans").await;
        assert_eq!((&seen["stoppedAt"], &seen["state"]), (&json!(bad), &json!("STOPPED")));
        let reason = "{ projections { name reason } }";
        let of_scans = |all: Value| {
            let all = all["projections"].as_array().cloned().unwrap_or_default();
            let scans = all.into_iter().find(|each| each["name"] == "scans");
            scans.expect("scans")["reason"].clone()
        };
        assert!(of_scans(operator.ask(reason, json!({})).await).is_string(), "{told}");
        let told = of_scans(tenant.auditor.ask(reason, json!({})).await);
        assert_eq!(told, format!("it cannot fold the event at position {bad}"));
        let input = json!({ "projection": "scans", "position": bad, "idempotencyKey": key,
            "reason": format!("{key} wrote it") });
        operator.mutate("skipEvent", input, "").await;
        wait_for(&operator, "scans", |each| each["state"] == "RUNNING").await;
    }
    assert_eq!(projection(&operator, "scans").await["skipped"].as_array().map(Vec::len), Some(2));
    for actor in [&tenant.auditor, &tenant.organizer] {
        let skipped = projection(actor, "scans").await["skipped"].take();
        assert_eq!(skipped.as_array().map(Vec::len), Some(1), "{skipped}");
        assert_eq!(skipped[0]["reason"], "k2 wrote it");
    }
    let stranger = house.stage.tenant("stranger").await;
    assert_eq!(projection(&stranger.auditor, "scans").await["skipped"], json!([]));
    // A build that failed says why to operators alone.
    let bad = all_bad[0];
    let input = json!({ "projection": "scans", "position": bad, "idempotencyKey": "k3",
        "reason": "it is read now" });
    operator.mutate("withdrawSkip", input, "").await;
    operate(&operator, "rebuildProjections", json!({ "names": ["scans"] })).await;
    let failed = ended(&operator, "scans").await;
    let why = failed["lastBuildError"].as_str().unwrap_or_default();
    assert!(why.contains(&format!("position {bad}")), "{failed}");
    assert!(projection(&tenant.auditor, "scans").await["lastBuildError"].is_null());
}

#[tokio::test]
async fn one_show_is_rebuilt_where_its_rows_can_be_told_apart() {
    let house = house().await;
    let (operator, show) = (house.stage.operator(), house.on_sale.show.clone());
    house.tenant.sell(&show, "buyer", &["A1", "A2"]).await;
    let all = operator.ask(ALL, json!({})).await;
    let all = all["projections"].as_array().expect("projections").clone();
    let can: Vec<&str> = all
        .iter()
        .filter(|each| each["rebuildsOneShow"] == true)
        .filter_map(|each| each["name"].as_str())
        .collect();
    assert_eq!(can, ["seat_availability", "holds", "tickets", "scans", "catalogue"]);

    let rebuild = |names: Value, show: &str| json!({ "names": names, "show": show });
    let (names, nobody) = (json!(["tickets", "orders"]), "show_00000000000000000000000000");
    let refused = refusal(&operator, "rebuildProjections", rebuild(names, &show)).await;
    assert_eq!(refused, ("SHOW_NOT_SEPARABLE".into(), "names.1".into()));
    let refused = refusal(&operator, "rebuildProjections", rebuild(json!(null), nobody)).await;
    assert_eq!(refused, ("SHOW_UNKNOWN".into(), "show".into()));
    let refused = refusal(&operator, "rebuildProjections", rebuild(json!(null), "show")).await;
    assert_eq!(refused, ("BAD_USER_INPUT".into(), "show".into()));
    assert!(projection(&operator, "tickets").await["lastBuild"].is_null(), "nothing was begun");

    let payload = operate(&operator, "rebuildProjections", rebuild(json!(null), &show)).await;
    assert_eq!(payload["projections"].as_array().map(Vec::len), Some(can.len()));
    for name in can {
        let ended = ended(&operator, name).await;
        let report = &ended["lastBuild"];
        assert_eq!((&report["kind"], &report["equal"]), (&json!("REBUILD_SHOW"), &json!(true)));
        assert_eq!(report["showId"], show);
    }
}

#[tokio::test]
async fn former_rows_are_listed_served_again_and_removed() {
    let house = house().await;
    let operator = house.stage.operator();
    house.tenant.sell(&house.on_sale.show, "buyer", &["A1"]).await;
    for input in [json!({ "names": ["tickets"] }), json!({})] {
        let (code, _) = refusal(&operator, "swapBack", input).await;
        assert_eq!(code, "NO_FORMER_BUILD");
    }
    // Read models are written down a moment after they are folded: nothing is behind from here on.
    let models = &house.stage.models;
    let head = models.status().await.expect("a status")[0].head;
    models.wait_for_all(head, Duration::from_secs(20)).await.expect("caught up");
    operate(&operator, "rebuildProjections", json!({ "names": ["tickets"] })).await;
    let rebuilt = ended(&operator, "tickets").await;
    assert_eq!(rebuilt["former"]["position"], head.0, "{rebuilt}");
    assert_eq!(rebuilt["position"], head.0, "{rebuilt}");
    assert_eq!(rebuilt["former"]["ageSeconds"], 0.0);
    assert_eq!(rebuilt["former"]["removedAt"], "2026-11-22T10:00:00Z");
    house.tenant.sell(&house.on_sale.show, "another", &["A2"]).await;
    let payload = operate(&operator, "swapBack", json!({})).await;
    assert_eq!(payload["projections"].as_array().map(Vec::len), Some(1), "{payload}");
    let swapped = ended(&operator, "tickets").await;
    let report = &swapped["lastBuild"];
    assert_eq!((&report["kind"], &report["equal"]), (&json!("SWAP_BACK"), &json!(true)));
    let head = models.status().await.expect("a status")[0].head;
    models.wait_for_all(head, Duration::from_secs(20)).await.expect("caught up");
    let tickets = "{ tickets(first: 9) { edges { node { seat } } } }";
    let tickets = house.tenant.organizer.ask(tickets, json!({})).await;
    assert_eq!(tickets["tickets"]["edges"].as_array().map(Vec::len), Some(2));
    assert!(!projection(&operator, "tickets").await["former"].is_null());
    operate(&operator, "removeFormer", json!({ "names": ["tickets"] })).await;
    assert!(projection(&operator, "tickets").await["former"].is_null());
}

/// Processes answer events; no read model tells them anything. So nothing is done again, however
/// often the events are folded anew.
#[tokio::test]
async fn rebuilds_while_payments_run_do_nothing_twice() {
    let house = house().await;
    let (operator, show) = (house.stage.operator(), house.on_sale.show.clone());
    let rebuilding = tokio::spawn({
        let operator = operator.clone();
        async move {
            for _ in 0..4 {
                operate(&operator, "rebuildProjections", json!({})).await;
                for name in ["orders", "tickets", "seat_availability"] {
                    ended(&operator, name).await;
                }
                operate(&operator, "swapBack", json!({ "names": ["orders", "tickets"] })).await;
            }
        }
    });
    for seat in 1..=10 {
        let seats = [format!("A{seat}"), format!("B{seat}")];
        let seats: Vec<&str> = seats.iter().map(String::as_str).collect();
        house.tenant.sell(&show, &format!("b{seat}"), &seats).await;
    }
    rebuilding.await.expect("no panic");
    let of = |kinds: &[String], kind: &str| kinds.iter().filter(|each| *each == kind).count();
    let kinds = house.kinds().await;
    for (kind, expected) in [
        ("payment-captured", 10),
        ("order-paid", 10),
        ("hold-confirmed", 10),
        ("order-confirmed", 10),
        ("ticket-created", 20),
        ("ticket-issued", 20),
        ("refund-requested", 0),
    ] {
        assert_eq!(of(&kinds, kind), expected, "{kind}");
    }
    // At rest, a rebuild of everything records nothing.
    operate(&operator, "rebuildProjections", json!({})).await;
    for each in hakken_projections::ALL {
        let ended = ended(&operator, each.name).await;
        assert_eq!(ended["lastBuild"]["equal"], true, "{ended}");
    }
    assert_eq!(house.kinds().await, kinds);
}

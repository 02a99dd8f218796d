//! Venues, shows, ticket types, organizers, keys and read models.

use serde_json::{Value, json};

use super::{super::stage::Stage, Met, done};

const NOBODY: &str = "00000000000000000000000000";

fn with(mut input: Value, name: &str, value: Value) -> Value {
    input[name] = value;
    input
}

pub(super) async fn meet(met: &mut Met) {
    let stage = Stage::start().await;
    let tenant = stage.tenant("catalogue").await;
    let on_sale = tenant.on_sale("concert").await;
    let (boss, show) = (&tenant.organizer, &on_sale.show);
    let broken = json!({ "name": "Hall", "seatMap": { "json": "{}" } });
    met.refused("SEAT_MAP_INVALID", boss, "registerVenue", broken).await;
    let new = json!({
        "name": "new", "venue": on_sale.venue, "startsAt": "2026-11-22T10:00:00Z",
        "endsAt": "2026-11-22T13:00:00Z"
    });
    let elsewhere = with(new.clone(), "venue", json!(format!("venue_{NOBODY}")));
    met.refused("VENUE_UNKNOWN", boss, "scheduleShow", elsewhere).await;
    let backwards = with(new.clone(), "endsAt", json!("2026-11-22T09:00:00Z"));
    met.refused("TIMES_INVALID", boss, "scheduleShow", backwards).await;
    let alone = with(new.clone(), "stops", json!(["Tokyo"]));
    met.refused("STOPS_INVALID", boss, "scheduleShow", alone).await;

    let adult = json!({ "show": show, "ticketType": "adult", "name": "Adult", "priceMinor": 1 });
    let nowhere = with(adult.clone(), "show", json!(format!("show_{NOBODY}")));
    met.refused("SHOW_UNKNOWN", boss, "offerTicketType", nowhere).await;
    let dear = with(adult.clone(), "priceMinor", json!(1_000_000_000_000_001_u64));
    met.refused("PRICE_INVALID", boss, "offerTicketType", dear).await;
    let fares = json!([{ "legs": { "from": 3, "to": 4 }, "priceMinor": 1 }]);
    let far = with(adult.clone(), "fares", fares);
    met.refused("FARES_INVALID", boss, "offerTicketType", far).await;
    let unknown = json!({ "show": show, "ticketType": "child" });
    met.refused("TICKET_TYPE_UNKNOWN", boss, "withdrawTicketType", unknown).await;
    for number in 1..500 {
        let another = with(adult.clone(), "ticketType", json!(format!("t{number}")));
        done(boss, "offerTicketType", another, "").await;
    }
    let more = with(adult.clone(), "ticketType", json!("more"));
    met.refused("TOO_MANY_TICKET_TYPES", boss, "offerTicketType", more).await;
    done(boss, "cancelShow", json!({ "show": show, "reason": "rain" }), "").await;
    met.refused("SHOW_CANCELLED", boss, "offerTicketType", adult).await;

    engine(met, &stage, &tenant.id, show).await;
}

async fn engine(met: &mut Met, stage: &Stage, organizer: &str, show: &str) {
    let operator = stage.operator();
    let of = |organizer: &str| json!({ "organizer": organizer });
    let nobody = of(&format!("organizer_{NOBODY}"));
    met.refused("ORGANIZER_UNKNOWN", &operator, "rotateCodeKey", nobody).await;
    let key = |number: u8| json!({ "organizer": organizer, "codeKey": number });
    met.refused("CODE_KEY_UNKNOWN", &operator, "disableCodeKey", key(7)).await;
    met.refused("CODE_KEY_SIGNING", &operator, "disableCodeKey", key(1)).await;
    for number in 2..=255 {
        let input = with(of(organizer), "idempotencyKey", json!(format!("rotate-{number}")));
        done(&operator, "rotateCodeKey", input, "").await;
    }
    met.refused("CODE_KEYS_EXHAUSTED", &operator, "rotateCodeKey", of(organizer)).await;
    let nobody = json!({ "apiKey": format!("key_{NOBODY}") });
    met.refused("API_KEY_UNKNOWN", &operator, "revokeApiKey", nobody).await;
    let homeless = json!({ "label": "gate", "role": "GATE" });
    met.refused("ROLE_NEEDS_ORGANIZER", &operator, "createApiKey", homeless).await;

    // Nothing of these is recorded, so they take no idempotency key.
    let query = "mutation($input: VerifyProjectionInput!) { verifyProjection(input: $input) {
        userErrors { code field } } }";
    let verify = |name: &str| operator.ask(query, json!({ "input": { "name": name } }));
    let code = |answer: &Value| {
        let errors = &answer["verifyProjection"]["userErrors"];
        errors[0]["code"].as_str().unwrap_or_default().to_owned()
    };
    met.codes.insert(code(&verify("odrers").await));
    let query = "mutation($input: RebuildProjectionsInput!, $back: SwapBackInput!) {
        rebuildProjections(input: $input) { userErrors { code } }
        swapBack(input: $back) { userErrors { code } } }";
    let input = json!({ "names": ["sales"], "show": show });
    let answer = operator.ask(query, json!({ "input": input, "back": {} })).await;
    for mutation in ["rebuildProjections", "swapBack"] {
        let code = answer[mutation]["userErrors"][0]["code"].as_str().unwrap_or_default();
        met.codes.insert(code.to_owned());
    }
    let event = json!({ "projection": "scans", "position": 1, "reason": "a trial" });
    met.refused("NOT_STOPPED_THERE", &operator, "skipEvent", event.clone()).await;
    met.refused("SKIP_UNKNOWN", &operator, "withdrawSkip", event).await;
}

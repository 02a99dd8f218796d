//! What clients ask again and again: tags, answers that did not change, and compression.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::json;

use super::stage::{Actor, Answered, Stage};

/// `GET` with these headers.
async fn get(actor: &Actor, path: &str, headers: &[(&str, &str)]) -> Answered {
    let mut request = Request::get(path).header("accept", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    actor.send(request.body(Body::empty()).unwrap()).await
}

fn poll(show: &str) -> String {
    format!(
        "/graphql?query=%7Bavailability(show:%22{show}%22)%7Bversion%20seatLetters%20totals%7Bfree%7D%7D%7D"
    )
}

async fn settle(stage: &Stage) {
    let head = stage.models.status().await.unwrap()[0].head;
    let patience = std::time::Duration::from_secs(5);
    stage.models.wait_for("seat_availability", head, patience).await.unwrap();
}

#[tokio::test]
async fn a_poll_of_which_nothing_changed_is_answered_without_a_body() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let show = tenant.on_sale("concert").await.show;
    settle(&stage).await;
    let (actor, path) = (&tenant.box_office, poll(&show));
    let first = get(actor, &path, &[]).await;
    assert_eq!(first.status, StatusCode::OK, "{:?}", first.json());
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    assert_eq!(first.header("cache-control"), "private, no-cache");
    assert_eq!(first.header("vary"), "Authorization, Accept, Accept-Encoding");
    // From the answers that are kept, and afresh.
    for path in [path.clone(), format!("{path}&operationName=")] {
        let again = get(actor, &path, &[("if-none-match", &tag)]).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(again.header("etag"), tag);
    }
    tenant.hold(&show, "b", &["A1"]).await;
    settle(&stage).await;
    let changed = get(actor, &path, &[("if-none-match", &tag)]).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.json()["data"]["availability"]["totals"]["free"], 24);
    assert_ne!(changed.header("etag"), tag);
}

#[tokio::test]
async fn a_tag_opens_nothing_for_others() {
    let stage = Stage::start().await;
    let (mine, other) = (stage.tenant("mine").await, stage.tenant("other").await);
    let path = poll(&mine.on_sale("concert").await.show);
    settle(&stage).await;
    let first = get(&mine.box_office, &path, &[]).await;
    let tag = [("if-none-match", first.header("etag"))];
    let anonymous = get(&stage.anonymous(), &path, &tag).await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    let other = get(&other.box_office, &path, &tag).await;
    assert_eq!(
        (other.status, other.json()),
        (StatusCode::OK, json!({ "data": { "availability": null } }))
    );
    let any = get(&mine.box_office, &path, &[("if-none-match", "*")]).await;
    assert_eq!(any.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn answers_with_errors_and_answers_to_post_have_no_tag() {
    let stage = Stage::start().await;
    let operator = stage.operator();
    let partial = get(
        &operator,
        "/graphql?query=%7Bviewer%7Brole%7Dorders(first:0)%7Bedges%7Bcursor%7D%7D%7D",
        &[],
    )
    .await;
    assert_eq!((partial.status, partial.code().as_str()), (StatusCode::OK, "BAD_USER_INPUT"));
    assert_eq!((partial.header("etag"), partial.header("cache-control")), ("", "no-store"));
    let request = Request::post("/graphql")
        .header("content-type", "application/json")
        .header("if-none-match", "*")
        .body(Body::from(r#"{"query":"{viewer{role}}"}"#))
        .unwrap();
    let posted = operator.send(request).await;
    assert_eq!((posted.status, posted.header("etag")), (StatusCode::OK, ""));
}

#[tokio::test]
async fn the_picture_of_a_show_has_a_tag_that_changes_with_it() {
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let show = tenant.on_sale("concert").await.show;
    settle(&stage).await;
    let path = format!("/shows/{show}/map.svg");
    let tag = get(&tenant.gate, &path, &[]).await.header("etag").to_owned();
    let again = get(&tenant.gate, &path, &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    tenant.hold(&show, "b", &["A1"]).await;
    settle(&stage).await;
    let changed = get(&tenant.gate, &path, &[("if-none-match", &tag)]).await;
    assert_eq!(
        (changed.status, changed.body.as_slice()),
        (StatusCode::OK, &b"<svg><!-- 19 free --></svg>"[..])
    );
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() {
    let stage = Stage::start().await;
    let nobody = stage.anonymous();
    let schema = "/graphql?query=%7B__schema%7Btypes%7Bname%20description%20fields%7Bname%20description%7D%7D%7D%7D";
    let plain = get(&nobody, schema, &[]).await;
    let packed = get(&nobody, schema, &[("accept-encoding", "gzip, br")]).await;
    assert!(plain.body.len() > 12 << 10, "{} bytes", plain.body.len());
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), ("", "gzip"));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() < plain.body.len() / 2);
    assert_eq!(plain.header("etag"), packed.header("etag"));
    let small =
        get(&nobody, "/graphql?query=%7B__typename%7D", &[("accept-encoding", "gzip")]).await;
    assert_eq!((small.header("content-encoding"), small.status), ("", StatusCode::OK));
    let script = get(&nobody, "/graphiql/graphiql.js", &[("accept-encoding", "gzip")]).await;
    assert_eq!(script.header("content-encoding"), "gzip");
    let known = [("if-none-match", script.header("etag"))];
    assert_eq!(
        get(&nobody, "/graphiql/graphiql.js", &known).await.status,
        StatusCode::NOT_MODIFIED
    );
}

//! Documents that are sent by a name: automatic persisted queries, and those that an operator
//! trusts.

use axum::http::StatusCode;
use hakken_api::DocumentRules;
use serde_json::{Value, json};

use super::stage::{Ground, Stage, code};

const QUERY: &str = "{viewer{role}}";
/// `printf '{viewer{role}}' | sha256sum`
const HASH: &str = "e53bc19832ec68f3375ce89fc19eecf7d642cc0faab4bc5fcaf987cb9d13b739";
const OTHER: &str = "query Other { viewer { label } }";

fn persisted() -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": HASH } })
}

fn role() -> Value {
    json!({ "data": { "viewer": { "role": "OPERATOR" } } })
}

#[tokio::test]
async fn a_client_sends_a_document_once_and_then_its_hash() {
    let stage = Stage::start().await;
    let operator = stage.operator();
    let by_hash = json!({ "extensions": persisted() });
    let unknown = operator.post(&by_hash).await;
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (StatusCode::OK, "PERSISTED_QUERY_NOT_FOUND")
    );
    assert_eq!(unknown.json()["errors"][0]["message"], "PersistedQueryNotFound");
    let with_text = json!({ "query": QUERY, "extensions": persisted() });
    assert_eq!(operator.post(&with_text).await.json(), role());
    assert_eq!(operator.post(&by_hash).await.json(), role());
    let by_id = json!({ "documentId": format!("sha256:{HASH}") });
    assert_eq!(operator.post(&by_id).await.json(), role());
    let path = format!(
        "/graphql?extensions=%7B%22persistedQuery%22:%7B%22version%22:1,%22sha256Hash%22:%22{HASH}%22%7D%7D"
    );
    for path in [path, format!("/graphql?documentId=sha256:{HASH}")] {
        let answer = operator.get(&path, "application/graphql-response+json").await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, role()));
    }
    // A hash is no right.
    assert_eq!(stage.anonymous().post(&by_hash).await.code(), "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_hash_of_something_else_is_refused_and_kept_for_nobody() {
    let stage = Stage::start().await;
    let operator = stage.operator();
    let wrong = json!({ "query": OTHER, "extensions": persisted() });
    let refused = operator.post(&wrong).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "BAD_REQUEST"));
    let by_hash = json!({ "extensions": persisted() });
    assert_eq!(operator.post(&by_hash).await.code(), "PERSISTED_QUERY_NOT_FOUND");
}

#[tokio::test]
async fn what_was_never_carried_out_is_not_kept() {
    let stage = Stage::start().await;
    let with_text = json!({ "query": QUERY, "extensions": persisted() });
    assert_eq!(stage.anonymous().post(&with_text).await.code(), "UNAUTHENTICATED");
    let by_hash = json!({ "extensions": persisted() });
    assert_eq!(stage.operator().post(&by_hash).await.code(), "PERSISTED_QUERY_NOT_FOUND");
}

#[tokio::test]
async fn trusted_documents_are_carried_out_by_their_names_and_alone_if_so_wanted() {
    let mut rules = DocumentRules { only_trusted: true, ..DocumentRules::default() };
    rules.trusted.add("Who", QUERY).unwrap();
    let stage = Stage::with(Ground::in_memory(), rules.clone()).await;
    // The operator's key is made without a document.
    let operator = stage.operator();
    for request in [
        json!({ "documentId": "Who" }),
        json!({ "documentId": format!("sha256:{HASH}") }),
        json!({ "extensions": persisted() }),
        json!({ "query": QUERY, "extensions": persisted() }),
        json!({ "query": QUERY }),
    ] {
        assert_eq!(operator.post(&request).await.json(), role(), "{request}");
    }
    let other = operator.answer(OTHER, json!({})).await;
    assert_eq!(code(&other), "QUERY_NOT_IN_SAFELIST", "{other}");
    let introspection =
        stage.anonymous().answer("{ __schema { types { name } } }", json!({})).await;
    assert_eq!(code(&introspection), "QUERY_NOT_IN_SAFELIST");
    let unknown =
        operator.get("/graphql?documentId=Whom", "application/graphql-response+json").await;
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (StatusCode::BAD_REQUEST, "PERSISTED_QUERY_NOT_FOUND")
    );
    rules.only_trusted = false;
    let stage = Stage::with(Ground::in_memory(), rules).await;
    assert_eq!(stage.operator().post(&json!({ "documentId": "Who" })).await.json(), role());
    assert!(stage.operator().answer(OTHER, json!({})).await.get("errors").is_none());
}

#[tokio::test]
async fn a_document_has_one_name() {
    let stage = Stage::start().await;
    let operator = stage.operator();
    for request in [
        json!({ "documentId": "Who", "query": QUERY }),
        json!({ "documentId": "Who", "extensions": persisted() }),
        json!({ "documentId": 7 }),
        json!({ "documentId": "md5:900150983cd24fb0d6963f7d28e17f72" }),
        json!({ "extensions": { "persistedQuery": [] } }),
    ] {
        let refused = operator.post(&request).await;
        let seen = (refused.status, refused.code());
        assert_eq!(seen, (StatusCode::BAD_REQUEST, "BAD_REQUEST".to_owned()), "{request}");
    }
}

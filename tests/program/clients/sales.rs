//! A small sale with each client: a seat is held, and whoever watches is told.

use serde_json::json;

use super::{super::program::Server, passes, python, rust};

fn sells(script: &str) {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    passes(script, &server);
}

#[test]
fn apollo_client_sells_and_watches() {
    sells("apollo.js");
}

#[test]
fn urql_sells_and_watches_over_sockets_and_event_streams() {
    sells("urql.js");
}

#[test]
fn graphql_ws_sells_and_watches_and_goes_on_after_a_cut() {
    sells("graphql-ws.js");
}

#[test]
fn graphql_sse_sells_and_watches_in_both_modes() {
    sells("graphql-sse.js");
}

#[test]
fn generated_types_compile_in_strict_mode_and_sell() {
    sells("typescript.js");
}

#[test]
fn python_sells_and_watches() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    python::passes(&["python", "-m", "sale"], &server);
}

#[test]
fn cynic_sells_and_watches_and_goes_on_after_a_cut() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    rust::passes(&server);
}

/// Schemathesis makes operations of the schema, sensible ones and others, and looks for answers
/// that no client should get: faults of the server, broken answers, answers to what is wrong.
fn finds_no_fault(server: &Server, key: Option<&str>, examples: &str) {
    let url = format!("{}/graphql", server.url);
    let header = key.map(|key| format!("Authorization: Bearer {key}"));
    let mut words = vec!["schemathesis", "run", &url];
    words.extend(header.iter().flat_map(|header| ["--header", header]));
    words.extend(["--max-examples", examples, "--generation-deterministic"]);
    words.extend(["--phases", "fuzzing", "--checks", "no_fault_of_the_server", "--no-color"]);
    python::passes(&words, server);
}

#[test]
fn schemathesis_finds_no_fault_of_the_server_as_operator() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    finds_no_fault(&server, server.key.as_deref(), "5");
}

/// One server for all of them, so that each meets what the others have made.
#[tokio::test]
async fn schemathesis_finds_no_fault_of_the_server_as_who_sells_scans_looks_or_is_nobody() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    let operator = server.client(server.key.as_deref().expect("a new server"));
    let input = json!({ "idempotencyKey": "s", "name": "Schemathesis" });
    let made = operator.tell("registerOrganizer", "organizer { id }", input).await;
    let mut keys = Vec::new();
    for role in ["BOX_OFFICE", "GATE", "AUDITOR"] {
        let input = json!({
            "idempotencyKey": role, "label": role, "role": role,
            "organizer": made["organizer"]["id"]
        });
        let made = operator.tell("createApiKey", "secret", input).await;
        keys.push(Some(made["secret"].as_str().expect("a key").to_owned()));
    }
    keys.push(None);
    for key in keys {
        finds_no_fault(&server, key.as_deref(), "2");
    }
}

//! A small sale with each client: a seat is held, and whoever watches is told.

use super::{super::program::Server, passes, python};

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

/// Schemathesis makes operations of the schema, sensible ones and others, and looks for answers
/// that no client should get: faults of the server, broken answers, answers to what is wrong.
#[test]
fn schemathesis_finds_no_fault_of_the_server() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    let (url, key) = (format!("{}/graphql", server.url), server.key.clone().unwrap());
    let header = format!("Authorization: Bearer {key}");
    python::passes(
        &[
            "schemathesis",
            "run",
            &url,
            "--header",
            &header,
            "--max-examples",
            "5",
            "--generation-deterministic",
            "--phases",
            "fuzzing",
            "--checks",
            "no_fault_of_the_server",
            "--no-color",
        ],
        &server,
    );
}

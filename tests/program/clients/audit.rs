//! GraphQL over HTTP, as the authors of its specification check it.

use super::{super::program::Server, passes};

#[test]
fn every_audit_of_graphql_over_http_passes() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    passes("audit.js", &server);
}

//! The API as a part of a supergraph.

use super::{super::program::Server, passes};

#[test]
fn a_supergraph_is_composed_with_it() {
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    passes("compose.js", &server);
}

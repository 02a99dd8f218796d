//! The pages in a real browser: Chromium, told what to do by `tests/clients/ops.js` and
//! `graphiql.js`.

use std::process::Command;

use super::{super::program::Server, finished, installed};

/// The names that Chromium has on various systems.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The browser, or words where there is none.
fn chromium() -> Option<String> {
    let told = std::env::var("HAKKEN_CHROMIUM").ok();
    let all = told.into_iter().chain(NAMES.map(str::to_owned));
    let found = all.into_iter().find(|name| {
        let version = Command::new(name).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "Chromium is not on this machine");
        println!("skipped: Chromium is not on this machine");
    }
    found
}

#[test]
fn the_page_of_the_operator_shows_sales_rebuilds_and_a_server_that_is_gone() {
    let Some(chromium) = chromium() else { return };
    let Some(folder) = installed() else { return };
    let temp = tempfile::tempdir().unwrap();
    let mut node = Command::new("node");
    node.arg("ops.js")
        .current_dir(folder)
        .env("HAKKEN_PROGRAM", env!("CARGO_BIN_EXE_hakken"))
        .env("HAKKEN_DATA_DIR", temp.path())
        .env("HAKKEN_CHROMIUM", chromium);
    println!("ops.js: {}", finished(&mut node, "ops.js"));
}

#[test]
fn graphiql_has_a_first_query_a_place_for_the_key_and_the_docs_open() {
    let Some(chromium) = chromium() else { return };
    let Some(folder) = installed() else { return };
    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(temp.path());
    let mut node = Command::new("node");
    node.arg("graphiql.js")
        .current_dir(folder)
        .env("HAKKEN_URL", &server.url)
        .env("HAKKEN_KEY", server.key.as_deref().unwrap_or_default())
        .env("HAKKEN_CHROMIUM", chromium);
    println!("graphiql.js: {}", finished(&mut node, "graphiql.js"));
}

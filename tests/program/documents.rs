//! `hakken serve --trusted-documents`: what an operator trusts, from files.

use std::{fs, path::Path};

use serde_json::json;

use super::program::{Server, refused, serve};

const QUERY: &str = "{ viewer { role } }";

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(&file, text).expect("a file");
    file.to_str().expect("a good path").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_carries_out_what_its_operator_trusts_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let (data, documents) = (temp.path().join("data"), temp.path().join("documents"));
    write(&documents, "Who.graphql", QUERY);
    write(
        &documents,
        "shop/collected.json",
        &json!({ "label": "{ viewer { label } }" }).to_string(),
    );
    write(&documents, "README.txt", "no document");
    let folder = documents.to_str().unwrap();
    let options = ["--trusted-documents", folder, "--only-trusted"];
    let server = Server::launch(serve(&data, &options), true);
    let http = reqwest::Client::new();
    let ask = |body: serde_json::Value| {
        let request = http.post(format!("{}/graphql", server.url)).json(&body);
        let request = request.bearer_auth(server.key.as_deref().unwrap());
        async move { request.send().await.unwrap().json::<serde_json::Value>().await.unwrap() }
    };
    let role = json!({ "data": { "viewer": { "role": "OPERATOR" } } });
    assert_eq!(ask(json!({ "documentId": "Who" })).await, role);
    assert_eq!(ask(json!({ "query": QUERY })).await, role);
    let label = ask(json!({ "documentId": "label" })).await;
    assert!(label["data"]["viewer"]["label"].is_string(), "{label}");
    let other = ask(json!({ "query": "{ viewer { role label } }" })).await;
    assert_eq!(other["errors"][0]["extensions"]["code"], "QUERY_NOT_IN_SAFELIST", "{other}");
}

#[test]
fn documents_that_cannot_be_trusted_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let data = data.to_str().unwrap();
    let said = |path: &str, words: &[&str]| {
        let listen = ["--listen", "127.0.0.1:0", "--trusted-documents", path];
        refused(&[&["serve", "--data", data][..], &listen].concat(), words);
    };
    let broken = write(temp.path(), "broken.graphql", "query {");
    said(&broken, &["broken.graphql cannot be used", "the document broken"]);
    let collection = write(temp.path(), "collection.json", "[]");
    said(&collection, &["collection.json", "apollo-persisted-query-manifest"]);
    let other = write(temp.path(), "notes.txt", QUERY);
    said(&other, &[".graphql"]);
    said(temp.path().join("missing").to_str().unwrap(), &["missing"]);
    fs::create_dir(temp.path().join("empty")).unwrap();
    said(temp.path().join("empty").to_str().unwrap(), &["there is no document"]);
}

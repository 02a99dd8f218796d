//! The page of recipes, `docs/recipes.md`: what it shows is sent, and what it says comes back,
//! word for word. A line `As ROLE:` says who asks. A block of GraphQL is followed by its variables,
//! if it has any, and by the data of its answer; a block of HTTP by the lines of its body; a
//! subscription by what it tells first. With HAKKEN_BLESS=1 the answers are written anew.

use std::{path::PathBuf, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::stage::{Actor, Stage, Tenant};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/recipes.md")
}

/// A part of the page: text, or a block of code.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Code { kind: String, text: String },
}

fn parts(page: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for (at, piece) in page.split("```").enumerate() {
        parts.push(if at % 2 == 0 {
            Part::Text(piece.to_owned())
        } else {
            let (kind, text) = piece.split_once('\n').expect("a kind of code");
            Part::Code { kind: kind.to_owned(), text: text.to_owned() }
        });
    }
    parts
}

fn written(parts: &[Part]) -> String {
    let each = parts.iter().map(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Code { kind, text } => format!("```{kind}\n{text}```"),
    });
    each.collect()
}

/// Who asks in what follows a text: the last role that it names, if it names one.
fn role(text: &str) -> Option<&str> {
    let after = text.rsplit_once("As `")?.1;
    after.split_once("`:").map(|(role, _)| role)
}

/// The page and where it is.
struct Cook {
    stage: Stage,
    tenant: Tenant,
    url: String,
    blesses: bool,
    parts: Vec<Part>,
    steps: usize,
}

impl Cook {
    fn actor(&self, role: &str) -> Actor {
        match role {
            "ORGANIZER" => self.tenant.organizer.clone(),
            "BOX_OFFICE" => self.tenant.box_office.clone(),
            "GATE" => self.tenant.gate.clone(),
            "AUDITOR" => self.tenant.auditor.clone(),
            "OPERATOR" => self.stage.operator(),
            other => panic!("nobody is {other}"),
        }
    }

    /// The code that follows a part: between them stand only a few words.
    fn next(&self, at: usize) -> usize {
        match self.parts.get(at + 2) {
            Some(Part::Code { .. }) => at + 2,
            other => panic!("after {:?} an answer, not {other:?}", self.parts[at]),
        }
    }

    fn json(&self, at: usize) -> Option<Value> {
        match &self.parts[at] {
            Part::Code { kind, text } if kind == "json" => {
                Some(serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
            }
            _ => None,
        }
    }

    /// What is written there must be so, or is made so.
    fn compare(&mut self, at: usize, found: &str) {
        let Part::Code { kind, text } = &mut self.parts[at] else { panic!("an answer") };
        if self.blesses {
            *text = found.to_owned();
        }
        let lines = |text: &str| -> Vec<Value> {
            let values = serde_json::Deserializer::from_str(text).into_iter();
            values.map(|value| value.expect("JSON")).collect()
        };
        assert!(kind.starts_with("json"), "{kind}");
        let (said, found) = (lines(text), lines(found));
        assert_eq!(said, found, "left: the page, right: what is so");
    }

    async fn query(&mut self, at: usize, actor: &Actor, text: &str) -> usize {
        let mut answer = self.next(at);
        let mut variables = json!({});
        if text.contains("($") {
            variables = self.json(answer).expect("variables");
            answer = self.next(answer);
        }
        let whole = actor.answer(text, variables).await;
        let found = if whole.get("errors").is_some() { &whole } else { &whole["data"] };
        let found = serde_json::to_string_pretty(found).unwrap() + "\n";
        self.compare(answer, &found);
        answer
    }

    async fn request(&mut self, at: usize, actor: &Actor, text: &str) -> usize {
        let answer = self.next(at);
        let path = text.trim().strip_prefix("GET ").expect("GET and a path");
        let body = actor.get(path, "*/*").await.body;
        self.compare(answer, std::str::from_utf8(&body).unwrap());
        answer
    }

    /// So many messages as the page shows.
    async fn subscribe(&mut self, at: usize, actor: &Actor, text: &str) -> usize {
        let variables_at = self.next(at);
        let answer = self.next(variables_at);
        let Part::Code { text: shown, .. } = &self.parts[answer] else { panic!("an answer") };
        let wanted = shown.lines().count();
        let mut request = format!("{}/graphql", self.url).into_client_request().unwrap();
        let protocol = "graphql-transport-ws".parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let mut socket = connect_async(request).await.unwrap().0;
        let key = format!("Bearer {}", actor.key.as_deref().unwrap());
        let variables = self.json(variables_at).expect("variables");
        for message in [
            json!({ "type": "connection_init", "payload": { "authorization": key } }),
            json!({
                "id": "1", "type": "subscribe",
                "payload": { "query": text, "variables": variables }
            }),
        ] {
            socket.send(Message::text(message.to_string())).await.unwrap();
        }
        let mut found = String::new();
        while found.lines().count() < wanted {
            let next = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
            let next = next.expect("a message in time").expect("an open socket").unwrap();
            let Message::Text(text) = next else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["type"] == "next" {
                found += &format!("{}\n", message["payload"]["data"]);
            }
        }
        self.compare(answer, &found);
        answer
    }

    async fn cook(&mut self) {
        let mut asks = None;
        let mut at = 0;
        while at < self.parts.len() {
            match self.parts[at].clone() {
                Part::Text(text) => {
                    asks = role(&text).map(str::to_owned).or(asks);
                }
                // These are run by the program's own tests and those of its clients.
                Part::Code { kind, .. } if ["python", "sh"].contains(&&*kind) => {}
                Part::Code { kind, text } => {
                    let asks = asks.as_deref().expect("nobody asks");
                    let actor = self.actor(asks);
                    at = match kind.as_str() {
                        "graphql" if text.starts_with("subscription") => {
                            self.subscribe(at, &actor, &text).await
                        }
                        "graphql" => self.query(at, &actor, &text).await,
                        "http" => self.request(at, &actor, &text).await,
                        other => panic!("{other:?} is answered by nothing: {text}"),
                    };
                    self.steps += 1;
                }
            }
            at += 1;
        }
    }
}

#[tokio::test]
async fn the_recipes_come_out_as_they_are_written() {
    let page = std::fs::read_to_string(path()).expect("docs/recipes.md");
    let stage = Stage::start().await;
    let tenant = stage.tenant("hibiki").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let router = stage.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let blesses = std::env::var_os("HAKKEN_BLESS").is_some();
    let parts = parts(&page);
    let mut cook = Cook { stage, tenant, url, blesses, parts, steps: 0 };
    cook.cook().await;
    if blesses {
        std::fs::write(path(), written(&cook.parts)).unwrap();
    }
    assert!(cook.steps >= 15, "{} steps only", cook.steps);
}

#[test]
fn what_is_shown_in_python_stands_in_the_program_that_is_run() {
    let page = std::fs::read_to_string(path()).expect("docs/recipes.md");
    let program = path().with_file_name("../tests/clients/sale.py");
    let program = std::fs::read_to_string(program).expect("sale.py");
    let program: Vec<&str> = program.lines().map(str::trim).collect();
    let mut shown = 0;
    for part in parts(&page) {
        if let Part::Code { kind, text } = part
            && kind == "python"
        {
            for line in text.lines() {
                assert!(program.contains(&line.trim()), "sale.py does not have: {line}");
                shown += 1;
            }
        }
    }
    assert!(shown >= 5, "{shown} lines only");
}

#[test]
fn the_page_has_every_code_with_which_a_socket_is_closed() {
    let page = std::fs::read_to_string(path()).expect("docs/recipes.md");
    let code = path().with_file_name("../api/src/http/websocket/mod.rs");
    let code = std::fs::read_to_string(code).expect("the sockets");
    let (words, code) = code.split_once("\nmod ").expect("words, and then code");
    let rows: Vec<&str> = words.lines().filter_map(|line| line.strip_prefix("//! | ")).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in &rows {
        assert!(page.contains(&format!("\n| {row}\n")), "the page does not have: {row}");
    }
    // Each of them is sent, and each that is sent is one of them.
    let told = |code: &str| rows.iter().any(|row| row.starts_with(code));
    let numbers = code.split(|c: char| !c.is_ascii_digit()).filter(|part| part.len() == 4);
    let sent: Vec<&str> =
        numbers.filter(|part| part.starts_with("44") || *part == "4508").collect();
    assert!(sent.len() >= 8 && sent.iter().all(|code| told(code) || *code == "4500"), "{sent:?}");
}

#[test]
fn a_page_is_read_and_written_as_it_is() {
    let page = "As `GATE`:\n```graphql\n{ a }\n```\nanswer\n```json\n{}\n```\nend\n";
    let read = parts(page);
    assert_eq!(written(&read), page);
    assert_eq!(read.len(), 5);
    assert_eq!(role("x As `GATE`:\n"), Some("GATE"));
    assert_eq!(role("As it is:"), None);
}

//! A small GraphQL client: what the demo's people and the tools that talk to a running server
//! use.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Talks to one server with one key.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: String,
    key: String,
}

impl Client {
    /// For a server such as `http://127.0.0.1:8090`.
    pub fn new(server: &str, key: &str) -> Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .tcp_nodelay(true)
            .build()
            .context("the HTTP client cannot start")?;
        let endpoint = format!("{}/graphql", server.trim_end_matches('/'));
        Ok(Self { http, endpoint, key: key.to_owned() })
    }

    /// The same connections with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// Asks; gives `data`, or says what the server said.
    pub async fn ask(&self, query: &str, variables: Value) -> Result<Value> {
        let body = json!({ "query": query, "variables": variables });
        let answer = self.http.post(&self.endpoint).bearer_auth(&self.key).json(&body).send();
        let answer = answer.await.with_context(|| format!("{} does not answer", self.endpoint))?;
        let mut answer: Value = answer.json().await.context("the answer is no JSON")?;
        if let Some(error) = answer["errors"].get(0) {
            bail!(
                "{} ({})",
                error["message"].as_str().unwrap_or("no message"),
                error["extensions"]["code"].as_str().unwrap_or("no code")
            );
        }
        Ok(answer["data"].take())
    }
}

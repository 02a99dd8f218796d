//! A small GraphQL client: what the demo's people and the tools that talk to a running server
//! use.

use std::{fmt, time::Duration};

use anyhow::{Context, Result};
use hakken_api::GlobalId;
use hakken_projections::BuildKind;
use serde_json::{Value, json};

use crate::tools::projections::Outcome;

/// How often something that is down for a moment is asked again.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Talks to one server with one key.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: String,
    key: String,
}

/// An error of the server that is no refusal.
#[derive(Debug)]
pub struct Fault {
    /// What programs switch on.
    pub code: String,
    message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server says: {} ({})", self.message, self.code)
    }
}

impl std::error::Error for Fault {}

/// A mutation was refused by the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What programs switch on.
    pub code: String,
    /// The input field concerned.
    pub field: Option<String>,
    message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {} ({})", self.message, self.code)
    }
}

impl std::error::Error for Refusal {}

impl Client {
    /// For a server such as `http://127.0.0.1:8090`.
    pub fn new(server: &str, key: &str) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
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
        let bytes = answer.bytes().await.context("the answer is cut off")?;
        let mut answer: Value = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is no Hakken server", self.endpoint))?;
        if let Some(error) = answer["errors"].get(0) {
            let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
            let (code, message) = (text(&error["extensions"]["code"]), text(&error["message"]));
            return Err(Fault { code, message }.into());
        }
        Ok(answer["data"].take())
    }

    /// Begins to get something beside GraphQL that may be long.
    pub async fn begin(
        &self,
        path: &str,
        parameters: &[(&str, String)],
    ) -> Result<reqwest::Response> {
        let url = format!("{}{path}", self.endpoint.trim_end_matches("/graphql"));
        let mut url = reqwest::Url::parse(&url).with_context(|| format!("{url} is no address"))?;
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let answer = self.http.get(url.clone()).bearer_auth(&self.key).send().await;
        answer.with_context(|| format!("{url} does not answer"))
    }

    /// Gets something beside GraphQL, such as a picture.
    pub async fn get(&self, path: &str) -> Result<String> {
        let url = format!("{}{path}", self.endpoint.trim_end_matches("/graphql"));
        let answer = self.http.get(&url).bearer_auth(&self.key).send().await;
        let answer = answer.with_context(|| format!("{url} does not answer"))?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Carries out a mutation whose one field has an idempotency key, so that it may be sent
    /// again while the server is busy. Gives the payload, or why the rules refuse.
    pub async fn tell(&self, query: &str, input: Value) -> Result<Result<Value, Refusal>> {
        let variables = json!({ "input": input });
        let mut attempt = 1;
        let data = loop {
            match self.ask(query, variables.clone()).await {
                Ok(data) => break data,
                Err(error) if attempt < ATTEMPTS && passes(&error) => attempt += 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        };
        let Value::Object(fields) = data else { return Err(strange(&data)) };
        let Some((_, payload)) = fields.into_iter().next() else {
            return Err(anyhow::anyhow!("the answer is empty"));
        };
        let Some(error) = payload["userErrors"].get(0) else { return Ok(Ok(payload)) };
        let text = |name: &str| error[name].as_str().map(ToOwned::to_owned);
        Ok(Err(Refusal {
            code: text("code").unwrap_or_default(),
            field: text("field"),
            message: text("message").unwrap_or_default(),
        }))
    }

    /// The same, where a refusal is an error.
    pub async fn must(&self, query: &str, input: Value) -> Result<Value> {
        Ok(self.tell(query, input).await??)
    }

    /// Lets the server build a read model, and waits for it.
    pub async fn build(&self, name: &str, kind: BuildKind) -> Result<Outcome> {
        self.build_with(name, kind, |_| {}).await
    }

    /// The same; `hear` is told how far it is.
    pub async fn build_with(
        &self,
        name: &str,
        kind: BuildKind,
        hear: impl FnMut(&Step),
    ) -> Result<Outcome> {
        match kind {
            BuildKind::Verify => {
                let payload = self.must(VERIFY, json!({ "name": name })).await?;
                return Outcome::read(&payload["report"]);
            }
            BuildKind::Rebuild => {
                self.must(REBUILD, json!({ "names": [name] })).await?;
            }
            BuildKind::RebuildShow(show) => {
                let show = show.global().to_string();
                self.must(REBUILD, json!({ "names": [name], "show": show })).await?;
            }
            BuildKind::SwapBack => self.operate("swapBack", json!({ "names": [name] })).await?,
        }
        self.rebuilt_with(name, hear).await
    }

    /// Waits until a rebuild is over.
    pub async fn rebuilt(&self, name: &str) -> Result<Outcome> {
        self.rebuilt_with(name, |_| {}).await
    }

    /// The same; `hear` is told how far it is.
    pub async fn rebuilt_with(&self, name: &str, mut hear: impl FnMut(&Step)) -> Result<Outcome> {
        loop {
            let all = self.projections().await?;
            let Some(projection) = all.iter().find(|each| each["name"] == name) else {
                anyhow::bail!("the server has no read model {name:?}");
            };
            if projection["build"].is_null() {
                if let Some(error) = projection["lastBuildError"].as_str() {
                    anyhow::bail!("{name} was not rebuilt: {error}");
                }
                return Outcome::read(&projection["lastBuild"]);
            }
            hear(&Step::read(&projection["build"]));
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn projections(&self) -> Result<Vec<Value>> {
        let mut data = self.ask(PROJECTIONS, json!({})).await?;
        Ok(match data["projections"].take() {
            Value::Array(all) => all,
            _ => Vec::new(),
        })
    }

    /// The read models that are being built.
    pub async fn building(&self) -> Result<Vec<String>> {
        let all = self.projections().await?;
        let building = all.iter().filter(|each| !each["build"].is_null());
        Ok(building.filter_map(|each| each["name"].as_str().map(ToOwned::to_owned)).collect())
    }

    /// Carries out a mutation of read models, of which nothing but a refusal is asked.
    pub async fn operate(&self, mutation: &str, input: Value) -> Result<()> {
        let (first, rest) = mutation.split_at(1);
        let of = format!("{}{rest}Input", first.to_uppercase());
        let document = format!(
            "mutation($input: {of}!) {{ {mutation}(input: $input) {{
                userErrors {{ code message field }} }} }}"
        );
        self.must(&document, input).await.map(drop)
    }
}

/// How far a build is, as it is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What it is doing, as the API writes it.
    pub phase: String,
    /// Somebody halted it.
    pub paused: bool,
    /// Positions that it has behind it.
    pub done: u64,
    /// Positions up to where the served rows are.
    pub total: u64,
    /// Positions a second, if that can be said.
    pub per_second: Option<f64>,
    /// How long it will take at that rate.
    pub seconds_left: Option<f64>,
}

impl Step {
    fn read(build: &Value) -> Self {
        Self {
            phase: build["phase"].as_str().unwrap_or_default().to_owned(),
            paused: build["paused"].as_bool().unwrap_or(false),
            done: build["done"].as_u64().unwrap_or(0),
            total: build["total"].as_u64().unwrap_or(0),
            per_second: build["perSecond"].as_f64(),
            seconds_left: build["secondsLeft"].as_f64(),
        }
    }
}

fn strange(data: &Value) -> anyhow::Error {
    anyhow::anyhow!("the answer is not what was asked for: {data}")
}

/// The server will work again in a moment.
fn passes(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<Fault>().map(|fault| fault.code.as_str());
    matches!(code, Some("THROTTLED" | "CONTENDED" | "SERVICE_UNAVAILABLE" | "NOT_YET_VISIBLE"))
}

const VERIFY: &str = "mutation($input: VerifyProjectionInput!) { verifyProjection(input: $input) {
    report { projection equal position folded seconds firstDifference skipped }
    userErrors { code message field } } }";

/// Starts rebuilds.
pub const REBUILD: &str = "mutation($input: RebuildProjectionsInput!) {
    rebuildProjections(input: $input) { userErrors { code message field } } }";

/// How the read models are.
pub const PROJECTIONS: &str = "{ projections { name lastBuildError
    build { phase paused done total perSecond secondsLeft }
    lastBuild { projection equal position folded seconds firstDifference skipped } } }";

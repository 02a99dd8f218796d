//! How spans leave: over the HTTP client that the program has anyway. The thread that sends them is
//! no thread of the runtime, so the request is made there and waited for here.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

/// How long a collector may take, if `OTEL_EXPORTER_OTLP_TIMEOUT` (milliseconds) says nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of an answer that are read: nobody looks at them.
const MOST_ANSWER: usize = 64 << 10;

/// Posts to a collector.
#[derive(Debug)]
pub(super) struct Post {
    client: reqwest::Client,
    runtime: Handle,
    failures: AtomicU64,
}

impl Post {
    pub(super) fn new() -> Result<Self> {
        let told = std::env::var("OTEL_EXPORTER_OTLP_TIMEOUT").ok();
        let millis = told.and_then(|text| text.parse().ok());
        let client = reqwest::Client::builder()
            .timeout(millis.map_or(PATIENCE, Duration::from_millis))
            // A collector is near; what a proxy would do with spans, nobody asked for.
            .no_proxy()
            .build()
            .context("no HTTP client can be had")?;
        Ok(Self { client, runtime: Handle::current(), failures: AtomicU64::new(0) })
    }

    /// Says so, ever more seldom: spans are lost, and nothing else is.
    fn failed(&self, reason: &str) {
        let count = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(count, reason, "traces cannot be exported and are lost");
        }
    }
}

async fn send(client: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>> {
    let (parts, body) = request.into_parts();
    let mut post = client.request(parts.method, parts.uri.to_string()).body(body);
    for (name, value) in &parts.headers {
        post = post.header(name, value);
    }
    let mut answer = post.send().await?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() <= MOST_ANSWER {
            body.extend_from_slice(&chunk);
        }
    }
    Ok(Response::builder().status(status).body(body.into())?)
}

impl HttpClient for Post {
    // As `async_trait` writes it: its macro is not worth a dependency.
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let sent = self.runtime.spawn(send(self.client.clone(), request));
        Box::pin(async move {
            let answer = sent.await.map_err(HttpError::from)?;
            match answer {
                Ok(answer) => {
                    if !answer.status().is_success() {
                        self.failed(&format!("the collector answers {}", answer.status()));
                    }
                    Ok(answer)
                }
                Err(error) => {
                    self.failed(&format!("{error:#}"));
                    Err(error.into())
                }
            }
        })
    }
}

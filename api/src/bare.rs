//! The schema with nothing before it but the check of the key: what a plain handler of the library
//! has. A benchmark measures the gate of [`crate::router`] beside it.

use std::sync::Arc;

use async_graphql::{Request, ValidationMode};
use axum::http::{HeaderMap, header};

use crate::{
    auth::{self, Anybody},
    metrics::Metrics,
    ports::ApiContext,
    schema::{self, Schema, batch::Batches, context::IdempotencyHeader},
};

/// The schema, and who may ask it.
#[derive(Clone)]
pub struct Bare {
    api: ApiContext,
    schema: Schema,
}

impl Bare {
    /// Over the same parts as the router.
    pub fn new(api: ApiContext) -> Self {
        let metrics = Arc::new(Metrics::default());
        Self { schema: schema::schema(api.clone(), metrics, ValidationMode::Strict), api }
    }

    /// Carries the JSON of a request out, for whoever the headers show; gives the
    /// JSON of the answer.
    pub async fn answer(&self, headers: &HeaderMap, body: &[u8]) -> serde_json::Result<Vec<u8>> {
        let request: Request = serde_json::from_slice(body)?;
        let authorization = headers.get(header::AUTHORIZATION).and_then(|text| text.to_str().ok());
        let caller = match authorization.map(auth::bearer) {
            Some(Ok(key)) => auth::check(&self.api, &key).await.ok(),
            Some(Err(_)) | None => None,
        };
        let request = request
            .data(Anybody(caller))
            .data(IdempotencyHeader::default())
            .data(Batches::default());
        serde_json::to_vec(&self.schema.execute(request).await)
    }
}

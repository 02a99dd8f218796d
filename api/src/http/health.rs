//! Whether the process lives, whether it can serve, and its metrics.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use hakken_commands::engine::Health;
use hakken_projections::{ProjectionStatus, RunState};

use super::App;
use crate::metrics::Sources;

/// A read model that is further behind is not ready to be asked.
const MAX_LAG_SECONDS: f64 = 30.0;

/// `GET /livez`: the process answers.
pub(super) async fn live() -> Response {
    Json(serde_json::json!({ "status": "ok" })).into_response()
}

/// `GET /readyz`: the write loop works, and every read model follows the events closely.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let health = *app.api.write.engine().health().borrow();
    let mut reasons = Vec::new();
    match health {
        Health::Working => {}
        Health::Failed => reasons.push("the event store can no longer be written".to_owned()),
        Health::Stopped => reasons.push("the engine has stopped".to_owned()),
    }
    match app.api.models.status().await {
        Ok(projections) => reasons.extend(projections.iter().filter_map(trouble)),
        Err(error) => {
            tracing::warn!(%error, "the read models do not say how they are");
            reasons.push("the read models do not say how they are".to_owned());
        }
    }
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if ready { "ready" } else { "not ready" };
    (status, Json(serde_json::json!({ "status": word, "reasons": reasons }))).into_response()
}

/// In words for anybody: what an event says that cannot be folded is its organizer's, and operators
/// see it in `projections`.
fn trouble(projection: &ProjectionStatus) -> Option<String> {
    let name = projection.name;
    match &projection.state {
        RunState::Stopped(poison) => {
            Some(format!("the read model {name} stopped at position {}", poison.position))
        }
        RunState::Retrying { .. } => {
            Some(format!("the read model {name} cannot reach the events or its rows just now"))
        }
        // Somebody paused it on purpose; what it serves stays whole.
        RunState::Paused => None,
        RunState::Running if projection.lag_seconds > MAX_LAG_SECONDS => {
            Some(format!("the read model {name} is {:.0} seconds behind", projection.lag_seconds))
        }
        RunState::Running => None,
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let projections = match app.api.models.status().await {
        Ok(projections) => projections,
        Err(error) => {
            tracing::warn!(%error, "the read models do not say how they are");
            Vec::new()
        }
    };
    let host = app.api.telemetry.host.as_ref();
    let vitals = host.map(|host| host.vitals()).unwrap_or_default();
    let sources = Sources {
        write: &app.api.write,
        projections: &projections,
        vitals: &vitals,
        version: &app.api.version,
    };
    match app.metrics.text(&sources) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

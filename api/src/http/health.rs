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

/// `GET /readyz`: the write loop works, and the read models follow the events closely. One that
/// stopped at an event is told and no reason to send clients elsewhere: it stops on every server.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let health = *app.api.write.engine().health().borrow();
    let (mut reasons, mut concerns) = (Vec::new(), Vec::new());
    match health {
        Health::Working => {}
        Health::Failed => reasons.push("the event store can no longer be written".to_owned()),
        Health::Stopped => reasons.push("the engine has stopped".to_owned()),
    }
    match app.api.models.status().await {
        Ok(projections) => {
            reasons.extend(projections.iter().filter_map(trouble));
            concerns.extend(projections.iter().filter_map(concern));
        }
        Err(error) => {
            tracing::warn!(%error, "the read models do not say how they are");
            reasons.push("the read models do not say how they are".to_owned());
        }
    }
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if ready { "ready" } else { "not ready" };
    let said = serde_json::json!({ "status": word, "reasons": reasons, "concerns": concerns });
    (status, Json(said)).into_response()
}

/// Why this server is not to be asked just now.
fn trouble(projection: &ProjectionStatus) -> Option<String> {
    let name = projection.name;
    match &projection.state {
        RunState::Retrying { .. } => {
            Some(format!("the read model {name} cannot reach the events or its rows just now"))
        }
        RunState::Running if projection.lag_seconds > MAX_LAG_SECONDS => {
            Some(format!("the read model {name} is {:.0} seconds behind", projection.lag_seconds))
        }
        // Somebody paused it on purpose; what it serves stays whole.
        RunState::Running | RunState::Paused | RunState::Stopped(_) => None,
    }
}

/// What somebody should see to, although this server can sell. In words for anybody: what an event
/// says that cannot be folded is its organizer's, and operators see it in `projections`.
fn concern(projection: &ProjectionStatus) -> Option<String> {
    let RunState::Stopped(poison) = &projection.state else { return None };
    Some(format!("the read model {} stopped at position {}", projection.name, poison.position))
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

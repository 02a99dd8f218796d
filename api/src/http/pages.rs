//! What people look at: GraphiQL, and pictures of seat maps.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use hakken_domain::{
    envelope::Position,
    names::{SeatId, ShowId},
};
use hakken_projections::models::seat_availability::SeatStatus;

use serde::Deserialize;

use super::{
    App, ENDPOINT,
    delivery::{Content, Keeping, knows, tag_of},
    fault, graphql, problem,
};
use crate::{
    auth::Right, faults::Fault, graphiql, ids::GlobalId, ops, ports::SeatMark, schema::visible,
};

/// What a newcomer finds in the editor.
const FIRST_QUERY: &str = "\
# Welcome to Hakken. Put your API key into the headers below:
#   { \"Authorization\": \"Bearer hk_…\" }
# and press the button to see who you are and what is on.

query Welcome {
  viewer {
    label
    role
    organizer { id name }
  }
  shows(first: 10) {
    edges {
      node {
        id
        name
        startsAt
        venue { name }
        ticketTypes { ticketType price { display } }
        sales { open }
      }
    }
  }
}
";

/// `GET /`: to GraphiQL.
pub(super) async fn home() -> Redirect {
    Redirect::temporary("/graphiql")
}

/// `GET /graphiql`.
pub(super) async fn graphiql() -> Response {
    explorer()
}

/// The page.
pub(super) fn explorer() -> Response {
    let page = graphiql::page(ENDPOINT, ENDPOINT, FIRST_QUERY);
    let policy = HeaderValue::from_static(graphiql::CONTENT_SECURITY_POLICY);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    ([(header::CONTENT_TYPE, html), (header::CONTENT_SECURITY_POLICY, policy)], page)
        .into_response()
}

/// The files of the page that somebody has asked for, compressed once.
#[derive(Default)]
pub(super) struct Assets(Mutex<HashMap<String, Arc<Content>>>);

impl Assets {
    fn find(&self, path: &str) -> Option<Arc<Content>> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(content) = found.get(path) {
            return Some(content.clone());
        }
        let (kind, bytes) = graphiql::asset(path)?;
        let content = Content::new(HeaderValue::from_static(kind), Bytes::from_static(bytes));
        found.insert(path.to_owned(), content.clone());
        Some(content)
    }
}

/// `GET /graphiql/…`: the files that the page loads.
pub(super) async fn asset(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    // A path that is not UTF-8 names no file.
    match path.ok().and_then(|Path(path)| app.assets.find(&path)) {
        Some(file) => file.response(&headers, Keeping::Public("public, max-age=3600")).await,
        None => problem(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such file."),
    }
}

/// `GET /ops`: the page of whoever runs the engine. It holds no data; what it shows it asks for
/// with the key that is typed into it.
pub(super) async fn ops(headers: HeaderMap) -> Response {
    let policy = HeaderValue::from_static(ops::CONTENT_SECURITY_POLICY);
    let html = Content::new(HeaderValue::from_static(ops::HTML), Bytes::from_static(ops::PAGE));
    let mut response = html.response(&headers, Keeping::Public("no-cache")).await;
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// `GET /ops/…`: the files that the page loads.
pub(super) async fn ops_asset(
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    match path.ok().and_then(|Path(path)| ops::asset(&path)) {
        Some((kind, bytes)) => {
            let file = Content::new(HeaderValue::from_static(kind), Bytes::from_static(bytes));
            file.response(&headers, Keeping::Public("no-cache")).await
        }
        None => problem(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such file."),
    }
}

/// What a picture must show at least.
#[derive(Debug, Deserialize)]
pub(super) struct MapParameters {
    #[serde(rename = "atLeast")]
    at_least: Option<u64>,
}

/// `GET /shows/{id}/map.svg`: the seat map of a show with what is free, for whoever may see it;
/// `?atLeast=POSITION` as in queries.
pub(super) async fn map(
    State(app): State<App>,
    show: Result<Path<String>, PathRejection>,
    parameters: Result<Query<MapParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let at_least = match parameters {
        Ok(Query(parameters)) => parameters.at_least.map(Position),
        Err(error) => return problem(StatusCode::BAD_REQUEST, "BAD_REQUEST", &error.body_text()),
    };
    let not_found =
        || problem(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no picture of such a show.");
    let caller = match graphql::caller(&app, &headers).await {
        Ok(Some(caller)) => caller,
        Ok(None) => return fault(StatusCode::UNAUTHORIZED, &Fault::NoKey),
        Err(response) => return response,
    };
    if let Err(forbidden) = caller.may(Right::SeeShows) {
        return fault(StatusCode::FORBIDDEN, &forbidden);
    }
    // A path that is not UTF-8 names no show.
    let show = show.ok().and_then(|Path(show)| ShowId::parse(&show).ok());
    let (Some(show), Some(pictures)) = (show, app.api.pictures.clone()) else {
        return not_found();
    };
    if let Err(late) = visible::wait(&app.api, "seat_availability", at_least).await {
        return fault(StatusCode::SERVICE_UNAVAILABLE, &late);
    }
    let now = app.api.write.engine().clock().now();
    let found = match app.api.models.availability(caller.organizer, show, None, now).await {
        Ok(Some(found)) => found,
        Ok(None) => return not_found(),
        Err(error) => return fault(StatusCode::SERVICE_UNAVAILABLE, &error.into()),
    };
    let seats: Vec<u8> = found.seats.iter().map(|status| *status as u8).collect();
    let tag = tag_of(&[show.to_string().as_bytes(), &found.version.to_le_bytes(), &seats]);
    let mut headers_of_all = HeaderMap::new();
    headers_of_all.insert(header::ETAG, tag.clone());
    headers_of_all.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers_of_all.insert(header::VARY, HeaderValue::from_static("Authorization"));
    if knows(&headers, &tag) {
        return (StatusCode::NOT_MODIFIED, headers_of_all).into_response();
    }
    let drawn = tokio::task::spawn_blocking(move || {
        let mark = |seat: &SeatId| match found.seat(seat) {
            Some(SeatStatus::Free) => SeatMark::Free,
            Some(SeatStatus::Held) => SeatMark::Held,
            Some(SeatStatus::Sold) => SeatMark::Sold,
            Some(SeatStatus::Blocked | SeatStatus::Allotted) | None => SeatMark::Blocked,
        };
        pictures.svg(&found.map.seat_map, &mark)
    });
    match drawn.await {
        Ok(svg) => {
            let kind = [(header::CONTENT_TYPE, "image/svg+xml; charset=utf-8")];
            (headers_of_all, kind, svg).into_response()
        }
        Err(error) => {
            let internal = Fault::Internal(error.to_string());
            fault(StatusCode::INTERNAL_SERVER_ERROR, &internal)
        }
    }
}

//! Reads the body of a request: JSON alone, in time, and only if there is room for one that large.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{App, problem};
use crate::faults::Fault;

/// Most bytes of a body: a seat map of 80,000 seats fits.
const MAX_BODY: usize = 8 << 20;
/// A body of more bytes needs a place among [`LARGE_BODIES`].
const LARGE_BODY: usize = 32 << 10;
/// Most KiB of large bodies in hand at once, over all requests.
pub(super) const LARGE_BODIES: usize = 64 << 10;
/// A body takes no longer than this to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// The body with its place among the large ones, which is to be kept until all is answered: what
/// is read of a body takes memory, too. Who does not say how large it is may need as much as is
/// allowed.
pub(super) async fn read(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Response> {
    check_kind(headers)?;
    let length = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
    let most = length.map_or(MAX_BODY, |length| length.min(MAX_BODY));
    let room = if most > LARGE_BODY {
        let kib = most.div_ceil(1 << 10) as u32;
        let room = app.large_bodies.clone().try_acquire_many_owned(kib);
        Some(room.map_err(|_| super::fault(StatusCode::SERVICE_UNAVAILABLE, &Fault::Busy))?)
    } else {
        None
    };
    match timeout(ARRIVAL, to_bytes(body, most)).await {
        Ok(Ok(body)) => Ok((body, room)),
        Ok(Err(_)) => {
            let message = format!("The body is cut off, or has more than {MAX_BODY} bytes.");
            Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "BAD_REQUEST", &message))
        }
        Err(_) => {
            let message = format!("The body did not arrive in {} s.", ARRIVAL.as_secs());
            Err(problem(StatusCode::REQUEST_TIMEOUT, "BAD_REQUEST", &message))
        }
    }
}

/// A page of another site can send any other media type with its visitor's rights and without
/// asking; JSON it cannot.
fn check_kind(headers: &HeaderMap) -> Result<(), Response> {
    let refuse = |message: &str, name, value| {
        let mut response = problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_REQUEST", message);
        response.headers_mut().insert(name, HeaderValue::from_static(value));
        response
    };
    if !is_json(headers) {
        let message = "Send the request as JSON, with the header Content-Type: application/json.";
        return Err(refuse(message, header::ACCEPT, "application/json"));
    }
    let coded = headers.get_all(header::CONTENT_ENCODING).into_iter();
    if coded.into_iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let message = "Send the request as it is, without any Content-Encoding.";
        return Err(refuse(message, header::ACCEPT_ENCODING, "identity"));
    }
    Ok(())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let Some(kind) = kind else { return false };
    let mut parts = kind.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_json
        && parts.all(|part| {
            let charset = part
                .split_once('=')
                .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
            charset.is_none_or(|(_, value)| {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            })
        })
}

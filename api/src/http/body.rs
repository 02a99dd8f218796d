//! Reads the body of a request: JSON alone, in time, and only if there is room for one that large.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use tokio::time::timeout;

use super::{App, graphql, places::Place, problem, with_extensions};
use crate::{document::MAX_VALUES, faults::Fault};

/// Most bytes of a body: a seat map of 80,000 seats fits.
const MAX_BODY: usize = 8 << 20;
/// A body of more bytes needs a key, and a place among [`LARGE_BODIES`].
const LARGE_BODY: usize = 32 << 10;
/// Most KiB of large bodies in hand at once, over all requests.
pub(super) const LARGE_BODIES: usize = 64 << 10;
/// Most of them for one key.
pub(super) const OF_ONE_KEY: usize = LARGE_BODIES / 2;
/// What a value of the body takes in memory, about, however short its text is.
const VALUE_BYTES: usize = 128;
/// Values of a request beside its variables.
const ENVELOPE: usize = 16;
/// A body takes no longer than this to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// The body with its place among the large ones, which is to be kept until all is answered: what
/// is read of a body takes memory, too. Who does not say how large it is may need as much as is
/// allowed.
pub(super) async fn read(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Option<Place>), Response> {
    if let Some(refused) = wrong_kind(headers) {
        return Err(refused);
    }
    let length = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
    let (mut bound, mut room) = (MAX_BODY, None);
    if length.is_none_or(|length| length > LARGE_BODY) {
        // Nobody without a key keeps others from sending what is large.
        match (graphql::caller(app, headers).await?, length) {
            (Some(caller), _) => {
                let room_for = kib(length.unwrap_or(bound).min(bound));
                room = Some(app.large_bodies.take(caller.key, room_for).ok_or_else(busy)?);
            }
            (None, Some(_)) => return Err(graphql::unauthenticated(&Fault::NoKey)),
            (None, None) => bound = LARGE_BODY,
        }
    }
    match timeout(ARRIVAL, to_bytes(body, bound)).await {
        Ok(Ok(body)) => {
            if let Some(room) = &mut room {
                let values = values(&body);
                if values > MAX_VALUES + ENVELOPE {
                    return Err(too_many_values(values));
                }
                // A body of small values is many times as large once it is read.
                let more = (values * VALUE_BYTES).saturating_sub(body.len());
                if !room.widen(kib(more)) {
                    return Err(busy());
                }
            }
            Ok((body, room))
        }
        Ok(Err(_)) => {
            let larger = if bound < MAX_BODY { " Larger ones need an API key." } else { "" };
            let message = format!("The body is cut off, or has more than {bound} bytes.{larger}");
            Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "BAD_REQUEST", &message))
        }
        Err(_) => {
            let message = format!("The body did not arrive in {} s.", ARRIVAL.as_secs());
            Err(problem(StatusCode::REQUEST_TIMEOUT, "BAD_REQUEST", &message))
        }
    }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1 << 10)
}

fn busy() -> Response {
    super::fault(StatusCode::SERVICE_UNAVAILABLE, &Fault::Busy)
}

/// How many values a JSON text has, lists and objects included. Of what is no JSON it says
/// something, too: whoever reads it finds that out.
fn values(text: &[u8]) -> usize {
    let (mut values, mut in_string, mut is_escaped, mut is_opened) = (1, false, false, false);
    for byte in text {
        if in_string {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        if byte.is_ascii_whitespace() {
            continue;
        }
        // A list or object with anything in it has one element more than commas.
        values += usize::from(is_opened && !matches!(byte, b']' | b'}'));
        is_opened = matches!(byte, b'[' | b'{');
        match byte {
            b'"' => in_string = true,
            b',' => values += 1,
            _ => {}
        }
    }
    values
}

fn too_many_values(found: usize) -> Response {
    let message = format!(
        "The body has {found} values; the variables may have {MAX_VALUES}. Send several requests."
    );
    let limit = serde_json::json!({ "name": "VALUES", "most": MAX_VALUES, "found": found });
    let extensions = serde_json::json!({ "code": "BAD_REQUEST", "limit": limit });
    with_extensions(StatusCode::BAD_REQUEST, &message, &extensions)
}

/// A page of another site can send any other media type with its visitor's rights and without
/// asking; JSON it cannot.
fn wrong_kind(headers: &HeaderMap) -> Option<Response> {
    let refuse = |message: &str, name, value| {
        let mut response = problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_REQUEST", message);
        response.headers_mut().insert(name, HeaderValue::from_static(value));
        response
    };
    if !is_json(headers) {
        let message = "Send the request as JSON, with the header Content-Type: application/json.";
        return Some(refuse(message, header::ACCEPT, "application/json"));
    }
    let coded = headers.get_all(header::CONTENT_ENCODING).into_iter();
    if coded.into_iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let message = "Send the request as it is, without any Content-Encoding.";
        return Some(refuse(message, header::ACCEPT_ENCODING, "identity"));
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_without_reading_them() {
        for (text, count) in [
            ("7", 1),
            ("[]", 1),
            ("{ }", 1),
            ("[1, 2,3]", 4),
            (r#"{"a": 1, "b": [ [], {}, "x,[{" ]}"#, 6),
            (r#"["\"", "\\", "]"]"#, 4),
            (r#"{"query": "{ a(b: [1, 2]) }", "variables": {"x": null}}"#, 4),
        ] {
            let read: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!((values(text.as_bytes()), counted(&read)), (count, count), "{text}");
        }
        assert!(values(b"]],[{\"") < 8, "what is no JSON");
    }

    fn counted(value: &serde_json::Value) -> usize {
        1 + match value {
            serde_json::Value::Array(values) => values.iter().map(counted).sum(),
            serde_json::Value::Object(fields) => fields.values().map(counted).sum(),
            _ => 0,
        }
    }
}

//! The messages of `graphql-transport-ws`. What has another form closes the socket with 4400.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::http::graphql::Parameters;

/// Most bytes of an operation's id: it is repeated with every answer.
const MAX_ID: usize = 256;

type Payload = Option<Map<String, Value>>;

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FromClient {
    ConnectionInit {
        #[serde(default)]
        payload: Payload,
    },
    Ping {
        #[serde(default)]
        payload: Payload,
    },
    Pong {
        #[serde(default, rename = "payload")]
        _payload: Payload,
    },
    Subscribe {
        id: OperationId,
        payload: Parameters,
    },
    Complete {
        id: OperationId,
    },
}

/// Not empty, and short.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct OperationId(pub(super) String);

impl TryFrom<String> for OperationId {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        match id.len() {
            0 => Err("an id is not empty".to_owned()),
            length if length > MAX_ID => Err(format!("an id has at most {MAX_ID} bytes")),
            _ => Ok(Self(id)),
        }
    }
}

impl FromClient {
    /// Reads a message; the error says what is wrong with it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let message: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match &message {
            // A document may be named by its hash instead, which stands in the extensions.
            Self::Subscribe { payload, .. }
                if payload.query.is_none() && payload.extensions.is_none() =>
            {
                Err("missing field `query`".to_owned())
            }
            _ => Ok(message),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ToClient<'a, P: Serialize> {
    ConnectionAck,
    Ping,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Payload,
    },
    Next {
        id: &'a str,
        payload: P,
    },
    Error {
        id: &'a str,
        payload: P,
    },
    Complete {
        id: &'a str,
    },
}

/// A message without an answer in it.
pub(super) type Plain<'a> = ToClient<'a, ()>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_another_form_are_refused() {
        for text in [
            "",
            "[]",
            r#"{"type":"next","id":"1","payload":{}}"#,
            r#"{"type":"connection_ack"}"#,
            r#"{"type":"connection_init","payload":"key"}"#,
            r#"{"type":"ping","payload":3}"#,
            r#"{"type":"pong","payload":[]}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"complete","id":""}"#,
            r#"{"type":"subscribe","payload":{"query":"{ a }"}}"#,
            r#"{"type":"subscribe","id":1,"payload":{"query":"{ a }"}}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","id":"1","payload":{}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":3}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{ a }","variables":[]}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{ a }","operationName":1}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{ a }","extensions":1}}"#,
        ] {
            assert!(FromClient::read(text).is_err(), "{text}");
        }
        let long = format!(r#"{{"type":"complete","id":"{}"}}"#, "x".repeat(MAX_ID + 1));
        assert!(FromClient::read(&long).is_err());
    }

    #[test]
    fn what_may_be_missing_or_null_is_taken() {
        for text in [
            r#"{"type":"connection_init"}"#,
            r#"{"type":"connection_init","payload":null}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"pong","payload":{"a":1}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{ a }"}}"#,
            r#"{"id":"1","payload":{"query":"{ a }","variables":null,"operationName":null,
                "extensions":null},"type":"subscribe"}"#,
        ] {
            assert!(FromClient::read(text).is_ok(), "{text}");
        }
    }
}

//! A show on sale, and the way to ask over HTTP.

use cynic::{GraphQlResponse, Operation};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::documents::Position;

/// Why the script ends before it is over.
pub type Failure = Box<dyn std::error::Error>;

/// A hall of three seats on sale.
pub struct Sale {
    pub url: String,
    pub show: cynic::Id,
    pub seller: String,
    pub auditor: String,
    /// Everything behind it belongs to the sale.
    pub position: Position,
}

/// Sends an operation of cynic's and gives its data.
pub fn ask<T, V>(url: &str, key: &str, operation: Operation<T, V>) -> Result<T, Failure>
where
    T: DeserializeOwned + 'static,
    V: Serialize,
{
    let answer: GraphQlResponse<T> = post(url, key, operation)?;
    match (answer.data, answer.errors) {
        (Some(data), None) => Ok(data),
        (_, errors) => Err(format!("{errors:?}").into()),
    }
}

fn post<T: DeserializeOwned>(url: &str, key: &str, body: impl Serialize) -> Result<T, Failure> {
    let request = ureq::post(url).header("Authorization", format!("Bearer {key}"));
    Ok(request.send_json(body)?.body_mut().read_json()?)
}

/// Carries out a mutation that needs no types, and gives its payload.
fn tell(
    url: &str,
    key: &str,
    mutation: &str,
    fields: &str,
    input: Value,
) -> Result<Value, Failure> {
    let (first, rest) = mutation.split_at(1);
    let query = format!(
        "mutation($input: {}{rest}Input!) {{ {mutation}(input: $input) {{ {fields} \
         userErrors {{ code message }} }} }}",
        first.to_uppercase()
    );
    let body = json!({ "query": query, "variables": { "input": input } });
    let answer: Value = post(url, key, body)?;
    let payload = &answer["data"][mutation];
    if payload["userErrors"] != json!([]) {
        return Err(format!("{mutation}: {answer}").into());
    }
    Ok(payload.clone())
}

fn text(value: &Value) -> Result<String, Failure> {
    Ok(value.as_str().ok_or("no text")?.to_owned())
}

impl Sale {
    /// Opens it with the first key of a new server.
    pub fn open(url: &str, operator: &str) -> Result<Self, Failure> {
        let input = json!({ "idempotencyKey": "cynic", "name": "cynic" });
        let made = tell(url, operator, "registerOrganizer", "organizer { id }", input)?;
        let organizer = &made["organizer"]["id"];
        let key_of = |role: &str| {
            let input = json!({
                "idempotencyKey": format!("cynic-{role}"), "label": role, "role": role,
                "organizer": organizer
            });
            text(&tell(url, operator, "createApiKey", "secret", input)?["secret"])
        };
        let (owner, seller) = (key_of("ORGANIZER")?, key_of("BOX_OFFICE")?);
        let row: Vec<Value> = (0..3)
            .map(|at| {
                json!({
                    "id": format!("S{at}"), "number": format!("{}", at + 1), "x": at * 50, "y": 0,
                    "category": "stalls"
                })
            })
            .collect();
        let hall = json!({
            "name": "Hall", "focus": { "x": 500, "y": -200 },
            "sections": [{ "name": "Stalls", "rows": [{ "name": "1", "seats": row }] }]
        });
        let input = json!({
            "idempotencyKey": "cynic-venue", "name": "Hall", "seatMap": { "json": hall.to_string() }
        });
        let venue = tell(url, &owner, "registerVenue", "venue { id }", input)?;
        let input = json!({
            "idempotencyKey": "cynic-show", "name": "Show", "venue": venue["venue"]["id"],
            "startsAt": "2098-01-01T10:00:00Z", "endsAt": "2098-01-01T12:00:00Z"
        });
        let show = text(&tell(url, &owner, "scheduleShow", "show { id }", input)?["show"]["id"])?;
        let input = json!({
            "idempotencyKey": "cynic-sales", "show": show,
            "rules": { "salesFrom": "2020-01-01T00:00:00Z", "salesUntil": "2098-01-01T00:00:00Z" }
        });
        let opened = tell(url, &owner, "openSales", "position", input)?;
        let position = Position(opened["position"].as_u64().ok_or("no position")?);
        Ok(Self {
            url: url.to_owned(),
            show: cynic::Id::new(show),
            seller,
            auditor: key_of("AUDITOR")?,
            position,
        })
    }
}

//! Scalars: instants, positions, amounts, currencies and JSON.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use hakken_domain::{envelope::Position, money::Currency, time::Timestamp};

/// An instant in RFC 3339, always UTC in answers: `2026-11-21T18:30:00Z`, or with a fraction of a
/// second of up to six digits: `2026-11-21T18:30:00.25Z`. In requests any offset is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime(pub Timestamp);

/// An instant in RFC 3339, always UTC in answers: `2026-11-21T18:30:00Z`, or with a fraction of a
/// second of up to six digits: `2026-11-21T18:30:00.25Z`. In requests any offset is understood.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => text.parse().map(Self).map_err(InputValueError::custom),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// The place of an event among all events: a whole number from 1 (0 is before the first), which
/// grows with every event, such as `1204`. Every mutation returns one, and every query takes one as
/// `atLeast`. It may be larger than what `Int` can carry, and may be given as a text of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionScalar(pub Position);

/// The place of an event among all events: a whole number from 1 (0 is before the first), which
/// grows with every event, such as `1204`. Every mutation returns one, and every query takes one as
/// `atLeast`. It may be larger than what `Int` can carry, and may be given as a text of digits.
#[Scalar(
    name = "Position",
    specified_by_url = "https://ibm.github.io/graphql-specs/custom-scalars/long.html"
)]
impl ScalarType for PositionScalar {
    fn parse(value: Value) -> InputValueResult<Self> {
        whole(&value)
            .map(|number| Self(Position(number)))
            .ok_or_else(|| InputValueError::custom("a position is a whole number, 0 or more"))
    }

    fn to_value(&self) -> Value {
        Value::from(self.0.0)
    }
}

/// An amount in the smallest unit of its currency, as a whole number of up to 10^15: `12000` is
/// 12,000 yen in JPY and 120 euros in EUR. It may be larger than what `Int` can carry, and may be
/// given as a text of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinorUnits(pub u64);

/// An amount in the smallest unit of its currency, as a whole number of up to 10^15: `12000` is
/// 12,000 yen in JPY and 120 euros in EUR. It may be larger than what `Int` can carry, and may be
/// given as a text of digits.
#[Scalar(specified_by_url = "https://ibm.github.io/graphql-specs/custom-scalars/long.html")]
impl ScalarType for MinorUnits {
    fn parse(value: Value) -> InputValueResult<Self> {
        whole(&value).map(Self).ok_or_else(|| {
            InputValueError::custom(
                "an amount is a whole number of the smallest unit of its currency, 0 or more",
            )
        })
    }

    fn to_value(&self) -> Value {
        Value::from(self.0)
    }
}

/// A currency, by its code of three letters in ISO 4217: `JPY`, `EUR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrencyCode(pub String);

impl From<Currency> for CurrencyCode {
    fn from(currency: Currency) -> Self {
        Self(currency.to_string())
    }
}

/// A currency, by its code of three letters in ISO 4217: `JPY`, `EUR`.
#[Scalar(name = "Currency", specified_by_url = "https://www.iso.org/iso-4217-currency-codes.html")]
impl ScalarType for CurrencyCode {
    /// Any text: a currency that is unknown is refused by the mutation, as data, with its field.
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            value => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// Any JSON value: an object for the data of an event, such as `{"hold": "01J…", "seats": ["A1"]}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnyJson(pub serde_json::Value);

/// Any JSON value: an object for the data of an event, such as `{"hold": "01J…", "seats": ["A1"]}`.
#[Scalar(name = "JSON", specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259")]
impl ScalarType for AnyJson {
    fn parse(value: Value) -> InputValueResult<Self> {
        value.into_json().map(Self).map_err(InputValueError::custom)
    }

    fn to_value(&self) -> Value {
        Value::from_json(self.0.clone()).unwrap_or_default()
    }
}

/// A whole number, or its digits as a text (for clients whose numbers are small).
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok()
        }
        _ => None,
    }
}

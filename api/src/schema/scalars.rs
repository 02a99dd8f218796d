//! Scalars: instants, positions and amounts.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use hakken_domain::{envelope::Position, time::Timestamp};

/// An instant in RFC 3339, always UTC in answers: `2026-11-21T18:30:00Z`. In requests any offset
/// is understood. Precise to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime(pub Timestamp);

/// An instant in RFC 3339, always UTC in answers: `2026-11-21T18:30:00Z`. In requests any offset
/// is understood. Precise to the microsecond.
#[Scalar(specified_by_url = "https://scalars.graphql.org/andimarek/date-time")]
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

/// The place of an event among all events: a whole number from 1, which grows with every event.
/// Every mutation returns one, and every query takes one as `atLeast`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionScalar(pub Position);

/// The place of an event among all events: a whole number from 1 (0 is before the first), which
/// grows with every event. Every mutation returns one, and every query takes one as `atLeast`.
#[Scalar(name = "Position")]
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

/// An amount in the smallest unit of its currency, as a whole number of up to 10^15: yen for
/// JPY, cents for EUR. It may be larger than what `Int` can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinorUnits(pub u64);

/// An amount in the smallest unit of its currency, as a whole number of up to 10^15: yen for
/// JPY, cents for EUR. It may be larger than what `Int` can carry.
#[Scalar]
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

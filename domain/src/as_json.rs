//! An event's data inside a snapshot: `#[serde(with = "crate::as_json")]`. Events leave absent
//! fields out and flatten some, which a format without field names (postcard) cannot undo; so
//! there they stand as one string, their own JSON.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
    ser::Error as _,
};

/// Writes the value's JSON as a string.
pub fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&serde_json::to_string(value).map_err(S::Error::custom)?)
}

/// Reads it back.
pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let json = String::deserialize(deserializer)?;
    serde_json::from_str(&json).map_err(D::Error::custom)
}

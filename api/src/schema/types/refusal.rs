//! What was refused lately.

use async_graphql::{ID, SimpleObject};

use crate::{ids::GlobalId, metrics::Notice, schema::scalars::DateTime};

/// A mutation that was refused, or a field that could not be answered.
#[derive(Debug, Clone, SimpleObject)]
pub struct NewestRefusal {
    /// When.
    pub at: DateTime,
    /// Its code: of `userErrors`, or of `errors`.
    pub code: String,
    /// What the client was told, such as `Seat "A2" is held or sold already.`; long texts are cut.
    pub message: String,
    /// The field at the root of the operation, `holdSeats`; null where nothing was carried out.
    pub field: Option<String>,
    /// The id of the key that asked, `key_01J…`; null without a key.
    pub api_key_id: Option<ID>,
    /// The id of its organizer, `organizer_01J…`; null for an operator.
    pub organizer_id: Option<ID>,
    /// The trace in which it happened, if that was sampled: 32 hexadecimal digits, such as
    /// `4bf92f3577b34da6a3ce929d0e0e4736`.
    pub trace: Option<String>,
}

impl From<Notice> for NewestRefusal {
    fn from(refused: Notice) -> Self {
        Self {
            at: DateTime(refused.at),
            code: refused.code,
            message: refused.message,
            field: refused.field,
            api_key_id: refused.key.map(GlobalId::global),
            organizer_id: refused.organizer.map(GlobalId::global),
            trace: refused.trace.map(|trace| format!("{trace:032x}")),
        }
    }
}

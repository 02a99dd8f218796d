use async_graphql::{Enum, ID, SimpleObject};
use hakken_domain::{apikey, names::OrganizerId, organizer};
use hakken_projections::models::catalogue::{ApiKeyView, OrganizerView};

use crate::ids::GlobalId;

/// Who sells: the tenant. Organizers do not see each other.
#[derive(Debug, Clone, SimpleObject)]
pub struct Organizer {
    /// Its global id: `organizer_…`.
    #[graphql(owned)]
    pub id: ID,
    /// What people call it: `響ホール`.
    pub name: String,
    /// The keys that sign its tickets' codes, the oldest first. Their secrets are derived from
    /// the engine's own and stand nowhere.
    pub code_keys: Vec<CodeKey>,
}

/// A key that signs the codes of tickets.
#[derive(Debug, Clone, SimpleObject)]
pub struct CodeKey {
    /// 1 to 255.
    pub number: u8,
    /// Whether it signs or verifies.
    pub state: CodeKeyState,
}

/// What a key for ticket codes does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum CodeKeyState {
    /// New codes are signed with it, and codes signed with it are accepted.
    Signing,
    /// Codes signed with it are accepted; new ones are signed with a newer key.
    VerifyOnly,
    /// Codes signed with it are refused at every gate.
    Disabled,
}

impl Organizer {
    /// None if the organizer was never registered.
    pub(crate) fn from_state(id: OrganizerId, state: &organizer::State) -> Option<Self> {
        let signing = state.signing_key()?;
        let code_keys = (1..=signing)
            .map(|number| CodeKey {
                number,
                state: if number == signing {
                    CodeKeyState::Signing
                } else if state.may_verify(number) {
                    CodeKeyState::VerifyOnly
                } else {
                    CodeKeyState::Disabled
                },
            })
            .collect();
        Some(Self { id: id.global(), name: state.name()?.to_string(), code_keys })
    }
}

impl From<OrganizerView> for Organizer {
    fn from(view: OrganizerView) -> Self {
        let newest = view.code_keys.last().map(|key| key.code_key);
        let code_keys = view.code_keys.iter().map(|key| CodeKey {
            number: key.code_key,
            state: if key.disabled {
                CodeKeyState::Disabled
            } else if Some(key.code_key) == newest {
                CodeKeyState::Signing
            } else {
                CodeKeyState::VerifyOnly
            },
        });
        let code_keys = code_keys.collect();
        Self { id: view.organizer.global(), name: view.name.to_string(), code_keys }
    }
}

/// What the holder of an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "hakken_domain::apikey::Role")]
pub enum Role {
    /// Everything of one organizer.
    Organizer,
    /// Hold, order, pay, issue, cancel and refund for one organizer, and see its orders, tickets
    /// and their codes.
    BoxOffice,
    /// Scan for one organizer, and look tickets and shows up.
    Gate,
    /// See everything of one organizer but the codes of its tickets, and change nothing.
    Auditor,
    /// Run the engine: organizers, keys, projections; see every organizer's things. Sells
    /// nothing, and belongs to no organizer.
    Operator,
}

/// A key with which programs ask. Its text is shown once, when it is made.
#[derive(Debug, Clone, SimpleObject)]
pub struct ApiKey {
    /// Its global id: `key_…`. Events name it as their actor, as `key:` and the ULID.
    #[graphql(owned)]
    pub id: ID,
    /// What people call it: `counter 1`.
    pub label: String,
    /// What it may do.
    pub role: Role,
    /// For which organizer, `organizer_01J…`; null for an operator's key.
    pub organizer_id: Option<ID>,
    /// It opens nothing any more.
    pub revoked: bool,
}

impl ApiKey {
    /// None if there is no such key.
    pub(crate) fn from_state(
        id: hakken_domain::names::ApiKeyId,
        state: &apikey::State,
    ) -> Option<Self> {
        let created = state.created()?;
        Some(Self {
            id: id.global(),
            label: created.label.to_string(),
            role: created.role.into(),
            organizer_id: created.organizer.map(GlobalId::global),
            revoked: state.is_revoked(),
        })
    }
}

impl From<ApiKeyView> for ApiKey {
    fn from(view: ApiKeyView) -> Self {
        Self {
            id: view.api_key.global(),
            label: view.label.to_string(),
            role: view.role.into(),
            organizer_id: view.organizer.map(GlobalId::global),
            revoked: view.revoked,
        }
    }
}

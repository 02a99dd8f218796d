//! Who asks, and what they may do. A request shows an API key; its stream says for whom it is and
//! what it opens.

mod keys;
mod rights;

pub use keys::{NewKey, create_key, create_operator_key};
pub(crate) use keys::{PresentedKey, creation, derived_key};
pub(crate) use rights::{Anybody, Caller, Right};

use hakken_commands::engine::{CommandError, Tenant};
use hakken_domain::State;

use crate::ports::ApiContext;

/// Why a shown key opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthError {
    /// Not `Authorization: Bearer hk_…`.
    NotAKey,
    /// No such key, or it is revoked. Which of them is nobody's business.
    NotValid,
    /// The keys cannot be read just now.
    Unavailable,
    /// Too many requests wait already.
    Busy,
}

/// The key in an `Authorization` header.
pub(crate) fn bearer(header: &str) -> Result<PresentedKey, AuthError> {
    let (scheme, key) = header.trim().split_once(' ').ok_or(AuthError::NotAKey)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::NotAKey);
    }
    PresentedKey::parse(key.trim()).ok_or(AuthError::NotAKey)
}

/// Whose key it is.
pub(crate) async fn check(api: &ApiContext, key: &PresentedKey) -> Result<Caller, AuthError> {
    let found = api.write.engine().read(Tenant::Any, key.id, |state, _| match state {
        State::Key(known) if !known.is_revoked() => known.created().cloned(),
        _ => None,
    });
    let created = match found.await {
        Ok(found) => found.ok_or(AuthError::NotValid)?,
        Err(CommandError::Busy) => return Err(AuthError::Busy),
        Err(_) => return Err(AuthError::Unavailable),
    };
    if !key.matches(&api.secret, &created.hash) {
        return Err(AuthError::NotValid);
    }
    Ok(Caller {
        key: key.id,
        label: created.label,
        role: created.role,
        organizer: created.organizer,
    })
}

//! The text of an API key, its hash, and making keys. A key is `hk_`, its ULID, `_`, and 32 bytes
//! of secret in lower-case Base32. Only a keyed hash of it is ever stored.

use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use hakken_commands::{
    desk::{Desk, EngineSecret},
    engine::{Asker, CommandError, Receipt},
};
use hakken_domain::{
    apikey::{ApiKeyCreated, Command, Role},
    names::{ActorRef, ApiKeyId, CommandKey, Label, OrganizerId, read_ulid},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ulid::Ulid;

use crate::ports::SecretSource;

const HASH_DOMAIN: &[u8] = b"hakken api key v1\0";
const DERIVE_DOMAIN: &[u8] = b"hakken api key secret v1\0";
const PREFIX: &str = "hk_";
const SECRET_BYTES: usize = 32;

/// A key as its holder shows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PresentedKey {
    pub(crate) id: ApiKeyId,
    secret: [u8; SECRET_BYTES],
}

impl PresentedKey {
    pub(crate) fn new(id: ApiKeyId, secret: [u8; SECRET_BYTES]) -> Self {
        Self { id, secret }
    }

    /// Reads the text of a key.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let id = ApiKeyId(read_ulid(id)?);
        // Base32 has one spelling: lower case.
        if secret.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let bytes = BASE32_NOPAD.decode(secret.to_ascii_uppercase().as_bytes()).ok()?;
        Some(Self { id, secret: bytes.try_into().ok()? })
    }

    /// The text of the key: shown once.
    pub(crate) fn text(&self) -> String {
        let secret = BASE32_NOPAD.encode(&self.secret).to_ascii_lowercase();
        format!("{PREFIX}{}_{secret}", self.id)
    }

    fn mac(&self, engine: &EngineSecret) -> Hmac<Sha256> {
        let mut mac = keyed(engine);
        mac.update(HASH_DOMAIN);
        mac.update(&self.id.0.to_bytes());
        mac.update(&self.secret);
        mac
    }

    /// What is stored of it.
    pub(crate) fn hash(&self, engine: &EngineSecret) -> String {
        HEXLOWER.encode(&self.mac(engine).finalize().into_bytes())
    }

    /// Whether this is the key of which the hash was stored. Takes constant time.
    pub(crate) fn matches(&self, engine: &EngineSecret, stored: &str) -> bool {
        HEXLOWER_PERMISSIVE
            .decode(stored.as_bytes())
            .is_ok_and(|stored| self.mac(engine).verify_slice(&stored).is_ok())
    }
}

fn keyed(engine: &EngineSecret) -> Hmac<Sha256> {
    Hmac::new_from_slice(engine.0.as_ref()).expect("HMAC takes keys of any length")
}

/// The key that a command makes: the same actor with the same idempotency key gets the same one,
/// so that a retry whose first answer was lost shows it again.
pub(crate) fn derived_key(
    engine: &EngineSecret,
    organizer: Option<OrganizerId>,
    actor: &ActorRef,
    key: &CommandKey,
) -> PresentedKey {
    let scope = organizer.map_or_else(|| "engine".to_owned(), |organizer| organizer.to_string());
    let mut mac = keyed(engine);
    mac.update(DERIVE_DOMAIN);
    for part in [scope.as_str(), actor.as_str(), key.as_str()] {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part.as_bytes());
    }
    PresentedKey::new(ApiKeyId::derived(&scope, key.as_str()), mac.finalize().into_bytes().into())
}

/// The command that makes a key.
pub(crate) fn creation(
    key: &PresentedKey,
    engine: &EngineSecret,
    label: Label,
    role: Role,
    organizer: Option<OrganizerId>,
) -> Command {
    let hash = key.hash(engine);
    Command::CreateApiKey(Box::new(ApiKeyCreated { label, role, organizer, hash }))
}

/// What a new key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// What people call it.
    pub label: Label,
    /// What it may do.
    pub role: Role,
    /// For whom; nobody for an operator.
    pub organizer: Option<OrganizerId>,
}

/// Makes a key and gives its text, which is nowhere stored. For the command line; over the API
/// it is `createApiKey`.
pub async fn create_key(
    desk: &Desk,
    engine: &EngineSecret,
    source: &dyn SecretSource,
    actor: ActorRef,
    new: NewKey,
) -> Result<(String, Receipt), CommandError> {
    let secret = source.secret();
    // The id gives nothing of the secret away: it is the hash of a hash under another secret.
    let unnamed = PresentedKey::new(ApiKeyId(Ulid(0)), secret);
    let key = PresentedKey::new(ApiKeyId::derived("fresh", &unnamed.hash(engine)), secret);
    let asker =
        Asker { organizer: new.organizer, actor, key: None, cause: None, correlation: None };
    let command = creation(&key, engine, new.label, new.role, new.organizer);
    let receipt = desk.create(asker, key.id, command).await?;
    Ok((key.text(), receipt))
}

/// Makes the first operator's key of an empty store.
pub async fn create_operator_key(
    desk: &Desk,
    engine: &EngineSecret,
    source: &dyn SecretSource,
) -> Result<String, CommandError> {
    let label = Label::new("first operator").expect("a good name");
    let actor = ActorRef::new("system:first-start").expect("a good name");
    let new = NewKey { label, role: Role::Operator, organizer: None };
    Ok(create_key(desk, engine, source, actor, new).await?.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn engine() -> EngineSecret {
        EngineSecret(Arc::new([7; 32]))
    }

    fn key() -> PresentedKey {
        PresentedKey::new(ApiKeyId(Ulid(42)), [9; 32])
    }

    #[test]
    fn a_key_has_one_text_and_one_hash() {
        let text = key().text();
        assert_eq!(
            text,
            "hk_0000000000000000000000001A_beeqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeq"
        );
        assert!(PresentedKey::parse(&text) == Some(key()));
        assert!(key().matches(&engine(), &key().hash(&engine())));
    }

    #[test]
    fn another_id_secret_or_engine_does_not_match() {
        let hash = key().hash(&engine());
        let other_id = PresentedKey::new(ApiKeyId(Ulid(43)), [9; 32]);
        let other_secret = PresentedKey::new(ApiKeyId(Ulid(42)), [8; 32]);
        assert!(!other_id.matches(&engine(), &hash));
        assert!(!other_secret.matches(&engine(), &hash));
        assert!(!key().matches(&EngineSecret(Arc::new([8; 32])), &hash));
        assert!(!key().matches(&engine(), "no hash"));
        assert!(!key().matches(&engine(), &hash[..16]));
    }

    #[test]
    fn rubbish_is_no_key() {
        let good = key().text();
        let upper = good.replace("beeq", "BEEQ");
        for text in ["", "hk_", "hk__", "hk_x_y", &good[..30], &upper, &format!("{good}a")] {
            assert!(PresentedKey::parse(text).is_none(), "{text:?}");
        }
    }
}

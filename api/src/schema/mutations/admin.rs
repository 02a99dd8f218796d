//! Organizers, API keys, and the keys of ticket codes.

use async_graphql::{Context, ID, InputObject, Object};
use hakken_domain::{
    State, apikey,
    names::{ApiKeyId, OrganizerId},
    organizer,
};

use super::command::{Ask, Stamp, Stop, bad_input, carry_out, payload};
use crate::{
    auth::{Right, creation, derived_key},
    refusals,
    schema::{
        context::Answer,
        load,
        types::{ApiKey, Organizer, Role},
    },
};

/// A new organizer.
#[derive(Debug, InputObject)]
pub struct RegisterOrganizerInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// What people call it: `響ホール`.
    name: String,
}

/// Whose ticket codes are signed with a new key.
#[derive(Debug, InputObject)]
pub struct RotateCodeKeyInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Which organizer (`organizer_01J…`); the caller's own if absent.
    organizer: Option<ID>,
}

/// A key for ticket codes that is refused from now on.
#[derive(Debug, InputObject)]
pub struct DisableCodeKeyInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Which organizer (`organizer_01J…`); the caller's own if absent.
    organizer: Option<ID>,
    /// The number of the key. Not the one that signs: rotate first.
    code_key: u8,
}

macro_rules! organizer_payloads {
    ($($name:ident of $mutation:literal;)*) => {
        $(payload! {
            #[doc = $mutation]
            $name {
                /// The organizer as it is now.
                organizer: Organizer,
            }
        })*
    };
}

organizer_payloads! {
    RegisterOrganizerPayload of "What came of `registerOrganizer`.";
    RotateCodeKeyPayload of "What came of `rotateCodeKey`.";
    DisableCodeKeyPayload of "What came of `disableCodeKey`.";
}

/// A new API key.
#[derive(Debug, InputObject)]
pub struct CreateApiKeyInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// What people call it: `counter 1`.
    label: String,
    /// What it may do.
    role: Role,
    /// For which organizer (`organizer_01J…`); the caller's own if absent. An operator names it
    /// for every role but OPERATOR.
    organizer: Option<ID>,
}

payload! {
    /// What came of `createApiKey`.
    CreateApiKeyPayload {
        /// The new key.
        api_key: ApiKey,
        /// Its text, for `Authorization: Bearer …`. Keep it: it is stored nowhere. Only whoever
        /// made it, and sends the very same request again, sees it again.
        secret: String,
    }
}

/// A key that opens nothing from now on.
#[derive(Debug, InputObject)]
pub struct RevokeApiKeyInput {
    /// Makes it safe to send the request again: same key and same input, same answer. A text of
    /// your choice, such as `order-7f3a-1`.
    idempotency_key: Option<String>,
    /// Which key: `key_01J…`.
    api_key: ID,
}

payload! {
    /// What came of `revokeApiKey`.
    RevokeApiKeyPayload {
        /// The key as it is now.
        api_key: ApiKey,
    }
}

#[derive(Default)]
pub(super) struct AdminMutation;

#[Object]
impl AdminMutation {
    /// Registers an organizer, with a first key for its ticket codes. Make API keys for it next.
    /// Needs the role OPERATOR.
    async fn register_organizer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RegisterOrganizerInput,
    ) -> Answer<RegisterOrganizerPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::Operate, key, |ask| async move {
            let organizer = OrganizerId::derived("engine", ask.key().as_str());
            let name = ask.read("name", &input.name)?;
            let command = organizer::Command::RegisterOrganizer { name };
            let (organizer, stamp) = tell(&ask, organizer, command).await?;
            Ok(RegisterOrganizerPayload::done(stamp, organizer))
        })
        .await
    }

    /// Signs new ticket codes with a new key; codes given out before open gates still. Needs the
    /// role ORGANIZER or OPERATOR.
    async fn rotate_code_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RotateCodeKeyInput,
    ) -> Answer<RotateCodeKeyPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::ManageKeys, key, |ask| async move {
            let organizer = required(&ask, input.organizer.as_ref())?;
            let command = organizer::Command::RotateCodeKey;
            let (organizer, stamp) = tell(&ask, organizer, command).await?;
            Ok(RotateCodeKeyPayload::done(stamp, organizer))
        })
        .await
    }

    /// Refuses every ticket code that was signed with a key. Reissue those tickets next. Needs the
    /// role ORGANIZER or OPERATOR.
    async fn disable_code_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: DisableCodeKeyInput,
    ) -> Answer<DisableCodeKeyPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::ManageKeys, key, |ask| async move {
            let organizer = required(&ask, input.organizer.as_ref())?;
            let command = organizer::Command::DisableCodeKey { code_key: input.code_key };
            let (organizer, stamp) = tell(&ask, organizer, command).await?;
            Ok(DisableCodeKeyPayload::done(stamp, organizer))
        })
        .await
    }

    /// Makes an API key. Its text is shown here and nowhere else. Needs the role ORGANIZER, for
    /// its own, or OPERATOR.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: CreateApiKeyInput,
    ) -> Answer<CreateApiKeyPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::ManageKeys, key, |ask| create_api_key(ask, input)).await
    }

    /// Lets an API key open nothing any more, at once. Needs the role ORGANIZER, for its own, or
    /// OPERATOR.
    async fn revoke_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RevokeApiKeyInput,
    ) -> Answer<RevokeApiKeyPayload> {
        let key = input.idempotency_key.clone();
        carry_out(ctx, Right::ManageKeys, key, |ask| async move {
            let id: ApiKeyId = ask.id("apiKey", &input.api_key)?;
            let api = ask.asked.api;
            let owner = load::look(api, ask.caller.organizer, id, |state, _| {
                let State::Key(key) = state else { return None };
                Some(key.created()?.organizer)
            });
            let Some(owner) = owner.await? else {
                return Err(ask.stop(refusals::not_yours(hakken_domain::envelope::StreamKind::Key)));
            };
            let command = apikey::Command::RevokeApiKey;
            let outcome = api.write.desk().ask(ask.asker(owner), id, command).await;
            let receipt = ask.told(id, outcome)?;
            let revoked = load::api_key(api, owner, id).await?;
            Ok(RevokeApiKeyPayload::done((&receipt).into(), revoked))
        })
        .await
    }
}

/// The organizer that is named, or the caller's own.
fn named(ask: &Ask<'_>, organizer: Option<&ID>) -> Result<Option<OrganizerId>, Stop> {
    let named = organizer.map(|id| ask.id("organizer", id)).transpose()?;
    Ok(ask.caller.sees(named)?)
}

fn required(ask: &Ask<'_>, organizer: Option<&ID>) -> Result<OrganizerId, Stop> {
    named(ask, organizer)?
        .ok_or_else(|| bad_input(Some("organizer"), "an operator names the organizer"))
}

async fn tell(
    ask: &Ask<'_>,
    organizer: OrganizerId,
    command: organizer::Command,
) -> Result<(Option<Organizer>, Stamp), Stop> {
    let api = ask.asked.api;
    let outcome = api.write.desk().ask(ask.asker(Some(organizer)), organizer, command).await;
    let receipt = ask.told(organizer, outcome)?;
    let organizer = load::organizer(api, Some(organizer), organizer).await?;
    Ok((organizer, (&receipt).into()))
}

async fn create_api_key(
    ask: Ask<'_>,
    input: CreateApiKeyInput,
) -> Result<CreateApiKeyPayload, Stop> {
    let api = ask.asked.api;
    let organizer = named(&ask, input.organizer.as_ref())?;
    if let Some(organizer) = organizer
        && load::organizer(api, Some(organizer), organizer).await?.is_none()
    {
        let kind = hakken_domain::envelope::StreamKind::Organizer;
        return Err(ask.stop(refusals::not_yours(kind)));
    }
    let label = ask.read("label", &input.label)?;
    let key = derived_key(&api.secret, organizer, &ask.caller.actor(), ask.key());
    let command = creation(&key, &api.secret, label, input.role.into(), organizer);
    let outcome = api.write.desk().create(ask.asker(organizer), key.id, command).await;
    let receipt = ask.told(key.id, outcome)?;
    // A key that another actor made under the same idempotency key has another secret.
    let secret = load::look(api, organizer, key.id, {
        let (key, engine) = (key.clone(), api.secret.clone());
        move |state, _| {
            let State::Key(known) = state else { return None };
            key.matches(&engine, &known.created()?.hash).then(|| key.text())
        }
    });
    let (secret, made) = (secret.await?, load::api_key(api, organizer, key.id).await?);
    Ok(CreateApiKeyPayload::done((&receipt).into(), made, secret))
}

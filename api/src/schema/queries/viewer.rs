//! Who asks.

use async_graphql::{Context, Object, SimpleObject};

use crate::{
    ids::GlobalId,
    schema::{
        context::{Answer, Asked, answer},
        load,
        types::{Organizer, Role},
    },
};

/// Who asks: the holder of the API key.
#[derive(Debug, Clone, SimpleObject)]
pub struct Viewer {
    /// The id of the key: `key_01J…`.
    pub api_key_id: async_graphql::ID,
    /// What people call the key: `counter 1`.
    pub label: String,
    /// What it may do.
    pub role: Role,
    /// For whom; null for an operator.
    pub organizer: Option<Organizer>,
    /// The version of this engine: `0.1.0`.
    pub engine_version: String,
    /// How refunds are moved: `manual` means that somebody says so with `settleRefund`.
    pub payments: String,
}

#[derive(Default)]
pub(super) struct ViewerQuery;

#[Object]
impl ViewerQuery {
    /// Who asks: the role and organizer of the API key. Null without a key.
    async fn viewer(&self, ctx: &Context<'_>) -> Answer<Viewer> {
        let asked = Asked::of(ctx);
        answer(async move {
            let Some(caller) = &asked.anybody.0 else { return Ok(None) };
            let organizer = match caller.organizer {
                Some(id) => load::organizer(asked.api, Some(id), id).await?,
                None => None,
            };
            Ok(Some(Viewer {
                api_key_id: caller.key.global(),
                label: caller.label.to_string(),
                role: caller.role.into(),
                organizer,
                engine_version: asked.api.version.clone(),
                payments: asked.api.payments_mode.clone(),
            }))
        })
        .await
    }
}

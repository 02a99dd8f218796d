//! `hakken keys`: API keys of a data directory whose server is stopped.

use anyhow::{Result, bail};
use hakken_api::{NewKey, create_key};
use hakken_commands::engine::{Asker, Tenant};
use hakken_domain::{
    State, apikey,
    envelope::Fingerprint,
    names::{ActorRef, ApiKeyId, CommandKey, OrganizerId},
};
use hakken_projections::PageRequest;

use super::print_line;
use crate::{
    cli::{self, RoleName},
    node::Node,
    wiring::SystemSecrets,
};

/// Who works on a data directory from the command line.
fn operator() -> ActorRef {
    ActorRef::new("system:command-line").expect("a good name")
}

/// Somebody at the command line, with a key that is safe to repeat.
pub fn offline_asker(organizer: Option<OrganizerId>, key: &str) -> Asker {
    let request = Fingerprint::of(key.as_bytes());
    let key = CommandKey::new(key).expect("the command line makes good keys");
    let key = Some((key, request));
    Asker { organizer, actor: operator(), key, cause: None, correlation: None }
}

/// Runs it.
pub async fn run(command: cli::Keys) -> Result<()> {
    let data = match &command {
        cli::Keys::Create { data, .. }
        | cli::Keys::List { data, .. }
        | cli::Keys::Revoke { data, .. } => data.clone(),
    };
    let node = Node::open_existing(&data).await?;
    let result = match command {
        cli::Keys::Create { role, organizer, label, .. } => {
            create(&node, NewKey { label, role: role.into(), organizer }).await
        }
        cli::Keys::List { json, .. } => list(&node, json).await,
        cli::Keys::Revoke { key, .. } => revoke(&node, key).await,
    };
    node.close().await;
    result
}

async fn create(node: &Node, new: NewKey) -> Result<()> {
    if let Some(organizer) = new.organizer {
        let engine = node.write.engine();
        if engine.read(Tenant::Any, organizer, |_, version| version).await? == 0 {
            bail!("there is no organizer {organizer}");
        }
    }
    let (desk, secret) = (node.write.desk(), &node.secret);
    let (key, _) = create_key(desk, secret, &SystemSecrets, operator(), new).await?;
    print_line(&key);
    eprintln!("Keep it: it is shown this once and stored nowhere.");
    Ok(())
}

async fn list(node: &Node, json: bool) -> Result<()> {
    let head = node.read.status().await?.first().map(|status| status.head);
    if let Some(head) = head {
        let patience = std::time::Duration::from_secs(600);
        node.read.wait_for("catalogue", head, patience).await?;
    }
    let mut page = PageRequest::first(500);
    loop {
        let keys = node.read.api_keys(None, &page).await?;
        for edge in &keys.edges {
            let key = &edge.node;
            if json {
                print_line(&serde_json::to_string(key)?);
                continue;
            }
            let whose = key.organizer.map_or_else(|| "-".to_owned(), |o| o.to_string());
            let state = if key.revoked { "revoked" } else { "good" };
            let role = serde_json::to_value(key.role)?;
            let role = role.as_str().unwrap_or_default().to_owned();
            print_line(&format!(
                "{}  {state:<8} {role:<10} {whose:<26}  {}  {}",
                key.api_key, key.created_at, key.label
            ));
        }
        match keys.edges.last() {
            Some(last) if keys.has_next => page = PageRequest::first(500).after(&last.cursor),
            _ => return Ok(()),
        }
    }
}

async fn revoke(node: &Node, key: ApiKeyId) -> Result<()> {
    let engine = node.write.engine();
    let organizer = engine.read(Tenant::Any, key, |state, _| {
        let State::Key(key) = state else { unreachable!("a key's stream") };
        key.created().map(|created| created.organizer)
    });
    let Some(organizer) = organizer.await? else {
        bail!("there is no key {key}: `hakken keys list` shows those there are");
    };
    let asker = Asker { organizer, actor: operator(), key: None, cause: None, correlation: None };
    let receipt = node.write.desk().ask(asker, key, apikey::Command::RevokeApiKey).await?;
    let word = if receipt.events.is_empty() { "was revoked before" } else { "is revoked" };
    print_line(&format!("{key} {word}"));
    Ok(())
}

impl From<RoleName> for apikey::Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Organizer => Self::Organizer,
            RoleName::BoxOffice => Self::BoxOffice,
            RoleName::Gate => Self::Gate,
            RoleName::Auditor => Self::Auditor,
            RoleName::Operator => Self::Operator,
        }
    }
}

//! Operators who come through the API: they rebuild and verify read models, and make and revoke
//! keys. What a key opens is tried at once, and again when it is revoked.

use hakken_projections::ALL;
use serde_json::{Value, json};

use super::{Simulation, Told};

const REBUILD: &str = "mutation($input: RebuildProjectionsInput!) {
    done: rebuildProjections(input: $input) { projections { name } userErrors { code } } }";
const VERIFY: &str = "mutation($input: VerifyProjectionInput!) {
    done: verifyProjection(input: $input) {
        report { equal firstDifference } userErrors { code } } }";
const CREATE: &str = "mutation($input: CreateApiKeyInput!) { done: createApiKey(input: $input) {
    apiKey { id } secret position repeated userErrors { code } } }";
const REVOKE: &str = "mutation($input: RevokeApiKeyInput!) { done: revokeApiKey(input: $input) {
    apiKey { id } position repeated userErrors { code } } }";
const VIEWER: &str = "{ viewer { role } }";

/// A key that was made through the API.
#[derive(Clone)]
pub(super) struct Made {
    id: Value,
    secret: String,
    is_revoked: bool,
}

impl Simulation {
    /// An operator does something.
    pub(super) async fn operate_through_the_door(&mut self) -> Result<(), String> {
        match self.chance.below(10) {
            0..=2 => self.rebuild_one().await,
            3..=5 => self.verify_through_the_door().await,
            6..=7 => self.make_key().await,
            _ => self.revoke_key().await,
        }
    }

    /// As an operator; nothing if it is to be tried again.
    async fn tell(
        &mut self,
        name: &str,
        document: &str,
        input: Value,
    ) -> Result<Option<Value>, String> {
        let node = self.chance.below(self.nodes.len());
        let operator = self.doors.operator.clone();
        let variables = json!({ "input": input });
        match self.send(name, node, &operator, document, variables).await? {
            Told::Data(done) => Ok(Some(done)),
            Told::Trouble(what) => {
                self.came_through(&format!("{name} trouble {what}"));
                Ok(None)
            }
        }
    }

    async fn rebuild_one(&mut self) -> Result<(), String> {
        let name = ALL[self.chance.below(ALL.len())].name;
        let input = json!({ "names": [name] });
        let Some(done) = self.tell("rebuildProjections", REBUILD, input).await? else {
            return Ok(());
        };
        self.came_through("rebuildProjections");
        match done["userErrors"].get(0) {
            None if done["projections"][0]["name"] == name => Ok(()),
            _ => Err(format!("a rebuild of {name} was answered {done}")),
        }
    }

    async fn verify_through_the_door(&mut self) -> Result<(), String> {
        let name = ALL[self.chance.below(ALL.len())].name;
        let input = json!({ "name": name });
        let Some(done) = self.tell("verifyProjection", VERIFY, input).await? else {
            return Ok(());
        };
        if let Some(error) = done["userErrors"].get(0) {
            self.came_through("verifyProjection under way");
            return match error["code"] == "BUILD_UNDER_WAY" {
                true => Ok(()),
                false => Err(format!("a look at {name} was answered {done}")),
            };
        }
        self.came_through("verifyProjection");
        match done["report"]["equal"] == true {
            true => Ok(()),
            false => Err(format!("{name} is not what the events say: {}", done["report"])),
        }
    }

    async fn make_key(&mut self) -> Result<(), String> {
        let number = self.chance.next();
        let input = json!({
            "idempotencyKey": format!("operator-{number:x}"), "label": "simulation",
            "role": "OPERATOR"
        });
        let Some(done) = self.tell("createApiKey", CREATE, input).await? else { return Ok(()) };
        self.look().await?;
        self.came_through("createApiKey");
        let (id, secret) = (done["apiKey"]["id"].clone(), done["secret"].as_str());
        let (true, Some(secret)) = (id.is_string(), secret) else {
            return Err(format!("a key was to be made, and the API answered {done}"));
        };
        let made = Made { id, secret: secret.to_owned(), is_revoked: false };
        self.doors.made.push(made.clone());
        self.try_key(made).await
    }

    async fn revoke_key(&mut self) -> Result<(), String> {
        if self.doors.made.is_empty() {
            return Ok(());
        }
        let at = self.chance.below(self.doors.made.len());
        let made = self.doors.made[at].clone();
        if !made.is_revoked {
            let key = made.id.as_str().unwrap_or_default();
            let input = json!({ "idempotencyKey": format!("revoke-{key}"), "apiKey": key });
            let Some(done) = self.tell("revokeApiKey", REVOKE, input).await? else {
                // It may be revoked, or not: nobody asks more of it.
                self.doors.made.swap_remove(at);
                return Ok(());
            };
            self.look().await?;
            self.came_through("revokeApiKey");
            if done["apiKey"]["id"] != made.id {
                return Err(format!("a key was to be revoked, and the API answered {done}"));
            }
            self.doors.made[at].is_revoked = true;
        }
        self.try_key(self.doors.made[at].clone()).await
    }

    /// A key opens until it is revoked, and then at no door.
    async fn try_key(&mut self, made: Made) -> Result<(), String> {
        let node = self.chance.below(self.nodes.len());
        let told = self.send("viewer", node, &made.secret, VIEWER, json!({})).await;
        let what = match (told, made.is_revoked) {
            (Ok(Told::Trouble(what)), _) => format!("viewer trouble {what}"),
            (Ok(Told::Data(viewer)), false) if viewer["role"] == "OPERATOR" => "viewer".to_owned(),
            (Err(wrong), true) if wrong.to_lowercase().contains("unauthenticated") => {
                "revoked key refused".to_owned()
            }
            (Ok(Told::Data(viewer)), true) => {
                return Err(format!("a revoked key opens: {viewer}"));
            }
            (Ok(Told::Data(viewer)), false) => return Err(format!("a key is taken for {viewer}")),
            (Err(wrong), _) => return Err(wrong),
        };
        self.came_through(&what);
        Ok(())
    }
}

//! `hakken skip`: lets a read model leave out the event at which it stopped, or fold it after all.
//! The decision is recorded with its reason.

use anyhow::{Context, Result, bail};
use clap::Args;
use hakken_adapters::system::random_bytes;
use hakken_domain::{
    envelope::{Position, StreamId},
    names::{ProjectionName, Reason},
    operations::{Command, EventSkipped, SkipWithdrawn},
    text::shortened,
};
use hakken_projections::RunState;
use serde_json::{Value, json};

use super::{
    keys::offline_asker,
    print_line,
    projections::{check_names, position},
};
use crate::{cli, client::Client, node::Node};

/// Most characters that are recorded of a kind.
const MOST_KIND: usize = 60;
/// How long a read model may take to come to where it stops.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3_600);

/// `hakken skip`
#[derive(Debug, Args)]
pub struct Skip {
    /// The read model, such as tickets.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The position of the event at which it stopped: `hakken projections` says it.
    #[arg(value_name = "POSITION", value_parser = cli::parse_position)]
    pub position: Position,
    /// Why, in your words: auditors read it.
    #[arg(long, value_name = "TEXT")]
    pub reason: Reason,
    /// Fold the event after all, from the next rebuild on.
    #[arg(long)]
    pub withdraw: bool,
    /// One JSON object instead of words.
    #[arg(long)]
    pub json: bool,
    /// Let this running server do it, such as http://127.0.0.1:8090.
    #[arg(long, value_name = "URL", requires = "key")]
    pub url: Option<String>,
    /// An operator's key for that server.
    #[arg(long, value_name = "KEY", env = "HAKKEN_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Where the data is.
    #[command(flatten)]
    pub data: cli::Data,
}

/// Runs it.
pub async fn run(options: Skip) -> Result<()> {
    check_names(std::slice::from_ref(&options.name))?;
    let recorded = match (&options.url, &options.key) {
        (Some(url), Some(key)) => online(&Client::new(url, key)?, &options).await?,
        _ => {
            let node = Node::open_existing(&options.data).await?;
            let recorded = offline(&node, &options).await;
            node.close().await;
            recorded?
        }
    };
    let Skip { name, position, withdraw, json, .. } = &options;
    if *json {
        let object = json!({
            "projection": name, "position": position.0, "withdrawn": withdraw, "decidedAt": recorded,
        });
        print_line(&object.to_string());
    } else if *withdraw {
        print_line(&format!(
            "{name} folds the event at {position} again from its next rebuild on: \
             `hakken rebuild {name}`"
        ));
    } else {
        print_line(&format!(
            "{name} leaves out the event at {position} and goes on; the decision stands at position \
             {recorded} and in the audit log. `hakken projections {name}` says how it is doing"
        ));
    }
    Ok(())
}

/// Sent again when the server is busy, it is still one decision.
fn key_of(options: &Skip) -> Result<String> {
    let what = if options.withdraw { "withdraw" } else { "skip" };
    let random = random_bytes().context("the system gives no random numbers")?;
    let nonce: String = random[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{what} {} {} {nonce}", options.name, options.position))
}

async fn online(client: &Client, options: &Skip) -> Result<u64> {
    let (mutation, input) = match options.withdraw {
        false => ("skipEvent", "SkipEventInput"),
        true => ("withdrawSkip", "WithdrawSkipInput"),
    };
    let document = format!(
        "mutation($input: {input}!) {{ {mutation}(input: $input) {{
            position userErrors {{ code message field }} }} }}"
    );
    let input = json!({
        "idempotencyKey": key_of(options)?,
        "projection": options.name,
        "position": options.position.0,
        "reason": options.reason.as_str(),
    });
    let payload: Value = client.must(&document, input).await?;
    Ok(position(&payload["position"]))
}

async fn offline(node: &Node, options: &Skip) -> Result<u64> {
    let (name, at) = (options.name.as_str(), options.position);
    if !options.withdraw {
        // It comes to where it stops.
        let head = node.read.status().await?.first().map(|status| status.head);
        let _ = node.read.wait_for(name, head.unwrap_or_default(), PATIENCE).await;
        let all = node.read.status().await?;
        let status = all.iter().find(|status| status.name == name).context("a read model")?;
        match &status.state {
            RunState::Stopped(poison) if poison.position == at => {}
            RunState::Stopped(poison) => {
                bail!("{name} has stopped at {}, not at {at}", poison.position)
            }
            state => bail!("{name} has not stopped at {at}: it is {}", state.as_str()),
        }
    }
    let before = Position(at.0.saturating_sub(1));
    let found = node.store.feed().read_all(before, 1).await?;
    let found = found.first().filter(|event| event.position == at);
    let event = found.with_context(|| format!("there is no event at position {at}"))?;
    let projection = ProjectionName::new(name)?;
    let reason = options.reason.clone();
    let command = match options.withdraw {
        true => Command::WithdrawSkip(SkipWithdrawn { projection, event: event.id, reason }),
        false => Command::SkipEvent(EventSkipped {
            projection,
            event: event.id,
            position: at,
            kind: shortened(&event.kind, MOST_KIND),
            reason,
        }),
    };
    let asker = offline_asker(None, &key_of(options)?);
    let receipt = node.write.desk().ask(asker, StreamId::operations(), command).await;
    let receipt = receipt.map_err(|error| {
        anyhow::anyhow!("{error}: `hakken projections {name}` lists what it leaves out")
    })?;
    Ok(receipt.position.0)
}

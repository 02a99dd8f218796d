//! Compares what the events say with what the read models say over the API, and with what people
//! were told.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{checkout::list, count::Recount, ledger::Told, stage::Stage};
use crate::client::Client;

/// The processes may take this long to come to rest.
const REST: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until every process has answered every event and the read models show all of it.
pub async fn come_to_rest(stage: &Stage) -> Result<u64> {
    let begun = Instant::now();
    loop {
        let data = stage.operator.ask(AT_REST, json!({})).await?;
        let at = |each: &Value| each["position"].as_u64();
        let head = list(&data["projections"]).filter_map(|each| each["head"].as_u64()).max();
        let head = head.context("the server has no read models")?;
        let resting = list(&data["processes"])
            .all(|each| each["unanswered"] == 0 && at(each) == Some(head))
            && list(&data["projections"]).all(|each| at(each) == Some(head));
        if resting {
            return Ok(head);
        }
        if begun.elapsed() > REST {
            bail!("the processes do not come to rest: {data}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Everything that differs, in words.
pub async fn differences(stage: &Stage, recount: &Recount, told: &Told) -> Result<Vec<String>> {
    let mut found = Found(Vec::new());
    let places = stage.hall.places();
    let show = json!({ "show": stage.show });
    let data = stage.auditor.ask(REPORT, json!({ "show": stage.show })).await?;
    let number = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
    let money = |name: &str| {
        list(&data["money"]).map(|each| number(&each[name]["amountMinor"])).sum::<u64>()
    };
    found.same("sold, by the sales read model", number(&data["sales"]["sold"]), recount.sold);
    found.same("held, by the sales read model", number(&data["sales"]["held"]), 0);
    let totals = &data["availability"]["totals"];
    found.same("sold, by the availability read model", number(&totals["sold"]), recount.sold);
    found.same(
        "free, by the availability read model",
        number(&totals["free"]),
        places - recount.sold.min(places),
    );
    found.same("money in, by the read model", money("captured"), recount.captured_minor);
    found.same("money out, by the read model", money("refundSettled"), recount.refunded_minor);
    let used = count(&stage.auditor, TICKETS, &show, |_| "USED".to_owned()).await?;
    found.same("admitted, by the tickets read model", total(&used), recount.admitted);
    let scans = count(&stage.auditor, SCANS, &show, |node| {
        node["reason"].as_str().unwrap_or("accepted").to_lowercase()
    });
    let mut scans = scans.await?;
    // Codes shown at the gate of the other show stand there.
    let tomorrow = json!({ "show": stage.tomorrow });
    for (reason, number) in count(&stage.auditor, SCANS, &tomorrow, |node| {
        node["reason"].as_str().unwrap_or("accepted").to_lowercase()
    })
    .await?
    {
        *scans.entry(reason).or_default() += number;
    }
    scans.remove("accepted");
    found.same_map("refused at the gates, by the scans read model", &scans, &recount.refusals);

    let refused: BTreeMap<String, u64> =
        told.scans_refused.iter().map(|(reason, n)| (reason.to_lowercase(), *n)).collect();
    found.same_map("refused at the gates, as people were told", &refused, &recount.refusals);
    found.same("tickets that people have", told.tickets.len() as u64, recount.issued);
    found.same("money in, as buyers were told", told.captured_minor, recount.captured_minor);
    found.same("money out, as buyers were told", told.refunded_minor, recount.refunded_minor);
    found.same("holds, as buyers were told", told.counted("holds granted"), recount.holds);
    found.same(
        "re-seated, as buyers were told",
        told.counted("late payments re-seated"),
        recount.reseated,
    );
    found.same(
        "unfulfilled, as buyers were told",
        told.counted("late payments refunded"),
        recount.unfulfilled,
    );
    found.same("void tickets, as buyers were told", told.void.len() as u64, recount.voided);
    found.same("reissued, as buyers were told", told.counted("tickets reissued"), recount.reissued);
    Ok(found.0)
}

struct Found(Vec<String>);

impl Found {
    fn same(&mut self, what: &str, said: u64, counted: u64) {
        if said != counted {
            self.0.push(format!("{what}: {said}, but the events say {counted}"));
        }
    }

    fn same_map(
        &mut self,
        what: &str,
        said: &BTreeMap<String, u64>,
        counted: &BTreeMap<String, u64>,
    ) {
        if said != counted {
            self.0.push(format!("{what}: {said:?}, but the events say {counted:?}"));
        }
    }
}

fn total(counts: &BTreeMap<String, u64>) -> u64 {
    counts.values().sum()
}

/// Counts the elements of a connection, page by page, by a word for each.
async fn count(
    client: &Client,
    query: &str,
    variables: &Value,
    word: impl Fn(&Value) -> String,
) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    let mut variables = variables.clone();
    loop {
        let data = client.ask(query, variables.clone()).await?;
        let page = &data["page"];
        for edge in list(&page["edges"]) {
            *counts.entry(word(&edge["node"])).or_default() += 1;
        }
        if page["pageInfo"]["hasNextPage"] != true {
            return Ok(counts);
        }
        variables["after"] = page["pageInfo"]["endCursor"].clone();
    }
}

const AT_REST: &str = "{ processes { name position unanswered } projections { position head } }";
const REPORT: &str = "query($show: ID!) {
    sales(show: $show) { sold held }
    availability(show: $show) { totals { free held sold } }
    money { captured { amountMinor } refundSettled { amountMinor } } }";
const TICKETS: &str = "query($show: ID!, $after: String) {
    page: tickets(filter: { show: $show, status: USED }, first: 100, after: $after) {
        edges { node { status } } pageInfo { hasNextPage endCursor } } }";
const SCANS: &str = "query($show: ID!, $after: String) {
    page: scans(filter: { show: $show }, first: 100, after: $after) {
        edges { node { reason } } pageInfo { hasNextPage endCursor } } }";

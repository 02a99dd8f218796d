//! `atLeast` holds for all that an answer leads to: every field that is told from a read model of
//! its own is known to whoever waits.

use std::collections::BTreeSet;

use super::{
    sdl,
    style::{fields, named, types},
};
use crate::schema::visible::LINKS;

/// What is told from a read model, wherever an answer leads to it.
const TOLD: [&str; 10] = [
    "ApiKey",
    "Hold",
    "Order",
    "Organizer",
    "Refund",
    "Sales",
    "SeatMap",
    "Show",
    "Ticket",
    "Venue",
];

#[test]
fn whoever_waits_knows_every_field_that_leads_on() {
    let types = types(&sdl());
    let mut leading = BTreeSet::new();
    for (name, of) in &types {
        // What comes out of a mutation is as fresh as can be, and a list is itself what is told.
        let is_itself = ["Payload", "Edge"].iter().any(|end| name.ends_with(end))
            || ["Query", "Mutation", "Subscription"].contains(&name.as_str());
        for field in fields(of).iter().filter(|_| !is_itself) {
            if TOLD.contains(&named(&field.node.ty.node)) {
                leading.insert(field.node.name.node.to_string());
            }
        }
    }
    let known: BTreeSet<String> = LINKS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(leading, known, "left: the schema, right: what is waited for");
    let models: Vec<&str> = hakken_projections::ALL.iter().map(|each| each.name).collect();
    assert!(LINKS.iter().all(|(_, model)| models.contains(model)));
}

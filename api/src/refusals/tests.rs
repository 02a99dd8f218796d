//! The codes that no client meets: what the rules say is told by them all the same. Every other
//! code is provoked over the API, by the tests of GraphQL.

use std::collections::BTreeMap;

use async_graphql::{Value, resolver_utils::enum_value};
use hakken_commands::desk::DeskRejection;
use hakken_domain::{
    Rejection, apikey, inventory, operations, order, organizer, show, ticket, venue,
};

use super::{desk, rejected};
use crate::codes::ErrorCode;

fn name(code: ErrorCode) -> String {
    match enum_value(code) {
        Value::Enum(name) => name.to_string(),
        other => other.to_string(),
    }
}

/// The codes of a table of the page about errors.
fn documented(heading: &str) -> Vec<String> {
    let page = include_str!("../../../docs/errors.md");
    let part = page.split("\n## ").find(|part| part.starts_with(heading)).expect("a heading");
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

#[test]
fn what_is_refused_only_in_between_says_to_try_again() {
    use order::Rejection as O;
    for (rejection, code) in [
        (O::CheckoutUnderWay, ErrorCode::CheckoutUnderWay),
        (O::CancellationUnderWay, ErrorCode::CancellationUnderWay),
    ] {
        let refusal = rejected(&rejection.into());
        assert_eq!(refusal.code, code);
        assert!(refusal.message.ends_with("Try again in a moment."), "{}", refusal.message);
    }
}

#[test]
fn what_no_client_meets_has_its_code_too() {
    use inventory::Rejection as I;
    use order::Rejection as O;
    let rejections: [(Rejection, ErrorCode); 18] = [
        (I::LegsOutOfRange.into(), ErrorCode::LegsOutOfRange),
        (I::HoldExists.into(), ErrorCode::HoldExists),
        (I::HoldConfirmedForAnother.into(), ErrorCode::HoldConfirmedForAnother),
        (I::PlacesDiffer.into(), ErrorCode::PlacesDiffer),
        (I::PlaceNotSold.into(), ErrorCode::PlaceNotSold),
        (O::OrderExists.into(), ErrorCode::OrderExists),
        (O::ItemsInvalid.into(), ErrorCode::ItemsInvalid),
        (O::CancellationUnknown.into(), ErrorCode::CancellationUnknown),
        (O::ItemMissing(1).into(), ErrorCode::ItemMissing),
        (O::OrderConfirmed.into(), ErrorCode::OrderConfirmed),
        (O::RefundExists.into(), ErrorCode::RefundExists),
        (ticket::Rejection::TicketExists.into(), ErrorCode::TicketExists),
        (ticket::Rejection::TooManyReissues.into(), ErrorCode::TooManyReissues),
        (show::Rejection::ShowExists.into(), ErrorCode::ShowExists),
        (venue::Rejection::VenueExists.into(), ErrorCode::VenueExists),
        (organizer::Rejection::OrganizerExists.into(), ErrorCode::OrganizerExists),
        (apikey::Rejection::ApiKeyExists.into(), ErrorCode::ApiKeyExists),
        (operations::Rejection::TooManySkips.into(), ErrorCode::TooManySkips),
    ];
    let mut told = BTreeMap::new();
    for (rejection, expected) in rejections {
        let refusal = rejected(&rejection);
        assert_eq!(refusal.code, expected, "{rejection:?}");
        told.insert(name(refusal.code), refusal.message);
    }
    let missing = desk(&DeskRejection::OrganizerMissing);
    told.insert(name(missing.code), missing.message);
    assert!(told.values().all(|message| message.ends_with('.')), "{told:?}");
    let told: Vec<String> = told.into_keys().collect();
    assert_eq!(told, documented("Refusals among ourselves"));
}

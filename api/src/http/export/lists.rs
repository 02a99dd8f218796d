//! What can be exported, and what stands in a line of it: everything that a row of its list has,
//! and the ids of what it belongs to. What would have to be read for each row by itself is left
//! out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use async_graphql::parser::{
    parse_schema,
    types::{TypeKind, TypeSystemDefinition},
};

/// A list that can be exported.
#[derive(Debug)]
pub(super) struct List {
    /// As the field of `Query` is called.
    pub(super) name: &'static str,
    /// The read model that serves it.
    pub(super) projection: &'static str,
    /// The type of its filter.
    filter: Option<&'static str>,
    /// It takes `organizer`.
    pub(super) of_organizers: bool,
    /// Where in a node the position of its event stands, if it is a list of events. They stand in
    /// the order of their positions and never change.
    pub(super) position: &'static [&'static str],
    node: &'static str,
}

const PLAIN: List =
    List { name: "", projection: "", filter: None, of_organizers: true, position: &[], node: "" };

pub(super) static LISTS: [List; 11] = [
    List {
        name: "organizers",
        projection: "catalogue",
        of_organizers: false,
        node: "id name codeKeys { number state }",
        ..PLAIN
    },
    List {
        name: "apiKeys",
        projection: "catalogue",
        node: "id label role organizerId revoked",
        ..PLAIN
    },
    List { name: "venues", projection: "catalogue", node: "id name", ..PLAIN },
    List {
        name: "shows",
        projection: "catalogue",
        filter: Some("ShowFilter"),
        node: "id name venueId startsAt endsAt stops legs currency cancelled
            entry { validFrom validUntil reentry } issuance { mode until }
            ticketTypes { ticketType name price { amountMinor currency } categories pools
                fares { legs { from to } price { amountMinor currency } } }",
        ..PLAIN
    },
    List {
        name: "holds",
        projection: "holds",
        filter: Some("HoldFilter"),
        node: "id showId buyer status seats pools { pool count } legs { from to } allotment
            expiresAt orderId",
        ..PLAIN
    },
    List {
        name: "orders",
        projection: "orders",
        filter: Some("OrderFilter"),
        node: "id buyer status currency placedAt cancellationUnderWay
            total { amountMinor currency } paid { amountMinor currency }
            due { amountMinor currency } refunded { amountMinor currency }
            refundable { amountMinor currency }
            items { number showId holdId seat pool legs { from to } ticketType
                price { amountMinor currency } cancelled }
            payments { payment method amount { amountMinor currency }
                reversed { amountMinor currency } }",
        ..PLAIN
    },
    List {
        name: "refunds",
        projection: "orders",
        filter: Some("RefundFilter"),
        node: "id orderId payment amount { amountMinor currency } cause status reference",
        ..PLAIN
    },
    List {
        name: "tickets",
        projection: "tickets",
        filter: Some("TicketFilter"),
        node: "id status suspended showId orderId item seat pool legs { from to } ticketType buyer
            entry { validFrom validUntil reentry } issueUntil generation entries inside
            times { createdAt issuedAt firstEnteredAt voidedAt }",
        ..PLAIN
    },
    List {
        name: "scans",
        projection: "scans",
        filter: Some("ScanFilter"),
        position: &["position"],
        node: "position recordedAt actor showId gate direction accepted reason ticketId",
        ..PLAIN
    },
    List {
        name: "issuanceHistory",
        projection: "issuance_history",
        filter: Some("IssuanceFilter"),
        position: &["position"],
        node: "position recordedAt actor act ticketId orderId showId item seat pool
            legs { from to } ticketType buyer generation channel",
        ..PLAIN
    },
    List {
        name: "auditLog",
        projection: "audit_log",
        filter: Some("AuditFilter"),
        position: &["event", "position"],
        node: "event { id position recordedAt kind schemaVersion stream version organizerId actor
            idempotencyKey causeId correlationId raw } showId orderId ticketId",
        ..PLAIN
    },
];

/// The fields of each filter.
static FILTERS: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
    let schema = parse_schema(crate::schema::sdl()).expect("a schema can be read again");
    let types = schema.definitions.into_iter().filter_map(|definition| {
        let TypeSystemDefinition::Type(definition) = definition else { return None };
        let TypeKind::InputObject(input) = definition.node.kind else { return None };
        let fields = input.fields.into_iter().map(|field| field.node.name.node.to_string());
        Some((definition.node.name.node.to_string(), fields.collect()))
    });
    types.collect()
});

/// The documents that read a page, in the order of [`LISTS`].
static DOCUMENTS: LazyLock<Vec<String>> =
    LazyLock::new(|| LISTS.iter().map(List::written).collect());

impl List {
    /// The list with this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        LISTS.iter().find(|list| list.name == name)
    }

    /// All names, for people.
    pub(super) fn names() -> String {
        LISTS.iter().map(|list| list.name).collect::<Vec<_>>().join(", ")
    }

    /// It is a list of events.
    pub(super) fn is_log(&self) -> bool {
        !self.position.is_empty()
    }

    /// The query that reads a page of it.
    pub(super) fn document(&self) -> &'static str {
        let at = LISTS.iter().position(|list| list.name == self.name);
        at.map_or("", |at| DOCUMENTS[at].as_str())
    }

    fn written(&self) -> String {
        let mut declared = "$first: Int, $after: String".to_owned();
        let mut given = "first: $first, after: $after".to_owned();
        if let Some(filter) = self.filter {
            declared += &format!(", $filter: {filter}");
            given += ", filter: $filter";
        }
        if self.of_organizers {
            declared += ", $organizer: ID";
            given += ", organizer: $organizer";
        }
        format!(
            "query Export({declared}) {{ page: {}({given}) {{ edges {{ cursor node {{ {} }} }} \
             pageInfo {{ hasNextPage }} }} }}",
            self.name, self.node
        )
    }

    /// A word that is not known would let everything through.
    pub(super) fn check_filter(&self, filter: &serde_json::Value) -> Result<(), String> {
        let known = self.filter.and_then(|filter| FILTERS.get(filter));
        let Some(known) = known else { return Err(format!("{} takes no filter.", self.name)) };
        let serde_json::Value::Object(fields) = filter else {
            return Err("`filter` is no JSON object.".to_owned());
        };
        match fields.keys().find(|name| !known.contains(*name)) {
            None => Ok(()),
            Some(name) => {
                let known = known.iter().cloned().collect::<Vec<_>>().join(", ");
                let name: String = name.chars().take(64).collect();
                Err(format!("The filter of {} has no {name:?}; it has {known}.", self.name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::{
        parse_query,
        types::{BaseType, DocumentOperations, Selection, SelectionSet, Type},
    };

    use super::*;

    /// Read for each row by itself, or large, or in another field of the line already.
    const LEFT_OUT: [&str; 14] = [
        "Event.data",
        "Hold.show",
        "Order.refunds",
        "Order.tickets",
        "OrderItem.show",
        "Scan.show",
        "Scan.ticket",
        "Show.sales",
        "Show.seatMap",
        "Show.venue",
        "Ticket.code",
        "Ticket.order",
        "Ticket.show",
        "Venue.seatMap",
    ];

    fn named(of: &Type) -> String {
        match &of.base {
            BaseType::Named(name) => name.to_string(),
            BaseType::List(of) => named(of),
        }
    }

    /// Field by field of each object, the type.
    fn objects() -> BTreeMap<String, BTreeMap<String, String>> {
        let schema = parse_schema(crate::schema::sdl()).unwrap();
        let types = schema.definitions.into_iter().filter_map(|definition| {
            let TypeSystemDefinition::Type(definition) = definition else { return None };
            let TypeKind::Object(object) = definition.node.kind else { return None };
            let fields = object
                .fields
                .into_iter()
                .map(|field| (field.node.name.node.to_string(), named(&field.node.ty.node)));
            Some((definition.node.name.node.to_string(), fields.collect()))
        });
        types.collect()
    }

    fn compare(
        objects: &BTreeMap<String, BTreeMap<String, String>>,
        of: &str,
        set: &SelectionSet,
        missing: &mut Vec<String>,
    ) {
        let selected = set.items.iter().filter_map(|item| match &item.node {
            Selection::Field(field) => Some((field.node.name.node.to_string(), &field.node)),
            _ => None,
        });
        let selected: BTreeMap<_, _> = selected.collect();
        for (name, of_field) in &objects[of] {
            let place = format!("{of}.{name}");
            match selected.get(name) {
                Some(field) if objects.contains_key(of_field) => {
                    compare(objects, of_field, &field.selection_set.node, missing);
                }
                Some(_) => {}
                None if LEFT_OUT.contains(&place.as_str()) || place == "Money.display" => {}
                None => missing.push(place),
            }
        }
    }

    #[test]
    fn a_line_has_everything_that_its_row_has() {
        let objects = objects();
        let mut missing = Vec::new();
        for list in &LISTS {
            let document = parse_query(list.document()).unwrap();
            let DocumentOperations::Multiple(operations) = document.operations else {
                panic!("a named operation")
            };
            let operation = operations.values().next().unwrap();
            let mut set = &operation.node.selection_set.node;
            for _ in 0..3 {
                let Selection::Field(field) = &set.items.last().unwrap().node else { panic!() };
                let field = match field.node.name.node.as_str() {
                    "pageInfo" => match &set.items[0].node {
                        Selection::Field(field) => field,
                        _ => panic!(),
                    },
                    _ => field,
                };
                set = &field.node.selection_set.node;
            }
            let connection = &objects["Query"][list.name];
            let edge = &objects[connection]["edges"];
            compare(&objects, &objects[edge]["node"], set, &mut missing);
        }
        assert_eq!(missing, Vec::<String>::new(), "not exported");
    }

    #[test]
    fn every_list_of_the_schema_can_be_exported() {
        let objects = objects();
        let lists = objects["Query"].iter().filter(|(_, of)| of.ends_with("Connection"));
        let missing: Vec<_> = lists.filter(|(name, _)| List::named(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn a_filter_with_a_word_that_is_not_known_is_refused() {
        let orders = List::named("orders").unwrap();
        assert_eq!(orders.check_filter(&serde_json::json!({ "buyer": "b" })), Ok(()));
        let wrong = orders.check_filter(&serde_json::json!({ "buyr": "b" })).unwrap_err();
        assert!(wrong.contains("buyr") && wrong.contains("buyer, show, status"), "{wrong}");
        assert!(orders.check_filter(&serde_json::json!([])).is_err());
        let venues = List::named("venues").unwrap();
        assert!(venues.check_filter(&serde_json::json!({})).is_err());
    }
}

use serde_json::json;

use super::*;

const SDL: &str = r#"
interface Node { id: ID! }
type Show implements Node { id: ID! name: String! seats(first: Int, ids: [ID!]): [Seat!] next: Show }
type Seat implements Node { id: ID! row: String price(in: String! = "JPY"): Int next: Seat }
type Viewer { role: String! }
input Gate { name: String! ways: [Way!]! = [IN] count: Int at: Time }
enum Way { IN OUT }
scalar Time
input One @oneOf { id: ID name: String }
type Event { position: Int data: String raw: String! }
type EventBatch { events: [Event!]! }
type _Service { sdl: String }
type Query {
  viewer: Viewer node(id: ID!): Node show(id: ID!, limit: Int! = 5): Show
  gate(gate: Gate, ids: [ID!]): Int one(by: One!): Int
  availability(show: ID!, asOf: Int): Int hold(id: ID!, asOf: Int): Int
  events(first: Int = 20): EventBatch _service: _Service!
}
type Mutation { open(gate: Gate!): Show }
type Subscription { opened(show: ID): Show closed: Show }
"#;

fn types() -> Types {
    Types::new(SDL)
}

fn checked(text: &str, operation: Option<&str>) -> Result<Document, Refused> {
    read(&types(), text, operation).0
}

#[track_caller]
fn refused(text: &str, code: &str, part: &str) {
    let refused = checked(text, None).map(|document| document.kind).unwrap_err();
    assert_eq!(refused.code(), code, "{refused:?}");
    assert!(refused.0[0].message.contains(part), "{refused:?}");
}

#[test]
fn a_query_about_the_schema_is_recognised_through_fragments() {
    let asks = |text: &str| checked(text, None).unwrap().introspects;
    assert!(asks("{ __schema { types { name } } }"));
    assert!(asks("query { ...F } fragment F on Query { __typename }"));
    assert!(!asks("query { ...F } fragment F on Query { __typename viewer { role } }"));
    assert!(!asks("{ ... on Query { viewer { role } } }"));
}

#[test]
fn a_poll_asks_what_is_free_and_nothing_else() {
    let polls = |text: &str| checked(text, None).unwrap().polls;
    assert!(polls("query($s: ID!) { free: availability(show: $s) }"));
    assert!(!polls("{ availability(show: \"s\") viewer { role } }"));
    assert!(!polls("{ ...F } fragment F on Query { availability(show: \"s\") }"));
    assert!(!polls("{ viewer { role } }"));
}

#[test]
fn a_fragment_bomb_is_measured_at_once_and_refused() {
    let mut bomb = "{ ...F0 }".to_owned();
    for at in 0..30 {
        let next = at + 1;
        bomb += &format!(" fragment F{at} on Query {{ ...F{next} ...F{next} }}");
    }
    bomb += " fragment F30 on Query { viewer { role } }";
    refused(&bomb, "GRAPHQL_VALIDATION_FAILED", "fields");
}

#[test]
fn a_fragment_in_itself_is_refused() {
    let text = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }";
    refused(text, "GRAPHQL_VALIDATION_FAILED", "contains itself");
}

#[test]
fn the_reason_is_short_however_long_the_line_is() {
    let text = format!("{{ viewer {{ role }} }} # {}\n}}", "長".repeat(9_000));
    refused(&text, "GRAPHQL_PARSE_FAILED", "2:1");
    let text = format!("{{ {} }} }}", "viewer { role } ".repeat(2_000));
    refused(&text, "GRAPHQL_PARSE_FAILED", "1:32006");
    let text = format!("{{ viewer {{ role }} }} {}", "x".repeat(9_000));
    let refused = checked(&text, None).unwrap_err();
    assert!(refused.0[0].message.chars().count() <= 200, "{refused:?}");
}

#[test]
fn every_bound_has_its_own_name_and_message() {
    let types = types();
    let deep = |depth: usize| format!("{}{}", "{ next ".repeat(depth), "}".repeat(depth));
    let in_show = |text: &str| format!("{{ show(id: 1) {text} }}");
    let repeat =
        |count: usize, make: &dyn Fn(usize) -> String| -> String { (0..count).map(make).collect() };
    let many = repeat(101, &|at| format!("query Q{at} {{ viewer {{ role }} }} "));
    let fragments = repeat(301, &|at| format!("fragment F{at} on Show {{ name }} "));
    let wide = repeat(190, &|at| format!("n{at}: next {{ ...F }} "));
    let names = "id name ".repeat(6);
    let wide = in_show(&format!("{{ {wide} }}")) + &format!("fragment F on Show {{ {names} }}");
    let chain = repeat(33, &|at| format!("fragment F{at} on Show {{ ...F{} }} ", at + 1));
    let nested = "... { id ".repeat(45) + &"}".repeat(45);
    let spread = repeat(50, &|at| format!("n{at}: next {{ ...F }} "));
    let spread =
        in_show(&format!("{{ {spread} }}")) + &format!("fragment F on Show {{ {nested} }}");
    let bare = "... { ".repeat(40) + "id" + &"}".repeat(40);
    let bare = in_show(&format!("{{ {} }}", repeat(100, &|at| format!("n{at}: next {{ ...F }} "))))
        + &format!("fragment F on Show {{ {bare} }}");
    let aliases = repeat(201, &|at| format!("a{at}: id "));
    for (text, limit, part) in [
        (in_show(&deep(21)), "DEPTH", "22 fields inside each other"),
        (wide, "FIELDS", "fields"),
        (spread, "FIELDS", "fields"),
        (bare, "SELECTIONS", "fields and fragments"),
        (format!("{{ {} }}", "viewer { role } ".repeat(51)), "ROOT_FIELDS", "51 fields at its"),
        (in_show(&format!("{{ {aliases} }}")), "ALIASES", "201 aliases"),
        (
            format!("{{ viewer {} {{ role }} }}", "@skip(if: true) ".repeat(201)),
            "DIRECTIVES",
            "201",
        ),
        (many, "OPERATIONS", "101 operations"),
        (fragments, "FRAGMENTS", "301 fragments"),
        (in_show("{ ...F0 }") + &chain + "fragment F33 on Show { id }", "FRAGMENT_CHAIN", "34"),
        ("{a".repeat(20_000), "NESTING", "64 deep"),
        (format!("{{ gate(ids: [{}]) }}", "1 ".repeat(2_001)), "LIST_VALUES", "2001 values"),
        (format!("{{ {} }}", "a ".repeat(15_000)), "TOKENS", "15001 tokens"),
        ("#".repeat(65_537), "BYTES", "65537 bytes"),
    ] {
        let refused = read(&types, &text, None).0.unwrap_err();
        let Refusal { message, limit: found, .. } = &refused.0[0];
        let found = found.map_or("none", |limit| limit.name);
        assert!(found == limit && message.contains(part), "{limit}: {refused:?}");
    }
}

#[test]
fn work_is_bounded_whatever_it_is() {
    let mut work = Work::new();
    assert!(work.step(200_000).is_ok());
    assert!(work.step(1).is_err());
    assert_eq!(work.found[0].limit.map(|limit| limit.name), Some("STEPS"));
}

#[test]
fn brackets_in_strings_and_comments_do_not_count() {
    let brackets = "{".repeat(100);
    let text = format!(
        "# {brackets}\n{{ show(id: \"{brackets}\\\"\") {{ id }} \
         b: show(id: \"\"\"{brackets}\\\"\"\"\"\"\") {{ id }} c: show(id: \"\") {{ id }} }}"
    );
    assert_eq!(checked(&text, None).map(|document| document.introspects), Ok(false));
}

#[test]
fn the_operation_is_chosen_by_name() {
    let two = "query A { viewer { role } } query B { viewer { role } }";
    assert!(checked(two, Some("B")).is_ok());
    assert_eq!(checked(two, Some("C")).unwrap_err().code(), "OPERATION_RESOLUTION_FAILURE");
    refused(two, "OPERATION_RESOLUTION_FAILURE", "operationName");
    assert!(checked("query A { viewer { role } }", None).is_ok());
}

fn ready(text: &str, values: serde_json::Value) -> Result<Ready, Refused> {
    let document = Arc::new(checked(text, None)?);
    Ready::new(&types(), document, Variables::from_json(values))
}

const TAKES: &str = "query($gate: Gate!, $ids: [ID!]) { gate(gate: $gate, ids: $ids) }";

#[test]
fn good_values_of_variables_stay_as_they_are() {
    let all = json!({
        "gate": { "name": "main", "ways": ["IN", "OUT"], "count": 3, "at": "noon" },
        "ids": ["a", "b"],
    });
    let some = json!({ "gate": { "name": "main", "count": null }, "ids": null });
    for given in [all, some] {
        let found = ready(TAKES, given.clone()).map(|ready| ready.variables);
        assert_eq!(found, Ok(Variables::from_json(given)));
    }
}

#[test]
fn values_are_made_what_is_wanted_where_that_loses_nothing() {
    let given = json!({ "gate": { "name": "main", "ways": "IN", "count": 3.0 }, "ids": 7 });
    let made = json!({ "gate": { "name": "main", "ways": ["IN"], "count": 3 }, "ids": ["7"] });
    let found = ready(TAKES, given).map(|ready| ready.variables);
    assert_eq!(found, Ok(Variables::from_json(made)));
}

#[test]
fn other_values_are_refused_with_their_place() {
    for (gate, part) in [
        (json!(null), "$gate"),
        (json!("main"), "\"Gate\" is expected"),
        (json!({}), "\"name\""),
        (json!({ "name": null }), "$gate.name"),
        (json!({ "name": 3 }), "$gate.name"),
        (json!({ "name": "main", "other": 1 }), "\"other\""),
        (json!({ "name": "main", "ways": ["UP"] }), "$gate.ways.0"),
        (json!({ "name": "main", "ways": null }), "$gate.ways"),
        (json!({ "name": "main", "count": 1.5 }), "$gate.count"),
        (json!({ "name": "main", "count": 3_000_000_000_u64 }), "$gate.count"),
        (json!({ "name": "main", "count": "3" }), "$gate.count"),
    ] {
        let refused = ready(TAKES, json!({ "gate": gate })).unwrap_err();
        assert!(refused.0[0].message.contains(part), "{gate}: {refused:?}");
        assert_eq!(refused.code(), "BAD_USER_INPUT");
    }
    assert!(ready(TAKES, json!({})).is_err());
    let many = json!({ "gate": { "name": "x" }, "ids": vec!["a"; 200_001] });
    let refused = ready(TAKES, many).unwrap_err();
    assert_eq!(refused.0[0].limit.map(|limit| limit.name), Some("VALUES"));
}

#[test]
fn a_variable_that_is_left_out_leaves_its_place_out() {
    let text = "query($limit: Int, $count: Int) { show(id: 1, limit: 2) { id } \
                gate(gate: { name: \"a\", count: $count }, ids: $limit) }";
    let text = text.replace("$limit: Int", "$limit: [ID!]");
    let uses = |values: serde_json::Value| {
        let request = ready(&text, values).unwrap();
        let mut parsed = request.document.parsed.clone();
        let omitted = coerce::omitted(&request.document.wanted, &request.variables);
        lower::omit(&mut parsed, &omitted);
        format!("{parsed:?}").matches("Variable(").count()
    };
    assert_eq!(uses(json!({})), 0);
    assert_eq!(uses(json!({ "limit": null })), 1);
    assert_eq!(uses(json!({ "limit": ["a"], "count": null })), 2);
}

#[test]
fn cost_grows_with_pages_and_with_the_values_of_variables() {
    let cost = |text: &str, values| ready(text, values).map(|ready| ready.charge.cost);
    assert_eq!(cost("{ viewer { role } }", json!({})), Ok(2));
    assert_eq!(cost("mutation { open(gate: { name: \"a\" }) { id } }", json!({})), Ok(12));
    // Events are read for it.
    assert_eq!(cost("{ availability(show: 1) }", json!({})), Ok(1));
    assert_eq!(cost("{ availability(show: 1, asOf: 7) }", json!({})), Ok(10_101));
    let page = "query($n: Int) { show(id: 1) { seats(first: $n) { id } } }";
    assert_eq!(cost(page, json!({ "n": 50 })), Ok(52));
    assert_eq!(cost(page, json!({})), Ok(22));
    // Whoever asks for more than a page has is refused by the field.
    assert_eq!(cost(page, json!({ "n": 1_000_000 })), Ok(102));
    let ids = "query($n: [ID!]) { show(id: 1) { seats(ids: $n) { id } } }";
    assert_eq!(cost(ids, json!({ "n": ["a", "b"] })), Ok(4));
    let deep = "{ show(id: 1) { next { next { next { next { seats(first: 100) { next { next { id \
                id: id row next { row } } } } } } } } } }";
    assert!(ready(deep, json!({})).is_ok());
}

fn limit(text: &str, values: serde_json::Value) -> &'static str {
    match ready(text, values) {
        Ok(_) => "none",
        Err(refused) => refused.0[0].limit.map_or("none", |limit| limit.name),
    }
}

#[test]
fn what_is_large_whatever_is_told_of_it_comes_a_few_times_in_one_answer() {
    let few =
        |count: usize, each: &dyn Fn(usize) -> String| -> String { (0..count).map(each).collect() };
    let all: [&dyn Fn(usize) -> String; 5] = [
        // A page of events is bounded in bytes, so that its length counts for nothing.
        &|at| format!("e{at}: events(first: 100) {{ events {{ position raw }} }} "),
        &|at| format!("e{at}: events(first: 1) {{ events {{ data }} }} "),
        &|at| format!("s{at}: _service {{ sdl }} "),
        &|at| format!("a{at}: availability(show: 1, asOf: 7) "),
        &|at| format!("h{at}: hold(id: 1, asOf: 7) "),
    ];
    for each in all {
        assert_eq!(limit(&format!("{{ {} }}", few(8, each)), json!({})), "none", "{}", each(0));
        let many = format!("{{ {} }}", few(9, each));
        assert_eq!(limit(&many, json!({})), "ANSWER_LARGE_PARTS", "{}", each(0));
    }
    let told = few(9, &|at| format!("r{at}: raw "));
    let within = format!("{{ events {{ events {{ {told} }} }} }}");
    assert_eq!(limit(&within, json!({})), "ANSWER_LARGE_PARTS");
    let now = few(50, &|at| format!("h{at}: hold(id: 1) "));
    assert_eq!(limit(&format!("{{ {now} }}"), json!({})), "none");
}

#[test]
fn what_is_told_of_the_schema_is_counted_over_the_schema() {
    let count =
        |text: &str, variables| ready(text, variables).map(|ready| ready.charge.schema_values);
    let fixed = |text: &str| count(text, json!({}));
    assert_eq!(fixed("{ __schema { queryType { name } } }"), Ok(3));
    // A name, the list, and two values with a name each.
    let way = "{ __type(name: \"Way\") { name enumValues { name } } }";
    assert_eq!(fixed(way), Ok(1 + 1 + 2 * 2));
    // Four fields, of which `price(in: String! = "JPY")` alone has an argument, whose type has
    // another type inside.
    let seat = "{ __type(name: \"Seat\") { fields { args { type { kind ofType { name } } } } } }";
    assert_eq!(fixed(seat), Ok(1 + 4 * 2 + 1 + (2 + 1) + (2 + 1)));
    assert_eq!(fixed("{ __type(name: \"Nothing\") { name } }"), Ok(1));
    let plain = "{ __schema { types { name kind fields { name type { name } } } } }";
    let split = "{ __schema { types { ...F ... { kind } } } }
                 fragment F on __Type { name fields { name ...G } }
                 fragment G on __Field { type { name } }";
    assert_eq!(fixed(plain), fixed(split));
    // Nobody knows yet of which type: `__Type` has most fields.
    let named = "query($n: String!) { __type(name: $n) { fields { name } } }";
    assert_eq!(count(named, json!({ "n": "Way" })), Ok(1 + 11 * 2));
}

#[test]
fn a_large_value_that_stands_in_many_places_is_refused() {
    let places = |count: usize| {
        let each = (0..count).map(|at| format!("s{at}: show(id: $id) {{ name }} "));
        format!("query($id: ID!) {{ {} }}", each.collect::<String>())
    };
    let large = json!({ "id": "x".repeat(7 << 20) });
    assert_eq!(limit(&places(1), large.clone()), "none");
    assert_eq!(limit(&places(2), large.clone()), "none");
    assert_eq!(limit(&places(3), large), "VALUE_BYTES");
    assert_eq!(limit(&places(50), json!({ "id": "01J" })), "none");
    let lists = "query($ids: [ID!]) { a: gate(ids: $ids)
                 b: gate(gate: { name: \"x\" }, ids: $ids) ...F }
                 fragment F on Query { c: gate(ids: $ids) }";
    assert_eq!(limit(lists, json!({ "ids": vec!["a"; 100_000] })), "VALUE_BYTES");
    assert_eq!(limit(lists, json!({ "ids": vec!["a"; 1_000] })), "none");
}

//! Documents of at most 10 KiB that are made to be as much work as they can.

const MOST_BYTES: usize = 10 << 10;

/// As often as there is room for it.
fn fill(head: &str, each: impl Fn(usize) -> String, tail: &str) -> String {
    let mut text = head.to_owned();
    for at in 0.. {
        let next = each(at);
        if text.len() + next.len() + tail.len() > MOST_BYTES {
            break;
        }
        text += &next;
    }
    text + tail
}

fn repeat(count: usize, each: impl Fn(usize) -> String) -> String {
    (0..count).map(each).collect()
}

/// Fragments of which each uses the next twice.
fn bomb(levels: usize, inner: &str) -> String {
    let each = repeat(levels, |at| {
        let next = at + 1;
        format!(
            "fragment F{at} on Show {{ venue {{ id }} ...F{next} a{at}: sales {{ open }} ...F{next} }} "
        )
    });
    format!("{{ show(id: 1) {{ ...F0 }} }} {each} fragment F{levels} on Show {{ {inner} }}")
}

/// Fragments whose nested fields all have to be merged with each other.
fn merged(width: usize, levels: usize) -> String {
    let each = repeat(levels, |at| {
        let next = at + 1;
        let fields = repeat(width, |_| format!("order {{ ...F{next} }} "));
        format!("fragment F{at} on Ticket {{ {fields} }} ")
    });
    // Ticket has orders, orders have tickets.
    let each = each.replace("order { ...", "order { tickets { ...").replace(" } }", " } } }");
    format!("{{ ticket(id: 1) {{ ...F0 }} }} {each} fragment F{levels} on Ticket {{ id }}")
}

/// Objects that exclude each other, beside an interface, nested.
fn abstracts(depth: usize) -> String {
    const TYPES: [&str; 4] = ["Hold", "Ticket", "Show", "Order"];
    let level = |inner: &str| {
        let each = repeat(TYPES.len(), |at| format!("... on {} {{ id {inner} }} ", TYPES[at]));
        format!("... on Node {{ id {each} }} {each}")
    };
    let inner = (0..depth).fold(String::new(), |inner, _| level(&inner));
    format!("{{ node(id: 1) {{ {inner} }} }}")
}

/// Every document, with its name.
pub fn adversaries() -> Vec<(String, String)> {
    let deep = |open: &str, close: &str| {
        let count = (MOST_BYTES - 40) / (open.len() + close.len());
        format!("{{ viewer {}{} }}", open.repeat(count), close.repeat(count))
    };
    let mut all = vec![
        ("one field again and again", fill("{ viewer { ", |_| "role ".to_owned(), "} }")),
        ("one field with a set again and again", fill("{ ", |_| "viewer{role}".to_owned(), "}")),
        (
            "one nested field again and again",
            fill("{ show(id: 1) { ", |_| "venue{id name}".to_owned(), "} }"),
        ),
        (
            "one argument again and again",
            fill("{ ", |at| format!("a{at}:show(id:\"{at}\"){{id}}"), "}"),
        ),
        (
            "the same long argument again and again",
            fill("{ ", |_| format!("show(id:\"{}\"){{id}}", "x".repeat(180)), "}"),
        ),
        ("aliases", fill("{ viewer { ", |at| format!("a{at}:role "), "} }")),
        ("directives", fill("{ viewer { role ", |_| "@skip(if:true)".to_owned(), "} }")),
        ("unknown directives", fill("{ viewer { role ", |at| format!("@a{at}"), "} }")),
        ("unknown fields", fill("{ viewer { ", |at| format!("f{at} "), "} }")),
        ("arguments of one field", fill("{ viewer(", |at| format!("a{at}:1 "), ") { role } }")),
        ("variables", fill("query(", |at| format!("$a{at}:Int "), ") { viewer { role } }")),
        (
            "uses of variables",
            fill("query($a:Int){shows(filter:{", |_| "venue:$a ".to_owned(), "}){edges{cursor}}}"),
        ),
        ("a long list", fill("{ nodes(ids: [", |_| "1 ".to_owned(), "]) { id } }")),
        ("a long list of lists", fill("{ nodes(ids: [", |_| "[]".to_owned(), "]) { id } }")),
        (
            "fields of an object",
            fill("{ shows(filter: {", |at| format!("f{at}:1 "), "}) { edges { cursor } } }"),
        ),
        (
            "an object without fields again and again",
            fill(
                "mutation { placeOrder(input: {buyer:\"\" lines: [",
                |_| "{}".to_owned(),
                "]}) { position } }",
            ),
        ),
        ("operations", fill("", |at| format!("query A{at}{{viewer{{role}}}}"), "")),
        (
            "operations that share fragments",
            fill("", |at| format!("query A{at}{{...F0}}"), "")
                .chars()
                .take(1_500)
                .collect::<String>()
                + "{viewer{role}}"
                + &repeat(200, |at| format!("fragment F{at} on Query{{...F{}}}", at + 1))
                + "fragment F200 on Query{viewer{role}}",
        ),
        ("fragments", fill("{viewer{role}}", |at| format!("fragment F{at} on Viewer{{role}}"), "")),
        (
            "fragments that use all others",
            fill(
                "{show(id:1){...F0}}",
                |at| {
                    let others = repeat(30, |other| format!("...F{other} "));
                    format!("fragment F{at} on Show{{{others}}}")
                },
                "",
            ),
        ),
        (
            "spreads of one fragment",
            fill("{viewer{", |_| "...F ".to_owned(), "}} fragment F on Viewer { role label }"),
        ),
        ("inline fragments", fill("{viewer{", |_| "...{role}".to_owned(), "}}")),
        ("inline fragments within each other", deep("{...", "}")),
        ("brackets of sets", deep("{a", "}")),
        ("brackets of lists", format!("{{ nodes(ids: {}", "[".repeat(MOST_BYTES - 20))),
        ("brackets of objects", format!("{{ shows(filter: {}", "{a:".repeat(3_000))),
        ("brackets of types", format!("query($a: {}", "[".repeat(MOST_BYTES - 20))),
        ("comments", fill("{viewer{role}}", |_| "#\n".to_owned(), "")),
        ("commas", fill("{viewer{role}}", |_| ",".to_owned(), "")),
        ("a comment of wide characters", fill("{viewer{role}} #", |_| "🎫".to_owned(), "")),
        (
            "a string of wide characters",
            fill("{shows(after:\"", |_| "🎫".to_owned(), "\"){edges{cursor}}}"),
        ),
        (
            "a string of escapes",
            fill("{shows(after:\"", |_| "\\u{1F3AB}".to_owned(), "\"){edges{cursor}}}"),
        ),
        (
            "a block string of lines",
            fill("{shows(after:\"\"\"", |_| " \n".to_owned(), "\"\"\"){edges{cursor}}}"),
        ),
        ("a string without an end", fill("{shows(after:\"", |_| "\\\"".to_owned(), "")),
        ("a long name", fill("{viewer{", |_| "a".to_owned(), "}}")),
        ("a long number", fill("{shows(first:", |_| "9".to_owned(), "){edges{cursor}}}")),
        (
            "lists of the schema in each other",
            fill("{__schema{types{", |_| "fields{type{".to_owned(), ""),
        ),
        (
            "questions about the schema",
            fill("{", |at| format!("a{at}:__schema{{types{{fields{{name}}}}}}"), "}"),
        ),
        ("a subscription of many fields", fill("subscription{", |_| "events{id}".to_owned(), "}")),
    ];
    let all_names: Vec<_> =
        [5, 9, 10, 11, 20, 31].map(|levels| (levels, bomb(levels, "id"))).into();
    let mut named: Vec<(String, String)> =
        all.drain(..).map(|(name, text)| (name.to_owned(), text)).collect();
    named.extend(all_names.into_iter().map(|(levels, text)| (format!("a bomb of {levels}"), text)));
    for (width, levels) in [(2, 8), (3, 6), (10, 3), (40, 2)] {
        named.push((format!("{width} wide, {levels} deep, to merge"), merged(width, levels)));
    }
    named.extend((1..=4).map(|depth| (format!("abstract types, {depth} deep"), abstracts(depth))));
    named.retain(|(_, text)| text.len() <= MOST_BYTES);
    named
}

//! Operations for the real schema, chosen by the bytes of an input: any field with any arguments,
//! mostly such that a resolver is reached, sometimes such that it should not be.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{
    mutator::{NUMBERS, ODDITIES},
    schema::{Argument, Field, SCHEMA, Schema, Shape},
    stage::Fixture,
};

/// Reads an input as a list of choices. When it is at its end, nothing is chosen any more.
pub(super) struct Choices<'a>(pub(super) &'a [u8]);

impl Choices<'_> {
    /// Nothing is left.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return u8::MAX };
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// So often of 256; never when nothing is left.
    fn chance(&mut self, of_256: u8) -> bool {
        self.byte() < of_256
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

/// What is known of the world: ids, codes and cursors, which arguments may name.
pub(super) struct Pool {
    known: Vec<String>,
}

impl Pool {
    /// What the fixture has.
    pub(super) fn of(fixture: &Fixture) -> Self {
        Self { known: fixture.names().map(|(_, value)| value.to_owned()).collect() }
    }

    /// Takes what an answer shows: ids, codes, cursors, versions.
    pub(super) fn learn(&mut self, answer: &Value) {
        match answer {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(fields) => fields.values().for_each(|field| self.learn(field)),
            Value::String(text) => {
                let is_new = !self.known.contains(text);
                if is_new && (6..200).contains(&text.len()) && self.known.len() < 500 {
                    self.known.push(text.clone());
                }
            }
            _ => {}
        }
    }

    /// Those that begin with this.
    fn beginning(&self, with: &str) -> Vec<&str> {
        self.known.iter().map(String::as_str).filter(|known| known.starts_with(with)).collect()
    }
}

/// An operation that is to be sent.
pub(super) struct Operation {
    pub(super) is_mutation: bool,
    /// The name of the one field at its root.
    pub(super) field: String,
    pub(super) text: String,
    pub(super) variables: Value,
}

/// Makes operations.
pub(super) struct Generator<'a, 'i> {
    pub(super) choices: &'a mut Choices<'i>,
    pub(super) pool: &'a Pool,
    schema: &'static Schema,
    declared: String,
    variables: Map<String, Value>,
}

impl<'a, 'i> Generator<'a, 'i> {
    /// With these choices, over this world.
    pub(super) fn new(choices: &'a mut Choices<'i>, pool: &'a Pool) -> Self {
        let (declared, variables) = (String::new(), Map::new());
        Self { choices, pool, schema: &SCHEMA, declared, variables }
    }

    /// One operation with one field at its root.
    pub(super) fn operation(mut self) -> Operation {
        let is_mutation = self.choices.chance(150);
        let root = if is_mutation { "Mutation" } else { "Query" };
        let schema = self.schema;
        let field = self.choices.pick(&schema.get(root).fields);
        let mut body = String::new();
        self.field(&mut body, field, 3);
        if is_mutation {
            // What the answer is checked by.
            let end = body.rfind('}').unwrap_or(body.len());
            body.insert_str(end, " userErrors { code message field } position repeated ");
        }
        let word = if is_mutation { "mutation" } else { "query" };
        let declared = match self.declared.is_empty() {
            true => String::new(),
            false => format!("({})", self.declared),
        };
        Operation {
            is_mutation,
            field: field.name.clone(),
            text: format!("{word} {declared} {{ {body} }}"),
            variables: Value::Object(self.variables),
        }
    }

    fn field(&mut self, out: &mut String, field: &Field, depth: usize) {
        out.push_str(&field.name);
        let mut arguments = Vec::new();
        for argument in &field.arguments {
            if self.is_given(argument) {
                let value = self.value(&argument.shape, &argument.name, 4);
                arguments.push(format!("{}: {}", argument.name, self.written(argument, value)));
            }
        }
        if !arguments.is_empty() {
            let _ = write!(out, "({})", arguments.join(", "));
        }
        self.selection(out, field.shape.name(), depth);
        out.push(' ');
    }

    fn selection(&mut self, out: &mut String, of: &str, depth: usize) {
        let found = self.schema.get(of);
        if found.is_leaf() {
            return;
        }
        out.push_str(" { __typename ");
        if !found.possible.is_empty() {
            let object = self.choices.pick(&found.possible);
            let _ = write!(out, "... on {object}");
            self.selection(out, object, depth);
        }
        let count =
            if depth == 0 || found.fields.is_empty() { 0 } else { 1 + self.choices.below(5) };
        for number in 0..count {
            let field = self.choices.pick(&found.fields);
            // Each under a name of its own, so that two with other arguments do not conflict.
            let _ = write!(out, "f{number}: ");
            self.field(out, field, depth - 1);
        }
        out.push('}');
    }

    fn is_given(&mut self, argument: &Argument) -> bool {
        self.choices.chance(if argument.required { 253 } else { 90 })
    }

    /// As a variable, or as a literal.
    fn written(&mut self, argument: &Argument, value: Value) -> String {
        if self.choices.chance(70) {
            return self.literal(&argument.shape, &value);
        }
        let name = format!("v{}", self.variables.len());
        let _ = write!(self.declared, "${name}: {} ", argument.shape);
        self.variables.insert(name.clone(), value);
        format!("${name}")
    }

    fn literal(&self, shape: &Shape, value: &Value) -> String {
        let named = self.schema.get(shape.name());
        match value {
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.literal(shape, item)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Object(fields) => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| {
                        let input = named.inputs.iter().find(|input| input.name == *name);
                        let value = match input {
                            Some(input) => self.literal(&input.shape, value),
                            None => value.to_string(),
                        };
                        format!("{name}: {value}")
                    })
                    .collect();
                format!("{{ {} }}", fields.join(", "))
            }
            Value::String(word) if named.values.contains(word) => word.clone(),
            other => other.to_string(),
        }
    }

    fn value(&mut self, shape: &Shape, name: &str, depth: usize) -> Value {
        match shape {
            Shape::NonNull(inner) => {
                if self.choices.chance(2) {
                    Value::Null
                } else {
                    self.value(inner, name, depth)
                }
            }
            Shape::List(inner) => {
                let count = match self.choices.below(40) {
                    0 => 0,
                    1 => 120,
                    more => 1 + more % 3,
                };
                Value::Array((0..count).map(|_| self.value(inner, name, depth)).collect())
            }
            Shape::Named(of) => self.named(of, name, depth),
        }
    }

    fn named(&mut self, of: &str, name: &str, depth: usize) -> Value {
        let schema = self.schema;
        let found = schema.get(of);
        if !found.inputs.is_empty() {
            let mut fields = Map::new();
            for input in &found.inputs {
                if depth > 0 && self.is_given(input) {
                    fields.insert(
                        input.name.clone(),
                        self.value(&input.shape, &input.name, depth - 1),
                    );
                }
            }
            if self.choices.chance(2) {
                fields.insert("unknown".to_owned(), json!(1));
            }
            return Value::Object(fields);
        }
        if self.choices.chance(24) {
            return self.odd();
        }
        if !found.values.is_empty() {
            return json!(self.choices.pick(&found.values));
        }
        match of {
            "ID" => json!(self.id(name)),
            "String" => json!(self.text(name)),
            "Int" => json!(*self.choices.pick(&[1, 2, 3, 0, 5, 10, 100, 600, -1, i32::MAX])),
            "Float" => json!(*self.choices.pick(&[0.0, 1.5, -1.0, 1e300])),
            "Boolean" => json!(self.choices.chance(128)),
            "MinorUnits" => json!(*self.choices.pick(&[5_000, 10_000, 1, 0, 25_000, 1_u64 << 52])),
            "Position" => json!(*self.choices.pick(&[1, 0, 20, 40, 10_000])),
            "DateTime" => json!(*self.choices.pick(&[
                "2026-11-21T10:00:00Z",
                "2026-11-22T10:00:00Z",
                "2026-11-23T19:00:00+09:00",
                "2026-11-01T00:00:00Z",
                "1970-01-01T00:00:00Z",
                "9998-12-31T00:00:00Z",
            ])),
            _ => json!({ "a": [1, null] }),
        }
    }

    /// What should be refused, or at least make nothing fall over.
    fn odd(&mut self) -> Value {
        match self.choices.below(6) {
            0 => Value::Null,
            1 => json!([[1]]),
            2 => json!({ "x": null }),
            3 => json!("長".repeat(1 + self.choices.below(200) * 40)),
            4 => {
                let number = *self.choices.pick(NUMBERS);
                serde_json::from_str(number).unwrap_or_else(|_| json!(number))
            }
            _ => json!(*self.choices.pick(ODDITIES)),
        }
    }

    fn id(&mut self, name: &str) -> String {
        const KINDS: [(&str, &str); 10] = [
            ("show", "show_"),
            ("hold", "hold_"),
            ("order", "order_"),
            ("ticket", "ticket_"),
            ("venue", "venue_"),
            ("organizer", "organizer_"),
            ("refund", "refund_"),
            ("apiKey", "key_"),
            ("cancellation", "cancellation_"),
            ("event", "event_"),
        ];
        let kind = KINDS.iter().find(|(word, _)| *word == name);
        let prefix = match kind {
            Some((_, prefix)) if !self.choices.chance(10) => prefix,
            _ => self.choices.pick(&KINDS).1,
        };
        let known = self.pool.beginning(prefix);
        match known.is_empty() || self.choices.chance(10) {
            true => format!("{prefix}01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            false => (*self.choices.pick(&known)).to_owned(),
        }
    }

    fn text(&mut self, name: &str) -> String {
        let from: &[&str] = match name {
            "idempotencyKey" => &["k1", "k2", "k3", "k4", "k5", "k6", "made-9", "確認 / 1"],
            "buyer" | "actor" => &["b-1", "b-2", "b-3"],
            "seat" | "seats" => &["A1", "A6", "B1", "B2", "B3", "B4", "A3", "B5", "B6", "Z9"],
            "pool" | "pools" | "id" => &["floor", "added", "none"],
            "category" | "categories" => &["stalls", "floor", "none"],
            "section" => &["stalls", "none"],
            "allotment" => &["sponsors", "fan-club"],
            "ticketType" => &["adult", "child", "学生"],
            "gate" => &["north", "南"],
            "currency" => &["JPY", "EUR", "yen"],
            "method" => &["card", "cash"],
            "payment" => &["pay-A3", "pay-A5", "pay-new", "pay-2"],
            "json" => &[
                r#"{"name":"h","focus":{"x":0,"y":0},"sections":[],"pools":[{"id":"p","capacity":3,"category":"c"}]}"#,
                r#"{"name":"h","size":{"width":1,"height":1},"categories":[],"zones":[]}"#,
                "{}",
                "[",
            ],
            "kinds" | "kind" => &["seats-held", "order-paid", "none"],
            "projection" | "projections" => &["seat_availability", "audit_log", "orders", "none"],
            "stops" => &["東京", "京都", "大阪", "東京"],
            "after" | "before" => {
                let cursors = self.pool.beginning("W");
                return self.choices.pick(&cursors).to_string();
            }
            "code" => {
                let codes = self.pool.beginning("T1.");
                return self.choices.pick(&codes).to_string();
            }
            _ => &["名 前", "x", "north", "adult", "A1"],
        };
        (*self.choices.pick(from)).to_owned()
    }
}

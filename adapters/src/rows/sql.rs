//! The statements. Table and column names come from the program alone, values are bound.

use std::fmt::Write as _;

use hakken_projections::rows::{BuildId, ColumnKind, Filter, Query, Table, Value};

/// A statement with what is bound to it.
pub(super) struct Statement {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

fn name(table: &Table, build: BuildId) -> String {
    format!("\"{}__{}\"", table.name, build.0)
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn columns(table: &Table) -> String {
    quoted(table.columns.iter().map(|column| column.name))
}

/// `value ->> 0, value ->> 1, …`: the cells of one row of the JSON.
fn cells(count: usize) -> String {
    (0..count).map(|at| format!("value ->> {at}")).collect::<Vec<_>>().join(", ")
}

/// A table of a build, without its indexes.
pub(super) fn create_table(table: &Table, build: BuildId) -> String {
    let columns = table.columns.iter().enumerate().map(|(at, column)| {
        let kind = match column.kind {
            ColumnKind::Int => "INTEGER",
            ColumnKind::Text | ColumnKind::Doc => "TEXT",
            ColumnKind::Bytes => "BLOB",
        };
        let not_null = if at < table.key { " NOT NULL" } else { "" };
        format!("\"{}\" {kind}{not_null}", column.name)
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let key = quoted(table.key_names());
    let without = if is_ordered_by_key(table) { " WITHOUT ROWID" } else { "" };
    format!("CREATE TABLE {} ({columns}, PRIMARY KEY ({key})){without}", name(table, build))
}

/// Whether a key orders the rows themselves, which spares a second tree. Ids come in no order:
/// ordered by them, each row would be written to a page of its own, so rows with an id or with
/// indexes stand in the order in which they came. What is changed together is then often new
/// together, and a transaction touches few pages. A single number is a row's place in the file.
fn is_ordered_by_key(table: &Table) -> bool {
    table.key > 1 && table.indexes.is_empty()
}

/// Its indexes.
pub(super) fn create_indexes(table: &Table, build: BuildId) -> Vec<String> {
    let indexes = table.indexes.iter().enumerate();
    indexes
        .map(|(at, columns)| {
            format!(
                "CREATE INDEX IF NOT EXISTS \"{}__{}__{at}\" ON {} ({})",
                table.name,
                build.0,
                name(table, build),
                quoted(columns.iter().copied())
            )
        })
        .collect()
}

/// Puts so many rows, every cell of which is bound. A row that is there stays in its place.
pub(super) fn upsert_chunk(table: &Table, build: BuildId, rows: usize) -> String {
    let row = format!("({})", vec!["?"; table.columns.len()].join(", "));
    let put = format!(
        "INTO {} ({}) VALUES {}",
        name(table, build),
        columns(table),
        vec![row; rows].join(", ")
    );
    if is_ordered_by_key(table) {
        return format!("INSERT OR REPLACE {put}");
    }
    // Not replaced, which would move the row to the end.
    let set = table.columns[table.key..].iter().map(|column| column.name);
    let set = set.map(|name| format!("\"{name}\" = excluded.\"{name}\"")).collect::<Vec<_>>();
    let keys = quoted(table.key_names());
    format!("INSERT {put} ON CONFLICT ({keys}) DO UPDATE SET {}", set.join(", "))
}

fn of_keys(table: &Table) -> String {
    format!("({}) IN (SELECT {} FROM json_each(?))", quoted(table.key_names()), cells(table.key))
}

/// Takes rows away.
pub(super) fn delete(table: &Table, build: BuildId) -> String {
    format!("DELETE FROM {} WHERE {}", name(table, build), of_keys(table))
}

/// Rows by their keys.
pub(super) fn load(table: &Table, build: BuildId) -> String {
    format!("SELECT {} FROM {} WHERE {}", columns(table), name(table, build), of_keys(table))
}

fn conditions(filters: &[Filter], values: &mut Vec<Value>) -> Vec<String> {
    let conditions = filters.iter().map(|filter| {
        let column = filter.column();
        match filter {
            Filter::Equal(_, value) => {
                values.push(value.clone());
                format!("\"{column}\" = ?")
            }
            Filter::OneOf(_, wanted) => {
                let rows: Vec<Vec<Value>> =
                    wanted.iter().map(|value| vec![value.clone()]).collect();
                values.push(Value::Text(json(&rows, usize::MAX).0.into()));
                format!("\"{column}\" IN (SELECT value ->> 0 FROM json_each(?))")
            }
            Filter::AtLeast(_, least) => {
                values.push(Value::Int(*least));
                format!("\"{column}\" >= ?")
            }
            Filter::AtMost(_, most) => {
                values.push(Value::Int(*most));
                format!("\"{column}\" <= ?")
            }
        }
    });
    conditions.collect()
}

/// Rows that meet every filter, in an order.
pub(super) fn select(query: &Query, build: BuildId) -> Statement {
    let mut values = Vec::new();
    let mut conditions = conditions(&query.filters, &mut values);
    if let Some(after) = &query.after {
        let than = if query.descending { "<" } else { ">" };
        let places = vec!["?"; after.len()].join(", ");
        conditions.push(format!("({}) {than} ({places})", quoted(query.order.iter().copied())));
        values.extend(after.iter().cloned());
    }
    let mut text = format!("SELECT {} FROM {}", columns(query.table), name(query.table, build));
    if !conditions.is_empty() {
        let _ = write!(text, " WHERE {}", conditions.join(" AND "));
    }
    let direction = if query.descending { " DESC" } else { "" };
    let order = query.order.iter().map(|name| format!("\"{name}\"{direction}"));
    let order = order.collect::<Vec<_>>().join(", ");
    let _ = write!(text, " ORDER BY {order} LIMIT ?");
    values.push(Value::Int(i64::try_from(query.limit).unwrap_or(i64::MAX)));
    Statement { text, values }
}

/// How many rows meet every filter.
pub(super) fn count(table: &Table, build: BuildId, filters: &[Filter]) -> Statement {
    let mut values = Vec::new();
    let conditions = conditions(filters, &mut values);
    let mut text = format!("SELECT count(*) FROM {}", name(table, build));
    if !conditions.is_empty() {
        let _ = write!(text, " WHERE {}", conditions.join(" AND "));
    }
    Statement { text, values }
}

/// Rows as a JSON array of arrays, of about so many bytes at most; says how many rows it has, at
/// least one.
pub(super) fn json(rows: &[Vec<Value>], max_bytes: usize) -> (String, usize) {
    let mut json = String::with_capacity((rows.len() * 128).min(1 << 20));
    json.push('[');
    let mut taken = 0;
    for row in rows {
        if taken > 0 {
            if json.len() >= max_bytes {
                break;
            }
            json.push(',');
        }
        json.push('[');
        for (at, value) in row.iter().enumerate() {
            if at > 0 {
                json.push(',');
            }
            match value {
                Value::Null => json.push_str("null"),
                Value::Int(number) => {
                    let _ = write!(json, "{number}");
                }
                Value::Text(text) => push_text(&mut json, text),
                // No key is made of packed numbers.
                Value::Bytes(_) => json.push_str("null"),
            }
        }
        json.push(']');
        taken += 1;
    }
    json.push(']');
    (json, taken)
}

/// A JSON string. Runs of plain characters are copied as they are.
fn push_text(json: &mut String, text: &str) {
    json.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        // Every byte that is escaped is a character of its own.
        json.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            control => {
                let _ = write!(json, "\\u{control:04x}");
            }
        }
    }
    json.push_str(&text[plain..]);
    json.push('"');
}

//! The statements. Table and column names come from the program alone, values are bound.

use std::fmt::Write as _;

use hakken_projections::rows::{BuildId, Column, ColumnKind, Filter, Query, Table, Value};

/// Something that is bound to a statement.
pub(super) enum Bound {
    Int(i64),
    Text(String),
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

/// A statement with what is bound to it.
pub(super) struct Statement {
    pub(super) text: String,
    pub(super) values: Vec<Bound>,
}

pub(super) fn name(table: &Table, build: BuildId) -> String {
    format!("hakken_rows.\"{}__{}\"", table.name, build.0)
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn columns(table: &Table) -> String {
    quoted(table.columns.iter().map(|column| column.name))
}

fn type_of(column: &Column) -> &'static str {
    match column.kind {
        ColumnKind::Int => "bigint",
        ColumnKind::Text | ColumnKind::Doc => "text",
        ColumnKind::Bytes => "bytea",
    }
}

/// A table of a build, without its indexes. Texts sort by their bytes.
pub(super) fn create_table(table: &Table, build: BuildId) -> String {
    let columns = table.columns.iter().enumerate().map(|(at, column)| {
        let collate = if column.kind == ColumnKind::Text { " COLLATE \"C\"" } else { "" };
        let not_null = if at < table.key { " NOT NULL" } else { "" };
        format!("\"{}\" {}{collate}{not_null}", column.name, type_of(column))
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let key = quoted(table.key_names());
    format!("CREATE TABLE {} ({columns}, PRIMARY KEY ({key}))", name(table, build))
}

/// Its indexes, and what the planner should know.
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
        .chain([format!("ANALYZE {}", name(table, build))])
        .collect()
}

/// `unnest($1::bigint[], …)`: rows, one array for each of their columns.
fn unnest(columns: &[Column]) -> String {
    let places = columns
        .iter()
        .enumerate()
        .map(|(at, column)| format!("${}::{}[]", at + 1, type_of(column)))
        .collect::<Vec<_>>();
    format!("unnest({})", places.join(", "))
}

/// The cells of rows, column by column.
fn by_column(columns: &[Column], rows: &[Vec<Value>]) -> Vec<Bound> {
    let cells = |at: usize| rows.iter().map(move |row| &row[at]);
    columns
        .iter()
        .enumerate()
        .map(|(at, column)| match column.kind {
            ColumnKind::Int => Bound::Ints(cells(at).map(Value::as_int).collect()),
            ColumnKind::Text | ColumnKind::Doc => Bound::Texts(
                cells(at).map(|value| value.as_text().map(ToOwned::to_owned)).collect(),
            ),
            ColumnKind::Bytes => {
                Bound::Bytes(cells(at).map(|value| value.as_bytes().map(<[u8]>::to_vec)).collect())
            }
        })
        .collect()
}

/// Puts rows; each replaces the one with its key.
pub(super) fn upsert(table: &Table, build: BuildId, rows: &[Vec<Value>]) -> Statement {
    let others = &table.columns[table.key..];
    let set = others.iter().map(|column| format!("\"{0}\" = excluded.\"{0}\"", column.name));
    let set = set.collect::<Vec<_>>().join(", ");
    let then = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {set}") };
    let text = format!(
        "INSERT INTO {} ({}) SELECT * FROM {} ON CONFLICT ({}) DO {then}",
        name(table, build),
        columns(table),
        unnest(table.columns),
        quoted(table.key_names()),
    );
    Statement { text, values: by_column(table.columns, rows) }
}

fn of_keys(table: &Table) -> String {
    let key = &table.columns[..table.key];
    format!("({}) IN (SELECT * FROM {})", quoted(table.key_names()), unnest(key))
}

/// Takes rows away.
pub(super) fn delete(table: &Table, build: BuildId, keys: &[Vec<Value>]) -> Statement {
    let text = format!("DELETE FROM {} WHERE {}", name(table, build), of_keys(table));
    Statement { text, values: by_column(&table.columns[..table.key], keys) }
}

/// Rows by their keys.
pub(super) fn load(table: &Table, build: BuildId, keys: &[Vec<Value>]) -> Statement {
    let text =
        format!("SELECT {} FROM {} WHERE {}", columns(table), name(table, build), of_keys(table));
    Statement { text, values: by_column(&table.columns[..table.key], keys) }
}

/// A value in the place of its column; none where no row can have it.
fn bind(column: &Column, value: &Value, values: &mut Vec<Bound>) -> Option<String> {
    let bound = match (column.kind, value) {
        (ColumnKind::Int, Value::Int(number)) => Bound::Int(*number),
        (ColumnKind::Text | ColumnKind::Doc, Value::Text(text)) => Bound::Text((**text).to_owned()),
        _ => return None,
    };
    values.push(bound);
    Some(format!("${}::{}", values.len(), type_of(column)))
}

fn conditions(table: &Table, filters: &[Filter], values: &mut Vec<Bound>) -> Vec<String> {
    let nothing = || "false".to_owned();
    let conditions = filters.iter().map(|filter| {
        let column = &table.columns[table.column(filter.column())];
        let name = column.name;
        match filter {
            Filter::Equal(_, value) => bind(column, value, values)
                .map_or_else(nothing, |place| format!("\"{name}\" = {place}")),
            Filter::OneOf(_, wanted) => {
                let rows: Vec<Vec<Value>> =
                    wanted.iter().map(|value| vec![value.clone()]).collect();
                values.extend(by_column(std::slice::from_ref(column), &rows));
                format!("\"{name}\" = ANY (${}::{}[])", values.len(), type_of(column))
            }
            Filter::AtLeast(_, least) => bind(column, &Value::Int(*least), values)
                .map_or_else(nothing, |place| format!("\"{name}\" >= {place}")),
            Filter::AtMost(_, most) => bind(column, &Value::Int(*most), values)
                .map_or_else(nothing, |place| format!("\"{name}\" <= {place}")),
        }
    });
    conditions.collect()
}

/// Rows that meet every filter, in an order.
pub(super) fn select(query: &Query, build: BuildId) -> Statement {
    let table = query.table;
    let mut values = Vec::new();
    let mut conditions = conditions(table, &query.filters, &mut values);
    if let Some(after) = &query.after {
        let places: Option<Vec<String>> = query
            .order
            .iter()
            .zip(after)
            .map(|(name, value)| bind(&table.columns[table.column(name)], value, &mut values))
            .collect();
        let than = if query.descending { "<" } else { ">" };
        conditions.push(places.map_or_else(
            || "false".to_owned(),
            |places| {
                let order = quoted(query.order.iter().copied());
                format!("({order}) {than} ({})", places.join(", "))
            },
        ));
    }
    let mut text = format!("SELECT {} FROM {}", columns(table), name(table, build));
    if !conditions.is_empty() {
        let _ = write!(text, " WHERE {}", conditions.join(" AND "));
    }
    let direction = if query.descending { " DESC" } else { "" };
    let order = query.order.iter().map(|name| format!("\"{name}\"{direction}"));
    values.push(Bound::Int(i64::try_from(query.limit).unwrap_or(i64::MAX)));
    let order = order.collect::<Vec<_>>().join(", ");
    let _ = write!(text, " ORDER BY {order} LIMIT ${}", values.len());
    Statement { text, values }
}

/// How many rows meet every filter.
pub(super) fn count(table: &Table, build: BuildId, filters: &[Filter]) -> Statement {
    let mut values = Vec::new();
    let conditions = conditions(table, filters, &mut values);
    let mut text = format!("SELECT count(*) FROM {}", name(table, build));
    if !conditions.is_empty() {
        let _ = write!(text, " WHERE {}", conditions.join(" AND "));
    }
    Statement { text, values }
}

//! Two builds side by side, in the order of their keys, down to the first difference in words.

use std::{
    cmp::Ordering,
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

use hakken_domain::names::ShowId;

use crate::rows::{
    BuildId, Changes, ColumnKind, Filter, Key, Query, Row, RowError, RowStore, Table, TableChanges,
    Value,
};

const PAGE: usize = 2_000;

/// What the rows of one table say, served and folded afresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableComparison {
    /// The table.
    pub table: &'static str,
    /// Rows that are served.
    pub served_rows: u64,
    /// Rows that the events give.
    pub rebuilt_rows: u64,
    /// A number over the served rows, whatever their order. It means something only beside the
    /// other one.
    pub served_digest: u64,
    /// The same over the rows that the events give.
    pub rebuilt_digest: u64,
    /// Rows that are missing, too many or different.
    pub differences: u64,
}

/// Whether what is served is what the events say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Table by table.
    pub tables: Vec<TableComparison>,
    /// In words: `ticket 01J… is served as issued, the events say used`.
    pub first_difference: Option<String>,
}

impl Comparison {
    /// Nothing differs.
    pub fn equal(&self) -> bool {
        self.tables.iter().all(|table| table.differences == 0)
    }
}

/// Compares two builds that nobody changes meanwhile.
pub(super) async fn compare(
    rows: &dyn RowStore,
    tables: &'static [&'static Table],
    served: BuildId,
    rebuilt: BuildId,
) -> Result<Comparison, RowError> {
    let mut comparison = Comparison { tables: Vec::new(), first_difference: None };
    for table in tables {
        let (served, rebuilt) = (Scan::new(rows, served, table), Scan::new(rows, rebuilt, table));
        let (compared, difference) = compare_table(served, rebuilt, |_, _| {}).await?;
        comparison.tables.push(compared);
        if comparison.first_difference.is_none() {
            comparison.first_difference = difference;
        }
    }
    Ok(comparison)
}

/// Compares the rows of one show, and says what makes the served ones equal to the others.
pub(super) async fn compare_show(
    rows: &dyn RowStore,
    tables: &'static [(&'static Table, &'static str)],
    served: BuildId,
    rebuilt: BuildId,
    show: ShowId,
) -> Result<(Comparison, Changes), RowError> {
    let mut comparison = Comparison { tables: Vec::new(), first_difference: None };
    let mut changes = Changes::new();
    for (table, column) in tables {
        let scan = |build| Scan::new(rows, build, table).only(Filter::is(column, show));
        let (mut upserts, mut deletes) = (Vec::new(), Vec::new());
        let change = |served: Option<&Row>, rebuilt: Option<&Row>| match (served, rebuilt) {
            (_, Some(rebuilt)) => upserts.push(rebuilt.clone()),
            (Some(served), None) => deletes.push(served[..table.key].to_vec()),
            (None, None) => {}
        };
        let (compared, difference) = compare_table(scan(served), scan(rebuilt), change).await?;
        comparison.tables.push(compared);
        if comparison.first_difference.is_none() {
            comparison.first_difference = difference;
        }
        if !upserts.is_empty() || !deletes.is_empty() {
            changes.push(TableChanges { table, upserts, deletes });
        }
    }
    Ok((comparison, changes))
}

/// The rows of one table, page by page.
struct Scan<'a> {
    rows: &'a dyn RowStore,
    build: BuildId,
    table: &'static Table,
    filters: Vec<Filter>,
    page: VecDeque<Row>,
    after: Option<Key>,
    ended: bool,
    count: u64,
    digest: u64,
}

impl<'a> Scan<'a> {
    fn new(rows: &'a dyn RowStore, build: BuildId, table: &'static Table) -> Self {
        let (filters, page) = (Vec::new(), VecDeque::new());
        Self { rows, build, table, filters, page, after: None, ended: false, count: 0, digest: 0 }
    }

    fn only(self, filter: Filter) -> Self {
        Self { filters: vec![filter], ..self }
    }

    async fn fill(&mut self) -> Result<(), RowError> {
        if self.page.is_empty() && !self.ended {
            let all = Query::all(self.table, self.after.take(), PAGE);
            let query = Query { filters: self.filters.clone(), ..all };
            let rows = self.rows.query(self.build, query).await?;
            self.ended = rows.len() < PAGE;
            self.after = rows.last().map(|row| row[..self.table.key].to_vec());
            self.page = rows.into();
        }
        Ok(())
    }

    fn take(&mut self) -> Option<Row> {
        let row = self.page.pop_front()?;
        self.count += 1;
        let mut hasher = DefaultHasher::new();
        row.hash(&mut hasher);
        self.digest = self.digest.wrapping_add(hasher.finish());
        Some(row)
    }
}

/// Goes through the rows of both; `differ` hears of those that differ.
async fn compare_table(
    mut served: Scan<'_>,
    mut rebuilt: Scan<'_>,
    mut differ: impl FnMut(Option<&Row>, Option<&Row>),
) -> Result<(TableComparison, Option<String>), RowError> {
    let table = served.table;
    let mut differences = 0;
    let mut first = None;
    loop {
        served.fill().await?;
        rebuilt.fill().await?;
        let order = match (served.page.front(), rebuilt.page.front()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a[..table.key].cmp(&b[..table.key]),
        };
        let a = if order.is_le() { served.take() } else { None };
        let b = if order.is_ge() { rebuilt.take() } else { None };
        if a != b {
            differences += 1;
            differ(a.as_ref(), b.as_ref());
            if first.is_none() {
                first = Some(in_words(table, a.as_ref(), b.as_ref()));
            }
        }
    }
    let comparison = TableComparison {
        table: table.name,
        served_rows: served.count,
        rebuilt_rows: rebuilt.count,
        served_digest: served.digest,
        rebuilt_digest: rebuilt.digest,
        differences,
    };
    Ok((comparison, first))
}

/// What differs between two rows of the same key, or that one of them is missing.
fn in_words(table: &Table, served: Option<&Row>, rebuilt: Option<&Row>) -> String {
    let name = |row: &Row| {
        let key: Vec<_> = row[..table.key].iter().map(Value::to_string).collect();
        format!("{} {}", table.noun, key.join(" "))
    };
    match (served, rebuilt) {
        (Some(served), Some(rebuilt)) => {
            let differing = (0..table.columns.len()).find(|at| served[*at] != rebuilt[*at]);
            let Some(at) = differing else { return format!("{} is the same", name(served)) };
            let (column, a, b) = (table.columns[at], &served[at], &rebuilt[at]);
            if column.name == "status" {
                return format!("{} is served as {a}, the events say {b}", name(served));
            }
            let (path, a, b) = match column.kind {
                ColumnKind::Doc => in_document(a, b),
                ColumnKind::Int | ColumnKind::Text | ColumnKind::Bytes => {
                    (column.name.to_owned(), a.to_string(), b.to_string())
                }
            };
            format!("{}: {path} is served as {a}, the events say {b}", name(served))
        }
        (Some(served), None) => {
            format!("{} is served, the events know nothing of it", name(served))
        }
        (None, Some(rebuilt)) => {
            format!("{} is not served, the events say that it is there", name(rebuilt))
        }
        (None, None) => String::new(),
    }
}

/// The first place in which two documents differ.
fn in_document(a: &Value, b: &Value) -> (String, String, String) {
    let parse = |value: &Value| {
        value.as_text().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
    };
    match (parse(a), parse(b)) {
        (Some(mut a), Some(mut b)) => {
            let mut path = Vec::new();
            while let Some((step, x, y)) = step(&a, &b) {
                path.push(step);
                (a, b) = (x, y);
            }
            (path.join("."), a.to_string(), b.to_string())
        }
        _ => ("its document".to_owned(), a.to_string(), b.to_string()),
    }
}

fn step(
    a: &serde_json::Value,
    b: &serde_json::Value,
) -> Option<(String, serde_json::Value, serde_json::Value)> {
    use serde_json::Value::{Array, Null, Object};
    match (a, b) {
        (Object(a), Object(b)) => {
            let names = a.keys().chain(b.keys());
            let name = names.into_iter().find(|name| a.get(*name) != b.get(*name))?;
            let of = |object: &serde_json::Map<_, _>| object.get(name).cloned().unwrap_or(Null);
            Some((name.clone(), of(a), of(b)))
        }
        (Array(a), Array(b)) if a.len() == b.len() => {
            let at = a.iter().zip(b).position(|(a, b)| a != b)?;
            Some((format!("{}", at + 1), a[at].clone(), b[at].clone()))
        }
        _ => None,
    }
}

//! Reading events. A few come by a statement that the server has prepared; many come as COPY in its
//! binary form, whose rows are taken apart where they arrived, without a copy of their bytes.
//!
//! Pages are bounded in bytes as well: the server leaves out what is behind a page of few, and a
//! connection that still sends what is behind a page of many is closed. That is dear, and happens
//! only where the events of a page have more than a kilobyte each.

use std::{fmt::Write as _, ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt, TryStreamExt};
use hakken_commands::store::StoreError;
use hakken_domain::{
    codec,
    envelope::{Position, StoredEvent, StreamId, StreamKind, Version},
    names::EventId,
    time::Timestamp,
};
use hakken_projections::feed::Interest;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use ulid::Ulid;

use super::{
    Events, PAGE_EVENTS,
    connection::{Database, signed},
};

/// Most bytes of data and metadata of one answer, except that a single event may have more.
const PAGE_BYTES: usize = 8 << 20;

/// Up to so many events are a few.
pub(super) const FEW: usize = 500;

/// What is read of an event, in the order of [`Columns`].
pub(super) const COLUMNS: &str =
    "position, recorded_at, version, schema, stream, kind, id, meta, data";

/// How many those are.
const COLUMN_COUNT: u16 = 9;

/// What COPY's binary form begins with.
/// <https://www.postgresql.org/docs/current/sql-copy.html>
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Stands where the number of columns would, behind the last row.
const END: u16 = u16::MAX;

type Malformed = Box<dyn std::error::Error + Send + Sync>;

/// An event as the table has it.
struct Columns<'a> {
    position: i64,
    recorded_at: i64,
    version: i64,
    schema: i32,
    stream: &'a str,
    kind: &'a str,
    id: &'a [u8],
}

impl Columns<'_> {
    fn event(self, meta: Bytes, data: Bytes) -> Result<Arc<StoredEvent>, Malformed> {
        Ok(Arc::new(StoredEvent {
            position: Position(self.position.unsigned_abs()),
            recorded_at: Timestamp::from_micros(self.recorded_at),
            version: self.version.unsigned_abs(),
            schema: u16::try_from(self.schema)?,
            stream: self.stream.parse()?,
            kind: match codec::known_kind(self.kind) {
                Some(known) => known.into(),
                None => self.kind.to_owned().into(),
            },
            id: EventId(Ulid::from_bytes(self.id.try_into()?)),
            meta,
            data,
            cache: std::sync::OnceLock::new(),
        }))
    }
}

pub(super) fn read_row(row: &PgRow) -> Result<Arc<StoredEvent>, sqlx::Error> {
    let columns = Columns {
        position: row.try_get(0)?,
        recorded_at: row.try_get(1)?,
        version: row.try_get(2)?,
        schema: row.try_get(3)?,
        stream: row.try_get(4)?,
        kind: row.try_get(5)?,
        id: row.try_get(6)?,
    };
    let meta = Bytes::copy_from_slice(row.try_get(7)?);
    let data = Bytes::copy_from_slice(row.try_get(8)?);
    columns.event(meta, data).map_err(sqlx::Error::Decode)
}

/// Where one is in the bytes of COPY.
struct Cursor<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<Range<usize>, Malformed> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let range = self.at..end.ok_or("a row is cut off")?;
        self.at = range.end;
        Ok(range)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self.bytes[self.take(N)?].try_into()?)
    }

    /// A column: its length, then its bytes. Null has the length -1, and no column may be null.
    fn column(&mut self) -> Result<Range<usize>, Malformed> {
        let length = i32::from_be_bytes(self.number()?);
        self.take(usize::try_from(length)?)
    }

    fn long(&mut self) -> Result<i64, Malformed> {
        let column = self.column()?;
        Ok(i64::from_be_bytes(self.bytes[column].try_into()?))
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let column = self.column()?;
        Ok(std::str::from_utf8(&self.bytes[column])?)
    }

    /// The next row, or none behind the last one.
    fn row(&mut self) -> Result<Option<Arc<StoredEvent>>, Malformed> {
        match u16::from_be_bytes(self.number()?) {
            COLUMN_COUNT => {}
            END => return Ok(None),
            _ => return Err("a row has another number of columns".into()),
        }
        let columns = Columns {
            position: self.long()?,
            recorded_at: self.long()?,
            version: self.long()?,
            schema: {
                let column = self.column()?;
                i32::from_be_bytes(self.bytes[column].try_into()?)
            },
            stream: self.text()?,
            kind: self.text()?,
            id: {
                let column = self.column()?;
                &self.bytes[column]
            },
        };
        let (meta, data) = (self.column()?, self.column()?);
        columns.event(self.bytes.slice(meta), self.bytes.slice(data)).map(Some)
    }

    /// Passes over the header: signature, flags, and an extension that may be there.
    fn header(&mut self) -> Result<(), Malformed> {
        let signature = self.take(SIGNATURE.len())?;
        if &self.bytes[signature] != SIGNATURE {
            return Err("this is not the binary form of COPY".into());
        }
        self.take(4)?;
        self.column().map(drop)
    }
}

/// The rows of one message. The server puts whole rows into each.
fn read_message(message: &Bytes, is_first: bool, events: &mut Events) -> Result<usize, Malformed> {
    let mut cursor = Cursor { bytes: message, at: 0 };
    let mut bytes = 0;
    if is_first {
        cursor.header()?;
    }
    while cursor.at < message.len() {
        let Some(event) = cursor.row()? else { break };
        bytes += event.data.len() + event.meta.len();
        events.push(event);
    }
    Ok(bytes)
}

/// What COPY sends, and whether that was all: if not, the connection is of no more use.
pub(super) async fn copy(
    connection: &mut PgConnection,
    statement: &str,
) -> Result<(Events, bool), sqlx::Error> {
    let mut events = Events::new();
    let (mut bytes, mut is_first) = (0, true);
    let mut messages = connection.copy_out_raw(statement).await?;
    while let Some(message) = messages.try_next().await? {
        bytes += read_message(&message, is_first, &mut events).map_err(sqlx::Error::Decode)?;
        is_first = false;
        if bytes >= PAGE_BYTES {
            return Ok((events, false));
        }
    }
    Ok((events, true))
}

fn rows_of(limit: usize) -> i64 {
    limit.min(PAGE_EVENTS) as i64
}

/// As a literal. The words of the program have no quotes in them, and it does not hang on that.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "''"))
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ")
}

/// Events of these kinds of streams behind a position, but those that are passed over, and the
/// last one of the page whether it is wanted or not.
fn wanted(after: i64, limit: i64, interest: Interest) -> String {
    let last = after.saturating_add(limit);
    let mut condition = String::from("false");
    for stream in interest.streams {
        let begins = quoted(&format!("{}-", StreamKind::as_str(*stream)));
        let _ = write!(condition, " OR starts_with(stream, {begins})");
    }
    if !interest.passes_over.is_empty() {
        condition = format!("({condition}) AND kind NOT IN ({})", listed(interest.passes_over));
    }
    format!(
        "COPY (SELECT {COLUMNS} FROM hakken.events
             WHERE position > {after} AND position <= {last} AND ({condition}
                 OR position = (SELECT max(position) FROM hakken.events WHERE position <= {last}))
             ORDER BY position
         ) TO STDOUT (FORMAT binary)"
    )
}

impl Database {
    async fn few(
        &self,
        statement: impl Fn() -> sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>
        + Sync,
    ) -> Result<Events, StoreError> {
        self.ask(|connection| {
            let query = statement();
            async move {
                let rows = query.fetch_all(connection).await?;
                rows.iter().map(read_row).collect()
            }
            .boxed()
        })
        .await
    }

    /// Events behind a position, in order: few by a prepared statement, many by COPY.
    pub(super) async fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Events, StoreError> {
        if limit == 0 || i64::try_from(after.0).is_err() {
            return Ok(Vec::new());
        }
        let (after, rows) = (signed(after.0), rows_of(limit));
        if limit <= FEW {
            return self.few(|| sqlx::query(statements::all()).bind(after).bind(rows)).await;
        }
        let statement = format!(
            "COPY (SELECT {COLUMNS} FROM hakken.events WHERE position > {after}
                   ORDER BY position LIMIT {rows}) TO STDOUT (FORMAT binary)"
        );
        self.copy(&statement).await
    }

    pub(super) async fn read_wanted(
        &self,
        after: Position,
        limit: usize,
        interest: Interest,
    ) -> Result<Events, StoreError> {
        if limit == 0 || i64::try_from(after.0).is_err() {
            return Ok(Vec::new());
        }
        self.copy(&wanted(signed(after.0), rows_of(limit), interest)).await
    }

    /// Events of a stream behind a version. Streams are short, so this is never COPY.
    pub(super) async fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Events, StoreError> {
        if limit == 0 || i64::try_from(after).is_err() {
            return Ok(Vec::new());
        }
        self.few(|| {
            sqlx::query(statements::stream())
                .bind(signed(after))
                .bind(rows_of(limit))
                .bind(stream.to_string())
        })
        .await
    }
}

/// The statements that are prepared, made once.
mod statements {
    use std::sync::LazyLock;

    use sqlx::AssertSqlSafe;

    use super::{COLUMNS, PAGE_BYTES};

    type Text = AssertSqlSafe<&'static str>;

    /// Events that meet a condition on the first parameter, in an order, cut off behind a page.
    fn page(condition: &str, order: &str) -> String {
        format!(
            "SELECT {COLUMNS} FROM (
                 SELECT {COLUMNS}, sum(octet_length(data) + octet_length(meta)) OVER (
                     ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
                 FROM hakken.events WHERE {condition} ORDER BY {order} LIMIT $2
             ) AS page
             WHERE coalesce(before, 0) < {PAGE_BYTES} ORDER BY {order}"
        )
    }

    pub(super) fn all() -> Text {
        static TEXT: LazyLock<String> = LazyLock::new(|| page("position > $1", "position"));
        AssertSqlSafe(&TEXT)
    }

    pub(super) fn stream() -> Text {
        static TEXT: LazyLock<String> = LazyLock::new(|| {
            let began = "(SELECT s.began FROM hakken.streams s WHERE s.stream = $3)";
            page(&format!("version > $1 AND began = {began}"), "version")
        });
        AssertSqlSafe(&TEXT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as the server sends it.
    fn row(columns: &[&[u8]]) -> Vec<u8> {
        let mut bytes = (columns.len() as u16).to_be_bytes().to_vec();
        for column in columns {
            bytes.extend((column.len() as i32).to_be_bytes());
            bytes.extend(*column);
        }
        bytes
    }

    fn one(position: i64) -> Vec<u8> {
        row(&[
            &position.to_be_bytes(),
            &7_i64.to_be_bytes(),
            &1_i64.to_be_bytes(),
            &1_i32.to_be_bytes(),
            b"order-01ARZ3NDEKTSV4RRFFQ69G5FAV",
            b"order-placed",
            &[5; 16],
            b"{}",
            b"data",
        ])
    }

    fn header() -> Vec<u8> {
        [SIGNATURE, &[0; 8]].concat()
    }

    fn read(bytes: Vec<u8>) -> Result<Events, Malformed> {
        let mut events = Events::new();
        read_message(&bytes.into(), true, &mut events)?;
        Ok(events)
    }

    #[test]
    fn rows_are_read_as_they_were_sent() {
        let sent = [header(), one(1), one(2), END.to_be_bytes().to_vec()].concat();
        let events = read(sent).unwrap();
        let positions: Vec<u64> = events.iter().map(|event| event.position.0).collect();
        assert_eq!(positions, [1, 2]);
        let event = &events[1];
        assert_eq!((event.version, event.schema, event.recorded_at.as_micros()), (1, 1, 7));
        assert_eq!((&event.meta[..], &event.data[..]), (&b"{}"[..], &b"data"[..]));
        assert_eq!(event.id.0.to_bytes(), [5; 16]);
        assert_eq!(read([header(), END.to_be_bytes().to_vec()].concat()).unwrap().len(), 0);
    }

    #[test]
    fn bytes_that_are_no_rows_are_an_error_wherever_they_end() {
        let whole = [header(), one(1)].concat();
        for end in 0..whole.len() {
            // Behind the header alone nothing is missing.
            assert_eq!(read(whole[..end].to_vec()).is_ok(), end == header().len(), "{end}");
        }
        let null = [&header()[..], &COLUMN_COUNT.to_be_bytes(), &(-1_i32).to_be_bytes()].concat();
        assert!(read(null).is_err());
        assert!(read([header(), row(&[b"x"])].concat()).is_err());
        assert!(read(one(1)).is_err(), "no header");
    }

    #[test]
    fn what_is_wanted_is_asked_for_by_the_beginnings_of_streams() {
        let interest =
            Interest { streams: &[StreamKind::Inventory], passes_over: &["seats-held", "o'clock"] };
        let statement = wanted(10, 5, interest);
        assert!(statement.contains("starts_with(stream, 'inventory-')"), "{statement}");
        assert!(statement.contains("kind NOT IN ('seats-held', 'o''clock')"), "{statement}");
        assert!(statement.contains("position > 10 AND position <= 15"), "{statement}");
    }
}

//! Reading: a page at a time, from the leader, bounded in events and bytes.

use bytes::Bytes;
use eventstore::{
    AppendToStreamOptions, Client, Error, EventData, ExpectedRevision, Position, ReadAllOptions,
    ReadStream, ReadStreamOptions, RecordedEvent, StreamPosition,
};
use hakken_domain::envelope::Version;

use super::link::{Fault, Link};

/// Most bytes of data and metadata of one page, except that a single event may have more.
pub(super) const PAGE_BYTES: usize = 8 << 20;

/// Most events of one page.
pub(super) const PAGE_EVENTS: usize = 4_000;

/// What was read, in order.
pub(super) struct Page {
    pub(super) events: Vec<RecordedEvent>,
    /// There is no more just now.
    pub(super) is_last: bool,
}

/// Where an event stands in $all: the commit and the prepare position, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) commit: u64,
    pub(super) prepare: u64,
}

impl From<Position> for Place {
    fn from(Position { commit, prepare }: Position) -> Self {
        Self { commit, prepare }
    }
}

impl From<Place> for Position {
    fn from(Place { commit, prepare }: Place) -> Self {
        Self { commit, prepare }
    }
}

async fn collect(mut answer: ReadStream, limit: usize) -> Result<Page, Error> {
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(read) = answer.next().await? {
        let Some(event) = read.event else { continue };
        bytes += event.data.len() + event.custom_metadata.len();
        events.push(event);
        if events.len() >= limit || bytes >= PAGE_BYTES {
            return Ok(Page { events, is_last: false });
        }
    }
    Ok(Page { events, is_last: true })
}

impl Link {
    /// Events of $all from a place on, which comes first again if it is given; a place that no
    /// event has is an error.
    pub(super) async fn all(&self, from: Option<Place>, limit: usize) -> Result<Page, Fault> {
        let limit = limit.min(PAGE_EVENTS);
        let from = from.map_or(StreamPosition::Start, |from| StreamPosition::Position(from.into()));
        let deadline = self.address().deadline;
        self.ask(|client: Client| {
            let options = ReadAllOptions::default()
                .position(from)
                .max_count(limit)
                .requires_leader(true)
                .deadline(deadline);
            Box::pin(async move { collect(client.read_all(&options).await?, limit).await })
        })
        .await
    }

    /// Events of a stream with versions after `after`.
    pub(super) async fn stream(
        &self,
        name: &str,
        after: Version,
        limit: usize,
    ) -> Result<Page, Fault> {
        let limit = limit.min(PAGE_EVENTS);
        let nothing = Page { events: Vec::new(), is_last: true };
        if i64::try_from(after).is_err() {
            return Ok(nothing);
        }
        let deadline = self.address().deadline;
        let read = self
            .ask(|client: Client| {
                let options = ReadStreamOptions::default()
                    .position(StreamPosition::Position(after))
                    .max_count(limit)
                    .requires_leader(true)
                    .deadline(deadline);
                let name = name.to_owned();
                Box::pin(
                    async move { collect(client.read_stream(name, &options).await?, limit).await },
                )
            })
            .await;
        match read {
            Err(Fault::Client(Error::ResourceNotFound)) => Ok(nothing),
            read => read,
        }
    }

    /// Appends to a stream that has this version. False if it has another one.
    pub(super) async fn append(
        &self,
        name: &str,
        expected: Version,
        events: Vec<EventData>,
    ) -> Result<Option<Place>, Fault> {
        let expected = match expected.checked_sub(1) {
            None => ExpectedRevision::NoStream,
            // No stream is that long.
            Some(revision) if i64::try_from(revision).is_err() => return Ok(None),
            Some(revision) => ExpectedRevision::Exact(revision),
        };
        let deadline = self.address().deadline;
        let written = self
            .ask_once(|client: Client| {
                let options = AppendToStreamOptions::default()
                    .expected_revision(expected)
                    .requires_leader(true)
                    .deadline(deadline);
                let (name, events) = (name.to_owned(), events.clone());
                Box::pin(async move { client.append_to_stream(name, &options, events).await })
            })
            .await;
        match written {
            Ok(written) => Ok(Some(written.position.into())),
            Err(Fault::Client(Error::WrongExpectedVersion { .. })) => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

/// Bytes that the event costs on its way.
pub(super) fn weight(event: &RecordedEvent) -> usize {
    let of = |bytes: &Bytes| bytes.len();
    of(&event.data) + of(&event.custom_metadata)
}

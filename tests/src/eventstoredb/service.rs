//! The services of the protocol: streams, gossip, and what a server says of itself.

#![allow(
    clippy::result_large_err,
    reason = "the size of the error is that of the protocol's library"
)]

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::sync::{mpsc, watch};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::BoxBody,
    codec::ProstCodec,
    codegen::{Service, http},
    metadata::MetadataMap,
    server::{Grpc, NamedService},
};

use super::{
    Node, batches,
    log::{Log, Outcome, Record},
    proto::{
        AllPlace, AppendContent, AppendPlace, AppendReq, AppendResp, AppendResult, BatchAppendReq,
        BatchAppendResp, ClusterInfo, Confirmation, Content, Count, CurrentRevision, Empty,
        EndPoint, EventPlace, Expected, Expression, Filter, FilterOn, FoundRevision, Member, Place,
        ReadEvent, ReadOptions, ReadReq, ReadResp, RecordedEvent, Revision, Source,
        StreamIdentifier, StreamNotFound, Success, SupportedMethod, SupportedMethods, Uuid,
        UuidValue, WantedRevision, WrongExpectedVersion,
    },
};

/// As a server's log does not get by: the largest request that is read.
const MESSAGE_BYTES: usize = 64 << 20;

/// Records between two checkpoints of a subscription with a filter.
const CHECKPOINT_EVERY: usize = 32;

type Responses = BoxStream<'static, Result<ReadResp, Status>>;
type Answer = BoxFuture<'static, Result<http::Response<BoxBody>, Infallible>>;

/// One of the services, on a node.
macro_rules! service {
    ($service:ident, $name:literal, $call:ident) => {
        #[derive(Clone)]
        pub(super) struct $service(pub(super) Arc<Node>);

        impl NamedService for $service {
            const NAME: &'static str = $name;
        }

        impl Service<http::Request<BoxBody>> for $service {
            type Response = http::Response<BoxBody>;
            type Error = Infallible;
            type Future = Answer;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<BoxBody>) -> Answer {
                let node = Arc::clone(&self.0);
                Box::pin(async move { Ok($call(node, request).await) })
            }
        }
    };
}

service!(Streams, "event_store.client.streams.Streams", streams);
service!(Gossip, "event_store.client.gossip.Gossip", gossip);
service!(Features, "event_store.client.server_features.ServerFeatures", features);

async fn streams(node: Arc<Node>, request: http::Request<BoxBody>) -> http::Response<BoxBody> {
    if request.uri().path().ends_with("/Append") {
        let method = tower::service_fn(move |request| append(Arc::clone(&node), request));
        return grpc::<AppendReq, AppendResp>().client_streaming(method, request).await;
    }
    if request.uri().path().ends_with("/BatchAppend") {
        let method = tower::service_fn(move |request| batches::append(Arc::clone(&node), request));
        return grpc::<BatchAppendReq, BatchAppendResp>().streaming(method, request).await;
    }
    if request.uri().path().ends_with("/Read") {
        let method = tower::service_fn(move |request| read(Arc::clone(&node), request));
        return grpc::<ReadReq, ReadResp>().server_streaming(method, request).await;
    }
    Status::unimplemented("the double does not speak this").into_http()
}

async fn gossip(node: Arc<Node>, request: http::Request<BoxBody>) -> http::Response<BoxBody> {
    let method = tower::service_fn(move |_: Request<Empty>| {
        let members = node.members();
        async move { Ok::<_, Status>(Response::new(ClusterInfo { members })) }
    });
    grpc::<Empty, ClusterInfo>().unary(method, request).await
}

async fn features(_: Arc<Node>, request: http::Request<BoxBody>) -> http::Response<BoxBody> {
    let method = tower::service_fn(|_: Request<Empty>| async {
        let version = "24.10.0".to_owned();
        // As servers write it.
        let method = "batchappend".to_owned();
        let service = "event_store.client.streams.streams".to_owned();
        let methods = vec![SupportedMethod { method, service }];
        Ok::<_, Status>(Response::new(SupportedMethods { methods, version }))
    });
    grpc::<Empty, SupportedMethods>().unary(method, request).await
}

/// Of the types of answer and question, in this order, as the codec has them.
fn grpc<Q, A>() -> Grpc<ProstCodec<A, Q>>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(MESSAGE_BYTES)
}

impl Node {
    fn members(&self) -> Vec<Member> {
        let leader = self.cluster.leader();
        let member = |(index, (port, is_alive)): (usize, (u16, bool))| Member {
            instance: Some(Uuid {
                value: Some(UuidValue::String(format!("00000000-0000-0000-0000-{index:012}"))),
            }),
            time_stamp: 0,
            state: if index == leader { 8 } else { 6 },
            is_alive,
            end_point: Some(EndPoint { address: "127.0.0.1".to_owned(), port: port.into() }),
        };
        self.cluster.nodes().into_iter().enumerate().map(member).collect()
    }

    /// Refuses what asks for the leader and has come to another node.
    pub(super) fn check_leader(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let leader = self.cluster.leader();
        if leader == self.index || !metadata.contains_key("requires-leader") {
            return Ok(());
        }
        let mut told = MetadataMap::new();
        let port = self.cluster.nodes().get(leader).map_or(0, |(port, _)| *port);
        told.insert("exception", "not-leader".parse().expect("a header"));
        told.insert("leader-endpoint-host", "127.0.0.1".parse().expect("a header"));
        told.insert("leader-endpoint-port", port.to_string().parse().expect("a number"));
        Err(Status::with_metadata(Code::NotFound, "Leader info available", told))
    }

    fn fault(&self) -> Result<(), Status> {
        if self.cluster.faults.takes_unavailable() {
            return Err(Status::unavailable("the server is not ready"));
        }
        Ok(())
    }
}

pub(super) fn name_of(stream: Option<StreamIdentifier>) -> Result<String, Status> {
    let name = stream.map(|stream| stream.stream_name).unwrap_or_default();
    String::from_utf8(name).map_err(|_| Status::invalid_argument("a stream's name is text"))
}

async fn append(
    node: Arc<Node>,
    request: Request<Streaming<AppendReq>>,
) -> Result<Response<AppendResp>, Status> {
    let metadata = request.metadata().clone();
    let mut messages = request.into_inner();
    let (mut options, mut events) = (None, Vec::new());
    while let Some(message) = messages.message().await? {
        match message.content {
            Some(AppendContent::Options(first)) => options = Some(first),
            Some(AppendContent::Proposed(event)) => events.push(event),
            None => return Err(Status::invalid_argument("an empty message")),
        }
    }
    node.check_leader(&metadata)?;
    node.fault()?;
    let options = options.ok_or_else(|| Status::invalid_argument("no options"))?;
    let expected = options.expected.ok_or_else(|| Status::invalid_argument("no revision"))?;
    let bytes: usize =
        events.iter().map(|event| event.data.len() + event.custom_metadata.len()).sum();
    let most = node.cluster.faults.max_append_bytes();
    if bytes > most {
        return Err(Status::invalid_argument(format!("Maximum Append Size of {most} Exceeded.")));
    }
    let stream = name_of(options.stream)?;
    if node.cluster.faults.denies(&stream) {
        return Err(Status::permission_denied("Access Denied"));
    }
    let outcome = node.cluster.log.append(&stream, expected, events);
    node.cluster.faults.after_append().await?;
    let result = match outcome {
        Outcome::Written { revision, place } => AppendResult::Success(success(revision, place)),
        Outcome::WrongVersion { found } => {
            AppendResult::WrongExpectedVersion(WrongExpectedVersion {
                found: Some(found.map_or(FoundRevision::NoStream(Empty {}), FoundRevision::At)),
                wanted: Some(match expected {
                    Expected::Revision(revision) => WantedRevision::Revision(revision),
                    Expected::NoStream(empty) => WantedRevision::NoStream(empty),
                    Expected::Any(empty) => WantedRevision::Any(empty),
                    Expected::StreamExists(empty) => WantedRevision::StreamExists(empty),
                }),
            })
        }
    };
    Ok(Response::new(AppendResp { result: Some(result) }))
}

pub(super) fn success(revision: u64, place: u64) -> Success {
    let at = Place { commit_position: place, prepare_position: place };
    Success { revision: Some(CurrentRevision::At(revision)), place: Some(AppendPlace::At(at)) }
}

async fn read(node: Arc<Node>, request: Request<ReadReq>) -> Result<Response<Responses>, Status> {
    node.check_leader(request.metadata())?;
    node.fault()?;
    let options = request.into_inner().options.unwrap_or_default();
    let count = match options.count {
        Some(Count::Events(count)) => usize::try_from(count).unwrap_or(usize::MAX),
        Some(Count::Subscription(_)) => return subscribe(&node, options),
        None => return Err(Status::invalid_argument("no count")),
    };
    let log = &node.cluster.log;
    let is_forwards = options.direction == 0;
    let read = match options.source {
        Some(Source::All(all)) => read_all(log, all.place, is_forwards, count)?,
        Some(Source::Stream(of)) => {
            let name = name_of(of.stream)?;
            match log.stream(&name) {
                None => {
                    let stream = Some(StreamIdentifier { stream_name: name.into_bytes() });
                    vec![Content::StreamNotFound(StreamNotFound { stream })]
                }
                Some(events) => read_stream(&events, of.revision, is_forwards, count),
            }
        }
        None => return Err(Status::invalid_argument("neither a stream nor $all")),
    };
    let mut responses: Vec<Result<ReadResp, Status>> =
        read.into_iter().map(|content| Ok(ReadResp { content: Some(content) })).collect();
    if let Some(after) = node.cluster.faults.takes_break(responses.len()) {
        responses.truncate(after);
        responses.push(Err(Status::unavailable("the connection was cut")));
    }
    Ok(Response::new(stream::iter(responses).boxed()))
}

/// The place is that of a record, or the end: any other one is refused.
fn number_of(log: &Log, place: Place) -> Result<usize, Status> {
    match log.at(place.commit_position) {
        Some(number) if place.commit_position == place.prepare_position => Ok(number),
        _ => Err(Status::invalid_argument("Trying to read from an invalid position.")),
    }
}

fn read_all(
    log: &Log,
    place: Option<AllPlace>,
    is_forwards: bool,
    count: usize,
) -> Result<Vec<Content>, Status> {
    let from = match place {
        Some(AllPlace::At(place)) => number_of(log, place)?,
        Some(AllPlace::End(_)) => usize::MAX,
        Some(AllPlace::Start(_)) | None => 0,
    };
    let with_place = |record: Arc<Record>| event(&record, true);
    if is_forwards {
        return Ok(log.records(from, count).into_iter().map(with_place).collect());
    }
    let before = log.records(0, from);
    Ok(before.into_iter().rev().take(count).map(with_place).collect())
}

fn read_stream(
    events: &[Arc<Record>],
    revision: Option<Revision>,
    is_forwards: bool,
    count: usize,
) -> Vec<Content> {
    let last = events.len().saturating_sub(1) as u64;
    let from = match revision {
        Some(Revision::At(revision)) => revision,
        Some(Revision::End(_)) => last,
        Some(Revision::Start(_)) | None => 0,
    };
    // Events of a stream are told without their places, as servers do it.
    let without_place = |record: &Arc<Record>| event(record, false);
    let mut contents = vec![Content::LastStreamPosition(last)];
    if is_forwards {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        contents.extend(events.iter().skip(from).take(count).map(without_place));
    } else {
        let until = usize::try_from(from.min(last)).unwrap_or(usize::MAX) + 1;
        contents.extend(events[..until].iter().rev().take(count).map(without_place));
    }
    contents
}

fn event(record: &Record, with_place: bool) -> Content {
    let place = if with_place { record.place } else { u64::MAX };
    let mut metadata = record.metadata.clone();
    metadata.insert("created".to_owned(), "0".to_owned());
    Content::Event(ReadEvent {
        event: Some(RecordedEvent {
            id: Some(Uuid { value: Some(UuidValue::String(record.id.clone())) }),
            stream: Some(StreamIdentifier { stream_name: record.stream.clone().into_bytes() }),
            revision: record.revision,
            prepare_position: place,
            commit_position: place,
            metadata,
            custom_metadata: record.custom_metadata.clone(),
            data: record.data.clone(),
        }),
        place: Some(match with_place {
            true => EventPlace::Commit(place),
            false => EventPlace::None(Empty {}),
        }),
    })
}

/// Which records a subscription wants.
fn wants(filter: Option<&FilterOn>, record: &Record) -> bool {
    let matches = |expression: &Expression, text: &str| match expression.regex.as_str() {
        "" => expression.prefix.iter().any(|prefix| text.starts_with(prefix)),
        // The one regular expression that clients come with: no system events.
        _ => !text.starts_with('$'),
    };
    let kind = record.metadata.get("type");
    match filter {
        None => true,
        Some(FilterOn::Stream(expression)) => matches(expression, &record.stream),
        Some(FilterOn::Kind(expression)) => kind.is_some_and(|kind| matches(expression, kind)),
    }
}

/// A subscription to $all: what is recorded after a place, with checkpoints if it has a filter,
/// and a word when it has caught up. It ends in good order when the double is told to end it.
fn subscribe(node: &Arc<Node>, options: ReadOptions) -> Result<Response<Responses>, Status> {
    let Some(Source::All(all)) = options.source else {
        return Err(Status::unimplemented("the double has subscriptions to $all alone"));
    };
    let log = &node.cluster.log;
    let next = match all.place {
        Some(AllPlace::At(place)) => number_of(log, place)? + 1,
        Some(AllPlace::End(_)) => *log.length().borrow(),
        Some(AllPlace::Start(_)) | None => 0,
    };
    let filter = match options.filter {
        Some(Filter::By(filter)) => filter.on,
        _ => None,
    };
    let confirmed = Content::Confirmation(Confirmation { subscription_id: "double".to_owned() });
    let first = stream::iter([Ok(ReadResp { content: Some(confirmed) })]);
    let (sender, receiver) = mpsc::channel(64);
    let ended = node.cluster.faults.ended_subscriptions();
    tokio::spawn(feed(Arc::clone(log), next, filter, ended, sender));
    let rest = stream::unfold(receiver, |mut receiver: mpsc::Receiver<Content>| async move {
        let content = receiver.recv().await?;
        Some((Ok(ReadResp { content: Some(content) }), receiver))
    });
    Ok(Response::new(first.chain(rest).boxed()))
}

/// Sends what a subscription is told, until nobody listens or it is ended.
async fn feed(
    log: Arc<Log>,
    mut next: usize,
    filter: Option<FilterOn>,
    mut ended: watch::Receiver<u32>,
    sender: mpsc::Sender<Content>,
) {
    let mut length = log.length();
    let mut has_caught_up = false;
    loop {
        for record in log.records(next, CHECKPOINT_EVERY) {
            next += 1;
            let is_wanted = wants(filter.as_ref(), &record);
            if is_wanted && sender.send(event(&record, true)).await.is_err() {
                return;
            }
            let (commit_position, prepare_position) = (record.place, record.place);
            let checkpoint = Content::Checkpoint(Place { commit_position, prepare_position });
            let is_due = filter.is_some() && next.is_multiple_of(CHECKPOINT_EVERY);
            if is_due && sender.send(checkpoint).await.is_err() {
                return;
            }
        }
        if next < *length.borrow_and_update() {
            continue;
        }
        if !has_caught_up && sender.send(Content::CaughtUp(Empty {})).await.is_err() {
            return;
        }
        has_caught_up = true;
        tokio::select! {
            _ = length.changed() => {}
            _ = ended.changed() => return,
        }
    }
}

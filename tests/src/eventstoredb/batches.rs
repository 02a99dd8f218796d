//! Sessions of batch appends: many appends over one stream of requests, each answered by itself.

#![allow(
    clippy::result_large_err,
    reason = "the size of the error is that of the protocol's library"
)]

use std::sync::Arc;

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tonic::{Code, Request, Response, Status, Streaming};

use super::{
    Node,
    log::Outcome,
    proto::{BatchAppendReq, BatchAppendResp, BatchAppendResult, Refused},
    service::{name_of, success},
};

type Responses = BoxStream<'static, Result<BatchAppendResp, Status>>;

/// Answers until the client ends the session.
pub(super) async fn append(
    node: Arc<Node>,
    request: Request<Streaming<BatchAppendReq>>,
) -> Result<Response<Responses>, Status> {
    node.check_leader(request.metadata())?;
    let requests = request.into_inner();
    let answers = stream::unfold((node, requests), |(node, mut requests)| async move {
        let answer = match requests.message().await {
            Ok(None) => return None,
            Ok(Some(request)) => answer(&node, request),
            Err(status) => Err(status),
        };
        Some((answer, (node, requests)))
    });
    Ok(Response::new(answers.boxed()))
}

fn answer(node: &Node, request: BatchAppendReq) -> Result<BatchAppendResp, Status> {
    if !request.is_final {
        return Err(Status::unimplemented("the double has appends of one message alone"));
    }
    let options = request.options.ok_or_else(|| Status::invalid_argument("no options"))?;
    let expected = options.expected.ok_or_else(|| Status::invalid_argument("no revision"))?;
    let name = name_of(options.stream.clone())?;
    let result = match node.cluster.log.append(&name, expected, request.proposed) {
        Outcome::Written { revision, place } => {
            BatchAppendResult::Success(success(revision, place))
        }
        Outcome::WrongVersion { .. } => BatchAppendResult::Error(Refused {
            code: Code::Unknown.into(),
            message: "WrongExpectedVersion".to_owned(),
        }),
    };
    let (correlation, stream) = (request.correlation, options.stream);
    Ok(BatchAppendResp { correlation, result: Some(result), stream })
}

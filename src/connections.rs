//! Who may connect, how many at once, and how long anybody may take: what comes beyond a bound is
//! told so at once, and nobody keeps a place by saying nothing.
//!
//! | bound | what happens beyond it |
//! |---|---|
//! | connections at once | 503 `THROTTLED` with `Retry-After`, and the connection is closed |
//! | requests at once | 503 `THROTTLED` with `Retry-After`; health and metrics are always answered |
//! | [`Patience::greeting`] until it is clear which HTTP is spoken | the connection is closed |
//! | [`Patience::headers`] until a request's headers are there, also between two | closed |
//! | [`Patience::request`] until a request is answered, body included | 504 `SERVICE_UNAVAILABLE` |
//! | [`Patience::stalled`] without the client taking a byte that waits for it | closed |
//! | HTTP/2: [`STREAMS`] requests on a connection, [`PING`] for an answer to a ping | as HTTP/2 says |

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Sleep, sleep, timeout},
};

use crate::open_files;

/// Bytes that a connection may have in its buffers: headers that are read, a body that nobody has
/// taken yet, answers on their way. A URL with a whole document fits.
const CONNECTION_BYTES: usize = 128 << 10;
/// Most requests at once on one HTTP/2 connection.
const STREAMS: u32 = 256;
/// How often a silent HTTP/2 client is asked whether it is there, and how long it may take.
const PING: Duration = Duration::from_secs(30);
/// Most connections that are turned away with an answer at once; further ones without.
const TURNED_AWAY: usize = 1_024;
/// How long a connection that is turned away may take to read the answer.
const FAREWELL: Duration = Duration::from_secs(5);
/// After an accept that failed, as it does when no file can be opened any more.
const PAUSE: Duration = Duration::from_millis(200);

const BUSY: &str = r#"{"errors":[{"message":"Too many requests wait already. Nothing changed: try again in a second, with the same idempotency key.","extensions":{"code":"THROTTLED","retryAfterSeconds":1}}]}"#;
const OVERDUE: &str = r#"{"errors":[{"message":"The request took too long, and it is not known whether it happened: try again with the same idempotency key, which makes that safe.","extensions":{"code":"SERVICE_UNAVAILABLE","retryAfterSeconds":1}}]}"#;

/// How much at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections.
    pub connections: usize,
    /// Requests over all connections.
    pub requests: usize,
    /// How long anybody may take.
    pub patience: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4_096, requests: 8_192, patience: Patience::default() }
    }
}

/// How long anybody may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until a connection has shown which HTTP it speaks.
    pub greeting: Duration,
    /// Until the headers of a request are there. So long, too, an idle connection waits for its
    /// next request.
    pub headers: Duration,
    /// Until a request is answered. Verifying a large read model takes minutes.
    pub request: Duration,
    /// Until a client takes something of what waits for it.
    pub stalled: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(10),
            headers: Duration::from_secs(60),
            request: Duration::from_secs(300),
            stalled: Duration::from_secs(30),
        }
    }
}

/// Places for those who connect and ask.
#[derive(Debug)]
pub struct Doors {
    connections: Arc<Semaphore>,
    most_connections: usize,
    surplus: Surplus,
    in_hand: Arc<InHand>,
    most_requests: usize,
    patience: Patience,
}

/// How full the doors are: so many of so many.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Connections that are open.
    pub connections: (u64, u64),
    /// Requests that are being answered.
    pub requests: (u64, u64),
    /// Connections that were turned away, since the start.
    pub connections_turned_away: u64,
    /// Requests that were turned away, since the start.
    pub requests_turned_away: u64,
}

impl Doors {
    /// With so many places.
    pub fn new(limits: Limits) -> Self {
        let Limits { requests: most_requests, patience, .. } = limits;
        let most_connections = open_files::connections(limits.connections);
        let in_hand = InHand {
            places: Semaphore::new(most_requests),
            surplus: Surplus::default(),
            patience: patience.request,
        };
        Self {
            connections: Arc::new(Semaphore::new(most_connections)),
            most_connections,
            surplus: Surplus::default(),
            in_hand: Arc::new(in_hand),
            most_requests,
            patience,
        }
    }

    /// How full they are.
    pub fn figures(&self) -> Figures {
        let taken = |places: &Semaphore, most: usize| {
            (most.saturating_sub(places.available_permits()) as u64, most as u64)
        };
        Figures {
            connections: taken(&self.connections, self.most_connections),
            requests: taken(&self.in_hand.places, self.most_requests),
            connections_turned_away: self.surplus.0.load(Ordering::Relaxed),
            requests_turned_away: self.in_hand.surplus.0.load(Ordering::Relaxed),
        }
    }
}

/// Serves until told to stop, and then until every request in hand is answered.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    doors: Arc<Doors>,
    stop: impl Future<Output = ()>,
) {
    let Doors { connections, surplus, in_hand, patience, .. } = &*doors;
    let patience = *patience;
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
    let router = router.layer(from_fn_with_state(in_hand.clone(), bounded));
    let (closing, closed) = watch::channel(false);
    // Everything that serves has one of these; when the last is dropped, all is over.
    let (serving, mut over) = mpsc::channel::<()>(1);
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted just now");
                sleep(PAUSE).await;
                continue;
            }
        };
        // Answers are small: waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        match connections.clone().try_acquire_owned() {
            Ok(place) => {
                let connection = Guarded::new(stream, place, patience);
                let (router, closed, serving) = (router.clone(), closed.clone(), serving.clone());
                tokio::spawn(async move {
                    converse(connection, router, patience.headers, closed).await;
                    drop(serving);
                });
            }
            Err(_) => {
                surplus.count("connections");
                if let Ok(place) = turned_away.clone().try_acquire_owned() {
                    tokio::spawn(turn_away(stream, place));
                }
            }
        }
    }
    drop(listener);
    closing.send_replace(true);
    drop(serving);
    // None comes when nobody serves any more.
    over.recv().await;
}

/// Speaks HTTP until the client leaves or the server stops.
async fn converse(
    connection: Guarded,
    router: Router,
    headers: Duration,
    mut closed: watch::Receiver<bool>,
) {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(headers)
        .max_buf_size(CONNECTION_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        // WebSockets over HTTP/2 begin with it.
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(CONNECTION_BYTES as u32)
        .initial_connection_window_size(4 * CONNECTION_BYTES as u32)
        .max_send_buf_size(CONNECTION_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let service = TowerToHyperService::new(router);
    let mut talk = pin!(http.serve_connection_with_upgrades(TokioIo::new(connection), service));
    let mut is_closing = false;
    loop {
        tokio::select! {
            ended = talk.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            _ = closed.wait_for(|closed| *closed), if !is_closing => {
                is_closing = true;
                talk.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Says that the server is full, once something is asked: many clients take an answer that comes
/// before the question for nonsense. Then waits a moment until it has been read: who closes with
/// unread bytes in hand takes the answer back.
async fn turn_away(mut stream: TcpStream, _place: OwnedSemaphorePermit) {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json; charset=utf-8\r\n\
         retry-after: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{BUSY}",
        BUSY.len()
    );
    let farewell = async {
        let mut unread = [0; 4_096];
        if stream.read(&mut unread).await? == 0 {
            return Ok(());
        }
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // Whoever takes longer has no more to expect.
    let _: Result<io::Result<()>, _> = timeout(FAREWELL, farewell).await;
}

/// Counts what is turned away, and says so, ever more seldom.
#[derive(Debug, Default)]
struct Surplus(AtomicU64);

impl Surplus {
    fn count(&self, what: &str) {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(count, what, "turned away since the start: the server is full");
        }
    }
}

/// Requests that are being answered.
#[derive(Debug)]
struct InHand {
    places: Semaphore,
    surplus: Surplus,
    patience: Duration,
}

/// Answers a request within its time, or says at once that there are too many.
async fn bounded(State(in_hand): State<Arc<InHand>>, request: Request, next: Next) -> Response {
    // A full server is not a dead one: who asks after its health must hear that.
    let is_probe = matches!(request.uri().path(), "/livez" | "/readyz" | "/metrics");
    let place = in_hand.places.try_acquire();
    if place.is_err() && !is_probe {
        in_hand.surplus.count("requests");
        return later(StatusCode::SERVICE_UNAVAILABLE, BUSY);
    }
    match timeout(in_hand.patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => later(StatusCode::GATEWAY_TIMEOUT, OVERDUE),
    }
}

fn later(status: StatusCode, body: &'static str) -> Response {
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    let seconds = HeaderValue::from_static("1");
    (status, [(header::CONTENT_TYPE, json), (header::RETRY_AFTER, seconds)], body).into_response()
}

/// An error of a connection that was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(error.kind(), E::ConnectionRefused | E::ConnectionAborted | E::ConnectionReset)
}

/// How HTTP/2 begins. Anything else is HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that holds its place, and ends when its client keeps it waiting.
struct Guarded {
    stream: TcpStream,
    /// How much of the preface has been read, while it may still become one.
    greeting: Option<(usize, Pin<Box<Sleep>>)>,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    patience: Duration,
    _place: OwnedSemaphorePermit,
}

impl Guarded {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, patience: Patience) -> Self {
        let greeting = Some((0, Box::pin(sleep(patience.greeting))));
        Self { stream, greeting, stalled: None, patience: patience.stalled, _place: place }
    }

    /// Looks whether the client has shown what it speaks.
    fn greeted(&mut self, read: &[u8]) {
        let Some((known, _)) = &mut self.greeting else { return };
        let rest = &PREFACE[*known..];
        let compared = read.len().min(rest.len());
        *known += compared;
        let is_clear = *known == PREFACE.len() || read[..compared] != rest[..compared];
        if is_clear || read.is_empty() {
            self.greeting = None;
        }
    }

    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                self.greeted(&buf.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => match &mut self.greeting {
                Some((_, deadline)) => {
                    deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
                }
                None => Poll::Pending,
            },
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinHandle, time::Instant};

    use super::*;

    const HURRY: Patience = Patience {
        greeting: Duration::from_millis(150),
        headers: Duration::from_millis(300),
        request: Duration::from_millis(600),
        stalled: Duration::from_millis(300),
    };

    fn limits(connections: usize, requests: usize) -> Limits {
        Limits { connections, requests, ..Limits::default() }
    }

    async fn server(limits: Limits) -> (std::net::SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let flood = || async { vec![b'x'; 64 << 20] };
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/flood", get(flood))
            .route("/never", get(std::future::pending::<&str>));
        let task = tokio::spawn(serve(
            listener,
            router,
            Arc::new(Doors::new(limits)),
            std::future::pending(),
        ));
        (address, task)
    }

    /// Says something, and reads until the other side is done.
    async fn exchange(address: std::net::SocketAddr, words: &[u8]) -> (String, Duration) {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(words).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut answer).await;
        (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
    }

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn whoever_comes_when_all_places_are_taken_is_told_and_comes_in_later() {
        let (address, _server) = server(limits(2, 9)).await;
        let silent = (TcpStream::connect(address).await, TcpStream::connect(address).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (answer, took) = exchange(address, ASK).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("retry-after: 1") && answer.contains("\"THROTTLED\""), "{answer}");
        assert!(took < Duration::from_millis(900), "{took:?}");
        drop(silent);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(exchange(address, ASK).await.0.ends_with("here"));
    }

    #[tokio::test]
    async fn one_request_too_many_is_told_and_probes_are_not() {
        let (address, _server) = server(limits(9, 0)).await;
        let (answer, _) = exchange(address, ASK).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("retry-after: 1") && answer.contains("\"THROTTLED\""), "{answer}");
        let probe = b"GET /livez HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
        // This router has no such page: but its own answer comes.
        assert!(exchange(address, probe).await.0.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn nobody_keeps_a_place_by_saying_nothing_or_half_of_it() {
        let limits = Limits { patience: HURRY, ..limits(1, 9) };
        for words in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\nhost: h\r\nx"] {
            let (address, _server) = server(limits).await;
            let (answer, took) = exchange(address, words).await;
            assert!(!answer.contains("200 OK"), "{answer}");
            assert!(took >= HURRY.greeting, "{took:?} for {words:?}");
            assert!(took < Duration::from_secs(10), "{took:?} for {words:?}");
            assert!(exchange(address, ASK).await.0.ends_with("here"), "after {words:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off() {
        let (address, _server) = server(Limits { patience: HURRY, ..limits(1, 9) }).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /flood HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        tokio::time::sleep(HURRY.stalled * 4).await;
        // Its place is free again.
        let (answer, _) = exchange(address, ASK).await;
        assert!(answer.ends_with("here"), "{answer}");
        let mut rest = Vec::new();
        let whole = stream.read_to_end(&mut rest).await.is_ok() && rest.len() >= 64 << 20;
        assert!(!whole, "it was served all the same");
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_told_so() {
        let (address, _server) = server(Limits { patience: HURRY, ..limits(9, 9) }).await;
        let ask = b"GET /never HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
        let (answer, took) = exchange(address, ask).await;
        assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
        assert!(answer.contains("\"SERVICE_UNAVAILABLE\""), "{answer}");
        assert!(took >= HURRY.request, "{took:?}");
    }

    #[tokio::test]
    async fn requests_in_hand_are_answered_when_it_stops() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            "done"
        };
        let router = Router::new().route("/", get(slow));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let serving =
            tokio::spawn(serve(listener, router, Arc::new(Doors::new(Limits::default())), stopped));
        let asked = tokio::spawn(exchange(address, ASK));
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.send(()).unwrap();
        serving.await.unwrap();
        assert!(asked.await.unwrap().0.ends_with("done"));
        assert!(TcpStream::connect(address).await.is_err());
    }
}

//! Callers over HTTP/1.1: each has one connection that is kept open, sends one request and reads
//! its answer whole before the next. All of them share one thread.

use std::{
    cell::Cell,
    net::SocketAddr,
    ops::Range,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

use crate::quantile;

/// A GraphQL document, made ready to be sent with one text in its variables after the other.
#[derive(Clone)]
pub struct Request {
    head: Rc<[u8]>,
    /// The body before the variables' values.
    open: Rc<str>,
}

impl Request {
    /// `document` takes `$input`, if it takes anything.
    pub fn new(key: &str, document: &str) -> Self {
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: "
        );
        let document = serde_json::Value::from(document).to_string();
        let open = format!("{{\"query\":{document},\"variables\":{{");
        Self { head: head.into_bytes().into(), open: open.into() }
    }
}

/// An answer in the caller's buffer.
pub struct Answer<'a> {
    /// Of HTTP.
    pub status: u16,
    /// Whole.
    pub body: &'a str,
}

impl<'a> Answer<'a> {
    /// The text behind `start`, up to the quotation mark that ends it.
    pub fn text(&self, start: &str) -> Result<&'a str> {
        let at = self.body.find(start).with_context(|| format!("no {start} in {}", self.body))?;
        let rest = &self.body[at + start.len()..];
        Ok(&rest[..rest.find('"').context("a text ends")?])
    }

    /// Fails unless this stands in it.
    pub fn expect(&self, what: &str) -> Result<()> {
        if self.status != 200 || !self.body.contains(what) {
            bail!("no {what} in {} {}", self.status, &self.body[..self.body.len().min(600)]);
        }
        Ok(())
    }
}

/// One connection.
pub struct Caller {
    /// From 0, for names and keys.
    pub number: usize,
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
    requests: u64,
    bytes: u64,
}

impl Caller {
    /// Connects.
    pub async fn new(number: usize, address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { number, stream, out: Vec::new(), input: Vec::new(), requests: 0, bytes: 0 })
    }

    /// Sends a document with `variables`, the inside of a JSON object, and reads the answer.
    pub async fn ask(&mut self, request: &Request, variables: &str) -> Result<Answer<'_>> {
        let length = request.open.len() + variables.len() + 2;
        self.out.clear();
        self.out.extend_from_slice(&request.head);
        self.out.extend_from_slice(length.to_string().as_bytes());
        self.out.extend_from_slice(b"\r\n\r\n");
        self.out.extend_from_slice(request.open.as_bytes());
        self.out.extend_from_slice(variables.as_bytes());
        self.out.extend_from_slice(b"}}");
        self.stream.write_all(&self.out).await?;
        let (status, body) = self.read().await?;
        self.requests += 1;
        self.bytes += body.end as u64;
        Ok(Answer { status, body: std::str::from_utf8(&self.input[body])? })
    }

    async fn read(&mut self) -> Result<(u16, Range<usize>)> {
        self.input.clear();
        let mut end_of_head = None;
        loop {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                bail!("the server hung up");
            }
            if end_of_head.is_none()
                && let Some(at) = self.input.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = std::str::from_utf8(&self.input[..at])?;
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.context("an answer has a length")?.parse()?;
                let status = head.get(9..12).context("an answer has a status")?.parse()?;
                end_of_head = Some((status, at + 4..at + 4 + length));
            }
            if let Some((status, body)) = &end_of_head
                && self.input.len() >= body.end
            {
                return Ok((*status, body.clone()));
            }
        }
    }
}

/// What a round has shown.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Things done a second.
    pub rate: f64,
    /// Milliseconds for one, in the middle.
    pub p50: f64,
    /// Milliseconds that one in a hundred takes at least.
    pub p99: f64,
    /// Microseconds of processor time of the server for each.
    pub server: f64,
    /// The same of this program.
    pub client: f64,
    /// Bytes of an answer, with its head.
    pub bytes: f64,
}

/// So many callers do `work` again and again for so long, or until one finds nothing left to do
/// (`false`).
pub async fn round<W>(
    address: SocketAddr,
    callers: usize,
    length: Duration,
    server_cpu: impl Fn() -> f64,
    work: W,
) -> Result<Figures>
where
    W: AsyncFn(&mut Caller) -> Result<bool> + 'static,
{
    let mut connected = Vec::new();
    for number in 0..callers {
        connected.push(Caller::new(number, address).await?);
    }
    let (work, over) = (Rc::new(work), Rc::new(Cell::new(false)));
    let cpu = (server_cpu(), super::cpu_of_self());
    let began = Instant::now();
    let local = LocalSet::new();
    let tasks: Vec<_> = connected
        .into_iter()
        .map(|mut caller| {
            let (work, over) = (work.clone(), over.clone());
            local.spawn_local(async move {
                let mut millis = Vec::new();
                while !over.get() && began.elapsed() < length {
                    let asked = Instant::now();
                    if work(&mut caller).await? {
                        millis.push(asked.elapsed().as_secs_f64() * 1e3);
                    } else {
                        over.set(true);
                    }
                }
                anyhow::Ok((millis, caller.requests, caller.bytes))
            })
        })
        .collect();
    local.await;
    let seconds = began.elapsed().as_secs_f64();
    let used = (server_cpu() - cpu.0, super::cpu_of_self() - cpu.1);
    let (mut millis, mut requests, mut bytes) = (Vec::new(), 0, 0);
    for task in tasks {
        let (done, asked, read) = task.await??;
        millis.extend(done);
        requests += asked;
        bytes += read;
    }
    let done = millis.len() as f64;
    Ok(Figures {
        rate: done / seconds,
        server: used.0 * 1e6 / done,
        client: used.1 * 1e6 / done,
        bytes: bytes as f64 / requests as f64,
        p50: quantile(millis.clone(), 0.5),
        p99: quantile(millis, 0.99),
    })
}

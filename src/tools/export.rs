//! `hakken export`: a whole list of a running server, as JSON lines. What is cut off goes on
//! behind the last line that came, also in another run that writes to the same file.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Seek, SeekFrom, Write},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::print_line;
use crate::{cli, client::Client};

/// How often a server that gives nothing new is asked again.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Runs it.
pub async fn run(options: cli::Export) -> Result<()> {
    let client = Client::new(&options.url, &options.key)?;
    let mut sink = Sink::open(options.out.as_deref(), &options.list)?;
    if sink.is_complete {
        bail!("the file holds a complete export already; name another one");
    }
    let mut failures = 0;
    loop {
        let before = sink.rows;
        let ended = part(&client, &options, &mut sink).await;
        if sink.is_complete {
            return sink.close();
        }
        failures = if sink.rows > before { 0 } else { failures + 1 };
        match ended {
            Err(error) if failures >= ATTEMPTS || !error.is::<Cut>() => return Err(error),
            Ok(()) if failures >= ATTEMPTS => bail!("the server ends before the list does"),
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The connection ended before the list did: it may be had again.
#[derive(Debug)]
struct Cut(String);

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the export is cut off: {}", self.0)
    }
}

impl std::error::Error for Cut {}

/// Asks for what is not there yet, and takes what comes.
async fn part(client: &Client, options: &cli::Export, sink: &mut Sink) -> Result<()> {
    let mut parameters = vec![];
    let given = [
        ("after", sink.cursor.as_ref()),
        ("filter", options.filter.as_ref()),
        ("organizer", options.organizer.as_ref()),
    ];
    parameters.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?.clone()))));
    parameters.extend(options.at_least.map(|at_least| ("atLeast", at_least.0.to_string())));
    parameters.extend(options.up_to.map(|up_to| ("upTo", up_to.0.to_string())));
    let path = format!("/export/{}", options.list);
    let mut answer = match client.begin(&path, &parameters).await {
        Ok(answer) => answer,
        Err(error) => return Err(Cut(error.to_string()).into()),
    };
    if !answer.status().is_success() {
        let status = answer.status();
        let body: Value = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
        let message = body["errors"][0]["message"].as_str().unwrap_or("it is no Hakken server");
        if status.as_u16() == 503 {
            return Err(Cut(message.to_owned()).into());
        }
        bail!("the server says {status}: {message}");
    }
    let mut rest = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(bytes)) => rest.extend_from_slice(&bytes),
            Ok(None) => return Ok(()),
            Err(error) => return Err(Cut(error.to_string()).into()),
        }
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let line = std::str::from_utf8(&line).context("the export is no UTF-8")?;
            sink.take(line.trim_end())?;
        }
    }
}

/// Where the lines go, and how far they are.
struct Sink {
    file: Option<File>,
    begun: bool,
    rows: u64,
    cursor: Option<String>,
    is_complete: bool,
}

impl Sink {
    /// Standard output, or a file: one that holds a part of an export is gone on with.
    fn open(out: Option<&Path>, list: &str) -> Result<Self> {
        let mut sink = Self { file: None, begun: false, rows: 0, cursor: None, is_complete: false };
        let Some(path) = out else { return Ok(sink) };
        let cannot = || format!("{} cannot be written", path.display());
        let other = || {
            let path = path.display();
            format!(
                "{path} holds something else than a part of the export of {list}: name another file"
            )
        };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).with_context(cannot)?;
        let mut whole = 0;
        let mut reader = BufReader::new(&mut file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).with_context(cannot)? > 0 {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let value: Value = serde_json::from_slice(text).with_context(other)?;
            if !sink.begun && value["export"] != list {
                bail!(other());
            }
            sink.note(&value).with_context(other)?;
            whole += line.len() as u64;
            line.clear();
        }
        if !sink.begun && !line.is_empty() {
            bail!(other());
        }
        // What was cut off in the middle of a line comes again.
        file.set_len(whole).with_context(cannot)?;
        file.seek(SeekFrom::Start(whole)).with_context(cannot)?;
        sink.file = Some(file);
        Ok(sink)
    }

    /// Counts a line. False for one that is not kept: a part that begins again says so.
    fn note(&mut self, line: &Value) -> Result<bool> {
        if line["export"].is_string() {
            return Ok(!std::mem::replace(&mut self.begun, true));
        }
        if line.get("node").is_some() {
            self.rows += 1;
            self.cursor = line["cursor"].as_str().map(ToOwned::to_owned);
            return Ok(true);
        }
        if line["complete"] == true {
            self.is_complete = true;
            return Ok(true);
        }
        if let Some(message) = line["error"]["message"].as_str() {
            return Err(Cut(message.to_owned()).into());
        }
        bail!("a line of no export: {line}")
    }

    fn take(&mut self, line: &str) -> Result<()> {
        let mut value: Value = serde_json::from_str(line).context("a line is no JSON")?;
        if !self.note(&value)? {
            return Ok(());
        }
        if self.is_complete {
            // Of the whole list, also if it came in parts.
            value["rows"] = self.rows.into();
            return self.write(&value.to_string());
        }
        self.write(line)
    }

    fn write(&mut self, line: &str) -> Result<()> {
        match &mut self.file {
            Some(file) => writeln!(file, "{line}").context("the file cannot be written"),
            None => {
                print_line(line);
                Ok(())
            }
        }
    }

    fn close(self) -> Result<()> {
        self.file.map_or(Ok(()), |file| file.sync_all().context("the file cannot be written"))
    }
}

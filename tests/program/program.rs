//! Runs the binary, and talks to a server of it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// What a start or an end may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with its arguments, away from the environment's own settings.
pub fn hakken(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hakken"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name == "RUST_LOG"
            || ["HAKKEN_", "OTEL_"].iter().any(|own| name.to_string_lossy().starts_with(own))
        {
            command.env_remove(name);
        }
    }
    command
}

/// A server on these data, on a free port.
pub fn serve(data: &Path, more: &[&str]) -> Command {
    let data = data.to_str().expect("a good path");
    let mut command = hakken(&["serve", "--data", data, "--listen", "127.0.0.1:0"]);
    command.args(more).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    hakken(arguments).output().expect("the binary runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// It ended well; gives its standard output.
#[track_caller]
pub fn good(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// It ended with exit code 1 and these words, without a backtrace.
#[track_caller]
pub fn refused(arguments: &[&str], words: &[&str]) {
    let output = run(arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    for word in words {
        assert!(error.contains(word), "{arguments:?} does not say {word:?}: {error}");
    }
    assert!(!error.contains("panicked") && !error.contains("stack backtrace"), "{error}");
}

/// A file of the real data, or `None` where the folder is missing, which CI does not allow.
pub fn real(path: &str) -> Option<PathBuf> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut files = folders.map(|folder| folder.join("shared/data").join(path));
    let found = files.find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{path} is not on this machine");
        println!("skipped: {path} is not on this machine");
    }
    found
}

/// A running `hakken serve`, which is killed when dropped.
pub struct Server {
    pub url: String,
    /// The first key, if the store was new.
    pub key: Option<String>,
    child: Child,
}

impl Server {
    /// Starts it on data that may be new, and waits until it listens.
    pub fn start(data: &Path) -> Self {
        Self::launch(serve(data, &[]), true)
    }

    /// The same; its files can grow to so many kilobytes.
    pub fn start_with(data: &Path, file_kilobytes: u32) -> Self {
        let mut shell = Command::new("bash");
        let script = format!("trap '' XFSZ; ulimit -f {file_kilobytes}; exec \"$@\"");
        let server = serve(data, &[]);
        shell.args(["-c", &script, "bash"]).arg(server.get_program()).args(server.get_args());
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self::launch(shell, true)
    }

    /// Starts it on data that are not new.
    pub fn start_again(data: &Path) -> Self {
        let server = Self::launch(serve(data, &[]), true);
        assert_eq!(server.key, None, "the first key is printed once");
        server
    }

    /// Starts what the command says, and waits until it listens; on data that may be new, also for
    /// the first key.
    pub fn launch(command: Command, may_be_new: bool) -> Self {
        match Self::try_launch(command, may_be_new) {
            Ok(server) => server,
            Err(status) => panic!("the server ended with {status} before it listened"),
        }
    }

    /// The same; gives its status if it ends before it listens.
    pub fn try_launch(mut command: Command, may_be_new: bool) -> Result<Self, ExitStatus> {
        let mut child = command.spawn().expect("the binary runs");
        let out = child.stdout.take().expect("it is piped");
        let (sender, lines) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // Nobody listens any more once the start is read.
                let _ = sender.send(line);
            }
        });
        let begun = Instant::now();
        let (mut url, mut key) = (None, None);
        while url.is_none() || (may_be_new && key.is_none()) {
            assert!(begun.elapsed() < PATIENCE, "the server does not start");
            // The words about a first key follow the addresses at once.
            let wait = if url.is_some() { Duration::from_millis(500) } else { PATIENCE };
            let Ok(line) = lines.recv_timeout(wait) else { break };
            if let Some(rest) = line.strip_prefix("Hakken serves ") {
                url = Some(rest.trim_end_matches("/graphql").to_owned());
            }
            if line.trim().starts_with("hk_") {
                key = Some(line.trim().to_owned());
            }
        }
        match url {
            Some(url) => Ok(Self { url, key, child }),
            None => Err(ended(&mut child)),
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Its status, if it has ended by itself.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be asked")
    }

    /// Waits for its end.
    pub fn ended(mut self) -> ExitStatus {
        ended(&mut self.child)
    }

    /// Without any warning.
    pub fn kill(mut self) {
        self.end();
    }

    /// The same, of one that is kept to be looked at.
    pub fn end(&mut self) {
        // It may have ended by itself in this moment.
        let _ = self.child.kill();
        self.child.wait().expect("it ends");
    }

    pub fn client(&self, key: &str) -> Client {
        Client::at(&self.url).with_key(key)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a data directory.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new directory");
    for file in files_below(from) {
        let to = to.join(&file);
        fs::create_dir_all(to.parent().expect("below the directory")).expect("a directory");
        fs::copy(from.join(file), to).expect("a copy");
    }
}

/// The files of a directory and its directories, by their paths in it.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = PathBuf::from(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => files.extend(files_below(&entry.path()).iter().map(|file| name.join(file))),
            false => files.push(name),
        }
    }
    files.sort();
    files
}

pub fn ended(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Talks to a server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    pub url: String,
    pub key: String,
}

impl Client {
    /// The same with a connection of its own.
    pub fn another(&self) -> Self {
        Self { http: reqwest::Client::new(), ..self.clone() }
    }

    /// Of a server at this address, without a key.
    pub fn at(url: &str) -> Self {
        Self { http: reqwest::Client::new(), url: url.to_owned(), key: String::new() }
    }

    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// Asks; an error if no whole answer came.
    pub async fn try_ask(&self, query: &str, variables: Value) -> reqwest::Result<Value> {
        let body = json!({ "query": query, "variables": variables });
        let url = format!("{}/graphql", self.url);
        self.http.post(url).bearer_auth(&self.key).json(&body).send().await?.json().await
    }

    /// Asks, and there is an answer without errors.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.try_ask(query, variables).await.expect("the server answers");
        assert_eq!(answer["errors"], Value::Null);
        answer["data"].take()
    }

    /// A mutation that is not refused; gives its payload.
    pub async fn tell(&self, mutation: &str, selection: &str, input: Value) -> Value {
        let query = mutation_of(mutation, selection);
        let mut data = self.ask(&query, json!({ "input": input })).await;
        let payload = data[mutation].take();
        assert_eq!(payload["userErrors"], json!([]), "{mutation}");
        payload
    }

    /// The same, while the server may have trouble: it is asked until it answers.
    pub async fn tell_patiently(&self, mutation: &str, selection: &str, input: Value) -> Value {
        let query = mutation_of(mutation, selection);
        let begun = Instant::now();
        loop {
            let answer = self.try_ask(&query, json!({ "input": input })).await;
            if let Ok(mut answer) = answer
                && answer["errors"].is_null()
            {
                let payload = answer["data"][mutation].take();
                assert_eq!(payload["userErrors"], json!([]), "{mutation}");
                return payload;
            }
            assert!(begun.elapsed() < PATIENCE, "{mutation} is not answered");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn mutation_of(mutation: &str, selection: &str) -> String {
    let mut name = mutation.to_owned();
    name[..1].make_ascii_uppercase();
    format!(
        "mutation($input: {name}Input!) {{ {mutation}(input: $input) {{ {selection} \
         userErrors {{ code message field }} }} }}"
    )
}

/// An organizer with a hall on sale, made over the API.
pub struct OnSale {
    pub organizer: String,
    pub show: String,
    pub seller_key: String,
}

impl OnSale {
    pub async fn open(operator: &Client, seats: usize) -> Self {
        let input = json!({ "idempotencyKey": "organizer", "name": "Test" });
        let organizer = operator.tell("registerOrganizer", "organizer { id }", input).await;
        let organizer = organizer["organizer"]["id"].as_str().expect("an id").to_owned();
        let mut keys = Vec::new();
        for role in ["ORGANIZER", "BOX_OFFICE"] {
            let input = json!({
                "idempotencyKey": role, "label": role, "role": role, "organizer": organizer,
            });
            let made = operator.tell("createApiKey", "secret", input).await;
            keys.push(made["secret"].as_str().expect("a secret").to_owned());
        }
        let owner = operator.with_key(&keys[0]);
        let map = json!({ "idempotencyKey": "venue", "name": "Hall",
            "seatMap": { "json": hall(seats).to_string() } });
        let venue = owner.tell("registerVenue", "venue { id }", map).await;
        let input = json!({
            "idempotencyKey": "show", "name": "Show", "venue": venue["venue"]["id"],
            "startsAt": "2098-01-01T10:00:00Z", "endsAt": "2098-01-01T12:00:00Z",
        });
        let show = owner.tell("scheduleShow", "show { id }", input).await;
        let show = show["show"]["id"].as_str().expect("an id").to_owned();
        let rules = json!({
            "salesFrom": "2020-01-01T00:00:00Z", "salesUntil": "2098-01-01T00:00:00Z",
        });
        let input = json!({ "idempotencyKey": "sales", "show": show, "rules": rules });
        owner.tell("openSales", "position", input).await;
        Self { organizer, show, seller_key: keys.swap_remove(1) }
    }
}

/// A seat map in Hakken's own form, of rows of 20.
pub fn hall(seats: usize) -> Value {
    let rows = (0..seats.div_ceil(20)).map(|row| {
        let in_row = (row * 20..seats.min(row * 20 + 20)).map(|seat| {
            json!({
                "id": format!("S{seat}"), "number": (seat % 20 + 1).to_string(),
                "x": (seat % 20) * 50, "y": row * 90, "category": "stalls",
            })
        });
        json!({ "name": (row + 1).to_string(), "seats": in_row.collect::<Vec<_>>() })
    });
    json!({
        "name": "Test hall", "focus": { "x": 500, "y": -200 },
        "sections": [{ "name": "Stalls", "rows": rows.collect::<Vec<_>>() }],
    })
}

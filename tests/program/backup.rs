//! Backups of engines that sell, and engines made of backups: whatever was acknowledged is known,
//! and goes on.

use std::{
    collections::VecDeque,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hakken_adapters::postgres::PostgresStore;
use hakken_tests::{
    postgres::{Postgres, TestDatabase},
    sim::Chance,
};
use serde_json::{Value, json};

use super::{
    crash::{
        life::{Acknowledged, Life, OnSale, Step, Stop},
        sale::Sale,
        witness::{Witness, embedded_events},
    },
    program::{Client, Server, copy, ended, good, hakken, refused, run, serve, text},
};

const SEATS: usize = 600;

/// A place with a shop that sells, and room for backups.
struct Place {
    temp: tempfile::TempDir,
    operator: String,
    on_sale: Arc<OnSale>,
    chance: Chance,
    lives: u32,
    told: Vec<Acknowledged>,
}

impl Place {
    async fn open(server: &Server, temp: tempfile::TempDir) -> Self {
        let operator = server.key.clone().expect("a new store has a first key");
        let on_sale = Sale::open(&server.client(&operator), SEATS).await.on_sale();
        let chance = Chance::new(7);
        Self { temp, operator, on_sale, chance, lives: 0, told: Vec::new() }
    }

    fn path(&self, name: &str) -> String {
        path(self.temp.path(), name)
    }

    /// A buyer goes through these steps; what is still ahead then they have not asked yet.
    async fn live(&mut self, server: &Server, steps: &[Step], ahead: &[Step]) -> Life {
        self.lives += 1;
        let name = format!("life-{}", self.lives);
        let mut life = Life::new(name, self.on_sale.clone(), &mut self.chance);
        life.ahead = steps.iter().chain(ahead).copied().collect();
        while life.ahead.len() > ahead.len() {
            let told = life.go(&server.client("")).await.expect("it is answered");
            self.told.extend(told);
        }
        life
    }

    /// The events of a data directory or a database.
    fn events(&self, store: &[&str]) -> Vec<Value> {
        let arguments: Vec<&str> = ["events", "--json"].iter().chain(store).copied().collect();
        good(&arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All that was ever acknowledged is answered in the same way.
    async fn knows_all(&self, server: &Server) {
        for each in &self.told {
            each.ask_again(&server.client(""), &self.on_sale).await.unwrap();
        }
        let viewer = server.client(&self.operator).ask("{ viewer { role } }", json!({})).await;
        assert_eq!(viewer["viewer"]["role"], "OPERATOR");
    }
}

fn path(root: &Path, name: &str) -> String {
    root.join(name).to_str().expect("a good path").to_owned()
}

fn server(data: &str, more: &[&str]) -> Server {
    let mut arguments = vec!["--payments", "simulated"];
    arguments.extend(more);
    Server::launch(serve(Path::new(data), &arguments), false)
}

async fn new_shop(temp: tempfile::TempDir) -> (Server, Place) {
    let data = path(temp.path(), "data");
    let server = Server::launch(serve(Path::new(&data), &["--payments", "simulated"]), true);
    let place = Place::open(&server, temp).await;
    (server, place)
}

fn told(arguments: &[&str]) -> Value {
    serde_json::from_str(&good(arguments)).expect("one JSON object")
}

const TICKETS: &str = "query($id: ID!) { order(id: $id) { status tickets { id code } } }";

/// The tickets of an order, once it has any with codes.
async fn tickets(client: &Client, order: &Value) -> Value {
    let since = Instant::now();
    loop {
        let mut answer = client.ask(TICKETS, json!({ "id": order })).await;
        if answer["order"]["tickets"][0]["code"].is_string() {
            return answer["order"]["tickets"].take();
        }
        assert!(since.elapsed() < Duration::from_secs(30), "no tickets: {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_engine_goes_on_where_the_lost_one_was() {
    use Step::{Hold, Order, Pay, Refund, Reissue, Scan};
    let (first, mut place) = new_shop(tempfile::tempdir().unwrap()).await;
    place.live(&first, &[Hold, Order, Pay, Scan], &[]).await;
    let (data, to) = (place.path("data"), place.path("backup"));
    let one = told(&["backup", "--to", &to, "--data", &data, "--json"]);
    assert_eq!(
        (one["secret"].clone(), one["new_events"].clone()),
        (json!(true), one["events"].clone())
    );
    place.live(&first, &[Hold, Order, Pay, Reissue, Scan, Refund], &[]).await;
    let mut to_come = place.live(&first, &[Hold, Order, Pay], &[Scan]).await;
    let mut held = place.live(&first, &[Hold], &[Order, Pay, Scan]).await;
    let two = told(&["backup", "--to", &to, "--data", &data, "--json"]);
    assert!(two["new_events"].as_u64() < two["events"].as_u64(), "only what is new: {two}");
    assert_eq!(two["parts"], 2);
    first.kill();
    let truth = place.events(&["--data", &data]);
    fs::remove_dir_all(&data).unwrap();

    let checked = told(&["verify-backup", &to, "--json"]);
    assert_eq!(
        (checked["complete"].clone(), checked["chain"].clone()),
        (json!(true), two["chain"].clone())
    );
    let new = place.path("new");
    let restored = told(&["restore", "--from", &to, "--data", &new, "--json"]);
    assert_eq!(
        (restored["chain"].clone(), restored["left_out"]["events"].clone()),
        (two["chain"].clone(), json!(0))
    );
    let events = place.events(&["--data", &new]);
    assert_eq!(events, truth[..events.len()], "ids, times and bytes are as they were");
    assert_eq!(events.len() as u64, two["events"].as_u64().unwrap());

    let second = server(&new, &[]);
    assert_eq!(second.key, None, "it has its keys");
    place.knows_all(&second).await;
    // A ticket from before is read at the gate, and a hold from before becomes an order.
    let scanned = to_come.go(&second.client("")).await.unwrap().unwrap();
    assert_eq!(scanned.answer[0], "ADMITTED", "{scanned:?}");
    while held.go(&second.client("")).await.unwrap().is_some() {}
    let verified = good(&["verify", "--json", "--url", &second.url, "--key", &place.operator]);
    assert!(verified.lines().all(|line| line.contains("\"equal\":true")), "{verified}");
    drop(second);
    // The old place takes what the new one has recorded since: it is the same history.
    let three = told(&["backup", "--to", &to, "--data", &new, "--json"]);
    assert!(three["new_events"].as_u64() > Some(0), "{three}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_and_not_issued_at_the_point_is_issued_after_the_restart() {
    use Step::{Hold, Order, Pay};
    let (first, mut place) = new_shop(tempfile::tempdir().unwrap()).await;
    place.live(&first, &[Hold, Order, Pay], &[]).await;
    place.live(&first, &[Hold, Order, Pay], &[]).await;
    let order = place.told.last().expect("paid").answer[0].clone();
    let codes = tickets(&first.client(&place.on_sale.seller), &order).await;
    let (data, to) = (place.path("data"), place.path("backup"));
    good(&["backup", "--to", &to, "--data", &data]);
    drop(first);
    let events = place.events(&["--data", &data]);
    let paid = events.iter().rfind(|event| event["kind"] == "order-paid").unwrap();
    let point = paid["position"].as_u64().unwrap();

    let then = place.path("then");
    let until = point.to_string();
    let restored = told(&["restore", "--from", &to, "--data", &then, "--until", &until, "--json"]);
    let left_out = &events[point as usize..];
    let issued = left_out.iter().filter(|event| event["kind"] == "ticket-issued").count();
    assert!(issued > 0);
    assert_eq!(restored["position"], point);
    assert_eq!(restored["left_out"]["events"], left_out.len());
    assert_eq!(restored["left_out"]["codes"], issued);
    assert_eq!(restored["left_out"]["kinds"]["ticket-issued"], issued);
    assert_eq!(restored["left_out"]["first_recorded_at"], left_out[0]["recorded_at"]);
    assert_eq!(place.events(&["--data", &then]), events[..point as usize]);
    let second = server(&then, &[]);
    let again = tickets(&second.client(&place.on_sale.seller), &order).await;
    assert_eq!(again, codes, "whoever had paid has the same codes");
    place.knows_all(&second).await;

    // By time: all that was recorded by then, and words for what was not.
    let by_time = place.path("by-time");
    let time = paid["recorded_at"].as_str().unwrap();
    let output = good(&["restore", "--from", &to, "--data", &by_time, "--until", time]);
    for words in ["Left out", "ticket-issued", "ticket codes were given out", "hakken serve"] {
        assert!(output.contains(words), "{words}: {output}");
    }
    let by_time = place.events(&["--data", &by_time]);
    let whole = events.iter().take_while(|event| event["recorded_at"].as_str() <= Some(time));
    assert_eq!(by_time.len(), whole.count());
}

/// The copy of a server under full load that dies has all that was acknowledged before it began.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_has_all_that_was_acknowledged_before_it_began() {
    let (first, mut place) = new_shop(tempfile::tempdir().unwrap()).await;
    let (data, to) = (place.path("data"), place.path("backup"));
    let (heard, stop) = (Arc::<Mutex<Vec<Acknowledged>>>::default(), Arc::<AtomicBool>::default());
    let buyers: Vec<_> = (0..16)
        .map(|buyer| {
            let (client, on_sale) = (first.client(""), place.on_sale.clone());
            let (heard, stop) = (heard.clone(), stop.clone());
            tokio::spawn(async move {
                let mut chance = Chance::new(buyer);
                for life in 0.. {
                    let name = format!("life-{buyer}-{life}");
                    let mut life = Life::new(name, on_sale.clone(), &mut chance);
                    loop {
                        match life.go(&client).await {
                            Ok(Some(told)) => heard.lock().unwrap().push(told),
                            Ok(None) | Err(Stop::Refused(_)) => break,
                            Err(Stop::Gone) => return,
                        }
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            })
        })
        .collect();
    let mut complete = 0;
    let mut killed = 0;
    for round in 0..14_u64 {
        let before = heard.lock().unwrap().len();
        let arguments = ["backup", "--to", &to, "--data", &data, "--json"];
        let mut command = hakken(&arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if round % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(place.chance.between(0, 60))).await;
            // It may have ended by itself in this moment.
            let _ = child.kill();
            child.wait().unwrap();
            killed += 1;
            let looked = run(&["verify-backup", &to, "--json"]);
            let looked: Value = serde_json::from_slice(&looked.stdout).unwrap();
            let is_none =
                looked["reason"].as_str().is_some_and(|why| why.contains("there is no backup"));
            assert!(
                looked["complete"] == true || is_none && complete == 0,
                "round {round}: {looked}"
            );
        } else {
            assert!(ended(&mut child).success(), "round {round}");
            complete += 1;
            let copied = place.path(&format!("copied-{round}"));
            good(&["restore", "--from", &to, "--data", &copied]);
            let mut witness = Witness::new(embedded_events(Path::new(&copied)));
            witness.read_on().await.unwrap();
            let all: Vec<_> = heard.lock().unwrap()[..before].to_vec();
            witness.heard(all).unwrap();
        }
    }
    assert!(complete == 7 && killed == 7);
    // The server dies in the midst of the last one.
    let before = heard.lock().unwrap().len();
    assert!(before > 100, "only {before} were acknowledged");
    let mut command = hakken(&["backup", "--to", &to, "--data", &data]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    first.kill();
    assert!(ended(&mut child).success());
    stop.store(true, Ordering::Relaxed);
    for buyer in buyers {
        buyer.await.unwrap();
    }
    let new = place.path("new");
    good(&["restore", "--from", &to, "--data", &new]);
    let mut witness = Witness::new(embedded_events(Path::new(&new)));
    witness.read_on().await.unwrap();
    place.told = heard.lock().unwrap()[..before].to_vec();
    witness.heard(place.told.clone()).unwrap();
    let second = server(&new, &[]);
    place.told = place.told.split_off(before - 60);
    place.knows_all(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_is_no_store_and_goes_on_where_it_was() {
    use Step::{Hold, Order, Pay};
    let (first, mut place) = new_shop(tempfile::tempdir().unwrap()).await;
    for _ in 0..6 {
        place.live(&first, &[Hold, Order, Pay], &[]).await;
    }
    drop(first);
    let (data, to) = (place.path("data"), place.path("backup"));
    good(&["backup", "--to", &to, "--data", &data]);
    let (mut cut_off, mut whole) = (0, 0);
    for round in 0..12 {
        let new = place.path(&format!("new-{round}"));
        let arguments = ["restore", "--from", &to, "--data", &new];
        let mut child =
            hakken(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(place.chance.between(0, 120))).await;
        let _ = child.kill();
        if child.wait().unwrap().success() {
            whole += 1;
            continue;
        }
        let is_begun = Path::new(&new).join("UNFINISHED").exists();
        if is_begun {
            cut_off += 1;
            let serve = ["serve", "--data", &new, "--listen", "127.0.0.1:0"];
            refused(&serve, &[&new, "a part of a history only", "hakken restore"]);
            let backup = ["backup", "--data", &new, "--to", &place.path("wrong")];
            refused(&backup, &["a part of a history only"]);
        }
        // Without the mark it has not begun, or has made its last step: then it is whole already.
        let looked = run(&["events", "--json", "--data", &new]);
        let is_whole = !is_begun && looked.status.success() && !looked.stdout.is_empty();
        match is_whole {
            true => refused(&arguments, &["has events already", "choose another directory"]),
            false => drop(good(&arguments)),
        }
        assert_eq!(place.events(&["--data", &new]), place.events(&["--data", &data]));
    }
    println!("{cut_off} cut off, {whole} whole");
    // Whatever the machine's pace was: a mark and a part of the history are gone on with.
    let new = place.path("new");
    good(&["restore", "--from", &to, "--data", &new, "--until", "9"]);
    File::create(Path::new(&new).join("UNFINISHED")).unwrap();
    refused(&["serve", "--data", &new, "--listen", "127.0.0.1:0"], &["a part of a history only"]);
    good(&["restore", "--from", &to, "--data", &new]);
    assert_eq!(place.events(&["--data", &new]), place.events(&["--data", &data]));
    File::create(Path::new(&new).join("UNFINISHED")).unwrap();
    refused(&["restore", "--from", &to, "--data", &new, "--until", "9"], &["another directory"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_from_one_kind_of_store_into_the_other_and_back() {
    use Step::{Hold, Order, Pay, Scan};
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.database().await;
    let (first, mut place) = new_shop(tempfile::tempdir().unwrap()).await;
    place.live(&first, &[Hold, Order, Pay, Scan], &[]).await;
    let mut to_come = place.live(&first, &[Hold, Order, Pay], &[Scan]).await;
    drop(first);
    let (data, to) = (place.path("data"), place.path("backup"));
    let one = told(&["backup", "--to", &to, "--data", &data, "--json"]);

    let (new, store) = (place.path("new"), ["--store", database.url.as_str()]);
    let into = ["restore", "--from", &to, "--data", &new, "--store", &database.url];
    let restored = told(&[&into[..], &["--json"]].concat());
    assert_eq!(restored["chain"], one["chain"]);
    assert_eq!(place.events(&store), place.events(&["--data", &data]));
    refused(&into, &["has events already", "another database"]);
    let second = server(&new, &store);
    place.knows_all(&second).await;
    let scanned = to_come.go(&second.client("")).await.unwrap().unwrap();
    assert_eq!(scanned.answer[0], "ADMITTED", "{scanned:?}");
    place.told.push(scanned);

    // The database is backed up while it is served, into the same place: it is the same history.
    let backup = ["backup", "--to", &to, "--data", &new, "--store", &database.url, "--json"];
    let two = told(&backup);
    assert!(
        two["new_events"].as_u64() > Some(0) && two["events"].as_u64() > one["events"].as_u64()
    );
    drop(second);
    let wrong = path(place.temp.path(), "other");
    fs::create_dir(&wrong).unwrap();
    fs::write(Path::new(&wrong).join("secret"), [1; 32]).unwrap();
    let mistaken = ["backup", "--to", &to, "--data", &wrong, "--store", &database.url];
    refused(&mistaken, &["is not the secret of this database"]);
    let back = place.path("back");
    let restored = told(&["restore", "--from", &to, "--data", &back, "--json"]);
    assert_eq!(restored["chain"], two["chain"]);
    assert_eq!(place.events(&["--data", &back]), place.events(&store));
    let third = server(&back, &[]);
    place.knows_all(&third).await;
    drop(third);

    by_pg_dump(&place, &database, &new).await;
}

/// PostgreSQL's own copy does as well, with the secret beside it.
async fn by_pg_dump(place: &Place, database: &TestDatabase, data: &str) {
    let Some(programs) = programs() else { return };
    let Some(postgres) = Postgres::shared() else { return };
    let other = postgres.database().await;
    let dump = place.path("dump.sql");
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(programs.join(program)).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", text(&output.stderr));
    };
    run("pg_dump", &["--no-owner", "--schema=hakken", "--file", &dump, &database.url]);
    run("psql", &["--quiet", "--set=ON_ERROR_STOP=1", "--file", &dump, &other.url]);
    let (from, to) = (["--store", database.url.as_str()], ["--store", other.url.as_str()]);
    assert_eq!(place.events(&to), place.events(&from));
    let new = place.path("dumped");
    fs::create_dir(&new).unwrap();
    fs::copy(Path::new(data).join("secret"), Path::new(&new).join("secret")).unwrap();
    let server = server(&new, &to);
    place.knows_all(&server).await;
}

/// PostgreSQL's client programs. Where its server is, they are.
fn programs() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let installed = fs::read_dir("/usr/lib/postgresql").ok()?;
    let installed = installed.flatten().map(|entry| entry.path().join("bin"));
    let found = installed.chain(std::env::split_paths(&paths));
    found.into_iter().find(|dir| dir.join("pg_dump").is_file())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_into_postgres_that_was_cut_off_is_served_by_nobody() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.database().await;
    let (first, mut place) = new_shop(tempfile::tempdir().unwrap()).await;
    place.live(&first, &[Step::Hold, Step::Order], &[]).await;
    drop(first);
    let (data, to, new) = (place.path("data"), place.path("backup"), place.path("new"));
    good(&["backup", "--to", &to, "--data", &data]);
    let restore = ["restore", "--from", &to, "--data", &new, "--store", &database.url];
    good(&[&restore[..], &["--until", "9"]].concat());
    let store = PostgresStore::open(&database.url).await.unwrap();
    hakken_adapters::unfinished::Unfinished::begin(&store).await.unwrap();
    store.close().await;
    let serve = ["serve", "--data", &new, "--store", &database.url, "--listen", "127.0.0.1:0"];
    refused(&serve, &["a part of a history only", "hakken restore"]);
    let backup = ["backup", "--to", &to, "--data", &new, "--store", &database.url];
    refused(&backup, &["a part of a history only"]);
    good(&restore);
    let second = server(&new, &["--store", &database.url]);
    place.knows_all(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let (first, mut place) = new_shop(tempfile::tempdir().unwrap()).await;
    place.live(&first, &[Step::Hold], &[]).await;
    let (data, to, new) = (place.path("data"), place.path("backup"), place.path("new"));
    let missing = place.path("missing");
    refused(&["backup", "--to", &to, "--data", &missing], &[&missing, "does not exist"]);
    refused(&["verify-backup", &missing], &[]);
    refused(&["restore", "--from", &missing, "--data", &new], &[&missing, "there is no backup"]);
    good(&["backup", "--to", &to, "--data", &data]);
    // Into what is served, or was.
    refused(&["restore", "--from", &to, "--data", &data], &[&data, "choose another one"]);
    drop(first);
    refused(&["restore", "--from", &to, "--data", &data], &[&data, "choose another one"]);
    let restore = ["restore", "--from", &to, "--data", &new];
    let until = |point: &'static str| [&restore[..], &["--until", point]].concat();
    refused(&until("99999"), &["the backup ends at position"]);
    refused(&until("2001-01-01T00:00:00Z"), &["nothing was recorded by then"]);
    assert_eq!(run(&until("yesterday")).status.code(), Some(2));
    assert!(!Path::new(&new).exists(), "nothing was made");

    // Without the secret, it has to come from elsewhere.
    let bare = place.path("bare");
    let output = good(&["backup", "--to", &bare, "--data", &data, "--without-secret"]);
    assert!(output.contains("NOT in it") && !Path::new(&bare).join("secret").exists(), "{output}");
    let restore = ["restore", "--from", &bare, "--data", &new];
    refused(&restore, &["the backup has no secret", &new]);
    fs::create_dir_all(&new).unwrap();
    fs::copy(Path::new(&data).join("secret"), Path::new(&new).join("secret")).unwrap();
    good(&restore);
    let second = server(&new, &[]);
    place.knows_all(&second).await;
    drop(second);

    // Another engine's backup is not added to.
    let other = place.path("other");
    Server::start(Path::new(&other)).kill();
    refused(&["backup", "--to", &to, "--data", &other], &["another secret", "a new backup"]);
    refused(&["backup", "--to", &bare, "--data", &other, "--without-secret"], &["another store"]);
    let lost = place.path("lost");
    copy(Path::new(&data), Path::new(&lost));
    fs::remove_file(Path::new(&lost).join("secret")).unwrap();
    refused(&["backup", "--to", &bare, "--data", &lost], &["--without-secret", "--data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_a_backup_is_found_before_anything_is_written() {
    let (first, mut place) = new_shop(tempfile::tempdir().unwrap()).await;
    let (data, to) = (place.path("data"), place.path("backup"));
    good(&["backup", "--to", &to, "--data", &data]);
    place.live(&first, &[Step::Hold, Step::Order, Step::Pay], &[]).await;
    drop(first);
    good(&["backup", "--to", &to, "--data", &data]);
    let mut parts: VecDeque<PathBuf> = fs::read_dir(&to)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "part"))
        .collect();
    parts.make_contiguous().sort();
    let part = parts.pop_back().unwrap();
    let name = part.file_name().unwrap().to_str().unwrap();
    let whole = fs::read(&part).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    fs::write(&part, flipped).unwrap();
    let looked = run(&["verify-backup", &to]);
    let words = text(&looked.stdout);
    assert_eq!(looked.status.code(), Some(1));
    assert!(words.starts_with("INCOMPLETE") && words.contains(name), "{words}");
    assert!(words.contains("damaged behind position"), "{words}");
    let new = place.path("new");
    refused(&["restore", "--from", &to, "--data", &new], &[name, "not complete"]);
    assert!(!Path::new(&new).exists(), "nothing was made");
    // Nor is anything added to it; in a hurry, only the newest part counts.
    refused(&["backup", "--to", &to, "--data", &data], &[name, "not complete"]);
    fs::write(&part, &whole).unwrap();
    let first_part = parts.pop_back().unwrap();
    fs::write(&first_part, b"nothing").unwrap();
    good(&["backup", "--to", &to, "--data", &data, "--quick"]);
    refused(&["backup", "--to", &to, "--data", &data], &["not complete"]);
}

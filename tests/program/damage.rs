//! Broken disks and broken files, as an operator meets them: what is damaged is refused, with the
//! file, the place and what to do next, or mends itself; it is never served as the truth. Nothing
//! here knows how a file looks inside: bits flip and files end at places that a seed decides.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use hakken_tests::sim::Chance;
use serde_json::{Value, json};

use super::program::{
    OnSale, Server, copy, files_below, good, hakken, hall, refused, run, serve, text,
};

const SEED: u64 = 20_261_121;
/// Of a hall whose seat map and holds fill a small disk.
const SEATS: usize = 3_500;

/// The data of a small demo, closed well; every test breaks a copy.
struct Data {
    temp: tempfile::TempDir,
    /// What `hakken events --json` says of it.
    truth: String,
    copies: usize,
}

impl Data {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("hall.json");
        fs::write(&file, hall(12).to_string()).unwrap();
        let whole = temp.path().join("whole");
        let (file, data) = (file.to_str().unwrap(), whole.to_str().unwrap());
        good(&["demo", "--json", "--hall", file, "--buyers", "4", "--data", data]);
        let truth = good(&["events", "--json", "--data", data]);
        assert!(truth.lines().count() > 100);
        Self { temp, truth, copies: 0 }
    }

    /// A copy to be broken.
    fn copy(&mut self) -> PathBuf {
        let to = self.temp.path().join(format!("copy-{}", self.copies));
        self.copies += 1;
        copy(&self.temp.path().join("whole"), &to);
        to
    }

    /// The files that hold the events, or those that are derived from them.
    fn files(&self, of_events: bool) -> Vec<PathBuf> {
        let mut files = files_below(&self.temp.path().join("whole"));
        files.retain(|file| !["secret", "LOCK"].contains(&text_of(file)));
        files.retain(|file| text_of(file).starts_with("events") == of_events);
        assert!(!files.is_empty());
        files
    }
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Flips a bit where the file holds something: files may be larger than what is in them.
fn flip(file: &Path, chance: &mut Chance) -> usize {
    let mut bytes = fs::read(file).unwrap();
    let at = loop {
        let at = chance.below(bytes.len());
        let block = at - at % 64;
        if bytes[block..bytes.len().min(block + 64)].iter().any(|byte| *byte != 0) {
            break at;
        }
    };
    bytes[at] ^= 1 << chance.below(8);
    fs::write(file, bytes).unwrap();
    at
}

fn cut(file: &Path, to: u64) {
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(to).unwrap();
}

/// An error as it must be: one line, exit code 1, the file or its directory, and what to do.
#[track_caller]
fn is_a_good_refusal(output: &Output, data: &Path, what: &str) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{what}: {error}");
    assert!(!error.contains("panicked") && error.trim().lines().count() == 1, "{what}: {error}");
    assert!(error.contains(text_of(data)), "{what} does not name the file: {error}");
    let advice = ["backup", "disk", "version", "another data directory", "hakken rebuild"];
    assert!(advice.iter().any(|words| error.contains(words)), "{what} says no way out: {error}");
}

/// What `hakken serve` makes of a directory: it serves the truth, or refuses well. True if it
/// serves.
#[track_caller]
fn serves_the_truth_or_refuses(data: &Path, truth: &str, what: &str) -> bool {
    let log = data.join("log-of-the-test");
    let mut command = serve(data, &[]);
    command.env("RUST_LOG", "off").stderr(fs::File::create(&log).unwrap());
    match Server::try_launch(command, false) {
        Ok(server) => {
            let told = run(&["events", "--json", "--data", text_of(data)]);
            if told.status.success() {
                assert_eq!(text(&told.stdout), truth, "{what} is served as the truth");
            } else {
                // Found when it is read, and then refused as well.
                is_a_good_refusal(&told, data, what);
            }
            server.kill();
            true
        }
        Err(status) => {
            let stderr = fs::read(&log).unwrap();
            is_a_good_refusal(&Output { status, stdout: Vec::new(), stderr }, data, what);
            false
        }
    }
}

#[test]
fn a_flipped_bit_in_the_events_is_refused_with_its_place() {
    let mut data = Data::new();
    let mut chance = Chance::new(SEED);
    let (mut flips, mut noticed) = (0, 0);
    for file in data.files(true) {
        let name = file.display();
        for _ in 0..60 {
            let copy = data.copy();
            let at = flip(&copy.join(&file), &mut chance);
            let what = format!("byte {at} of {name}");
            let output = run(&["events", "--json", "--data", text_of(&copy)]);
            let told = text(&output.stdout);
            flips += 1;
            if output.status.success() {
                assert_eq!(told, data.truth, "{what} is served as the truth");
            } else {
                is_a_good_refusal(&output, &copy, &what);
                let error = text(&output.stderr);
                assert!(error.contains("position"), "{what} has no place: {error}");
                assert!(data.truth.starts_with(&told), "{what}: what is printed before is true");
                noticed += 1;
            }
            fs::remove_dir_all(copy).unwrap();
        }
    }
    println!("{noticed} of {flips} flips were in something that is held");
    assert!(noticed * 2 > flips, "{noticed} of {flips} were noticed");
}

#[test]
fn a_server_refuses_flipped_bits_and_cut_files_or_serves_what_is_true() {
    let mut data = Data::new();
    let mut chance = Chance::new(SEED);
    let mut served = 0;
    for file in data.files(true) {
        let name = file.display();
        let length = fs::metadata(data.temp.path().join("whole").join(&file)).unwrap().len();
        for nth in 0..16 {
            let copy = data.copy();
            let broken = copy.join(&file);
            let what = if nth % 2 == 0 {
                format!("byte {} of {name} flipped", flip(&broken, &mut chance))
            } else {
                let to = chance.next() % length;
                cut(&broken, to);
                format!("{name} cut to {to} of {length} bytes")
            };
            served += u64::from(serves_the_truth_or_refuses(&copy, &data.truth, &what));
            fs::remove_dir_all(copy).unwrap();
        }
    }
    println!("{served} of 16 could be served");
}

#[test]
fn a_file_of_events_that_is_cut_short_is_refused() {
    let mut data = Data::new();
    let mut chance = Chance::new(SEED);
    for file in data.files(true) {
        let name = file.display();
        let length = fs::metadata(data.temp.path().join("whole").join(&file)).unwrap().len();
        for nth in 0..20 {
            let copy = data.copy();
            let to = if nth == 0 { 0 } else { chance.next() % length };
            cut(&copy.join(&file), to);
            let output = run(&["events", "--json", "--data", text_of(&copy)]);
            let what = format!("{name} cut to {to} of {length} bytes");
            if output.status.success() {
                assert_eq!(text(&output.stdout), data.truth, "{what} is served as the truth");
            } else {
                is_a_good_refusal(&output, &copy, &what);
            }
            fs::remove_dir_all(copy).unwrap();
        }
    }
}

#[test]
fn lost_foreign_and_broken_derived_files_mend_themselves() {
    let mut data = Data::new();
    let mut chance = Chance::new(SEED);
    for file in data.files(false) {
        let name = file.display();
        for how in ["lost", "empty", "foreign", "cut", "flipped"] {
            let copy = data.copy();
            let broken = copy.join(&file);
            match how {
                "lost" => fs::remove_file(&broken).unwrap(),
                "empty" => cut(&broken, 0),
                "foreign" => fs::write(&broken, "somebody's notes\n".repeat(500)).unwrap(),
                "cut" => cut(&broken, chance.next() % fs::metadata(&broken).unwrap().len()),
                _ => {
                    for _ in 0..3 {
                        flip(&broken, &mut chance);
                    }
                }
            }
            let what = format!("{name} {how}");
            // A flipped bit in a row of a read model looks like a row: `verify` tells, and
            // `rebuild` mends. Everything else mends itself when it is opened.
            let told = run(&["verify", "--json", "--data", text_of(&copy)]);
            let is_equal = told.status.success();
            if !is_equal {
                let said = format!("{}{}", text(&told.stdout), text(&told.stderr));
                assert_eq!(how, "flipped", "{what}: {said}");
                assert_eq!(told.status.code(), Some(1), "{what}: {said}");
                assert!(!said.contains("panicked") && !said.trim().is_empty(), "{what}: {said}");
                let rebuilt = run(&["rebuild", "--json", "--data", text_of(&copy)]);
                if !rebuilt.status.success() {
                    // So broken that nothing can be written: then it says what to do.
                    let error = text(&rebuilt.stderr);
                    assert!(
                        error.contains("made") && error.contains("anew from the events"),
                        "{what}: {error}"
                    );
                    fs::remove_file(&broken).unwrap();
                }
                good(&["verify", "--json", "--data", text_of(&copy)]);
            }
            assert!(serves_the_truth_or_refuses(&copy, &data.truth, &what), "{what} is served");
            assert_eq!(good(&["events", "--json", "--data", text_of(&copy)]), data.truth, "{what}");
            fs::remove_dir_all(copy).unwrap();
        }
    }
}

#[test]
fn a_secret_that_is_cut_or_changed_is_refused() {
    let mut data = Data::new();
    let copy = data.copy();
    cut(&copy.join("secret"), 31);
    assert!(!serves_the_truth_or_refuses(&copy, &data.truth, "a secret that is cut"));
    let copy = data.copy();
    flip(&copy.join("secret"), &mut Chance::new(SEED));
    assert!(!serves_the_truth_or_refuses(&copy, &data.truth, "a secret that is changed"));
}

/// CRC-32 as ISO 3309 has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn data_of_a_newer_version_are_refused_and_left_alone() {
    let mut data = Data::new();
    let copy = data.copy();
    for file in data.files(true) {
        let name = file.display();
        let path = copy.join(&file);
        let mut bytes = fs::read(&path).unwrap();
        // The header of a log's file: its format, and at its end the checksum of what is before.
        bytes[8..12].copy_from_slice(&99_u32.to_le_bytes());
        let check = crc32(&bytes[..60]);
        bytes[60..64].copy_from_slice(&check.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        let words = ["format 99", "use the version of Hakken that wrote it"];
        for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["events"], &["verify"]] {
            let arguments = [command, &["--data", text_of(&copy)]].concat();
            refused(&arguments, &words);
        }
        assert!(fs::read(&path).unwrap() == bytes, "{name} was changed");
    }
}

/// Runs the binary as a user for whom permissions count; none if that cannot be done here.
#[cfg(unix)]
fn as_nobody(arguments: &[&str]) -> Option<Output> {
    let mut command = hakken(arguments);
    if rustix::process::geteuid().is_root() {
        let mut other = std::process::Command::new("setpriv");
        other.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        other.arg(command.get_program()).args(command.get_args());
        command = other;
    }
    let output = command.stdin(std::process::Stdio::null()).output().ok()?;
    // 126 and 127: setpriv could not reach the binary, 1 with its own name: it may not do that.
    let is_ours = text(&output.stderr).starts_with("hakken:") || output.status.success();
    is_ours.then_some(output)
}

#[cfg(unix)]
#[test]
fn a_directory_that_may_only_be_read_is_refused_with_words() {
    use std::os::unix::fs::PermissionsExt;
    let mut data = Data::new();
    let copy = data.copy();
    for file in files_below(&copy) {
        fs::set_permissions(copy.join(file), fs::Permissions::from_mode(0o444)).unwrap();
    }
    for directory in [copy.join("events"), copy.clone()] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o555)).unwrap();
    }
    fs::set_permissions(data.temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", text_of(&copy)];
    match as_nobody(&arguments) {
        None => println!("skipped: no other user can run the binary here"),
        Some(output) => {
            is_a_good_refusal(&output, &copy, "a directory that may only be read");
            assert!(text(&output.stderr).contains("may read and write"), "{:?}", output.stderr);
        }
    }
    for directory in [copy.clone(), copy.join("events")] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A process that is killed between a write and its sync leaves a whole batch that only the system's
/// memory has. `strace` tells what is done first, where it is installed.
#[test]
fn what_is_found_is_synced_before_it_is_shown() {
    let mut data = Data::new();
    let copy = data.copy();
    let trace = data.temp.path().join("trace");
    let shown = hakken(&["events", "--json", "--data", text_of(&copy)]);
    let mut traced = std::process::Command::new("strace");
    traced.args(["-f", "-y", "-e", "trace=fdatasync,write", "-o", text_of(&trace)]);
    traced.arg(shown.get_program()).args(shown.get_args()).stdin(std::process::Stdio::null());
    let Some(output) = traced.output().ok().filter(|output| output.status.success()) else {
        println!("skipped: strace is not installed here, or may not look");
        return;
    };
    assert_eq!(text(&output.stdout), data.truth);
    let calls = fs::read_to_string(&trace).unwrap();
    let first = |words: &[&str]| {
        calls.lines().position(|line| words.iter().all(|word| line.contains(word)))
    };
    let (synced, told) = (first(&["fdatasync(", ".events>"]), first(&["write(1<"]));
    let (synced, told) = (synced.expect("the events are synced"), told.expect("they are shown"));
    assert!(synced < told, "shown by call {told}, synced by call {synced}");
}

/// A small disk of its own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let size = format!("size={size}");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs", text_of(&at)])
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            println!("skipped: no disk can be mounted here");
            return None;
        }
        Some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // At worst it stays until the machine goes.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_process_and_room_brings_everything_back() {
    let temp = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(temp.path().join("disk"), "24m") else { return };
    let data = disk.0.join("data");
    let ballast = disk.0.join("ballast");
    let log = temp.path().join("log");
    let mut command = serve(&data, &[]);
    command.stderr(fs::File::create(&log).unwrap());
    let server = Server::launch(command, true);
    let operator = server.client(&server.key.clone().unwrap());
    let on_sale = OnSale::open(&operator, SEATS).await;
    // What is there already may be filled up still; nothing more can be had.
    fs::write(&ballast, vec![1; 32 << 20]).unwrap_err();
    let seller = operator.with_key(&on_sale.seller_key);
    let mut granted = Vec::new();
    for seat in 0..SEATS {
        let Ok(answer) = seller.try_ask(HOLD, hold(&on_sale.show, seat)).await else { break };
        match answer["data"]["holdSeats"]["hold"]["id"].as_str() {
            Some(id) => granted.push((seat, id.to_owned())),
            None => break,
        }
    }
    assert!((10..SEATS).contains(&granted.len()), "{} were granted", granted.len());
    assert_eq!(server.ended().code(), Some(70));
    let said = fs::read_to_string(&log).unwrap();
    let words = ["can no longer be written", "a full or failing disk?", "start hakken again"];
    assert!(words.iter().all(|words| said.contains(words)), "{said}");

    // On the full disk it starts and serves what is there, or says that the disk is full.
    match Server::try_launch(serve(&data, &[]), false) {
        Ok(server) => server.kill(),
        Err(status) => assert!(matches!(status.code(), Some(1 | 70)), "{status}"),
    }
    fs::remove_file(&ballast).unwrap();
    let server = Server::start_again(&data);
    let seller = server.client(&on_sale.seller_key);
    for (seat, id) in granted {
        let answer = seller.ask(HOLD, hold(&on_sale.show, seat)).await;
        assert_eq!(answer["holdSeats"]["hold"]["id"], *id);
        assert_eq!(answer["holdSeats"]["repeated"], true);
    }
    server.kill();
}

#[test]
fn a_disk_without_any_room_is_refused_with_words() {
    let temp = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(temp.path().join("disk"), "64k") else { return };
    let _ = fs::write(disk.0.join("ballast"), vec![1; 60 << 10]);
    let data = disk.0.join("data");
    let output = run(&["serve", "--listen", "127.0.0.1:0", "--data", text_of(&data)]);
    is_a_good_refusal(&output, &data, "a full disk");
}

const HOLD: &str = "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) {
    hold { id seats } repeated userErrors { code } } }";

fn hold(show: &str, seat: usize) -> Value {
    json!({ "input": {
        "idempotencyKey": format!("hold-{seat}"), "show": show, "buyer": format!("b{seat}"),
        "seats": [format!("S{seat}")],
    } })
}

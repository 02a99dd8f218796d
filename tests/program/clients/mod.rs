//! Programs of others against a running server: the scripts of `tests/clients`, run by Node and
//! Python, and a program in Rust.
//!
//! Their packages are installed once, below `target/`, from the committed locks. Where there is no
//! Node the tests say so and pass; in CI that is a failure.

mod audit;
mod browser;
mod compose;
mod python;
mod rust;
mod sales;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::program::Server;

/// What a script, or the installation, may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
/// What the packages are installed from.
const MANIFEST: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// Runs a script against a server and shows what it says; panics if it fails. Skipped, in words,
/// where there is no Node.
pub fn passes(script: &str, server: &Server) {
    let Some(folder) = installed() else { return };
    let key = server.key.as_deref().unwrap_or_default();
    let mut node = Command::new("node");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("api/schema.graphql");
    node.arg(script)
        .current_dir(folder)
        .env("HAKKEN_URL", &server.url)
        .env("HAKKEN_KEY", key)
        .env("HAKKEN_SCHEMA", schema);
    let said = finished(&mut node, script);
    println!("{script}: {said}");
}

/// The folder with the scripts and their packages.
fn installed() -> Option<PathBuf> {
    let there = ["node", "npm"].iter().all(|program| {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    });
    if !there {
        assert!(std::env::var_os("CI").is_none(), "Node and npm are not on this machine");
        println!("skipped: Node and npm are not on this machine");
        return None;
    }
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    fs::create_dir_all(&folder).expect("a folder below target");
    // Tests run beside each other, and so may several runs of them.
    let lock = File::create(folder.join("lock")).expect("a lock file");
    lock.lock().expect("the lock");
    for entry in fs::read_dir(&from).expect("tests/clients").map(|entry| entry.expect("a file")) {
        if entry.path().is_file() {
            copy_if_new(&entry.path(), &folder.join(entry.file_name()));
        }
    }
    let wanted: Vec<u8> =
        MANIFEST.iter().flat_map(|name| read(&from.join(name)).unwrap_or_default()).collect();
    let done = folder.join("installed");
    if read(&done).as_ref() != Some(&wanted) {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]);
        finished(npm.current_dir(&folder), "npm");
        fs::write(done, wanted).expect("a mark that the packages are there");
    }
    Some(folder)
}

/// A script that runs is not written while it is read.
fn copy_if_new(from: &Path, to: &Path) {
    let wanted = read(from).expect("a file of tests/clients");
    if read(to).as_ref() != Some(&wanted) {
        fs::write(to, wanted).expect("a copy");
    }
}

fn read(file: &Path) -> Option<Vec<u8>> {
    fs::read(file).ok()
}

/// Waits for its good end; gives what it said.
fn finished(command: &mut Command, name: &str) -> String {
    let output = tempfile::NamedTempFile::new().expect("a file for its words");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(appending(output.path()))
        .stderr(appending(output.path()))
        .spawn()
        .unwrap_or_else(|error| panic!("{name} does not run: {error}"));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break Some(status);
        }
        if begun.elapsed() > PATIENCE {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
            break None;
        }
        thread::sleep(Duration::from_millis(20));
    };
    let said = fs::read_to_string(output.path()).unwrap_or_default();
    match status {
        Some(status) => assert!(status.success(), "{name} ended with {status}:\n{said}"),
        None => panic!("{name} did not end in {} s:\n{said}", PATIENCE.as_secs()),
    }
    said
}

/// Both streams write to one file, each at its end.
fn appending(file: &Path) -> Stdio {
    let file = File::options().append(true).open(file).expect("the file is there");
    Stdio::from(file)
}

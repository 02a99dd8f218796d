//! Programs in Python, with packages that are installed once below `target/`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use super::{super::program::Server, finished, read};

/// The oldest that the packages run on.
const NEEDED: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";

/// Runs a program of the environment against a server and shows what it says; panics if it fails.
/// Skipped, in words, where there is no Python.
pub fn passes(words: &[&str], server: &Server) {
    let Some(environment) = installed() else { return };
    let (name, arguments) = words.split_first().expect("a program");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let key = server.key.as_deref().unwrap_or_default();
    let mut program = Command::new(environment.join("bin").join(name));
    program
        .args(arguments)
        // Whatever they keep is kept there.
        .current_dir(&environment)
        .env("HAKKEN_URL", &server.url)
        .env("HAKKEN_KEY", key)
        .env("SCHEMATHESIS_HOOKS", "faults")
        .env("PYTHONPATH", scripts)
        // Nothing is written beside the scripts.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HYPOTHESIS_STORAGE_DIRECTORY", environment.join("hypothesis"));
    let said = finished(&mut program, words[words.len().min(2) - 1]);
    println!("{}: {said}", words.join(" "));
}

/// The environment with the packages.
fn installed() -> Option<PathBuf> {
    let looked = Command::new("python3").args(["-c", NEEDED]).output();
    if !looked.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "Python 3.10 with venv is not on this machine");
        println!("skipped: Python 3.10 with venv is not on this machine");
        return None;
    }
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/requirements.txt");
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let environment = tmp.join("python");
    let lock = File::create(tmp.join("python.lock")).expect("a lock file");
    lock.lock().expect("the lock");
    let wanted = read(&from);
    let done = environment.join("installed");
    if read(&done) != wanted {
        let mut venv = Command::new("python3");
        finished(venv.args(["-m", "venv", "--clear"]).arg(&environment), "venv");
        let mut pip = Command::new(environment.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ]);
        finished(pip.arg(&from), "pip");
        fs::write(done, wanted.expect("requirements.txt")).expect("a mark that they are there");
    }
    Some(environment)
}

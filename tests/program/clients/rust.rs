//! The program in Rust, `tests/clients/cynic`: a workspace of its own, built with its own lock
//! below `target/`.

use std::{fs, path::Path, process::Command};

use super::{super::program::Server, finished};

/// What says that the packages cannot be had, and not that something is wrong with them.
const OFFLINE: [&str; 4] =
    ["failed to download", "failed to get", "Could not resolve host", "spurious network error"];

/// Builds it, runs it against a server and shows what it says; panics if it fails. Skipped, in
/// words, where its packages cannot be had; in CI that is a failure.
pub fn passes(server: &Server) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/cynic");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients-cynic");
    // Packages that are there already need no network.
    if !is_built(&folder, &target, true) && !is_built(&folder, &target, false) {
        return;
    }
    let mut program = Command::new(target.join("debug/hakken-client-cynic"));
    program
        .env("HAKKEN_URL", &server.url)
        .env("HAKKEN_KEY", server.key.as_deref().unwrap_or_default());
    println!("cynic: {}", finished(&mut program, "cynic"));
}

/// False if the packages cannot be had.
fn is_built(folder: &Path, target: &Path, is_offline: bool) -> bool {
    fs::create_dir_all(target).expect("a folder below target");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked", "--quiet", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    if is_offline {
        cargo.arg("--offline");
    }
    // It is built as it stands, whatever is measured or checked of Hakken.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER"] {
        cargo.env_remove(name);
    }
    let built = cargo.env("CARGO_TARGET_DIR", target).output().expect("cargo runs");
    if built.status.success() {
        return true;
    }
    let said = String::from_utf8_lossy(&built.stderr);
    let is_missing = OFFLINE.iter().any(|words| said.contains(words));
    assert!(is_missing || is_offline, "tests/clients/cynic is not built:\n{said}");
    if !is_offline {
        assert!(std::env::var_os("CI").is_none(), "the packages of cynic cannot be had:\n{said}");
        println!("skipped: the packages of cynic cannot be had");
    }
    false
}

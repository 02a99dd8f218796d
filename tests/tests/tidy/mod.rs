//! Tidy: what holds of the tree as a whole. Everything here reads files that git knows.

mod crates;
mod pages;
mod sources;

use std::{path::PathBuf, process::Command};

fn root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the package stands in the workspace").to_owned()
}

/// A file that git knows.
struct File {
    path: String,
    executable: bool,
}

impl File {
    fn bytes(&self) -> Vec<u8> {
        let file = root().join(&self.path);
        std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }

    fn text(&self) -> String {
        let text = String::from_utf8(self.bytes());
        text.unwrap_or_else(|error| panic!("{} is not UTF-8: {error}", self.path))
    }

    fn extension(&self) -> Option<&str> {
        let name = self.path.rsplit('/').next()?;
        name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, extension)| extension)
    }

    fn is_rust(&self) -> bool {
        self.extension() == Some("rs")
    }

    /// An input of a fuzz target: any bytes.
    fn is_input(&self) -> bool {
        self.path.starts_with("fuzz/corpus/")
    }

    /// Written by somebody else, and kept as it came.
    fn is_foreign(&self) -> bool {
        self.path.starts_with("api/assets/")
            || self.is_input()
            || self.path.ends_with("Cargo.lock")
            || self.path.starts_with("LICENSE-")
    }

    /// Of a crate that others link, and not its tests.
    fn is_library(&self) -> bool {
        const CRATES: [&str; 5] = ["domain/", "commands/", "projections/", "api/", "adapters/"];
        const TESTS: [&str; 4] = ["tests", "testing", "properties", "golden"];
        let parts = self.path.trim_end_matches(".rs").split('/');
        let is_test = parts.into_iter().any(|part| TESTS.contains(&part));
        self.is_rust() && !is_test && CRATES.iter().any(|name| self.path.starts_with(name))
    }
}

/// Every file that git knows and that is there. A tree without git (an unpacked archive) cannot
/// be checked; in CI that is a failure.
fn tracked() -> Vec<File> {
    let listed = Command::new("git").args(["ls-files", "-s", "-z"]).current_dir(root()).output();
    let listed = match listed {
        Ok(output) if output.status.success() => output.stdout,
        _ => {
            assert!(std::env::var_os("CI").is_none(), "git does not know this tree");
            println!("skipped: git does not know this tree");
            return Vec::new();
        }
    };
    let listed = String::from_utf8(listed).expect("file names are UTF-8");
    let files = listed.split('\0').filter_map(|entry| {
        let (about, path) = entry.split_once('\t')?;
        Some(File { path: path.to_owned(), executable: about.starts_with("100755") })
    });
    files.filter(|file| root().join(&file.path).is_file()).collect()
}

/// Panics with all complaints, if there are any.
#[track_caller]
fn none(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

//! The inputs that are kept.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hakken_domain::envelope::Fingerprint;

/// An input with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name of its file.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// The folder of the fuzz package.
pub fn folder() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the package stands in the workspace").join("fuzz")
}

/// What is kept for a target, by name.
pub fn read(target: &str) -> Vec<Entry> {
    let folder = folder().join("corpus").join(target);
    let files = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", folder.display()));
    let mut entries: Vec<Entry> = files
        .map(|file| {
            let file = file.expect("a folder can be listed");
            let name = file.file_name().to_string_lossy().into_owned();
            let bytes = fs::read(file.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
            Entry { name, bytes }
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!entries.is_empty(), "{} is empty", folder.display());
    entries
}

/// Writes inputs to a folder of the target's name in this one.
pub fn write(folder: &Path, target: &str, entries: &[Entry]) {
    let folder = folder.join(target);
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for Entry { name, bytes } in entries {
        let file = folder.join(name);
        fs::write(&file, bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// Writes an input that broke a property where people find it; says where.
pub fn keep_artifact(target: &str, bytes: &[u8]) -> PathBuf {
    let name = Fingerprint::of(bytes).to_string();
    let folder = folder().join("artifacts").join(target);
    let file = folder.join(name);
    // The input stands in the failure as well, so a tree that cannot be written hides nothing.
    let _ = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, bytes));
    file
}

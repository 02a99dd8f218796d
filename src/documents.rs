//! The documents that the operator of a server trusts, read from files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use hakken_api::{DocumentRules, TrustedDocuments};

use crate::cli;

/// What the command line says of documents.
pub fn rules(options: &cli::Documents) -> Result<DocumentRules> {
    let mut trusted = TrustedDocuments::default();
    for path in &options.trusted_documents {
        read(&mut trusted, path)?;
    }
    if trusted.is_empty() && !options.trusted_documents.is_empty() {
        bail!(
            "there is no document in {}: files end with .graphql (a document) or .json (a \
             collection)",
            options.trusted_documents[0].display()
        );
    }
    Ok(DocumentRules { trusted, only_trusted: options.only_trusted })
}

/// Reads a file, or all files of a directory and of those in it, in the order of their names.
fn read(trusted: &mut TrustedDocuments, path: &Path) -> Result<()> {
    let words = || format!("{} cannot be used", path.display());
    if path.is_dir() {
        let entries = fs::read_dir(path).with_context(words)?;
        let files = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
        let mut files: Vec<PathBuf> = files.with_context(words)?;
        files.sort();
        return files.iter().try_for_each(|file| {
            if file.is_dir() || kind(file).is_some() { read(trusted, file) } else { Ok(()) }
        });
    }
    let text = fs::read_to_string(path).with_context(words)?;
    match kind(path) {
        Some(Kind::Document(name)) => trusted.add(&name, &text).with_context(words),
        Some(Kind::Collection) => trusted.add_collection(&text).with_context(words),
        None => {
            bail!("{}: a trusted document ends with .graphql, a collection with .json", words())
        }
    }
}

enum Kind {
    /// One document, named by its file.
    Document(String),
    Collection,
}

fn kind(file: &Path) -> Option<Kind> {
    match file.extension()?.to_str()? {
        "graphql" | "gql" => Some(Kind::Document(file.file_stem()?.to_str()?.to_owned())),
        "json" => Some(Kind::Collection),
        _ => None,
    }
}

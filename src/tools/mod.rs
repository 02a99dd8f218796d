//! What one does with a data directory beside serving it.

pub mod backup;
pub mod bars;
pub mod copy;
pub mod doctor;
pub mod events;
pub mod export;
pub mod import;
pub mod keys;
pub mod projections;
pub mod read_models;
pub mod replay;
pub mod restore;
pub mod skip;

use std::io::{self, Write};

/// Writes a line to standard output.
pub fn print_line(line: &str) {
    print_text(line);
    print_text("\n");
}

/// Writes to standard output. A reader that has gone away (`| head`) ends the program quietly,
/// as it does for other tools.
pub fn print_text(text: &str) {
    if let Err(error) = io::stdout().lock().write_all(text.as_bytes()) {
        if error.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        eprintln!("hakken: standard output cannot be written: {error}");
        std::process::exit(1);
    }
}

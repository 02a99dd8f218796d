//! What stands around the events: the lock, the secret, the disk, and what is derived.

use std::{fs, path::Path};

use hakken_adapters::{
    data_dir::DataDir,
    embedded::Derived,
    system::{EngineSecret, SecretError},
};
use hakken_commands::process::NAMES;
use hakken_domain::envelope::Position;

use super::{
    finding::Findings,
    history::{INDEX, SIDE},
};

/// A process that is so many events behind beside a running server does not keep up.
const FAR_BEHIND: u64 = 10_000;

/// Who has the data directory. True if somebody does.
pub fn lock(dir: &DataDir, findings: &mut Findings) -> bool {
    let signature = fs::read_to_string(&dir.lock).unwrap_or_default();
    let signature = signature.trim();
    if is_locked(&dir.lock) {
        let who = if signature.is_empty() { "another process" } else { signature };
        findings.looked_at.push(format!("a directory that is served by {who}"));
        return true;
    }
    if signature.is_empty() {
        findings.note("server", "no server runs on this directory".to_owned());
    } else {
        findings.attention(
            "server",
            format!(
                "no server runs, and the last one ({signature}) did not close the directory: it \
                 was killed, or the machine went down"
            ),
            "`hakken serve`: it recovers by itself, and nothing that was acknowledged is lost",
        );
    }
    false
}

/// Looks in the kernel's list of locks, since taking the lock to see would keep a server that
/// starts at that moment from having it.
fn is_locked(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    if let (Ok(found), Ok(locks)) = (fs::metadata(path), fs::read_to_string("/proc/locks")) {
        let inode = format!(":{}", std::os::unix::fs::MetadataExt::ino(&found));
        let is_ours = |line: &str| {
            line.contains("FLOCK") && line.split_whitespace().any(|word| word.ends_with(&inode))
        };
        return locks.lines().any(is_ours);
    }
    fs::File::open(path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

/// The secret, if it can be had.
pub fn secret(dir: &DataDir, findings: &mut Findings) -> Option<EngineSecret> {
    let mend = "put it back from a backup (of a copy, from the directory it was copied from)";
    match EngineSecret::find(dir) {
        Ok(Some(secret)) => {
            open_to_others(&dir.secret, findings);
            Some(secret)
        }
        Ok(None) => {
            let what = format!(
                "{} is missing: without it every ticket code and API key is dead",
                dir.secret.display()
            );
            findings.broken("secret", what, mend);
            None
        }
        Err(error @ SecretError::Unreadable { .. }) => {
            findings.attention("secret", error.to_string(), "run this as the server's own user");
            None
        }
        Err(error) => {
            findings.broken("secret", error.to_string(), mend);
            None
        }
    }
}

#[cfg(unix)]
fn open_to_others(path: &Path, findings: &mut Findings) {
    let mode = fs::metadata(path).map_or(0, |found| std::os::unix::fs::MetadataExt::mode(&found));
    if mode & 0o077 != 0 {
        let (path, mode) = (path.display(), mode & 0o777);
        let what = format!("{path} has mode {mode:o}: others than its owner can read it");
        findings.attention("secret", what, format!("chmod 600 {path}"));
    }
}

#[cfg(not(unix))]
fn open_to_others(_: &Path, _: &mut Findings) {}

/// Room on the disk of a directory.
#[cfg(unix)]
pub fn disk(dir: &DataDir, least_mib: u64, findings: &mut Findings) {
    match rustix::fs::statvfs(&dir.root) {
        Ok(disk) => {
            let free_mib = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
            findings.looked_at.push(format!("a disk with {free_mib} MiB free"));
            if free_mib < least_mib {
                let what = format!(
                    "{free_mib} MiB are free on the disk of {}: when it is full, nothing can be \
                     sold any more",
                    dir.root.display()
                );
                findings.attention("disk", what, "make room, or move the store to a larger disk");
            }
        }
        Err(error) => findings.note("disk", format!("free space is not known: {error}")),
    }
}

/// Room on the disk is not known here.
#[cfg(not(unix))]
pub fn disk(_: &DataDir, _: u64, _: &mut Findings) {}

/// The files that are derived from the events.
pub fn derived(derived: &Derived, findings: &mut Findings) {
    if let Some(problem) = &derived.index {
        let what = format!("index.db is not of these events, or damaged: {problem}");
        findings.attention("index", what, INDEX);
    }
    if let Some(problem) = &derived.side {
        findings.attention("side.db", format!("it will be thrown away: {problem}"), SIDE);
    }
}

/// How a checkpoint in a database is mended that knows of later events than there are.
pub const CHECKPOINTS: &str = "an older backup was put back, it seems: stop the servers, `DELETE \
                               FROM hakken.checkpoints`, and start them: processes look through \
                               the events again, and do nothing twice";

/// How far processes have come; `mend` is for one that knows of later events than there are.
pub fn processes(
    checkpoints: &[(String, Position)],
    head: Position,
    served: bool,
    mend: &'static str,
    findings: &mut Findings,
) {
    for (name, position) in checkpoints.iter().filter(|(name, _)| NAMES.contains(&&**name)) {
        let behind = head.0.saturating_sub(position.0);
        if *position > head {
            let what = format!("{name} is at position {position}, beyond the head ({head})");
            findings.attention("processes", what, mend);
        } else if behind > FAR_BEHIND && served {
            let what = format!("{name} is {behind} events behind");
            let mend = "look at the server's log: it says what the process waits for";
            findings.attention("processes", what, mend);
        }
    }
}

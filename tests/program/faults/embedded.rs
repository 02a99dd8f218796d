//! The embedded store: its disk is full or slow, and its server is killed or stands still. How a
//! disk that may only be read is refused stands in `damage.rs`.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use futures_util::future::BoxFuture;
use hakken_tests::sim::Chance;

use super::{
    super::{
        crash::witness::{Events, embedded_events},
        program::serve,
    },
    ground::{Fault, Ground, Servers, limit_files},
};

/// Somebody else who writes and syncs on the same disk, again and again.
struct Rival {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Rival {
    fn start(path: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = over.clone();
        let thread = std::thread::spawn(move || {
            let bytes = vec![1; 1 << 20];
            while !until.load(Ordering::Relaxed) {
                let written = File::create(&path).and_then(|mut file| {
                    for _ in 0..8 {
                        file.write_all(&bytes)?;
                        file.sync_data()?;
                    }
                    Ok(())
                });
                written.expect("there is room for a little");
            }
            std::fs::remove_file(&path).expect("it is there");
        });
        Self { over, thread }
    }

    fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only writes");
    }
}

/// The embedded store.
pub struct Embedded {
    /// Where others write, on the disk of the servers' data.
    disk: tempfile::TempDir,
    rivals: Vec<Rival>,
}

impl Embedded {
    pub fn new() -> Self {
        Self { disk: tempfile::tempdir().expect("a folder"), rivals: Vec::new() }
    }
}

fn data(root: &Path) -> PathBuf {
    root.join("data")
}

impl Ground for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn servers(&self) -> usize {
        1
    }

    fn faults(&self) -> &'static [Fault] {
        &[Fault::FullDisk, Fault::SlowDisk]
    }

    fn ends_servers(&self, fault: Fault) -> bool {
        // After a write that failed nobody knows what is on the disk.
        fault == Fault::FullDisk
    }

    fn command(&self, root: &Path, _: usize) -> Command {
        let server = serve(&data(root), &["--payments", "simulated", "--snapshot-events", "25"]);
        // A file that may not grow is told by an error, as a full disk is, and not by a signal.
        let mut shell = Command::new("bash");
        shell.args(["-c", "trap '' XFSZ; exec \"$@\"", "bash"]);
        shell.arg(server.get_program()).args(server.get_args());
        for (name, value) in server.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let log = File::options().create(true).append(true).open(root.join("server.log"));
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.expect("a file"));
        shell
    }

    fn events(&self, root: &Path) -> Events {
        embedded_events(&data(root))
    }

    fn begin<'a>(
        &'a mut self,
        fault: Fault,
        servers: Servers<'a>,
        chance: &'a mut Chance,
    ) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match fault {
                // Behind this no file can be written any more, and it may fall within a write.
                Fault::FullDisk => {
                    let most = chance.between(1, 200) * 1_024 + chance.between(0, 512);
                    limit_files(servers.pids.iter().copied(), Some(most));
                }
                Fault::SlowDisk => {
                    for number in 0..2 {
                        let file = self.disk.path().join(format!("rival-{number}"));
                        self.rivals.push(Rival::start(file));
                    }
                }
                _ => return false,
            }
            true
        })
    }

    fn heal<'a>(&'a mut self, servers: Servers<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            limit_files(servers.pids.iter().copied(), None);
            for rival in self.rivals.drain(..) {
                let stopped = tokio::task::spawn_blocking(|| rival.stop()).await;
                stopped.expect("it only writes");
            }
        })
    }
}

//! The limit: a preallocated file, one writer thread, one sync for each batch, and nothing else.
//! Callers wait for their own acknowledgement, as those of the engine do.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, thread};

use tokio::sync::{mpsc, oneshot};

const PREALLOCATED: u64 = 1 << 30;

/// A raw log.
pub struct RawLog {
    inbox: mpsc::UnboundedSender<(Vec<u8>, oneshot::Sender<()>)>,
    writer: thread::JoinHandle<io::Result<()>>,
}

impl RawLog {
    /// Makes the file with all its blocks written, so that a sync moves data and no metadata.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        let block = vec![0; 4 << 20];
        for at in 0..PREALLOCATED / block.len() as u64 {
            file.write_all_at(&block, at * block.len() as u64)?;
        }
        file.sync_all()?;
        let (inbox, mut waiting) = mpsc::unbounded_channel::<(Vec<u8>, oneshot::Sender<()>)>();
        let writer = thread::spawn(move || {
            let mut at = 0;
            let mut bytes = Vec::new();
            let mut callers = Vec::new();
            while let Some((entry, caller)) = waiting.blocking_recv() {
                bytes.clear();
                bytes.extend_from_slice(&entry);
                callers.push(caller);
                while let Ok((entry, caller)) = waiting.try_recv() {
                    bytes.extend_from_slice(&entry);
                    callers.push(caller);
                }
                if at + bytes.len() as u64 > PREALLOCATED {
                    at = 0;
                }
                file.write_all_at(&bytes, at)?;
                file.sync_data()?;
                at += bytes.len() as u64;
                for caller in callers.drain(..) {
                    // A caller that has gone away needs no answer.
                    let _ = caller.send(());
                }
            }
            Ok(())
        });
        Ok(Self { inbox, writer })
    }

    /// Writes one entry and returns when it is durable.
    pub async fn append(&self, entry: Vec<u8>) {
        let (caller, answer) = oneshot::channel();
        self.inbox.send((entry, caller)).expect("the writer runs");
        answer.await.expect("the writer answers");
    }

    /// Ends the writer.
    pub fn close(self) -> io::Result<()> {
        drop(self.inbox);
        self.writer.join().expect("the writer does not panic")
    }
}
